"""The verifier: holds the statement it expects, compares every field, checks the proof's messages."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import Any

from assay import _core
from assay.audit.challenge import Challenge
from assay.errors import ChallengeError, PublicFileError, RequestError, VerificationError
from assay.proof import FILE_CAP, ProofFile
from assay.public import PublicModel
from assay.source import Source, read_proof, read_source
from assay.statement import Statement, build_statement
from assay.verify.compare import rejected, require_statement, stated_challenge
from assay.verify.pin import PinFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStatement:
    """With the committed weights, `layer` maps its recorded input to `distance` from its recorded output.

    `saturated` counts the cells that each clamp of the layer cut off, by name.
    """

    layer: int
    tokens: int
    circuit_digest: bytes
    distance: tuple[int, ...]
    saturated: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was verified.

    `compared` is False if the statement was taken from the proof (`any_statement`). `epoch` is the public
    file's, `counter` the number of the proof in the prover's ledger. `ledger_went_back` is known with a
    pin: this proof's counter is not above that of another proof verified before, so the ledger was probably
    restored from a backup.
    """

    statements: tuple[LayerStatement, ...]
    compared: bool
    profile: str
    hiding: bool
    security_bits: float
    security_terms: dict[str, float]
    public_hash: bytes
    record_root: bytes
    request: bytes
    nonce: bytes
    drawn: bool
    proof_bytes: int
    epoch: int
    counter: int
    ledger_went_back: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "verdict": "accepted",
            "compared": self.compared,
            "statements": [
                {
                    "layer": s.layer,
                    "tokens": s.tokens,
                    "circuit_digest": s.circuit_digest.hex(),
                    "distance": list(s.distance),
                    "saturated": s.saturated,
                }
                for s in self.statements
            ],
            "profile": self.profile,
            "hiding": self.hiding,
            "insecure": not self.hiding,
            "epoch": self.epoch,
            "counter": self.counter,
            "ledger_went_back": self.ledger_went_back,
            "security_bits": self.security_bits,
            "security_terms": self.security_terms,
            "public_hash": self.public_hash.hex(),
            "record_root": self.record_root.hex(),
            "request": self.request.hex(),
            "nonce": self.nonce.hex(),
            "drawn": self.drawn,
            "proof_bytes": self.proof_bytes,
        }


def verify(
    proof: Source,
    *,
    public: Source | PublicModel,
    challenge: Source | Challenge | None = None,
    any_statement: bool = False,
    pin: str | os.PathLike[str] | None = None,
    insecure_no_hiding: bool = False,
) -> Verified:
    """Checks a proof and returns what it proves, or raises.

    `VerificationError` (exit code 1) is for a proof that is wrong in any way, `PublicFileError` and
    `ChallengeError` (2) for the other two. Without a challenge it refuses, unless `any_statement` is set:
    then the statement is the proof's own, and nothing is compared but the public file.

    With a `pin` (a file, see `assay.verify.pin`) the public file must be of the pinned chain, and the file is
    brought up to the highest counter seen. A proof that does not hide is rejected unless `insecure_no_hiding`
    permits it.
    """
    model = (
        public
        if isinstance(public, PublicModel)
        else PublicModel.from_bytes(read_source(public, FILE_CAP, "public file"))
    )
    pinned = None if pin is None else PinFile.of(pin)
    if pinned is not None:
        pinned.read().require(model)
    asked = _challenge(challenge, any_statement)
    data = read_proof(proof)
    file = ProofFile.from_bytes(data)
    file.require_hiding(insecure_no_hiding=insecure_no_hiding)
    statement, asked = _expected(model, asked, file)
    require_statement(file, statement, model.profile.name)
    try:
        result = _core.verify(statement.core, file.body)
    except _core.Rejected as error:
        raise rejected(*error.args) from error
    found = _verified(statement, asked, model, result, compared=not any_statement, size=len(data))
    if pinned is None:
        return found
    return replace(found, ledger_went_back=pinned.note(found.counter, hashlib.sha256(data).digest()))


def _challenge(given: Source | Challenge | None, any_statement: bool) -> Challenge | None:
    if given is None:
        if any_statement:
            return None
        raise RequestError(
            "no-challenge",
            "a proof is verified against a challenge, and none was given",
            hint="--any-statement only shows what a proof says and compares nothing",
        )
    if any_statement:
        raise RequestError(
            "both-challenge-and-any", "with a challenge the statement is compared: leave out any_statement"
        )
    return (
        given
        if isinstance(given, Challenge)
        else Challenge.from_bytes(read_source(given, FILE_CAP, "challenge"))
    )


def _expected(model: PublicModel, asked: Challenge | None, file: ProofFile) -> tuple[Statement, Challenge]:
    """The statement that the proof has to be about."""
    if asked is not None:
        return build_statement(model, asked, hiding=file.hiding), asked
    stated = stated_challenge(file.statement)
    try:
        return build_statement(model, stated, hiding=file.hiding), stated
    except (ChallengeError, PublicFileError) as error:
        raise VerificationError(
            f"statement.{error.code}", f"the proof's statement: {error.message}"
        ) from error


def _verified(
    statement: Statement,
    asked: Challenge,
    model: PublicModel,
    result: dict[str, Any],
    *,
    compared: bool,
    size: int,
) -> Verified:
    segments = statement.fields["segments"]
    return Verified(
        statements=tuple(
            LayerStatement(
                layer=layer,
                tokens=asked.record.tokens,
                circuit_digest=segment["circuit"],
                distance=tuple(segment["distance"]),
                saturated=totals,
            )
            for layer, segment, totals in zip(asked.layers, segments, result["totals"], strict=True)
        ),
        compared=compared,
        profile=model.profile.name,
        hiding=statement.fields["hiding"],
        security_bits=result["security_bits"],
        security_terms=result["security_terms"],
        public_hash=model.hash,
        record_root=asked.record.hash,
        request=asked.record.request,
        nonce=asked.nonce,
        drawn=asked.drawn,
        proof_bytes=size,
        epoch=model.epoch,
        counter=result["counter"],
    )
