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
from assay.circuits.residual import stream_bits

from assay.graph import Builder, Domain, Wire
from assay.graph.builder import recombine


def rows_at(b: Builder, boundary: Wire, positions: Sequence[int]) -> Wire:
    """x [P, hidden] of (FIN.1)."""
    index = b.public("positions", np.array([positions], dtype=np.int64))
    argument = "(FIN.1): the rows that are read equal their limbs, no other is read"
    b.tensor_fact("boundary.rows", boundary, argument, only="rows")
    domain = Domain(len(positions), boundary.cols)
    widths = limbs.signed("limb", stream_bits(boundary.cols))
    return recombine(widths, b.decompose("rows", b.value(boundary.gather(index), domain), 0, widths))
