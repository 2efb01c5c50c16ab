"""A mixture of experts under both verifiers: honest proofs, changed ones, and provers that cheat."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from assay.circuits.moe import ExpertScales, ExpertWeights, experts, recorded_choice
from mutations import Honest
from tiny_prover import Outcome
from two_segments import Committed, TwoSegments, cells, external, second_circuit, slot

from assay.graph import Builder
from assay.reference.circuit import SELECT_NT

TOKENS, EXPERTS, CHOSEN, HIDDEN, INNER = 3, 4, 2, 6, 5
CHOICE = [(0, 2), (2, 0), (3, 2)]  # of each token: expert 1 runs for none
WEIGHTS = ("router", "gate", "up", "down")


def circuit() -> bytes:
    b = Builder("experts")
    weights = ExpertWeights(
        router=b.weight("router", EXPERTS, HIDDEN),
        gate=b.weight("gate", EXPERTS * INNER, HIDDEN),
        up=b.weight("up", EXPERTS * INNER, HIDDEN),
        down=b.weight("down", EXPERTS * HIDDEN, INNER),
    )
    scales = ExpertScales(
        router_shift=14, router_fraction=11, gate_shift=14, gate_fraction=11, up_shift=14, down_shift=20
    )
    h = external(b, "h", TOKENS, HIDDEN)
    choice = recorded_choice(b, "choice", tokens=TOKENS, experts=EXPERTS, chosen=CHOSEN)
    b.commit("out", experts(b, "moe", h, weights, scales, choice))
    return b.finish()


class Experts(TwoSegments):
    """A mixture of experts beside the second segment of two_segments.py."""

    def __init__(self, degree: int, *, hiding: bool = False) -> None:
        super().__init__(degree, hiding=hiding)
        draw = np.random.default_rng(3)

        def weight(rows: int, cols: int) -> np.ndarray:
            return draw.integers(-(1 << 12), 1 << 12, (rows, cols))

        given = {**cells(), "router": weight(EXPERTS, HIDDEN), "gate": weight(EXPERTS * INNER, HIDDEN)}
        given |= {"up": weight(EXPERTS * INNER, HIDDEN), "down": weight(EXPERTS * HIDDEN, INNER)}
        given |= {"h": weight(TOKENS, HIDDEN)}
        given |= {"choice": np.eye(EXPERTS, dtype=np.int64)[[c[m] for m in range(CHOSEN) for c in CHOICE]]}
        self.raw = (circuit(), second_circuit())
        weights = [[slot(given, n, np.int16) for n in names] for names in (WEIGHTS, ("gain", "w"))]
        boundaries = [
            [slot(given, "h", np.int64), slot(given, "choice", np.int16)],
            [slot(given, n, np.int64) for n in ("y", "z")],
        ]
        self.weights = Committed("weights", weights)
        self.boundaries = Committed("boundaries", boundaries)

    def prove(self, **options: Any) -> bytes:
        """With the experts that are committed to."""
        _, choice, _ = self.boundaries.parts[0][1]
        return super().prove(choices=[{"choice": choice.argmax(axis=1).tolist()}, {}], **options)


@lru_cache
def statement(degree: int, hiding: bool = False) -> Experts:
    return Experts(degree, hiding=hiding)


@lru_cache
def proof(degree: int, hiding: bool = False) -> Honest:
    return Honest(statement(degree, hiding))


def agree(s: TwoSegments, body: bytes) -> Outcome:
    """What both verifiers say."""
    core, reference = s.outcomes(body)
    assert core == reference
    return core


@pytest.mark.parametrize("hiding", [False, True])
@pytest.mark.parametrize("degree", [2, 3])
def test_an_honest_proof_is_accepted(degree: int, hiding: bool) -> None:
    outcome = agree(statement(degree, hiding), proof(degree, hiding).body)
    assert outcome[0] == "accepted"
    assert outcome[1][0]["moe_distance"] > 0  # the choice is not the router's


@pytest.mark.parametrize("hiding", [False, True])
def test_changed_proofs(hiding: bool) -> None:
    """Every message of the selected products, and others."""
    s, honest = statement(2, hiding), proof(2, hiding)
    bodies = [body for body in honest.every(64) if body != honest.body]
    assert not any(agree(s, body)[0] == "accepted" for body in bodies)


@pytest.mark.parametrize("hiding", [False, True])
def test_broken_witnesses(hiding: bool) -> None:
    s = statement(3, hiding)
    for name, (row, col) in s.corruptible()[:: 9 if hiding else 5]:
        outcome = agree(s, s.prove(self_check=False, corrupt={name: [(row, col, 1)]}))
        assert outcome[0] != "accepted", name
        assert outcome[:3] == ("tableau.linear", None, "tableau") or not hiding


def ends(s: Experts) -> list[tuple[str, list[int]]]:
    """Of each selected product, the places of left, right, selection and product."""
    last: dict[Any, list[int]] = {}
    for at, _, where in proof(s.degree).trace.messages:
        if where.round is None and where.segment == "first":
            last.setdefault(where.relation, []).append(at)
    names = [e.name for e in s.reference.segments[0].circuit.einsums if e.kind == SELECT_NT]
    return [(name, last[name][1:5]) for name in names]  # after `einsum.output`


def test_messages_at_the_end_of_a_selected_product() -> None:
    """Left, selection and product meet in one check, product and right in the next."""
    s, honest = statement(3), proof(3)
    found = ends(s)
    assert [name for name, _ in found] == ["moe_up", "moe_gate", "moe_down"]
    for name, places in found:
        for at, code in zip(places, ("product", "einsum", "product", "product"), strict=True):
            changed = bytearray(honest.body)
            changed[at] ^= 1
            assert agree(s, bytes(changed)) == (f"sumcheck.{code}", "first", name, None)


@pytest.mark.parametrize("hiding", [False, True])
def test_another_choice_than_the_recorded_one(hiding: bool) -> None:
    """Columns and root are of the record; the prover sends token 1 to another expert."""
    s = Experts(3, hiding=hiding)
    s.boundaries.keep_codeword(0)
    _, array, _ = s.boundaries.parts[0][1]
    array[1, :EXPERTS] = [0, 1, 0, 0]
    assert agree(s, s.prove())[:3] == ("opening.column", None, "opening")


@pytest.mark.parametrize("hiding", [False, True])
@pytest.mark.parametrize("expert", [1, 2])
@pytest.mark.parametrize("weight", [1, 3])
def test_weights_of_another_model(weight: int, expert: int, hiding: bool) -> None:
    """Columns and root are of one model; the prover computes with another, whether the expert ran or not."""
    s = Experts(2, hiding=hiding)
    s.weights.keep_codeword(0)
    _, array, _ = s.weights.parts[0][weight]
    array[expert * (len(array) // EXPERTS), 0] += 1
    assert agree(s, s.prove())[:3] == ("opening.column", None, "opening")
