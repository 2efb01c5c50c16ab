"""Why the ledger says no: coded errors, each with a next step."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import StorageError
from assay.storage import disk_error
from assay.trace.values import EpochState, Purpose

_REFRESH = "commit the weights anew: assay refresh DIR"
_RESTORED = (
    "a backup was restored: columns opened since are missing from it. `assay refresh DIR --restored` is "
    "mandatory; until then the ledger makes no proof"
)
_NO_REFRESH = {
    "open": "a refresh was lost: `assay refresh DIR --restored` uses what is kept for that, once",
    "stale": "resume a refresh that was cut off without --restored; otherwise register the model again",
}
_WRITABLE = "prove where the ledger's folder and files can be written"


def budget_passed(epoch: EpochState, part: int, queries: int, purpose: Purpose) -> StorageError:
    """One more opening could open more columns than hide the cells."""
    used, limit = epoch.parts[part].used, epoch.limit(purpose)
    return StorageError(
        "ledger-budget",
        f"epoch {epoch.epoch}, part {part}: {used} of {limit} columns are used, "
        f"{max(0, limit - used)} are left, {queries} are needed",
        hint=_REFRESH if purpose == "proof" else _NO_REFRESH.get(epoch.status, _REFRESH),
    )


def rolled_back(path: Path, what: str) -> StorageError:
    """The database is older than what was promised from it."""
    return StorageError(
        "ledger-rolled-back", f"{path} is older than the openings made: {what}", hint=_RESTORED
    )


def corrupt(path: Path, what: str) -> StorageError:
    """Not a ledger, or a damaged one."""
    return StorageError(
        "ledger-corrupt",
        f"{path} is not a sound ledger: {what}",
        hint="restore it from a backup, then run `assay refresh DIR --restored`, which is mandatory then",
    )


def missing(path: Path) -> StorageError:
    """No database."""
    return StorageError(
        "ledger-missing",
        f"there is no ledger {path}: how many columns were opened is not known",
        hint="restore it from a backup and run `assay refresh DIR --restored`; without one, register again",
    )


def other_model(path: Path, root: bytes) -> StorageError:
    """A root that has no epoch here."""
    return StorageError(
        "ledger-other-model",
        f"{path} has no epoch with the root {root.hex()}",
        hint="use the ledger in the folder of that model or record; if it was restored from a backup, run "
        "`assay refresh DIR --restored`",
    )


def wrong_epoch(what: str) -> StorageError:
    """An epoch out of order, or one that is over."""
    return StorageError(
        "ledger-epoch", what, hint="`assay ledger show` lists the epochs; a new one follows the last"
    )


def stale(epoch: int) -> StorageError:
    """An epoch whose count cannot be trusted."""
    return StorageError(
        "ledger-stale", f"epoch {epoch} is stale after a restore: only a refresh may use it", hint=_REFRESH
    )


def no_such_ticket(counter: int) -> StorageError:
    """Nothing to record on."""
    return StorageError(
        "ledger-ticket",
        f"ticket {counter} is not one of this ledger's, or columns are recorded for it already",
        hint="begin a new proof",
    )


def read_only(path: Path, what: str) -> StorageError:
    """A disk, folder or file that cannot be written."""
    return StorageError("ledger-read-only", f"cannot write the ledger {path}: {what}", hint=_WRITABLE)


@contextmanager
def ledger_errors(path: Path) -> Iterator[None]:
    """Turns what SQLite and the system say into coded errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(path, error) from error
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise read_only(path, error.strerror or str(error)) from error
        raise disk_error(path, error) from error


def _of_sqlite(path: Path, error: sqlite3.Error) -> Exception:
    """The coded error for SQLite's primary result code; a broken constraint is a bug of ours and stays."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        hint = "wait for the other provers, or find the program that keeps the file open"
        return StorageError("ledger-busy", f"another process holds the ledger {path}", hint=hint)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return read_only(path, str(error))
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return corrupt(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        return disk_error(path, OSError(errno.ENOSPC, str(error)))
    if code == sqlite3.SQLITE_IOERR:
        return disk_error(path, OSError(errno.EIO, str(error)))
    return error
