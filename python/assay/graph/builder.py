"""Builds a circuit: relations together with the witness steps that satisfy them.

Every method that adds a relation adds the step that fills the tensors it introduces, so that a circuit
whose relations and program disagree cannot be written by accident. `finish` checks the bounds
(assay.graph.bounds) and encodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import isqrt

import numpy as np
import numpy.typing as npt

from assay.graph import bounds as _bounds
from assay.graph.bounds import Bounds, ProductFact, Sides
from assay.graph.encoding import encode
from assay.graph.errors import CircuitError
from assay.graph.expression import (
    FULL,
    Domain,
    Factor,
    Map,
    Monomial,
    Operand,
    Poly,
    PublicTable,
    Ragged,
    Wire,
    WireKey,
    combination,
)
from assay.graph.interval import Interval
from assay.graph.records import (
    CellType,
    Einsum,
    EinsumKind,
    Fact,
    Linear,
    Lookup,
    Output,
    RowSum,
    Source,
    Step,
    StepKind,
    Table,
    Tensor,
    Total,
    ZeroCheck,
)

MOST_OUTPUT_CELLS = 1 << 16


@dataclass(frozen=True, slots=True)
class Limb:
    """One digit of a decomposition: its width, the values it may take, and whether a range lookup says so.

    A limb with `checked=False` is confined by a lookup that the caller adds.
    """

    name: str
    bits: int
    bounds: Interval
    checked: bool = True

    @staticmethod
    def unsigned(name: str, bits: int, *, checked: bool = True) -> Limb:
        """A digit in [0, 2^bits)."""
        return Limb(name, bits, Interval.unsigned(bits), checked)

    @staticmethod
    def signed(name: str, bits: int, *, checked: bool = True) -> Limb:
        """A last digit in [-2^(bits-1), 2^(bits-1))."""
        return Limb(name, bits, Interval.signed(bits), checked)


@dataclass(frozen=True, slots=True)
class Accumulator:
    """A value that is not committed: an einsum's output, or a polynomial, on a full domain."""

    domain: Domain
    bounds: Interval
    poly: Poly | None = None
    kind: EinsumKind = EinsumKind.NT
    groups: int = 1
    members: int = 1
    x: Wire | None = None
    y: Wire | None = None
    honest: Interval | None = None
    selection: Wire | None = None

    @property
    def expected(self) -> Interval:
        """The values that honest inputs lead to: what the width of a witness is chosen by."""
        return self.bounds if self.honest is None else self.honest.meet(self.bounds)

    def bounded(self, bounds: Interval) -> Accumulator:
        """The same with tighter bounds, which the caller has argued for."""
        return replace(self, bounds=self.bounds.meet(bounds))

    def expecting(self, bounds: Interval) -> Accumulator:
        """The same with a narrower expectation; no relation relies on it."""
        return replace(self, honest=bounds)


