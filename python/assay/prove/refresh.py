"""Refresh: a new epoch commits the same cells under a new key, and proves that they are the same.

The old epoch stays as it is until the new public file is there, and provable after that. A refresh that was
cut off goes on: with the same key, the parts that are done, the same seed and tickets of its proof. After a
restore nothing of it is left, and it begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from assay import _core
from assay.errors import StorageError
from assay.layout import BLOCK
from assay.prove.commit import Committing, Progress
from assay.prove.epochs import accept_restored, check_epoch, proof_seconds, prove_refresh
from assay.prove.folder import RegisteredModel
from assay.prove.unfinished import UnfitError, clear, epoch_key, finish
from assay.public import PublicModel
from assay.storage import locked_folder, storage_errors, write_file
from assay.trace import Ledger, refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """A new epoch. `restored`: the ledger had gone back, and the epochs before are stale."""

    path: Path
    public: PublicModel
    restored: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "path": str(self.path),
            "epoch": self.public.epoch,
            "public_hash": self.public.hash.hex(),
            "previous": self.public.previous.hex() if self.public.previous else None,
            "root": self.public.root.hex(),
            "proof": self.public.proof.hex(),
            "restored": self.restored,
            "seconds": self.seconds,
        }


def refresh(
    path: Path,
    *,
    restored: bool = False,
    progress: Progress | None = None,
    announce: Callable[[float, int], None] | None = None,
) -> Refreshed:
    """Makes the next epoch of the model in a folder, or goes on with one that was cut off.

    `restored` says that the folder came from a backup, which its ledger cannot always tell: what proofs could
    have opened counts as opened then. `announce` gets about how many seconds it takes, and how many bytes of
    disk, before anything is done.
    """
    started = time.monotonic()
    report = progress or (lambda *_: None)
    RegisteredModel(path)  # is one
    with locked_folder(path):
        with storage_errors(path, hint="run the same command again"):
            published = _publish_complete(path)
            before = RegisteredModel(path)
            stale = _accept_ledger(before, restored)
        if published and not stale:
            public = before.public
        else:
            job = _Job(before, report)
            seconds, disk = job.estimate()
            if announce is not None:
                announce(seconds, disk)
            with storage_errors(path, hint="run `assay refresh DIR`, without --restored: it resumes"):
                public = job.run()
    return Refreshed(path=path, public=public, restored=stale, seconds=time.monotonic() - started)


def _accept_ledger(model: RegisteredModel, restored: bool) -> bool:
    """Whether the epoch is stale, because the ledger was restored: as found, as said, or found before."""
    path = model.folder.ledger
    states: dict[bytes, str] = {}
    try:
        with Ledger.open(path) as ledger:
            states = {epoch.root: epoch.status for epoch in ledger.state().epochs}
    except StorageError as error:
        if error.code != "ledger-rolled-back":
            raise
        restored = True
    if restored:
        clear(model.folder.epoch(model.public.epoch + 1))  # its key may have been used after the backup
        accept_restored(model)
        return True
    if model.public.root not in states:
        raise refusals.other_model(path, model.public.root)
    return states[model.public.root] == "stale"


def _publish_complete(path: Path) -> bool:
    """Publishes the next epoch if it was cut off just before its end."""
    now = RegisteredModel(path)
    epoch = now.folder.epoch(now.public.epoch + 1)
    if not epoch.public.is_file():
        return False
    public = PublicModel.load(epoch.public)
    if public.previous != now.public.hash:
        return False
    write_file(now.folder.public, public.encoded)
    finish(epoch)
    return True


class _Job:
    """One refresh."""

    def __init__(self, before: RegisteredModel, progress: Progress) -> None:
        self.before, self.progress = before, progress
        self.public = replace(
            before.public,
            epoch=before.public.epoch + 1,
            previous=before.public.hash,
            proof=b"",
            root=bytes(32),
        )
        self.epoch = before.folder.epoch(self.public.epoch)

    def estimate(self) -> tuple[float, int]:
        """Seconds, and bytes of disk."""
        layout, code = self.public.layout, self.public.code
        disk = (len(layout.parts) + 1) * code.length * 32
        if self.before.storage == "stored":
            disk += sum(layout.parts) * code.length * 8
        return self._commit_seconds + self._proof_seconds, disk

    @cached_property
    def _commit_seconds(self) -> float:
        code, layout = self.public.code, self.public.layout
        start = time.perf_counter()
        _core.part_digests(code.core(), 8, [(0, np.zeros(8 << code.log_columns, np.int16))], 0, bytes(32))
        return sum(layout.parts) / 8 * (time.perf_counter() - start)

    @property
    def _proof_seconds(self) -> float:
        weights = sum(slot.blocks for slot in self.public.layout.slots) * BLOCK
        return proof_seconds(weights, self._commit_seconds, registration=False)

    def run(self) -> PublicModel:
        """Commits, proves, and publishes last; all of it again if what is there came from elsewhere."""
        try:
            return self._run()
        except UnfitError:
            clear(self.epoch)
            return self._run()

    def _run(self) -> PublicModel:
        key = epoch_key(self.before.folder, self.public.epoch)
        committing = Committing(
            self.epoch, self.public.layout, self.public.code, self.before.storage, key, self.progress
        )
        for part, rows in enumerate(self.public.layout.parts):
            if not committing.is_done(part):
                committing.part(part, self.before.part_cells(part))
            committing.tell(part, rows)
        model = RegisteredModel(self.before.folder.path, replace(self.public, root=committing.root()))
        public = prove_refresh(model, self.before, self.progress)
        check_epoch(public, model, self.before.public)
        write_file(self.epoch.public, public.encoded)
        self._publish(public)
        return public

    def _publish(self, public: PublicModel) -> None:
        write_file(self.before.folder.public, public.encoded)
        finish(self.epoch)
