"""Proving: from a registered model, records and challenges to the bytes of a proof.

A proof is a batch of one or more members, each a request with the challenge to its record.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from assay import __version__, _core
from assay.audit.challenge import FORWARD, LAYERS, Challenge
from assay.errors import ChallengeError, InternalError, RequestError, StorageError, VerificationError
from assay.layout import Slot
from assay.proof import pack_proof
from assay.prove import head
from assay.prove.attempt import OtherProofError, attempt
from assay.prove.commit import Progress
from assay.prove.estimate import Estimate, estimate_proof, require_room
from assay.prove.folder import Cells, RegisteredModel
from assay.prove.opening import Account, Charge, opening
from assay.prove.record import Recording, load_recording
from assay.prove.steps import reporting
from assay.prove.unfinished import UnfitError
from assay.prove.work import WorkFolder, work_beside, working
from assay.statement import Statement, build_statement, opened_slots
from assay.storage import FULL, write_file
from assay.verify import Verified, verify

_FEWER = "ask for fewer layers or positions in one challenge, or raise the limit"
Asked = tuple[Recording, Challenge]
Advice = dict[str, npt.NDArray[np.int32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof's bytes, and what it took: seconds by step, lookups, committed cells, bits by term.

    `counter` is its number in the weights' ledger. `verified` is what a verifier will say of it, where the
    prover has looked.
    """

    data: bytes
    counter: int
    hiding: bool
    seconds: dict[str, float]
    lookups: int
    committed_elements: int
    security_bits: float
    security_terms: dict[str, float]
    verified: Verified | None = None


class Tickets(Protocol):
    """What a proof is counted by: an `Opening`, or an `Attempt` that outlives the process."""

    @property
    def counter(self) -> int:
        """The number of the proof."""
        ...

    def record(self, columns: Sequence[int]) -> None:
        """Counts the columns that it shows."""
        ...


def prove(
    model: RegisteredModel,
    asked: Sequence[tuple[Path, Challenge]],
    out: Path,
    *,
    insecure_no_hiding: bool = False,
    work: Path | None = None,
    progress: Progress | None = None,
    announce: Callable[[Estimate], None] | None = None,
) -> Proof:
    """Proves what challenges to recorded requests ask for, as one proof, and writes it.

    All records are of one epoch. A run that was cut off is taken up from the folder `work` (default: beside
    `out`), with the same result. `announce` gets what it takes before it begins.
    """
    _require_writable(out)
    members = [(load_recording(request, model), challenge) for request, challenge in asked]
    with working(work or work_beside(out)) as folder:
        job = _Job(model, members, hiding=not insecure_no_hiding, progress=progress)
        estimate = job.estimate()
        if announce is not None:
            announce(estimate)
        require_room(estimate, folder.path)
        proof = _proven_once(job, folder)
        proof = replace(proof, verified=_verified(job, proof))
        write_file(out, proof.data)
        folder.clear()
    return proof


def prove_recording(
    model: RegisteredModel, recording: Recording, challenge: Challenge, **options: Any
) -> Proof:
    """The same of one member in memory; `options` are those of `prove_batch`."""
    return prove_batch(model, [(recording, challenge)], **options)


def prove_batch(
    model: RegisteredModel,
    asked: Sequence[Asked],
    *,
    insecure_no_hiding: bool = False,
    account: Account | None = None,
    self_check: bool = True,
    evaluate_with: Mapping[str, Cells] | None = None,
    advice: Sequence[Advice] | None = None,
    work: Path | None = None,
    progress: Progress | None = None,
) -> Proof:
    """A proof that is not written.

    The columns that it shows are charged to the ledger of the registered model, or to `account`: that is for
    proofs that are measured and thrown away. Without `self_check`, with other weights to `evaluate_with` and
    other `advice` for each member, it proves what does not hold: that is for demonstrations and tests, no
    verifier accepts it.
    """
    job = _Job(model, asked, hiding=not insecure_no_hiding, progress=progress, account=account)
    with opening(*job.charges) as tickets:
        return job.run(
            tickets,
            os.urandom(32),
            work=work,
            advice=advice,
            self_check=self_check,
            evaluate_with=dict(evaluate_with or {}),
        )


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


