"""Proofs of the plain prover, honest or not: what both verifiers say of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
from oracle import Draw
from plain_prover import Committed, Flaws, Proof, placed, prove
from tiny import BOUNDARIES, CIRCUITS, CODE, PART_ROWS, WEIGHTS, cells, statement
from tiny_prover import BITS, Outcome, outcomes

from assay import _core
from assay.reference import Statement
from assay.reference.padded import LEFT, PAD, PRODUCT, RIGHT
from assay.reference.statement import Plan

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
            for c in (s.weights, s.boundaries)
        ]
        return _core.Statement(
            degree=s.degree,
            code=CODE.core(),
            required_bits=BITS,
            instance=s.instance,
            weights=known[0],
            boundaries=known[1],
            segments=[("given", _core.Circuit(CIRCUITS["given"]))],
            hiding=s.hiding,
        )


@lru_cache
def model(degree: int = 2, hiding: bool = True) -> Model:
    return Model(degree, hiding=hiding)


def agree(m: Model, proof: Proof) -> Outcome:
    """What both verifiers say."""
    core, reference = outcomes(m.core(), m.statement, proof.body)
    assert core == reference
    return core


@pytest.mark.parametrize("hiding", [False, True])
@pytest.mark.parametrize("degree", [2, 3])
def test_honest(degree: int, hiding: bool) -> None:
    m = model(degree, hiding)
    outcome = agree(m, m.prove())
    assert outcome[:2] == ("accepted", [{}])
    assert outcome[-1] == 9


@pytest.mark.parametrize(
    ("flaws", "code"),
    [
        ({"lie": 1}, "tableau.linear"),
        ({"unknowns": {(PAD, 3): 1}}, "tableau.linear"),
        ({"unknowns": {(LEFT, 2): 1}}, "tableau.linear"),
        ({"unknowns": {(RIGHT, 2): 1}}, "tableau.linear"),
        ({"unknowns": {(PRODUCT, 2): 1}}, "tableau.linear"),
        ({"added": (1, 0, 0)}, "tableau.column.rows"),
        ({"added": (0, 1, 0)}, "tableau.column.linear"),
        ({"added": (0, 0, 1)}, "tableau.products"),
    ],
    ids=str,
)
def test_cheating(flaws: dict[str, Any], code: str) -> None:
    m = model()
    assert agree(m, m.prove(**flaws)) == (code, None, "tableau", None)


def test_a_lie_in_the_clear() -> None:
    m = model(hiding=False)
    assert agree(m, m.prove(lie=1))[:3] == ("lookup.root", "given", "lookup")


@pytest.mark.parametrize(
    "flaws",
    [{"no_pads": True}, {"mask": 0}, {"mask": 1 << CODE.log_columns}, {"tableau_masks": False}],
    ids=str,
)
def test_proofs_that_leak_are_accepted(flaws: dict[str, Any]) -> None:
    """That a proof hides, no verifier can tell: see test_distributions.py."""
    m = model()
    assert agree(m, m.prove(**flaws))[0] == "accepted"


def test_pads_of_another_proof_are_accepted() -> None:
    m = model()
    assert agree(m, m.prove(pads=m.prove().pads))[0] == "accepted"
