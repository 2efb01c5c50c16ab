"""A model and request whose proofs the plain prover makes: the segment `given` of tiny.py."""

from __future__ import annotations

from typing import Any

from oracle import Draw
from plain_prover import Committed, Flaws, Proof, placed, prove
from tiny import BITS, BOUNDARIES, CIRCUITS, CODE, PART_ROWS, WEIGHTS, cells, statement

from assay import _core
from assay.reference import Statement
from assay.reference.plan import Plan

GIVEN = ("given",)


class Model:
    """Weights and boundaries of one statement about `given`, committed by the plain prover."""

    def __init__(self, degree: int, *, hiding: bool = True, seed: int = 1) -> None:
        self.draw, self.cells = Draw(seed), cells(seed)
        plan = Plan(statement(degree, hiding=hiding, names=GIVEN))
        self.standing = [
            self._committed(plan, name, slots)
            for name, slots in (("weights", WEIGHTS), ("boundaries", BOUNDARIES))
        ]
        weights, boundaries = (c.tree.root for c in self.standing)
        self.statement: Statement = statement(
            degree, hiding=hiding, names=GIVEN, weights=weights, boundaries=boundaries
        )

    def _committed(self, plan: Plan, name: str, slots: Any) -> Committed:
        parts = [
            placed(plan, rows, [(s.first_block, self.cells[s.name]) for s in slots if s.part == p])
            for p, rows in enumerate(PART_ROWS[name])
        ]
        return Committed(CODE, parts, self.draw)

    def prove(self, **flaws: Any) -> Proof:
        """With these flaws."""
        own = {name: self.cells[name] for name in ("y", "z")}
        return prove(self.statement, own, self.standing, self.draw, Flaws(**flaws), counter=9)

    def core(self) -> Any:
        """The statement as the extension takes it."""
        s = self.statement
        known = [
            _core.LongLived(c.name, c.root, list(c.part_rows), [tuple(slot.to_list()) for slot in c.slots])
            for c in s.long_lived
        ]
        return _core.Statement(
            degree=s.degree,
            code=CODE.core(),
            required_bits=BITS,
            instance=s.instance,
            weights=known[0],
            members=[known[1]],
            segments=[("given", _core.Circuit(CIRCUITS["given"]), 0)],
            hiding=s.hiding,
        )
