"""A forward pass as circuits: what stands before and after the layers.

    embedding       tokens -> boundary.0                                       EMB
    (layers)        boundary.l -> boundary.(l+1)                               circuits/gemma3.py
    final           boundary.L at the positions asked for -> head.input        FIN
    vocabulary p    head.input -> logits of piece p of the embedding           VOC
    distances       shares of all pieces -> distances at each position         DIST

Tokens, positions, ids and served probabilities are public and part of the circuits. Segments meet in the
tensors that they name alike (`head.py`, boundaries), each of which is committed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from assay.circuits import head
from assay.circuits.distances import UNITS, served_distance
from assay.circuits.embedding import embed, rows_within, scaling
from assay.circuits.exponential import ROWS, exp_table
from assay.circuits.final_norm import final_norm, rows_at
from assay.circuits.gemma3 import Config
from assay.circuits.head import EXP_BITS
from assay.circuits.residual import BITS
from assay.circuits.rms_norm import epsilon
from assay.circuits.scales import ModelScales
from assay.circuits.vocabulary import Ids, LogitScale, distance_share, named_logits

from assay.graph import Builder, CircuitError, Wire

__all__ = ["UNITS", "distances", "embedding", "final", "served_distribution", "vocabulary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes and constants outside the layers; `cap` is that of the logits, if any."""

    vocabulary: int
    hidden: int
    layers: int
    eps: float
    cap: float | None

    @staticmethod
    def of(config: Config | Mapping[str, Any]) -> ModelShape:
        """Of a Gemma 3 configuration, as an object or as its dictionary."""
        raw = config if isinstance(config, Mapping) else config.to_dict()
        if raw.get("architecture") != "gemma3":
            raise CircuitError("circuit-config", "not a Gemma 3 model")
        shape = ModelShape(
            vocabulary=raw["vocab_size"],
            hidden=raw["hidden_size"],
            layers=raw["num_layers"],
            eps=raw["rms_norm_eps"],
            cap=raw.get("final_logit_softcapping"),
        )
        if min(shape.vocabulary, shape.hidden, shape.layers) < 1 or not 0 <= shape.eps < 1:
            raise CircuitError("circuit-config", "a size or constant of the configuration is out of range")
        return shape


# ---- the circuits ----


def embedding(
    config: Config | Mapping[str, Any], scales: ModelScales, tokens: Sequence[int], pieces: Sequence[int]
) -> bytes:
    """boundary.0 [T, hidden] of public tokens; `pieces` are the rows of each piece of the embedding."""
    return build_embedding(config, scales, tokens, pieces).finish()


def final(
    config: Config | Mapping[str, Any], scales: ModelScales, tokens: int, positions: Sequence[int]
) -> bytes:
    """head.input [P, hidden] of boundary.L [tokens, hidden] at ascending positions."""
    return build_final(config, scales, tokens, positions).finish()


def vocabulary(
    config: Config | Mapping[str, Any],
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
    config: Config | Mapping[str, Any], scales: ModelScales, pieces: int, served: Sequence[Sequence[int]]
) -> bytes:
    """The outputs "tv" and "top_k" [1, P] for the served distribution [P][K], from all pieces' shares."""
    return build_distances(config, scales, pieces, served).finish()


# ---- the same, not yet checked and encoded ----


def build_embedding(
    config: Config | Mapping[str, Any], scales: ModelScales, tokens: Sequence[int], pieces: Sequence[int]
) -> Builder:
    """EMB."""
    shape = ModelShape.of(config)
    _require_pieces(shape, pieces)
    _require_ids(shape, [tokens])
    b = Builder("gemma3.embedding")
    factor, shift = scaling(shape.hidden, scales.weight("embedding"), scales.boundary(0))
    weights = [_piece(b, shape, pieces, p) for p in range(len(pieces))]
    embed(b, weights, tokens, factor=factor, shift=shift)
    return b


