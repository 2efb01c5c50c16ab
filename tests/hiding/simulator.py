"""Proofs without a witness: what zero knowledge says (docs/spec/zero-knowledge.md) as a program.

The simulator knows the statement, the public totals and outputs and the counter, no cell of any commitment.
It draws all challenges in advance and programs the random oracle with them:

    messages             uniform, and u
    commitments          in the columns that will be opened, uniform symbols; elsewhere random digests
    mask                 in these columns, what (O.3) needs
    tableau              v_1, v_2, v_3 uniform among those that (T.2) and (T.3) allow; in the columns that
                         will be opened uniform symbols of the rows, and of the masks what (T.4) needs

It runs the reference verifier's own text over messages that it makes up when they are asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from oracle import Draw, Oracle, Scripted
from tiny import BITS
from trees import Tree

from assay.reference import Statement, verify_body
from assay.reference.codewords import DIGEST, SALT, code_point, evaluate_row, sha256
from assay.reference.field import Array, Ext, P, add, eq_vector, mul
from assay.reference.opening import LEAF_TAG, MASK_TAG, PART_TAG, Combination
from assay.reference.plan import Opened, Plan
from assay.reference.tableau import (
    COLUMN_TAG,
    Answers,
    all_constraints,
    column_point,
    combinations,
    combined,
    read_answers,
    slot_points,
)
from assay.reference.tableau_layout import MASKS, Layout, layout
from assay.reference.transcript import Messages, Where
from assay.reference.verifier import verify_messages


@dataclass
class Columns:
    """A commitment of which nothing exists but some columns, as the strings that an opening shows."""

    symbols: dict[int, np.ndarray]  # of all opened parts
    shown: dict[int, bytes]
    tree: Tree

    def opening(self, indices: list[int]) -> bytes:
        """What a proof shows of these columns."""
        return b"".join(self.shown[j] for j in indices) + self.tree.opening(indices)


def columns_of(c: Opened, length: int, indices: Sequence[int], draw: Draw) -> Columns:
    """Uniform symbols in these columns, random digests elsewhere."""
    symbols, shown, leaves = {}, {}, [draw.bytes(DIGEST) for _ in range(length)]
    for j in indices:
        column, own, digests = [], b"", b""
        for rows, opened in zip(c.part_rows, c.opened, strict=True):
            words = draw.words(rows)
            part = words.astype("<u8").tobytes() + draw.bytes(SALT) if opened else draw.bytes(DIGEST)
            digests += sha256(part + PART_TAG) if opened else part
            own += part
            column += [words] if opened else []
        symbols[j] = np.concatenate([np.zeros(0, np.uint64), *column])
        shown[j], leaves[j] = own, sha256(digests + LEAF_TAG)
    return Columns(symbols, shown, Tree(leaves))


def elements_of(values: dict[int, np.ndarray], length: int, tag: bytes, draw: Draw) -> Columns:
    """The same for given symbols in E."""
    shown, leaves = {}, [draw.bytes(DIGEST) for _ in range(length)]
    for j, symbols in values.items():
        shown[j] = symbols.astype("<u8").tobytes() + draw.bytes(SALT)
        leaves[j] = sha256(shown[j] + tag)
    return Columns(values, shown, Tree(leaves))


class Invented(Messages):
    """Messages made up as they are asked for."""

    def __init__(self, script: Scripted, degree: int, draw: Draw, public: Public) -> None:
        super().__init__(b"", script, degree, hiding=True)
        self.draw, self.counter = draw, public.counter
        self.told = {"total": iter(public.totals), "output": iter(public.outputs)}
        self.sent: list[tuple[str, bytes]] = []
        self.drawn: dict[str, Ext] = {}  # the last under each label

    def bytes(self, label: str, size: int, where: Where) -> bytes:
        raw = bytes(size)  # a root: put in later
        if label == "ledger.counter":
            raw = struct.pack("<Q", self.counter)
        elif label in self.told:
            raw = next(self.told[label]).to_bytes(size, "little")
        self.sent.append((label, raw))
        return raw

    def elements(self, label: str, count: int, where: Where) -> Array:
        answer = self.draw.words(count, self.degree)
        if label == "tableau.linear":
            answer = self._of_known_sum(answer)
        elif label == "tableau.products":
            answer = self._vanishing(answer)
        self.sent.append((label, answer.astype("<u8").tobytes()))
        return Array(answer)

    def challenge(self, label: str) -> Ext:
        self.drawn[label] = super().challenge(label)
        return self.drawn[label]

    def _of_known_sum(self, v: np.ndarray) -> np.ndarray:
        """(T.2): K (v_0 + v_K) = d."""
        K = len(v) // 2
        d = -combined(all_constraints(self), self.drawn["tableau.linear"]).known
        v[0] = (d * pow(K, P - 2, P) - Ext(v[K].tolist())).c
        return v

    def _vanishing(self, v: np.ndarray) -> np.ndarray:
        """(T.3): a random multiple of the polynomial that vanishes at slots 0 to S - 1."""
        zero = vanishing(self.layout())
        factor = v[len(zero) - 1 :]
        out = np.zeros_like(v)
        for k, c in enumerate(zero):
            out[k : k + len(factor)] = add(out[k : k + len(factor)], mul(factor, np.asarray(c, np.uint64)))
        return out

    def layout(self) -> Layout:
        """Of the tableau."""
        return layout(BITS, self.pads, len(self.products))


@lru_cache
def vanishing(at: Layout) -> list[int]:
    """Coefficients of the product of X - w^i over i < S."""
    out = [1]
    for w in slot_points(at)[: at.message]:
        out = [(low - w * high) % P for low, high in zip([0, *out], [*out, 0], strict=True)]
    return out


# ---- proofs ----


@dataclass(frozen=True)
class Public:
    """What a verifier learns besides the statement."""

    counter: int
    totals: tuple[int, ...]
    outputs: tuple[int, ...] = ()  # the cells of each, one after another, as one number in base 2^64


@dataclass(frozen=True)
class Simulated:
    """Proofs of one statement, and the oracle under which they are accepted."""

    statement: Statement
    bodies: list[bytes]
    oracle: Oracle


def simulate(shape: Statement, public: Sequence[Public], seed: Any) -> Simulated:
    """A proof for each of these; the roots of all long-lived commitments are the simulator's own."""
    draw, code, plan = Draw(seed), shape.code, Plan(shape)
    indices = [draw.subset(code.queries, code.length) for _ in public]
    every = sorted(set().union(*indices))
    standing = [columns_of(c, code.length, every, draw) for c in plan.commitments[: len(shape.long_lived)]]
    roots = iter([columns.tree.root for columns in standing])
    weights = replace(shape.weights, root=next(roots))
    members = tuple(m and replace(m, root=next(roots)) for m in shape.members)
    statement, oracle = replace(shape, weights=weights, members=members), Oracle()
    bodies = [
        _proof(statement, standing, own, one, draw, oracle) for own, one in zip(indices, public, strict=True)
    ]
    return Simulated(statement, bodies, oracle)


