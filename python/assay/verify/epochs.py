"""Proofs about all weights: those of epoch 0 are in range, those of an epoch are those of the one before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from assay import _core
from assay.epochs import refresh_statement, registration_statement
from assay.errors import PublicFileError, VerificationError
from assay.proof import ProofFile
from assay.public import PublicModel
from assay.source import Source, read_proof
from assay.statement import Statement
from assay.verify.compare import rejected, require_statement


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEpoch:
    """A public file whose own proof was verified; `kind` says what that proof is about."""

    kind: str
    epoch: int
    public_hash: bytes
    root: bytes
    counter: int
    proof_hash: bytes
    proof_bytes: int
    security_bits: float
    security_terms: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "kind": self.kind,
            "epoch": self.epoch,
            "public_hash": self.public_hash.hex(),
            "root": self.root.hex(),
            "counter": self.counter,
            "proof": self.proof_hash.hex(),
            "proof_bytes": self.proof_bytes,
            "security_bits": self.security_bits,
            "security_terms": self.security_terms,
        }


def verify_registration(proof: Source, *, public: PublicModel) -> VerifiedEpoch:
    """Every weight committed in epoch 0 is in [-32767, 32767]; raises `VerificationError` if not."""
    if public.epoch:
        raise PublicFileError("epoch-not-first", f"epoch {public.epoch} has a refresh proof, no other")
    data = _listed(proof, public)
    return _verified(registration_statement(public), data, public)


def verify_refresh(proof: Source, *, public: PublicModel, before: PublicModel) -> VerifiedEpoch:
    """The weights committed in an epoch are those of the epoch before; raises `VerificationError` if not."""
    statement = refresh_statement(public, before)
    return _verified(statement, _listed(proof, public), public)


def _listed(proof: Source, public: PublicModel) -> bytes:
    """The proof's bytes, if they are the file that the public file lists."""
    data = read_proof(proof, f"{public.proof_kind} proof")
    if hashlib.sha256(data).digest() != public.proof:
        raise VerificationError(
            "epoch.proof", f"this is not the {public.proof_kind} proof that epoch {public.epoch} lists"
        )
    return data


def _verified(statement: Statement, data: bytes, public: PublicModel) -> VerifiedEpoch:
    file = ProofFile.from_bytes(data)
    require_statement(file, statement, public.profile.name)
    try:
        result = _core.verify(statement.core, file.body)
    except _core.Rejected as error:
        raise rejected(*error.args) from error
    return VerifiedEpoch(
        kind=public.proof_kind,
        epoch=public.epoch,
        public_hash=public.hash,
        root=public.root,
        counter=result["counter"],
        proof_hash=public.proof,
        proof_bytes=len(data),
        security_bits=result["security_bits"],
        security_terms=result["security_terms"],
    )
