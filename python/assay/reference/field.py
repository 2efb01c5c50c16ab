"""The fields F and E (protocol, section 2), elements as Python integers and, in bulk, as numpy arrays.

F has p = 2^64 - 2^32 + 1 elements. E is F[X]/(X^2 - 7) or F[X]/(X^3 - 2); its elements are written by their
coordinates, those of 1, X, X^2. Arrays hold residues below p as uint64, where sums and products wrap at 2^64;
the functions `add`, `sub`, `mul`, `total` account for every wrap with 2^64 = 2^32 - 1 modulo p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

P = 2**64 - 2**32 + 1
NON_RESIDUE = {2: 7, 3: 2}  # X^D
Residues = npt.NDArray[np.uint64]

_P = np.uint64(P)
_EPSILON = np.uint64(2**32 - 1)  # 2^64 mod p; also the mask of the lower half
_HALF = np.uint64(32)
_PIECE = 1 << 14


class Ext:
    """An element of E."""

    __slots__ = ("c",)

    def __init__(self, c: Sequence[int]) -> None:
        self.c = tuple([x % P for x in c])

    @classmethod
    def of(cls, x: int, degree: int) -> Ext:
        """An integer as an element of E."""
        return cls((x, *(0,) * (degree - 1)))

    def _lift(self, x: object) -> Ext | None:
        """An operand as an element; None for other types, which then do the work."""
        if isinstance(x, int):
            return Ext.of(x, len(self.c))
        return x if isinstance(x, Ext) else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ext) and self.c == other.c

    def __hash__(self) -> int:
        return hash(self.c)

    def __repr__(self) -> str:
        return f"Ext{self.c}"

    def __add__(self, other: Ext | int) -> Ext:
        y = self._lift(other)
        return NotImplemented if y is None else Ext([a + b for a, b in zip(self.c, y.c, strict=True)])

    def __sub__(self, other: Ext | int) -> Ext:
        y = self._lift(other)
        return NotImplemented if y is None else Ext([a - b for a, b in zip(self.c, y.c, strict=True)])

    def __rsub__(self, other: int) -> Ext:
        return Ext.of(other, len(self.c)) - self

    def __neg__(self) -> Ext:
        return Ext([-a for a in self.c])

    def __mul__(self, other: Ext | int) -> Ext:
        if isinstance(other, int):
            return Ext([a * other for a in self.c])
        y = self._lift(other)
        if y is None:
            return NotImplemented
        if len(self.c) == 2:  # X^2 = 7
            (a, b), (u, v) = self.c, y.c
            return Ext((a * u + 7 * b * v, a * v + b * u))
        (a, b, c), (u, v, w) = self.c, y.c  # X^3 = 2
        return Ext((a * u + 2 * (b * w + c * v), a * v + b * u + 2 * c * w, a * w + b * v + c * u))

    def inverse(self) -> Ext:
        """1 / self, by the conjugates under x -> x^p; that of 0 is 0."""
        degree = len(self.c)
        root = pow(NON_RESIDUE[degree], (P - 1) // degree, P)  # X^p = root X
        others = Ext.of(1, degree)
        for k in range(1, degree):
            others *= Ext([a * pow(root, i * k, P) for i, a in enumerate(self.c)])
        norm = (self * others).c[0]  # lies in F
        return others * pow(norm, P - 2, P)


def inverses(values: Sequence[int]) -> list[int]:
    """Of elements of F, none of them 0, by one inversion."""
    products = list(accumulate(values, lambda a, b: a * b % P, initial=1))
    inverse, out = pow(products[-1], P - 2, P), []
    for before, value in zip(reversed(products[:-1]), reversed(values), strict=True):
        out.append(inverse * before % P)
        inverse = inverse * value % P
    return out[::-1]


def signed(x: int) -> int:
    """The integer that an element of F stands for: x below p/2, otherwise x - p."""
    return x if x <= P // 2 else x - P


# ---- arrays of F ----


def residues(values: npt.NDArray[Any]) -> Residues:
    """Integers between -2^62 and 2^62 modulo p."""
    signed = values.astype(np.int64)
    out: Residues = np.where(signed < 0, signed.view(np.uint64) + _P, signed.view(np.uint64))
    return out


def add(a: Residues, b: Residues) -> Residues:
    """a + b."""
    s = a + b
    s += (s < a) * _EPSILON
    return _reduced(s)


def sub(a: Residues, b: Residues) -> Residues:
    """a - b."""
    return (a - b) - (a < b) * _EPSILON


def mul(a: Residues, b: Residues) -> Residues:
    """a * b; shapes broadcast."""
    return _piecewise(_mul, *np.broadcast_arrays(a, b))


def _mul(a: Residues, b: Residues) -> Residues:
    """Schoolbook in halves, then 2^64 = 2^32 - 1 and 2^96 = -1."""
    a0, a1, b0, b1 = a & _EPSILON, a >> _HALF, b & _EPSILON, b >> _HALF
    low, cross, other, high = a0 * b0, a0 * b1, a1 * b0, a1 * b1
    middle = low >> _HALF
    middle += cross & _EPSILON
    middle += other & _EPSILON
    low &= _EPSILON
    low |= middle << _HALF
    for part in (cross, other, middle):
        high += part >> _HALF
    top = high >> _HALF
    s = (low - top) - (low < top) * _EPSILON
    high &= _EPSILON
    high *= _EPSILON
    t = s + high
    t += (t < s) * _EPSILON
    return _reduced(t)


def _piecewise(function: Callable[[Residues, Residues], Residues], a: Residues, b: Residues) -> Residues:
    """An elementwise function of arrays of one shape, in pieces that stay in a processor's cache."""
    if a.size <= _PIECE:
        return function(a, b)
    axis = int(np.argmax(a.shape))
    length = a.shape[axis]
    step = max(1, _PIECE * length // a.size)
    out = np.empty(a.shape, np.uint64)
    for start in range(0, length, step):
        part = (slice(None),) * axis + (slice(start, start + step),)
        out[part] = function(a[part], b[part])
    return out


def _reduced(a: Residues) -> Residues:
    return a - (a >= _P) * _P


def _joined(low: Residues, high: Residues) -> Residues:
    """low + 2^32 high, for any uint64."""
    return add(low % _P, mul(high % _P, np.asarray(2**32, np.uint64)))


def total(a: Residues, axis: int) -> Residues:
    """Sum along an axis, of fewer than 2^32 residues."""
    return _joined((a & _EPSILON).sum(axis, dtype=np.uint64), (a >> _HALF).sum(axis, dtype=np.uint64))


def running(a: Residues, axis: int) -> Residues:
    """Sums of all beginnings along an axis."""
    return _joined(np.cumsum(a & _EPSILON, axis, np.uint64), np.cumsum(a >> _HALF, axis, np.uint64))


# ---- arrays of E ----


def _ext_mul(x: Residues, y: Residues) -> Residues:
    """Coordinate k is the sum over i of x_i y_(k-i), those with k < i times X^D."""
    degree = x.shape[-1]
    x, y = (np.array([a[..., k] for k in range(degree)]) for a in (x, y))
    both = np.concatenate([_mul(y, np.asarray(NON_RESIDUE[degree], np.uint64)), y])
    factors = np.array([both[degree - i : 2 * degree - i] for i in range(degree)])  # [i, k, ...]
    products = _mul(x[:, None], factors)
    out = products[0]
    for other in products[1:]:
        out = add(out, other)
    return np.stack(list(out), -1)


@dataclass(frozen=True, eq=False)
class Array:
    """Elements of E: coordinates in an array [..., D]. Shapes are those without the last axis."""

    x: Residues

    @classmethod
    def of(cls, values: Sequence[Ext]) -> Array:
        """A vector."""
        return cls(np.array([v.c for v in values], dtype=np.uint64))

    @property
    def shape(self) -> tuple[int, ...]:
        """Without the axis of coordinates."""
        return self.x.shape[:-1]

    def __getitem__(self, key: Any) -> Array:
        return Array(self.x[key])

    def __add__(self, other: Array) -> Array:
        return Array(add(self.x, other.x))

    def __sub__(self, other: Array) -> Array:
        return Array(sub(self.x, other.x))

    def __mul__(self, other: Array | Ext) -> Array:
        """Elementwise; shapes broadcast."""
        y = np.array(other.c, np.uint64) if isinstance(other, Ext) else other.x
        return Array(_piecewise(_ext_mul, *np.broadcast_arrays(self.x, y)))

    def times(self, factors: Residues) -> Array:
        """Elementwise by elements of F."""
        return Array(mul(self.x, factors[..., None]))

    def sum(self, axis: int = 0) -> Array:
        """Along one axis, counted from the front."""
        return Array(total(self.x, axis))

    def scalar(self) -> Ext:
        """The sum of everything, as one element."""
        x = total(self.x.reshape(-1, self.x.shape[-1]), 0)
        return Ext([int(c) for c in x])

    def prefixes(self) -> Array:
        """For a matrix [m, n]: [m, n + 1], the sums of the first 0, 1, ..., n entries of each row."""
        return Array(np.pad(running(self.x, 1), ((0, 0), (1, 0), (0, 0))))

    def padded(self, size: int) -> Array:
        """A vector with zeros up to this size."""
        return Array(np.pad(self.x, ((0, size - self.x.shape[0]), (0, 0))))


def ones(shape: tuple[int, ...], degree: int) -> Array:
    """All ones."""
    x = np.zeros((*shape, degree), np.uint64)
    x[..., 0] = 1
    return Array(x)


def eq_vector(point: Sequence[Ext], degree: int, size: int | None = None) -> Array:
    """eq(point, i) for i below `size`, by default all; the first coordinate is that of the lowest bit."""
    return _eq_vector(tuple(point), degree)[:size]


@lru_cache(maxsize=64)  # relations share their points
def _eq_vector(point: tuple[Ext, ...], degree: int) -> Array:
    out = ones((1,), degree)
    for coordinate in point:
        high = out * coordinate
        out = Array(np.concatenate([(out - high).x, high.x]))
    return out
