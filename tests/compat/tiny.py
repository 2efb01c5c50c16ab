"""A statement as small as can be with relations of every kind, and a code to match: proofs by the thousand.

Two segments: `mixed` has a sum of products of each kind, zero-checks of degrees two and three, a linear
relation, a row sum, a total, and lookups in a range and a function; `given` has no tensor of its own, so
there is no witness commitment for it. Part 0 of the weights is not opened.
"""

from __future__ import annotations

import numpy as np

from assay.graph import Builder, CellType, Interval, Source, Table, Wire, term
from assay.layout import Slot
from assay.profiles import Code
from assay.reference import LongLived, Segment, Statement
from assay.reference.circuit import decode

CODE = Code(log_columns=7, random=64, log_coset=8, cosets=3, queries=20)
BITS = 1.0
Slots = tuple[Slot, ...]


def external(b: Builder, name: str, rows: int, cols: int) -> Wire:
    """A boundary of 4-bit integers."""
    bounds = Interval.signed(4)
    wire = b.tensor(name, rows, cols, bounds, source=Source.BOUNDARY, type=CellType.INT64)
    b.in_range(f"{name}.range", wire, bounds)
    return wire


def mixed() -> bytes:
    b = Builder("mixed")
    x, w = external(b, "x", 2, 4), b.weight("w", 3, 4)
    b.commit("nt", b.product_nt(x, w))
    b.commit("nn", b.product_nn(x, external(b, "k", 4, 2)))
    b.commit("dot", b.row_dot(x, x))
    turn = b.public("turn", np.array([[3, 1, 4, 1], [5, 9, 2, 6]]))
    b.commit("cube", b.value(term(x, x, x) + term(x, x.swap(2)) + term(x, turn.every(1)) + 1, x.domain))
    b.commit("shifted", b.value(term(x) * 5 - 2, x.domain))
    table = b.table(Table.function("square", -8, 16, lambda v: [v * v]))
    (square,) = b.table_map("square", table, x, x.domain, ["image"])
    b.commit("selected", b.product_selected(square, x, b.weight("v", 4, 4)))
    b.row_sum("sum", square)
    b.total("all", square)
    return b.finish()


def given() -> bytes:
    b = Builder("given")
    y, z = external(b, "y", 2, 4), external(b, "z", 2, 4)
    b.linear("same", y.domain, term(y) - term(z))
    return b.finish()


def cells(seed: int) -> dict[str, np.ndarray]:
    """Everything that no witness step fills."""
    draw = np.random.default_rng(seed)

    def random(rows: int, cols: int, bits: int = 4) -> np.ndarray:
        return draw.integers(-(1 << (bits - 1)), 1 << (bits - 1), (rows, cols))

    y = random(2, 4)
    weights = {"unused": random(2, 100, 15), "w": random(3, 4, 15)}
    given = {**weights, "x": random(2, 4), "k": random(4, 2), "y": y, "z": y}
    return {**given, "v": random(4, 4, 15)}


WEIGHTS: Slots = (Slot("unused", 0, 0, 2, 100, 2), Slot("w", 1, 0, 3, 4, 2), Slot("v", 1, 3, 4, 4, 2))
BOUNDARIES: Slots = (
    Slot("x", 0, 0, 2, 4, 8),
    Slot("k", 0, 2, 4, 2, 8),
    Slot("y", 1, 0, 2, 4, 8),
    Slot("z", 1, 2, 2, 4, 8),
)
PART_ROWS = {"weights": (2, 7), "boundaries": (6, 4)}
CIRCUITS = {"mixed": mixed(), "given": given()}


def recorded(root: bytes, name: str = "boundaries") -> LongLived:
    """The boundaries' commitment."""
    return LongLived(name=name, root=root, part_rows=PART_ROWS["boundaries"], slots=BOUNDARIES)


def statement(
    degree: int,
    *,
    hiding: bool = True,
    weights: bytes = bytes(32),
    boundaries: bytes = bytes(32),
    names: tuple[str, ...] = ("mixed", "given"),
) -> Statement:
    """Over these two roots, of these segments."""
    return Statement(
        degree=degree,
        hiding=hiding,
        code=CODE,
        required_bits=BITS,
        instance=b"a request",
        weights=LongLived(name="weights", root=weights, part_rows=PART_ROWS["weights"], slots=WEIGHTS),
        members=(recorded(boundaries),),
        segments=tuple(Segment(name=name, circuit=decode(CIRCUITS[name])) for name in names),
    )
