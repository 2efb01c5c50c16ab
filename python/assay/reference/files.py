"""From files to a statement and back: framing, the comparison of fields, then the body.

Public file, challenge and circuit are read and built by the same modules as in `assay.verify` (they are plain
Python without the extension); all that follows, from the circuit's bytes on, is this package's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assay import framing
from assay.audit.challenge import Challenge
from assay.errors import ChallengeError, VerificationError
from assay.layout import Layout, boundary_layout
from assay.proof import FILE_CAP, ProofFile
from assay.public import PublicModel
from assay.reference.circuit import Circuit, decode
from assay.reference.statement import LongLived, MalformedError, Segment, Statement
from assay.reference.verifier import Accepted, verify_body
from assay.source import Source, read_proof, read_source
from assay.statement import check_challenge, circuit_bytes, segment_name, statement_fields


@dataclass(frozen=True)
class Verified:
    """What the reference verifier accepted: the body's outcome and the fields that were compared."""

    fields: dict[str, Any]
    body: Accepted


def verify(
    proof: Source,
    *,
    public: Source | PublicModel,
    challenge: Source | Challenge,
    insecure_no_hiding: bool = False,
) -> Verified:
    """`assay.verify.verify` in plain Python: the same errors, and always against a challenge."""
    model, asked = public, challenge
    if not isinstance(model, PublicModel):
        model = PublicModel.from_bytes(read_source(model, FILE_CAP, "public file"))
    if not isinstance(asked, Challenge):
        asked = Challenge.from_bytes(read_source(asked, FILE_CAP, "challenge"))
    file = ProofFile.from_bytes(read_proof(proof))
    file.require_hiding(insecure_no_hiding=insecure_no_hiding)
    check_challenge(model, asked)
    circuits = [decode(circuit_bytes(model, layer, asked.record.tokens)) for layer in asked.layers]
    fields = statement_fields(model, asked, [c.digest for c in circuits], hiding=file.hiding)
    compare(file, model.profile.name, fields)
    try:
        return Verified(fields, verify_body(build(model, asked, circuits, fields), file.body))
    except MalformedError as error:
        raise ChallengeError("statement-malformed", f"no such statement can be proven: {error}") from error


def build(model: PublicModel, asked: Challenge, circuits: list[Circuit], fields: dict[str, Any]) -> Statement:
    """The statement that a challenge asks for; the fields are its instance."""
    boundaries = boundary_layout(model.config, model.code, asked.record.tokens)
    names = [segment_name(layer) for layer in asked.layers]
    return Statement(
        degree=model.profile.degree,
        hiding=fields["hiding"],
        code=model.code,
        required_bits=float(model.profile.bits),
        instance=framing.encode(fields),
        weights=_long_lived("weights", model.root, model.layout),
        boundaries=_long_lived("boundaries", asked.record.boundaries_root, boundaries),
        segments=tuple(Segment(name=n, circuit=c) for n, c in zip(names, circuits, strict=True)),
    )


def compare(file: ProofFile, profile: str, fields: dict[str, Any]) -> None:
    """Head and statement of a proof are exactly these; the error names the first field that is not."""
    found = file.statement
    differs = [n for n in fields if n not in found or framing.encode(found[n]) != framing.encode(fields[n])]
    differs += [n for n in found if n not in fields]
    if file.profile != profile:
        differs.insert(0, "profile")
    elif file.hiding != fields["hiding"]:
        differs.insert(0, "hiding")
    elif file.statement_bytes != framing.encode(fields):
        differs.append("encoding")
    if differs:
        raise VerificationError(
            f"statement.{differs[0]}", f"the proof is about something else: it differs in {differs[0]}"
        )


def _long_lived(name: str, root: bytes, layout: Layout) -> LongLived:
    return LongLived(name=name, root=root, part_rows=layout.parts, slots=layout.slots)
