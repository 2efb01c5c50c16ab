"""Causal softmax without its division: e = exp(s - max), un-normalised, and the row sum.

Row (t, h) of scores s [T * heads, T], int16, f fraction bits; existing cells j <= t, and j > t - window in
a sliding layer. Masked scores are committed with the square but read by nothing.

    (SOFT.1)  (m[i] - s[i, j], e[i, j], z[i, j]) in EXP on the existing cells
    (SOFT.2)  zeros[i] = sum_j z[i, j],  0 <= zeros - 1 < 2^16
    (SOFT.3)  d[i] = sum_j e[i, j]

EXP is (EXP.1) with 15 fraction bits and c = 2^-f / sqrt(query scalar): the division of scores by sqrt(query
scalar) is in the table. (SOFT.1) makes m an upper bound and (SOFT.2) makes it attained, so m is the maximum.
0 <= m - s < 2^16 for int16 scores: nothing to clamp, and no range check of m.

Bounds: 2^15 <= d <= T 2^15 < 2^62, since z = 1 somewhere and e = 2^15 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from assay.circuits.exponential import ROWS, exp_table

from assay.graph import Builder, Domain, Interval, Ragged, Wire

EXP_BITS = 15


@dataclass(frozen=True, slots=True)
class Softmax:
    """e [T * heads, T] on the existing cells, and its row sums d [1, T * heads]."""

    exponentials: Wire
    sums: Wire


def softmax(b: Builder, name: str, scores: Wire, *, heads: int, window: int, rate: Fraction) -> Softmax:
    """e and d; `window` 0 sees every earlier position."""
    domain = Domain(scores.rows, scores.cols, Ragged(True, heads, window))
    m = b.row_max(f"{name}.max", scores, domain)
    key = m.per_row() - scores
    e, z = b.table_map(f"{name}.exp", b.table(exp_table(rate, EXP_BITS)), key, domain, ["e", "z"])
    zeros = b.row_sum(f"{name}.zeros", z)
    b.lookup(f"{name}.attained", b.range_table(ROWS), zeros.domain, [zeros - 1])
    b.tensor_fact(f"{name}.max", m, "(SOFT.1-2): m equals a score of its row, modulo p, and scores are int16")
    d = b.row_sum(f"{name}.sum", e)
    least = Interval(1 << EXP_BITS, d.bounds.hi)
    return Softmax(
        e, b.wire_fact(f"{name}.sum", d, least, "(SOFT.1-2): z = 1 in some cell of the row, where e = 2^15")
    )
