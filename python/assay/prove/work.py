"""The folder of a proof under way: what a run that was cut off is taken up from.

proving.assay       seed, tickets and columns (`assay.prove.attempt`), mode 0600
spilled/            what the extension keeps on disk instead of in memory

It lies beside the proof to be written and goes when that is there.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assay.errors import StorageError
from assay.storage import locked_folder, make_folder, storage_errors


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """Paths inside WORK."""

    path: Path

    @property
    def attempt(self) -> Path:
        return self.path / "proving.assay"

    @property
    def spilled(self) -> Path:
        return self.path / "spilled"

    def clear(self) -> None:
        """Deletes what is in it; the attempt last, so that what is left can be taken up until then."""
        with storage_errors(self.path):
            if self.spilled.exists():
                shutil.rmtree(self.spilled)
            self.attempt.unlink(missing_ok=True)


def work_beside(out: Path) -> Path:
    """Where the work of a proof is kept unless it is said."""
    return out.with_name(f"{out.name}.work")


@contextmanager
def working(path: Path) -> Iterator[WorkFolder]:
    """The folder, for this process alone; it is removed if it is empty when the block ends."""
    folder = WorkFolder(path)
    _require_ours(folder)
    make_folder(path, mode=0o700)
    with locked_folder(path):
        _require_private(path)
        if not folder.attempt.is_file():
            folder.clear()  # spilled under a seed that is gone
        make_folder(folder.spilled, mode=0o700)
        try:
            yield folder
        finally:
            _remove_empty(folder)


def _remove_empty(folder: WorkFolder) -> None:
    if not folder.attempt.exists():
        folder.clear()
        if not any(folder.path.iterdir()):
            folder.path.rmdir()


def _require_private(path: Path) -> None:
    """A folder that others can write to could hold a seed that they chose: then they know all pads."""
    for place in (path, *path.iterdir()):
        found = place.lstat()
        link = stat.S_ISLNK(found.st_mode)
        if link or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise StorageError(
                "work-not-ours",
                f"{place} can be used by others",
                hint="delete the folder, or name another with --work",
            )


def _require_ours(folder: WorkFolder) -> None:
    """A folder with other things in it is not one to delete from."""
    if not folder.path.exists():
        return
    if folder.path.is_symlink() or not folder.path.is_dir():
        raise StorageError("work-not-ours", f"{folder.path} is no folder", hint="--work DIR names another")
    ours = {folder.attempt.name, folder.spilled.name}
    if any(entry.name not in ours and not entry.name.startswith(".") for entry in folder.path.iterdir()):
        raise StorageError(
            "work-not-ours",
            f"{folder.path} holds other things than a proof under way",
            hint="--work DIR names another folder",
        )
