"""Proofs by the real prover look like the simulator's, whatever the witness; planted leaks do not.

Seeds are fixed. A commitment is used for two proofs, within its budget of columns. The tests are those of
uniform.py; `test_planted_*` show that each of them sees what it is for.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from fields import Reader, Words, stacked
from given import Model
from oracle import Draw
from simulator import Public, simulate
from tiny import CODE, statement
from tiny_prover import Tiny
from uniform import apart, dependent, related, repeated, uneven

from assay.reference import Statement
from assay.reference.codewords import code_point, evaluate_row
from assay.reference.field import Array, Ext, P, Residues, add, eq_vector
from assay.reference.opening import read_commitment
from assay.reference.plan import Plan
from assay.reference.tableau import read_answers
from assay.reference.transcript import Messages, Transcript
from assay.reference.verifier import Told, verify_messages

DEGREE = 2
QUICK, MANY = 320, 6000
MESSAGES = (
    "einsum.output",
    "sumcheck",
    "einsum.left",
    "einsum.right",
    "einsum.selection",
    "einsum.product",
    "zero.operand",
    "zero.product",
    "lookup.root",
    "lookup.node",
    "opening.value",
)
IN_THE_CLEAR = ("opening.u", "tableau.rows", "tableau.linear", "tableau.products")
Pair = tuple[Words, Words]


@lru_cache
def real(count: int, model: int = 1, hiding: bool = True) -> Pair:
    """First and second proofs of one witness, by the extension: so many of each, keys and seeds fresh."""
    draw = random.Random(model)
    first, second = [], []
    reader: Reader | None = None
    for _ in range(count):
        keys = draw.randbytes(32), draw.randbytes(32)
        case = Tiny(DEGREE, hiding=hiding, seed=model, keys=keys)
        bodies = [case.prove(draw.randbytes(32)) for _ in range(2)]
        reader = reader or Reader(case.reference, bodies[0])
        for body, out in zip(bodies, (first, second), strict=True):
            out.append(reader.read(body, Transcript(case.reference.encoded(), hiding=hiding)))
    return stacked(first), stacked(second)


@lru_cache
def simulated(count: int) -> Words:
    """As many by the simulator, a commitment each."""
    found = []
    reader: Reader | None = None
    for seed in range(count):
        s = simulate(statement(DEGREE), [Public(seed, (seed,))], seed)
        reader = reader or Reader(s.statement, s.bodies[0], s.oracle.transcript(s.statement))
        found.append(reader.read(s.bodies[0], s.oracle.transcript(s.statement)))
    return stacked(found)


def check(count: int, simulations: int) -> None:
    first, second = real(count)
    assert uneven(first) == []
    assert repeated(first) == []
    assert dependent(first) == []
    assert related(first, second, (*MESSAGES, *IN_THE_CLEAR, "opening.mask")) == []
    assert apart(first, simulated(simulations)) == []
    assert apart(first, real(count, model=2)[0]) == []


def test_real_proofs_are_like_simulated_ones_and_like_those_of_another_model() -> None:
    assert set(MESSAGES) < set(real(QUICK)[0])
    check(QUICK, 12)


@pytest.mark.slow
def test_many_real_proofs() -> None:
    check(MANY, 160)


def test_simulated_proofs() -> None:
    words = simulated(12)
    assert uneven(words) == []
    assert repeated(words) == []


# ---- planted leaks ----


def test_planted_no_pads() -> None:
    """Proofs that do not hide: their messages, and u without a mask."""
    first, second = real(QUICK, hiding=False)
    fields = {line.split(":")[0] for line in uneven(first)}
    assert {"lookup.node", "opening.u"} <= fields
    assert {"lookup.node", "opening.u"} <= {line.split(":")[0] for line in repeated(first)}
    assert related(first, second, MESSAGES) != []
    assert apart(first, simulated(12)) != []


def test_planted_pads_of_another_proof() -> None:
    """Each proof looks uniform; two of them together do not."""
    draw = Draw(1)
    plain = real(QUICK, hiding=False)
    pads = {name: draw.words(*plain[0][name].shape) for name in MESSAGES}
    first, second = ({name: add(words[name], pads[name]) for name in MESSAGES} for words in plain)
    assert uneven(first) == uneven(second) == []
    assert dependent(first) == []
    assert "lookup.node: no difference" in related(first, second, MESSAGES)


def test_planted_pads_of_another_message() -> None:
    """One pad for two messages: numerators of two nodes are both one."""
    draw, plain = Draw(2), real(QUICK, hiding=False)[0]
    shape = plain["lookup.node"].shape
    pads = np.repeat(draw.words(shape[0], shape[1] // 4), 4, axis=1)
    assert repeated({"lookup.node": add(plain["lookup.node"], pads)}) == ["lookup.node: a word twice"]


def test_planted_two_models_in_the_clear() -> None:
    assert apart(real(QUICK, hiding=False)[0], real(QUICK, model=2, hiding=False)[0]) != []


def test_planted_tableau_without_masks() -> None:
    """The masks' symbols are zeros."""
    m = Model(DEGREE)
    words = Reader(m.statement, m.prove().body)
    assert repeated(words.read_all([m.prove().body])) == []
    found = repeated(words.read_all([m.prove(tableau_masks=False).body]))
    assert "symbols of tableau: a word twice" in found


