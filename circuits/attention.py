"""Grouped-query attention: scores, softmax, weighted values.

Query rows are (t, h) with h = g M + m (G = key-value heads, M = query heads for each), key and value rows
(j, g):

    (ATT.1)  a[(t,g,m), j] = sum_k q[(t,g,m), k] k[(j,g), k]                    over the whole square
    (ATT.2)  s = clamp16(round(a / 2^s)) + 2^15                                 on the existing cells
    (ATT.3)  p = softmax(s)                                                     (SOFT.1-5)
    (ATT.4)  o[(t,g,m), c] = sum over existing j of p[(t,g,m), j] v[(j,g), c]

a and o are committed, and defined by (ATT.1) and (ATT.4): they are exact, and need no range check. o has 16
fraction bits more than v. What the mask hides is computed in a alone, and read by nothing.

Bounds: |a| by the lengths of q and k. p >= 0 and the sum of a row of p is at most P (SOFT), so that |o| <= P
max|v|.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from assay.circuits.rounding import clamped_offset
from assay.circuits.softmax import UNIT_BITS, causal, softmax

from assay.graph import Builder, Interval, Wire

SCORE_BITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """Heads, window (0: every earlier position), the shift of (ATT.2), the unit of a score."""

    kv_heads: int
    group_size: int
    window: int
    score_shift: int
    rate: Fraction


def attention(b: Builder, q: Wire, k: Wire, v: Wire, shape: AttentionShape) -> Wire:
    """o [T * heads, n] for q [T * heads, n], k and v [T * kv_heads, n]."""
    groups = {"groups": shape.kv_heads, "members": shape.group_size}
    heads = shape.kv_heads * shape.group_size
    products = b.commit("scores.products", b.product_nt(q, k, **groups))
    domain = causal(products.rows, products.cols, heads=heads, window=shape.window)
    scores = clamped_offset(b, "scores", b.value(products, domain), shape.score_shift, SCORE_BITS)
    soft = softmax(b, "softmax", scores, heads=heads, window=shape.window, rate=shape.rate)
    reach = v.bounds.magnitude * soft.most
    acc = b.product_nn(soft.probabilities, v, **groups).bounded(Interval(-reach, reach))
    o = b.commit("attention", acc)
    return b.wire_fact(
        "attention.bounds",
        o,
        o.bounds,
        "(SOFT.4-5): p >= 0, the sum of a row of p is at most d inv / 2^s and a half for each cell",
    )


__all__ = ["SCORE_BITS", "UNIT_BITS", "AttentionShape", "attention"]
