"""One circuit of Assay alone: its weights committed, their range proven, then a proof of it.

What a registered model has in folders is made here in memory. Inputs are the prover's; what the circuit
puts out is public.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from assay.circuits.registration import ranged

from assay import _core
from assay.graph import Builder, Source
from assay.layout import BLOCK
from assay.profiles import DEFAULT, PROFILES, Code

Arrays = Mapping[str, np.ndarray]
PROFILE = PROFILES[DEFAULT]


@dataclass(frozen=True, slots=True)
class Committed:
    """Weights under a root, as the prover and as the verifier have them."""

    code: Code
    held: Any
    known: Any

    @staticmethod
    def of(weights: Arrays, code: Code) -> Committed:
        """Commits int16 tensors [rows, columns]."""
        slots, cells, at = [], [], 0
        for name, values in weights.items():
            padded = padding(values).astype(np.int16)
            cells.append((at, padded))
            slots.append((name, 0, at, *values.shape, padded.itemsize))
            at += padded.size // BLOCK
        rows = -(-at // code.row_blocks)
        held = _core.Commitment("weights", code.core(), [(rows, cells)], os.urandom(32))
        held.commit()
        return Committed(code, held, _core.LongLived("weights", held.root, [rows], slots))

    def statement(self, name: str, circuit: bytes) -> _core.Statement:
        """That the circuit holds of these weights, in zero knowledge."""
        return _core.Statement(
            degree=PROFILE.degree,
            code=self.code.core(),
            required_bits=float(PROFILE.bits),
            instance=b"",
            weights=self.known,
            members=[None],
            segments=[(name, _core.Circuit(circuit), 0)],
            hiding=True,
        )

    def prove(self, statement: _core.Statement, inputs: Arrays) -> dict[str, Any]:
        """A proof, as `_core.prove` reports it."""
        advice = {name: x.astype(np.int64) for name, x in inputs.items()}
        return _core.prove(statement, self.held, [], os.urandom(32), advice=[advice])


def padding(values: np.ndarray) -> np.ndarray:
    """Rows filled up to whole blocks."""
    return np.pad(values, ((0, 0), (0, -values.shape[1] % BLOCK)))


def range_circuit(b: Builder) -> bytes:
    """That the weights of a circuit are in the range that its bounds take for granted."""
    weights = [t for t in b.tensors if t.source is Source.WEIGHT]
    return ranged("registration", [(t.name, t.shape.rows, t.shape.cols) for t in weights])
