"""The tableau of a hiding proof: pads satisfy the constraints that the checks became (protocol, section 13).

A row is a polynomial of degree below K, given by its values at the slots, the subgroup of order K; a column
is what all rows and the three masks are at one point outside of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from assay.profiles import Code
from assay.reference.codewords import SALT, climb, code_point, evaluate_row, sha256
from assay.reference.field import Array, Ext, P, Residues, eq_vector, inverses
from assay.reference.padded import LEFT, RIGHT, Padded, Unknown
from assay.reference.statement import log2c
from assay.reference.tableau_layout import EXPANSION, MASKS, Layout
from assay.reference.transcript import Messages, Where, canonical, reject, require

COLUMN_TAG = b"\x05"
_TABLEAU = Where(None, "tableau")


# ---- constraints ----


def all_constraints(m: Messages) -> list[Padded]:
    """Those of the checks, then X_l = pi_i and Y_l = pi_j for each product."""
    one = Ext.of(1, m.degree)
    zero = one - one
    of_products = [
        Padded(zero, {(side, number): one, pad: -one})
        for number, pads in enumerate(m.products)
        for side, pad in zip((LEFT, RIGHT), pads, strict=True)
    ]
    return m.constraints + of_products


def combined(constraints: Sequence[Padded], tau: Ext) -> Padded:
    """sum of tau^(t+1) (constraint t), as a form that is to be zero."""
    known, power = tau - tau, tau
    terms: dict[Unknown, Ext] = {}
    for constraint in constraints:
        known += constraint.known * power
        for unknown, c in constraint.terms.items():
            terms[unknown] = terms[unknown] + c * power if unknown in terms else c * power
        power *= tau
    return Padded(known, terms)


# ---- answers ----


@dataclass(frozen=True)
class Answers:
    """v_1, v_2, v_3, the challenges that they answer, and the combined constraint."""

    layout: Layout
    point: list[Ext]
    rho: Ext
    sigma: Ext
    constraint: Padded
    rows: Array
    linear: Array
    products: Array


def read_answers(m: Messages, at: Layout) -> Answers:
    """(T.2), (T.3)."""
    point = [m.challenge("tableau.point") for _ in range(log2c(at.rows))]
    rho, tau, sigma = [m.challenge(f"tableau.{name}") for name in ("rho", "linear", "products")]
    constraint = combined(all_constraints(m), tau)
    rows = m.elements("tableau.rows", at.slots, _TABLEAU)
    linear = m.elements("tableau.linear", 2 * at.slots, _TABLEAU)
    products = m.elements("tableau.products", 2 * at.slots, _TABLEAU)
    total = (linear[0] + linear[at.slots]).scalar() * at.slots
    require(
        total == -constraint.known, "tableau.linear", _TABLEAU, "a check on padded messages fails"
    )  # (T.2)
    require(
        not values_at_slots(products, at).x.any(),
        "tableau.products",
        _TABLEAU,
        "a product of pads is wrong",
    )  # (T.3)
    return Answers(at, point, rho, sigma, constraint, rows, linear, products)


def slot_points(at: Layout) -> list[int]:
    """w^i."""
    root = pow(7, (P - 1) // at.slots, P)
    return list(accumulate(range(at.slots - 1), lambda power, _: power * root % P, initial=1))


def values_at_slots(v: Array, at: Layout) -> Array:
    """Of a polynomial of degree below 2K, at slots 0 to S - 1; there x^K = 1."""
    return evaluate_row(v[: at.slots] + v[at.slots :], slot_points(at)[: at.message])


# ---- columns ----


def verify_answers(m: Messages, root: bytes, answers: Answers, indices: list[int]) -> None:
    """(T.4), under the root of the tableau."""
    at = answers.layout
    columns = read_columns(m, root, at, indices)  # [queries, R + 3]
    points = [column_point(at, j) for j in indices]
    answered = [evaluate_row(v, points) for v in (answers.rows, answers.linear, answers.products)]
    found = combinations(answers, columns, points)
    for q in range(len(indices)):
        for name, answer, combination in zip(("rows", "linear", "products"), answered, found, strict=True):
            require(
                bool((answer.x[q] == combination.x[q]).all()),
                f"tableau.column.{name}",
                _TABLEAU,
                f"a column does not match the combined {name}",
            )


def combinations(answers: Answers, columns: Array, points: list[int]) -> tuple[Array, Array, Array]:
    """The right sides of (T.1) at these points."""
    at, degree = answers.layout, len(answers.rho.c)
    rows = eq_vector(answers.point, degree, at.rows)
    first = (columns[:, : at.rows] * rows[None, :]).sum(1) * answers.rho + columns[:, at.rows]
    second, weights = columns[:, at.rows + 1], slot_weights(at, points)
    for r, values in enumerate(coefficients(answers)):
        second += values[None, :].times(weights).sum(1) * columns[:, r]  # A_r row_r
    third, power = columns[:, at.rows + 2], answers.sigma
    for r in range(at.pad_rows, at.pad_rows + at.product_rows):
        x, y, z = [columns[:, r + k * at.product_rows] for k in range(3)]
        third += (x * y - z) * power
        power *= answers.sigma
    return first, second, third


def coefficients(answers: Answers) -> list[Array]:
    """a((r, i)) for all slots i of each row r."""
    at, degree = answers.layout, len(answers.rho.c)
    values = np.zeros((at.rows, at.slots, degree), np.uint64)
    for unknown, c in answers.constraint.terms.items():
        values[at.slot(unknown)] = c.c
    return [Array(row) for row in values]


def slot_weights(at: Layout, points: list[int]) -> Residues:
    """[points, K]: with values f_i at the slots, f(x) = sum of f_i w^i (x^K - 1) / (K (x - w^i))."""
    slots = slot_points(at)
    return np.array([_weights(at, slots, x) for x in points], np.uint64)


def _weights(at: Layout, slots: list[int], x: int) -> list[int]:
    common = (pow(x, at.slots, P) - 1) * pow(at.slots, P - 2, P)
    return [w * common * i % P for w, i in zip(slots, inverses([x - w for w in slots]), strict=True)]


def column_point(at: Layout, j: int) -> int:
    """eta_j."""
    code = Code(log_columns=at.kappa, random=0, log_coset=at.kappa, cosets=EXPANSION, queries=at.queries)
    return 7 * code_point(code, j) % P


def read_columns(m: Messages, root: bytes, at: Layout, indices: list[int]) -> Array:
    """[queries, R + 3], once they are known to be under the root."""
    size = 8 * m.degree * (at.rows + MASKS)
    symbols, leaves = [], {}
    for j in indices:
        raw = m.take(size, _TABLEAU)
        symbols.append(canonical(raw, _TABLEAU).reshape(-1, m.degree))
        leaves[j] = sha256(raw + m.take(SALT, _TABLEAU) + COLUMN_TAG)
    if climb(m, leaves, at.length, _TABLEAU) != root:
        reject("tableau.merkle", _TABLEAU, "a column is not under the tableau's root")
    return Array(np.array(symbols))
