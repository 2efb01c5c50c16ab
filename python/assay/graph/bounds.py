"""Why an identity in the field is an identity of integers.

A relation says LEFT = RIGHT in F, p = 2^64 - 2^32 + 1. If |LEFT| + |RIGHT| < 2^63 over the integers then
|LEFT - RIGHT| < p, so it holds over the integers too. Two things are checked, with Python integers:

1. *Established.* The declared bounds of each committed tensor follow from a relation: weights are ranged at
   registration; a lookup confines the one tensor of a column whose bounds are still open to the table's
   span; a relation with one tensor of coefficient +-1 still open defines it; or a named fact says so.
2. *Closed.* With those bounds, the two sides of each relation together stay below 2^63 (so 2^62 each is
enough).
   Monomials with a positive coefficient form the left side, the others the right; of a lookup, a column is
   the left side and the table the right.

Facts are bounds on a product of operands, or on a tensor, that intervals do not see; each is registered
under a name by the operation that establishes it, with its argument. Where that is about what reads a tensor,
the readers are checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from assay.graph.errors import CircuitError
from assay.graph.expression import MAX_DEGREE, Domain, Map, Monomial, Operand, Poly, Wire
from assay.graph.interval import Interval
from assay.graph.records import Einsum, Linear, Lookup, Output, RowSum, Table, Tensor, Total, ZeroCheck

LIMIT = 1 << 63

Key: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class ProductFact:
    """The product of these operands, at each cell, lies in `bounds`."""

    name: str
    operands: tuple[Operand, ...]
    bounds: Interval


@dataclass(frozen=True, slots=True)
class Sides:
    """Intervals of both sides of a relation."""

    left: Interval
    right: Interval

    @property
    def magnitude(self) -> int:
        """Both sides together: what has to stay below 2^63."""
        return self.left.magnitude + self.right.magnitude


class Bounds:
    """Interval arithmetic over polynomials, with product facts."""

    def __init__(self) -> None:
        self._facts: dict[Key, list[tuple[Counter[Key], ProductFact]]] = {}  # by their first operand
        self._fewest = MAX_DEGREE + 1  # operands of a fact

    def add(self, fact: ProductFact) -> None:
        """Registers a fact; it applies to each monomial that contains its operands."""
        keys = [o.key for o in fact.operands]
        self._fewest = min(self._fewest, len(keys))
        self._facts.setdefault(keys[0], []).append((Counter(keys), fact))

    def monomial(self, m: Monomial) -> Interval:
        """Interval of a monomial: the tightest of plain arithmetic and each applicable fact."""
        best = _product(m.operands)
        if len(m.operands) >= self._fewest:
            keys = [o.key for o in m.operands]
            for wanted, fact in chain.from_iterable(self._facts.get(k, ()) for k in set(keys)):
                if all(keys.count(k) >= n for k, n in wanted.items()):
                    best = best.meet(fact.bounds * _product(_without(m.operands, wanted)))
        return best.scaled(m.coefficient)

    def poly(self, p: Poly) -> Interval:
        """Interval of a polynomial."""
        return Interval.total(map(self.monomial, p.monomials))

    def sides(self, p: Poly) -> Sides:
        """The two sides of P = 0, by the sign of the coefficients."""
        left = Interval.total([self.monomial(m) for m in p.monomials if m.coefficient > 0])
        right = Interval.total([self.monomial(m) for m in p.monomials if m.coefficient < 0])
        return Sides(left, right.scaled(-1))


def _product(operands: Sequence[Operand]) -> Interval:
    if not operands:
        return Interval.point(1)
    value = operands[0].bounds
    for operand in operands[1:]:
        value = value * operand.bounds
    return value


def _without(operands: Sequence[Operand], wanted: Counter[Key]) -> list[Operand]:
    left, rest = Counter(wanted), []
    for operand in operands:
        if left[operand.key]:
            left[operand.key] -= 1
        else:
            rest.append(operand)
    return rest


def require_closed(name: str, sides: Sides) -> None:
    """Raises unless both sides of relation `name` together stay below 2^63."""
    if sides.magnitude >= LIMIT:
        raise CircuitError(
            "circuit-bound",
            f"relation {name!r} does not close over the field: its sides reach {sides.left.magnitude} and "
            f"{sides.right.magnitude}, together they must stay below 2^63",
            hint="lower a fraction, or clamp an input of this relation",
        )


# ---- which tensors are established ----


Occurrence: TypeAlias = tuple[int, int, Monomial]
"""A tensor in a monomial: its coefficient there, the tensor, the monomial."""


@dataclass(frozen=True, slots=True)
class Equation:
    """`poly` lies in `values` on each cell of `domain` (a zero-check: values = [0, 0]).

    `reads` has every place where it reads a tensor; `inputs` are the tensors that must be established before
    it can define one.
    """

    name: str
    domain: Domain
    poly: Poly
    values: Interval
    inputs: frozenset[int]
    reads: list[Occurrence]


def _equation(
    name: str, domain: Domain, poly: Poly, values: Interval, inputs: frozenset[int] = frozenset()
) -> Equation:
    reads = [
        (m.coefficient * c, tensor, m)
        for m in poly.monomials
        for operand in m.operands
        if operand.wire is not None
        for c, tensor in operand.wire.terms
    ]
    return Equation(name, domain, poly, values, inputs, reads)


def equations(
    zero_checks: Sequence[ZeroCheck],
    linears: Sequence[Linear],
    einsums: Sequence[Einsum],
    row_sums: Sequence[RowSum],
    lookups: Sequence[Lookup],
    tables: Sequence[Table],
) -> Iterator[Equation]:
    """Each relation as an equation, or as several."""
    zero = Interval.point(0)
    for z in zero_checks:
        for p in z.polys:
            yield _equation(z.name, z.domain, p, zero)
    for linear in linears:
        yield _equation(linear.name, linear.domain, linear.poly, zero)
    for e in einsums:
        inputs = frozenset(t for w in e.inputs for _, t in w.terms)
        yield _equation(e.name, e.out.domain, Poly.of(e.out), e.bounds, inputs)
    for r in row_sums:
        inputs = frozenset(t for _, t in r.x.terms)
        yield _equation(r.name, r.out.domain, Poly.of(r.out), row_sum_bounds(r.x), inputs)
    for lookup in lookups:
        for column, span in zip(lookup.columns, tables[lookup.table].spans, strict=True):
            yield _equation(lookup.name, lookup.domain, column, span)


def row_sum_bounds(x: Wire) -> Interval:
    """Bounds of the sum over the existing cells of a row."""
    longest = x.domain.longest_row()
    least = 1 if x.ragged.causal else longest
    return Interval(
        x.bounds.lo * (longest if x.bounds.lo < 0 else least),
        x.bounds.hi * (longest if x.bounds.hi > 0 else least),
    )


def _covers(equation: Equation, m: Monomial, tensor: Tensor) -> bool:
    """Whether the monomial reads each existing cell of the tensor."""
    if m.operands[0].map in (Map.ROW, Map.COL):
        return True
    if m.operands[0].map.indexed:
        return False
    return equation.domain.ragged == tensor.shape.ragged


def _definition(
    equation: Equation, only: Occurrence, tensors: Sequence[Tensor], bounds: Bounds
) -> Interval | None:
    """What follows for the one open tensor of the equation, if it defines that tensor."""
    c, t, m = only
    if abs(c) != 1 or len(m.operands) != 1 or not _covers(equation, m, tensors[t]):
        return None
    wire = m.operands[0].source_wire
    parts = [bounds.monomial(other) for other in equation.poly.monomials if other is not m]
    parts += [tensors[i].bounds.scaled(k * m.coefficient) for k, i in wire.terms if i != t]
    rest = Interval.total(parts).shifted(wire.constant * m.coefficient)
    return (equation.values + rest.scaled(-1)).scaled(c)


def require_established(
    tensors: Sequence[Tensor],
    given: set[int],
    relations: Sequence[Equation],
    bounds: Bounds,
) -> None:
    """Raises unless the declared bounds of every tensor follow; `given`: weights and tensors with a fact."""
    known = set(given)
    waiting = [(equation, equation.reads) for equation in relations]
    progress = True
    while progress:
        before = len(known)
        still = []
        for equation, reads in waiting:
            unknown = [read for read in reads if read[1] not in known]
            if len(unknown) == 1 and equation.inputs <= known:
                found, tensor = _definition(equation, unknown[0], tensors, bounds), unknown[0][1]
                if found is not None and found in tensors[tensor].bounds:
                    known.add(tensor)
                    continue
            if unknown:
                still.append((equation, unknown))
        waiting, progress = still, len(known) > before
    missing = [t.name for i, t in enumerate(tensors) if i not in known]
    if missing:
        raise CircuitError(
            "circuit-range", f"no relation establishes the declared bounds of {', '.join(map(repr, missing))}"
        )


def require_readers(
    tensors: Sequence[Tensor],
    facts: Sequence[tuple[int, str, str]],
    relations: Sequence[Equation],
    public: Sequence[tuple[str, Wire]],
) -> None:
    """Raises unless the tensor of each (tensor, fact, relation) is read by that relation and by no other."""
    readers: dict[int, set[str]] = {tensor: set() for tensor, _, _ in facts}
    for equation in relations:
        for tensor in equation.inputs.union([tensor for _, tensor, _ in equation.reads]) & readers.keys():
            readers[tensor].add(equation.name)
    for name, wire in public:
        for tensor in {tensor for _, tensor in wire.terms} & readers.keys():
            readers[tensor].add(name)
    for tensor, fact, only in facts:
        if readers[tensor] != {only}:
            found = ", ".join(map(repr, sorted(readers[tensor]))) or "nothing"
            raise CircuitError(
                "circuit-fact",
                f"the fact {fact!r} needs {only!r} to be all that reads {tensors[tensor].name!r}, "
                f"which is read by {found}",
            )


def relation_sides(
    zero_checks: Sequence[ZeroCheck],
    linears: Sequence[Linear],
    einsums: Sequence[Einsum],
    row_sums: Sequence[RowSum],
    totals: Sequence[Total],
    outputs: Sequence[Output],
    lookups: Sequence[Lookup],
    tables: Sequence[Table],
    bounds: Bounds,
) -> Mapping[str, Sides]:
    """Bounds of both sides of every relation, by name; of several polynomials or columns, the widest."""
    out: dict[str, Sides] = {}
    for z in zero_checks:
        out[z.name] = max((bounds.sides(p) for p in z.polys), key=lambda s: s.magnitude)
    for linear in linears:
        out[linear.name] = bounds.sides(linear.poly)
    for e in einsums:
        out[e.name] = Sides(e.out.bounds, e.bounds)
    for r in row_sums:
        out[r.name] = Sides(r.out.bounds, row_sum_bounds(r.x))
    for total in totals:
        out[total.name] = Sides(total.wire.bounds.scaled(total.wire.domain.cells()), Interval.point(0))
    for output in outputs:  # both sides: a value is read with its sign, so it stays below p / 2
        out[output.name] = Sides(output.wire.bounds, output.wire.bounds)
    for lookup in lookups:
        pairs = [Sides(bounds.poly(c), tables[lookup.table].spans[k]) for k, c in enumerate(lookup.columns)]
        out[lookup.name] = max(pairs, key=lambda s: s.magnitude)
    return out
