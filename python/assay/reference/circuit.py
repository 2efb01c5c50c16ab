"""Circuits in plain Python: reads their bytes, runs the witness program, checks relations cell by cell.

Slow, and meant to be read. It shares no code with assay.graph or with the extension: the byte format and
the meaning of each relation and step are written down here a second time. Integers are exact at any size:
arrays are int64 where a bound on the operands shows that nothing can overflow, and hold Python integers
otherwise.

Terms: a tensor is a [rows, cols] array whose absent cells (outside a ragged row) are zero and are never
read; a wire is a linear combination of tensors plus a constant, seen with a shape of its own; an operand is
a wire or public values read at cell (i, j) of a domain. All relations are modulo p = 2^64 - 2^32 + 1.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

P = 2**64 - 2**32 + 1
IntArray = npt.NDArray[Any]  # int64, or Python integers as objects
T = TypeVar("T")

CELL, ROW, COL, COL_XOR, PUBLIC, GATHER, PICK = range(7)
NT, NN, ROW_DOT, SELECT_NT = range(4)
DECOMPOSE, ASSIGN, TABLE_MAP, ROW_MAX, ROW_SUM, NORMALISE, INV_SQRT, QUOTIENT, RATIO, TOP_K = range(10)
WITNESS, WEIGHT, BOUNDARY = range(3)
_CELL_BITS = (16, 32, 64)


# ---- the byte format ----


@dataclass(frozen=True)
class Domain:
    """Cells (i, j); if causal, those with j <= i // divisor, and j > i // divisor - window if window > 0."""

    rows: int
    cols: int
    causal: bool
    divisor: int
    window: int

    def mask(self) -> npt.NDArray[np.bool_]:
        """True at existing cells, [rows, cols]."""
        if not self.causal:
            return np.ones((self.rows, self.cols), dtype=bool)
        t = np.arange(self.rows)[:, None] // self.divisor
        j = np.arange(self.cols)[None, :]
        seen = j <= t
        return seen & (j > t - self.window) if self.window else seen


@dataclass(frozen=True)
class Table:
    """Rows (start + i, images[0][i], images[1][i], ...)."""

    name: str
    start: int
    rows: int
    images: list[IntArray]


@dataclass(frozen=True)
class Tensor:
    """Committed cells."""

    name: str
    source: int
    cell: int
    shape: Domain


@dataclass(frozen=True)
class Wire:
    """constant + sum of coefficient * tensor."""

    rows: int
    cols: int
    constant: int
    terms: list[tuple[int, int]]


Operand = tuple[int, int, int]  # map, argument (of GATHER and PICK: indices), wire or public values
Poly = list[tuple[int, list[Operand]]]  # coefficient, operands


@dataclass(frozen=True)
class Einsum:
    """out = product of x and y, by kind."""

    name: str
    kind: int
    groups: int
    members: int
    out: int
    x: int
    y: int
    selection: int | None = None  # of SELECT_NT


@dataclass(frozen=True)
class Step:
    """A step of the witness program."""

    kind: int
    from_einsum: bool
    index: int
    table: int
    constant: int
    domain: Domain
    poly: Poly
    tensors: list[int]
    bits: list[int]


@dataclass
class Circuit:
    """A circuit as read; `digest` is the SHA-256 of everything before the program."""

    name: str = ""
    tables: list[Table] = field(default_factory=list)
    publics: list[IntArray] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    zero_checks: list[tuple[str, Domain, list[Poly]]] = field(default_factory=list)
    linears: list[tuple[str, Domain, Poly]] = field(default_factory=list)
    einsums: list[Einsum] = field(default_factory=list)
    row_sums: list[tuple[str, int, int]] = field(default_factory=list)
    totals: list[tuple[str, int]] = field(default_factory=list)
    outputs: list[tuple[str, int]] = field(default_factory=list)
    lookups: list[tuple[str, int, Domain, list[Poly]]] = field(default_factory=list)
    program: list[Step] = field(default_factory=list)
    digest: bytes = b""


