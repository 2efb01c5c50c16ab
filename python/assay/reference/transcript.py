"""The Fiat-Shamir transcript (protocol, section 3) and the messages read from a proof under it."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from assay.errors import VerificationError
from assay.reference.field import Array, Ext, P
from assay.reference.padded import Padded, Unknown, Value, product

SUITE = b"ASSAY-SV01-DSFS-SHAKE128"
PROTOCOL = b"assay proof 3: sumcheck, LogUp-GKR, Ligero; "
SESSION_ID = b"irtf-cfrg-fiat-shamir/session-id"
INSTANCE, BYTES, ELEMENTS, CHALLENGE, INDICES = 0x00, 0x01, 0x10, 0x20, 0x32
_RATE = 168  # bytes of a SHAKE128 block


def protocol_id(hiding: bool) -> bytes:
    """What the transcript's tag names."""
    return PROTOCOL + (b"hiding" if hiding else b"not hiding")


def counted(s: bytes) -> bytes:
    """LV(s)."""
    return struct.pack("<I", len(s)) + s


class Transcript:
    """A growing string; a challenge is the beginning of its SHAKE128 stream."""

    def __init__(self, instance: bytes, *, hiding: bool, session: bytes = b"") -> None:
        tag = counted(SUITE) + counted(protocol_id(hiding)) + counted(session)
        zeros = bytes(_RATE - 32)
        self.session_id = hashlib.shake_128(SESSION_ID + zeros + tag).digest(32)
        self._hash = hashlib.shake_128(self.session_id + zeros)
        self.frame(INSTANCE, "instance", instance)

    def frame(self, kind: int, label: str, payload: bytes) -> None:
        """Appends an operation."""
        self._hash.update(bytes([kind]) + counted(label.encode()) + counted(payload))

    def challenge(self, label: str, degree: int) -> Ext:
        """A challenge in E, 24 bytes a coordinate."""
        self.frame(CHALLENGE + degree, label, struct.pack("<Q", 1))
        stream = self._hash.digest(24 * degree)
        return Ext([int.from_bytes(stream[24 * k : 24 * k + 24], "little") for k in range(degree)])

    def indices(self, label: str, count: int, below: int) -> list[int]:
        """Different numbers, ascending, by rejection of those that are too large."""
        self.frame(INDICES, label, struct.pack("<QQ", count, below))
        mask = (1 << (below - 1).bit_length()) - 1
        size = 16 * count
        while True:
            words = np.frombuffer(self._hash.digest(size), dtype="<u4") & np.uint32(mask)
            found = dict.fromkeys(int(x) for x in words if x < below)
            if len(found) >= count:
                return sorted(list(found)[:count])
            size *= 2


@dataclass(frozen=True)
class Where:
    """What an error cites."""

    segment: str | None = None
    relation: str | None = None
    round: int | None = None


def reject(code: str, where: Where, message: str) -> NoReturn:
    """Ends the verification."""
    raise VerificationError(code, message, segment=where.segment, relation=where.relation, round=where.round)


def require(holds: bool, code: str, where: Where, message: str) -> None:
    """Rejects the proof unless a check holds."""
    if not holds:
        reject(code, where, message)


class Messages:
    """A proof's body, read in order; everything but the opened columns is absorbed when it is read.

    Single elements are padded if the proof hides; bytes and lists are sent in the clear. Checks of values go
    through `require_zero`, which decides at once or, on pads, keeps a constraint for the tableau.
    """

    def __init__(self, body: bytes, transcript: Transcript, degree: int, *, hiding: bool) -> None:
        self._body, self._at = body, 0
        self.transcript, self.degree, self.hiding = transcript, degree, hiding
        self.pads = 0
        self.products: list[tuple[Unknown, Unknown]] = []  # the pads of each
        self.constraints: list[Padded] = []

    # ---- bytes and lists, in the clear ----

    def take(self, size: int, where: Where) -> bytes:
        """Bytes that are not absorbed."""
        require(size <= len(self._body) - self._at, "format.truncated", where, "the proof ends early")
        self._at += size
        return self._body[self._at - size : self._at]

    def bytes(self, label: str, size: int, where: Where) -> bytes:
        """A message of bytes."""
        raw = self.take(size, where)
        self.transcript.frame(BYTES, label, raw)
        return raw

    def elements(self, label: str, count: int, where: Where) -> Array:
        """A message of several elements of E, in one frame."""
        raw = self.take(8 * self.degree * count, where)
        words = canonical(raw, where)
        self.transcript.frame(ELEMENTS + self.degree, label, raw)
        return Array(words.reshape(count, self.degree))

    # ---- values ----

    def element(self, label: str, where: Where) -> Value:
        """A message of one element of E: itself, or y - pi."""
        (coordinates,) = self.elements(label, 1, where).x.tolist()
        if not self.hiding:
            return Ext(coordinates)
        self.pads += 1
        return Padded.message(Ext(coordinates), self.pads - 1)

    def product(self, a: Value, b: Value) -> Value:
        """Of two messages."""
        if isinstance(a, Padded) and isinstance(b, Padded):
            (left,), (right,) = a.terms, b.terms
            self.products.append((left, right))
            return product(a, b, len(self.products) - 1)
        assert not isinstance(a, Padded)
        assert not isinstance(b, Padded)
        return a * b

    def require_zero(self, value: Value, code: str, where: Where, message: str) -> None:
        """Rejects the proof unless this is zero, now or by the tableau."""
        if isinstance(value, Padded):
            self.constraints.append(value)
        else:
            require(not any(value.c), code, where, message)

    def challenge(self, label: str) -> Ext:
        """A challenge in E."""
        return self.transcript.challenge(label, self.degree)

    def finish(self) -> None:
        """Nothing follows."""
        require(self._at == len(self._body), "format.trailing", Where(), "bytes after the end of the proof")


def canonical(raw: bytes, where: Where) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Elements of F, each a u64 below p."""
    words = np.frombuffer(raw, dtype="<u8").astype(np.uint64)
    require(not (words >= np.uint64(P)).any(), "format.field", where, "a field element is not canonical")
    return words
