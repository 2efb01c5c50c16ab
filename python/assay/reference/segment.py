"""One segment: every relation of its circuit becomes claims on committed cells (protocol, sections 8, 10)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from assay.reference.arguments import Shape, fraction_tree, sumchecks
from assay.reference.circuit import (
    COL,
    COL_XOR,
    NT,
    PUBLIC,
    ROW,
    ROW_DOT,
    SELECT_NT,
    Circuit,
    Domain,
    Einsum,
    Operand,
    Poly,
)
from assay.reference.field import Array, Ext, Residues, eq_vector, ones, residues, signed, total
from assay.reference.functional import (
    Claim,
    Functionals,
    Leaves,
    Parts,
    Weights,
    bounds,
    full,
    indicator,
    product,
    shape_of,
    vector,
)
from assay.reference.padded import Value
from assay.reference.statement import Segment, blocks_of, log2c, log_leaves, lookup_trees
from assay.reference.transcript import Messages, Where, canonical

ZeroCheck = tuple[str, Domain, list[Poly]]
Lookup = tuple[str, int, Domain, list[Poly]]


@dataclass(frozen=True)
class Fingerprint:
    """Of a tuple in a table: alpha - id - beta c_0 - beta^2 c_1 - ..."""

    alpha: Ext
    beta: Ext


def output_bits(c: Circuit) -> tuple[int, int]:
    """Coordinates of the output point: (rows, columns) of the largest relation."""
    sizes = [(d.rows, d.cols) for _, d, _ in c.zero_checks] + [(d.rows, d.cols) for _, d, _ in c.linears]
    sizes += [(c.wires[x].rows, 1) for _, _, x in c.row_sums]
    sizes += [(c.wires[w].rows, c.wires[w].cols) for _, w in c.outputs]
    for e in c.einsums:
        out = c.wires[e.out]
        sizes.append((out.cols, 1) if e.kind == ROW_DOT else (out.rows, out.cols))
    return max((log2c(r) for r, _ in sizes), default=0), max((log2c(k) for _, k in sizes), default=0)


def einsum_bits(c: Circuit, e: Einsum) -> tuple[int, int]:
    """Variables of the sum: (row variables, column variables)."""
    x = c.wires[e.x]
    if e.kind == SELECT_NT:
        return log2c(e.groups) + log2c(c.wires[e.out].rows), log2c(x.cols)
    return log2c(x.rows if e.kind == ROW_DOT else e.groups), log2c(x.cols)


def distinct_operands(polys: list[Poly]) -> list[Operand]:
    """Of a zero-check, in order of first appearance, without public ones."""
    return list(dict.fromkeys(o for poly in polys for _, factors in poly for o in sent(factors)))


def sent(factors: list[Operand]) -> list[Operand]:
    """The operands of a monomial whose values the prover sends."""
    return [o for o in factors if o[0] != PUBLIC]


def degree_of(polys: list[Poly]) -> int:
    """Of a zero-check, at least 1."""
    return max([1, *(len(factors) for poly in polys for _, factors in poly)])


@dataclass(frozen=True)
class _EndPoint:
    """eq(s_rows, i) and eq(s_cols, j) at the end of a zero-check."""

    domain: Domain
    rows: Array
    cols: Array


class SegmentVerifier:
    """Reads a segment's messages and appends its claims."""

    def __init__(self, m: Messages, segment: Segment, first_block: list[int], claims: list[Claim]) -> None:
        self.m, self.name, self.c, self.claims = m, segment.name, segment.circuit, claims
        self.degree = m.degree
        self.f = Functionals(self.c, first_block, m.degree)
        self.rho_rows: list[Ext] = []
        self.rho_cols: list[Ext] = []
        self.totals: dict[str, int] = {}
        self.outputs: dict[str, list[int]] = {}

    def verify(self, table_ids: list[int], fp: Fingerprint) -> Value:
        """The segment's share of the lookup sum."""
        sent = [self._output(name, wire) for name, wire in self.c.outputs]  # before rho is known
        rows, cols = output_bits(self.c)
        self.rho_rows = [self.m.challenge("segment.rows") for _ in range(rows)]
        self.rho_cols = [self.m.challenge("segment.cols") for _ in range(cols)]
        self._products()
        for _, d, poly in self.c.linears:
            self._linear(d, poly)
        for _, out, x in self.c.row_sums:
            self._row_sum(out, x)
        for name, wire in self.c.totals:
            self._total(name, wire)
        for (_, wire), values in zip(self.c.outputs, sent, strict=True):
            self._output_claim(wire, values)
        return self._lookups(table_ids, fp)

    # ---- points ----

    def _eq(self, point: list[Ext], size: int) -> Array:
        return eq_vector(point, self.degree, size)

    def _rows(self, size: int) -> Array:
        """eq(rho_rows, i) for i < size."""
        return self._eq(self.rho_rows[: log2c(size)], size)

    def _cols(self, size: int) -> Array:
        """eq(rho_cols, j) for j < size."""
        return self._eq(self.rho_cols[: log2c(size)], size)

    def _claim(self, wire: int, d: Domain, w: Weights, value: Value) -> None:
        """wire(d, w) = value."""
        parts: Parts = []
        known = self.f.wire(parts, wire, d, w)
        self.claims.append(Claim(parts, value - known))

    # ---- zero-checks and einsums ----

    def _products(self) -> None:
        shapes: list[Shape] = []
        sums: list[Value] = []
        for e in self.c.einsums:
            sums.append(self._einsum_output(e))
            shapes.append(self._einsum_shape(e))
        mix = self.m.challenge("zero.lambda")
        for name, d, polys in self.c.zero_checks:
            rho = self.rho_cols[: log2c(d.cols)] + self.rho_rows[: log2c(d.rows)]
            shapes.append(Shape(name, degree_of(polys), rho))
            sums.append(self.f.zero)
        point, ends = sumchecks(self.m, self.name, shapes, sums)
        for e, end in zip(self.c.einsums, ends, strict=False):
            self._einsum_end(e, point, end)
        for z, end in zip(self.c.zero_checks, ends[len(self.c.einsums) :], strict=True):
            self._zero_end(z, mix, point, end)

    def _einsum_output(self, e: Einsum) -> Value:
        """The left side of (C.2), (C.3)."""
        out = self.c.wires[e.out]
        value = self.m.element("einsum.output", Where(self.name, e.name))
        w = vector(self._rows(out.cols))
        if e.kind != ROW_DOT:
            w = product(self._rows(out.rows), self._cols(out.cols))
        self._claim(e.out, shape_of(out), w, value)
        return value

    def _einsum_shape(self, e: Einsum) -> Shape:
        rows, cols = einsum_bits(self.c, e)
        free = {ROW_DOT: 0, SELECT_NT: log2c(e.groups)}.get(e.kind, rows)
        rho: list[Ext | None] = [None] * (cols + free)
        return Shape(e.name, 2, [*rho, *self.rho_rows[: rows - free]])

    def _einsum_end(self, e: Einsum, point: list[Ext], end: Value) -> None:
        where = Where(self.name, e.name)
        left, right = self.m.element("einsum.left", where), self.m.element("einsum.right", where)
        rows, cols = einsum_bits(self.c, e)
        s_cols, s_rows = point[:cols], point[cols : cols + rows]
        if e.selection is not None:
            self._selected_end(e, e.selection, s_rows, s_cols, left, right, end)
            return
        self.m.require_zero(
            end - self.m.product(left, right),
            "sumcheck.einsum",
            where,
            "the product does not match its operands",
        )  # (C.2), (C.3)
        x, y = shape_of(self.c.wires[e.x]), shape_of(self.c.wires[e.y])
        self._claim(e.x, x, self._left_weights(e, x, s_rows, s_cols), left)
        self._claim(e.y, y, self._right_weights(e, y, s_rows, s_cols), right)

    def _selected_end(
        self,
        e: Einsum,
        selection: int,
        s_rows: list[Ext],
        s_cols: list[Ext],
        left: Value,
        right: Value,
        end: Value,
    ) -> None:
        """The end of (C.10): s_rows are the coordinates of the group, then those of the row of out."""
        where = Where(self.name, e.name)
        chosen, product_ = self.m.element("einsum.selection", where), self.m.element("einsum.product", where)
        self.m.require_zero(
            self.m.product(chosen, left) - product_,
            "sumcheck.product",
            where,
            "the product of a row and its selection is wrong",
        )  # (C.11)
        self.m.require_zero(
            end - self.m.product(product_, right),
            "sumcheck.einsum",
            where,
            "the product does not match its operands",
        )  # (C.10)
        x, y, s = (shape_of(self.c.wires[w]) for w in (e.x, e.y, selection))
        bits = log2c(e.groups)
        by_group, by_out = self._eq(s_rows[:bits], e.groups), self._eq(s_rows[bits:], s.rows)
        depth = self._eq(s_cols, x.cols)
        repeated = total(by_out.x.reshape(s.rows // x.rows, x.rows, -1), 0)
        inner = y.rows // e.groups
        group, column = np.divmod(np.arange(y.rows), inner)
        self._claim(e.x, x, product(Array(repeated), depth), left)
        self._claim(e.y, y, product(by_group[group] * self._cols(inner)[column], depth), right)
        self._claim(selection, s, product(by_out, by_group), chosen)

    def _left_weights(self, e: Einsum, x: Domain, s_rows: list[Ext], s_cols: list[Ext]) -> Weights:
        cols = self._eq(s_cols, x.cols)
        if e.kind == ROW_DOT:
            return product(self._eq(s_rows, x.rows), cols)
        group = np.arange(x.rows) // e.members % e.groups  # g(i)
        return product(self._rows(x.rows) * self._eq(s_rows, e.groups)[group], cols)

    def _right_weights(self, e: Einsum, y: Domain, s_rows: list[Ext], s_cols: list[Ext]) -> Weights:
        if e.kind == ROW_DOT:
            return product(self._eq(s_rows, y.rows), self._eq(s_cols, y.cols))
        outer, group = np.divmod(np.arange(y.rows), e.groups)
        size = y.rows // e.groups
        by_outer = self._cols(size) if e.kind == NT else self._eq(s_cols, size)
        cols = self._eq(s_cols, y.cols) if e.kind == NT else self._cols(y.cols)
        return product(by_outer[outer] * self._eq(s_rows, e.groups)[group], cols)

    def _zero_end(self, z: ZeroCheck, mix: Ext, point: list[Ext], end: Value) -> None:
        name, d, polys = z
        where, cols = Where(self.name, name), log2c(d.cols)
        s_cols, s_rows = point[:cols], point[cols : cols + log2c(d.rows)]
        values: dict[Operand, Value] = {}
        for operand in distinct_operands(polys):
            values[operand] = self.m.element("zero.operand", where)
            self._operand_claim(operand, d, s_rows, s_cols, values[operand])
        cubes = self._cubes(polys, values, where)
        at = _EndPoint(d, self._eq(s_rows, d.rows), self._eq(s_cols, d.cols))
        result: Value = self.f.zero
        power = Ext.of(1, self.degree)
        for poly in polys:
            for c, factors in poly:
                result += self._sent(sent(factors), values, cubes) * (self._known(factors, at) * power * c)
            power *= mix
        self.m.require_zero(end - result, "sumcheck.zero", where, "the relation does not hold")  # (C.1)

    def _cubes(self, polys: list[Poly], values: dict[Operand, Value], where: Where) -> Iterator[Value]:
        """For each monomial of three sent operands the product of its first two."""
        products = []
        for a, b, _ in [f for poly in polys for _, factors in poly for f in [sent(factors)] if len(f) == 3]:
            products.append(self.m.element("zero.product", where))
            self.m.require_zero(
                self.m.product(values[a], values[b]) - products[-1],
                "sumcheck.product",
                where,
                "a product of two operands is wrong",
            )  # (C.8)
        return iter(products)

    def _sent(self, factors: list[Operand], values: dict[Operand, Value], cubes: Iterator[Value]) -> Value:
        """The product of a monomial's sent operands, of three by that of the first two."""
        if not factors:
            return Ext.of(1, self.degree)
        if len(factors) == 1:
            return values[factors[0]]
        first = values[factors[0]] if len(factors) == 2 else next(cubes)
        return self.m.product(first, values[factors[-1]])

    def _operand_claim(
        self, operand: Operand, d: Domain, s_rows: list[Ext], s_cols: list[Ext], value: Value
    ) -> None:
        kind, argument, wire = operand
        if kind == ROW:
            self._claim(wire, full(1, d.rows), vector(self._eq(s_rows, d.rows)), value)
        elif kind == COL:
            self._claim(wire, full(1, d.cols), vector(self._eq(s_cols, d.cols)), value)
        else:
            flips = argument if kind == COL_XOR else 0
            cols = [1 - x if flips >> b & 1 else x for b, x in enumerate(s_cols)]
            self._claim(wire, d, product(self._eq(s_rows, d.rows), self._eq(cols, d.cols)), value)

    def _known(self, factors: list[Operand], at: _EndPoint) -> Ext:
        """The product of a monomial's public operands; of an empty one, the domain's indicator."""
        if not factors:
            return indicator(at.domain, product(at.rows, at.cols))
        result = Ext.of(1, self.degree)
        for operand in factors:
            if operand[0] == PUBLIC:
                result *= self._public(operand, at.rows, at.cols)
        return result

    def _public(self, operand: Operand, rows: Array, cols: Array) -> Ext:
        """sum over i, j of rows[i] cols[j] public[i // a, j]."""
        _, divisor, index = operand
        groups = -(-rows.shape[0] // divisor)
        by_row = total(rows.padded(groups * divisor).x.reshape(groups, divisor, -1), 1)
        values = residues(self.c.publics[index][:groups])
        return (Array(by_row)[:, None].times(values).sum(0) * cols).scalar()

    # ---- relations without messages of their own ----

    def _linear(self, d: Domain, poly: Poly) -> None:
        """(C.4)"""
        parts: Parts = []
        w = product(self._rows(d.rows), self._cols(d.cols))
        known = self.f.poly(parts, poly, d, w, Ext.of(1, self.degree))
        self.claims.append(Claim(parts, -known))

    def _row_sum(self, out: int, x: int) -> None:
        """(C.5)"""
        parts: Parts = []
        d = shape_of(self.c.wires[x])
        rows = self._rows(d.rows)
        known = self.f.wire(parts, x, d, product(rows, ones((d.cols,), self.degree)))
        known += self.f.wire(parts, out, full(1, d.rows), vector(rows), Ext.of(-1, self.degree))
        self.claims.append(Claim(parts, -known))

    def _total(self, name: str, wire: int) -> None:
        """(C.7)"""
        where = Where(self.name, name)
        value = int(canonical(self.m.bytes("total", 8, where), where)[0])
        self.totals[name] = value
        d = shape_of(self.c.wires[wire])
        w = product(ones((d.rows,), self.degree), ones((d.cols,), self.degree))
        self._claim(wire, d, w, Ext.of(value, self.degree))

    # ---- outputs ----

    def _output(self, name: str, wire: int) -> Residues:
        """The cells of an output as they are sent, [rows, cols]."""
        where, shape = Where(self.name, name), self.c.wires[wire]
        values = canonical(self.m.bytes("output", 8 * shape.rows * shape.cols, where), where)
        self.outputs[name] = [signed(int(x)) for x in values]
        return values.reshape(shape.rows, shape.cols)

    def _output_claim(self, wire: int, values: Residues) -> None:
        """(C.9)"""
        d = shape_of(self.c.wires[wire])
        rows, cols = self._rows(d.rows), self._cols(d.cols)
        extension = (cols[None, :].times(values).sum(1) * rows).scalar()
        self._claim(wire, d, product(rows, cols), extension)

    # ---- lookups ----

    def _lookups(self, table_ids: list[int], fp: Fingerprint) -> Value:
        """(C.6), tree by tree."""
        ranges = lookup_trees([d for _, _, d, _ in self.c.lookups])
        first, *others = (self._tree(self.c.lookups[a:b], table_ids, fp) for a, b in ranges)
        for other in others:
            first = first + other
        return first

    def _tree(self, lookups: Sequence[Lookup], table_ids: list[int], fp: Fingerprint) -> Value:
        where = Where(self.name, "lookup")
        domains = [d for _, _, d, _ in lookups]
        layers = log_leaves(sum(map(blocks_of, domains)))
        tree = fraction_tree(self.m, where, layers)
        self.m.require_zero(tree.p - 1, "lookup.numerator", where, "a leaf's numerator is not one")
        parts: Parts = []
        known = self._denominators(lookups, parts, Leaves.at(tree.z, self.degree), table_ids, fp)
        self.claims.append(Claim(parts, tree.q - known))
        existing = sum(int((last - first).sum()) for first, last in map(bounds, domains))
        return tree.fraction - ((1 << layers) - existing)

    def _denominators(
        self, lookups: Sequence[Lookup], parts: Parts, leaves: Leaves, table_ids: list[int], fp: Fingerprint
    ) -> Ext:
        """q at z: its functional goes into the parts, what is known is returned."""
        known, base = Ext.of(1, self.degree), 0
        for _, table, d, columns in lookups:
            w = leaves.weights(base, d)
            exists = indicator(d, w)
            known += exists * (fp.alpha - table_ids[table]) - exists
            power = -fp.beta
            for column in columns:
                known += self.f.poly(parts, column, d, w, power)
                power *= fp.beta
            base += blocks_of(d)
        return known
