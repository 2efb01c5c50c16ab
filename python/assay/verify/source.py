"""What a caller may give in place of a file: its path, or its bytes."""

from __future__ import annotations

import os
from pathlib import Path

from assay.storage import read_file

Source = str | os.PathLike[str] | bytes


def read_source(source: Source, cap: int, what: str) -> bytes:
    """The bytes; of a file at most `cap`."""
    return source if isinstance(source, bytes) else read_file(Path(source), cap, what)