def test_planted_one_key_for_two_commitments() -> None:
    case = Tiny(DEGREE, keys=(bytes(32), bytes(32)))
    body = case.prove()
    found = repeated(Reader(case.reference, body).read_all([body]))
    assert found == ["salt of weights: a word twice", "salt of boundaries: a word twice"]


# ---- what only a combination of fields shows ----


@dataclass(frozen=True)
class Heard:
    """What a verifier knows before the columns, and the symbols of these."""

    m: Messages
    told: Told
    symbols: Residues  # [queries, rows of the stack]
    points: list[int]


def heard(statement: Statement, body: bytes) -> Heard:
    """By the reference verifier's text."""
    plan, code = Plan(statement), statement.code
    m = Messages(body, Transcript(statement.encoded(), hiding=True), statement.degree, hiding=True)
    told = verify_messages(m, plan)
    assert told.tableau is not None
    read_answers(m, told.tableau)
    indices = m.transcript.indices("opening.columns", code.queries, code.length)
    columns = [
        read_commitment(m, c, root, indices, code.length)
        for c, root in zip(plan.commitments, told.roots, strict=False)
    ]
    return Heard(m, told, np.concatenate(columns, axis=1), [code_point(code, j) for j in indices])


def checks_in_the_clear(h: Heard) -> list[Ext]:
    """What each check would give if messages were sent as they are."""
    return [form.known for form in h.m.constraints]


def message_part(h: Heard) -> Array:
    """At each queried column: the rows' combination less what u says of random symbols, over rho.

    If u's random symbols are not masked, this is the combination of the cells alone.
    """
    opened = h.told.combination
    rows = eq_vector(opened.rows, DEGREE, h.symbols.shape[1])
    combined = rows[None, :].times(h.symbols).sum(1)
    tail = Array(opened.u.x.copy())
    tail.x[: 1 << CODE.log_columns] = 0
    return combined - evaluate_row(tail, h.points) * opened.rho.inverse()


def of_few_coefficients(values: Array, points: list[int], size: int) -> bool:
    """Whether a polynomial of degree below `size` has these values: cells of so many columns make one."""
    first = points[:size]
    for x, value in zip(points[size:], values.x[size:].tolist(), strict=True):
        found = Ext.of(0, DEGREE)
        for k, known in enumerate(values.x[:size].tolist()):
            top = bottom = 1
            for other in first[:k] + first[k + 1 :]:
                top, bottom = top * (x - other) % P, bottom * (first[k] - other) % P
            found += Ext(known) * (top * pow(bottom, P - 2, P))
        if found != Ext(value):
            return False
    return True


WIDEST = 16  # columns of the widest tensor: multiplicities of a table


@pytest.mark.parametrize("by_the_extension", [False, True])
def test_combinations_of_fields(by_the_extension: bool) -> None:
    m, case = Model(DEGREE), Tiny(DEGREE)
    h = heard(case.reference, case.prove()) if by_the_extension else heard(m.statement, m.prove().body)
    assert len(h.points) > WIDEST
    assert not of_few_coefficients(message_part(h), h.points, WIDEST)
    assert all(any(value.c) for value in checks_in_the_clear(h))


def test_planted_no_pads_and_checks_hold_in_the_clear() -> None:
    m = Model(DEGREE)
    checks = checks_in_the_clear(heard(m.statement, m.prove(no_pads=True).body))
    assert not any(any(value.c) for value in checks)


def test_planted_mask_on_the_message_symbols() -> None:
    """u looks uniform, and says the combination of the cells at each queried point."""
    m = Model(DEGREE)
    body = m.prove(mask=1 << CODE.log_columns).body
    assert repeated(Reader(m.statement, body).read_all([body])) == []
    h = heard(m.statement, body)
    assert of_few_coefficients(message_part(h), h.points, WIDEST)
