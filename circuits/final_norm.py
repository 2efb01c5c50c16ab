"""The final norm, at the positions asked for.

    (FIN.1)  x[i, j] = boundary.L[positions[i], j] = l_0 + 2^16 l_1, l_0 in 16 bits, l_1 in 10 signed bits
    (FIN.2)  head.input = clamp20(rms_norm(x, final_norm))               NORM.1-3, CLAMP.1-4

Bounds: x is its limbs. Of the boundary no cell is read but those that (FIN.1) makes equal to limbs, so that
nothing depends on the range of the others, or on its being proven elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from assay.circuits import limbs
from assay.circuits.head import INPUT_BITS
from assay.circuits.residual import BITS
from assay.circuits.rms_norm import rms_norm

from assay.graph import Builder, Domain, Wire
from assay.graph.builder import recombine


def rows_at(b: Builder, boundary: Wire, positions: Sequence[int]) -> Wire:
    """x [P, hidden] of (FIN.1)."""
    index = b.public("positions", np.array([positions], dtype=np.int64))
    argument = "(FIN.1): the rows that are read equal their limbs, no other is read"
    b.tensor_fact("boundary.rows", boundary, argument, only="rows")
    domain = Domain(len(positions), boundary.cols)
    widths = limbs.signed("limb", BITS)
    return recombine(widths, b.decompose("rows", b.value(boundary.gather(index), domain), 0, widths))


def final_norm(b: Builder, x: Wire, gain: Wire, out: Wire, *, root: int, shift: int, eps: int) -> Wire:
    """head.input [P, hidden] of (FIN.2)."""
    return rms_norm(b, "final_norm", x, gain, root=root, shift=shift, bits=INPUT_BITS, eps=eps, into=out)
