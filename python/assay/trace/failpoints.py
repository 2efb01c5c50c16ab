"""Named points between the start of a proof and its columns being revealed, where tests stop the process.

A failpoint does nothing unless a test sets `hook` in its own process. No option and no environment variable
sets it.
"""

from __future__ import annotations

from collections.abc import Callable

_HIGH = ("high.locked", "high.written", "high.synced", "high.renamed", "high.durable")
_COMMIT = ("locked", "stored", "committed")

FAILPOINTS: tuple[str, ...] = (
    *(f"create.{step}" for step in ("file", *_HIGH, *_COMMIT, "done")),
    *(f"begin.{step}" for step in (*_COMMIT, *_HIGH, "done")),
    *(f"record.{step}" for step in (*_COMMIT, *_HIGH, "done")),
    *(f"refresh.{step}" for step in (*_COMMIT, *_HIGH, "done")),
    *(f"retire.{step}" for step in (*_COMMIT, "high.locked", "done")),
)

hook: Callable[[str], None] | None = None


def failpoint(name: str) -> None:
    """Tells the hook, if there is one, that this point is reached."""
    if hook is not None:
        hook(name)
