"""The embedding of public tokens, as boundary 0.

The embedding e is committed in pieces of consecutive rows, with f_e fraction bits; boundary 0 has f_0.

    (EMB.1)  e[t, j] = sum over pieces p of gather(embedding.p, tokens)[t, j]
    (EMB.2)  acc[t, j] = M e[t, j] + 2^u positions[t, j] + 2^v token_types[0, j]        (never committed)
    (EMB.3)  boundary.0 = clamp26(round(acc / 2^s))

and in a model that norms the sum, for gain and bias of its own,

    (EMB.4)  x[t, j] = acc[t, j],   boundary.0 = clamp26(layer_norm(x))                 LNORM.1-6, CLAMP.1-4

A gather has the token's row in the piece where it lies, and 0 in the others (an index of -1). Learned
positions and token types are weights of their own, which not every model has. M brings e to the fraction of
acc: a power of two, or in a model that scales it M = round(2^k sqrt(hidden)), with s = f_e + k - f_0.

x is committed, and defined by (EMB.4): it is exact, and needs no range check.

Bounds: |e| <= 2^15 whatever the number of pieces, so |acc| <= 2^15 (M + 2^u + 2^v). M is exact to 2^-30 of
itself where it is no power of two, well below half a unit of 26 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from assay.circuits.layer_norm import layer_norm
from assay.circuits.residual import stream_bits
from assay.circuits.rounding import rounded

from assay.graph import Accumulator, Builder, CircuitError, Domain, Interval, Poly, PublicTable, Wire

CELLS = Interval.signed(16)
_FACTOR_BITS = 30
_LARGEST_PRODUCT = 62  # bits of e M
_MOST_UP = 30


def scaling(hidden: int, fraction: int, boundary_fraction: int) -> tuple[int, int]:
    """M and s of (EMB.3) in a model that scales by sqrt(hidden), and adds nothing."""
    k = max(_FACTOR_BITS, boundary_fraction - fraction + 1)
    factor = (isqrt(4 * hidden << 2 * k) + 1) // 2
    shift = fraction + k - boundary_fraction
    if shift < 1 or factor.bit_length() + 16 > _LARGEST_PRODUCT:
        raise CircuitError(
            "circuit-scale", f"an embedding of {fraction} fraction bits cannot give {boundary_fraction}"
        )
    return factor, shift


@dataclass(frozen=True, slots=True)
class Rows:
    """A weight whose rows are added to those of the tokens, and u or v of (EMB.2)."""

    weight: Wire
    up: int


def aligned(fractions: Sequence[int], out: int) -> tuple[list[int], int]:
    """What brings each of the weights of (EMB.2) to the fraction of acc, and s to `out`: no bit is lost."""
    most = max(*fractions, out)
    ups, shift = [most - f for f in fractions], most - out
    if max(ups) > _MOST_UP:
        raise CircuitError("circuit-scale", f"an embedding that adds weights of {list(fractions)} bits")
    return ups, shift


def embed(
    b: Builder,
    pieces: Sequence[Wire],
    tokens: Sequence[int],
    *,
    factor: int,
    shift: int,
    positions: Rows | None = None,
    token_types: Rows | None = None,
) -> Wire:
    """boundary.0 [T, hidden] of (EMB.1-3), from pieces [rows, hidden]."""
    acc = embedded(b, pieces, tokens, factor=factor, positions=positions, token_types=token_types)
    bits = stream_bits(acc.domain.cols)
    out = b.boundary("boundary.0", acc.domain.rows, acc.domain.cols, bits)
    return rounded(b, "embedding", acc, shift, bits, into=out)


def embed_normed(
    b: Builder,
    pieces: Sequence[Wire],
    tokens: Sequence[int],
    gain: Wire,
    bias: Wire,
    *,
    factor: int,
    root: int,
    shift: int,
    up: int,
    eps: int,
    positions: Rows | None = None,
    token_types: Rows | None = None,
) -> Wire:
    """boundary.0 [T, hidden] of (EMB.1-2) and (EMB.4); root, shift, up and eps are those of the norm."""
    acc = embedded(b, pieces, tokens, factor=factor, positions=positions, token_types=token_types)
    x = b.commit("embedding", acc)
    b.tensor_fact("embedding.bounds", x, "(EMB.1-2): a token lies in one of the pieces")
    bits = stream_bits(x.cols)
    out = b.boundary("boundary.0", x.rows, x.cols, bits)
    return layer_norm(
        b, "embedding_norm", x, gain, bias, root=root, shift=shift, up=up, bits=bits, eps=eps, into=out
    )


def embedded(
    b: Builder,
    pieces: Sequence[Wire],
    tokens: Sequence[int],
    *,
    factor: int = 1,
    positions: Rows | None = None,
    token_types: Rows | None = None,
) -> Accumulator:
    """acc [T, hidden] of (EMB.1-2)."""
    domain = Domain(len(tokens), pieces[0].cols)
    total = Poly()
    for piece, index in zip(pieces, token_rows(b, [p.rows for p in pieces], tokens), strict=True):
        total = total + piece.gather(index)
    total, bounds = total * factor, CELLS.scaled(factor)
    for name, added, rows in (
        ("positions", positions, range(domain.rows)),
        ("token_types", token_types, [0] * domain.rows),
    ):
        if added is not None:
            total = total + _rows(b, name, added, rows, domain.cols) * (1 << added.up)
            bounds = bounds + CELLS.scaled(1 << added.up)
    return b.value(total, domain).bounded(bounds)


def _rows(b: Builder, name: str, added: Rows, rows: Sequence[int], hidden: int) -> Poly:
    """Rows of a weight that (EMB.2) adds."""
    weight = added.weight
    if weight.cols != hidden or max(rows) >= weight.rows:
        raise CircuitError(
            "circuit-shape",
            f"{name}: row {max(rows)} of {hidden} entries from a weight of {weight.rows} by {weight.cols}",
        )
    if not 0 <= added.up <= _MOST_UP:
        raise CircuitError("circuit-scale", f"{name}: shifted up by {added.up} bits; 0 to {_MOST_UP}")
    return Poly.of(weight.gather(b.public(f"{name}.rows", np.array([rows], dtype=np.int64))))


def token_rows(b: Builder, rows: Sequence[int], tokens: Sequence[int]) -> list[PublicTable]:
    """For each piece the rows of the tokens in it, [1, T], -1 where a token lies in another."""
    ids = np.array([tokens], dtype=np.int64)
    return [b.public(f"tokens.{p}", rows_within(ids, rows, p)) for p in range(len(rows))]


def rows_within(ids: np.ndarray, rows: Sequence[int], piece: int) -> np.ndarray:
    """Ids of the whole as rows of one piece, -1 where they lie in another."""
    start = sum(rows[:piece])
    return np.where((ids >= start) & (ids < start + rows[piece]), ids - start, -1)
