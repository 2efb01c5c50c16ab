"""The residual stream: boundaries in and out of a layer, 26-bit signed integers.

    (RES.1)  x_in = l_0 + 2^16 l_1, l_0 in 16 bits, l_1 in 10 signed bits
    (RES.2)  x_mid = x_in + y_1                                               (a wire, never committed)
    (RES.3)  x_out = clamp26(round((2^a x_mid + n_2) / 2^s))                   (CLAMP.1-3, or ROUND.1)

n_2 is what the last norm of the layer adds, before its rounding (the left side of NORM.3): one rounding
serves both. a brings x_mid to the fraction of n_2, s both to that of x_out.

Bounds: from those of y_1 and n_2; the clamp makes any honest input provable.
"""

from __future__ import annotations

from assay.circuits import limbs
from assay.circuits.rounding import rounded

from assay.graph import Accumulator, Builder, CircuitError, Wire, term

BITS = 26


def boundary_in(b: Builder, name: str, rows: int, cols: int) -> Wire:
    """A committed boundary [rows, cols] with its range proven, (RES.1)."""
    x = b.boundary(name, rows, cols, BITS)
    b.decompose("residual_in", b.value(x, x.domain), 0, limbs.signed("limb", BITS))
    return x


def boundary_out(b: Builder, name: str, x: Wire, added: Accumulator, *, scale: int, shift: int) -> Wire:
    """The committed boundary after the layer, (RES.3), with a = `scale`."""
    if scale < 0:
        raise CircuitError("circuit-scale", "residual_out: the last norm has too few bits for the stream")
    assert added.poly is not None, "the sum of a norm is a polynomial"
    out = b.boundary(name, x.rows, x.cols, BITS)
    stream = x.bounds.scaled(1 << scale)
    acc = b.value(added.poly + term(x) * (1 << scale), x.domain).bounded(added.bounds + stream)
    return rounded(b, "residual_out", acc.expecting(added.expected + stream), shift, BITS, into=out)
