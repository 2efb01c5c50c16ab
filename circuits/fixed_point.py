"""Function values for public tables, the same on every machine.

Everything is computed with Python integers and `decimal` at 50 digits, whose `exp`, `ln` and `sqrt` are
correctly rounded by specification; nothing depends on a floating-point unit or a libm. Errors stay below
2^-100 of a unit, so the rounded entries are the correct ones unless a true value lies that close to a tie.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

_PRECISION = 128  # fraction bits of integer recurrences
_PI = Decimal("3.14159265358979323846264338327950288419716939937510")
_GELU_CUBIC = Decimal("0.044715")


def _context() -> Context:
    return Context(prec=50, rounding=ROUND_HALF_EVEN, Emin=-999999, Emax=999999, clamp=0)


def _fixed(value: Decimal) -> int:
    """round(value * 2^128)."""
    return round(Fraction(value) * (1 << _PRECISION))


def _round_off(value: int, bits: int) -> int:
    """round half up of a 128-bit fixed-point value to `bits` fraction bits."""
    drop = _PRECISION - bits
    return (value + (1 << (drop - 1))) >> drop


@lru_cache(maxsize=64)
def exponential(rows: int, rate: Fraction, bits: int) -> tuple[int, ...]:
    """round(2^bits exp(-d * rate)) for d = 0, 1, ..., rows - 1."""
    with localcontext(_context()):
        step = _fixed((Decimal(-rate.numerator) / Decimal(rate.denominator)).exp())
    out, value = [], 1 << _PRECISION
    for _ in range(rows):
        out.append(_round_off(value, bits))
        value = (value * step) >> _PRECISION
    return tuple(out)


@lru_cache(maxsize=8)
def gelu(half_rows: int, fraction_bits: int) -> tuple[int, ...]:
    """round(2^f gelu(t / 2^f)), tanh form, for t = -half_rows, ..., half_rows - 1.

    gelu(x) = x / (1 + exp(-2 c (x + 0.044715 x^3))), c = sqrt(2 / pi), and gelu(-x) = gelu(x) - x.
    """
    with localcontext(_context()):
        slope = 2 * (2 / _PI).sqrt()
        positive = [_gelu_of(Decimal(t) / (1 << fraction_bits), slope) for t in range(half_rows + 1)]
    negative = [positive[t] - (t << (_PRECISION - fraction_bits)) for t in range(half_rows, 0, -1)]
    return tuple(_round_off(v, fraction_bits) for v in negative + positive[:-1])


def _gelu_of(x: Decimal, slope: Decimal) -> int:
    return _fixed(x / (1 + (-slope * (x + _GELU_CUBIC * x * x * x)).exp()))


def rotary(
    positions: int, head_dim: int, theta: float, bits: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """cos and sin of position * theta^(-2k / head_dim), [positions, head_dim / 2], `bits` fraction bits."""
    half = head_dim // 2
    cos, sin = np.empty((positions, half), np.int64), np.empty((positions, half), np.int64)
    for k, (c, s) in enumerate(_first_angles(head_dim, theta)):
        x, y = 1 << _PRECISION, 0
        for t in range(positions):
            cos[t, k], sin[t, k] = _round_off(x, bits), _round_off(y, bits)
            x, y = (x * c - y * s) >> _PRECISION, (x * s + y * c) >> _PRECISION
    return cos, sin


@lru_cache(maxsize=16)
def _first_angles(head_dim: int, theta: float) -> tuple[tuple[int, int], ...]:
    """(cos, sin) of theta^(-2k / head_dim) in 128-bit fixed point."""
    with localcontext(_context()):
        log = Decimal(theta).ln()
        angles = [_fixed((-log * 2 * k / head_dim).exp()) for k in range(head_dim // 2)]
    return tuple(_cos_sin(angle) for angle in angles)


def _cos_sin(angle: int) -> tuple[int, int]:
    """Taylor series of an angle in [0, 1]."""
    sums, value, n = [0, 0], 1 << _PRECISION, 0
    while value:
        sums[n % 2] += value if n % 4 < 2 else -value
        n += 1
        value = ((value * angle) >> _PRECISION) // n
    return sums[0], sums[1]


def inverse_sqrt_times(scale_bits: int, value: int) -> Fraction:
    """2^-scale_bits / sqrt(value), exact where value is a square, else to 50 digits."""
    with localcontext(_context()):
        root = Fraction(Decimal(value).sqrt())
    return Fraction(2) ** -scale_bits / root
