"""The circuits around the layers as small statements: a vocabulary of twelve ids in three pieces."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from assay.circuits import forward
from assay.circuits.distances import UNITS
from assay.circuits.scales import ModelScales
from cheating import Case, Cells

from assay.reference.circuit import evaluate

EXAMPLE = json.loads((files("assay.cli") / "gemma3_270m.json").read_text())
SCALES = ModelScales.from_dict(EXAMPLE["scales"])
HIDDEN, LAST = 8, f"boundary.{len(SCALES.layers)}"
PIECES = (5, 1, 6)
CONFIG: dict[str, Any] = {
    **EXAMPLE["config"],
    "vocab_size": sum(PIECES),
    "hidden_size": HIDDEN,
    "embed_scale": math.sqrt(HIDDEN),
}
IDS = ([0, 4, 5, 11], [6, 3, 2, 1], [5, 10, 7, 8])
_HALF = 1 << 15


def _draw(seed: int, low: int, high: int, *shape: int) -> Cells:
    return np.random.default_rng(seed).integers(low, high, shape)


@lru_cache
def _table() -> Cells:
    """Rows of the embedding, the last at both bounds."""
    out = _draw(1, -_HALF + 1, _HALF, sum(PIECES), HIDDEN)
    out[-1], out[-1, ::2] = 1 - _HALF, _HALF - 1
    return out


@lru_cache
def _input() -> Cells:
    """head.input; the last row meets the last id beyond the range of a logit."""
    h = _draw(2, -(1 << 9), 1 << 9, len(IDS), HIDDEN)
    h[-1], h[-1, ::2] = -(1 << 19), (1 << 19) - 1
    return h


def _piece(piece: int) -> dict[str, Cells]:
    start = sum(PIECES[:piece])
    return {f"embedding.{piece}": _table()[start : start + PIECES[piece]]}


@lru_cache
def _logits() -> Cells:
    acc = _input().astype(object) @ _table().T.astype(object) + (1 << SCALES.logits_shift - 1)
    return np.clip(acc >> SCALES.logits_shift, -_HALF, _HALF - 1).astype(np.int64)


def _advice() -> dict[str, Cells]:
    x = np.sort(_logits(), axis=1)
    return {"head.max": x[:, -1:].T, "head.threshold": x[:, -4:-3].T}


@lru_cache
def embedding_case() -> Case:
    raw = forward.embedding(CONFIG, SCALES, [3, 11, 5], PIECES)
    return Case(raw, {name: cells for p in range(3) for name, cells in _piece(p).items()})


@lru_cache
def final_case() -> Case:
    x = _draw(3, -(1 << 20), 1 << 20, 4, HIDDEN)
    x[2], x[2, 5] = 0, -(1 << 25)  # saturates
    gain = _draw(4, -_HALF + 1, _HALF, 1, HIDDEN)
    gain[0, 5] = _HALF - 1
    return Case(forward.final(CONFIG, SCALES, 4, [0, 2]), {LAST: x, "final_norm": gain})


@lru_cache
def named_case() -> Case:
    raw = forward.vocabulary(CONFIG, SCALES, 2, PIECES, IDS, distances=False)
    return Case(raw, {"head.input": _input(), **_piece(2)})


def _shared(piece: int) -> tuple[bytes, dict[str, Cells]]:
    raw = forward.vocabulary(CONFIG, SCALES, piece, PIECES, IDS, distances=True)
    return raw, {"head.input": _input(), **_advice(), **_piece(piece)}


@lru_cache
def share_case() -> Case:
    return Case(*_shared(2))


@lru_cache
def distances_case() -> Case:
    kinds = ("mass", "zeros", "excess", "exp", "logit")
    shares: dict[str, Cells] = {"head.threshold": _advice()["head.threshold"]}
    for piece in range(3):
        cells = evaluate(*_shared(piece))
        shares |= {f"{kind}.{piece}": cells[f"{kind}.{piece}"] for kind in kinds}
    served = [(UNITS, 0, 0, 0), (UNITS // 4,) * 4, forward.served_distribution([300, 20, -70, 5], 8)]
    return Case(forward.distances(CONFIG, SCALES, 3, served), shares)
