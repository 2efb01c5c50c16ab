"""A whole prover in plain Python, for a segment of lookups and linear relations without a witness.

It speaks while the reference verifier's text listens: `Speaking` is asked for each message, takes it from a
script that proves trees and the reduction, pads and absorbs it. What a prover may get wrong, about hiding or
about what it proves, is an option, so that tests can plant it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from oracle import Draw
from tableau_prover import ANSWERS, Answer, Answering, TableauProver, honest
from trees import Tree

from assay.errors import VerificationError
from assay.profiles import Code
from assay.reference import Statement
from assay.reference.circuit import Domain
from assay.reference.circuit import _Values as Values
from assay.reference.codewords import SALT, code_point, sha256
from assay.reference.field import Array, Ext, P, Residues, add, eq_vector, mul, ones, residues, total
from assay.reference.functional import Claim, Part
from assay.reference.opening import LEAF_TAG, MASK_TAG, PART_TAG, combine
from assay.reference.padded import Padded, Unknown, Value
from assay.reference.plan import Plan
from assay.reference.segment import Fingerprint
from assay.reference.statement import BLOCK, blocks_of, log_leaves
from assay.reference.tableau import read_answers
from assay.reference.tableau_layout import layout
from assay.reference.transcript import BYTES, Messages, Transcript, Where
from assay.reference.verifier import verify_relations

Cells = dict[str, np.ndarray]


@dataclass(frozen=True)
class Flaws:
    """What this prover gets wrong."""

    no_pads: bool = False  # messages in the clear
    pads: tuple[Ext, ...] = ()  # those of another proof
    mask: int | None = None  # symbols of u that are masked, from the first on
    tableau_masks: bool = True
    added: tuple[int, int, int] = (0, 0, 0)  # to the tableau's answers
    unknowns: dict[Unknown, int] = field(default_factory=dict)  # added in the tableau's slots
    lie: int = 0  # added to the first message


# ---- commitments ----


@lru_cache
def powers(code: Code) -> Residues:
    """[N, C + h]."""
    points = [code_point(code, j) for j in range(code.length)]
    out = np.ones((len(points), code.message), np.uint64)
    for k in range(1, code.message):
        out[:, k] = mul(out[:, k - 1], np.array(points, np.uint64))
    return out


def encoded(code: Code, rows: Residues) -> Residues:
    """[N, rows] from coefficients [rows, C + h]."""
    return np.stack([total(mul(powers(code), row[None]), 1) for row in rows], axis=1)


class Committed:
    """Parts of rows of field elements, their codewords and tree."""

    def __init__(self, code: Code, parts: Sequence[Residues], draw: Draw) -> None:
        self.code = code
        self.parts = [np.hstack([part, draw.words(len(part), code.random)]) for part in parts]
        self.symbols = [encoded(code, part) for part in self.parts]
        self.salts = [[draw.bytes(SALT) for _ in range(code.length)] for _ in parts]
        self.digests = [
            [sha256(self.column(p, j) + PART_TAG) for j in range(code.length)] for p in range(len(parts))
        ]
        self.tree = Tree(
            [sha256(b"".join(d[j] for d in self.digests) + LEAF_TAG) for j in range(code.length)]
        )

    def column(self, part: int, j: int) -> bytes:
        """A part's symbols and salt."""
        raw: bytes = self.symbols[part][j].astype("<u8").tobytes()
        return raw + self.salts[part][j]

    def opening(self, opened: Sequence[bool], indices: list[int]) -> bytes:
        """What a proof shows of these columns."""
        shown = [
            self.column(p, j) if is_open else self.digests[p][j]
            for j in indices
            for p, is_open in enumerate(opened)
        ]
        return b"".join(shown) + self.tree.opening(indices)


class Mask:
    """g, encoded by the same code."""

    def __init__(self, code: Code, degree: int, masked: int | None, draw: Draw) -> None:
        self.g = Array(draw.words(code.message, degree))
        self.g.x[code.message if masked is None else masked :] = 0
        self.symbols = np.stack([encoded(code, self.g.x[None, :, d])[:, 0] for d in range(degree)], axis=1)
        self.salts = [draw.bytes(SALT) for _ in range(code.length)]
        self.tree = Tree([sha256(self.column(j) + MASK_TAG) for j in range(code.length)])

    def column(self, j: int) -> bytes:
        raw: bytes = self.symbols[j].astype("<u8").tobytes()
        return raw + self.salts[j]

    def opening(self, indices: list[int]) -> bytes:
        return b"".join(map(self.column, indices)) + self.tree.opening(indices)


