"""Proving: from a registered model, a record and a challenge to the bytes of a proof."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay import _core
from assay.audit.challenge import Challenge
from assay.errors import ChallengeError, RequestError, StorageError
from assay.layout import boundary_layout
from assay.proof import pack_proof
from assay.prove.folder import Cells, RegisteredModel
from assay.prove.opening import Account, Charge, opening
from assay.prove.record import Recording, load_recording
from assay.statement import build_statement
from assay.storage import write_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof's bytes, and what it took: seconds by step, lookups, committed cells, bits by term.

    `counter` is its number in the weights' ledger.
    """

    data: bytes
    counter: int
    hiding: bool
    seconds: dict[str, float]
    lookups: int
    committed_elements: int
    security_bits: float
    security_terms: dict[str, float]


def prove(
    model: RegisteredModel,
    request: Path,
    challenge: Challenge,
    out: Path,
    *,
    insecure_no_hiding: bool = False,
) -> Proof:
    """Proves what a challenge asks for, in the epoch that the record names, and writes the proof."""
    _require_writable(out)
    recording = load_recording(request, model)
    proof = prove_recording(model, recording, challenge, insecure_no_hiding=insecure_no_hiding)
    write_file(out, proof.data)
    return proof


def _require_writable(out: Path) -> None:
    """A proof that cannot be written would cost its columns all the same."""
    folder = out.absolute().parent
    if out.is_dir():
        raise StorageError("cannot-write", f"cannot write {out}: it is a folder", hint="name a file")
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(
            "cannot-write",
            f"cannot write {out}: there is no folder {folder} that can be written in",
            hint="make the folder, or choose another; nothing was opened",
        )


def prove_recording(
    model: RegisteredModel,
    recording: Recording,
    challenge: Challenge,
    *,
    insecure_no_hiding: bool = False,
    account: Account | None = None,
    self_check: bool = True,
    evaluate_with: Mapping[str, Cells] | None = None,
) -> Proof:
    """The same in memory.

    The columns that the proof shows are charged to the ledger of the registered model, or to `account`:
    that is for proofs that are measured and thrown away. Without `self_check`, and with other weights to
    `evaluate_with`, it proves what does not hold: that is for demonstrations and tests, no verifier accepts
    it.
    """
    if challenge.record.hash != recording.header.hash:
        raise ChallengeError(
            "challenge-of-another-record",
            f"the challenge is bound to the record {challenge.record.hash.hex()[:16]}, "
            f"this one is {recording.header.hash.hex()[:16]}",
        )
    start = time.perf_counter()
    model = model.at(recording.header.public)
    hiding = not insecure_no_hiding
    statement = build_statement(model.public, challenge, hiding=hiding)
    charges = _charges(model, recording, challenge, account)
    charged = [list(charge.parts) for charge in charges]
    assert charged == statement.core.opened_parts(), "what is opened is charged"
    with opening(*charges) as opened:
        boundaries, weights = recording.commitment(model), model.commitment()
        restored = time.perf_counter() - start
        if boundaries.root != recording.header.boundaries_root:
            raise RequestError(
                "damaged-record", "the private files of the record do not belong to its public head"
            )
        try:
            result = _core.prove(
                statement.core,
                weights,
                boundaries,
                os.urandom(32),
                counter=opened.counter,
                on_columns=opened.record,
                self_check=self_check,
                evaluate_with=dict(evaluate_with or {}),
            )
        except _core.NotProvable as error:
            segment, relation, message = error.args
            where = ", ".join(part for part in (segment, relation) if part)
            raise RequestError("not-provable", f"{where}: {message}") from error
    return Proof(
        data=pack_proof(model.public.profile.name, hiding, statement.instance, result["body"]),
        counter=opened.counter,
        hiding=hiding,
        seconds={"restore": restored, **result["seconds"]},
        lookups=result["lookups"],
        committed_elements=result["committed_elements"],
        security_bits=result["security_bits"],
        security_terms=result["security_terms"],
    )


def _charges(
    model: RegisteredModel, recording: Recording, challenge: Challenge, account: Account | None
) -> list[Charge]:
    """What the proof opens: the weights of its layers, and the boundaries around them."""
    public, header = model.public, recording.header
    layers = [f"layers.{layer}." for layer in challenge.layers]
    weights = {s.part for s in public.layout.slots if s.name.startswith(tuple(layers))}
    around = {f"boundary.{layer + side}" for layer in challenge.layers for side in (0, 1)}
    layout = boundary_layout(public.config, public.code, header.tokens)
    boundaries = {s.part for s in layout.slots if s.name in around}
    return [
        Charge(
            account=account or model.folder.ledger,
            root=public.root,
            parts=sorted(weights),
            queries=public.code.queries,
        ),
        Charge(
            account=recording.account,
            root=header.boundaries_root,
            parts=sorted(boundaries),
            queries=public.code.queries,
        ),
    ]