def _proof(
    statement: Statement,
    standing: list[Columns],
    indices: list[int],
    public: Public,
    draw: Draw,
    oracle: Oracle,
) -> bytes:
    plan, code = Plan(statement), statement.code
    seed, known = draw.bytes(32), {"opening.columns": indices}
    m = Invented(Scripted(statement, list(seed), known), statement.degree, draw, public)
    told = verify_messages(m, plan)
    answers = read_answers(m, m.layout())
    known["tableau.columns"] = draw.subset(answers.layout.queries, answers.layout.length)
    fresh = [columns_of(c, code.length, indices, draw) for c in plan.commitments[len(standing) :]]
    mask = mask_columns(plan, told.combination, [*standing, *fresh], indices, draw)
    tableau = tableau_columns(answers, known["tableau.columns"], draw)
    roots = iter(c.tree.root for c in (*fresh, mask, tableau))
    body = b"".join(next(roots) if label == "root" else raw for label, raw in m.sent)
    body += b"".join(c.opening(indices) for c in (*standing, *fresh, mask))
    body += tableau.opening(known["tableau.columns"])
    script = Scripted(statement, list(seed), known)
    verify_body(statement, body, oracle.program(statement, script))
    return body


def mask_columns(
    plan: Plan, opened: Combination, commitments: list[Columns], indices: list[int], draw: Draw
) -> Columns:
    """g at the points of these columns, from (O.3)."""
    code, degree = plan.statement.code, len(opened.rho.c)
    symbols = np.array([np.concatenate([c.symbols[j] for c in commitments]) for j in indices])
    rows = eq_vector(opened.rows, degree, plan.rows)
    combination = rows[None, :].times(symbols).sum(1) * opened.rho
    g = evaluate_row(opened.u, [code_point(code, j) for j in indices]) - combination
    return elements_of(dict(zip(indices, g.x, strict=True)), code.length, MASK_TAG, draw)


def tableau_columns(answers: Answers, indices: list[int], draw: Draw) -> Columns:
    """Rows uniform, masks from (T.4)."""
    at, degree = answers.layout, len(answers.rho.c)
    points = [column_point(at, j) for j in indices]
    symbols = draw.words(len(indices), at.rows + MASKS, degree)
    symbols[:, at.rows :] = 0
    found = combinations(answers, Array(symbols), points)
    for k, (answer, sums) in enumerate(
        zip((answers.rows, answers.linear, answers.products), found, strict=True)
    ):
        symbols[:, at.rows + k] = (evaluate_row(answer, points) - sums).x
    return elements_of(dict(zip(indices, symbols, strict=True)), at.length, COLUMN_TAG, draw)