class Builder:
    """A circuit under construction."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tables: list[Table] = []
        self.publics: list[PublicTable] = []
        self.tensors: list[Tensor] = []
        self.zero_checks: list[ZeroCheck] = []
        self.linears: list[Linear] = []
        self.einsums: list[Einsum] = []
        self.row_sums: list[RowSum] = []
        self.totals: list[Total] = []
        self.outputs: list[Output] = []
        self.lookups: list[Lookup] = []
        self.program: list[Step] = []
        self.facts: list[Fact] = []
        self.arithmetic = Bounds()
        self.wires: dict[WireKey, int] = {}
        self._given: set[int] = set()
        self._readers: list[tuple[int, str, str]] = []  # a tensor, a fact, and the only reader it permits
        self._table_ids: dict[Table, int] = {}
        self._names: set[str] = set()
        self._tensor_names: set[str] = set()

    # ---- tensors, tables, public values ----

    def tensor(
        self,
        name: str,
        rows: int,
        cols: int,
        bounds: Interval,
        *,
        source: Source = Source.WITNESS,
        type: CellType | None = None,
        ragged: Ragged = FULL,
    ) -> Wire:
        """A committed tensor [rows, cols], as a wire; `bounds` must follow from the relations added later."""
        if name in self._tensor_names:
            raise CircuitError("circuit-name", f"two tensors named {name!r}")
        self._tensor_names.add(name)
        if rows < 1 or cols < 1:
            raise CircuitError("circuit-shape", f"tensor {name!r} of shape {(rows, cols)}")
        kind = CellType.holding(bounds) if type is None else type
        self.tensors.append(Tensor(name, source, kind, Domain(rows, cols, ragged), bounds))
        ident = len(self.tensors) - 1
        if source is Source.WEIGHT:
            self._given.add(ident)
        return Wire(rows, cols, 0, ((1, ident),), bounds, ragged)

    def weight(self, name: str, rows: int, cols: int) -> Wire:
        """An int16 weight [rows, cols]; its range is proven once, at registration."""
        return self.tensor(name, rows, cols, Interval.signed(16), source=Source.WEIGHT, type=CellType.INT16)

    def boundary(self, name: str, rows: int, cols: int, bits: int) -> Wire:
        """A committed boundary of signed `bits`-bit integers; the circuit establishes that range."""
        return self.tensor(
            name, rows, cols, Interval.signed(bits), source=Source.BOUNDARY, type=CellType.INT32
        )

    def range_table(self, rows: int) -> int:
        """The table 0, 1, ..., rows - 1."""
        return self.table(Table.range(rows))

    def table(self, table: Table) -> int:
        """The place of a table in the circuit; equal tables have one."""
        ident = self._table_ids.setdefault(table, len(self.tables))
        if ident == len(self.tables):
            self.tables.append(table)
        return ident

    def public(self, name: str, values: npt.NDArray[np.int64]) -> PublicTable:
        """Public values [rows, cols]."""
        self.publics.append(PublicTable(len(self.publics), name, values))
        return self.publics[-1]

    # ---- facts ----

    def tensor_fact(self, name: str, wire: Wire, argument: str, *, only: str | None = None) -> Wire:
        """Declares that the bounds of the wire's tensors hold, for a reason intervals do not see.

        With `only` the reason hangs on that relation being the only one that reads them: `finish` checks it.
        """
        self.facts.append(Fact(name, argument))
        self._given.update(t for _, t in wire.terms)
        if only is not None:
            self._readers += [(t, name, only) for _, t in wire.terms]
        return wire

    def product_fact(self, name: str, operands: Sequence[Operand], bounds: Interval, argument: str) -> None:
        """Declares that a product of operands lies in `bounds` wherever it is read."""
        self.facts.append(Fact(name, argument))
        self.arithmetic.add(ProductFact(name, tuple(operands), bounds))

    def wire_fact(
        self, name: str, wire: Wire, bounds: Interval, argument: str, *, length: int | None = None
    ) -> Wire:
        """The wire with tighter bounds (and row length); valid once the relations in `argument` are."""
        self.facts.append(Fact(name, argument))
        return wire.bounded(bounds, length=length)

    # ---- relations ----

    def _relation(self, name: str) -> str:
        if name in self._names:
            raise CircuitError("circuit-name", f"two relations named {name!r}")
        self._names.add(name)
        return name

    def zero(self, name: str, domain: Domain, polys: Sequence[Poly]) -> None:
        """Each polynomial (degree <= 3) is zero on each cell of the domain.

        It is proven on the full domain, where tensors of missing cells read 0: on a ragged domain each
        monomial has such a tensor among its operands.
        """
        for p in polys:
            self._check_poly(name, p, domain)
            if domain.ragged.causal and not all(_vanishes(m, domain) for m in p.monomials):
                raise CircuitError("circuit-shape", f"zero-check {name!r} has a monomial on missing cells")
            if any(o.map.indexed for m in p.monomials for o in m.operands):
                raise CircuitError("circuit-shape", f"zero-check {name!r} with an indexed operand")
            loose = [m for m in p.monomials if m.operands and not any(o.vanishes_outside for o in m.operands)]
            if loose:
                raise CircuitError(
                    "circuit-shape", f"zero-check {name!r} has a monomial over broadcasts only"
                )
        self.zero_checks.append(ZeroCheck(self._relation(name), domain, tuple(polys)))

    def linear(self, name: str, domain: Domain, poly: Poly) -> None:
        """A polynomial of degree one is zero on each cell of the domain."""
        self._check_poly(name, poly, domain, degree=1)
        self.linears.append(Linear(self._relation(name), domain, poly))

    def vanish(self, name: str, domain: Domain, poly: Poly) -> None:
        """`linear` where the polynomial allows it (no sumcheck; the only place of indexed operands)."""
        maps = {o.map for m in poly.monomials for o in m.operands}
        if poly.degree <= 1 and not maps & {Map.COL_XOR, Map.PUBLIC}:
            self.linear(name, domain, poly)
        else:
            self.zero(name, domain, [poly])

    def lookup(self, name: str, table: int, domain: Domain, columns: Sequence[Factor]) -> None:
        """On each cell of the domain the columns are a row of the table."""
        if len(columns) != 1 + len(self.tables[table].images):
            raise CircuitError("circuit-shape", f"lookup {name!r} does not fit its table")
        polys = tuple(Poly.of(c) for c in columns)
        for p in polys:
            self._check_poly(name, p, domain, degree=1)
            if any(o.map.indexed for m in p.monomials for o in m.operands):
                raise CircuitError("circuit-shape", f"lookup {name!r} with an indexed operand")
        self.lookups.append(Lookup(self._relation(name), table, domain, polys))

    def in_range(self, name: str, wire: Wire, bounds: Interval) -> None:
        """wire is in `bounds` on each of its existing cells, by one lookup."""
        table = self.range_table(bounds.hi - bounds.lo + 1)
        self.lookup(name, table, wire.domain, [Poly.of(wire) - bounds.lo])

    def _check_poly(self, name: str, poly: Poly, domain: Domain, degree: int = 3) -> None:
        for m in poly.monomials:
            if len(m.operands) > degree:
                raise CircuitError(
                    "circuit-degree", f"relation {name!r} has degree {poly.degree}, not {degree}"
                )
            for operand in m.operands:
                if not _fits(operand, domain):
                    raise CircuitError(
                        "circuit-shape", f"relation {name!r}: an operand does not fit its domain"
                    )
                if degree == 1 and operand.map in (Map.COL_XOR, Map.PUBLIC):
                    raise CircuitError("circuit-shape", f"relation {name!r}: an operand that is not linear")

    # ---- values that are not committed ----

    def value(self, poly: Factor, domain: Domain) -> Accumulator:
        """A polynomial as an accumulator."""
        p = Poly.of(poly)
        return Accumulator(domain, self.arithmetic.poly(p), poly=p)

    def product_nt(self, x: Wire, y: Wire, *, groups: int = 1, members: int = 1) -> Accumulator:
        """out[(a,g,m), j] = sum_k x[(a,g,m), k] * y[(j,g), k]."""
        run = groups * members
        if x.rows % run or y.rows % groups or x.cols != y.cols or x.ragged != FULL or y.ragged != FULL:
            raise CircuitError("circuit-shape", f"product of {(x.rows, x.cols)} and {(y.rows, y.cols)}^T")
        return Accumulator(
            Domain(x.rows, y.rows // groups), _inner(x, y), None, EinsumKind.NT, groups, members, x, y
        )

    def product_nn(self, x: Wire, y: Wire, *, groups: int = 1, members: int = 1) -> Accumulator:
        """out[(a,g,m), j] = sum over the existing k of x[(a,g,m), k] * y[(k,g), j]."""
        run = groups * members
        if x.rows % run or y.rows != x.cols * groups or y.ragged != FULL:
            raise CircuitError("circuit-shape", f"product of {(x.rows, x.cols)} and {(y.rows, y.cols)}")
        term = x.bounds * y.bounds
        longest = x.domain.longest_row()
        total = Interval(min(0, term.lo) * longest, max(0, term.hi) * longest)
        return Accumulator(Domain(x.rows, y.cols), total, None, EinsumKind.NN, groups, members, x, y)

    def row_dot(self, x: Wire, y: Wire) -> Accumulator:
        """out[0, i] = sum_k x[i, k] * y[i, k]."""
        if (x.rows, x.cols, x.ragged) != (y.rows, y.cols, FULL) or y.ragged != FULL:
            raise CircuitError("circuit-shape", f"row product of {(x.rows, x.cols)} and {(y.rows, y.cols)}")
        total = (x.bounds * y.bounds).scaled(x.cols)
        if x.key == y.key:
            total = Interval(0, total.hi)
        return Accumulator(Domain(1, x.rows), total, None, EinsumKind.ROW_DOT, 1, 1, x, y)

    def product_selected(self, selection: Wire, x: Wire, y: Wire, *, most: int | None = None) -> Accumulator:
        """out[i, j] = sum_g selection[i, g] sum_k x[i mod x.rows, k] * y[g J + j, k], J = y.rows / groups.

        selection [rows, groups] has no negative entry. What a row of it adds up to is `most` at most, where
        the caller has argued for that.
        """
        s, groups = selection, selection.cols
        fit = s.rows % x.rows == 0 and y.rows % groups == 0 and x.cols == y.cols
        if not fit or {w.ragged for w in (s, x, y)} != {FULL} or s.bounds.lo < 0:
            shapes = [(w.rows, w.cols) for w in (s, x, y)]
            raise CircuitError("circuit-shape", "product of {} with {} and {}^T".format(*shapes))
        limit = groups * s.bounds.hi if most is None else most
        total = _inner(x, y) * Interval(0, limit)
        d = Domain(s.rows, y.rows // groups)
        return Accumulator(d, total, None, EinsumKind.SELECT_NT, groups, 1, x, y, selection=s)

    # ---- relations with their witness ----

    def decompose(self, name: str, value: Accumulator, constant: int, limbs: Sequence[Limb]) -> list[Wire]:
        """Commits limbs with value + constant = sum of 2^(widths below) * limb; the last may be signed."""
        d = value.domain
        parts = [
            self.tensor(f"{name}.{limb.name}", d.rows, d.cols, limb.bounds, ragged=d.ragged) for limb in limbs
        ]
        for limb, part in zip(limbs, parts, strict=True):
            if limb.checked:
                self.in_range(f"{name}.{limb.name}", part, limb.bounds)
        self._equate(name, value, recombine(limbs, parts), constant)
        self._fill(StepKind.DECOMPOSE, value, constant, parts, tuple(limb.bits for limb in limbs))
        return parts

    def commit(
        self, name: str, value: Accumulator, *, constant: int = 0, shape: tuple[int, int] | None = None
    ) -> Wire:
        """Commits value + constant as a tensor; the relation defines it, so it needs no range check.

        The tensor is stored as `shape`, by default the value's own, and seen as the value's.
        """
        d = value.domain
        rows, cols = (d.rows, d.cols) if shape is None else shape
        bounds = value.bounds.shifted(constant)
        out = self.tensor(name, rows, cols, bounds, ragged=d.ragged).reshape(d.rows, d.cols)
        self._equate(name, value, out, constant)
        self._fill(StepKind.DECOMPOSE, value, constant, [out], (63,))
        return out

    def assign(self, name: str, out: Wire, value: Poly) -> Wire:
        """out = value on each cell of an existing tensor."""
        self.vanish(name, out.domain, Poly.of(out) - value)
        self.program.append(Step(StepKind.ASSIGN, out.domain, _single(out), value))
        return out

    def _equate(self, name: str, value: Accumulator, out: Wire, constant: int) -> None:
        """value + constant = out."""
        if value.poly is not None:
            self.vanish(name, value.domain, value.poly - out + constant)
            return
        assert value.x is not None, "an accumulator is a polynomial or an einsum"
        assert value.y is not None, "an einsum has two operands"
        self.einsums.append(
            Einsum(
                self._relation(name),
                value.kind,
                value.groups,
                value.members,
                out - constant,
                value.x,
                value.y,
                value.bounds,
                value.selection,
            )
        )

    def _fill(
        self, kind: StepKind, value: Accumulator, constant: int, parts: Sequence[Wire], bits: tuple[int, ...]
    ) -> None:
        ids = tuple(t for part in parts for t in _single(part))
        if value.poly is not None:
            self.program.append(Step(kind, value.domain, ids, value.poly, constant=constant, bits=bits))
            return
        at = len(self.einsums) - 1
        self.program.append(
            Step(kind, value.domain, ids, from_einsum=True, index=at, constant=constant, bits=bits)
        )

    def table_map(
        self, name: str, table: int, key: Factor, domain: Domain, images: Sequence[str]
    ) -> list[Wire]:
        """Commits the images of a table at `key`, by one lookup on each cell of the domain."""
        spans = self.tables[table].spans[1:]
        out = [
            self.tensor(f"{name}.{image}", domain.rows, domain.cols, span, ragged=domain.ragged)
            for image, span in zip(images, spans, strict=True)
        ]
        key = Poly.of(key)
        self.lookup(name, table, domain, [key, *out])
        ids = tuple(t for w in out for t in _single(w))
        self.program.append(Step(StepKind.TABLE_MAP, domain, ids, key, table=table))
        return out

    def row_max(self, name: str, wire: Wire, domain: Domain) -> Wire:
        """Commits m[0, i] = max over the existing j of wire[i, j]; the caller adds relations to force it."""
        out = self.tensor(name, 1, domain.rows, wire.bounds)
        self.program.append(Step(StepKind.ROW_MAX, domain, _single(out), Poly.of(wire)))
        return out

    def top_k(self, name: str, wire: Wire, k: int, bounds: Interval, *, marks: Wire | None = None) -> Wire:
        """Commits the k-th largest of each row [1, rows], in `bounds`; the caller adds relations.

        Into `marks` [k rows, cols] goes where the k largest stand, one-hot: row m rows + i is of the m-th
        largest of row i, of equal ones the first.
        """
        if not 1 <= k <= wire.cols or wire.ragged != FULL:
            raise CircuitError("circuit-shape", f"the {k} largest of {wire.cols} cells")
        if marks is not None and (marks.rows, marks.cols, marks.ragged) != (k * wire.rows, wire.cols, FULL):
            raise CircuitError("circuit-shape", f"marks {(marks.rows, marks.cols)} of the {k} largest")
        out = self.tensor(f"{name}.least", 1, wire.rows, bounds)
        ids = _single(out) if marks is None else (*_single(out), *_single(marks))
        self.program.append(Step(StepKind.TOP_K, wire.domain, ids, Poly.of(wire), constant=k))
        return out

    def row_sum(self, name: str, wire: Wire, *, into: Wire | None = None) -> Wire:
        """Commits s[0, i] = sum over the existing j of wire[i, j], in a new tensor or the given one."""
        bounds = _bounds.row_sum_bounds(wire)
        out = self.tensor(name, 1, wire.rows, bounds) if into is None else into
        self.row_sums.append(RowSum(self._relation(name), out, wire))
        at = len(self.row_sums) - 1
        self.program.append(Step(StepKind.ROW_SUM, out.domain, _single(out), index=at))
        return out

    def total(self, name: str, wire: Wire) -> None:
        """The sum of the wire over its existing cells becomes a public output of the proof."""
        self.totals.append(Total(self._relation(name), wire))

    def output(self, name: str, wire: Wire) -> None:
        """Every cell of the wire becomes a public output of the proof."""
        if wire.ragged != FULL or wire.rows * wire.cols > MOST_OUTPUT_CELLS:
            raise CircuitError("circuit-shape", f"output {name!r} of missing cells, or of too many")
        self.outputs.append(Output(self._relation(name), wire))

    def normalise(self, name: str, wire: Wire, table: int, columns: Sequence[str]) -> list[Wire]:
        """Commits the first row of the table whose last image is >= wire, all columns, and looks it up."""
        spans = self.tables[table].spans
        out = [
            self.tensor(f"{name}.{column}", wire.rows, wire.cols, span)
            for column, span in zip(columns, spans, strict=True)
        ]
        self.lookup(name, table, wire.domain, out)
        self._wire_step(StepKind.NORMALISE, wire, out, table=table)
        return out

    def inverse_square_root(self, name: str, wire: Wire, constant: int, bounds: Interval) -> Wire:
        """Commits floor(sqrt(constant / wire)); the caller adds the relations that force it."""
        out = self.tensor(name, wire.rows, wire.cols, bounds)
        self._wire_step(StepKind.INV_SQRT, wire, [out], constant=constant)
        return out

    def quotient(self, name: str, wire: Wire, constant: int, bounds: Interval) -> Wire:
        """Commits floor(constant / wire); the caller adds the relations that force it."""
        out = self.tensor(name, wire.rows, wire.cols, bounds)
        self._wire_step(StepKind.QUOTIENT, wire, [out], constant=constant)
        return out

    def ratio(self, name: str, value: Poly, domain: Domain, wire: Wire, bounds: Interval) -> Wire:
        """Commits floor(value / wire[0, i]) on a full domain; the caller adds the relations that force it."""
        self._check_poly(name, value, domain)
        if not _fits(wire.per_row(), domain):
            raise CircuitError("circuit-shape", f"ratio {name!r}: a divisor for each row")
        out = self.tensor(name, domain.rows, domain.cols, bounds)
        index = self.wire_id(wire)
        self.program.append(Step(StepKind.RATIO, domain, _single(out), value, index=index))
        return out

    def _wire_step(
        self, kind: StepKind, wire: Wire, out: Sequence[Wire], *, constant: int = 0, table: int = 0
    ) -> None:
        ids = tuple(t for w in out for t in _single(w))
        index = self.wire_id(wire)
        self.program.append(Step(kind, wire.domain, ids, index=index, table=table, constant=constant))

    # ---- finishing ----

    def wire_id(self, wire: Wire) -> int:
        """The wire's place in the circuit, assigned on first use."""
        return self.wires.setdefault(wire.key, len(self.wires))

    def sides(self) -> Mapping[str, Sides]:
        """Bounds of both sides of every relation, by name."""
        return _bounds.relation_sides(
            self.zero_checks,
            self.linears,
            self.einsums,
            self.row_sums,
            self.totals,
            self.outputs,
            self.lookups,
            self.tables,
            self.arithmetic,
        )

    def require_sound(self) -> None:
        """Raises unless every bound is established and every relation closes over the field."""
        relations = list(
            _bounds.equations(
                self.zero_checks, self.linears, self.einsums, self.row_sums, self.lookups, self.tables
            )
        )
        for name, sides in self.sides().items():
            _bounds.require_closed(name, sides)
        _bounds.require_established(self.tensors, self._given, relations, self.arithmetic)
        public = [(t.name, t.wire) for t in self.totals] + [(o.name, o.wire) for o in self.outputs]
        _bounds.require_readers(self.tensors, self._readers, relations, public)

    def finish(self) -> bytes:
        """The circuit in its canonical bytes; raises `CircuitError` if a bound does not close."""
        self.require_sound()
        return encode(self)


