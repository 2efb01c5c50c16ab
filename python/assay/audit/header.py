"""`record.assay`: the public head of a request's record, closed before any challenge is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from assay import framing
from assay.audit.log import LogHead
from assay.errors import AssayError, RequestError
from assay.framing import FormatError, Kind
from assay.layout import boundary_layout
from assay.profiles import Code

VERSION = 5
CAP = 1 << 20
MOST_TOKENS = 1 << 13
"""Tokens that a record may cover."""
_ENVELOPE: framing.Kinds = {
    "request": bytes,
    "created": int,
    "public": bytes,
    "weights_root": bytes,
    "num_layers": int,
    "tokens": int,
    "tokens_commitment": bytes,
    "boundaries_root": bytes,
    "parts": list,
    "slots": list,
    "log": (dict, type(None)),
    "routing": (bytes, type(None)),
}


@dataclass(frozen=True, kw_only=True)
class RecordHeader:
    """What a record says in public; its hash is the record root that a challenge binds to.

    `created` is in seconds of Unix time and only informs. `tokens` is T; the tokens themselves are committed
    with a salt. `parts` and `slots` are the layout of the boundaries' commitment, as `Slot.to_list` has them.
    `log` is None if the request was recorded without one: then forward passes cannot be proven. `routing` is
    the root of the public log of experts (`assay.audit.routing`), None where it is hidden which experts ran.
    """

    request: bytes
    created: int
    public: bytes
    weights_root: bytes
    num_layers: int
    tokens: int
    tokens_commitment: bytes
    boundaries_root: bytes
    parts: tuple[int, ...]
    slots: tuple[tuple[str | int, ...], ...]
    log: LogHead | None = None
    routing: bytes | None = None

    @cached_property
    def encoded(self) -> bytes:
        """The file."""
        return framing.pack(Kind.RECORD, VERSION, framing.encode(self.to_dict()))

    @cached_property
    def hash(self) -> bytes:
        """The record root: SHA-256 of the file."""
        return hashlib.sha256(self.encoded).digest()

    def to_dict(self) -> dict[str, Any]:
        """The envelope."""
        values = {name: getattr(self, name) for name in _ENVELOPE}
        log = None if self.log is None else self.log.to_dict()
        return {
            **values,
            "parts": list(self.parts),
            "slots": [list(slot) for slot in self.slots],
            "log": log,
        }

    @classmethod
    def from_bytes(cls, data: bytes, error: type[AssayError] = RequestError) -> RecordHeader:
        """Reads a file; raises `error` unless it is exactly one that this program could write."""
        try:
            (envelope,) = framing.unpack(data, Kind.RECORD, VERSION, [CAP])
            return cls.from_dict(framing.decode(envelope))
        except FormatError as fault:
            raise error(f"record-{fault.reason}", f"record: {fault.message}") from fault

    @classmethod
    def from_dict(cls, raw: Any) -> RecordHeader:
        """Rebuilds a head from its envelope; raises `FormatError`."""
        values = framing.fields(raw, "record", _ENVELOPE)
        framing.sized(values["request"], 16, "request")
        for name in ("public", "weights_root", "tokens_commitment", "boundaries_root"):
            framing.sized(values[name], 32, name)
        if values["routing"] is not None:
            framing.sized(values["routing"], 32, "routing")
        framing.ranged(values["created"], 0, 1 << 40, "created")
        framing.ranged(values["num_layers"], 1, 1 << 12, "num_layers")
        framing.ranged(values["tokens"], 1, MOST_TOKENS, "tokens")
        parts, slots = _layout(values["parts"], values["slots"])
        log = None if values["log"] is None else LogHead.from_dict(values["log"])
        return cls(**{**values, "parts": parts, "slots": slots, "log": log})

    def follows(self, config: Mapping[str, Any], code: Code) -> bool:
        """Whether the stated layout is the one of this configuration and code."""
        own = boundary_layout(config, code, self.tokens)
        return self.parts == own.parts and self.slots == tuple(tuple(slot.to_list()) for slot in own.slots)


def _layout(parts: list[Any], slots: list[Any]) -> tuple[tuple[int, ...], tuple[tuple[str | int, ...], ...]]:
    if not all(type(rows) is int for rows in parts):
        raise FormatError("type", "record: parts are not numbers of rows")
    for slot in slots:
        if not isinstance(slot, list) or [type(x) for x in slot] != [str, int, int, int, int, int]:
            raise FormatError("type", "record: a slot is not a name and five numbers")
    return tuple(parts), tuple(tuple(slot) for slot in slots)


def check_length(tokens: int, max_position: int) -> None:
    """Refuses more tokens than the context, or than a record may cover."""
    most = min(max_position, MOST_TOKENS)
    if tokens > most:
        raise RequestError(
            "prompt-too-long",
            f"the prompt has {tokens} tokens, at most {most} are possible",
            hint="shorten it",
        )
