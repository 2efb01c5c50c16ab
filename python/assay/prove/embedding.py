"""Boundary 0: the exact embedding, scaled by sqrt(hidden) as an integer factor.

M = round(2^k sqrt(hidden)),  x = clamp26(round(e M / 2^s)),  s = fraction(e) + k - fraction(boundary 0) >= 1
"""

from __future__ import annotations

from math import isqrt

import numpy as np
import numpy.typing as npt

from assay.circuits.residual import BITS
from assay.prove.folder import Cells

_FACTOR_BITS = 30  # the factor is then exact to 2^-30 of itself, well below half a unit of 26 bits


def scaled_embedding(
    rows: Cells, hidden: int, fraction: int, boundary_fraction: int
) -> npt.NDArray[np.int32]:
    """Boundary 0 from rows of the embedding [T, hidden padded], int16."""
    k = max(_FACTOR_BITS, boundary_fraction - fraction + 1)
    shift = fraction + k - boundary_fraction
    factor = (isqrt(4 * hidden << 2 * k) + 1) // 2
    if shift < 1 or factor.bit_length() + 16 > 62:
        raise ValueError(f"an embedding of {fraction} fraction bits cannot give {boundary_fraction}")
    scaled = (rows.astype(np.int64) * factor + (1 << (shift - 1))) >> shift
    limit = 1 << (BITS - 1)
    clamped: npt.NDArray[np.int32] = np.clip(scaled, -limit, limit - 1).astype(np.int32)
    return clamped
