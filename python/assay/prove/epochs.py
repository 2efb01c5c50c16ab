"""The proofs about all weights: registration and refresh, one an epoch, listed by its public file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

from assay import _core
from assay.epochs import refresh_statement, registration_statement
from assay.errors import AssayError, InternalError, RequestError, StorageError
from assay.proof import pack_proof
from assay.prove.attempt import attempt
from assay.prove.commit import Progress
from assay.prove.folder import RegisteredModel
from assay.prove.opening import Charge
from assay.prove.steps import reporting
from assay.prove.unfinished import UnfitError
from assay.public import PublicModel
from assay.statement import Statement
from assay.storage import write_file
from assay.trace import EpochState, Ledger
from assay.verify.epochs import verify_refresh, verify_registration

RESERVED_PROOFS = 2
"""A refresh, and one that was lost: that a restored backup knows nothing of, or that could not go on."""
_LOOKUP_SECONDS, _EQUAL_SECONDS = 240e-9, 40e-9  # a weight, on one thread
_ENCODE_SHARE = 0.2  # of committing once more: the queried columns are computed anew


class _Numbers(TypedDict):
    """Of an epoch's page."""

    epoch: int
    root: bytes
    parts: int
    budget: int
    queries: int
    reserve: int


def proof_seconds(weights: int, commit_seconds: float, *, registration: bool) -> float:
    """About how long the proof about so many weights takes with the present threads."""
    each = _LOOKUP_SECONDS if registration else _EQUAL_SECONDS
    encode = commit_seconds * _ENCODE_SHARE * (1 if registration else 2)
    return encode + weights * each / _core.threads()


def open_ledger(model: RegisteredModel) -> None:
    """The epoch's page of the ledger; makes the ledger with it if there is none."""
    Ledger.create(model.folder.ledger, **_numbers(model.public)).close()


def accept_restored(model: RegisteredModel) -> None:
    """Brings a ledger that was restored to the epochs that there are, all of them stale."""
    before = (model.folder.epoch(number).public for number in range(model.public.epoch))
    there = [*(PublicModel.load(path) for path in before if path.is_file()), model.public]
    known = [EpochState.fresh(**_numbers(public)) for public in there]
    Ledger.require_refresh(model.folder.ledger, known).close()


def _numbers(public: PublicModel) -> _Numbers:
    code = public.code
    return {
        "epoch": public.epoch,
        "root": public.root,
        "parts": len(public.layout.parts),
        "budget": code.random,
        "queries": code.queries,
        "reserve": RESERVED_PROOFS * code.queries,
    }


def prove_registration(model: RegisteredModel, progress: Progress) -> PublicModel:
    """Proves that the weights of epoch 0 are in range; returns its public file with the proof's hash."""
    open_ledger(model)
    statement = registration_statement(model.public)
    return _proven(model, statement, [], [_all_parts(model)], progress)


def prove_refresh(model: RegisteredModel, before: RegisteredModel, progress: Progress) -> PublicModel:
    """Proves that an epoch's weights are those of the one before; returns its public file with the hash."""
    open_ledger(model)
    statement = refresh_statement(model.public, before.public)
    charges = [replace(_all_parts(before), purpose="refresh"), _all_parts(model)]
    return _proven(model, statement, [before.commitment("boundaries")], charges, progress)


def _all_parts(model: RegisteredModel) -> Charge:
    parts = range(len(model.public.layout.parts))
    return Charge(
        account=model.folder.ledger, root=model.public.root, parts=parts, queries=model.public.code.queries
    )


def _proven(
    model: RegisteredModel,
    statement: Statement,
    before: list[_core.Commitment],
    charges: Sequence[Charge],
    progress: Progress,
) -> PublicModel:
    """The public file with the hash of its proof, which is on disk.

    A proof that is there already is made again, from the attempt that its columns were recorded for.
    """
    public, epoch = model.public, model.epoch
    if not epoch.attempt.is_file() and any(epoch.path.glob("*.proof")):
        raise UnfitError
    with attempt(epoch.attempt, public.core_hash, charges, numbered=-1) as trial:
        try:
            with reporting(progress, commit="witness") as report:  # `commit` is what was done before
                result = _core.prove(
                    statement.core,
                    model.commitment(),
                    before,
                    trial.seed,
                    counter=trial.counter,
                    on_columns=trial.record,
                    progress=report,
                )
        except _core.NotProvable as error:
            segment, relation, message = error.args
            if relation == "profile":
                raise RequestError("not-provable", f"the {public.proof_kind} proof: {message}") from error
            raise InternalError("epoch-not-provable", f"{segment}, {relation}: {message}") from error
    data = pack_proof(public.profile.name, True, statement.instance, result["body"])
    digest = hashlib.sha256(data).digest()
    write_file(epoch.proof(digest), data)
    return replace(public, proof=digest)


def check_epoch(public: PublicModel, model: RegisteredModel, before: PublicModel | None) -> None:
    """Verifies the epoch's proof as a client will; raises `StorageError` if the file is damaged."""
    path = model.epoch.proof(public.proof)
    try:
        if before is None:
            verify_registration(path, public=public)
        else:
            verify_refresh(path, public=public, before=before)
    except AssayError as error:
        raise StorageError("damaged-registration", f"{path} does not verify: {error}") from error