def _proven_once(job: _Job, folder: WorkFolder) -> Proof:
    """The proof under way in a folder, or a new one: also if what is there does not go with the ledgers."""
    try:
        return _attempted(job, folder)
    except OtherProofError as error:
        raise StorageError(
            "work-of-another-proof",
            f"{folder.path} holds another proof under way",
            hint="finish that with its own challenges, delete the folder, or name another with --work",
        ) from error
    except UnfitError:
        folder.clear()
        return _attempted(job, folder)


def _attempted(job: _Job, folder: WorkFolder) -> Proof:
    with attempt(folder.attempt, job.identity, job.charges) as trial:
        try:
            return job.run(trial, trial.seed, work=folder.spilled)
        except RequestError:  # it does not hold: there is nothing to take up
            folder.clear()
            raise


def _verified(job: _Job, proof: Proof) -> Verified:
    """What a verifier says of the proof before anybody else sees it."""
    challenges = [challenge for _, challenge in job.asked]
    try:
        return verify(proof.data, public=job.model.public, challenge=challenges, insecure_no_hiding=True)
    except VerificationError as error:
        raise InternalError("proof-rejected", f"the proof would be rejected: {error}") from error


class _Job:
    """One proof: its statement, what it opens, what it needs of the registered model and the records."""

    def __init__(
        self,
        model: RegisteredModel,
        asked: Sequence[Asked],
        *,
        hiding: bool,
        progress: Progress | None,
        account: Account | None = None,
    ) -> None:
        self.started = time.perf_counter()
        for recording, challenge in asked:
            _require_own(recording, challenge)
        self.asked, self.hiding, self.progress = asked, hiding, progress
        self.model = model.at(_one_epoch(asked))
        self.statement = self._statement()
        self.charges = self._charges(account)
        charged = [list(charge.parts) for charge in self.charges]
        if (
            charged != self.statement.core.opened_parts()
        ):  # hiding hangs on it: no assertion that -O takes away
            raise InternalError("not-charged", "a part that is opened is not charged")

    def _statement(self) -> Statement:
        opened = [recording.disclosure(challenge) for recording, challenge in self.asked]
        challenges = [challenge for _, challenge in self.asked]
        return build_statement(self.model.public, challenges, hiding=self.hiding, disclosures=opened)

    @property
    def identity(self) -> bytes:
        """What a run is that this one may be taken up from: the statement, and the program that proves it."""
        return hashlib.sha256(self.statement.core.instance + __version__.encode()).digest()

    @property
    def recorded(self) -> list[Recording]:
        """The requests whose commitment is opened, in order."""
        return [recording for recording, challenge in self.asked if self._opened(challenge)]

    def _opened(self, challenge: Challenge) -> list[Slot]:
        """What a proof opens of the commitment to boundaries and experts."""
        return opened_slots(self.model.public, challenge)

    def estimate(self) -> Estimate:
        """Time, memory and disk."""
        return estimate_proof(self.statement, self.model)

    def _charges(self, account: Account | None) -> list[Charge]:
        """What the proof opens: weights, and of each request boundaries around layers and experts."""
        public = self.model.public
        weights: set[int] = set()
        for _, challenge in self.asked:
            weights |= _weight_parts(self.model, challenge)
        first = Charge(
            account=account or self.model.folder.ledger,
            root=public.root,
            parts=sorted(weights),
            queries=public.code.queries,
        )
        return [first, *(self._record_charge(r, c) for r, c in self.asked if self._opened(c))]

    def _record_charge(self, recording: Recording, challenge: Challenge) -> Charge:
        return Charge(
            account=recording.account,
            root=recording.header.boundaries_root,
            parts=sorted({slot.part for slot in self._opened(challenge)}),
            queries=self.model.public.code.queries,
        )

    def run(
        self,
        tickets: Tickets,
        seed: bytes,
        *,
        work: Path | None,
        advice: Sequence[Advice] | None = None,
        **cheating: Any,
    ) -> Proof:
        """The proof, under a seed of its own; `work` is where the extension keeps what is large."""
        weights = self.model.commitment()
        boundaries = [self._restored(recording) for recording in self.recorded]
        advised = self._advice() if advice is None else list(advice)
        restored = time.perf_counter() - self.started
        with _refused(), reporting(self.progress) as report:
            result = _core.prove(
                self.statement.core,
                weights,
                boundaries,
                seed,
                counter=tickets.counter,
                on_columns=tickets.record,
                advice=advised,
                choices=self._choices(),
                work=None if work is None else str(work),
                progress=report,
                **cheating,
            )
        name = self.model.public.profile.name
        return Proof(
            data=pack_proof(name, self.hiding, self.statement.instance, result["body"]),
            counter=tickets.counter,
            hiding=self.hiding,
            seconds={"restore": restored, **result["seconds"]},
            lookups=result["lookups"],
            committed_elements=result["committed_elements"],
            security_bits=result["security_bits"],
            security_terms=result["security_terms"],
        )

    def _restored(self, recording: Recording) -> _core.Commitment:
        commitment = recording.commitment(self.model)
        if commitment.root != recording.header.boundaries_root:
            raise RequestError(
                "damaged-record", "the private files of the record do not belong to its public head"
            )
        return commitment

    def _choices(self) -> list[dict[str, list[int]]]:
        """The experts that ran when a member was recorded, for each segment."""
        members = zip(self.asked, self.statement.members, strict=True)
        pairs = [(recording.routing, s.layer) for (recording, _), member in members for s in member.segments]
        return [{} if routing is None or not layer else routing.choices(layer[0]) for routing, layer in pairs]

    def _advice(self) -> list[Advice]:
        """What no program of a member's circuits computes: maximum and threshold of served logits."""
        return [
            head.advice(self.model, recording.boundaries[-1], challenge.positions, log.top_k)
            if challenge.scope == FORWARD and (log := challenge.record.log) is not None and log.served
            else {}
            for recording, challenge in self.asked
        ]


