"""The residual stream: boundaries in and out of a layer, signed integers of 26 bits, of 24 in wide models.

    (RES.1)  x_in = l_0 + 2^16 l_1, l_0 in 16 bits, l_1 in 10 signed bits
    (RES.2)  x_mid = x_in + y_1                                               (a wire, never committed)
    (RES.3)  x_out = clamp26(round((2^a x_mid + n_2) / 2^s))                   (CLAMP.1-3, or ROUND.1)

n_2 is what the last norm or linear layer adds, before its rounding (the left side of NORM.3, or LIN.1
committed as it is): one rounding serves both. a brings x_mid to the fraction of n_2 (or a negative one n_2 to
that of x_mid), s both to that of x_out.

Bounds: from those of y_1 and n_2; the clamp makes any honest input provable.
"""

from __future__ import annotations

from assay.circuits import limbs
from assay.circuits.rounding import rounded

from assay.graph import Accumulator, Builder, CircuitError, Wire, term

BITS = 26
_NARROW_BITS = 24
_WIDEST = 3072  # of a stream of 26 bits: the squares of a row, with what is added to it, stay below 2^62


def stream_bits(hidden: int) -> int:
    """Signed bits of a stream of so many entries."""
    return BITS if hidden <= _WIDEST else _NARROW_BITS


def boundary_in(b: Builder, name: str, rows: int, cols: int) -> Wire:
    """A committed boundary [rows, cols] with its range proven, (RES.1)."""
    bits = stream_bits(cols)
    x = b.boundary(name, rows, cols, bits)
    b.decompose("residual_in", b.value(x, x.domain), 0, limbs.signed("limb", bits))
    return x


def boundary_out(
    b: Builder, name: str, x: Wire, added: Accumulator, *, scale: int, shift: int, up: int = 0
) -> Wire:
    """The committed boundary after the layer, (RES.3), with a = `scale`, or -`up`."""
    if min(scale, up) < 0:
        raise CircuitError("circuit-scale", "residual_out: what is added has too few bits for the stream")
    assert added.poly is not None, "what is added is a polynomial"
    bits = stream_bits(x.cols)
    out = b.boundary(name, x.rows, x.cols, bits)
    stream, addend = x.bounds.scaled(1 << scale), added.bounds.scaled(1 << up)
    acc = b.value(added.poly * (1 << up) + term(x) * (1 << scale), x.domain).bounded(addend + stream)
    honest = added.expected.scaled(1 << up) + stream
    return rounded(b, "residual_out", acc.expecting(honest), shift, bits, into=out)