def recombine(limbs: Sequence[Limb], parts: Sequence[Wire]) -> Wire:
    """sum of 2^(widths below) * limb."""
    if len(parts) == 1:
        return parts[0]
    offsets = accumulate((limb.bits for limb in limbs[:-1]), initial=0)
    return combination(parts, [1 << offset for offset in offsets])


def _fits(operand: Operand, domain: Domain) -> bool:
    """Whether the operand has a value at each existing cell of the domain."""
    if operand.map is Map.PUBLIC:
        rows, cols = operand.public_table.values.shape
        return operand.argument >= 1 and cols == domain.cols and (domain.rows - 1) // operand.argument < rows
    wire = operand.source_wire
    shape = (wire.rows, wire.cols)
    if wire.split > 1 and (operand.map.indexed or domain.ragged != FULL):
        return False
    if operand.map is Map.CELL:
        return shape == (domain.rows, domain.cols) and wire.ragged in (FULL, domain.ragged)
    if operand.map.indexed:
        return wire.ragged == FULL == domain.ragged and _indexes(operand, domain)
    if wire.ragged != FULL:
        return False
    if operand.map is Map.COL_XOR:
        return (
            shape == (domain.rows, domain.cols)
            and domain.ragged == FULL
            and _pairs(domain.cols, operand.argument)
        )
    return shape == (1, domain.rows if operand.map is Map.ROW else domain.cols)