class _Reader:
    """Little-endian values from bytes, never past the end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise ValueError("circuit: truncated")
        self.at += size
        return self.data[self.at - size : self.at]

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def number(self, form: str) -> int:
        return self.numbers(form)[0]

    def text(self) -> str:
        return self.take(self.number("H")).decode()

    def integers(self, count: int) -> IntArray:
        return np.frombuffer(self.take(8 * count), dtype="<i8").astype(np.int64)

    def items(self, read: Callable[[], T]) -> list[T]:
        return [read() for _ in range(self.number("I"))]

    def domain(self) -> Domain:
        rows, cols, causal, divisor, window = self.numbers("IIBII")
        return Domain(rows, cols, bool(causal), divisor, window)

    def poly(self) -> Poly:
        return [self._monomial() for _ in range(self.number("H"))]

    def _monomial(self) -> tuple[int, list[Operand]]:
        coefficient, degree = self.numbers("qB")
        operands = [self.numbers("BII") for _ in range(degree)]
        return coefficient, [(a, b, c) for a, b, c in operands]

    def table(self) -> Table:
        name = self.text()
        _, start, rows, images = self.numbers("BqIB")
        return Table(name, start, rows, [self.integers(rows) for _ in range(images)])

    def public(self) -> IntArray:
        self.text()
        rows, cols = self.numbers("II")
        return self.integers(rows * cols).reshape(rows, cols)

    def tensor(self) -> Tensor:
        name = self.text()
        source, cell = self.numbers("BB")
        return Tensor(name, source, cell, self.domain())

    def wire(self) -> Wire:
        rows, cols, constant, count = self.numbers("IIqH")
        terms = [self.numbers("qI") for _ in range(count)]
        return Wire(rows, cols, constant, [(c, t) for c, t in terms])

    def einsum(self) -> Einsum:
        name = self.text()
        kind, groups, members, out, x, y = self.numbers("BIIIII")
        selection = self.number("I") if kind == SELECT_NT else None
        return Einsum(name, kind, groups, members, out, x, y, selection)

    def row_sum(self) -> tuple[str, int, int]:
        name = self.text()
        out, x = self.numbers("II")
        return name, out, x

    def named_wire(self) -> tuple[str, int]:
        return self.text(), self.number("I")

    def lookup(self) -> tuple[str, int, Domain, list[Poly]]:
        name, table = self.text(), self.number("I")
        return name, table, self.domain(), self.items(self.poly)

    def step(self) -> Step:
        kind, from_einsum, index, table, constant = self.numbers("BBIIq")
        domain, poly = self.domain(), self.poly()
        tensors = list(self.numbers(f"{self.number('H')}I"))
        bits = list(self.numbers(f"{self.number('H')}B"))
        return Step(kind, bool(from_einsum), index, table, constant, domain, poly, tensors, bits)


def decode(data: bytes) -> Circuit:
    """The circuit in these bytes."""
    r = _Reader(data)
    if r.numbers("II") != (0x43595341, 1):
        raise ValueError("circuit: not a circuit of this version")
    c = Circuit(name=r.text())
    c.tables, c.publics, c.tensors = r.items(r.table), r.items(r.public), r.items(r.tensor)
    c.wires = r.items(r.wire)
    c.zero_checks = r.items(lambda: (r.text(), r.domain(), r.items(r.poly)))
    c.linears = r.items(lambda: (r.text(), r.domain(), r.poly()))
    c.einsums, c.row_sums = r.items(r.einsum), r.items(r.row_sum)
    c.totals, c.outputs = r.items(r.named_wire), r.items(r.named_wire)
    c.lookups = r.items(r.lookup)
    c.digest = hashlib.sha256(data[: r.at]).digest()
    c.program = r.items(r.step)
    if r.at != len(data):
        raise ValueError("circuit: bytes after the end")
    return c


# ---- exact arrays ----


def _largest(a: IntArray) -> int:
    return max(int(a.max()), -int(a.min())) if a.size else 0


def _weighted_sum(parts: list[tuple[int, list[IntArray]]], shape: tuple[int, int]) -> IntArray:
    """sum of coefficient * product of arrays (broadcast to `shape`), exact."""
    bound = sum(abs(c) * math.prod(map(_largest, factors)) for c, factors in parts)
    kind: Any = np.int64 if bound < 2**63 else object
    total: IntArray = np.zeros(shape, dtype=kind)
    for c, factors in parts:
        product: IntArray = np.array(c, dtype=kind)
        for factor in factors:
            product = product * factor.astype(kind)
        total = total + product
    return total


def _matmul(x: IntArray, y: IntArray) -> IntArray:
    """x [.., m, k] @ y [.., k, n], exact."""
    bound = _largest(x) * _largest(y) * x.shape[-1]
    if bound < 2**53:
        product: IntArray = np.matmul(x.astype(np.float64), y.astype(np.float64)).astype(np.int64)
        return product
    kind: Any = np.int64 if bound < 2**63 else object
    exact: IntArray = np.matmul(x.astype(kind), y.astype(kind))
    return exact


class _Values:
    """Reads wires, operands and polynomials from the tensors known so far."""

    def __init__(self, circuit: Circuit, tensors: dict[str, IntArray]) -> None:
        self.c, self.tensors = circuit, tensors

    def wire(self, index: int) -> IntArray:
        """Values of a wire [rows, cols]; zero at cells that are absent from one of its tensors."""
        w = self.c.wires[index]
        shape = (w.rows, w.cols)
        parts: list[tuple[int, list[IntArray]]] = [(w.constant, [])]
        parts += [(k, [self.tensors[self.c.tensors[t].name].reshape(shape)]) for k, t in w.terms]
        values = _weighted_sum(parts, shape)
        for _, t in w.terms:
            if self.c.tensors[t].shape.causal:
                values = np.where(self.c.tensors[t].shape.mask(), values, 0)
        return values

    def operand(self, operand: Operand, domain: Domain) -> IntArray:
        """Values over the domain, as an array that broadcasts to it."""
        kind, argument, index = operand
        if kind == PUBLIC:
            return self.c.publics[index][np.arange(domain.rows) // argument]
        values = self.wire(index)
        if kind == ROW:
            return values.reshape(domain.rows, 1)
        if kind == COL_XOR:
            return values[:, np.arange(domain.cols) ^ argument]
        if kind == GATHER:
            rows = self.c.publics[argument][0]
            return np.where(rows[:, None] < 0, 0, values[rows])
        if kind == PICK:
            cols = self.c.publics[argument]
            return np.where(cols < 0, 0, np.take_along_axis(values, np.maximum(cols, 0), axis=1))
        return values

    def poly(self, poly: Poly, domain: Domain) -> IntArray:
        """Values of a polynomial over the domain (of no meaning at absent cells)."""
        parts = [(k, [self.operand(o, domain) for o in operands]) for k, operands in poly]
        return _weighted_sum(parts, (domain.rows, domain.cols))

    def einsum(self, e: Einsum) -> IntArray:
        """The product itself, from x and y."""
        x, y = self.wire(e.x), self.wire(e.y)
        if e.kind == ROW_DOT:
            return _matmul(x[:, None, :], y[:, :, None]).reshape(1, -1)
        if e.selection is not None:
            return self._selected(self.wire(e.selection), x, y)
        a = x.reshape(-1, e.groups, e.members, x.shape[1]).transpose(1, 0, 2, 3)
        left = a.reshape(e.groups, -1, x.shape[1])
        order = (1, 2, 0) if e.kind == NT else (1, 0, 2)
        right = y.reshape(-1, e.groups, y.shape[1]).transpose(order)
        out = _matmul(left, right).reshape(e.groups, -1, e.members, right.shape[2])
        return out.transpose(1, 0, 2, 3).reshape(x.shape[0], right.shape[2])

    def _selected(self, s: IntArray, x: IntArray, y: IntArray) -> IntArray:
        """sum_g s[i, g] sum_k x[i mod rows of x, k] y[g J + j, k]."""
        rows, groups = s.shape
        stacked = y.reshape(groups, -1, y.shape[1])
        parts: list[tuple[int, list[IntArray]]] = []
        for g in range(groups):
            if s[:, g].any():
                product = _matmul(x, stacked[g].T)[np.arange(rows) % x.shape[0]]
                parts.append((1, [s[:, g : g + 1], product]))
        return _weighted_sum(parts, (rows, stacked.shape[1]))


# ---- the witness program ----


def evaluate(
    data: bytes, externals: Mapping[str, IntArray], forged: Mapping[str, IntArray] | None = None
) -> dict[str, IntArray]:
    """Runs the program: all tensors by name, [rows, cols], from those that no step fills.

    `forged` tensors take the place of what their step computes, and later steps read them: the witness of a
    prover that breaks the relations of those tensors and no others.
    """
    circuit, replaced = decode(data), forged or {}
    tensors = {name: np.asarray(values) for name, values in externals.items()}
    run = _Program(circuit, tensors)
    for step in circuit.program:
        names = [circuit.tensors[t].name for t in step.tensors]
        if not all(name in replaced for name in names):
            run.step(step)
        tensors |= {name: np.asarray(replaced[name]) for name in names if name in replaced}
    return tensors


class _Program:
    """One run of a witness program."""

    def __init__(self, circuit: Circuit, tensors: dict[str, IntArray]) -> None:
        self.c, self.tensors, self.values = circuit, tensors, _Values(circuit, tensors)

    def step(self, s: Step) -> None:
        """Fills the step's tensors."""
        {
            DECOMPOSE: self._decompose,
            ASSIGN: self._assign,
            TABLE_MAP: self._table_map,
            ROW_MAX: self._row_max,
            ROW_SUM: self._row_sum,
            NORMALISE: self._normalise,
            INV_SQRT: self._inverse_root,
            QUOTIENT: self._quotient,
            RATIO: self._ratio,
            TOP_K: self._top_k,
        }[s.kind](s)

    def _store(self, index: int, values: IntArray) -> None:
        """Stores values [rows, cols], or in row-major order under the tensor's shape; they have to fit."""
        t = self.c.tensors[index]
        cells = np.where(t.shape.mask(), values.reshape(t.shape.rows, t.shape.cols), 0)
        limit = 1 << (_CELL_BITS[t.cell] - 1)
        if cells.size and not -limit <= int(cells.min()) <= int(cells.max()) < limit:
            raise ValueError(f"a value does not fit tensor {t.name}")
        self.tensors[t.name] = cells.astype(np.int64)

    def _source(self, s: Step) -> IntArray:
        if s.from_einsum:
            return self.values.einsum(self.c.einsums[s.index])
        return self.values.poly(s.poly, s.domain)

    def _decompose(self, s: Step) -> None:
        """Low limbs first; the last takes the signed rest."""
        rest = self._source(s).astype(object) + s.constant
        for tensor, bits in zip(s.tensors[:-1], s.bits[:-1], strict=True):
            self._store(tensor, rest % (1 << bits))
            rest = rest >> bits
        self._store(s.tensors[-1], rest)

    def _assign(self, s: Step) -> None:
        self._store(s.tensors[0], self.values.poly(s.poly, s.domain))

    def _table_map(self, s: Step) -> None:
        table, mask = self.c.tables[s.table], s.domain.mask()
        row = np.where(mask, self.values.poly(s.poly, s.domain) - table.start, 0).astype(np.int64)
        if row.min() < 0 or row.max() >= table.rows:
            raise ValueError(f"a key is not in table {table.name}")
        for tensor, image in zip(s.tensors, table.images, strict=True):
            self._store(tensor, image[row])

    def _row_max(self, s: Step) -> None:
        values, mask = self.values.poly(s.poly, s.domain), s.domain.mask()
        self._store(s.tensors[0], np.array([max(row[seen]) for row, seen in zip(values, mask, strict=True)]))

    def _row_sum(self, s: Step) -> None:
        _, _, x = self.c.row_sums[s.index]
        self._store(s.tensors[0], self.values.wire(x).astype(object).sum(axis=1))

    def _normalise(self, s: Step) -> None:
        """The row of the table with 2^28 <= floor(value * image 0 / image 1) < 2^30."""
        table = self.c.tables[s.table]
        ratios = [(int(a), int(b)) for a, b in zip(table.images[0], table.images[1], strict=True)]
        rows = [_normalising_row(int(v), ratios) for v in self.values.wire(s.index).reshape(-1)]
        columns = [np.arange(table.rows) + table.start, *table.images]
        for tensor, column in zip(s.tensors, columns, strict=True):
            self._store(tensor, column[rows])

    def _inverse_root(self, s: Step) -> None:
        self._map_wire(s, lambda v: math.isqrt(s.constant // v))

    def _quotient(self, s: Step) -> None:
        self._map_wire(s, lambda v: s.constant // v)

    def _ratio(self, s: Step) -> None:
        """The polynomial over the wire's entry for the row, rounded down."""
        divisors = self.values.wire(s.index).astype(object).reshape(-1, 1)
        if min(divisors.flat) < 1:
            raise ValueError("a divisor below 1")
        self._store(s.tensors[0], self.values.poly(s.poly, s.domain).astype(object) // divisors)

    def _top_k(self, s: Step) -> None:
        """The k-th largest of each row, and rows that mark the k largest, of equal ones the first."""
        values = self.values.poly(s.poly, s.domain)
        order = np.argsort(-values, axis=1, kind="stable")[:, : s.constant]
        self._store(s.tensors[0], np.take_along_axis(values, order[:, -1:], axis=1))
        for tensor in s.tensors[1:]:
            self._store(tensor, np.eye(s.domain.cols, dtype=np.int64)[order.T.reshape(-1)])

    def _map_wire(self, s: Step, function: Callable[[int], int]) -> None:
        values = [function(int(v)) for v in self.values.wire(s.index).reshape(-1)]
        self._store(s.tensors[0], np.array(values, dtype=object))


def _normalising_row(value: int, ratios: list[tuple[int, int]]) -> int:
    for row, (a, b) in enumerate(ratios):
        if 1 << 28 <= value * a // b < 1 << 30:
            return row
    raise ValueError(f"no row normalises {value}")


# ---- the relations ----


def check(data: bytes, tensors: Mapping[str, IntArray]) -> list[str]:
    """Names of the relations that do not hold modulo p on these tensors, in the circuit's order."""
    c = decode(data)
    values = _Values(c, {name: np.asarray(v) for name, v in tensors.items()})
    results: list[tuple[str, bool]] = []
    for name, domain, polys in c.zero_checks:
        results.append((name, all(_vanishes(values.poly(p, domain), domain) for p in polys)))
    results += [(name, _vanishes(values.poly(p, domain), domain)) for name, domain, p in c.linears]
    results += [(e.name, _equal(values.wire(e.out), values.einsum(e))) for e in c.einsums]
    for name, out, x in c.row_sums:
        results.append(
            (name, _equal(values.wire(out), values.wire(x).astype(object).sum(axis=1).reshape(1, -1)))
        )
    for name, table, domain, columns in c.lookups:
        results.append((name, _is_row(c.tables[table], [values.poly(p, domain) for p in columns], domain)))
    return [name for name, holds in results if not holds]


def totals(data: bytes, tensors: Mapping[str, IntArray]) -> dict[str, int]:
    """The public totals: the sum of each total's wire over its existing cells."""
    c = decode(data)
    values = _Values(c, {name: np.asarray(v) for name, v in tensors.items()})
    return {name: int(values.wire(wire).astype(object).sum()) for name, wire in c.totals}


def outputs(data: bytes, tensors: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """The other public outputs: every cell of each output's wire, [rows, cols]."""
    c = decode(data)
    values = _Values(c, {name: np.asarray(v) for name, v in tensors.items()})
    return {name: values.wire(wire) for name, wire in c.outputs}


def _vanishes(values: IntArray, domain: Domain) -> bool:
    """Zero modulo p at every existing cell; an int64 is zero modulo p only if it is zero."""
    cells = values[domain.mask()]
    return not np.any(cells % P if cells.dtype == object else cells)


def _equal(a: IntArray, b: IntArray) -> bool:
    return not np.any((a.astype(object) - b.astype(object)) % P)


def _is_row(table: Table, columns: list[IntArray], domain: Domain) -> bool:
    """Whether every existing cell's tuple is a row of the table, modulo p."""
    mask = domain.mask()
    key, *images = [column[mask] for column in columns]
    row = (key.astype(object) - table.start) % P
    if row.size and row.max() >= table.rows:
        return False
    at = row.astype(np.int64)
    return all(_equal(image, column[at]) for image, column in zip(images, table.images, strict=True))