@contextmanager
def _refused() -> Iterator[None]:
    """Turns what the extension cannot prove, or has no room for, into a coded error."""
    try:
        yield
    except MemoryError as error:
        raise StorageError(
            "memory-too-small", "the proof needs more memory than it gets", hint=_FEWER
        ) from error
    except OSError as error:  # a file that could not be mapped, or not written
        if error.errno == errno.ENOMEM:
            raise StorageError(
                "memory-too-small", f"no address space is left for {error.strerror}", hint=_FEWER
            ) from error
        place = f"cannot use {error.strerror}"
        raise StorageError("disk-full" if error.errno in FULL else "cannot-read", place) from error
    except _core.NotProvable as error:
        segment, relation, message = error.args
        where = ", ".join(part for part in (segment, relation) if part)
        raise RequestError("not-provable", f"{where}: {message}") from error


def _require_own(recording: Recording, challenge: Challenge) -> None:
    if challenge.record.hash != recording.header.hash:
        raise ChallengeError(
            "challenge-of-another-record",
            f"the challenge is bound to the record {challenge.record.hash.hex()[:16]}, "
            f"this one is {recording.header.hash.hex()[:16]}",
        )


def _one_epoch(asked: Sequence[Asked]) -> bytes:
    """The hash of the public file that all records are of."""
    found = {recording.header.public for recording, _ in asked}
    if len(found) != 1:
        raise RequestError(
            "batch-of-several-epochs",
            f"the records are of {len(found)} public files; one proof is about one epoch",
            hint="prove them separately",
        )
    return found.pop()


def _weight_parts(model: RegisteredModel, challenge: Challenge) -> set[int]:
    """The parts of the weights that a member needs: of its layers, or all."""
    slots = model.public.layout.slots
    if challenge.scope != LAYERS:
        return {slot.part for slot in slots}
    layers = tuple(f"layers.{layer}." for layer in challenge.layers)
    return {slot.part for slot in slots if slot.name.startswith(layers)}
