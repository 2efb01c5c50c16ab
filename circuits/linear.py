"""A linear layer: x [T, in] times W [out, in], brought back to a fraction of its own.

    (LIN.1)  acc[t, o] = sum_k x[t, k] W[o, k]          (never committed)
    (LIN.2)  y = round(acc / 2^s), wide, or clamped to b bits      (ROUND.1 or CLAMP.1-3)

Bounds: |acc| <= in max|x| 2^15, or length(x) sqrt(in) 2^15 where x comes from a norm (Cauchy-Schwarz).
"""

from __future__ import annotations

from assay.circuits.rounding import round_shift, rounded

from assay.graph import Builder, Wire


def linear(b: Builder, name: str, x: Wire, weight: Wire, *, shift: int, bits: int | None = None) -> Wire:
    """y [T, out] of (LIN.2); `bits=None` keeps every bit that the bounds allow."""
    acc = b.product_nt(x, weight)
    return round_shift(b, name, acc, shift) if bits is None else rounded(b, name, acc, shift, bits)
