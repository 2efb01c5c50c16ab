"""Refresh: a new commitment has the same weights as the one before it.

    (REF.1)  w - previous.w = 0, on every cell of every tensor

Both are long-lived: the new commitment in the place of the weights, the old one in that of the boundaries.
There is no witness. What was proven of the old weights, their range above all, holds of the new ones, since
they are equal modulo p.
"""

from __future__ import annotations

from collections.abc import Iterable

from assay.graph import Builder, CellType, Interval, Poly, Source

PREVIOUS = "previous."


def equal(name: str, tensors: Iterable[tuple[str, int, int]]) -> bytes:
    """The circuit over weight tensors (name, rows, columns), in canonical bytes."""
    b = Builder(name)
    for tensor, rows, cols in tensors:
        new = b.weight(tensor, rows, cols)
        old = b.tensor(
            PREVIOUS + tensor, rows, cols, Interval.signed(16), source=Source.BOUNDARY, type=CellType.INT16
        )
        b.linear(f"{tensor}.same", new.domain, Poly.of(new - old))
    return b.finish()
