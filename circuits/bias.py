"""The bias of a linear layer, added before its rounding.

acc [T, out] is what the layer sums up, with more fraction bits than the bias w [1, out], an int16 weight; u
brings the bias to them:

    (BIAS.1)  p[t, o] = acc[t, o]
    (BIAS.2)  acc'[t, o] = p[t, o] + 2^u w[o]                                  (never committed)

p is committed, and defined by (BIAS.1): it is exact, and needs no range check. What takes acc' is then a
linear relation, or a zero-check, in the place of the einsum that takes acc.

Bounds: |acc'| <= |acc| + 2^(u+15).
"""

from __future__ import annotations

from assay.graph import Accumulator, Builder, CircuitError, Interval, Poly, Wire

LARGEST_UP = 46  # of u: 2^u w is below 2^61
WEIGHT = (1 << 15) - 1  # the largest, in a model of ours


def biased(b: Builder, name: str, acc: Accumulator, bias: Wire, *, up: int) -> Accumulator:
    """acc' of (BIAS.2), for a bias [1, out]."""
    require_bias(name, bias, acc.domain.cols, up)
    p = b.commit(f"{name}.product", acc)
    honest = acc.expected + reach(up)
    return b.value(Poly.of(p) + bias.per_col() * (1 << up), acc.domain).expecting(honest)


def reach(up: int) -> Interval:
    """2^u w for the weights of a model of ours."""
    return Interval(-WEIGHT, WEIGHT).scaled(1 << up)


def require_bias(name: str, bias: Wire, cols: int, up: int) -> None:
    """Raises unless the bias has one entry for each column, and no more fraction bits than the sum."""
    if (bias.rows, bias.cols) != (1, cols):
        raise CircuitError(
            "circuit-shape", f"{name}: a bias of shape {(bias.rows, bias.cols)} for {cols} columns"
        )
    if not 0 <= up <= LARGEST_UP:
        raise CircuitError(
            "circuit-scale", f"{name}: a bias shifted up by {up} bits; from 0 to {LARGEST_UP} are possible"
        )
