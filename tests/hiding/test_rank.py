"""What all columns and combined rows of many proofs say together, in exact linear algebra over F.

Everything that proofs reveal of a commitment is linear in its cells and in secret randomness: revealed =
A cells + B randomness, randomness uniform. The distribution does not depend on the cells if, and only if, the
columns of A are combinations of those of B; else as many independent functions of the cells can be read off
as the rank of (A, B) exceeds that of B. Parameters are small, points and combinations those of the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from oracle import Draw

from assay.profiles import Code
from assay.reference.codewords import code_point
from assay.reference.field import Ext, P, eq_vector
from assay.reference.tableau import column_point, slot_points, slot_weights
from assay.reference.tableau_layout import Layout

Row = dict[str, int]  # a linear form: unknown, coefficient

CODE = Code(log_columns=2, random=6, log_coset=4, cosets=3, queries=2)
DEGREE, LONG, OWN = 2, 3, 2  # rows of the long-lived commitment, of each proof's own
CELLS = 1 << CODE.log_columns


def rank(rows: Sequence[Row], unknowns: Sequence[str]) -> int:
    """Of these forms, seen on these unknowns alone."""
    place = {name: k for k, name in enumerate(unknowns)}
    matrix = [[0] * len(unknowns) for _ in rows]
    for own, row in zip(matrix, rows, strict=True):
        for name, c in row.items():
            if name in place:
                own[place[name]] = c % P
    found = 0
    for k in range(len(unknowns)):
        pivot = next((r for r in range(found, len(matrix)) if matrix[r][k]), None)
        if pivot is None:
            continue
        matrix[found], matrix[pivot] = matrix[pivot], matrix[found]
        inverse = pow(matrix[found][k], P - 2, P)
        top = [x * inverse % P for x in matrix[found]]
        for r in range(found + 1, len(matrix)):
            if factor := matrix[r][k]:
                matrix[r] = [(x - factor * y) % P for x, y in zip(matrix[r], top, strict=True)]
        found += 1
    return found


def leaked(rows: Sequence[Row]) -> int:
    """Independent functions of secrets that can be read off; names of secrets begin with `cell`."""
    names = sorted({name for row in rows for name in row})
    random = [name for name in names if not name.startswith("cell")]
    return rank(rows, names) - rank(rows, random)


def plus(*forms: tuple[int, Row]) -> Row:
    """A combination."""
    out: Row = {}
    for factor, form in forms:
        for name, c in form.items():
            out[name] = (out.get(name, 0) + factor * c) % P
    return out


# ---- the opening ----


def symbols(commitment: str, row: int) -> list[Row]:
    """Coefficients of a row: cells, then random ones."""
    return [
        {f"cell {commitment} {row} {k}" if k < CELLS else f"random {commitment} {row} {k}": 1}
        for k in range(CODE.message)
    ]


def at(coefficients: Sequence[Row], x: int) -> Row:
    """A polynomial's value."""
    return plus(*((pow(x, k, P), c) for k, c in enumerate(coefficients)))


@dataclass
class Openings:
    """What proofs of one long-lived commitment reveal; `masked` says which symbols of u a mask covers."""

    seed: int = 0
    masked: Callable[[int], bool] = lambda k: True
    mask_of: Callable[[int], int] = lambda proof: proof
    shown: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = Draw(self.seed)

    def element(self) -> Ext:
        return Ext(self.draw.words(DEGREE).tolist())

    def mask(self, proof: int, d: int) -> list[Row]:
        """Coordinate d of g."""
        number = self.mask_of(proof)
        return [{f"mask {number} {d} {k}": 1} if self.masked(k) else {} for k in range(CODE.message)]

    def add(self, proof: int, indices: Sequence[int], *, show_s: bool = False) -> None:
        """A proof's columns, of all commitments and of the mask, and its u."""
        rows = [symbols("weights", r) for r in range(LONG)]
        rows += [symbols(f"witness {proof}", r) for r in range(OWN)]
        point = [self.element() for _ in range(3)]
        weights, rho = eq_vector(point, DEGREE, len(rows)), self.element()
        factors = [(Ext(w) * rho).c for w in weights.x.tolist()]
        masks = [self.mask(proof, d) for d in range(DEGREE)]
        for j in indices:
            x = code_point(CODE, j)
            self.shown += [at(row, x) for row in rows] + [at(mask, x) for mask in masks]
        for d in range(DEGREE):
            for k in range(CODE.message):
                combined = [(factor[d], row[k]) for factor, row in zip(factors, rows, strict=True)]
                self.shown.append(plus(*combined, (1, masks[d][k])))
        if show_s:
            columns = [c.c for c in (Ext(w) for w in eq_vector(point[:2], DEGREE).x.tolist())]
            pairs = [(d, e, k) for d in range(DEGREE) for e in range(DEGREE) for k in range(CELLS)]
            for out in range(DEGREE):  # coordinates of sum of g_k eq_k, X^2 = 7
                terms = [
                    (columns[k][e] * (1 if d + e < 2 else 7), masks[d][k])
                    for d, e, k in pairs
                    if (d + e) % 2 == out
                ]
                self.shown.append(plus(*terms))


