"""A statement as a file, for the program `assay-verify`: all that a verifier without Python needs.

    file     = "ASSAYSTM" version(u32) head instance circuits, nothing after; each of the three is preceded by
               its length (u64)
    circuits = for each segment: length(u64) circuit

The client writes it from its own public file and challenges, and from what a proof opens of the record, if it
does, checked against the challenge. head is what the proof file's head has to be,
instance what the transcript absorbs first; a proof about anything else is rejected. Nothing here reads such a
file: the program does (`csrc/system/files.h`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from assay import framing, proof
from assay.audit.challenge import Challenge
from assay.disclosure import Disclosure
from assay.framing import Kind
from assay.public import PublicModel
from assay.statement import build_statement

VERSION = 3


def statement_file(
    public: PublicModel,
    challenges: Sequence[Challenge],
    *,
    hiding: bool = True,
    disclosures: Sequence[Disclosure | None] | None = None,
) -> bytes:
    """The file for what challenges ask for.

    Raises `ChallengeError` if they are not about this model, `VerificationError` for what a record does not
    commit to.
    """
    statement = build_statement(public, challenges, hiding=hiding, disclosures=disclosures)
    circuits = [segment.encoded() for member in statement.members for segment in member.segments]
    return framing.pack(
        Kind.STATEMENT,
        VERSION,
        _head(public, statement.instance, hiding),
        statement.core.instance,
        b"".join(struct.pack("<Q", len(circuit)) + circuit for circuit in circuits),
    )


def _head(public: PublicModel, instance: bytes, hiding: bool) -> bytes:
    """The first section of a proof file about this."""
    file = proof.pack_proof(public.profile.name, hiding, instance, b"")
    caps = [proof.HEAD_CAP, proof.STATEMENT_CAP, proof.BODY_CAP]
    return framing.unpack(file, Kind.PROOF, proof.VERSION, caps)[0]
