"""A forward pass as circuits: what stands before and after the layers.

    embedding       tokens -> boundary.0                                       EMB
    (layers)        boundary.l -> boundary.(l+1)                               circuits/layer.py
    final           boundary.L at the positions asked for -> head.input        FIN
    vocabulary p    head.input -> logits of piece p of the embedding           VOC
    distances       shares of all pieces -> distances at each position         DIST

and of an encoder, after the layers,

    pooling         boundary.L -> the sum of its rows                          POOL

Tokens, positions, ids and served probabilities are public and part of the circuits. Segments meet in the
tensors that they name alike (`head.py`, boundaries), each of which is committed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from assay.circuits import head
from assay.circuits.architecture import ADDED, Architecture
from assay.circuits.catalogue import Configured, config_of
from assay.circuits.distances import UNITS, served_distance
from assay.circuits.embedding import Rows, aligned, embed, embed_normed, rows_within, scaling
from assay.circuits.exponential import ROWS, exp_table
from assay.circuits.final_norm import rows_at
from assay.circuits.head import EXP_BITS, INPUT_BITS
from assay.circuits.layer import Given
from assay.circuits.pooling import pooled
from assay.circuits.relations import Exact, Relations
from assay.circuits.residual import boundary_in, stream_bits
from assay.circuits.rms_norm import epsilon
from assay.circuits.scales import ModelScales, norm_shift, root_bits
from assay.circuits.vocabulary import Ids, LogitScale, distance_share, named_logits

from assay.graph import Builder, CircuitError, Wire

__all__ = ["UNITS", "distances", "embedding", "final", "pooling", "served_distribution", "vocabulary"]


# ---- the circuits ----


def embedding(
    config: Configured,
    scales: ModelScales,
    tokens: Sequence[int],
    pieces: Sequence[int],
) -> bytes:
    """boundary.0 [T, hidden] of public tokens; `pieces` are the rows of each piece of the embedding."""
    return build_embedding(config, scales, tokens, pieces).finish()


def final(config: Configured, scales: ModelScales, tokens: int, positions: Sequence[int]) -> bytes:
    """head.input [P, hidden] of boundary.L [tokens, hidden] at ascending positions."""
    return build_final(config, scales, tokens, positions).finish()


def vocabulary(
    config: Configured,
    scales: ModelScales,
    piece: int,
    pieces: Sequence[int],
    ids: Sequence[Sequence[int]],
    *,
    distances: bool,
) -> bytes:
    """Piece `piece` at the ids [P][K]: the output "logits", or with `distances` its share of them."""
    return build_vocabulary(config, scales, piece, pieces, ids, distances=distances).finish()


def distances(
    config: Configured,
    scales: ModelScales,
    pieces: int,
    served: Sequence[Sequence[int]],
) -> bytes:
    """The outputs "tv" and "top_k" [1, P] for the served distribution [P][K], from all pieces' shares."""
    return build_distances(config, scales, pieces, served).finish()


def pooling(config: Configured, scales: ModelScales, tokens: int) -> bytes:
    """The output "pooled" [1, hidden] of boundary.L [tokens, hidden]."""
    return build_pooling(config, scales, tokens).finish()


# ---- the same, not yet checked and encoded ----


def build_embedding(
    config: Configured,
    scales: ModelScales,
    tokens: Sequence[int],
    pieces: Sequence[int],
) -> Builder:
    """EMB."""
    shape = config_of(config)
    _require_pieces(shape, pieces)
    _require_ids(shape, [tokens])
    b = Builder(f"{shape.covers}.embedding")
    weights = [_piece(b, "embedding", shape, pieces, p) for p in range(len(pieces))]
    if shape.embedding_factor != 1:
        factor, shift = scaling(shape.hidden_size, scales.weight("embedding"), scales.boundary(0))
        embed(b, weights, tokens, factor=factor, shift=shift)
        return b
    _added(b, shape, scales, weights, tokens)
    return b


def _added(
    b: Builder, shape: Architecture, scales: ModelScales, pieces: Sequence[Wire], tokens: Sequence[int]
) -> None:
    """(EMB.2) without a factor, then (EMB.3) or (EMB.4)."""
    shapes, out = shape.outside_shapes(), scales.boundary(0)
    names = [name for name in ADDED if name in shapes]
    fractions = [scales.weight(name) for name in ("embedding", *names)]
    normed = "embedding_norm" in shapes
    (up, *ups), shift = aligned(fractions, max(fractions) if normed else out)
    rows = {name: Rows(b.weight(name, *shapes[name]), u) for name, u in zip(names, ups, strict=True)}
    positions, token_types = map(rows.get, ADDED)
    if not normed:
        embed(b, pieces, tokens, factor=1 << up, shift=shift, positions=positions, token_types=token_types)
        return
    gain, bias = (b.weight(name, 1, shape.hidden_size) for name in ("embedding_norm", "embedding_norm_bias"))
    fraction = scales.weight("embedding_norm")
    root = root_bits(fraction, out)
    embed_normed(
        b,
        pieces,
        tokens,
        gain,
        bias,
        factor=1 << up,
        root=root,
        shift=norm_shift(fraction, out),
        up=root + fraction - scales.weight("embedding_norm_bias"),
        eps=epsilon(shape.embedding_eps, shape.hidden_size, max(fractions)),
        positions=positions,
        token_types=token_types,
    )


