"""Wires, operands and polynomials: the expressions that relations are written in.

A *wire* is a linear combination of committed tensors plus a constant, with a shape of its own. An *operand*
is a wire (or public values) read at cell (i, j) of a domain through an index map. A *polynomial* is a sum
of monomials, each a coefficient times at most three operands. All arithmetic is over the integers, and
every expression carries the interval of its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from assay.graph.errors import CircuitError
from assay.graph.interval import Interval

BLOCK = 128
LEAST_PART = 8
MAX_DEGREE = 3
_LARGEST_COEFFICIENT = (1 << 63) - 1

IntArray: TypeAlias = npt.NDArray[np.int64]
WireKey: TypeAlias = tuple[int, int, int, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Which cells (i, j) exist: all, or j <= i // divisor, and j > i // divisor - window if window > 0."""

    causal: bool = False
    divisor: int = 1
    window: int = 0

    def range(self, row: int, cols: int) -> tuple[int, int]:
        """Existing columns [first, last) of a row."""
        if not self.causal:
            return 0, cols
        t = row // self.divisor
        first = max(0, t + 1 - self.window) if self.window else 0
        return min(first, cols), min(t + 1, cols)


FULL = Ragged()


@dataclass(frozen=True, slots=True)
class Domain:
    """The cells (i, j), 0 <= i < rows, 0 <= j < cols, that exist."""

    rows: int
    cols: int
    ragged: Ragged = FULL

    def cells(self) -> int:
        """Number of existing cells."""
        if not self.ragged.causal:
            return self.rows * self.cols
        return sum(b - a for a, b in (self.ragged.range(i, self.cols) for i in range(self.rows)))

    def longest_row(self) -> int:
        """Largest number of existing cells in a row."""
        if not self.ragged.causal:
            return self.cols
        a, b = self.ragged.range(self.rows - 1, self.cols)
        return max(b - a, 1)


class Map(IntEnum):
    """How an operand is read at cell (i, j)."""

    CELL = 0  # wire[i, j]
    ROW = 1  # wire[0, i]
    COL = 2  # wire[0, j]
    COL_XOR = 3  # wire[i, j ^ argument]
    PUBLIC = 4  # publics[i // argument, j]
    GATHER = 5  # wire[index[i], j], or 0 where the index is -1
    PICK = 6  # wire[i, index[i, j]], or 0 where the index is -1

    @property
    def indexed(self) -> bool:
        """Whether public indices say which cells are read."""
        return self >= Map.GATHER


@dataclass(frozen=True, eq=False)
class PublicTable:
    """Values everybody knows, read as values[i // divisor, j]; `id` is their place in the circuit."""

    id: int
    name: str
    values: IntArray

    def every(self, divisor: int) -> Operand:
        """One row of values for each `divisor` rows of the domain."""
        return Operand(Map.PUBLIC, divisor, None, self)

    @cached_property
    def bounds(self) -> Interval:
        """Smallest and largest value."""
        return Interval(int(self.values.min()), int(self.values.max()))


