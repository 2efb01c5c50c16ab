"""The embedding of public tokens, as boundary 0.

The embedding e is committed in pieces of consecutive rows, with f_e fraction bits; boundary 0 has f_0.

    (EMB.1)  e[t, j] = sum over pieces p of gather(embedding.p, tokens)[t, j]
    (EMB.2)  boundary.0 = clamp26(round(e M / 2^s)),   M = round(2^k sqrt(hidden)),   s = f_e + k - f_0

A gather has the token's row in the piece where it lies, and 0 in the others (an index of -1).

Bounds: so |e| <= 2^15 whatever the number of pieces. M is exact to 2^-30 of itself, well below half a unit
of 26 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np
from assay.circuits.residual import BITS
from assay.circuits.rounding import rounded

from assay.graph import Builder, CircuitError, Domain, Interval, Poly, PublicTable, Wire

CELLS = Interval.signed(16)
_FACTOR_BITS = 30
_LARGEST_PRODUCT = 62  # bits of e M


def scaling(hidden: int, fraction: int, boundary_fraction: int) -> tuple[int, int]:
    """M and s of (EMB.2)."""
    k = max(_FACTOR_BITS, boundary_fraction - fraction + 1)
    factor = (isqrt(4 * hidden << 2 * k) + 1) // 2
    shift = fraction + k - boundary_fraction
    if shift < 1 or factor.bit_length() + 16 > _LARGEST_PRODUCT:
        raise CircuitError(
            "circuit-scale", f"an embedding of {fraction} fraction bits cannot give {boundary_fraction}"
        )
    return factor, shift


def embed(b: Builder, pieces: Sequence[Wire], tokens: Sequence[int], *, factor: int, shift: int) -> Wire:
    """boundary.0 [T, hidden] of (EMB.1-2), from pieces [rows, hidden]."""
    domain = Domain(len(tokens), pieces[0].cols)
    total = Poly()
    for piece, index in zip(pieces, token_rows(b, [p.rows for p in pieces], tokens), strict=True):
        total = total + piece.gather(index)
    acc = b.value(total * factor, domain).bounded(CELLS.scaled(factor))
    out = b.boundary("boundary.0", domain.rows, domain.cols, BITS)
    return rounded(b, "embedding", acc, shift, BITS, into=out)


def token_rows(b: Builder, rows: Sequence[int], tokens: Sequence[int]) -> list[PublicTable]:
    """For each piece the rows of the tokens in it, [1, T], -1 where a token lies in another."""
    ids = np.array([tokens], dtype=np.int64)
    return [b.public(f"tokens.{p}", rows_within(ids, rows, p)) for p in range(len(rows))]


def rows_within(ids: np.ndarray, rows: Sequence[int], piece: int) -> np.ndarray:
    """Ids of the whole as rows of one piece, -1 where they lie in another."""
    start = sum(rows[:piece])
    return np.where((ids >= start) & (ids < start + rows[piece]), ids - start, -1)
