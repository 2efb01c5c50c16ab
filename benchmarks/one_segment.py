"""One circuit between random committed cells, proven by itself: what shapes.py and moe.py measure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay import _core
from assay.profiles import DEFAULT, PROFILES

PROFILE = PROFILES[DEFAULT]
BLOCK = 128
Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Timed:
    """A proof in zero knowledge that was verified; `seconds` are those of the prover's steps."""

    prove_s: float
    verify_s: float
    proof_bytes: int
    seconds: Mapping[str, float]


def random_cells(draw: np.random.Generator, rows: int, cols: int, kind: Any, reach: int) -> np.ndarray:
    """Cells from -reach to reach - 1, rows padded with zeros to whole blocks."""
    out = np.zeros((rows, -(-cols // BLOCK) * BLOCK), dtype=kind)
    out[:, :cols] = draw.integers(-reach, reach, (rows, cols), dtype=kind)
    return out


def prove_alone(
    name: str, circuit: _core.Circuit, weights: Tensors, boundaries: Tensors, cols: Mapping[str, int]
) -> Timed:
    """Commits both, then proves and verifies; `cols` are the tensors' columns without padding."""
    committed, known = _commitment("weights", weights, cols)
    recorded, stated = _commitment("boundaries", boundaries, cols)
    statement = _core.Statement(
        degree=PROFILE.degree,
        code=PROFILE.code.core(),
        required_bits=float(PROFILE.bits),
        instance=b"",
        weights=known,
        members=[stated],
        segments=[(name, circuit, 0)],
        hiding=True,
    )
    start = time.perf_counter()
    proof = _core.prove(statement, committed, [recorded], bytes(32), self_check=False)
    proven = time.perf_counter()
    _core.verify(statement, proof["body"])
    verified = time.perf_counter()
    return Timed(proven - start, verified - proven, len(proof["body"]), proof["seconds"])


def _commitment(name: str, given: Tensors, cols: Mapping[str, int]) -> tuple[Any, Any]:
    """Of these tensors, one below the other: for the prover and for the verifier."""
    code, slots, arrays, at = PROFILE.code, [], [], 0
    for tensor, array in given.items():
        arrays.append((at, array))
        slots.append((tensor, 0, at, array.shape[0], cols[tensor], array.itemsize))
        at += array.size // BLOCK
    rows = -(-at // code.row_blocks)
    made = _core.Commitment(name, code.core(), [(rows, arrays)], bytes(32))
    made.commit()
    return made, _core.LongLived(name, made.root, [rows], slots)