@dataclass(frozen=True, slots=True)
class Wire:
    """sum of coefficient * tensor, plus a constant, at each cell of [rows, cols].

    `bounds` holds for each existing cell; `length`, where known, bounds the Euclidean length of each row. In
    a split view `split` rows lie side by side in one row of its tensors.
    """

    rows: int
    cols: int
    constant: int
    terms: tuple[tuple[int, int], ...]
    bounds: Interval
    ragged: Ragged = FULL
    length: int | None = None
    split: int = 1

    @property
    def key(self) -> WireKey:
        """What identifies a wire in the circuit (bounds are no part of it)."""
        return self.rows, self.cols, self.constant, self.terms

    @property
    def domain(self) -> Domain:
        """The wire's existing cells."""
        return Domain(self.rows, self.cols, self.ragged)

    @property
    def stored(self) -> tuple[int, int]:
        """Rows and columns in which its cells are stored."""
        return self.rows // self.split, self.cols * self.split

    def reshape(self, rows: int, cols: int) -> Wire:
        """The same cells in row-major order under another shape.

        Rows are whole blocks in both, or a split view: rows of 8, 16, 32 or 64 cells that lie side by side in
        the rows stored. What is stored can be seen again.
        """
        if (rows, cols) == (self.rows, self.cols):
            return self
        split = self._parts(cols)
        if split is None or self.ragged.causal or rows * cols != self.rows * self.cols:
            raise CircuitError(
                "circuit-shape", f"[{self.rows}, {self.cols}] cannot be seen as [{rows}, {cols}]"
            )
        length = self.length if cols < self.cols else None
        return replace(self, rows=rows, cols=cols, length=length, split=split)

    def _parts(self, cols: int) -> int | None:
        """How many rows of `cols` cells lie in a row stored; None if it cannot be seen so."""
        line = self.stored[1]
        if cols == line or cols % BLOCK == line % BLOCK == 0:
            return 1
        line = line if line % BLOCK else BLOCK  # rows of whole blocks are as good as their blocks
        return line // cols if is_part(cols) and line % cols == 0 else None

    def bounded(self, bounds: Interval, *, length: int | None = None) -> Wire:
        """The same wire with bounds (and row length) that the caller has argued for."""
        return replace(self, bounds=self.bounds.meet(bounds), length=length or self.length)

    def per_row(self) -> Operand:
        """A wire [1, n] read as wire[0, i] on a domain of n rows."""
        return Operand(Map.ROW, 0, self, None)

    def per_col(self) -> Operand:
        """A wire [1, n] read as wire[0, j] on a domain of n columns."""
        return Operand(Map.COL, 0, self, None)

    def swap(self, argument: int) -> Operand:
        """The wire read at column j ^ argument."""
        return Operand(Map.COL_XOR, argument, self, None)

    def cell(self) -> Operand:
        """The wire read at (i, j)."""
        return Operand(Map.CELL, 0, self, None)

    def gather(self, index: PublicTable) -> Operand:
        """Rows of the wire by index [1, rows of the domain]: wire[index[i], j], 0 where the index is -1."""
        return Operand(Map.GATHER, index.id, self, index)

    def pick(self, index: PublicTable) -> Operand:
        """Cells of each row by index [rows, columns of the domain]: wire[i, index[i, j]], 0 at -1."""
        return Operand(Map.PICK, index.id, self, index)

    def _affine(self, factor: int, constant: int) -> Wire:
        """factor * wire + constant."""
        kept = tuple((factor * c, t) for c, t in self.terms) if factor else ()
        bounds = self.bounds.scaled(factor).shifted(constant)
        constant += self.constant * factor
        return replace(self, constant=constant, terms=kept, bounds=bounds, length=None)

    def __add__(self, other: Wire | int) -> Wire:
        return self._affine(1, other) if isinstance(other, int) else combination((self, other), (1, 1))

    def __sub__(self, other: Wire | int) -> Wire:
        return self._affine(1, -other) if isinstance(other, int) else combination((self, other), (1, -1))

    def __neg__(self) -> Wire:
        return self._affine(-1, 0)

    def __radd__(self, other: int) -> Wire:
        return self._affine(1, other)

    def __rsub__(self, other: int) -> Wire:
        return self._affine(-1, other)

    def __mul__(self, factor: int) -> Wire:
        return self._affine(factor, 0)

    __rmul__ = __mul__


def is_part(cols: int) -> bool:
    """Whether rows of so many cells can be those of a split view: a power of two from 8 to 64."""
    return LEAST_PART <= cols < BLOCK and BLOCK % cols == 0


def combination(wires: Sequence[Wire], factors: Sequence[int]) -> Wire:
    """sum of factor * wire, for wires of one shape."""
    first = wires[0]
    for other in wires[1:]:
        if (other.rows, other.cols) != (first.rows, first.cols):
            raise CircuitError(
                "circuit-shape",
                f"wires of shapes {(first.rows, first.cols)} and {(other.rows, other.cols)}",
            )
        if other.ragged != first.ragged:
            raise CircuitError("circuit-shape", "wires with different missing cells cannot be added")
        if other.split != first.split:
            raise CircuitError("circuit-shape", "a split view cannot be added to another view")
    constant, terms = 0, dict[int, int]()
    for wire, factor in zip(wires, factors, strict=True):
        constant += factor * wire.constant
        for c, tensor in wire.terms:
            terms[tensor] = terms.get(tensor, 0) + factor * c
    kept = tuple((terms[t], t) for t in sorted(terms) if terms[t])
    bounds = Interval.total(w.bounds.scaled(f) for w, f in zip(wires, factors, strict=True))
    return replace(first, constant=constant, terms=kept, bounds=bounds, length=None)


