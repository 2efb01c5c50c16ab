"""Closed intervals of Python integers: what every bound of a circuit is computed with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Interval:
    """All integers v with lo <= v <= hi."""

    lo: int
    hi: int

    def __post_init__(self) -> None:
        if self.lo > self.hi:
            raise ValueError(f"empty interval [{self.lo}, {self.hi}]")

    @property
    def magnitude(self) -> int:
        """max |v|."""
        return max(-self.lo, self.hi)

    @property
    def signed_bits(self) -> int:
        """Least b with the interval inside [-2^(b-1), 2^(b-1))."""
        return max(self.hi.bit_length(), (-self.lo - 1).bit_length() if self.lo < 0 else 0) + 1

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def __mul__(self, other: Interval) -> Interval:
        ends = (self.lo * other.lo, self.lo * other.hi, self.hi * other.lo, self.hi * other.hi)
        return Interval(min(ends), max(ends))

    def shifted(self, constant: int) -> Interval:
        """{v + constant}."""
        return Interval(self.lo + constant, self.hi + constant) if constant else self

    def scaled(self, factor: int) -> Interval:
        """An interval around {factor * v}."""
        if factor == 1:
            return self
        ends = self.lo * factor, self.hi * factor
        return Interval(*ends) if factor > 0 else Interval(ends[1], ends[0])

    def __contains__(self, other: Interval) -> bool:
        return self.lo <= other.lo and other.hi <= self.hi

    def meet(self, other: Interval) -> Interval:
        """The values in both."""
        return Interval(max(self.lo, other.lo), min(self.hi, other.hi))

    def joined(self, value: int) -> Interval:
        """The least interval with these values and one more."""
        return Interval(min(self.lo, value), max(self.hi, value))

    @staticmethod
    def point(value: int) -> Interval:
        """{value}."""
        return Interval(value, value)

    @staticmethod
    @lru_cache(maxsize=128)
    def unsigned(bits: int) -> Interval:
        """[0, 2^bits)."""
        return Interval(0, (1 << bits) - 1)

    @staticmethod
    @lru_cache(maxsize=128)
    def signed(bits: int) -> Interval:
        """[-2^(bits-1), 2^(bits-1))."""
        return Interval(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)

    @staticmethod
    def total(parts: Iterable[Interval]) -> Interval:
        """The sum of independent quantities; [0, 0] of none."""
        lo = hi = 0
        for part in parts:
            lo, hi = lo + part.lo, hi + part.hi
        return Interval(lo, hi)
