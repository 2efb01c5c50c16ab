"""Reading with a cap and writing at once: a file is there in whole, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from assay.errors import RequestError, StorageError
from assay.framing import name_of

FULL = (errno.ENOSPC, errno.EDQUOT)  # what the system says of a disk without room


def read_file(path: Path, cap: int, what: str) -> bytes:
    """The bytes of a file named on the command line; at most `cap` of them."""
    try:
        if not path.exists():
            raise RequestError("file-not-found", f"{what}: there is no file {path}")
        with path.open("rb") as file:
            data = file.read(cap + 1)
    except OSError as error:
        raise RequestError(
            "unreadable-file", f"{what}: cannot read {path}: {error.strerror or error}"
        ) from error
    if len(data) > cap:
        said = f"{what}: {path} has more than {cap} bytes"
        raise RequestError("file-too-large", f"{said}; it is {name_of(data)}")
    return data


@contextmanager
def writing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file that takes its place when the block ends well, and leaves nothing behind when it does not."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        sync_folder(path.parent)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Writes a small file at once; raises `StorageError`."""
    with storage_errors(path), writing(path, mode=mode) as file:
        file.write(data)


@contextmanager
def storage_errors(path: Path, *, hint: str | None = None) -> Iterator[None]:
    """Turns what the system says about a disk into a coded error."""
    try:
        yield
    except OSError as error:
        raise disk_error(path, error, hint=hint) from error


def disk_error(path: Path, error: OSError, *, hint: str | None = None) -> StorageError:
    """The coded error for a failed write."""
    if error.errno in FULL:
        return StorageError("disk-full", f"the disk is full: cannot write {path}", hint=hint)
    return StorageError("cannot-write", f"cannot write {path}: {error.strerror or error}", hint=hint)


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """The folder for this process alone while the block runs; raises `StorageError` if another has it."""
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(
                "folder-busy", f"another process registers or refreshes {path}", hint="wait until it is done"
            ) from error
        yield
    finally:
        os.close(descriptor)


def make_folder(path: Path, *, mode: int = 0o755) -> None:
    """A folder, with its parents."""
    with storage_errors(path):
        path.mkdir(mode=mode, parents=True, exist_ok=True)