def uniform(rows: int, cols: int, value: int) -> Wire:
    """A wire of no tensor: one value in every cell."""
    return Wire(rows, cols, value, (), Interval.point(value))


@dataclass(frozen=True, slots=True)
class Operand:
    """A wire or public values, read at (i, j) through an index map; a gather or pick has both."""

    map: Map
    argument: int
    wire: Wire | None
    public: PublicTable | None

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for operands that read the same values."""
        source = self.wire.key if self.wire is not None else ("public", self.public_table.id)
        return int(self.map), self.argument, source

    @property
    def public_table(self) -> PublicTable:
        """The public values (of a public operand), or indices (of a gather or pick)."""
        assert self.public is not None, "an operand without public values"
        return self.public

    @property
    def source_wire(self) -> Wire:
        """The wire (only of a committed operand)."""
        assert self.wire is not None, "not a committed operand"
        return self.wire

    @property
    def bounds(self) -> Interval:
        """The values it can take; an index of -1 reads 0."""
        if self.wire is None:
            return self.public_table.bounds
        absent = self.map.indexed and self.public_table.bounds.lo < 0
        return self.wire.bounds.joined(0) if absent else self.wire.bounds

    @property
    def vanishes_outside(self) -> bool:
        """Whether it is confined to the domain's existing cells in both coordinates."""
        return self.map in (Map.CELL, Map.COL_XOR, Map.PUBLIC)

    def __mul__(self, other: Factor) -> Poly:
        return Poly.of(self) * other

    def __add__(self, other: Factor) -> Poly:
        return Poly.of(self) + other

    def __sub__(self, other: Factor) -> Poly:
        return Poly.of(self) - other


@dataclass(frozen=True, slots=True)
class Monomial:
    """coefficient * product of operands."""

    coefficient: int
    operands: tuple[Operand, ...] = ()


Factor: TypeAlias = "int | Wire | Operand | Poly"


@dataclass(frozen=True, slots=True)
class Poly:
    """A sum of monomials."""

    monomials: tuple[Monomial, ...] = ()

    @staticmethod
    def of(value: Factor) -> Poly:
        """Any expression as a polynomial; a wire is read cell by cell."""
        if isinstance(value, Poly):
            return value
        if isinstance(value, Wire):
            return Poly((Monomial(1, (Operand(Map.CELL, 0, value, None),)),))
        if isinstance(value, Operand):
            return Poly((Monomial(1, (value,)),))
        return Poly((Monomial(value),) if value else ())

    @property
    def degree(self) -> int:
        """Largest number of operands in a monomial."""
        return max((len(m.operands) for m in self.monomials), default=0)

    def __add__(self, other: Factor) -> Poly:
        return Poly(self.monomials + Poly.of(other).monomials)

    def __sub__(self, other: Factor) -> Poly:
        taken = Poly.of(other).monomials
        return Poly(self.monomials + tuple([Monomial(-m.coefficient, m.operands) for m in taken]))

    def __mul__(self, other: Factor) -> Poly:
        out = [
            Monomial(a.coefficient * b.coefficient, a.operands + b.operands)
            for a in self.monomials
            for b in Poly.of(other).monomials
        ]
        if any(len(m.operands) > MAX_DEGREE or abs(m.coefficient) > _LARGEST_COEFFICIENT for m in out):
            raise CircuitError(
                "circuit-degree", "a monomial of degree above three, or too large a coefficient"
            )
        return Poly(tuple(out))


def term(value: Factor, *others: Factor) -> Poly:
    """The product of its arguments, as a polynomial."""
    out = Poly.of(value)
    for other in others:
        out = out * other
    return out
