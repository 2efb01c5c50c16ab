"""The extension's proofs of tiny.py's statement."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from tiny import BITS, BOUNDARIES, CIRCUITS, CODE, PART_ROWS, WEIGHTS, cells, statement

from assay import _core
from assay.errors import VerificationError
from assay.layout import Slot
from assay.reference import Statement, verify_body

Outcome = tuple[Any, ...]
_TYPES = {2: np.int16, 4: np.int32, 8: np.int64}


def padded(values: np.ndarray, slot: Slot) -> np.ndarray:
    """Rows filled up with zeros to whole blocks."""
    out = np.zeros((slot.rows, slot.stride), _TYPES[slot.cell_bytes])
    out[:, : slot.cols] = values
    return out


class Tiny:
    """One model and request: its commitments, the statement in both forms, and proofs of it."""

    def __init__(
        self,
        degree: int,
        *,
        hiding: bool = True,
        seed: int = 1,
        keys: tuple[bytes, bytes] = (bytes(32), bytes([1]) * 32),
        names: tuple[str, ...] = ("mixed", "given"),
    ) -> None:
        self.degree, self.hiding, self.names = degree, hiding, names
        given = cells(seed)
        self.weights = self._committed("weights", WEIGHTS, given, keys[0])
        self.boundaries = self._committed("boundaries", BOUNDARIES, given, keys[1])

    def _committed(self, name: str, slots: tuple[Slot, ...], given: dict[str, np.ndarray], key: bytes) -> Any:
        parts = [
            (rows, [(s.first_block, padded(given[s.name], s)) for s in slots if s.part == part])
            for part, rows in enumerate(PART_ROWS[name])
        ]
        out = _core.Commitment(name, CODE.core(), parts, key)
        out.commit()
        return out

    @cached_property
    def core(self) -> Any:
        """As the extension takes it."""
        longlived = [
            _core.LongLived(name, own.root, list(PART_ROWS[name]), [tuple(s.to_list()) for s in slots])
            for name, own, slots in (
                ("weights", self.weights, WEIGHTS),
                ("boundaries", self.boundaries, BOUNDARIES),
            )
        ]
        return _core.Statement(
            degree=self.degree,
            code=CODE.core(),
            required_bits=BITS,
            instance=b"a request",
            weights=longlived[0],
            members=[longlived[1]],
            segments=[(name, _core.Circuit(CIRCUITS[name]), 0) for name in self.names],
            hiding=self.hiding,
        )

    @cached_property
    def reference(self) -> Statement:
        """As the reference takes it."""
        roots = {"weights": self.weights.root, "boundaries": self.boundaries.root}
        return statement(self.degree, hiding=self.hiding, names=self.names, **roots)

    def prove(self, seed: bytes = bytes(32), **options: Any) -> bytes:
        """A body; options as `_core.prove` takes them."""
        body: bytes = _core.prove(self.core, self.weights, [self.boundaries], seed, **options)["body"]
        return body

    def outcomes(self, body: bytes) -> tuple[Outcome, Outcome]:
        """What the two verifiers say."""
        return outcomes(self.core, self.reference, body)


def outcomes(core: Any, reference: Statement, body: bytes) -> tuple[Outcome, Outcome]:
    """(code, segment, relation, round), or totals, outputs, bits and counter."""
    return _by_core(core, body), _by_reference(reference, body)


def _by_core(statement: Any, body: bytes) -> Outcome:
    try:
        found = _core.verify(statement, body)
    except _core.Rejected as error:
        code, segment, relation, number, _ = error.args
        return code, segment or None, relation or None, None if number < 0 else number
    told = found["totals"], found["outputs"]
    return "accepted", *told, round(found["security_bits"], 9), found["counter"]


def _by_reference(statement: Statement, body: bytes) -> Outcome:
    try:
        found = verify_body(statement, body)
    except VerificationError as error:
        return error.code, error.segment, error.relation, error.round
    told = list(found.totals), list(found.outputs)
    return "accepted", *told, round(found.security_bits, 9), found.counter
