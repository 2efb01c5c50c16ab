"""The verifier: holds the statement it expects, compares every field, checks the proof's messages."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay import _core
from assay.audit.challenge import Challenge
from assay.errors import ChallengeError, PublicFileError, RequestError, VerificationError
from assay.proof import FILE_CAP, ProofFile
from assay.public import PublicModel
from assay.statement import HIDING, Statement, build_statement
from assay.storage import read_file
from assay.verify.compare import first_difference, stated_challenge

Source = str | os.PathLike[str] | bytes


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
    """What was verified. `compared` is False if the statement was taken from the proof (`any_statement`)."""

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
) -> Verified:
    """Checks a proof and returns what it proves, or raises.

    `VerificationError` (exit code 1) is for a proof that is wrong in any way, `PublicFileError` and
    `ChallengeError` (2) for the other two. Without a challenge it refuses, unless `any_statement` is set:
    then the statement is the proof's own, and nothing is compared but the public file.
    """
    model = (
        public if isinstance(public, PublicModel) else PublicModel.from_bytes(_read(public, "public file"))
    )
    asked = _challenge(challenge, any_statement)
    data = _proof_bytes(proof)
    file = ProofFile.from_bytes(data)
    statement, asked = _expected(model, asked, file)
    _compare(file, statement, model)
    try:
        result = _core.verify(statement.core, file.body)
    except _core.Rejected as error:
        raise _rejected(*error.args) from error
    return _verified(statement, asked, model, result, compared=not any_statement, size=len(data))


def _read(source: Source, what: str) -> bytes:
    return source if isinstance(source, bytes) else read_file(Path(source), FILE_CAP, what)


def _proof_bytes(source: Source) -> bytes:
    """A proof's bytes; a file that is longer than any proof is a wrong one."""
    try:
        return _read(source, "proof")
    except RequestError as error:
        if error.code != "file-too-large":
            raise
        raise VerificationError("format.size", error.message) from error


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
    return given if isinstance(given, Challenge) else Challenge.from_bytes(_read(given, "challenge"))


def _expected(model: PublicModel, asked: Challenge | None, file: ProofFile) -> tuple[Statement, Challenge]:
    """The statement that the proof has to be about."""
    if asked is not None:
        return build_statement(model, asked), asked
    stated = stated_challenge(file.statement)
    try:
        return build_statement(model, stated), stated
    except (ChallengeError, PublicFileError) as error:
        raise VerificationError(
            f"statement.{error.code}", f"the proof's statement: {error.message}"
        ) from error


def _compare(file: ProofFile, statement: Statement, model: PublicModel) -> None:
    if file.profile != model.profile.name:
        raise VerificationError("statement.profile", f"the proof has the profile {file.profile!r}")
    if file.hiding != HIDING:
        raise VerificationError("statement.hiding", "the proof says that it hides, version 0 does not")
    place = first_difference(file.statement, statement.fields)
    if place is not None or file.statement_bytes != statement.instance:
        place = place or "encoding"
        raise VerificationError(
            f"statement.{place.split('.')[0]}",
            f"the proof is about something else: its statement differs in {place}",
        )


def _rejected(code: str, segment: str, relation: str, round: int, message: str) -> VerificationError:
    return VerificationError(
        code, message, segment=segment or None, relation=relation or None, round=None if round < 0 else round
    )


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
        hiding=HIDING,
        security_bits=result["security_bits"],
        security_terms=result["security_terms"],
        public_hash=model.hash,
        record_root=asked.record.hash,
        request=asked.record.request,
        nonce=asked.nonce,
        drawn=asked.drawn,
        proof_bytes=size,
    )
