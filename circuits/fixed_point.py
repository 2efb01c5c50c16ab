"""Function values for public tables, the same on every machine: each entry is the correctly rounded one.

1. Constants (bases of powers) come from `decimal` at 50 digits, whose `exp`, `ln` and `sqrt` are correctly
   rounded by specification, and are 128-bit integers from there on.
2. Entries are computed from these in binary64, with +, -, *, / and floor only: IEEE 754 bounds their errors,
   and no libm is involved. An entry has up to 2^24 units and a power up to 24 factors, of 2^-51 each in
   relative error (their own rounding and a complex product's), so entries are within 2^-22 of a unit.
3. Entries within 2^-20 of a tie are computed again with integers or `decimal`. Errors of the base double with
   each squaring and stay below 2^-80 of a unit (2^20 powers, head_dim up to 2^10): the rounded value is the
   correct one unless the true value lies that close to a tie. Ties go up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Fixed: TypeAlias = tuple[int, int]  # a complex number of length at most one, both parts times 2^128

_PRECISION = 128
_MARGIN = 2.0**-20
_PI = Decimal("3.14159265358979323846264338327950288419716939937510")
_GELU_CUBIC = Decimal("0.044715")
_DECAY_STEPS = 64  # table entries a unit
_DECAY_END = 64  # exp(-64) < 2^-92
_NORMAL_STEPS = 16  # nodes a unit
_NORMAL_END = 12  # 1 - Phi(12) < 2^-108
_NORMAL_TERMS = 11


def _context() -> Context:
    return Context(prec=50, rounding=ROUND_HALF_EVEN, Emin=-999999, Emax=999999, clamp=0)


def _fixed(value: Decimal) -> int:
    """round(value * 2^128)."""
    return round(Fraction(value) * (1 << _PRECISION))


# ---- rounding ----


def _round_off(value: int, bits: int) -> int:
    """round half up of a 128-bit fixed-point value to `bits` fraction bits."""
    drop = _PRECISION - bits
    return (value + (1 << (drop - 1))) >> drop


def _rounded(approximate: FloatArray, exact: Callable[[int], int]) -> IntArray:
    """Each entry rounded half up; near a tie by `exact`, which rounds the entry at a flat index."""
    out = np.floor(approximate + 0.5)
    for index in np.flatnonzero(np.abs(approximate - out) > 0.5 - _MARGIN):
        out.flat[index] = exact(int(index))
    return out.astype(np.int64)


# ---- powers ----


def _times(a: Fixed, b: Fixed) -> Fixed:
    return (a[0] * b[0] - a[1] * b[1]) >> _PRECISION, (a[0] * b[1] + a[1] * b[0]) >> _PRECISION


def _squares(base: Fixed, count: int) -> list[Fixed]:
    """base^(2^i) for each bit i of an exponent below `count`."""
    out = [base]
    while 1 << len(out) < count:
        out.append(_times(out[-1], out[-1]))
    return out


def _power(squares: Sequence[Fixed], exponent: int) -> Fixed:
    out = (1 << _PRECISION, 0)
    for i, square in enumerate(squares):
        if exponent >> i & 1:
            out = _times(out, square)
    return out


def _binary64(value: Fixed) -> complex:
    """Both parts correctly rounded."""
    return complex(value[0] / (1 << _PRECISION), value[1] / (1 << _PRECISION))


def _powers(squares: Sequence[Any], count: int) -> npt.NDArray[np.complex128]:
    """The powers 0, 1, ..., count - 1 of numbers or arrays, given their `_squares` in binary64."""
    out = np.ones((count, *np.shape(squares[0])), np.complex128)
    for i, square in enumerate(squares):
        block = out[1 << i : 2 << i]
        np.multiply(out[: len(block)], square, out=block)
    return out


# ---- functions ----


def exponential(rows: int, rate: Fraction, bits: int) -> IntArray:
    """round(2^bits exp(-d * rate)) for d = 0, 1, ..., rows - 1."""
    squares = _decay_squares(rate, rows)
    values = _powers([_binary64(s) for s in squares], rows).real
    return _rounded(values * (1 << bits), lambda d: _round_off(_power(squares, d)[0], bits))


def _decay_squares(rate: Fraction, count: int) -> list[Fixed]:
    """Of exp(-rate)."""
    with localcontext(_context()):
        step = _fixed((Decimal(-rate.numerator) / Decimal(rate.denominator)).exp())
    return _squares((step, 0), count)


def gelu(half_rows: int, fraction_bits: int) -> IntArray:
    """round(2^f gelu(t / 2^f)), tanh form, for t = -half_rows, ..., half_rows - 1.

    gelu(x) = x / (1 + exp(-2 c (x + 0.044715 x^3))), c = sqrt(2 / pi), and gelu(-x) = gelu(x) - x.
    """
    with localcontext(_context()):
        slope = 2 * (2 / _PI).sqrt()
    t = np.arange(half_rows + 1)
    x = t / (1 << fraction_bits)
    decay = _decay(float(slope) * (x + float(_GELU_CUBIC) * (x * x * x)))
    positive = _rounded(t / (1 + decay), lambda t: _exact_gelu(t, fraction_bits, slope))
    return _both_sides(positive)


def _both_sides(positive: IntArray) -> IntArray:
    """Values at -n, ..., n - 1 of a function with f(-x) = f(x) - x, from those at 0, ..., n."""
    t = np.arange(len(positive))
    return np.concatenate([(positive - t)[:0:-1], positive[:-1]])


def _exact_gelu(t: int, fraction_bits: int, slope: Decimal) -> int:
    """round(2^f gelu(t / 2^f))."""
    with localcontext(_context()):
        x = Decimal(t) / (1 << fraction_bits)
        value = x / (1 + (-slope * (x + _GELU_CUBIC * x * x * x)).exp())
    return _round_off(_fixed(value), fraction_bits)


def silu(half_rows: int, fraction_bits: int) -> IntArray:
    """round(2^f silu(t / 2^f)) for t = -half_rows, ..., half_rows - 1.

    silu(x) = x / (1 + exp(-x)), and silu(-x) = silu(x) - x.
    """
    t = np.arange(half_rows + 1)
    values = t / (1 + _decay(t / (1 << fraction_bits)))
    return _both_sides(_rounded(values, lambda t: _exact_silu(t, fraction_bits)))


def _exact_silu(t: int, fraction_bits: int) -> int:
    """round(2^f silu(t / 2^f))."""
    with localcontext(_context()):
        x = Decimal(t) / (1 << fraction_bits)
        value = x / (1 + (-x).exp())
    return _round_off(_fixed(value), fraction_bits)


def gelu_erf(half_rows: int, fraction_bits: int) -> IntArray:
    """round(2^f gelu(t / 2^f)), the form with erf, for t = -half_rows, ..., half_rows - 1.

    gelu(x) = x Phi(x), Phi the normal distribution function, and gelu(-x) = gelu(x) - x.
    """
    t = np.arange(half_rows + 1)
    values = t * _normal(t / (1 << fraction_bits))
    return _both_sides(_rounded(values, lambda t: _exact_gelu_erf(t, fraction_bits)))


def _exact_gelu_erf(t: int, fraction_bits: int) -> int:
    """round(2^f gelu(t / 2^f))."""
    with localcontext(_context()):
        x = Decimal(t) / (1 << fraction_bits)
        value = x * _exact_normal(min(x, Decimal(_NORMAL_END)))[0]
    return _round_off(_fixed(value), fraction_bits)


def _normal(x: FloatArray) -> FloatArray:
    """Phi(x) for x >= 0: the series at the nearest node k / 16, |h| <= 1/32, which ends below 2^-60.

    Of phi = Phi', phi(x + h) = sum of p_j h^j with j p_j = -(x p_(j-1) + p_(j-2)), and |p_j| < 1.
    """
    x = np.minimum(x, _NORMAL_END)
    n = np.floor(x * _NORMAL_STEPS + 0.5)
    at, h = n.astype(np.int64), x - n / _NORMAL_STEPS
    start, density = _normal_nodes()
    series, before, p = [start], np.zeros_like(density), density
    for j in range(1, _NORMAL_TERMS):
        series.append(p / j)
        before, p = p, -(np.arange(len(p)) / _NORMAL_STEPS * p + before) / j
    out = np.zeros_like(x)
    for coefficient in reversed(series):
        out = out * h + coefficient[at]
    return out


@lru_cache(maxsize=1)
def _normal_nodes() -> tuple[FloatArray, FloatArray]:
    """Phi and phi at the nodes, each correctly rounded."""
    with localcontext(_context()):
        nodes = [Decimal(k) / _NORMAL_STEPS for k in range(_NORMAL_END * _NORMAL_STEPS + 1)]
        values = np.array([[float(v) for v in _exact_normal(x)] for x in nodes])
    return values[:, 0], values[:, 1]


def _exact_normal(x: Decimal) -> tuple[Decimal, Decimal]:
    """Phi and phi at x >= 0: Phi = 1/2 + phi (x + x^3 / 3 + x^5 / (3 5) + ...), positive terms only."""
    density = (-x * x / 2).exp() / (2 * _PI).sqrt()
    total, term, n = Decimal(0), x, 1
    while total + term != total:
        total, n = total + term, n + 2
        term = term * x * x / n
    return Decimal("0.5") + density * total, density


def _decay(y: FloatArray) -> FloatArray:
    """exp(-y) for y >= 0: exp(-n / 64) from a table, times the series of the rest, which ends below 2^-54."""
    y = np.minimum(y, _DECAY_END)
    n = np.floor(y * _DECAY_STEPS)
    rest = y - n / _DECAY_STEPS
    series = np.ones_like(y)
    for k in range(6, 0, -1):
        series = 1 - rest / k * series
    count = _DECAY_END * _DECAY_STEPS + 1
    squares = [_binary64(s) for s in _decay_squares(Fraction(1, _DECAY_STEPS), count)]
    table = _powers(squares, count).real
    return table[n.astype(np.int64)] * series


def soft_cap(half_rows: int, fraction_bits: int, cap: float) -> IntArray:
    """round(2^f cap tanh(t / (2^f cap))) for t = -half_rows, ..., half_rows - 1; 2^f cap < 2^24.

    tanh(x) = (1 - d) / (1 + d), d = exp(-2 x), and tanh(-x) = -tanh(x).
    """
    scale = Fraction(cap) * Fraction(2) ** fraction_bits
    t = np.arange(half_rows + 1)
    decay = _decay(2 * t / float(scale))
    values = float(scale) * (1 - decay) / (1 + decay)
    positive = _rounded(values, lambda t: _exact_soft_cap(t, scale))
    return np.concatenate([-positive[:0:-1], positive[:-1]])


def _exact_soft_cap(t: int, scale: Fraction) -> int:
    """round(scale tanh(t / scale))."""
    with localcontext(_context()):
        wide = Decimal(scale.numerator) / scale.denominator
        decay = (-2 * t / wide).exp()
        value = wide * (1 - decay) / (1 + decay)
    return _round_off(_fixed(value), 0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """How Llama 3.1 slows down rotations that take long, for contexts beyond the `original` positions.

    One that turns less than `low` times over these is `factor` times as slow, one that turns more than
    `high` times is as it was, and between the two its speed is interpolated by its number of turns.
    """

    factor: float
    low: float
    high: float
    original: int

    def __call__(self, angle: int) -> int:
        """An angle for each position, times 2^128."""
        with localcontext(_context()):
            own = Decimal(angle) / (1 << _PRECISION)
            slow = own / Decimal(self.factor)
            low, high = Decimal(self.low), Decimal(self.high)
            share = (own * self.original / (2 * _PI) - low) / (high - low)
            return _fixed(slow + (own - slow) * max(Decimal(0), min(Decimal(1), share)))


def rotary(
    positions: int, head_dim: int, theta: float, bits: int, stretch: Stretch | None = None
) -> tuple[IntArray, IntArray]:
    """cos and sin of position * theta^(-2k / head_dim), [positions, head_dim / 2], `bits` fraction bits."""
    turns = [_squares(turn, positions) for turn in _first_turns(head_dim, theta, stretch)]
    levels = [np.array([_binary64(s) for s in level]) for level in zip(*turns, strict=True)]
    values = _powers(levels, positions) * (1 << bits)

    def exact(index: int, part: int) -> int:
        t, k = divmod(index, head_dim // 2)
        return _round_off(_power(turns[k], t)[part], bits)

    return _rounded(values.real, lambda i: exact(i, 0)), _rounded(values.imag, lambda i: exact(i, 1))


@lru_cache(maxsize=16)
def _first_turns(head_dim: int, theta: float, stretch: Stretch | None) -> tuple[Fixed, ...]:
    """(cos, sin) of theta^(-2k / head_dim), or of what is made of it."""
    half = head_dim // 2
    with localcontext(_context()):
        ratio = _fixed((-Decimal(theta).ln() * 2 / head_dim).exp())
    squares = _squares((ratio, 0), half)
    first = [_power(squares, k)[0] for k in range(half)]
    return tuple(_cos_sin(angle if stretch is None else stretch(angle)) for angle in first)


def _cos_sin(angle: int) -> Fixed:
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
