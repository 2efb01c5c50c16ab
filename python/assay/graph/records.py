"""What a finished circuit is made of; the field order is that of the byte format (assay.graph.encoding)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from assay.graph.expression import Domain, Poly, Wire
from assay.graph.interval import Interval


class CellType(IntEnum):
    """Width of a committed cell in memory."""

    INT16 = 0
    INT32 = 1
    INT64 = 2

    @staticmethod
    def holding(bounds: Interval) -> CellType:
        """The narrowest type for these values."""
        bits = bounds.signed_bits
        return CellType.INT16 if bits <= 16 else CellType.INT32 if bits <= 32 else CellType.INT64


class Source(IntEnum):
    """Which commitment a tensor belongs to."""

    WITNESS = 0
    WEIGHT = 1
    BOUNDARY = 2


class EinsumKind(IntEnum):
    """Shapes of a product; see Builder.product_nt, product_nn and row_dot."""

    NT = 0
    NN = 1
    ROW_DOT = 2


class StepKind(IntEnum):
    """Steps of the witness program."""

    DECOMPOSE = 0
    ASSIGN = 1
    TABLE_MAP = 2
    ROW_MAX = 3
    ROW_SUM = 4
    NORMALISE = 5
    INV_SQRT = 6
    QUOTIENT = 7


@dataclass(frozen=True, slots=True)
class Table:
    """A range start, start + 1, ... or a function with that key column and the given images."""

    name: str
    start: int
    rows: int
    images: tuple[tuple[int, ...], ...] = ()

    def span(self, column: int) -> Interval:
        """Least and largest value of a column; column 0 is the key."""
        if column == 0:
            return Interval(self.start, self.start + self.rows - 1)
        return Interval(min(self.images[column - 1]), max(self.images[column - 1]))


@dataclass(frozen=True, slots=True)
class Tensor:
    """Committed cells; `bounds` is what the relations must establish for them."""

    name: str
    source: Source
    type: CellType
    shape: Domain
    bounds: Interval


@dataclass(frozen=True, slots=True)
class ZeroCheck:
    """Each polynomial is zero on each cell of the domain."""

    name: str
    domain: Domain
    polys: tuple[Poly, ...]


@dataclass(frozen=True, slots=True)
class Linear:
    """A polynomial of degree one is zero on each cell of the domain."""

    name: str
    domain: Domain
    poly: Poly


@dataclass(frozen=True, slots=True)
class Einsum:
    """out = a product of x and y, by kind, with `groups` batches and `members` rows of x a batch."""

    name: str
    kind: EinsumKind
    groups: int
    members: int
    out: Wire
    x: Wire
    y: Wire
    bounds: Interval


@dataclass(frozen=True, slots=True)
class RowSum:
    """out[0, i] = sum over the existing j of x[i, j]."""

    name: str
    out: Wire
    x: Wire


@dataclass(frozen=True, slots=True)
class Total:
    """A public output: the sum of a wire over its existing cells."""

    name: str
    wire: Wire


@dataclass(frozen=True, slots=True)
class Lookup:
    """On each cell of the domain the tuple of columns is a row of the table."""

    name: str
    table: int
    domain: Domain
    columns: tuple[Poly, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the witness program (the prover's; no part of the digest)."""

    kind: StepKind
    domain: Domain
    tensors: tuple[int, ...]
    poly: Poly = field(default_factory=Poly)
    from_einsum: bool = False
    index: int = 0
    table: int = 0
    constant: int = 0
    bits: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """A bound that interval arithmetic does not see, with the argument for it."""

    name: str
    argument: str
