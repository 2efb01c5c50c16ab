"""What of an epoch is not finished, and that it survives no copy and no restore.

Its key may have opened columns elsewhere, after the copy was made. So the key is bound to where it was made,
by `epochs/K/place`: one that is found elsewhere, or was written again, is discarded with all that depends on
it, and the epoch begins anew under another key. Cells stay: they are no secret of an epoch.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from pathlib import Path

from assay import framing
from assay.framing import Kind
from assay.prove.folder import KEY_VERSION, EpochFolder, Folder, read_key
from assay.storage import make_folder, sync_folder, writing
from assay.trace import Ledger

_MACHINE = Path("/etc/machine-id")


class UnfitError(Exception):
    """What is unfinished does not go with the ledger: one of both came from elsewhere."""


def epoch_key(folder: Folder, number: int) -> bytes:
    """The secret key of an epoch under way; a new one unless it was begun here."""
    epoch = folder.epoch(number)
    if not _is_as_begun(epoch):
        _discard(folder, number)
        make_folder(epoch.path)
        with writing(epoch.key, mode=0o600) as file:
            file.write(framing.pack(Kind.KEY, KEY_VERSION, os.urandom(32)))
        with writing(epoch.place, mode=0o600) as file:
            file.write(_place(epoch))
    for scratch in epoch.path.glob(".*.tmp"):  # of a process that was killed
        scratch.unlink()
    return read_key(epoch.key)


def clear(epoch: EpochFolder) -> None:
    """Deletes all of an epoch that is not finished; the key first, without which the rest is nothing."""
    if epoch.path.is_dir():
        epoch.key.unlink(missing_ok=True)
        sync_folder(epoch.path)
        shutil.rmtree(epoch.path)


def finish(epoch: EpochFolder) -> None:
    """Deletes what is there only while an epoch is made."""
    epoch.attempt.unlink(missing_ok=True)
    epoch.place.unlink(missing_ok=True)


def _discard(folder: Folder, number: int) -> None:
    """An epoch and its page of the ledger; a registration's ledger has no other page."""
    clear(folder.epoch(number))
    if number > 0:
        with Ledger.open(folder.ledger) as ledger:
            ledger.abandon(after=number - 1)
        return
    for name in ("", "-wal", "-shm", ".lock", ".high"):
        folder.ledger.with_name(f"{folder.ledger.name}{name}").unlink(missing_ok=True)


def _is_as_begun(epoch: EpochFolder) -> bool:
    return epoch.key.is_file() and epoch.place.is_file() and epoch.place.read_bytes() == _place(epoch)


def _place(epoch: EpochFolder) -> bytes:
    """Of the machine, the folder and the key in it; a key written again has another time of change."""
    folder, key = epoch.path.stat(), epoch.key.stat()
    machine = _MACHINE.read_text() if _MACHINE.is_file() else platform.node()
    place = (machine, folder.st_dev, folder.st_ino, key.st_ino, key.st_ctime_ns)
    return hashlib.sha256(repr(place).encode()).hexdigest().encode()
