"""Small statements that can be proven: a circuit, its cells, commitments to them, and cheating provers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from assay import _core
from assay.layout import Slot
from assay.profiles import Code
from assay.reference import LongLived, Segment, Statement, verify_body
from assay.reference.circuit import BOUNDARY, WEIGHT, WITNESS, check, decode, evaluate

Cells = npt.NDArray[Any]
CODE = Code(log_columns=10, random=256, log_coset=11, cosets=3, queries=24)
_BLOCKS_A_ROW = 8
_TYPES = (np.int16, np.int32, np.int64)


@dataclass(frozen=True)
class Rejection:
    """The check that refused a proof."""

    code: str
    relation: str


HIDDEN = Rejection("tableau.linear", "tableau")
"""Where a hiding proof fails, whichever relation is false."""


@dataclass(frozen=True)
class Forgery:
    """Cells that a cheating prover commits to, and the relations that do not hold on them."""

    cells: Mapping[str, Cells]
    breaks: tuple[str, ...]


Edit = tuple[str, int, int, int]
"""Tensor, row, column, what is added."""
Entry = tuple[str | tuple[str, ...], *tuple[Edit, ...]]


def carried(low: str, high: str, *, bits: int = 16, up: bool = True, cell: tuple[int, int] = (0, 0)) -> Entry:
    """The value is the same, but a unit of the upper limb is in the lower one, or missing there."""
    sign = 1 if up else -1
    return low, (low, *cell, sign << bits), (high, *cell, -sign)


def _core_form(commitment: LongLived) -> Any:
    slots = [tuple(s.to_list()) for s in commitment.slots]
    return _core.LongLived(commitment.name, commitment.root, list(commitment.part_rows), slots)


def padded(values: Cells, kind: Any) -> Cells:
    """Rows filled up with zeros to whole blocks of 128 cells."""
    rows, cols = values.shape
    out = np.zeros((rows, -(-cols // 128) * 128), dtype=kind)
    out[:, :cols] = values
    return out


@dataclass
class Case:
    """A circuit in bytes with the cells that no step fills, and the honest witness.

    `told` are cells that the prover is given in the place of those that a step fills: experts that ran.
    """

    raw: bytes
    externals: Mapping[str, Cells]
    degree: int = 3
    told: Mapping[str, Cells] = field(default_factory=dict)
    tensors: dict[str, Cells] = field(init=False)

    def __post_init__(self) -> None:
        self.circuit = decode(self.raw)
        self.core = _core.Circuit(self.raw)
        self.tensors = evaluate(self.raw, self.externals, self.told)
        assert check(self.raw, self.tensors) == []

    def __getitem__(self, name: str) -> Cells:
        return self.tensors[name].astype(object)

    def wide(self, *names: str) -> Cells:
        """The value of limbs of 16 bits."""
        return sum(self[name] << (16 * k) for k, name in enumerate(names))

    # ---- commitments ----

    def _commit(self, name: str, source: int, tensors: Mapping[str, Cells]) -> tuple[Any, LongLived]:
        slots, arrays, at = [], [], 0
        for t in self.circuit.tensors:
            if t.source != source:
                continue
            cells = padded(tensors[t.name], _TYPES[t.cell])
            arrays.append((at, cells))
            slots.append((t.name, 0, at, t.shape.rows, t.shape.cols, cells.itemsize))
            at += cells.size // 128
        rows = max(1, -(-at // _BLOCKS_A_ROW))
        commitment = _core.Commitment(name, CODE.core(), [(rows, arrays)], bytes(32))
        commitment.commit()
        places = tuple(Slot(*slot) for slot in slots)
        return commitment, LongLived(name=name, root=commitment.root, part_rows=(rows,), slots=places)

    @cached_property
    def weights(self) -> tuple[Any, LongLived]:
        return self._commit("weights", WEIGHT, self.tensors)

    def statement(self, boundaries: LongLived, *, hiding: bool = False) -> Any:
        """What a verifier expects. A proof that does not hide names the relation that fails."""
        return _core.Statement(
            degree=self.degree,
            code=CODE.core(),
            required_bits=1.0,
            instance=b"a request",
            weights=_core_form(self.weights[1]),
            members=[_core_form(boundaries)],
            segments=[("segment", self.core, 0)],
            hiding=hiding,
        )

    def reference(self, boundaries: LongLived, *, hiding: bool = False) -> Statement:
        """The same as the reference verifier takes it."""
        return Statement(
            degree=self.degree,
            hiding=hiding,
            code=CODE,
            required_bits=1.0,
            instance=b"a request",
            weights=self.weights[1],
            members=(boundaries,),
            segments=(Segment(name="segment", circuit=self.circuit),),
        )

    # ---- provers ----

    def verdict(
        self,
        cells: Mapping[str, Cells],
        counts: list[tuple[int, int, int]] | None = None,
        *,
        hiding: bool = False,
    ) -> Any:
        """A prover commits to these cells, whatever they are; what the verifier says."""
        commitment, boundaries = self._commit("boundaries", BOUNDARY, cells)
        statement = self.statement(boundaries, hiding=hiding)
        corrupt = self._changes(cells)
        if counts:
            corrupt["multiplicities"] = counts
        proof = _core.prove(
            statement, self.weights[0], [commitment], bytes(32), self_check=False, corrupt=corrupt
        )
        try:
            return _core.verify(statement, proof["body"])
        except _core.Rejected as e:
            code, _, relation, _, _ = e.args
            return Rejection(code, relation)

    def both_accept(self, *, hiding: bool) -> Any:
        """What the extension says of the honest witness, and the reference as well."""
        commitment, boundaries = self._commit("boundaries", BOUNDARY, self.tensors)
        statement = self.statement(boundaries, hiding=hiding)
        body = _core.prove(statement, self.weights[0], [commitment], bytes(32))["body"]
        found, again = (
            _core.verify(statement, body),
            verify_body(self.reference(boundaries, hiding=hiding), body),
        )
        assert (found["totals"], found["outputs"]) == (list(again.totals), list(again.outputs))
        return found

    def _changes(self, cells: Mapping[str, Cells]) -> dict[str, list[tuple[int, int, int]]]:
        """How witness cells differ from those the extension computes from the same boundaries."""
        given = {t.name for t in self.circuit.tensors if t.source != WITNESS}
        inputs = {
            t.name: padded(cells[t.name], _TYPES[t.cell]) for t in self.circuit.tensors if t.name in given
        }
        computed = self.core.evaluate(inputs)
        changes = {}
        for t in self.circuit.tensors:
            if t.source != WITNESS:
                continue
            delta = np.where(t.shape.mask(), cells[t.name] - computed[t.name][:, : t.shape.cols], 0)
            changes[t.name] = [(int(i), int(j), int(delta[i, j])) for i, j in np.argwhere(delta)]
        return {name: changed for name, changed in changes.items() if changed}

    def forged(self, forgery: Forgery) -> dict[str, Cells]:
        """The whole witness: steps after a forged tensor, or a forged boundary, compute from it."""
        given = {name: forgery.cells.get(name, cells) for name, cells in self.externals.items()}
        return evaluate(self.raw, given, {**self.told, **forgery.cells})

    def caught_at(self, broken: list[str]) -> Rejection:
        """The first check of the verifier that these broken relations fail."""
        for e in self.circuit.einsums:
            if e.name in broken:
                return Rejection("sumcheck.einsum", e.name)
        for name, _, _ in self.circuit.zero_checks:
            if name in broken:
                return Rejection("sumcheck.zero", name)
        if any(name in broken for name, *_ in self.circuit.lookups):
            return Rejection("lookup.sum", "lookup")
        return Rejection("opening.reduction", "opening")  # linear relations and row sums send no message


def breaks(entry: Entry) -> tuple[str, ...]:
    return (entry[0],) if isinstance(entry[0], str) else entry[0]


def forgery(case: Case, entry: Entry) -> Forgery:
    cells: dict[str, Cells] = {}
    for name, row, col, delta in entry[1:]:
        cells.setdefault(name, case[name].copy())[row, col] += delta
    return Forgery(cells, breaks(entry))


def relations(case: Case) -> set[str]:
    c = case.circuit
    named = [*c.zero_checks, *c.linears, *c.row_sums, *c.lookups]
    return {name for name, *_ in named} | {e.name for e in c.einsums}
