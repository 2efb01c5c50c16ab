"""Boundary 0: the exact embedding, scaled by sqrt(hidden) as an integer factor: EMB.2."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assay.circuits.embedding import scaling
from assay.circuits.residual import BITS
from assay.prove.folder import Cells


def scaled_embedding(
    rows: Cells, hidden: int, fraction: int, boundary_fraction: int
) -> npt.NDArray[np.int32]:
    """Boundary 0 from rows of the embedding [T, hidden padded], int16."""
    factor, shift = scaling(hidden, fraction, boundary_fraction)
    scaled = (rows.astype(np.int64) * factor + (1 << (shift - 1))) >> shift
    limit = 1 << (BITS - 1)
    clamped: npt.NDArray[np.int32] = np.clip(scaled, -limit, limit - 1).astype(np.int32)
    return clamped
