"""What a caller may give in place of a file: its path, or its bytes."""

from __future__ import annotations

import os
from pathlib import Path

from assay.errors import RequestError, VerificationError
from assay.proof import FILE_CAP
from assay.storage import read_file

Source = str | os.PathLike[str] | bytes


def read_source(source: Source, cap: int, what: str) -> bytes:
    """The bytes; of a file at most `cap`."""
    return source if isinstance(source, bytes) else read_file(Path(source), cap, what)


def read_proof(source: Source, what: str = "proof") -> bytes:
    """A proof's bytes; a file that is longer than any proof is a wrong one."""
    try:
        return read_source(source, FILE_CAP, what)
    except RequestError as error:
        if error.code != "file-too-large":
            raise
        raise VerificationError("format.size", error.message) from error
