"""Registration: every committed weight is in the range that layers rely on, proven once for a model.

    (REG.1)  -32767 <= w <= 32767, on every cell of every tensor                    by lookup, one a weight

A segment is a list of weight tensors; it has no witness. One table serves all segments of the proof.
"""

from __future__ import annotations

from collections.abc import Iterable

from assay.graph import Builder, Interval

WEIGHTS = Interval(-(1 << 15) + 1, (1 << 15) - 1)


def ranged(name: str, tensors: Iterable[tuple[str, int, int]]) -> bytes:
    """The circuit over weight tensors (name, rows, columns), in canonical bytes."""
    b = Builder(name)
    for tensor, rows, cols in tensors:
        b.in_range(f"{tensor}.range", b.weight(tensor, rows, cols), WEIGHTS)
    return b.finish()