def _vanishes(m: Monomial, domain: Domain) -> bool:
    """Whether the monomial is 0 on the missing cells of the domain, where tensors without them read 0."""
    return any(
        o.map is Map.CELL and o.source_wire.ragged == domain.ragged and o.source_wire.constant == 0
        for o in m.operands
    )


def _indexes(operand: Operand, domain: Domain) -> bool:
    """Whether the indices of a gather or pick have the domain's shape and lie inside the wire, or are -1."""
    wire, index = operand.source_wire, operand.public_table
    gather = operand.map is Map.GATHER
    wanted = (1, domain.rows) if gather else (domain.rows, domain.cols)
    kept = wire.cols == domain.cols if gather else wire.rows == domain.rows
    limit = wire.rows if gather else wire.cols
    return kept and index.values.shape == wanted and index.bounds.lo >= -1 and index.bounds.hi < limit


def _pairs(cols: int, distance: int) -> bool:
    """Whether j ^ distance pairs the columns: both are powers of two."""
    return cols & (cols - 1) == 0 and 0 < distance < cols and distance & (distance - 1) == 0


def _single(wire: Wire) -> tuple[int]:
    """The tensor behind a wire that is a plain tensor."""
    if wire.constant or len(wire.terms) != 1 or wire.terms[0][0] != 1:
        raise CircuitError("circuit-shape", "a witness step fills a tensor, not a combination of tensors")
    return (wire.terms[0][1],)


def _inner(x: Wire, y: Wire) -> Interval:
    """Bounds of an inner product over x.cols: term by term, and by Cauchy-Schwarz where lengths are known."""
    plain = (x.bounds * y.bounds).scaled(x.cols)
    if x.length is None and y.length is None:
        return plain
    by_length = _length(x) * _length(y)
    return plain.meet(Interval(-by_length, by_length))


def _length(wire: Wire) -> int:
    """An upper bound on the Euclidean length of a row."""
    if wire.length is not None:
        return wire.length
    return _ceil_sqrt(wire.cols * wire.bounds.magnitude**2)


def _ceil_sqrt(value: int) -> int:
    root = isqrt(value)
    return root if root * root == value else root + 1
