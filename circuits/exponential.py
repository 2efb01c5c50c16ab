"""exp of a distance below a maximum, as one public table: what softmax is made of.

    (EXP.1)  rows (k, round(2^b exp(-k c)), [k = 0]),   0 <= k < 2^16

for a key unit c and b fraction bits. The maximum and every value are int16, so that the distance needs no
clamp: 0 <= m - x < 2^16.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from assay.circuits.fixed_point import exponential

from assay.graph import Table

ROWS = 1 << 16


@lru_cache(maxsize=16)
def exp_table(rate: Fraction, bits: int) -> Table:
    """The table of (EXP.1)."""
    return Table.function(f"exp.{bits}.{rate}", 0, ROWS, lambda k: [exponential(ROWS, rate, bits), k == 0])
