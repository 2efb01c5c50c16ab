"""Proofs of the plain prover, honest or not: what both verifiers say of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
from given import Model
from plain_prover import Proof
from tiny import CODE
from tiny_prover import Outcome, outcomes

from assay.reference.padded import LEFT, PAD, PRODUCT, RIGHT


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
