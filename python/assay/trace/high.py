"""The high-water mark: a small file beside the database that shows when the database is older than it was.

`NAME.high` holds two numbers in text, tickets begun and tickets recorded. It only ever rises, and never above
what the database has committed: a database with less was restored from a backup.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assay.errors import StorageError
from assay.storage import sync_folder
from assay.trace import refusals
from assay.trace.failpoints import failpoint

_CAP = 64
_FORM = re.compile(rb"(0|[1-9][0-9]{0,18}) (0|[1-9][0-9]{0,18})\n")


@dataclass(frozen=True, slots=True)
class Tally:
    """Tickets begun (the last counter) and tickets recorded, over the life of the file."""

    counter: int = 0
    recorded: int = 0

    def up_to(self, other: Tally) -> Tally:
        """The larger of both, number by number."""
        return Tally(max(self.counter, other.counter), max(self.recorded, other.recorded))

    def __str__(self) -> str:
        return f"{self.counter} tickets begun and {self.recorded} recorded"


@dataclass(frozen=True, slots=True)
class HighWater:
    """The mark of the database at `database`; raises coded `StorageError`s."""

    database: Path

    @property
    def path(self) -> Path:
        return self.database.with_name(f"{self.database.name}.high")

    def read(self) -> Tally | None:
        """The mark; None if there is no such file."""
        with refusals.ledger_errors(self.path):
            try:
                with self.path.open("rb") as file:
                    data = file.read(_CAP)
            except FileNotFoundError:
                return None
        form = _FORM.fullmatch(data)
        if form is None:
            raise refusals.corrupt(self.path, "not two numbers")
        return Tally(int(form[1]), int(form[2]))

    def read_sound(self) -> Tally | None:
        """The mark; None if there is none that can be read."""
        try:
            return self.read()
        except StorageError as error:
            if error.code != "ledger-corrupt":
                raise
            return None

    def check(self, mark: Tally | None, tally: Tally) -> None:
        """Refuses a database with less than the mark, which must have been read before the database was."""
        if mark is None:
            raise refusals.rolled_back(self.database, f"{self.path.name} is missing")
        if mark.up_to(tally) != tally:
            raise refusals.rolled_back(self.database, f"it has {tally}, {self.path.name} {mark}")

    def raise_to(self, tally: Tally, *, step: str) -> None:
        """Brings the mark up to `tally`; on disk, with its name, when this returns."""
        with refusals.ledger_errors(self.path), self._locked():
            failpoint(f"{step}.high.locked")
            mark = self.read_sound()
            if mark is None or mark.up_to(tally) != mark:
                self._replace(tally if mark is None else mark.up_to(tally), step)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time; the lock is the kernel's and ends with its process."""
        name = self.database.with_name(f"{self.database.name}.lock")
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _replace(self, tally: Tally, step: str) -> None:
        scratch = self.path.with_name(f"{self.path.name}.tmp")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(b"%d %d\n" % (tally.counter, tally.recorded))
            file.flush()
            failpoint(f"{step}.high.written")
            os.fsync(file.fileno())
        failpoint(f"{step}.high.synced")
        os.replace(scratch, self.path)
        failpoint(f"{step}.high.renamed")
        sync_folder(self.path.parent)
        failpoint(f"{step}.high.durable")
