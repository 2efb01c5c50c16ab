"""What this machine has left: disk, and memory."""

from __future__ import annotations

import shutil
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def free_disk(path: Path) -> int:
    """Bytes free on the disk that a folder is, or will be, on."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def free_memory() -> int | None:
    """Bytes of memory that this process can still take; None if the system does not say."""
    known = [value for value in (_of_machine(), _of_group()) if value is not None]
    return min(known) if known else None


def _of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return int(rest.split()[0]) << 10
    except (OSError, ValueError, IndexError):
        return None
    return None


def _of_group() -> int | None:
    """Under the limit of the control group; its page cache can be taken back."""
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        if limit == "max":
            return None
        used = int((_GROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return int(limit) - used + int(stat.get("file", 0))
    except (OSError, ValueError):
        return None
