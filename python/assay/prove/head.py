"""The exact model's logits, computed natively: what a log without served logits holds, and prover's advice.

Final norm and vocabulary are evaluated over a few positions at a time, piece by piece of the embedding, by
the text that proofs run (VOC.1-2), so that memory does not grow with positions or vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from assay import _core
from assay.circuits import forward
from assay.circuits.architecture import EMBEDDED
from assay.circuits.catalogue import config_of
from assay.circuits.head import head_input_ranged
from assay.circuits.vocabulary import LogitScale, logits
from assay.errors import InternalError
from assay.graph import Builder
from assay.prove.commit import Progress
from assay.prove.folder import RegisteredModel
from assay.public import PublicModel
from assay.segments import embedding_rows

SLAB = 16
Boundary = npt.NDArray[np.int32]
Logits = npt.NDArray[np.int16]
Ids = npt.NDArray[np.uint32]


def top_ids(model: RegisteredModel, boundary: Boundary, count: int, progress: Progress | None = None) -> Ids:
    """The ids of the `count` largest logits at every position, [T, count], smaller ids first among equals."""
    found = []
    for start in range(0, len(boundary), SLAB):
        found.append(_top(model, boundary[start : start + SLAB], count)[1])
        if progress is not None:
            progress("log", min(start + SLAB, len(boundary)), len(boundary))
    return np.concatenate(found)


def advice(
    model: RegisteredModel, boundary: Boundary, positions: Sequence[int], count: int
) -> dict[str, npt.NDArray[np.int32]]:
    """head.max and head.threshold [1, P] of a statement of distances: largest, `count`-th largest logit."""
    starts = range(0, len(positions), SLAB)
    rows = [_top(model, boundary[list(positions[start : start + SLAB])], count)[0] for start in starts]
    values = np.concatenate(rows).astype(np.int32)
    return {"head.max": values[:, :1].T, "head.threshold": values[:, -1:].T}


def _top(model: RegisteredModel, slab: Boundary, count: int) -> tuple[Logits, Ids]:
    """The `count` largest logits at a few positions, and their ids."""
    best: list[tuple[Logits, Ids]] = []
    for first, x in _pieces(model, slab):
        best = [_merged([*best, _largest(x, first, count)], count)]
    return best[0]


def _largest(logits: Logits, first: int, count: int) -> tuple[Logits, Ids]:
    order = np.argsort(~logits, axis=1, kind="stable")[:, :count]  # ~x reverses the order without overflow
    return np.take_along_axis(logits, order, axis=1), (order + first).astype(np.uint32)


def _merged(parts: Sequence[tuple[Logits, Ids]], count: int) -> tuple[Logits, Ids]:
    """The largest of several pieces, in the order of their ids."""
    logits = np.concatenate([values for values, _ in parts], axis=1)
    ids = np.concatenate([numbers for _, numbers in parts], axis=1)
    order = np.argsort(~logits, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(logits, order, axis=1), np.take_along_axis(ids, order, axis=1)


def _pieces(model: RegisteredModel, slab: Boundary) -> Iterator[tuple[int, Logits]]:
    """The first id and the logits [n, V_p] of each piece of the vocabulary, of rows of the last boundary."""
    public, name = model.public, f"boundary.{model.public.num_layers}"
    config = config_of(public.config)
    given = {tensor: model.weight(tensor) for tensor in config.outside_shapes() if tensor not in EMBEDDED}
    normed = _evaluated(_final(public, len(slab)), {name: slab, **given}, "head.input")
    first = 0
    for piece, rows in enumerate(embedding_rows(public)):
        circuit, tensor = _vocabulary(public, piece, len(slab))
        weight = f"{config.head}.{piece}"
        values = _evaluated(circuit, {"head.input": normed, weight: model.weight(weight)}, tensor)
        yield first, values[:, :rows].astype(np.int16, copy=False)
        first += rows


def _evaluated(
    circuit: _core.Circuit, given: dict[str, npt.NDArray[np.generic]], wanted: str
) -> npt.NDArray[np.generic]:
    try:
        return circuit.evaluate(given, [wanted])[wanted]
    except _core.EvaluationError as error:
        raise InternalError("no-witness", f"{circuit.name}, {error.args[0]}: {error.args[1]}") from error


def _final(public: PublicModel, rows: int) -> _core.Circuit:
    return _core.Circuit(forward.final(public.config, public.scales, rows, range(rows)))


def _vocabulary(public: PublicModel, piece: int, rows: int) -> tuple[_core.Circuit, str]:
    """(VOC.2) of a whole piece, and the name of its logits."""
    config = config_of(public.config)
    scale = LogitScale(public.scales.logits_shift, public.scales.of_head.logits, config.logit_cap)
    return whole_piece(
        f"{config.head}.{piece}", rows, embedding_rows(public)[piece], config.hidden_size, scale
    )


@lru_cache(maxsize=64)
def whole_piece(
    piece: str, positions: int, rows: int, hidden: int, scale: LogitScale
) -> tuple[_core.Circuit, str]:
    """(VOC.2) of all rows of a piece of the vocabulary, and the name of its logits [positions, rows]."""
    b = Builder(f"logits.{piece}")
    weight = b.weight(piece, rows, hidden)
    x = logits(b, head_input_ranged(b, positions, hidden), weight, scale)
    ((_, tensor),) = x.terms
    return _core.Circuit(b.finish()), b.tensors[tensor].name
