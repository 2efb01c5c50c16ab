"""A batch as small as can be: two requests' recorded boundaries and, between them, a member without any.

The segments of that member are joined by tensors that lie in the witness of the first one: `source` gathers
rows of the weights, `picked` picks cells of these and puts them out. `top`, which no program fills, is
advice.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from tiny import BITS, CIRCUITS, CODE, cells, recorded, statement
from tiny_prover import Outcome, Tiny, outcomes

from assay import _core
from assay.graph import Builder, CellType, Interval, Poly, Source, Wire, term
from assay.reference import LongLived, Segment, Statement
from assay.reference.circuit import decode

ROWS = np.array([[2, -1, 0, 2]])
COLS = np.array([[0, 3], [-1, 1], [2, 2], [-1, -1]])
TOP = np.array([[5, -7, 0, 3]])


def shared(b: Builder, name: str, rows: int, cols: int) -> Wire:
    """A tensor that joins segments."""
    bounds = Interval.signed(16)
    wire = b.tensor(name, rows, cols, bounds, source=Source.BOUNDARY, type=CellType.INT64)
    return b.tensor_fact(f"{name}.given", wire, "the test gives it")


def source() -> bytes:
    b = Builder("source")
    rows = b.weight("w", 3, 4).gather(b.public("rows", ROWS))
    b.assign("gathered", shared(b, "s", 4, 4), Poly.of(rows))
    shared(b, "top", 1, 4)
    return b.finish()


def picked() -> bytes:
    b = Builder("picked")
    s, top = shared(b, "s", 4, 4), shared(b, "top", 1, 4)
    cells = s.pick(b.public("cols", COLS))
    out = b.tensor("out", 4, 2, Interval.signed(20))
    b.output("cells", b.assign("less.top", out, term(cells) - term(top.per_row())))
    b.output("top.itself", top)
    return b.finish()


NAMES = ("1: mixed", "1: given", "2: source", "2: picked", "3: given")
MEMBERS = (0, 0, 1, 1, 2)
BYTES = {**CIRCUITS, "source": source(), "picked": picked()}


def circuit_of(name: str) -> bytes:
    """Of a segment."""
    return BYTES[name[3:]]


def batch(roots: tuple[bytes, bytes, bytes] = (bytes(32),) * 3, *, hiding: bool = True) -> Statement:
    """Over the roots of the weights and of both requests' boundaries."""
    alone = statement(3, hiding=hiding, weights=roots[0])
    segments = zip(NAMES, MEMBERS, strict=True)
    return Statement(
        degree=3,
        hiding=hiding,
        code=CODE,
        required_bits=BITS,
        instance=b"three members",
        weights=alone.weights,
        members=(recorded(roots[1], "1: boundaries"), None, recorded(roots[2], "3: boundaries")),
        segments=tuple(Segment(name=n, circuit=decode(circuit_of(n)), member=m) for n, m in segments),
    )


class Batch:
    """The statement in both forms, and proofs of it."""

    def __init__(self, *, hiding: bool = True) -> None:
        self.hiding = hiding
        first, third = Tiny(3, seed=1), Tiny(3, seed=2, keys=(bytes(32), bytes([2]) * 32))
        self.weights, self.boundaries = first.weights, [first.boundaries, third.boundaries]

    @cached_property
    def reference(self) -> Statement:
        """As the reference takes it."""
        first, third = (c.root for c in self.boundaries)
        return batch((self.weights.root, first, third), hiding=self.hiding)

    @cached_property
    def core(self) -> Any:
        """As the extension takes it."""
        return core_of(self.reference)

    def prove(self, seed: bytes = bytes(32), **options: Any) -> bytes:
        """A body; options as `_core.prove` takes them."""
        advice = [{}, {"top": TOP}, {}]
        options = {"advice": advice, **options}
        body: bytes = _core.prove(self.core, self.weights, self.boundaries, seed, **options)["body"]
        return body

    def outcomes(self, body: bytes) -> tuple[Outcome, Outcome]:
        """What the two verifiers say."""
        return outcomes(self.core, self.reference, body)


def core_of(s: Statement) -> Any:
    """A statement of segments of this module, as the extension takes it."""

    def known(c: LongLived) -> Any:
        return _core.LongLived(
            c.name, c.root, list(c.part_rows), [tuple(slot.to_list()) for slot in c.slots], c.partial
        )

    return _core.Statement(
        degree=s.degree,
        code=CODE.core(),
        required_bits=s.required_bits,
        instance=s.instance,
        weights=known(s.weights),
        members=[None if m is None else known(m) for m in s.members],
        segments=[(g.name, _core.Circuit(circuit_of(g.name)), g.member) for g in s.segments],
        hiding=s.hiding,
    )


def gathered() -> np.ndarray:
    """The shared tensor `s`."""
    return np.where(ROWS.T < 0, 0, cells(1)["w"][ROWS[0]])


def sent_cells() -> list[int]:
    """The output "cells", row by row."""
    values = np.where(COLS < 0, 0, np.take_along_axis(gathered(), np.maximum(COLS, 0), axis=1))
    found: list[int] = (values - TOP.T).reshape(-1).tolist()
    return found