def openings(columns: Sequence[Sequence[int]], **how: object) -> int:
    """What these proofs leak."""
    show_s = bool(how.pop("show_s", False))
    out = Openings(**how)  # type: ignore[arg-type]
    for proof, indices in enumerate(columns):
        out.add(proof, indices, show_s=show_s)
    return leaked(out.shown)


DISJOINT = [[1, 17], [4, 30], [9, 44]]  # six columns: as many as random symbols in a row


def test_nothing_is_learnt_within_the_budget() -> None:
    assert sum(map(len, DISJOINT)) == CODE.random
    assert openings(DISJOINT) == 0


def test_columns_opened_again_are_free() -> None:
    assert openings([*DISJOINT, [1, 44], [17, 4]]) == 0


@pytest.mark.parametrize("more", [1, 2])
def test_a_column_beyond_the_budget_leaks(more: int) -> None:
    """A function of each row of the long-lived commitment for each column, and nothing else."""
    assert openings([*DISJOINT, [2, 20][:more]]) == LONG * more


def test_no_mask() -> None:
    """Every proof tells a combination of all rows, symbol by symbol."""
    assert openings(DISJOINT[:1], masked=lambda k: False) > CELLS


def test_a_mask_on_the_message_symbols_alone() -> None:
    """Random symbols' combination, and with it that of the cells at each queried point."""
    assert openings(DISJOINT[:1], masked=lambda k: k < CELLS) == DEGREE * len(DISJOINT[0])
    assert openings(DISJOINT, masked=lambda k: k < CELLS) == 3 * DEGREE * len(DISJOINT[0])


def test_a_mask_on_the_random_symbols_alone() -> None:
    assert openings(DISJOINT[:1], masked=lambda k: k >= CELLS) == DEGREE * CELLS


def test_the_mask_of_another_proof() -> None:
    assert openings(DISJOINT[:2]) == 0
    assert openings(DISJOINT[:2], mask_of=lambda proof: 0) > 0


def test_an_unmasked_value_of_the_mask() -> None:
    """s in the clear is v in the clear: one element of E for each proof."""
    assert openings(DISJOINT[:1], show_s=True) == DEGREE
    assert openings(DISJOINT, show_s=True) == 3 * DEGREE


# ---- the linear part of the tableau ----


AT = Layout(kappa=3, queries=3, pads=8, products=0)  # two rows of five pads


@dataclass(frozen=True)
class Masks:
    """Which masks there are."""

    first: bool = True
    second: bool = True


def tableau(indices: Sequence[int], masks: Masks = Masks()) -> int:
    """What columns, v_1 and v_2 leak of the pads; over F, one coordinate is as good as another."""
    draw = Draw(5)
    K, S = AT.slots, AT.message
    # Rows by their values at the slots: pads, then random ones.
    rows = [[{f"cell {r} {i}" if i < S else f"random {r} {i}": 1} for i in range(K)] for r in range(AT.rows)]
    first = [{f"mask 1 {k}": 1} if masks.first else {} for k in range(K)]
    second: list[Row] = [{f"mask 2 {k}": 1} if masks.second else {} for k in range(2 * K)]
    second[K] = {"mask 2 0": P - 1} if masks.second else {}  # values on the subgroup add up to zero
    points = [column_point(AT, j) for j in indices]
    shown: list[Row] = []
    for x, weights in zip(points, slot_weights(AT, points).tolist(), strict=True):
        shown += [plus(*zip(weights, row, strict=True)) for row in rows]
        shown += [at(first, x), at(second, x)]
    # v_1 at the slots is as good as its coefficients; g_1 by coefficients.
    combination = draw.words(AT.rows).tolist()
    for i, w in enumerate(slot_points(AT)):
        shown.append(
            plus((1, at(first, w)), *((c, row[i]) for c, row in zip(combination, rows, strict=True)))
        )
    # v_2 at 2 K points outside the subgroup, for A_r with random values at the message slots.
    outside = [column_point(AT, j) for j in range(2 * K)]
    A = np.zeros((AT.rows, K), np.uint64)
    A[:, :S] = draw.words(AT.rows, S)
    for x, weights in zip(outside, slot_weights(AT, outside).tolist(), strict=True):
        values = [sum(w * int(a) for w, a in zip(weights, own, strict=True)) % P for own in A]
        terms = [(c, plus(*zip(weights, row, strict=True))) for c, row in zip(values, rows, strict=True)]
        shown.append(plus((1, at(second, x)), *terms))
    return leaked(shown)


COLUMNS = [0, 13, 40]


def test_a_tableau_says_the_combined_constraint_and_no_more() -> None:
    assert tableau([]) == 1
    assert tableau(COLUMNS) == 1


def test_a_column_more_than_random_slots_leaks() -> None:
    assert tableau([*COLUMNS, 50]) == 1 + AT.rows


def test_a_tableau_without_its_masks() -> None:
    assert tableau(COLUMNS, Masks(first=False)) > 1
    assert tableau(COLUMNS, Masks(second=False)) > 1
