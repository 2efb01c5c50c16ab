"""The prover of a tableau in plain Python (protocol, section 13), and ways for it to cheat."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from oracle import Draw
from trees import Tree

from assay.reference.codewords import sha256
from assay.reference.field import Array, Ext, P, Residues, eq_vector, total
from assay.reference.field import mul as times
from assay.reference.padded import LEFT, PAD, PRODUCT, RIGHT, Padded, Unknown
from assay.reference.tableau import (
    COLUMN_TAG,
    all_constraints,
    combined,
    slot_points,
)
from assay.reference.tableau import column_point as point_of
from assay.reference.tableau_layout import MASKS, Layout
from assay.reference.transcript import ELEMENTS, Messages, Transcript, Where

Answer = tuple[Array, Array, Array]
ANSWERS = ("tableau.rows", "tableau.linear", "tableau.products")


@lru_cache
def powers(at: Layout, size: int) -> Residues:
    """[N, size]: x^k at all points of the code."""
    points = [point_of(at, j) for j in range(at.length)]
    return np.array([[pow(x, k, P) for k in range(size)] for x in points], np.uint64)


@lru_cache
def inverse_transform(at: Layout) -> Residues:
    """[K, K]: coefficient k from values at the slots."""
    scale = pow(at.slots, P - 2, P)
    return np.array(
        [[pow(w, -k, P) * scale % P for w in slot_points(at)] for k in range(at.slots)], np.uint64
    )


def applied(matrix: Residues, vector: Array) -> Array:
    """Of elements of F, to a vector of E."""
    return Array(total(times(matrix[:, :, None], vector.x[None]), 1))


def multiplied(a: Array, b: Array) -> Array:
    """Of two polynomials of degree below K: 2K coefficients, the last 0."""
    size, degree = a.x.shape
    out = Array(np.zeros((2 * size, degree), np.uint64))
    for k in range(size):
        out.x[k : k + size] = (out[k : k + size] + b * Ext(a.x[k].tolist())).x
    return out


class TableauProver:
    """Rows as coefficients, and the tree over all columns.

    `unknowns` is what the prover puts into slots: `honest(pads, products)`, but for cheating ones.
    """

    def __init__(
        self, at: Layout, unknowns: dict[Unknown, Ext], degree: int, draw: Draw, *, masks: bool = True
    ) -> None:
        self.at, self.degree, self.draw = at, degree, draw
        slots = np.zeros((at.rows, at.slots, degree), np.uint64)
        slots[:, at.message :] = draw.words(at.rows, at.queries, degree)
        for unknown, value in unknowns.items():
            slots[at.slot(unknown)] = value.c
        self.rows = [applied(inverse_transform(at), Array(row)) for row in slots]
        self.masks = self.make_masks()
        if not masks:
            self.masks = [Array(np.zeros_like(g.x)) for g in self.masks]
        wide = [np.concatenate([f.x, np.zeros_like(f.x)]) for f in (*self.rows, self.masks[0])]
        every = [Array(f) for f in wide] + self.masks[1:]
        symbols = [applied(powers(at, 2 * at.slots), f).x for f in every]
        self.symbols = np.stack(symbols, axis=1)  # [N, R + 3, D]
        assert self.symbols.shape[1] == at.rows + MASKS
        self.salts = [draw.bytes(16) for _ in range(at.length)]
        self.tree = Tree([sha256(self.shown(j) + COLUMN_TAG) for j in range(at.length)])

    def make_masks(self) -> list[Array]:
        """g_1, g_2, g_3."""
        at, draw = self.at, self.draw
        first, second = Array(draw.words(at.slots, self.degree)), Array(draw.words(2 * at.slots, self.degree))
        second.x[at.slots] = (-Ext(second.x[0].tolist())).c
        values, high = np.zeros((at.slots, self.degree), np.uint64), Array(draw.words(at.slots, self.degree))
        values[at.message :] = draw.words(at.queries, self.degree)
        low = applied(inverse_transform(at), Array(values)) - high  # low + X^K high
        return [first, second, Array(np.concatenate([low.x, high.x]))]

    def shown(self, j: int) -> bytes:
        """Column j."""
        raw: bytes = self.symbols[j].astype("<u8").tobytes()
        return raw + self.salts[j]

    def opening(self, indices: list[int]) -> bytes:
        """What a proof shows of these columns."""
        return b"".join(self.shown(j) for j in indices) + self.tree.opening(indices)

    def answers(self, point: list[Ext], rho: Ext, sigma: Ext, constraint: Padded) -> Answer:
        """v_1, v_2, v_3 of (T.1)."""
        at = self.at
        v1, v2, v3 = self.masks
        for weight, row in zip(eq_vector(point, self.degree, at.rows).x.tolist(), self.rows, strict=True):
            v1 += row * (Ext(weight) * rho)
        values = np.zeros((at.rows, at.slots, self.degree), np.uint64)
        for unknown, c in constraint.terms.items():
            values[at.slot(unknown)] = c.c
        for row, a in zip(self.rows, values, strict=True):
            v2 += multiplied(applied(inverse_transform(at), Array(a)), row)
        power = sigma
        for r in range(at.pad_rows, at.pad_rows + at.product_rows):
            x, y, z = [self.rows[r + k * at.product_rows] for k in range(3)]
            wide = Array(np.concatenate([z.x, np.zeros_like(z.x)]))
            v3 += (multiplied(x, y) - wide) * power
            power *= sigma
        return v1, v2, v3


def honest(pads: Sequence[Ext], products: Sequence[tuple[Unknown, Unknown]]) -> dict[Unknown, Ext]:
    """What is in the slots of an honest prover."""
    out: dict[Unknown, Ext] = {(PAD, k): pad for k, pad in enumerate(pads)}
    for number, ((_, i), (_, j)) in enumerate(products):
        out |= {(LEFT, number): pads[i], (RIGHT, number): pads[j], (PRODUCT, number): pads[i] * pads[j]}
    return out


class Answering(Messages):
    """A prover's side of `read_answers`: the three lists are computed when they are asked for."""

    prover: TableauProver

    def __init__(self, transcript: Transcript, degree: int) -> None:
        super().__init__(b"", transcript, degree, hiding=True)
        self.sent: list[tuple[str, bytes]] = []
        self.drawn: list[tuple[str, Ext]] = []
        self.answers: dict[str, Array] = {}

    def challenge(self, label: str) -> Ext:
        self.drawn.append((label, super().challenge(label)))
        return self.drawn[-1][1]

    def elements(self, label: str, count: int, where: Where) -> Array:
        if label == "tableau.rows":
            self.answers = dict(zip(ANSWERS, self.change(self._answers()), strict=True))
        return self.send(label, self.answers[label])

    def change(self, answers: Answer) -> Answer:
        """For provers that cheat."""
        return answers

    def send(self, label: str, values: Array) -> Array:
        """A message in the clear."""
        raw = values.x.astype("<u8").tobytes()
        self.transcript.frame(ELEMENTS + self.degree, label, raw)
        self.sent.append((label, raw))
        return values

    def _answers(self) -> Answer:
        point = [value for label, value in self.drawn if label == "tableau.point"]
        rho, tau, sigma = [value for _, value in self.drawn[-3:]]
        return self.prover.answers(point, rho, sigma, combined(all_constraints(self), tau))
