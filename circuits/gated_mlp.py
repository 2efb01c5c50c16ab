"""The gated activation gelu(gate) * up.

t = gate with ft fraction bits and u = up with fu, both wide (never clamped):

    (GATE.1)  acc_g + 2^(s-1) + 2^s 2^15 = r + 2^s (lo + 2^16 hi),   t = lo + 2^16 hi - 2^15
    (GATE.2)  (lo, G) in GELU: G = round(2^ft gelu((lo - 2^15) / 2^ft))       (confines lo to 16 bits)
    (GATE.3)  (hi, select, positive) in CLAMP
    (GATE.4)  acc_u = 2^s' u + ...                                            (ROUND.1)
    (GATE.5)  y = clamp(round((select G u + positive t u) / 2^s''))           (CLAMP.1-3)

So gelu is its table for |t| < 2^15, t itself above, and 0 below: with ft <= 12 the table ends at |x| >= 8,
where gelu differs from these by less than 2^-40. The activation is never committed.

Bounds: |G| <= 2^15 and |t|, |u| from the bounds of their accumulators.
"""

from __future__ import annotations

from functools import lru_cache

from assay.circuits import limbs
from assay.circuits.fixed_point import gelu
from assay.circuits.rounding import half_of, overflow_limb, rounded, rounded_bounds, saturation

from assay.graph import Accumulator, Builder, CircuitError, Limb, Poly, Table, Wire, term
from assay.graph.builder import recombine

TABLE_BITS = 16
_HALF = 1 << (TABLE_BITS - 1)


@lru_cache(maxsize=8)
def gelu_table(fraction_bits: int) -> Table:
    """GELU of (GATE.2), keys 0 to 2^16 - 1."""
    if not 0 <= fraction_bits <= TABLE_BITS:
        raise CircuitError("circuit-scale", f"a GELU table of {fraction_bits} fraction bits")
    return Table.function(f"gelu.{fraction_bits}", 0, 1 << TABLE_BITS, lambda _: [gelu(_HALF, fraction_bits)])


def activation(
    b: Builder, name: str, acc: Accumulator, *, shift: int, fraction_bits: int
) -> tuple[Poly, Poly]:
    """select G and positive t of (GATE.1-3), the two parts of gelu(gate), `fraction_bits` fraction bits."""
    low = limbs.unsigned("r", shift)
    middle = Limb.unsigned("lo", TABLE_BITS, checked=False)
    high = overflow_limb(rounded_bounds(acc.bounds, shift), TABLE_BITS)
    constant = half_of(shift) + (_HALF << shift)
    parts = b.decompose(name, acc, constant, [*low, middle, high])
    lo, hi = parts[-2:]
    t = b.wire_fact(
        f"{name}.bounds",
        recombine([middle, high], [lo, hi]) - _HALF,
        rounded_bounds(acc.bounds, shift),
        "(GATE.1): t = floor((acc + 2^(s-1)) / 2^s) as r, lo, hi are in their ranges; acc is in its bounds",
    )
    (value,) = b.table_map(f"{name}.gelu", b.table(gelu_table(fraction_bits)), lo, lo.domain, ["value"])
    select, positive = saturation(b, name, hi)
    return term(select, value), term(positive, t)


def gated_product(
    b: Builder, name: str, parts: tuple[Poly, Poly], up: Wire, *, shift: int, bits: int
) -> Wire:
    """y of (GATE.5), `bits` signed bits."""
    inside, above = parts
    return rounded(b, name, b.value(inside * up + above * up, up.domain), shift, bits)
