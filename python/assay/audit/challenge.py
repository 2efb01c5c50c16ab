"""Challenges: what a verifier wants proven of a record, drawn after the record was closed and bound to it.

Three scopes: layers between their recorded boundaries; the forward pass from the tokens to the logits at some
positions; of an encoder the pass from the tokens to the sum of the last boundary's rows, which asks for no
numbers.

    drawn = the first k distinct values of SHAKE128(label, record root, nonce), taken 4 bytes at a time,
            rejected if they would bias the remainder modulo the number of layers, or of positions

A challenge carries the whole head of the record, so that a verifier needs nothing else of the prover's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
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
VERSION = 1
LAYERS, FORWARD, ENCODE = "layers", "forward", "encode"
SCOPES = (LAYERS, FORWARD, ENCODE)
NONCE_BYTES = 32
MOST_POSITIONS = 1 << 10
_CAP = 4 << 20
_ASKED = {LAYERS: "layers", FORWARD: "positions"}
_FIELDS: framing.Kinds = {
    "kind": str,
    "version": int,
    "record": str,
    "record_root": str,
    "nonce": str,
    "scope": str,
    "drawn": bool,
}


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A record's head, a nonce of 32 bytes, and what is asked for: layers, or positions of a forward pass.

    Either is ascending and without repetition, and empty in any other scope, both in the scope `encode`;
    `drawn` if they follow from the nonce.
    """

    record: RecordHeader
    nonce: bytes
    layers: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    drawn: bool

    @property
    def scope(self) -> str:
        """`layers`, `forward` or `encode`."""
        if self.positions:
            return FORWARD
        return LAYERS if self.layers else ENCODE

    @property
    def asked(self) -> dict[str, list[int]]:
        """The layers, or the positions, under that name; of an encoder nothing."""
        if self.scope == ENCODE:
            return {}
        name = _ASKED[self.scope]
        return {name: list(getattr(self, name))}

    @property
    def described(self) -> str:
        """What is asked for, for people: `layers 0, 2`, `the forward pass at positions 3, 5`."""
        if self.scope == ENCODE:
            return "the encoding"
        ((name, numbers),) = self.asked.items()
        listed = f"{name} {', '.join(map(str, numbers))}"
        return f"the forward pass at {listed}" if self.positions else listed

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
            "scope": self.scope,
            "drawn": self.drawn,
            **self.asked,
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Challenge:
        """Reads a file; raises `ChallengeError`."""
        try:
            return _read(_json(data))
        except FormatError as error:
            raise ChallengeError(f"challenge-{error.reason}", f"challenge: {error.message}") from error

    @classmethod
    def load(cls, path: Path) -> Challenge:
        """Reads the file at a path."""
        return cls.from_bytes(read_file(path, _CAP, "challenge"))


def challenge(
    record: str | os.PathLike[str] | RecordHeader,
    *,
    scope: str = LAYERS,
    num_layers: int | None = None,
    layers: Sequence[int] | None = None,
    num_positions: int | None = None,
    positions: Sequence[int] | None = None,
    nonce: bytes | None = None,
) -> Challenge:
    """Draws `num_layers` layers of a record, or names `layers`; in the scope `forward` the same of positions.

    The scope `encode` takes neither. The nonce is random unless given.
    """
    header = record if isinstance(record, RecordHeader) else load_header(Path(record))
    nonce = os.urandom(NONCE_BYTES) if nonce is None else nonce
    if len(nonce) != NONCE_BYTES:
        raise ChallengeError("bad-nonce", f"a nonce has {NONCE_BYTES} bytes, this one {len(nonce)}")
    given = {LAYERS: (num_layers, layers), FORWARD: (num_positions, positions), ENCODE: (None, None)}
    if scope not in given:
        raise ChallengeError("bad-challenge", f"a scope is one of {', '.join(SCOPES)}, not {scope!r}")
    count, named = given.pop(scope)
    what = _ASKED.get(scope, "nothing")
    if any(value is not None for other in given.values() for value in other):
        raise ChallengeError("bad-challenge", f"the scope {scope} takes {what} alone")
    if scope == ENCODE:
        require_encoded(header)
        return Challenge(record=header, nonce=nonce, drawn=False)
    if (count is None) == (named is None):
        raise ChallengeError(
            "bad-challenge", f"give the number of {what} to draw, or the {what}: one of the two"
        )
    of = countable(header, scope)
    if named is not None:
        return Challenge(record=header, nonce=nonce, drawn=False, **{what: named_numbers(scope, named, of)})
    _require_count(scope, count or 0, of)
    drawn = draw(header.hash, nonce, count or 0, of, scope=scope)
    return Challenge(record=header, nonce=nonce, drawn=True, **{what: drawn})


def require_encoded(header: RecordHeader) -> None:
    """Raises `ChallengeError` if a record has logits, which no encoder's has."""
    if header.log is not None:
        raise ChallengeError(
            "scope-not-covered",
            "the record has a log of ids: it is of a model with logits, not of an encoder",
            hint="ask for the scope forward",
        )


