"""Proof files, format version 2.

    proof = "ASSAYPRF" version(u32) head statement body, nothing after; each of the three is preceded by its
    length (u64)

head is the CBOR map {"profile", "hiding"}; statement is the CBOR map that assay.statement describes; body is
the prover's messages. The statement in a file is for people and for `inspect`: a verifier compares it with
its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assay import framing
from assay.errors import VerificationError
from assay.framing import FormatError, Kind

VERSION = 3
HEAD_CAP = 256
STATEMENT_CAP = 1 << 24
BODY_CAP = 1 << 30
FILE_CAP = HEAD_CAP + STATEMENT_CAP + BODY_CAP + 64


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A proof taken apart; nothing in it has been checked but its form."""

    profile: str
    hiding: bool
    statement: dict[str, Any]
    statement_bytes: bytes
    body: bytes

    @property
    def counter(self) -> int | None:
        """The number of the proof in the prover's ledger, as its body says; None if it is too short."""
        return int.from_bytes(self.body[:8], "little") if len(self.body) >= 8 else None

    def require_hiding(self, *, insecure_no_hiding: bool) -> None:
        """Rejects a proof that does not hide, unless that is permitted."""
        if not self.hiding and not insecure_no_hiding:
            raise VerificationError(
                "statement.hiding",
                "the proof does not hide: its bytes can reveal weights and activations",
                hint="--insecure-no-hiding permits it, for tests and comparisons",
            )

    @classmethod
    def from_bytes(cls, data: bytes) -> ProofFile:
        """Takes a file apart; raises `VerificationError` with a code `format.*`."""
        try:
            head, statement, body = framing.unpack(
                data, Kind.PROOF, VERSION, [HEAD_CAP, STATEMENT_CAP, BODY_CAP]
            )
            stated = framing.fields(framing.decode(head), "head", {"profile": str, "hiding": bool})
            fields = framing.decode(statement)
            if not isinstance(fields, dict):
                raise FormatError("type", "the statement is not a map")
        except FormatError as error:
            raise VerificationError(f"format.{error.reason}", f"proof: {error.message}") from error
        return cls(stated["profile"], stated["hiding"], fields, statement, body)


def pack_proof(profile: str, hiding: bool, instance: bytes, body: bytes) -> bytes:
    """The bytes of a proof file."""
    head = framing.encode({"profile": profile, "hiding": hiding})
    return framing.pack(Kind.PROOF, VERSION, head, instance, body)
