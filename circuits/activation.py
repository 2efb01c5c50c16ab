"""Activation functions by table: GELU in both of its forms, and SiLU.

t = round(acc / 2^s) with ft fraction bits, never clamped itself; the table of f begins at -B:

    (ACT.1)  acc + 2^(s-1) + 2^s Z = r + 2^s (lo + 2^16 hi),   Z = 2^ft B,   t = lo + 2^16 hi - Z
    (ACT.2)  (lo, G) in the table: G = round(2^ft f((lo - Z) / 2^ft))          (confines lo to 16 bits)
    (ACT.3)  (hi, outside, positive) in CLAMP
    (ACT.4)  a = G - outside G + positive M,   M the last value of the table

| kind | f(x) | B | most ft | beyond -B |
| --- | --- | --- | --- | --- |
| gelu_tanh | x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))) | 8 | 12 | f < 2^-40 |
| gelu_erf | x Phi(x) | 8 | 12 | f < 2^-47 |
| silu | x / (1 + exp(-x)) | 12 | 11 | f < 2^-13 |

so that a is f of t clamped to the table: below it 0, the correctly rounded value there, and above it the last
value, where calibration saw nothing. Of (ACT.4) there is a polynomial of degree two, or a committed tensor,
which is defined by it and needs no range check.

Bounds: least G <= a <= M, since positive is 1 only where outside is; |G| <= M.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from assay.circuits import limbs
from assay.circuits.fixed_point import IntArray, gelu, gelu_erf, silu
from assay.circuits.rounding import half_of, overflow_limb, rounded_bounds, saturation

from assay.graph import Accumulator, Builder, CircuitError, Limb, Poly, Table, Wire, term

TABLE_BITS = 16
GELU_TANH, GELU_ERF, SILU = "gelu_tanh", "gelu_erf", "silu"


@dataclass(frozen=True, slots=True)
class Kind:
    """A function: what its table and its lookups are called, its values (fixed_point), B, the most ft."""

    label: str
    values: Callable[[int, int], IntArray]
    below: int
    most_fraction: int


KINDS = {
    GELU_TANH: Kind("gelu", gelu, 8, 12),
    GELU_ERF: Kind("gelu_erf", gelu_erf, 8, 12),
    SILU: Kind("silu", silu, 12, 11),
}


def kind_of(kind: str) -> Kind:
    """The function of that name."""
    if kind not in KINDS:
        raise CircuitError("circuit-config", f"no activation named {kind!r}; there are {', '.join(KINDS)}")
    return KINDS[kind]


@lru_cache(maxsize=16)
def activation_table(kind: str, fraction_bits: int) -> Table:
    """The table of (ACT.2), keys 0 to 2^16 - 1."""
    function = kind_of(kind)
    if not 0 <= fraction_bits <= function.most_fraction:
        raise CircuitError(
            "circuit-scale", f"a table of {kind} with {fraction_bits}, not 0 to {function.most_fraction} bits"
        )
    rows, zero = 1 << TABLE_BITS, zero_key(fraction_bits, kind)
    half = rows - zero
    name = f"{function.label}.{fraction_bits}"
    return Table.function(
        name, 0, rows, lambda _: [function.values(half, fraction_bits)[half - zero :][:rows]]
    )


def zero_key(fraction_bits: int, kind: str = GELU_TANH) -> int:
    """Z of (ACT.1)."""
    return kind_of(kind).below << fraction_bits


def largest(fraction_bits: int, kind: str = GELU_TANH) -> int:
    """M of (ACT.4)."""
    return int(activation_table(kind, fraction_bits).images[0][-1])


def activation(
    b: Builder, name: str, acc: Accumulator, *, shift: int, fraction_bits: int, kind: str = GELU_TANH
) -> Poly:
    """a of (ACT.4) as a polynomial of degree two, `fraction_bits` fraction bits."""
    table = activation_table(kind, fraction_bits)
    low = limbs.unsigned("r", shift)
    middle = Limb.unsigned("lo", TABLE_BITS, checked=False)
    zero = zero_key(fraction_bits, kind)
    high = overflow_limb(rounded_bounds(acc.bounds, shift), TABLE_BITS, zero)
    lo, hi = b.decompose(name, acc, half_of(shift) + (zero << shift), [*low, middle, high])[-2:]
    (value,) = b.table_map(f"{name}.{kind_of(kind).label}", b.table(table), lo, lo.domain, ["value"])
    outside, positive = saturation(b, name, hi)
    return Poly.of(value) - term(outside, value) + term(positive) * largest(fraction_bits, kind)


def activated(
    b: Builder, name: str, acc: Accumulator, *, shift: int, fraction_bits: int, kind: str = GELU_TANH
) -> Wire:
    """a of (ACT.4) as a tensor, `fraction_bits` fraction bits."""
    active = activation(b, name, acc, shift=shift, fraction_bits=fraction_bits, kind=kind)
    span = activation_table(kind, fraction_bits).spans[1]
    a = b.commit(f"{name}.active", b.value(active, acc.domain).bounded(span))
    return b.tensor_fact(
        f"{name}.active.bounds",
        a,
        "(ACT.2-4): it is G, 0 or M, since positive is 1 only where outside is",
    )
