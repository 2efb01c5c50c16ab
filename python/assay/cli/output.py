"""What commands say: results on standard output, progress on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from assay.cli.main import print_json, say

Report = Callable[[str, float, float], None]


def emit(as_json: bool, payload: dict[str, Any], lines: Sequence[str]) -> None:
    """The result: one JSON object, or lines for people."""
    if as_json:
        print_json({"ok": True, **payload})
    else:
        say("\n".join(lines))


def note(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


def amount(count: float) -> str:
    """Bytes for people."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} bytes"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        shown.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        shown.add_row(*row)
    console = Console(soft_wrap=False)
    with console.capture() as drawn:
        console.print(shown)
    say(drawn.get().rstrip("\n"))


@contextmanager
def progress() -> Iterator[Report]:
    """Progress bars on standard error, one a step; plain lines if that is not a terminal."""
    if not sys.stderr.isatty():
        yield _Lines().report
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:>10}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(step: str, done: float, total: float) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done)

        yield report


class _Lines:
    """Progress as lines: a step's beginning, each further tenth, and about how long the rest takes."""

    def __init__(self) -> None:
        self.said: dict[str, int] = {}
        self.began: dict[str, float] = {}

    def report(self, step: str, done: float, total: float) -> None:
        share = done / total if total else 1.0
        tenth = int(10 * share)
        began = self.began.setdefault(step, time.monotonic())
        if self.said.get(step, -1) < tenth:
            self.said[step] = tenth
            left = (time.monotonic() - began) * (1 / share - 1) if share else 0.0
            note(f"{step}: {10 * tenth} %" + (f", about {left:.0f} s left" if left >= 1 else ""))
