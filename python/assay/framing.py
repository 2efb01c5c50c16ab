"""The frame of every file of ours: magic and kind, version, length-prefixed sections, nothing after them.

    file     = "ASSAY" kind(3) version(u32) section*
    section  = length(u64) bytes                                      all little-endian

Envelopes inside sections are CBOR [RFC 8949] in the canonical form of its section 4.2.3, without tags. What
is read here is hostile: sizes are capped before anything is copied, nesting is bounded, every other encoding
of the same value is refused. Failures are `FormatError`, which each reader turns into the error class of its
own file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import cbor2

Kinds = Mapping[str, type | tuple[type, ...]]
_MAGIC = b"ASSAY"
_DEPTH = 12
_FLOATS = {25: ("<e", 2), 26: ("<f", 4), 27: ("<d", 8)}
_SIMPLE: dict[int, bool | None] = {20: False, 21: True, 22: None}


class Kind(Enum):
    """Kinds of files, by the three letters after the magic."""

    PUBLIC = b"PUB"
    RECORD = b"REC"
    PROOF = b"PRF"
    PRIVATE = b"REQ"
    LOG = b"LOG"
    KEY = b"KEY"
    ATTEMPT = b"ATT"
    STATEMENT = b"STM"


class FormatError(Exception):
    """Bytes that are not the file they should be; `reason` is a short stable word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message


def kind_of(data: bytes) -> Kind | None:
    """Which kind of file begins so, if any."""
    if data[:5] != _MAGIC:
        return None
    return next((kind for kind in Kind if kind.value == data[5:8]), None)


def pack(kind: Kind, version: int, *sections: bytes) -> bytes:
    """The bytes of a file."""
    head = _MAGIC + kind.value + struct.pack("<I", version)
    return head + b"".join(struct.pack("<Q", len(s)) + s for s in sections)


def name_of(data: bytes) -> str:
    """What a file that begins so is, for messages."""
    kind = kind_of(data)
    return "no file of Assay's" if kind is None else f"a {kind.name.lower()} file"


def unpack(data: bytes, kind: Kind, version: int, caps: Sequence[int]) -> list[bytes]:
    """The sections of a file of this kind and version, one for each cap on its length."""
    if kind_of(data) is not kind:
        raise FormatError("kind", f"this is {name_of(data)}, not a {kind.name.lower()} file")
    if len(data) < 12:
        raise FormatError("truncated", "the file ends within its head")
    (stated,) = struct.unpack_from("<I", data, 8)
    if stated != version:
        raise FormatError("version", f"version {stated} is not known; this program reads version {version}")
    sections, at = [], 12
    for cap in caps:
        section = _section(data, at, cap)
        sections.append(section)
        at += 8 + len(section)
    if at != len(data):
        raise FormatError("trailing", f"{len(data) - at} bytes after the end")
    return sections


def _section(data: bytes, at: int, cap: int) -> bytes:
    if len(data) - at < 8:
        raise FormatError("truncated", "the file ends before a section")
    (length,) = struct.unpack_from("<Q", data, at)
    if length > cap:
        raise FormatError("size", f"a section of {length} bytes, at most {cap} are allowed")
    if length > len(data) - at - 8:
        raise FormatError("truncated", "the file ends within a section")
    return data[at + 8 : at + 8 + length]


def encode(value: Any) -> bytes:
    """Canonical CBOR."""
    return cbor2.dumps(value, canonical=True)


def decode(raw: bytes) -> Any:
    """The value of canonical CBOR without tags; any other bytes are refused."""
    value, end = _item(raw, 0, 0)
    if end != len(raw):
        raise FormatError("trailing", "bytes after an envelope")
    if encode(value) != raw:
        raise FormatError("canonical", "an envelope is not in canonical form")
    return value


def _item(raw: bytes, at: int, depth: int) -> tuple[Any, int]:
    """One data item at an offset, and where it ends."""
    if depth > _DEPTH:
        raise FormatError("depth", "an envelope is nested too deeply")
    major, info = raw[at] >> 5 if at < len(raw) else -1, raw[at] & 31 if at < len(raw) else 0
    if major == 7:
        return _float_or_simple(raw, at, info)
    argument, at = _argument(raw, at, info)
    if major == 0:
        return argument, at
    if major == 1:
        return -1 - argument, at
    if major in (2, 3):
        return _string(raw, at, argument, text=major == 3)
    if major in (4, 5):
        return _container(raw, at, argument, depth, mapping=major == 5)
    raise FormatError("type", "an envelope ends early or holds a tag")


def _argument(raw: bytes, at: int, info: int) -> tuple[int, int]:
    if info < 24:
        return info, at + 1
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info)
    if size is None or at + 1 + size > len(raw):
        raise FormatError("truncated", "an envelope ends early")
    return int.from_bytes(raw[at + 1 : at + 1 + size], "big"), at + 1 + size


def _float_or_simple(raw: bytes, at: int, info: int) -> tuple[Any, int]:
    if info in _SIMPLE:
        return _SIMPLE[info], at + 1
    form, size = _FLOATS.get(info, ("", 0))
    if not size or at + 1 + size > len(raw):
        raise FormatError("type", "an envelope holds a value of unknown kind")
    (value,) = struct.unpack(form.replace("<", ">"), raw[at + 1 : at + 1 + size])
    if not math.isfinite(value):
        raise FormatError("type", "an envelope holds NaN or infinity")
    return value, at + 1 + size


def _string(raw: bytes, at: int, length: int, *, text: bool) -> tuple[Any, int]:
    if length > len(raw) - at:
        raise FormatError("truncated", "an envelope ends early")
    piece = raw[at : at + length]
    if not text:
        return piece, at + length
    try:
        return piece.decode(), at + length
    except UnicodeDecodeError as error:
        raise FormatError("type", "a text is not UTF-8") from error


def _container(raw: bytes, at: int, count: int, depth: int, *, mapping: bool) -> tuple[Any, int]:
    if count > len(raw) - at:
        raise FormatError("truncated", "an envelope ends early")
    if not mapping:
        items = []
        for _ in range(count):
            value, at = _item(raw, at, depth + 1)
            items.append(value)
        return items, at
    entries: dict[str, Any] = {}
    for _ in range(count):
        key, at = _item(raw, at, depth + 1)
        if not isinstance(key, str):
            raise FormatError("type", "a name in an envelope is not a text")
        entries[key], at = _item(raw, at, depth + 1)
    return entries, at


def fields(raw: Any, what: str, kinds: Kinds) -> dict[str, Any]:
    """`raw` as a map with exactly these names and types (a bool is no int)."""
    if not isinstance(raw, dict) or set(raw) != set(kinds):
        raise FormatError("fields", f"{what}: missing or unknown fields")
    for name, kind in kinds.items():
        allowed = kind if isinstance(kind, tuple) else (kind,)
        if type(raw[name]) not in allowed:
            raise FormatError("type", f"{what}: the field {name!r} has another type")
    return raw


def sized(value: bytes, size: int, what: str) -> bytes:
    """`value` if it has so many bytes."""
    if len(value) != size:
        raise FormatError("size", f"{what} has {len(value)} bytes instead of {size}")
    return value


def ranged(value: int, low: int, high: int, what: str) -> int:
    """`value` if low <= value <= high."""
    if not low <= value <= high:
        raise FormatError("range", f"{what} is {value}, outside {low} to {high}")
    return value
