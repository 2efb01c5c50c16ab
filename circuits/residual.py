"""The residual stream: boundaries in and out of a layer, 26-bit signed integers.

    (RES.1)  x_in = l_0 + 2^16 l_1, l_0 in 16 bits, l_1 in 10 signed bits
    (RES.2)  x_mid = x_in + y_1                                               (a wire, never committed)
    (RES.3)  x_out = clamp26(round((x_in + y_1 + y_2) / 2^(f_in - f_out)))     (CLAMP.1-3, or ROUND.1)

Bounds: from those of the norms' outputs y_1, y_2; the clamp makes any honest input provable.
"""

from __future__ import annotations

from assay.circuits import limbs
from assay.circuits.rounding import rounded

from assay.graph import Builder, Wire

BITS = 26


def boundary_in(b: Builder, name: str, rows: int, cols: int) -> Wire:
    """A committed boundary [rows, cols] with its range proven, (RES.1)."""
    x = b.boundary(name, rows, cols, BITS)
    b.decompose("residual_in", b.value(x, x.domain), 0, limbs.signed("limb", BITS))
    return x


def boundary_out(b: Builder, name: str, total: Wire, *, shift: int) -> Wire:
    """The committed boundary after the layer, (RES.3)."""
    out = b.boundary(name, total.rows, total.cols, BITS)
    return rounded(b, "residual_out", b.value(total, total.domain), shift, BITS, into=out)
