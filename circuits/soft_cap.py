"""Soft capping, y = cap tanh(x / cap), as one public table.

    (CAP.1)  (x, y) in CAP: y = round(2^f cap tanh(x / (2^f cap))),   -2^15 <= x < 2^15

x and y have f fraction bits. |y| <= |x|, so y is an int16 as well.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from assay.circuits.fixed_point import soft_cap as capped_values

from assay.graph import Builder, CircuitError, Table, Wire

_HALF = 1 << 15
_LARGEST = 1 << 24  # of 2^f cap: a larger cap changes no int16


@lru_cache(maxsize=8)
def cap_table(cap: float, fraction_bits: int) -> Table:
    """CAP of (CAP.1)."""
    if not 0 < cap < float("inf") or not 1 <= Fraction(cap) * Fraction(2) ** fraction_bits < _LARGEST:
        raise CircuitError("circuit-scale", f"a soft cap of {cap} with {fraction_bits} fraction bits")
    name = f"soft_cap.{fraction_bits}.{cap}"
    return Table.function(name, -_HALF, 2 * _HALF, lambda _: [capped_values(_HALF, fraction_bits, cap)])


def soft_cap(b: Builder, name: str, x: Wire, *, cap: float, fraction_bits: int) -> Wire:
    """y of (CAP.1) for an int16 wire."""
    (y,) = b.table_map(name, b.table(cap_table(cap, fraction_bits)), x, x.domain, ["y"])
    return y