def countable(header: RecordHeader, scope: str) -> int:
    """How many layers, or positions, a record has; raises `ChallengeError` if it has no log to ask for."""
    if scope == LAYERS:
        return header.num_layers
    if header.log is None:
        raise ChallengeError(
            "no-log",
            "the record has no log of ids: a forward pass cannot be asked for",
            hint="the provider records with a log unless told not to (--no-log); an encoder has none, for it "
            "there is the scope encode",
        )
    return header.tokens


def load_header(path: Path) -> RecordHeader:
    """The head of a record, from its file."""
    return RecordHeader.from_bytes(read_file(path, HEADER_CAP + 64, "record"), ChallengeError)


def draw(record_root: bytes, nonce: bytes, count: int, of: int, *, scope: str = LAYERS) -> tuple[int, ...]:
    """`count` distinct numbers below `of`, ascending, without bias."""
    if not 1 <= count <= of:
        raise ValueError(f"cannot draw {count} of {of}")
    label = f"assay challenge {VERSION}: {_ASKED[scope]}".encode()
    limit = (1 << 32) - (1 << 32) % of
    found: set[int] = set()
    for value in _words(label + record_root + nonce):
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


def named_numbers(scope: str, numbers: Sequence[int], of: int) -> tuple[int, ...]:
    """Layers or positions named by a caller, ascending; raises `ChallengeError`."""
    what = _ASKED[scope]
    if not numbers or len(set(numbers)) != len(numbers):
        raise ChallengeError("bad-challenge", f"{what}: name at least one, and none twice")
    for number in numbers:
        if not 0 <= number < of:
            raise _out_of_range(scope, f"{what[:-1]} {number} is not one of 0 to {of - 1}")
    _require_count(scope, len(numbers), of)
    return tuple(sorted(numbers))


def _require_count(scope: str, count: int, of: int) -> None:
    if not 1 <= count <= of:
        raise _out_of_range(scope, f"{count} {_ASKED[scope]} asked for; there are {of}")
    if scope == FORWARD and count > MOST_POSITIONS:
        raise _out_of_range(scope, f"{count} positions asked for; at most {MOST_POSITIONS} are possible")


def _out_of_range(scope: str, message: str) -> ChallengeError:
    return ChallengeError(f"{_ASKED[scope][:-1]}-out-of-range", message)


def require_asked(
    header: RecordHeader, nonce: bytes, scope: str, numbers: list[Any], *, drawn: bool
) -> tuple[int, ...]:
    """Layers or positions as a file has them; raises `FormatError`, or `ChallengeError` out of range."""
    if not all(type(number) is int for number in numbers):
        raise FormatError("type", f"{_ASKED[scope]} are integers")
    of = countable(header, scope)
    if named_numbers(scope, numbers, of) != tuple(numbers):
        raise FormatError("canonical", f"{_ASKED[scope]} are not ascending")
    if drawn and draw(header.hash, nonce, len(numbers), of, scope=scope) != tuple(numbers):
        raise FormatError(
            "draw", f"the {_ASKED[scope]} are not those that follow from the record root and the nonce"
        )
    return tuple(numbers)


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


def _read(raw: Any) -> Challenge:
    scope = raw.get("scope") if isinstance(raw, dict) else None
    if not isinstance(scope, str) or scope not in SCOPES:
        raise FormatError("fields", "no challenge of a scope that this program knows")
    lists: framing.Kinds = {} if scope == ENCODE else {_ASKED[scope]: list}
    if raw.get("version") != VERSION:
        raise FormatError("version", f"version {raw.get('version')!r} is not known, version {VERSION} is")
    values = framing.fields(raw, "challenge", {**_FIELDS, **lists})
    if values["kind"] != KIND:
        raise FormatError("version", "another kind than a challenge")
    header = RecordHeader.from_bytes(_base64(values["record"]), ChallengeError)
    nonce = framing.sized(_hex(values["nonce"]), NONCE_BYTES, "nonce")
    if _hex(values["record_root"]) != header.hash:
        raise FormatError("root", "the record root is not that of the record")
    return asked_of(header, nonce, scope, values, drawn=values["drawn"])


def asked_of(
    header: RecordHeader, nonce: bytes, scope: str, values: Mapping[str, Any], *, drawn: bool
) -> Challenge:
    """A challenge with the numbers that a file or statement has; raises `FormatError` or `ChallengeError`."""
    if scope == ENCODE:
        if drawn:
            raise FormatError("draw", "nothing is drawn in the scope encode")
        require_encoded(header)
        return Challenge(record=header, nonce=nonce, drawn=False)
    what = _ASKED[scope]
    numbers = values.get(what)
    if not isinstance(numbers, list):
        raise FormatError("type", f"the {what} are missing")
    asked = require_asked(header, nonce, scope, numbers, drawn=drawn)
    return Challenge(record=header, nonce=nonce, drawn=drawn, **{what: asked})


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
