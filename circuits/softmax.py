"""Softmax: probabilities p in units of 2^-16, from integer exponentials and one division a row.

Row (t, h) of scores s [T * heads, T], 16 unsigned bits, f fraction bits; existing cells j <= t, and j > t -
window in a sliding layer, of a causal model, else all. No other cell is committed, or read.

    (SOFT.1)  (m[i] - s[i, j], e[i, j], z[i, j]) in EXP on the existing cells
    (SOFT.2)  zeros[i] = sum_j z[i, j],  0 <= zeros - 1 < 2^16
    (SOFT.3)  d[i] = sum_j e[i, j]
    (SOFT.4)  d inv + rho = C,   0 <= rho,   0 <= d - 1 - rho,   inv in limbs,   C = (2^16 - 1) 2^s
    (SOFT.5)  n[i, j] = e[i, j] inv[i],   n + 2^(s-1) = 2^s p + r,   0 <= r < 2^s,   0 <= p < 2^16

EXP is (EXP.1) with 15 fraction bits and c = 2^-f / sqrt(query scalar): the division of scores by sqrt(query
scalar) is in the table. (SOFT.1) makes m an upper bound and (SOFT.2) makes it attained, so m is the maximum.
0 <= m - s < 2^16 for scores of 16 bits: nothing to clamp, and no range check of m. inv = floor(C / d) is
unique by (SOFT.4), p = round(e inv / 2^s) by (SOFT.5): n is defined, and p in its range. (C is not 2^16 2^s
so that p fits 16 bits where one cell has all of the row.)

Bounds: 2^15 <= d <= L 2^15 for rows of at most L existing cells, since z = 1 somewhere and e = 2^15 there. s
= 28, so that inv has at least 16 bits while L <= 2^13, and of a causal model p depends on no later token: a
position has the same probabilities in every statement that covers it. (A longer row would need a larger s, 15
+ log2 L.) e <= d is a term of (SOFT.3), so 0 <= n <= C. The sum of a row of p is at most d inv / 2^s + L / 2
< 2^16 + 2^12.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from assay.circuits import limbs
from assay.circuits.exponential import ROWS, exp_table

from assay.graph import Builder, CircuitError, Domain, Interval, Limb, Ragged, Wire, term
from assay.graph.builder import recombine

EXP_BITS = 15
UNIT_BITS = 16
LONGEST = 1 << 13  # cells of a row, of which s and the bound on a row of p are taken, whatever its length


@dataclass(frozen=True, slots=True)
class Softmax:
    """p [T * heads, T] on the existing cells, and what the sum of a row of it cannot pass."""

    probabilities: Wire
    most: int


def softmax(
    b: Builder, name: str, scores: Wire, *, window: int, heads: int, rate: Fraction, causal: bool = True
) -> Softmax:
    """p of scores on their existing cells; `window` 0 sees every earlier position."""
    domain = seen(scores.rows, scores.cols, heads=heads, window=window, causal=causal)
    return softmax_over(b, name, scores, domain, rate)


def softmax_over(b: Builder, name: str, scores: Wire, domain: Domain, rate: Fraction) -> Softmax:
    """The same, of 16-bit scores on the existing cells of any domain."""
    e, d = exponentials(b, name, scores, domain, rate)
    return shares(b, name, e, d)


def shares(b: Builder, name: str, e: Wire, d: Wire) -> Softmax:
    """p of (SOFT.4-5) for e that are terms of d; in a row no more of them than make up d."""
    domain = e.domain
    longest = max(LONGEST, domain.longest_row())
    shift = EXP_BITS + (longest - 1).bit_length()
    whole = ((1 << UNIT_BITS) - 1) << shift
    inverse = reciprocal(b, name, d, whole).per_row()
    b.product_fact(
        f"{name}.share", [e.cell(), inverse], Interval(0, whole), "(SOFT.3-4): e <= d, and 0 <= d inv <= C"
    )
    n = b.commit(f"{name}.scaled", b.value(term(e, inverse), domain))
    parts = [*limbs.unsigned("r", shift), Limb.unsigned("p", UNIT_BITS)]
    p = b.decompose(f"{name}.probability", b.value(n, domain), 1 << (shift - 1), parts)[-1]
    return Softmax(p, (1 << UNIT_BITS) + longest // 2)


def seen(rows: int, cols: int, *, heads: int, window: int, causal: bool = True) -> Domain:
    """The cells (t, h), j with j <= t, and j > t - window; all if not `causal`."""
    if causal:
        return Domain(rows, cols, Ragged(True, heads, window))
    if window:
        raise CircuitError("circuit-config", "a window of positions in attention that is not causal")
    return Domain(rows, cols)


def exponentials(b: Builder, name: str, scores: Wire, domain: Domain, rate: Fraction) -> tuple[Wire, Wire]:
    """e and d of (SOFT.1-3)."""
    m = b.row_max(f"{name}.max", scores, domain)
    key = m.per_row() - scores
    e, z = b.table_map(f"{name}.exp", b.table(exp_table(rate, EXP_BITS)), key, domain, ["e", "z"])
    zeros = b.row_sum(f"{name}.zeros", z)
    b.lookup(f"{name}.attained", b.range_table(ROWS), zeros.domain, [zeros - 1])
    b.tensor_fact(
        f"{name}.max", m, "(SOFT.1-2): m equals a score of its row, modulo p, and scores have 16 bits"
    )
    d = b.row_sum(f"{name}.sum", e)
    least = Interval(1 << EXP_BITS, d.bounds.hi)
    return e, b.wire_fact(
        f"{name}.sum", d, least, "(SOFT.1-2): z = 1 in some cell of the row, where e = 2^15"
    )


def reciprocal(b: Builder, name: str, d: Wire, whole: int) -> Wire:
    """inv [1, n] = floor(whole / d) of (SOFT.4), for d [1, n], d >= 1."""
    widths = limbs.unsigned("limb", (whole // max(d.bounds.lo, 1)).bit_length())
    bits = sum(limb.bits for limb in widths)
    inverse = b.quotient(f"{name}.inverse", d, whole, Interval(0, (1 << bits) - 1))
    b.decompose(f"{name}.inverse", b.value(inverse, d.domain), 0, widths)
    below = limbs.unsigned("rho", (d.bounds.hi - 1).bit_length())
    parts = b.decompose(f"{name}.remainder", b.value(term(d, inverse) * -1 + whole, d.domain), 0, below)
    rho = recombine(below, parts)
    above = limbs.unsigned("rest", (d.bounds.hi - 1).bit_length())
    b.decompose(f"{name}.below", b.value(d - rho - 1, d.domain), 0, above)
    return inverse
