"""Layer norm of each row, with gain and bias and one rounding.

x [R, n] integers with f fraction bits; gain * sqrt(n) * 2^fg and bias * 2^fb are int16 tensors; e = max(1,
eps n 4^f); u = K + fg - fb:

    (LNORM.1)  S[i] = sum_j x[i, j]
    (LNORM.2)  S[i] + floor(n / 2) = n m[i] + r[i],   0 <= r < n,   m in signed limbs
    (LNORM.3)  c[i, j] = x[i, j] - m[i]
    (LNORM.4)  v[i] = sum_j c[i, j]^2 + e,            1 <= v < 2^62
    (LNORM.5)  W[i] = 2^K / sqrt(v[i])                (inverse_sqrt: ISQRT.1-6)
    (LNORM.6)  y[i, j] = round((c[i, j] W[i] gain[j] + 2^u bias[j]) / 2^s)

so that y has K + fg - s fraction bits. m = floor(S / n + 1/2) is the mean, rounded half up, and unique by
(LNORM.2). c is committed, and defined by (LNORM.3): it is exact, and needs no range check.

Bounds, for x in [a, b]: a mean lies there as well, so |c| <= b - a. About the true mean the squares of a row
add up to at most n (b - a)^2 / 4, and m is within 1/2 of it: sum c^2 <= n ((b - a)^2 + 1) / 4. |c W| <= 2^K
(1 + 2^-28) for each c and for the whole row, by (ISQRT.7), so |acc| <= 2^(K+15) (1 + 2^-28) + 2^(u+15), and
the row of y has length at most (2^(K+15) (1 + 2^-28) + sqrt(n) 2^(u+15)) / 2^s + sqrt(n).
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from assay.circuits import limbs
from assay.circuits.bias import reach, require_bias
from assay.circuits.rms_norm import row_length, scaled_rows
from assay.circuits.rounding import rounded

from assay.graph import Accumulator, Builder, Domain, Interval, Limb, Poly, Wire, term
from assay.graph.builder import recombine
from assay.graph.expression import uniform


def layer_norm(
    b: Builder,
    name: str,
    x: Wire,
    gain: Wire,
    bias: Wire,
    *,
    root: int,
    shift: int,
    up: int,
    bits: int,
    eps: int,
    into: Wire | None = None,
) -> Wire:
    """y of (LNORM.6) in at most `bits` signed bits, for x [R, n], gain and bias [1, n]."""
    acc = normalised_layer(b, name, x, gain, bias, root=root, up=up, eps=eps)
    y = rounded(b, name, acc, shift, bits, into=into)
    return b.wire_fact(
        f"{name}.length",
        y,
        y.bounds,
        "(ISQRT.7) for the row: sqrt(sum (c W gain)^2) <= 2^15 * 2^K (1 + 2^-28); the bias is an int16; "
        "rounding adds at most sqrt(n) / 2, a clamp nothing",
        length=layer_row_length(x.cols, root, shift, up),
    )


def layer_row_length(size: int, root: int, shift: int, up: int) -> int:
    """A bound on the length of a row of (LNORM.6)."""
    return row_length(size, root, shift) + (((isqrt(size) + 1) << (15 + up)) >> shift) + 1


def normalised_layer(
    b: Builder, name: str, x: Wire, gain: Wire, bias: Wire, *, root: int, up: int, eps: int
) -> Accumulator:
    """c W gain + 2^u bias of (LNORM.6), before its rounding."""
    require_bias(name, bias, x.cols, up)
    c = centred(b, name, x)
    squares = b.row_dot(c, c).bounded(Interval(0, most_squares(x)))
    acc = scaled_rows(b, name, c, squares, gain, root=root, eps=eps)
    assert acc.poly is not None, "the rows of a norm are a polynomial"
    ones = b.public(f"{name}.ones", np.ones((1, x.cols), dtype=np.int64))
    added = term(ones.every(x.rows), bias.per_col()) * (1 << up)
    return b.value(acc.poly + added, x.domain).expecting(acc.expected + reach(up))


def centred(b: Builder, name: str, x: Wire) -> Wire:
    """c of (LNORM.3)."""
    m = row_mean(b, name, x)
    c = b.commit(f"{name}.centred", b.value(Poly.of(x) - m.per_row(), x.domain))
    return b.wire_fact(
        f"{name}.centred.length",
        c,
        c.bounds,
        "(LNORM.1-3): about their mean, the squares of n values in [a, b] add up to at most n (b - a)^2 / 4, "
        "and m is within 1/2 of it",
        length=isqrt(most_squares(x)) + 1,
    )


def most_squares(x: Wire) -> int:
    """A bound on sum c^2 of (LNORM.4)."""
    return x.cols * ((x.bounds.hi - x.bounds.lo) ** 2 + 1) // 4


def row_mean(b: Builder, name: str, x: Wire) -> Wire:
    """m [1, R] of (LNORM.1-2)."""
    n, widths = x.cols, limbs.signed("limb", x.bounds.signed_bits)
    total = b.row_sum(f"{name}.sum", x)
    value, domain = Poly.of(total) + n // 2, Domain(1, x.rows)
    mean = Interval.signed(x.bounds.signed_bits)
    m = b.ratio(f"{name}.mean", value, domain, uniform(1, 1, n), mean)
    m = recombine(widths, b.decompose(f"{name}.mean", b.value(m, domain), 0, widths))
    rest = Limb("r", n.bit_length(), Interval(0, n - 1))
    b.decompose(f"{name}.mean.remainder", b.value(value - m * n, domain), 0, [rest])
    return b.wire_fact(
        f"{name}.mean.bounds", m, x.bounds, "(LNORM.2): it is the mean, rounded, of values in these bounds"
    )