def build_final(config: Configured, scales: ModelScales, tokens: int, positions: Sequence[int]) -> Builder:
    """FIN."""
    shape = config_of(config)
    _require_positions(tokens, positions)
    b = Builder(f"{shape.covers}.final")
    boundary = b.boundary(
        f"boundary.{shape.num_layers}", tokens, shape.hidden_size, stream_bits(shape.hidden_size)
    )
    x = rows_at(b, boundary, positions)
    out = head.head_input(b, len(positions), shape.hidden_size)
    m = Relations(b, "", shape.outside_shapes(), len(positions), Given(scales.of_head.sites, scales.weights))
    value = Exact(x, scales.boundary(shape.num_layers), "residual_in")
    m.head_input(shape.final(m, value), out, INPUT_BITS)
    return b


def build_vocabulary(
    config: Configured,
    scales: ModelScales,
    piece: int,
    pieces: Sequence[int],
    ids: Sequence[Sequence[int]],
    *,
    distances: bool,
) -> Builder:
    """VOC."""
    shape = config_of(config)
    _require_pieces(shape, pieces)
    if not 0 <= piece < len(pieces):
        raise CircuitError("circuit-shape", f"piece {piece} is not one of {len(pieces)}")
    rows = rows_within(_require_ids(shape, ids, distinct=True), pieces, piece)
    b = Builder(f"{shape.covers}.vocabulary.{piece}")
    h = head.head_input_ranged(b, len(ids), shape.hidden_size)
    weight = _piece(b, shape.head, shape, pieces, piece)
    scale = LogitScale(scales.logits_shift, scales.of_head.logits, shape.logit_cap)
    if distances:
        distance_share(
            b, h, weight, rows, scale, head.share(b, piece, len(ids), len(ids[0]), shape.vocab_size)
        )
    else:
        named_logits(b, h, weight, rows, scale)
    return b


def build_distances(
    config: Configured,
    scales: ModelScales,
    pieces: int,
    served: Sequence[Sequence[int]],
) -> Builder:
    """DIST."""
    shape = config_of(config)
    q = _rectangle(served, "served probabilities")
    if pieces < 1 or q.min() < 0 or (q.sum(axis=1) != UNITS).any():
        raise CircuitError("circuit-shape", f"served probabilities of a position sum up to {UNITS}")
    b = Builder(f"{shape.covers}.distances")
    shares = [head.share(b, p, len(served), len(served[0]), shape.vocab_size) for p in range(pieces)]
    served_distance(b, shares, q, shape.vocab_size)
    return b


def build_pooling(config: Configured, scales: ModelScales, tokens: int) -> Builder:
    """POOL."""
    shape = config_of(config)
    if not shape.encodes or scales.head is not None:
        raise CircuitError("circuit-config", f"{shape.title} gives logits, not vectors")
    if tokens < 1:
        raise CircuitError("circuit-shape", f"{tokens} tokens")
    b = Builder(f"{shape.covers}.pooling")
    pooled(b, boundary_in(b, f"boundary.{shape.num_layers}", tokens, shape.hidden_size))
    return b


# ---- the served distribution ----


def served_distribution(logits: Sequence[int], fraction: int) -> tuple[int, ...]:
    """q: the distribution of fixed-point logits (int16, `fraction` bits) in units of 2^-18, sum exactly 2^18.

    By the table of VOC.3; each is rounded down, and what is left goes to the largest remainders, one each,
    the first of equal ones first.
    """
    if not logits or max(logits) - min(logits) >= ROWS:
        raise CircuitError("circuit-shape", "logits of no distribution of 16 bits")
    (values, _) = exp_table(LogitScale(0, fraction, None).rate, EXP_BITS).images
    e = [int(values[max(logits) - x]) for x in logits]
    total = sum(e)
    q, rest = zip(*(divmod(UNITS * v, total) for v in e), strict=True)
    order = sorted(range(len(e)), key=lambda k: -rest[k])
    extra = set(order[: UNITS - sum(q)])
    return tuple(v + (k in extra) for k, v in enumerate(q))


# ---- arguments ----


def _piece(b: Builder, table: str, shape: Architecture, pieces: Sequence[int], piece: int) -> Wire:
    return b.weight(f"{table}.{piece}", pieces[piece], shape.hidden_size)


def _require_pieces(shape: Architecture, pieces: Sequence[int]) -> None:
    if not pieces or min(pieces) < 1 or sum(pieces) != shape.vocab_size:
        raise CircuitError("circuit-shape", f"pieces of {shape.vocab_size} rows in all, none of them empty")


def _require_positions(tokens: int, positions: Sequence[int]) -> None:
    ascending = all(a < b for a, b in pairwise(positions))
    if not positions or not ascending or positions[0] < 0 or positions[-1] >= tokens:
        raise CircuitError("circuit-shape", f"ascending positions below {tokens}")


def _require_ids(shape: Architecture, ids: Sequence[Sequence[int]], *, distinct: bool = False) -> Ids:
    """Token ids [rows][columns], inside the vocabulary and if asked for distinct in a row."""
    values = _rectangle(ids, "token ids")
    if values.min() < 0 or values.max() >= shape.vocab_size:
        raise CircuitError("circuit-shape", f"token ids below {shape.vocab_size}")
    if distinct and any(len(set(row)) < len(row) for row in ids):
        raise CircuitError("circuit-shape", "an id is named twice for a position")
    return values


def _rectangle(rows: Sequence[Sequence[int]], what: str) -> npt.NDArray[np.int64]:
    if not rows or not rows[0] or len({len(row) for row in rows}) != 1:
        raise CircuitError("circuit-shape", f"{what}: as many for each position, at least one")
    return np.array(rows, dtype=np.int64)
