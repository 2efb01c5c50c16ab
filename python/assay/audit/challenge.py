"""Challenges: which layers a verifier wants proven, drawn after the record was closed and bound to it.

    layers = the first k distinct values of SHAKE128(label, record root, nonce), taken 4 bytes at a time,
    rejected if
             they would bias the remainder modulo the number of layers

A challenge carries the whole head of the record, so that a verifier needs nothing else of the prover's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from assay import framing
from assay.audit.header import CAP as HEADER_CAP
from assay.audit.header import RecordHeader
from assay.errors import ChallengeError, RequestError
from assay.framing import FormatError
from assay.storage import read_file

KIND = "assay challenge"
VERSION = 0
SCOPE = "layers"
NONCE_BYTES = 32
_CAP = 4 << 20
_LABEL = b"assay challenge 0: layers"
_FIELDS: framing.Kinds = {
    "kind": str,
    "version": int,
    "record": str,
    "record_root": str,
    "nonce": str,
    "scope": str,
    "drawn": bool,
    "layers": list,
}


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A record's head, a nonce of 32 bytes, and layers, ascending; `drawn` if they follow from the nonce."""

    record: RecordHeader
    nonce: bytes
    layers: tuple[int, ...]
    drawn: bool

    @cached_property
    def encoded(self) -> bytes:
        """The file, JSON."""
        return (json.dumps(self.to_dict(), indent=1) + "\n").encode()

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file."""
        return {
            "kind": KIND,
            "version": VERSION,
            "record": base64.b64encode(self.record.encoded).decode(),
            "record_root": self.record.hash.hex(),
            "nonce": self.nonce.hex(),
            "scope": SCOPE,
            "drawn": self.drawn,
            "layers": list(self.layers),
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Challenge:
        """Reads a file; raises `ChallengeError`."""
        try:
            values = framing.fields(_json(data), "challenge", _FIELDS)
            return _checked(values)
        except FormatError as error:
            raise ChallengeError(f"challenge-{error.reason}", f"challenge: {error.message}") from error

    @classmethod
    def load(cls, path: Path) -> Challenge:
        """Reads the file at a path."""
        return cls.from_bytes(read_file(path, _CAP, "challenge"))


def challenge(
    record: str | os.PathLike[str] | RecordHeader,
    *,
    num_layers: int | None = None,
    layers: Sequence[int] | None = None,
    nonce: bytes | None = None,
) -> Challenge:
    """Draws `num_layers` layers of a record, or names `layers`; the nonce is random unless given."""
    header = record if isinstance(record, RecordHeader) else load_header(Path(record))
    nonce = os.urandom(NONCE_BYTES) if nonce is None else nonce
    if len(nonce) != NONCE_BYTES:
        raise ChallengeError("bad-nonce", f"a nonce has {NONCE_BYTES} bytes, this one {len(nonce)}")
    if (num_layers is None) == (layers is None):
        raise ChallengeError(
            "bad-challenge", "give the number of layers to draw, or the layers: one of the two"
        )
    if layers is not None:
        return Challenge(
            record=header, nonce=nonce, layers=named_layers(layers, header.num_layers), drawn=False
        )
    if num_layers is None or not 1 <= num_layers <= header.num_layers:
        raise ChallengeError(
            "layer-out-of-range", f"{num_layers} layers asked for; the model has {header.num_layers}"
        )
    drawn = draw(header.hash, nonce, num_layers, header.num_layers)
    return Challenge(record=header, nonce=nonce, layers=drawn, drawn=True)


def load_header(path: Path) -> RecordHeader:
    """The head of a record, from its file."""
    return RecordHeader.from_bytes(read_file(path, HEADER_CAP + 64, "record"), ChallengeError)


def draw(record_root: bytes, nonce: bytes, count: int, of: int) -> tuple[int, ...]:
    """`count` distinct layers of `of`, ascending, without bias."""
    if not 1 <= count <= of:
        raise ValueError(f"cannot draw {count} of {of}")
    limit = (1 << 32) - (1 << 32) % of
    found: set[int] = set()
    for value in _words(_LABEL + record_root + nonce):
        if len(found) == count:
            break
        if value < limit:
            found.add(value % of)
    return tuple(sorted(found))


def _words(seed: bytes) -> Any:
    """Little-endian words of 4 bytes out of SHAKE128, without end."""
    size = 1 << 12
    done = 0
    while True:
        stream = hashlib.shake_128(seed).digest(size)
        for at in range(done, size, 4):
            yield int.from_bytes(stream[at : at + 4], "little")
        done, size = size, size * 2


def named_layers(layers: Sequence[int], of: int) -> tuple[int, ...]:
    if not layers or len(set(layers)) != len(layers):
        raise ChallengeError("bad-challenge", "name at least one layer, and none twice")
    for layer in layers:
        if not 0 <= layer < of:
            raise ChallengeError("layer-out-of-range", f"layer {layer} is not one of 0 to {of - 1}")
    return tuple(sorted(layers))


def _json(data: bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise FormatError("json", "a name occurs twice")
        return dict(pairs)

    if framing.kind_of(data) is not None:
        raise FormatError("kind", f"this is {framing.name_of(data)}, not a challenge")
    try:
        return json.loads(data, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise FormatError("json", f"not JSON: {error}") from error


def _checked(values: dict[str, Any]) -> Challenge:
    if values["kind"] != KIND or values["version"] != VERSION or values["scope"] != SCOPE:
        raise FormatError("version", "another kind, version or scope than this program knows")
    header = RecordHeader.from_bytes(_base64(values["record"]), ChallengeError)
    nonce = framing.sized(_hex(values["nonce"]), NONCE_BYTES, "nonce")
    if _hex(values["record_root"]) != header.hash:
        raise FormatError("root", "the record root is not that of the record")
    layers = values["layers"]
    if not all(type(layer) is int for layer in layers):
        raise FormatError("type", "layers are integers")
    if named_layers(layers, header.num_layers) != tuple(layers):
        raise FormatError("canonical", "layers are not ascending")
    if values["drawn"] and draw(header.hash, nonce, len(layers), header.num_layers) != tuple(layers):
        raise FormatError("draw", "the layers are not those that follow from the record root and the nonce")
    return Challenge(record=header, nonce=nonce, layers=tuple(layers), drawn=values["drawn"])


def _hex(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise FormatError("type", "not hexadecimal") from error
    if raw.hex() != text:
        raise FormatError("canonical", "hexadecimal is written in lower case without spaces")
    return raw


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise FormatError("type", "the record is not base64") from error


def parse_nonce(text: str) -> bytes:
    """A nonce given by hand, 64 hexadecimal digits."""
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise RequestError("bad-nonce", "a nonce is 64 hexadecimal digits") from error
    if len(raw) != NONCE_BYTES:
        raise RequestError("bad-nonce", f"a nonce has {NONCE_BYTES} bytes, this one {len(raw)}")
    return raw
