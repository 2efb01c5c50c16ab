"""Digits of 16 or 18 bits: how a range of any width is proven with small tables.

A b-bit quantity is committed as limbs of w bits, the last one narrower with a table of its own; w = 16, or 18
where that saves a limb, so that up to 18 bits are one limb:

    (LIMB.1)  v = l_0 + 2^w l_1 + ... + 2^(w k) l_k
    (LIMB.2)  0 <= l_i < 2^w for i < k,   0 <= l_k < 2^(b - w k)   by lookup, one a limb

A signed quantity has its last limb in [-2^(c-1), 2^(c-1)), c = b - w k; its lookup adds 2^(c-1). Limbs are
unique.
"""

from __future__ import annotations

from assay.graph import Interval, Limb

LIMB_BITS = 16
WHOLE_BITS = 18  # of the widest limb


def widths(bits: int) -> list[int]:
    """Limb widths of a `bits`-bit quantity, low limb first."""
    width = WHOLE_BITS if -(-bits // WHOLE_BITS) < -(-bits // LIMB_BITS) else LIMB_BITS
    full, rest = divmod(bits, width)
    return [width] * full + ([rest] if rest else [])


def unsigned(name: str, bits: int) -> list[Limb]:
    """Limbs name0, name1, ... of a quantity in [0, 2^bits)."""
    return [Limb.unsigned(f"{name}{k}", width) for k, width in enumerate(widths(bits))]


def up_to(name: str, largest: int) -> list[Limb]:
    """Limbs of a quantity in [0, largest]; only whole units of the last limb are told apart."""
    *low, top = unsigned(name, max(largest.bit_length(), 1))
    below = sum(limb.bits for limb in low)
    return [*low, Limb(top.name, top.bits, Interval(0, largest >> below))]


def signed(name: str, bits: int) -> list[Limb]:
    """Limbs of a quantity in [-2^(bits-1), 2^(bits-1)); the last one carries the sign."""
    *low, top = widths(bits)
    last = Limb.signed(f"{name}{len(low)}", top)
    return [Limb.unsigned(f"{name}{k}", width) for k, width in enumerate(low)] + [last]
