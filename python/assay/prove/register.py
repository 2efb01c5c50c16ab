"""Registration: a float model becomes an exact model, committed part by part, and proven.

A part is done when its digests are there; a registration that was cut off (killed, disk full) resumes after
the last part that is done, or takes up the proof that every weight is in range. `public.assay` is written
last: a folder that has it is complete.
"""

from __future__ import annotations

import errno
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from assay import _core
from assay.circuits.scales import ModelScales
from assay.cost.registration import (
    column_bytes,
    registration_counts,
    registration_disk,
    registration_memory,
)
from assay.epochs import require_provable
from assay.errors import AssayError, RequestError, StorageError
from assay.layout import BLOCK, Layout, Slot, weight_layout
from assay.model import SourceModel
from assay.profiles import Code, Profile, profile_named
from assay.prove.commit import Committing, Progress
from assay.prove.epochs import RESERVED_PROOFS, check_epoch, proof_seconds, prove_registration
from assay.prove.folder import Cells, Folder, RegisteredModel, map_file
from assay.prove.resources import free_disk
from assay.prove.tokenizer import tokenizer_bytes
from assay.prove.unfinished import UnfitError, clear, epoch_key, finish
from assay.public import PublicModel
from assay.quantize.calibrate import calibrate
from assay.quantize.quantize import quantize_tensor, quantize_weight
from assay.segments import circuits_digest
from assay.storage import disk_error, locked_folder, make_folder, writing

_DEFAULT_STORED_LIMIT = 4 << 30
_DISK_BYTES_PER_SECOND = 400 << 20
_SLAB = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Bytes on disk and in memory, and seconds, of one storage mode; `proof_seconds` of the seconds prove."""

    storage: str
    disk_bytes: int
    memory_bytes: int
    seconds: float
    proof_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "disk_bytes": self.disk_bytes,
            "memory_bytes": self.memory_bytes,
            "seconds": self.seconds,
            "proof_seconds": self.proof_seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What a registration made; `saturated` counts weights beyond their scale, by tensor."""

    path: Path
    public: PublicModel
    storage: str
    disk_bytes: int
    seconds: float
    estimates: tuple[Estimate, ...]
    saturated: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "path": str(self.path),
            "public_hash": self.public.hash.hex(),
            "root": self.public.root.hex(),
            "profile": self.public.profile.name,
            "storage": self.storage,
            "disk_bytes": self.disk_bytes,
            "seconds": self.seconds,
            "proof": self.public.proof.hex(),
            "estimates": {e.storage: e.to_dict() for e in self.estimates},
            "saturated_weights": self.saturated,
        }


def register(
    source: SourceModel,
    out: Path,
    *,
    profile: str = "provable-128",
    code: Code | None = None,
    storage: str | None = None,
    progress: Progress | None = None,
    announce: Callable[[tuple[Estimate, ...], str], None] | None = None,
) -> Registered:
    """Registers a model in the folder `out`, or goes on with a registration that was cut off there.

    `storage` is `stored`, `recompute` or, by default, chosen by size and free disk. `announce` gets the
    estimates of both modes and the one chosen before anything is done.
    """
    started = time.monotonic()
    chosen = profile_named(profile)
    job = _Job(source, Folder(out), chosen, code or chosen.code, progress or (lambda *_: None))
    estimates = job.estimates()
    make_folder(out)
    with locked_folder(out):
        job.begin()
        mode = _choose(storage or job.storage_begun(), estimates, out)
        if announce is not None:
            announce(estimates, mode)
        try:
            public = job.run(mode)
        except OSError as error:
            raise job.failed(error, mode) from error
    return Registered(
        path=out,
        public=public,
        storage=mode,
        disk_bytes=_bytes_in(out),
        seconds=time.monotonic() - started,
        estimates=estimates,
        saturated=dict(job.saturated),
    )