def build_final(
    config: Config | Mapping[str, Any], scales: ModelScales, tokens: int, positions: Sequence[int]
) -> Builder:
    """FIN."""
    shape = ModelShape.of(config)
    _require_positions(tokens, positions)
    b = Builder("gemma3.final")
    x = rows_at(b, b.boundary(f"boundary.{shape.layers}", tokens, shape.hidden, BITS), positions)
    eps = epsilon(shape.eps, shape.hidden, scales.boundary(shape.layers))
    out = head.head_input(b, len(positions), shape.hidden)
    final_norm(
        b,
        x,
        b.weight("final_norm", 1, shape.hidden),
        out,
        root=scales.final_norm_root,
        shift=scales.final_norm_shift,
        eps=eps,
    )
    return b


def build_vocabulary(
    config: Config | Mapping[str, Any],
    scales: ModelScales,
    piece: int,
    pieces: Sequence[int],
    ids: Sequence[Sequence[int]],
    *,
    distances: bool,
) -> Builder:
    """VOC."""
    shape = ModelShape.of(config)
    _require_pieces(shape, pieces)
    if not 0 <= piece < len(pieces):
        raise CircuitError("circuit-shape", f"piece {piece} is not one of {len(pieces)}")
    rows = rows_within(_require_ids(shape, ids, distinct=True), pieces, piece)
    b = Builder(f"gemma3.vocabulary.{piece}")
    h = head.head_input_ranged(b, len(ids), shape.hidden)
    weight = _piece(b, shape, pieces, piece)
    scale = LogitScale(scales.logits_shift, scales.head.logits, shape.cap)
    if distances:
        distance_share(
            b, h, weight, rows, scale, head.share(b, piece, len(ids), len(ids[0]), shape.vocabulary)
        )
    else:
        named_logits(b, h, weight, rows, scale)
    return b


def build_distances(
    config: Config | Mapping[str, Any], scales: ModelScales, pieces: int, served: Sequence[Sequence[int]]
) -> Builder:
    """DIST."""
    shape = ModelShape.of(config)
    q = _rectangle(served, "served probabilities")
    if pieces < 1 or q.min() < 0 or (q.sum(axis=1) != UNITS).any():
        raise CircuitError("circuit-shape", f"served probabilities of a position sum up to {UNITS}")
    b = Builder("gemma3.distances")
    shares = [head.share(b, p, len(served), len(served[0]), shape.vocabulary) for p in range(pieces)]
    served_distance(b, shares, q, shape.vocabulary)
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


def _piece(b: Builder, shape: ModelShape, pieces: Sequence[int], piece: int) -> Wire:
    return b.weight(f"embedding.{piece}", pieces[piece], shape.hidden)


def _require_pieces(shape: ModelShape, pieces: Sequence[int]) -> None:
    if not pieces or min(pieces) < 1 or sum(pieces) != shape.vocabulary:
        raise CircuitError("circuit-shape", f"pieces of {shape.vocabulary} rows in all, none of them empty")


def _require_positions(tokens: int, positions: Sequence[int]) -> None:
    ascending = all(a < b for a, b in pairwise(positions))
    if not positions or not ascending or positions[0] < 0 or positions[-1] >= tokens:
        raise CircuitError("circuit-shape", f"ascending positions below {tokens}")


def _require_ids(shape: ModelShape, ids: Sequence[Sequence[int]], *, distinct: bool = False) -> Ids:
    """Token ids [rows][columns], inside the vocabulary and if asked for distinct in a row."""
    values = _rectangle(ids, "token ids")
    if values.min() < 0 or values.max() >= shape.vocabulary:
        raise CircuitError("circuit-shape", f"token ids below {shape.vocabulary}")
    if distinct and any(len(set(row)) < len(row) for row in ids):
        raise CircuitError("circuit-shape", "an id is named twice for a position")
    return values


def _rectangle(rows: Sequence[Sequence[int]], what: str) -> npt.NDArray[np.int64]:
    if not rows or not rows[0] or len({len(row) for row in rows}) != 1:
        raise CircuitError("circuit-shape", f"{what}: as many for each position, at least one")
    return np.array(rows, dtype=np.int64)
