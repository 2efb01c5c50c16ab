"""Grouped-query attention: scores, softmax, weighted values.

Query rows are (t, h) with h = g M + m (G = key-value heads, M = query heads for each), key and value rows
(j, g):

    (ATT.1)  a[(t,g,m), j] = sum_k q[(t,g,m), k] k[(j,g), k]                    over the whole square
    (ATT.2)  s = clamp16(round(a / 2^s)) + 2^15                                 on the existing cells
    (ATT.3)  p = softmax(s)                                                     (SOFT.1-5)
    (ATT.4)  o[(t,g,m), c] = sum over existing j of p[(t,g,m), j] v[(j,g), c]

a and o are committed, and defined by (ATT.1) and (ATT.4): they are exact, and need no range check. o has 16
fraction bits more than v. What the mask hides is computed in a alone, and read by nothing. Without a mask,
in a model that is not causal, every cell exists.

Bounds: |a| by the lengths of q and k, below 2^62, else the circuit is refused. p >= 0 and the sum of a row of
p is at most P (SOFT), so that |o| <= P max|v|.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

from assay.circuits.rounding import clamped_offset
from assay.circuits.softmax import UNIT_BITS, seen, softmax

from assay.graph import Accumulator, Builder, CircuitError, Interval, Wire, is_part

SCORE_BITS = 16
_LIMIT = 1 << 62  # of the product of a query and a key


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """Heads, window (0: every earlier position), the shift of (ATT.2), the unit of a score, the mask."""

    kv_heads: int
    group_size: int
    window: int
    score_shift: int
    rate: Fraction
    causal: bool = True


def attention(b: Builder, q: Wire, k: Wire, v: Wire, shape: AttentionShape) -> Wire:
    """o [T * heads, n] for q [T * heads, n], k and v [T * kv_heads, n]; it can be seen as [T, heads * n]."""
    groups = {"groups": shape.kv_heads, "members": shape.group_size}
    heads = shape.kv_heads * shape.group_size
    products = b.commit("scores.products", _products(b, q, k, groups))
    domain = seen(products.rows, products.cols, heads=heads, window=shape.window, causal=shape.causal)
    scores = clamped_offset(b, "scores", b.value(products, domain), shape.score_shift, SCORE_BITS)
    soft = softmax(
        b, "softmax", scores, heads=heads, window=shape.window, rate=shape.rate, causal=shape.causal
    )
    reach = v.bounds.magnitude * soft.most
    acc = b.product_nn(soft.probabilities, v, **groups).bounded(Interval(-reach, reach))
    o = b.commit("attention", acc, shape=by_position(q.rows, v.cols, heads))
    return b.wire_fact(
        "attention.bounds",
        o,
        o.bounds,
        "(SOFT.4-5): p >= 0, the sum of a row of p is at most d inv / 2^s and a half for each cell",
    )


def by_position(rows: int, cols: int, heads: int) -> tuple[int, int]:
    """How vectors [T * heads, n] are stored: those of a position in one row, if n can be a part of one."""
    return (rows // heads, heads * cols) if is_part(cols) else (rows, cols)


def operand_bits(cols: int, growth: int = 1) -> int:
    """Most signed bits of q and k with rows of `cols` entries such that (ATT.1-2) close over the field.

    `growth` is what happens to a length between the clamp to these bits and here, 2^13 + 1 by ROPE.1.
    """
    bits = 1
    while ((isqrt(cols << (2 * bits)) + 1) * growth) ** 2 <= _LIMIT >> 1:
        bits += 1
    return bits


def _products(b: Builder, q: Wire, k: Wire, groups: Mapping[str, int]) -> Accumulator:
    """(ATT.1)."""
    acc = b.product_nt(q, k, **groups)
    if acc.bounds.magnitude >= _LIMIT:
        raise CircuitError(
            "circuit-bound",
            f"scores: the product of a query and a key can reach {acc.bounds.magnitude}, the limit is 2^62",
            hint="clamp queries and keys to fewer bits, as many as operand_bits has",
        )
    return acc


__all__ = ["SCORE_BITS", "UNIT_BITS", "AttentionShape", "attention", "operand_bits"]
