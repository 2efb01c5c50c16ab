"""Rounding to a power of two, and clamping: how every accumulator comes back to few bits.

Round half up, floor(acc / 2^s + 1/2), is unique by

    (ROUND.1)  acc + 2^(s-1) = 2^s y + r,   0 <= r < 2^s,   y in signed limbs

and with a clamp to b signed bits, B = 2^(b-1),

    (CLAMP.1)  acc + 2^(s-1) + 2^s B = r + 2^s (lo + 2^b hi),   0 <= r < 2^s,   0 <= lo < 2^b
    (CLAMP.2)  (hi, outside, positive) in CLAMP: (0, 0, 0), (hi < 0, 1, 0), (hi > 0, 1, 1)
    (CLAMP.3)  y + B = lo - outside lo + (2^b - 1) positive

    (CLAMP.4)  the number of cells with outside = 1 is a public output

so that y = min(max(floor(acc / 2^s + 1/2), -B), B - 1). The accumulator is an einsum's output or a
polynomial and is never committed. With s = 0 there is no r. The clamp is left out where the accumulator's
bounds show that it never acts. On a domain with missing cells y + B is committed in place of y: (CLAMP.3)
then has no constant, and holds where all that it reads is 0.

Bounds: (CLAMP.2) has hi over all values that the accumulator's bounds allow, at most 2^16 of them; both
sides of every relation are checked to stay below p together when the circuit is finished.
"""

from __future__ import annotations

from functools import lru_cache

from assay.circuits import limbs

from assay.graph import Accumulator, Builder, CircuitError, Interval, Limb, Poly, Table, Wire, term
from assay.graph.builder import recombine


def rounded_bounds(bounds: Interval, shift: int) -> Interval:
    """Bounds of floor(v / 2^shift + 1/2) for v in `bounds`."""
    half = half_of(shift)
    return Interval((bounds.lo + half) >> shift, (bounds.hi + half) >> shift)


def half_of(shift: int) -> int:
    """2^(shift-1), or 0 for no shift."""
    if shift < 0:
        raise CircuitError("circuit-scale", f"a shift by {shift} bits: the output has more fraction bits")
    return 1 << (shift - 1) if shift else 0


def rounded(
    b: Builder, name: str, acc: Accumulator, shift: int, bits: int, *, into: Wire | None = None
) -> Wire:
    """y = clamp(round(acc / 2^shift)) in `bits` signed bits; the clamp only where it can act."""
    if rounded_bounds(acc.expected, shift) in Interval.signed(bits):
        y = round_shift(b, name, acc, shift)
        return y if into is None else b.assign(f"{name}.out", into, Poly.of(y))
    return clamped_round(b, name, acc, shift, bits, into=into)


def round_shift(b: Builder, name: str, acc: Accumulator, shift: int) -> Wire:
    """y of (ROUND.1): shape and scale of acc / 2^shift, as wide as the bounds of `acc` ask for."""
    _require_shift(name, shift)
    low = limbs.unsigned("r", shift)
    high = limbs.signed("y", rounded_bounds(acc.expected, shift).signed_bits)
    parts = b.decompose(name, acc, half_of(shift), low + high)
    y = recombine(high, parts[len(low) :])
    return b.wire_fact(
        f"{name}.bounds",
        y,
        rounded_bounds(acc.bounds, shift),
        "(ROUND.1): y = floor((acc + 2^(s-1)) / 2^s), as r is in its range; acc is in its bounds",
    )


def clamped_round(
    b: Builder, name: str, acc: Accumulator, shift: int, bits: int, *, into: Wire | None = None
) -> Wire:
    """y of (CLAMP.1-3), in `bits` signed bits; a new tensor, or the given one."""
    half = 1 << (bits - 1)
    chosen = _clamped(b, name, acc, shift, bits, half)
    d = acc.domain
    y = b.tensor(f"{name}.y", d.rows, d.cols, Interval.signed(bits)) if into is None else into
    b.tensor_fact(f"{name}.clamp", y, _CLAMPED)
    return b.assign(f"{name}.saturate", y, chosen - half)


def clamped_offset(b: Builder, name: str, acc: Accumulator, shift: int, bits: int) -> Wire:
    """y + B of (CLAMP.1-3), in `bits` unsigned bits; the domain may have missing cells."""
    chosen = _clamped(b, name, acc, shift, bits, 1 << (bits - 1))
    d = acc.domain
    y = b.tensor(f"{name}.y", d.rows, d.cols, Interval.unsigned(bits), ragged=d.ragged)
    b.tensor_fact(f"{name}.clamp", y, _CLAMPED)
    return b.assign(f"{name}.saturate", y, chosen)


_CLAMPED = "(CLAMP.2-3): positive is 1 only where outside is, and 0 <= lo < 2^b: 0 <= y + B < 2^b"


def _clamped(b: Builder, name: str, acc: Accumulator, shift: int, bits: int, offset: int) -> Poly:
    """The right side of (CLAMP.3), with (CLAMP.1-2) and (CLAMP.4)."""
    _require_shift(name, shift)
    low = limbs.unsigned("r", shift)
    middle = limbs.unsigned("lo", bits)
    high = overflow_limb(rounded_bounds(acc.bounds, shift), bits, offset)
    parts = b.decompose(name, acc, half_of(shift) + (offset << shift), [*low, *middle, high])
    lo = recombine(middle, parts[len(low) : -1])
    outside, positive = saturation(b, name, parts[-1])
    b.total(f"{name}.saturated", outside)
    return Poly.of(lo) - term(outside, lo) + term(positive) * ((1 << bits) - 1)


def overflow_limb(bounds: Interval, bits: int, offset: int) -> Limb:
    """hi of lo + 2^b hi = y + offset for a rounded value y in `bounds`; confined by the table of CLAMP.2."""
    reach = max((bounds.hi + offset) >> bits, -((bounds.lo + offset) >> bits), 1)
    width = (reach + 1).bit_length()  # a power of two, so that operations share tables
    return Limb.signed("hi", width + 1, checked=False)


def saturation(b: Builder, name: str, hi: Wire) -> list[Wire]:
    """outside and positive of (CLAMP.2), committed and looked up."""
    table = b.table(clamp_table(hi.bounds.lo, hi.bounds.hi - hi.bounds.lo + 1))
    return b.table_map(f"{name}.clamp", table, hi, hi.domain, ["outside", "positive"])


@lru_cache(maxsize=32)
def clamp_table(start: int, rows: int) -> Table:
    """CLAMP of (CLAMP.2)."""
    return Table.function(f"clamp.{rows}", start, rows, lambda hi: [hi != 0, hi > 0])


def _require_shift(name: str, shift: int) -> None:
    if not 0 <= shift <= 61:
        raise CircuitError("circuit-scale", f"{name}: a shift by {shift} bits; from 0 to 61 are possible")
