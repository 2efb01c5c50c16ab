"""RMS norm of each row, with one rounding.

x [R, n] integers with f fraction bits; the gain is an int16 tensor, gain * sqrt(n) * 2^fg; e = max(1, eps n
4^f).

    (NORM.1)  v[i] = sum_j x[i, j]^2 + e,         1 <= v < 2^62
    (NORM.2)  W[i] = 2^K / sqrt(v[i])             (inverse_sqrt: ISQRT.1-6)
    (NORM.3)  y[i, j] = round(x[i, j] W[i] gain[j] / 2^s)

so that y has K + fg - s fraction bits: x W = 2^K x / sqrt(sum x^2 + eps n), and sqrt(n) is in the gain.

Bounds: n max|x|^2 + e < 2^62 from sizes. |x W| <= 2^K (1 + 2^-28) for each x and for the whole row, by
(ISQRT.7), so |acc| <= 2^(K+15) (1 + 2^-28) and the row of y has length at most 2^(K+15-s) (1 + 2^-28) +
sqrt(n).
Gains lie in +-(2^15 - 1) in a model of ours: -2^15 would not be unsound, but its row might have no witness.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from assay.circuits.inverse_sqrt import VALUE_BITS, inverse_sqrt
from assay.circuits.inverse_sqrt import length as unit_length
from assay.circuits.rounding import rounded

from assay.graph import Accumulator, Builder, CircuitError, Interval, Wire, term

LARGEST_GAIN = (1 << 15) - 1


def epsilon(eps: float, size: int, fraction_bits: int) -> int:
    """e: eps * n in units of 4^-f, at least 1; exact arithmetic, ties to even."""
    return max(1, round(Fraction(eps) * size * Fraction(4) ** fraction_bits))


def rms_norm(
    b: Builder,
    name: str,
    x: Wire,
    gain: Wire,
    *,
    root: int,
    shift: int,
    bits: int,
    eps: int,
    into: Wire | None = None,
) -> Wire:
    """y of (NORM.3) in at most `bits` signed bits, for x [R, n] and gain [1, n]; in a given tensor if any."""
    acc = normalised(b, name, x, gain, root=root, eps=eps)
    y = rounded(b, name, acc, shift, bits, into=into)
    return b.wire_fact(
        f"{name}.length",
        y,
        y.bounds,
        "(ISQRT.7) for the row: sqrt(sum (x W gain)^2) <= 2^15 * 2^K (1 + 2^-28); rounding adds at most "
        "sqrt(n) / 2, a clamp nothing",
        length=row_length(x.cols, root, shift),
    )


def row_length(size: int, root: int, shift: int) -> int:
    """A bound on the length of a row of (NORM.3)."""
    return ((unit_length(root) << 15) >> shift) + isqrt(size) + 2


def normalised(b: Builder, name: str, x: Wire, gain: Wire, *, root: int, eps: int) -> Accumulator:
    """x W gain of (NORM.3), before its rounding."""
    return scaled_rows(b, name, x, b.row_dot(x, x), gain, root=root, eps=eps)


def scaled_rows(
    b: Builder, name: str, x: Wire, squares: Accumulator, gain: Wire, *, root: int, eps: int
) -> Accumulator:
    """x W gain of (NORM.3), from the sums of squares of x."""
    factor = _row_factor(b, name, x.cols, squares, root, eps).per_row()
    unit = unit_length(root)
    b.product_fact(
        f"{name}.unit-row",
        [x.cell(), factor],
        Interval(-unit, unit),
        "(ISQRT.7): x^2 is a term of the sum of squares, so x^2 <= v",
    )
    honest = unit * LARGEST_GAIN
    acc = b.value(term(x, factor, gain.per_col()), x.domain)
    return acc.expecting(Interval(-honest, honest))


def _row_factor(b: Builder, name: str, size: int, squares: Accumulator, root: int, eps: int) -> Wire:
    """W [1, R] of (NORM.2)."""
    largest = squares.bounds.hi + eps
    if largest >= 1 << VALUE_BITS:
        raise CircuitError(
            "circuit-bound",
            f"{name}: the sum of {size} squares can reach {largest}, the limit is 2^{VALUE_BITS}",
        )
    v = b.commit(f"{name}.squares", squares, constant=eps)
    return inverse_sqrt(b, f"{name}.inverse", v, root)