def placed(plan: Plan, rows: int, tensors: Sequence[tuple[int, np.ndarray]]) -> Residues:
    """The rows of a part: tensors from their blocks on."""
    cells = np.zeros((rows * plan.row_blocks, BLOCK), np.uint64)
    for first, values in tensors:
        height, cols = values.shape
        blocks = -(-cols // BLOCK)
        padded = np.zeros((height, blocks * BLOCK), np.int64)
        padded[:, :cols] = values
        cells[first : first + height * blocks] = residues(padded).reshape(-1, BLOCK)
    return cells.reshape(rows, -1)


# ---- what is proven ----


def sums_of(values: Array, weights: Array) -> Ext:
    return (values * weights).scalar()


def halves(values: Array) -> tuple[Array, Array]:
    """At 0 and 1 of the first variable."""
    return values[0::2], values[1::2]


def bound(values: Array, s: Ext) -> Array:
    low, high = halves(values)
    return low + (high - low) * s


def tree_script(m: Speaking, p: Array, q: Array) -> Iterator[Ext]:
    """The messages of a tree over these leaves (protocol, section 9)."""
    levels = [(p, q)]
    while levels[0][0].shape[0] > 1:
        (p0, p1), (q0, q1) = map(halves, levels[0])
        levels.insert(0, (p0 * q1 + p1 * q0, q0 * q1))
    P_root, Q_root = (values.scalar() for values in levels[0])
    yield from (P_root, Q_root, Q_root.inverse(), P_root * Q_root.inverse())
    point: list[Ext] = []
    for P_layer, Q_layer in levels[1:]:
        mix, later, s = m.last(), point, []
        children = [*halves(P_layer), *halves(Q_layer)]
        while later:
            later = later[1:]
            weights = eq_vector(later, m.degree)
            yield from (sums_of(node(at, mix), weights) for at in zero_and_two(children))
            s.append(m.last())
            children = [bound(values, s[-1]) for values in children]
        yield from (values.scalar() for values in children)
        point = [m.last(), *s]


def node(children: list[Array], mix: Ext) -> Array:
    """The right side of (L.1), both parts."""
    pa, pb, qa, qb = children
    return pa * qb + pb * qa + qa * qb * mix


def zero_and_two(values: list[Array]) -> Iterator[list[Array]]:
    """All at 0 and at 2 of the first variable."""
    yield [halves(x)[0] for x in values]
    yield [halves(x)[1] + halves(x)[1] - halves(x)[0] for x in values]


def reduction_script(m: Speaking, M: Array, B: Array) -> Iterator[Ext]:
    """(O.1), then v."""
    while M.shape[0] > 1:
        yield from (sums_of(*at) for at in zero_and_two([M, B]))
        M, B = bound(M, m.last()), bound(B, m.last())
    yield M.scalar()


def dense(parts: Sequence[Part], blocks: int, degree: int) -> Array:
    """The weight of each cell of the stack, [128 blocks]."""
    out = Array(np.zeros((blocks, BLOCK, degree), np.uint64))
    for part in parts:
        rows, width = part.shape
        first, last = part.at
        place = np.arange(width * BLOCK).reshape(width, BLOCK)
        exists = (place >= first[:, None, None]) & (place < last[:, None, None])
        weight = part.weights.rows[:, :, None] * part.weights.cells[None] * part.factor
        weight = Array(weight.x * exists[..., None].astype(np.uint64))
        for c, at in part.tensors:
            own = weight.times(np.asarray(c % P, np.uint64)).x.reshape(rows * width, BLOCK, degree)
            out.x[at : at + rows * width] = add(out.x[at : at + rows * width], own)
    return Array(out.x.reshape(blocks * BLOCK, degree))


# ---- the prover ----


class Speaking(Answering):
    """Messages as they are sent."""

    def __init__(self, work: Work, pads: Sequence[Ext], mask: Mask | None) -> None:
        statement = work.plan.statement
        super().__init__(Transcript(statement.encoded(), hiding=statement.hiding), statement.degree)
        self.hiding, self.own_pads, self.mask = statement.hiding, pads, mask
        self.work, self.flaws = work, work.flaws
        self.claims: list[Claim] = []
        self.plain: list[Ext] = []  # before padding
        self.script = self._script()

    def last(self) -> Ext:
        """The challenge drawn last."""
        return self.drawn[-1][1]

    def say(self, label: str, raw: bytes) -> None:
        """A message of bytes."""
        self.transcript.frame(BYTES, label, raw)
        self.sent.append((label, raw))

    def elements(self, label: str, count: int, where: Where) -> Array:
        if label in ANSWERS:
            return super().elements(label, count, where)
        if label == "opening.u":
            return self.send(label, self._combination())
        x = next(self.script)
        self.plain.append(x)
        if len(self.plain) == 1:
            x += self.flaws.lie
        if self.hiding and not self.flaws.no_pads:
            x += self.own_pads[self.pads]
        return self.send(label, Array.of([x]))

    def require_zero(self, value: Value, code: str, where: Where, message: str) -> None:
        """A prover goes on, whatever it says."""
        if isinstance(value, Padded):
            super().require_zero(value, code, where, message)

    def change(self, answers: Answer) -> Answer:
        for answer, x in zip(answers, self.flaws.added, strict=True):
            answer.x[3] = (Ext(answer.x[3].tolist()) + x).c
        return answers

    def _script(self) -> Iterator[Ext]:
        fp = Fingerprint(self.drawn[0][1], self.drawn[1][1])
        yield from tree_script(self, *self.work.lookup_leaves(fp))
        yield from tree_script(self, *self.work.table_leaves(fp))
        gamma, blocks = self.last(), 1 << self.work.plan.block_bits
        B, power = Array(np.zeros((blocks * BLOCK, self.degree), np.uint64)), gamma * gamma.inverse()
        for claim in self.claims:
            B += dense(claim.parts, blocks, self.degree) * power
            power *= gamma
        yield from reduction_script(self, self.work.cells(blocks * BLOCK), B)
        if self.mask is not None:
            cells = 1 << self.work.code.log_columns
            yield sums_of(
                self.mask.g[:cells], eq_vector(self.point()[: self.work.code.log_columns], self.degree)
            )

    def point(self) -> list[Ext]:
        """r of the reduction."""
        start = [label for label, _ in self.drawn].index("opening.gamma")
        return [value for label, value in self.drawn[start:] if label == "sumcheck"]

    def _combination(self) -> Array:
        """u."""
        rows = eq_vector(self.point()[self.work.code.log_columns :], self.degree, self.work.plan.rows)
        u = Array(total(mul(rows.x[:, None, :], self.work.stack()[:, :, None]), 0))
        return u if self.mask is None else u * self.last() + self.mask.g


class Counting(Messages):
    """Learns how many messages there are and which are multiplied."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(b"", Transcript(b"", hiding=True), plan.statement.degree, hiding=True)
        ahead(self, plan, [])

    def elements(self, label: str, count: int, where: Where) -> Array:
        return Array(np.ones((count, self.degree), np.uint64))


def ahead(m: Messages, plan: Plan, claims: list[Claim]) -> None:
    """All messages from the first challenge on to u."""
    fp = Fingerprint(m.challenge("lookup.alpha"), m.challenge("lookup.beta"))
    verify_relations(m, plan, fp, claims)
    combine(m, plan, claims)


class Work:
    """What one proof is about: the plan, its cells, and commitments in the plan's order."""

    def __init__(
        self, statement: Statement, tensors: Cells, standing: list[Committed], draw: Draw, flaws: Flaws
    ):
        self.plan, self.flaws, self.draw = Plan(statement), flaws, draw
        self.code, self.degree = statement.code, statement.degree
        (self.segment,) = statement.segments
        self.values = Values(self.segment.circuit, tensors)
        (rows,) = self.plan.commitments[-1].part_rows
        counted = placed(self.plan, rows, list(zip(self.plan.table_starts, self.counts(), strict=True)))
        self.commitments = [*standing, Committed(self.code, [counted], draw)]

    def keys(self) -> Iterator[tuple[int, Domain, list[np.ndarray]]]:
        """Table, domain and columns of each lookup."""
        for _, table, domain, columns in self.segment.circuit.lookups:
            number = self.plan.table_ids[0][table] - 1
            yield number, domain, [self.values.poly(p, domain) for p in columns]

    def counts(self) -> list[np.ndarray]:
        """Multiplicities of each table's rows, [1, rows]."""
        out = [np.zeros((1, table.rows), np.int64) for table in self.plan.tables]
        for number, domain, columns in self.keys():
            np.add.at(out[number][0], columns[0][domain.mask()] - self.plan.tables[number].start, 1)
        return out

    def lookup_leaves(self, fp: Fingerprint) -> tuple[Array, Array]:
        """(C.6)"""
        blocks = sum(blocks_of(domain) for _, domain, _ in self.keys())
        p, q, base = *one_leaves(1 << log_leaves(blocks), self.degree), 0
        for number, domain, columns in self.keys():
            for i, j in np.argwhere(domain.mask()).tolist():
                at = (base + i * -(-domain.cols // BLOCK)) * BLOCK + j
                q.x[at] = fingerprint(fp, number, [int(column[i, j]) for column in columns]).c
            base += blocks_of(domain)
        return p, q

    def table_leaves(self, fp: Fingerprint) -> tuple[Array, Array]:
        """Of all tables."""
        p, q = one_leaves(1 << log_leaves(self.plan.table_blocks), self.degree)
        p.x[:] = 0
        for number, (table, counts) in enumerate(zip(self.plan.tables, self.counts(), strict=True)):
            for r in range(table.rows):
                at = self.plan.table_starts[number] * BLOCK + r
                row = [table.start + r, *(int(image[r]) for image in table.images)]
                p.x[at, 0] = counts[0, r]
                q.x[at] = fingerprint(fp, number, row).c
        return p, q

    def stack(self) -> Residues:
        """All opened rows with their random symbols."""
        return np.vstack(
            [
                part
                for c, shape in zip(self.commitments, self.plan.commitments, strict=True)
                for part, opened in zip(c.parts, shape.opened, strict=True)
                if opened
            ]
        )

    def cells(self, size: int) -> Array:
        """M as a vector of this size."""
        flat = self.stack()[:, : 1 << self.code.log_columns].reshape(-1)
        out = np.zeros((size, self.degree), np.uint64)
        out[: len(flat), 0] = flat
        return Array(out)


def one_leaves(size: int, degree: int) -> tuple[Array, Array]:
    return ones((size,), degree), ones((size,), degree)


def fingerprint(fp: Fingerprint, number: int, row: list[int]) -> Ext:
    value, power = fp.alpha - (number + 1), fp.beta
    for c in row:
        value -= power * c
        power *= fp.beta
    return value


@dataclass(frozen=True)
class Proof:
    """A body, and what its prover knows of it."""

    body: bytes
    pads: tuple[Ext, ...]
    plain: tuple[Ext, ...]


def prove(
    statement: Statement,
    tensors: Cells,
    standing: list[Committed],
    draw: Draw,
    flaws: Flaws = Flaws(),
    counter: int = 0,
) -> Proof:
    """A proof of a statement with one segment, over these weights and boundaries."""
    work = Work(statement, tensors, standing, draw, flaws)
    if not statement.hiding:
        return _spoken(work, Speaking(work, (), None), None, counter)
    counted = Counting(work.plan)
    at = layout(statement.required_bits, counted.pads, len(counted.products))
    pads = flaws.pads or tuple(Ext(x) for x in draw.words(at.pads, statement.degree).tolist())
    unknowns = honest([pad - pad if flaws.no_pads else pad for pad in pads], counted.products)
    for unknown, x in flaws.unknowns.items():
        unknowns[unknown] += x
    mask = Mask(work.code, statement.degree, flaws.mask, draw)
    tableau = TableauProver(at, unknowns, statement.degree, draw, masks=flaws.tableau_masks)
    return _spoken(work, Speaking(work, pads, mask), tableau, counter)


def _spoken(work: Work, m: Speaking, tableau: TableauProver | None, counter: int) -> Proof:
    m.say("ledger.counter", struct.pack("<Q", counter))
    fresh = [c.tree.root for c in work.commitments[2:]]
    if m.mask is not None and tableau is not None:
        fresh += [m.mask.tree.root, tableau.tree.root]
    for root in fresh:
        m.say("root", root)
    ahead(m, work.plan, m.claims)
    if tableau is not None:
        m.prover = tableau
        with suppress(VerificationError):  # of a prover that cheats
            read_answers(m, tableau.at)
    indices = m.transcript.indices("opening.columns", work.code.queries, work.code.length)
    body = b"".join(raw for _, raw in m.sent)
    for c, shape in zip(work.commitments, work.plan.commitments, strict=True):
        body += c.opening(shape.opened, indices)
    if m.mask is not None and tableau is not None:
        own = m.transcript.indices("tableau.columns", tableau.at.queries, tableau.at.length)
        body += m.mask.opening(indices) + tableau.opening(own)
    return Proof(body, tuple(m.own_pads), tuple(m.plain))
