"""The gated activation gelu(gate) * up.

t = gate with ft fraction bits, never clamped itself; u = up, clamped (LIN.2):

    (GATE.1)  acc_g + 2^(s-1) + 2^s Z = r + 2^s (lo + 2^16 hi),   Z = 2^(ft + 3),   t = lo + 2^16 hi - Z
    (GATE.2)  (lo, G) in GELU: G = round(2^ft gelu((lo - Z) / 2^ft))          (confines lo to 16 bits)
    (GATE.3)  (hi, outside, positive) in CLAMP
    (GATE.4)  y = (G - outside G + positive M) u,   M the last value of GELU

The activation is G(clamp(t)): its table for -Z <= t < 2^16 - Z, 0 below, where x < -8 and |gelu(x)| < 2^-40,
and the table's last value above, where calibration saw no gate. It is never committed. y is committed, and
defined by (GATE.4): it is exact, and needs no range check.

Bounds: |activation| <= M < 2^16, so |y| <= M max|u|.
"""

from __future__ import annotations

from functools import lru_cache

from assay.circuits import limbs
from assay.circuits.fixed_point import gelu
from assay.circuits.rounding import half_of, overflow_limb, rounded_bounds, saturation

from assay.graph import Accumulator, Builder, CircuitError, Interval, Limb, Poly, Table, Wire, term

TABLE_BITS = 16
BELOW = 8  # the table begins at -8
_MOST_FRACTION = TABLE_BITS - 4  # its end is no nearer to 0


@lru_cache(maxsize=8)
def gelu_table(fraction_bits: int) -> Table:
    """GELU of (GATE.2), keys 0 to 2^16 - 1."""
    if not 0 <= fraction_bits <= _MOST_FRACTION:
        raise CircuitError("circuit-scale", f"a GELU table of {fraction_bits} fraction bits")
    rows = 1 << TABLE_BITS
    half = rows - zero_key(fraction_bits)
    return Table.function(
        f"gelu.{fraction_bits}",
        0,
        rows,
        lambda _: [gelu(half, fraction_bits)[half - zero_key(fraction_bits) :][:rows]],
    )


def zero_key(fraction_bits: int) -> int:
    """Z of (GATE.1)."""
    return BELOW << fraction_bits


def activation(b: Builder, name: str, acc: Accumulator, *, shift: int, fraction_bits: int) -> Poly:
    """The activation of (GATE.1-4), of degree two, `fraction_bits` fraction bits."""
    table = gelu_table(fraction_bits)
    low = limbs.unsigned("r", shift)
    middle = Limb.unsigned("lo", TABLE_BITS, checked=False)
    zero = zero_key(fraction_bits)
    high = overflow_limb(rounded_bounds(acc.bounds, shift), TABLE_BITS, zero)
    lo, hi = b.decompose(name, acc, half_of(shift) + (zero << shift), [*low, middle, high])[-2:]
    (value,) = b.table_map(f"{name}.gelu", b.table(table), lo, lo.domain, ["value"])
    outside, positive = saturation(b, name, hi)
    return Poly.of(value) - term(outside, value) + term(positive) * largest(fraction_bits)


def largest(fraction_bits: int) -> int:
    """M of (GATE.4)."""
    return int(gelu_table(fraction_bits).images[0][-1])


def gated_product(b: Builder, name: str, active: Poly, up: Wire, *, fraction_bits: int) -> Wire:
    """y of (GATE.4), `fraction_bits` more than those of up."""
    reach = largest(fraction_bits) * up.bounds.magnitude
    y = b.commit(name, b.value(active * up, up.domain).bounded(Interval(-reach, reach)))
    return b.tensor_fact(
        f"{name}.bounds",
        y,
        "(GATE.2-4): the activation is G, 0 or M, since positive is 1 only where outside is; |G| <= M",
    )
