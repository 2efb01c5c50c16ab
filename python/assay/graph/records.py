"""What a finished circuit is made of; the field order is that of the byte format (assay.graph.encoding)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from assay.graph.errors import CircuitError
from assay.graph.expression import Domain, IntArray, Poly, Wire
from assay.graph.interval import Interval

_FUNCTION_ROWS = 1 << 17
_RANGE_ROWS = 1 << 22


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
    """Shapes of a product; see Builder.product_nt, product_nn, row_dot and product_selected."""

    NT = 0
    NN = 1
    ROW_DOT = 2
    SELECT_NT = 3


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
    RATIO = 8
    TOP_K = 9


@dataclass(frozen=True, eq=False)
class Table:
    """A range start, start + 1, ... or a function with that key column and the given images.

    Tables do not change, and are best shared between circuits; equal ones count as one.
    """

    name: str
    start: int
    rows: int
    images: tuple[IntArray, ...] = ()

    @staticmethod
    @lru_cache(maxsize=64)
    def range(rows: int) -> Table:
        """The table 0, 1, ..., rows - 1."""
        name = f"range.{rows}"
        _require_rows(name, rows, _RANGE_ROWS)
        return Table(name, 0, rows)

    @staticmethod
    def function(
        name: str,
        start: int,
        rows: int,
        images: Callable[[IntArray], Sequence[npt.NDArray[np.integer | np.bool_]]],
    ) -> Table:
        """The table of rows (key, images[0], images[1], ...) for `rows` keys from `start`."""
        _require_rows(name, rows, _FUNCTION_ROWS)
        columns = images(np.arange(start, start + rows, dtype=np.int64))
        return Table(name, start, rows, tuple(_column(c, rows) for c in columns))

    @cached_property
    def spans(self) -> tuple[Interval, ...]:
        """Least and largest value of each column; column 0 is the key."""
        key = Interval(self.start, self.start + self.rows - 1)
        return (key, *(Interval(int(c.min()), int(c.max())) for c in self.images))

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Table):
            return self is other
        heads = [(t.name, t.start, t.rows, len(t.images)) for t in (self, other)]
        return heads[0] == heads[1] and all(map(np.array_equal, self.images, other.images))

    def __hash__(self) -> int:
        return hash((self.name, self.start, self.rows))


def _require_rows(name: str, rows: int, limit: int) -> None:
    if rows > limit:
        raise CircuitError(
            "circuit-table",
            f"table {name!r} has {rows} rows, the limit is {limit}",
            hint="a wider shift before it makes its key smaller",
        )


def _column(values: npt.NDArray[np.integer | np.bool_], rows: int) -> IntArray:
    column = values.astype(np.int64)
    assert column.shape == (rows,), "one image for each key"
    column.setflags(write=False)
    return column


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
    selection: Wire | None = None

    @property
    def inputs(self) -> tuple[Wire, ...]:
        """The wires that `out` is a product of."""
        return (self.x, self.y) if self.selection is None else (self.x, self.y, self.selection)


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
class Output:
    """Public outputs: every cell of a wire."""

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
