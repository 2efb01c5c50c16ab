"""How far the extension's prover is, as progress: it tells of each step's items before it begins with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from assay.prove.commit import Progress


@contextmanager
def reporting(progress: Progress | None, **names: str) -> Iterator[Callable[[str, int, int], None] | None]:
    """What the extension calls; `names` are other names of steps. A step is done when the next begins."""
    if progress is None:
        yield None
        return
    begun: list[tuple[str, int]] = []

    def report(step: str, done: int, of: int) -> None:
        now = (names.get(step, step), of)
        if begun and begun[-1] != now:
            finish()
        begun[:] = [now]
        progress(now[0], done, of)

    def finish() -> None:
        for step, of in begun:
            progress(step, of, of)

    yield report
    finish()