def _choose(storage: str | None, estimates: tuple[Estimate, ...], out: Path) -> str:
    """The storage mode: as asked, else `stored` where it is small and leaves most of the disk free."""
    stored = next(e.disk_bytes for e in estimates if e.storage == "stored")
    if storage in ("stored", "recompute"):
        return storage
    if storage is not None:
        raise RequestError("unknown-storage", f"storage is stored or recompute, not {storage!r}")
    free = free_disk(out)
    return "stored" if stored <= min(_DEFAULT_STORED_LIMIT, free // 4) else "recompute"


@dataclass(slots=True)
class _Plan:
    """What was asked for when a registration began; a resumed one must agree."""

    wanted: dict[str, Any]
    scales: ModelScales


class _Job:
    """One registration."""

    def __init__(
        self, source: SourceModel, folder: Folder, profile: Profile, code: Code, progress: Progress
    ) -> None:
        self.source, self.folder, self.profile, self.code = source, folder, profile, code
        self.progress = progress
        self.config = source.config.to_dict()
        self.layout: Layout = weight_layout(self.config, code)
        self.saturated: Counter[str] = Counter()
        require_provable(self.layout)
        if reason := code.core().invalid_reason():
            raise RequestError("bad-code", f"code parameters: {reason}")
        if code.random < (1 + RESERVED_PROOFS) * code.queries:
            raise RequestError(
                "bad-code",
                f"{code.random} random symbols do not hide the {code.queries} columns of the registration "
                f"proof and twice as many kept for refreshes",
            )

    # ---- before ----

    def estimates(self) -> tuple[Estimate, ...]:
        """Disk and time of both modes; the time is scaled from one batch of rows."""
        counts = registration_counts(self.layout, self.code, self.profile)
        seconds = sum(self.layout.parts) / 8 * self._batch_seconds()
        memory = registration_memory(counts)
        proving = proof_seconds(counts.weights, seconds, registration=True)
        written = column_bytes(counts) / _DISK_BYTES_PER_SECOND

        def estimate(storage: str, more: float) -> Estimate:
            return Estimate(
                storage=storage,
                disk_bytes=registration_disk(counts, stored=storage == "stored"),
                memory_bytes=memory,
                seconds=seconds + proving + more,
                proof_seconds=proving,
            )

        return estimate("recompute", 0), estimate("stored", written)

    def _batch_seconds(self) -> float:
        zeros = np.zeros(8 << self.code.log_columns, np.int16)
        start = time.perf_counter()
        _core.part_digests(self.code.core(), 8, [(0, zeros)], 0, bytes(32))
        return time.perf_counter() - start

    def begin(self) -> None:
        """Makes the folders; refuses one that holds something else."""
        if self.folder.public.is_file():
            raise StorageError(
                "already-registered",
                f"{self.folder.path} already holds a registered model",
                hint="choose another folder; a public file is immutable",
            )
        if not self.folder.plan.is_file() and self._holds_something_else():
            raise StorageError(
                "folder-not-empty",
                f"{self.folder.path} holds files of something else",
                hint="choose a folder that is empty or does not exist yet",
            )
        make_folder(self.folder.weights)
        for scratch in self.folder.path.rglob(".*.tmp"):  # of a process that was killed
            scratch.unlink()

    def _holds_something_else(self) -> bool:
        """Whether a file is there beside the key, which comes first, and what a killed process left."""
        first = (self.folder.epoch(0).key, self.folder.epoch(0).place)
        files = (file for file in self.folder.path.rglob("*") if file.is_file())
        return any(file not in first and not file.name.startswith(".") for file in files)

    def storage_begun(self) -> str | None:
        """The storage mode of the registration to be resumed, if there is one."""
        return _read_plan(self.folder.plan).wanted["storage"] if self.folder.plan.is_file() else None

    # ---- the work ----

    def run(self, mode: str) -> PublicModel:
        """All steps that are not done yet; all but the cells again if what is there came from elsewhere."""
        try:
            return self._run(mode)
        except UnfitError:
            pass
        except StorageError as error:
            if error.code != "ledger-rolled-back":
                raise
        clear(self.folder.epoch(0))
        return self._run(mode)

    def _run(self, mode: str) -> PublicModel:
        self._check_space(mode)
        key = epoch_key(self.folder, 0)
        plan = self._plan(mode)
        with writing(self.folder.tokenizer) as file:
            file.write(tokenizer_bytes(self.source))
        committing = Committing(self.folder.epoch(0), self.layout, self.code, mode, key, self.progress)
        for part, height in enumerate(self.layout.parts):
            if not self.folder.cells(part).is_file() or not committing.is_done(part):
                committing.part(part, self._cells(part, plan.scales))
            committing.tell(part, height)
        return self._finish(plan.scales, committing.root())

    def _check_space(self, mode: str) -> None:
        missing = self._missing(mode) - free_disk(self.folder.path)
        if missing > 0:
            raise StorageError(
                "disk-full",
                f"registering needs {_amount(missing)} more than is free on the disk of {self.folder.path}",
                hint="free that much, or choose --storage recompute; the same command resumes what is done",
            )

    def _missing(self, mode: str) -> int:
        """Bytes still to be written."""
        total = next(e.disk_bytes for e in self.estimates() if e.storage == mode)
        present = _bytes_in(self.folder.path)
        return max(0, total - present)

    def failed(self, error: OSError, mode: str) -> StorageError:
        """The coded error of a write that failed."""
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return disk_error(
                self.folder.path, error, hint="mend that and run the same command again: registration resumes"
            )
        missing = max(0, self._missing(mode) - free_disk(self.folder.path))
        return StorageError(
            "disk-full",
            f"the disk of {self.folder.path} is full; {_amount(missing)} more are needed",
            hint="free that much and run the same command again: registration resumes where it was",
        )

    def _plan(self, mode: str) -> _Plan:
        """The scales, calibrated once; and a check that the same is asked for as before."""
        self.progress("read", 0, 1)
        wanted = {
            "source": self.source.source_digest,
            "profile": self.profile.name,
            "code": self.code.to_dict(),
            "storage": mode,
        }
        self.progress("read", 1, 1)
        if self.folder.plan.is_file():
            return _resumed(self.folder.plan, wanted)
        self.progress("calibrate", 0, 1)
        scales = calibrate(self.source)
        self.progress("calibrate", 1, 1)
        text = json.dumps({"wanted": wanted, "scales": scales.to_dict()})
        with writing(self.folder.plan) as file:
            file.write(text.encode())
        return _Plan(wanted, scales)

    def _cells(self, part: int, scales: ModelScales) -> Cells:
        """A part's cells, on disk."""
        slots = self.layout.of_part(part)
        with writing(self.folder.cells(part), mode=0o600) as file:
            for slot in slots:
                self._write_slot(file, slot, scales)
        return map_file(self.folder.cells(part), np.dtype("<i2"), sum(s.blocks for s in slots) * BLOCK)

    def _write_slot(self, file: BinaryIO, slot: Slot, scales: ModelScales) -> None:
        table = slot.name.partition(".")[0]
        if table not in self.source.config.tables():
            values = quantize_weight(self.source, slot.name, scales, saturated=self.saturated)
            file.write(_padded(values, slot).tobytes())
            return
        first = sum(
            s.rows for s in self.layout.slots if s.name.startswith(f"{table}.") and s.part < slot.part
        )
        for start in range(first, first + slot.rows, _SLAB):
            stop = min(start + _SLAB, first + slot.rows)
            rows = self.source.rows(table, start, stop)
            values = quantize_tensor(table, rows, scales.weight(table), saturated=self.saturated)
            file.write(_padded(values, slot).tobytes())

    def _finish(self, scales: ModelScales, root: bytes) -> PublicModel:
        """The registration proof and, last, the public file."""
        public = self._public(scales, circuits_digest(self._public(scales, bytes(32), root)), root)
        model = RegisteredModel(self.folder.path, public)
        public = prove_registration(model, self.progress)
        check_epoch(public, model, None)
        for path in (model.epoch.public, self.folder.public):
            with writing(path) as file:
                file.write(public.encoded)
        finish(model.epoch)
        self.folder.plan.unlink()
        return public

    def _public(self, scales: ModelScales, circuit_digest: bytes, root: bytes) -> PublicModel:
        return PublicModel(
            profile=self.profile,
            code=self.code,
            config=self.config,
            scales=scales,
            tokenizer_digest=bytes.fromhex(self.source.tokenizer_digest),
            source_digest=bytes.fromhex(self.source.source_digest),
            circuit_digest=circuit_digest,
            root=root,
        )


def _read_plan(path: Path) -> _Plan:
    try:
        plan = json.loads(path.read_bytes())
        return _Plan(dict(plan["wanted"]), ModelScales.from_dict(plan["scales"]))
    except (OSError, ValueError, KeyError, TypeError, AssayError) as error:
        raise StorageError(
            "damaged-registration",
            f"{path} cannot be read: {error}",
            hint="delete the folder and register again",
        ) from error


def _resumed(path: Path, wanted: dict[str, Any]) -> _Plan:
    plan = _read_plan(path)
    if odd := [name for name in wanted if plan.wanted.get(name) != wanted[name]]:
        raise StorageError(
            "other-registration",
            f"another registration was begun in this folder: it differs in {', '.join(odd)}",
            hint="give the same arguments to resume it, or another folder",
        )
    return plan


def _padded(values: Cells, slot: Slot) -> Cells:
    """Rows padded with zeros to whole blocks."""
    return np.pad(values, ((0, 0), (0, slot.stride - slot.cols))).astype("<i2", copy=False)


def _bytes_in(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _amount(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
