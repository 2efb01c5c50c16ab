"""The tableau alone: honest answers are accepted, each way of cheating is caught where it should be."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pytest
from oracle import Draw
from tableau_prover import Answer, Answering, TableauProver, honest

from assay.errors import VerificationError
from assay.reference.field import Array, Ext
from assay.reference.padded import LEFT, PAD, PRODUCT, RIGHT, Padded, Unknown
from assay.reference.tableau import read_answers, slot_points, values_at_slots, verify_answers
from assay.reference.tableau_layout import Layout, layout, query_bits
from assay.reference.transcript import BYTES, Messages, Transcript

DEGREE = 2
ZERO, ONE = Ext.of(0, DEGREE), Ext.of(1, DEGREE)
AT = layout(16.0, 150, 90)  # K = 64 or 128, several rows of each kind


@dataclass
class Problem:
    """Pads, products of pads, and constraints that they satisfy."""

    unknowns: dict[Unknown, Ext]
    products: list[tuple[Unknown, Unknown]]
    constraints: list[Padded]


def problem(seed: int) -> Problem:
    draw = Draw(seed)

    def element() -> Ext:
        return Ext(draw.words(DEGREE).tolist())

    pads = [element() for _ in range(AT.pads)]
    pairs = draw.generator.integers(0, AT.pads, (AT.products, 2)).tolist()
    products = [((PAD, i), (PAD, j)) for i, j in pairs]
    unknowns = honest(pads, products)
    constraints = []
    for _ in range(40):
        kinds = draw.generator.choice([PAD, PRODUCT], 12)
        names = {(int(k), int(draw.generator.integers(AT.pads if k == PAD else AT.products))) for k in kinds}
        terms = {name: element() for name in names}
        known = ZERO
        for name, c in terms.items():
            known -= c * unknowns[name]
        constraints.append(Padded(known, terms))
    return Problem(unknowns, products, constraints)


class Cheating(Answering):
    """Answers with something added to each."""

    def __init__(self, transcript: Transcript, added: tuple[int, int, int]) -> None:
        super().__init__(transcript, DEGREE)
        self.added = added

    def change(self, answers: Answer) -> Answer:
        for answer, x in zip(answers, self.added, strict=True):
            answer.x[3] = (Ext(answer.x[3].tolist()) + x).c
        return answers


def heard(m: Messages, p: Problem, root: bytes) -> Messages:
    """As after all messages up to u."""
    m.pads, m.products, m.constraints = AT.pads, p.products, p.constraints
    m.transcript.frame(BYTES, "root", root)
    return m


def prove(p: Problem, prover: TableauProver, added: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    m = Cheating(Transcript(b"", hiding=True), added)
    m.prover = prover
    with suppress(VerificationError):  # of a prover that cheats
        read_answers(heard(m, p, prover.tree.root), AT)
    indices = m.transcript.indices("tableau.columns", AT.queries, AT.length)
    return b"".join(raw for _, raw in m.sent) + prover.opening(indices)


def verdict(p: Problem, root: bytes, body: bytes) -> str:
    m = heard(Messages(body, Transcript(b"", hiding=True), DEGREE, hiding=True), p, root)
    try:
        answers = read_answers(m, AT)
        verify_answers(m, root, answers, m.transcript.indices("tableau.columns", AT.queries, AT.length))
        m.finish()
    except VerificationError as error:
        return error.code
    return "accepted"


def outcome(p: Problem, unknowns: dict[Unknown, Ext], added: tuple[int, int, int] = (0, 0, 0)) -> str:
    prover = TableauProver(AT, unknowns, DEGREE, Draw(9))
    return verdict(p, prover.tree.root, prove(p, prover, added))


def test_honest() -> None:
    p = problem(0)
    assert AT.pad_rows > 1
    assert AT.product_rows > 1
    assert outcome(p, p.unknowns) == "accepted"


@pytest.mark.parametrize("kind", [PAD, LEFT, RIGHT, PRODUCT])
def test_an_unknown_that_does_not_fit(kind: int) -> None:
    p = problem(1)
    number = p.products[7][0][1] if kind == PAD else 7
    changed = {**p.unknowns, (kind, number): p.unknowns[kind, number] + 1}
    assert outcome(p, changed) == "tableau.linear"


def test_a_product_that_is_none() -> None:
    """Pads fit their constraints, and factors their pads."""
    p = problem(2)
    last = max(number for kind, number in p.unknowns if kind == PRODUCT)
    unread = [c for c in p.constraints if (PRODUCT, last) not in c.terms]
    p.constraints = unread
    assert outcome(p, {**p.unknowns, (PRODUCT, last): ONE}) == "tableau.products"


def test_factors_that_are_not_the_pads() -> None:
    """X_l Y_l = Z_l holds, X_l = pi_i does not."""
    p = problem(3)
    changed = {(LEFT, 5): ONE, (RIGHT, 5): p.unknowns[PRODUCT, 5]}
    assert outcome(p, {**p.unknowns, **changed}) == "tableau.linear"


@pytest.mark.parametrize(
    ("added", "code"),
    [
        ((1, 0, 0), "tableau.column.rows"),
        ((0, 1, 0), "tableau.column.linear"),
        ((0, 0, 1), "tableau.products"),
    ],
)
def test_changed_answers(added: tuple[int, int, int], code: str) -> None:
    p = problem(4)
    assert outcome(p, p.unknowns, added) == code


def test_a_constraint_that_is_false() -> None:
    p = problem(5)
    first = p.constraints[0]
    p.constraints[0] = Padded(first.known + 1, first.terms)
    assert outcome(p, p.unknowns) == "tableau.linear"


def test_every_byte_counts() -> None:
    p = problem(6)
    prover = TableauProver(AT, p.unknowns, DEGREE, Draw(9))
    body, draw = prove(p, prover), np.random.default_rng(0)
    for at in draw.integers(0, len(body), 30).tolist():
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        assert verdict(p, prover.tree.root, changed) != "accepted"
    assert verdict(p, prover.tree.root, body[:-1]) == "format.truncated"
    assert verdict(p, prover.tree.root, body + b"0") == "format.trailing"


# ---- parameters ----


@pytest.mark.parametrize("bits", [1.0, 20.0, 100.0, 128.0])
def test_queries_are_the_least(bits: float) -> None:
    for pads, products in ((1, 0), (1100, 75), (20_000, 1_500)):
        at = layout(bits, pads, products)
        reached = [query_bits(5 * at.slots, at.length, q) for q in (at.queries - 1, at.queries)]
        assert reached[0] < bits + 4 <= reached[1]
        assert at.queries <= at.slots // 2
        assert at.pad_rows * at.message >= pads > (at.pad_rows - 1) * at.message


def test_every_number_of_bits_that_a_statement_may_ask_for_has_a_tableau() -> None:
    assert all(layout(bits, 1, 0).queries > 0 for bits in (0.0, 128.0, 1024.0))


def test_values_at_slots() -> None:
    at = Layout(kappa=6, queries=8, pads=1, products=0)
    v = Array(Draw(1).words(2 * at.slots, DEGREE))
    for i in (0, 1, at.message - 1):
        expected = ZERO
        for k, c in enumerate(v.x.tolist()):
            expected += Ext(c) * pow(slot_points(at)[i], k, 2**64 - 2**32 + 1)
        assert Ext(values_at_slots(v, at).x[i].tolist()) == expected
