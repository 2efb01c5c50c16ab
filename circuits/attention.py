"""Grouped-query attention: scores, softmax, weighted values, and one division a row.

Query rows are (t, h) with h = g M + m (G = key-value heads, M = query heads for each), key and value rows
(j, g):

    (ATT.1)  s[(t,g,m), j] = clamp16(round(sum_k q[(t,g,m), k] k[(j,g), k] / 2^s))     over the whole square
    (ATT.2)  e, d = softmax(s)                                                        (SOFT.1-3)
    (ATT.3)  n[(t,g,m), c] = sum over existing j of e[(t,g,m), j] v[(j,g), c]
    (ATT.4)  d inv + rho = 2^46,   0 <= rho,   0 <= d - 1 - rho,   inv in limbs
    (ATT.5)  o = round(n inv / 2^(46 + fv - fo))

inv = floor(2^46 / d) is unique by (ATT.4). n is committed, and defined by (ATT.3): no range check.

Bounds: 2^15 <= d <= T 2^15, so inv <= 2^31 and d inv <= T 2^46. e >= 0 gives |n| <= d max|v|, and inv <=
2^46 / d, so -2^61 <= n inv <= 2^46 (2^15 - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from assay.circuits import limbs
from assay.circuits.rounding import round_shift, rounded
from assay.circuits.softmax import EXP_BITS, Softmax, softmax

from assay.graph import Builder, Interval, Limb, Wire, term
from assay.graph.builder import recombine

INVERSE_BITS = 46
SCORE_BITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """Heads, window (0: every earlier position), the shifts of (ATT.1) and (ATT.5), the unit of a score."""

    kv_heads: int
    group_size: int
    window: int
    score_shift: int
    output_shift: int
    rate: Fraction


def attention(b: Builder, q: Wire, k: Wire, v: Wire, shape: AttentionShape) -> Wire:
    """o [T * heads, n] for q [T * heads, n], k and v [T * kv_heads, n]."""
    groups = {"groups": shape.kv_heads, "members": shape.group_size}
    scores = rounded(b, "scores", b.product_nt(q, k, **groups), shape.score_shift, SCORE_BITS)
    heads = shape.kv_heads * shape.group_size
    soft = softmax(b, "softmax", scores, heads=heads, window=shape.window, rate=shape.rate)
    n = b.commit("attention.weighted", b.product_nn(soft.exponentials, v, **groups))
    return _divided(b, n, soft, v.bounds, shape.output_shift)


def reciprocal(b: Builder, name: str, d: Wire) -> Wire:
    """inv [1, n] of (ATT.4) for d [1, n], d >= 2^15."""
    widths = _inverse_limbs(d.bounds)
    inverse = b.quotient(f"{name}.inverse", d, 1 << INVERSE_BITS, Interval(0, (1 << _bits(widths)) - 1))
    b.decompose(f"{name}.inverse", b.value(inverse, d.domain), 0, widths)
    below = limbs.unsigned("rho", (d.bounds.hi - 1).bit_length())
    parts = b.decompose(
        f"{name}.remainder", b.value(term(d, inverse) * -1 + (1 << INVERSE_BITS), d.domain), 0, below
    )
    rho = recombine(below, parts)
    above = limbs.unsigned("rest", (d.bounds.hi - 1).bit_length())
    b.decompose(f"{name}.below", b.value(d - rho - 1, d.domain), 0, above)
    return inverse


def _inverse_limbs(d: Interval) -> list[Limb]:
    return limbs.unsigned("limb", ((1 << INVERSE_BITS) // max(d.lo, 1)).bit_length())


def _bits(widths: list[Limb]) -> int:
    return sum(limb.bits for limb in widths)


def _divided(b: Builder, n: Wire, soft: Softmax, values: Interval, shift: int) -> Wire:
    """o of (ATT.5)."""
    inverse = reciprocal(b, "attention", soft.sums).per_row()
    bounds = values.scaled(1 << INVERSE_BITS)
    b.product_fact(
        "attention.mean",
        [n.cell(), inverse],
        Interval(min(bounds.lo, 0), max(bounds.hi, 0)),
        "(ATT.3-4): n = sum e v with e >= 0 and sum e = d, so d min(v) <= n <= d max(v); 0 <= d inv <= 2^46",
    )
    return round_shift(b, "attention", b.value(term(n, inverse), n.domain), shift)


__all__ = ["EXP_BITS", "INVERSE_BITS", "AttentionShape", "attention", "reciprocal"]
