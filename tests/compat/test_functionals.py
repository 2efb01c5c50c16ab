"""The reference's functionals, that are never written out, against sums cell by cell."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from assay.reference.circuit import CELL, COL, GATHER, PICK, ROW, WEIGHT, Circuit, Operand, Tensor, Wire
from assay.reference.field import Array, Ext, eq_vector
from assay.reference.functional import BLOCK, Functionals, Parts, Weights, full, product

DEGREE = 3
ROWS, COLS = 3, 300  # of the wire: blocks of a row and one that is not full
DRAW = random.Random(0)


def element() -> Ext:
    return Ext([DRAW.randrange(1 << 63) for _ in range(DEGREE)])


def elements(count: int) -> list[Ext]:
    return [element() for _ in range(count)]


def value_of(x: Array, *at: int) -> Ext:
    return Ext([int(c) for c in x.x[at]])


class Cells:
    """A committed tensor and a constant, the sum of a polynomial's cells by its definition."""

    def __init__(self, publics: list[np.ndarray]) -> None:
        shape = full(ROWS, COLS)
        tensors = [Tensor("a", WEIGHT, 0, shape), Tensor("b", WEIGHT, 0, shape)]
        wires = [
            Wire(ROWS, COLS, 7, [(3, 0), (-2, 1)]),
            Wire(1, ROWS, 0, [(1, 0)]),
            Wire(1, COLS, 0, [(1, 1)]),
        ]
        self.circuit = Circuit(tensors=tensors, wires=wires, publics=publics)
        self.first, self.point = [1, 12], elements(7 + 5)
        self.low, self.high = eq_vector(self.point[:7], DEGREE), eq_vector(self.point[7:], DEGREE)

    def wire(self, index: int, i: int, j: int) -> Ext:
        """What stands for cell (i, j): eq of the opened point in place of each committed cell."""
        wire, out = self.circuit.wires[index], Ext.of(self.circuit.wires[index].constant, DEGREE)
        for c, t in wire.terms:
            block = self.first[t] + i * -(-wire.cols // BLOCK) + j // BLOCK
            out += value_of(self.high, block) * value_of(self.low, j % BLOCK) * c
        return out

    def operand(self, operand: Operand, i: int, j: int) -> Ext:
        """Its value at (i, j)."""
        kind, argument, index = operand
        if kind == CELL:
            return self.wire(index, i, j)
        if kind in (ROW, COL):
            return self.wire(index, 0, i if kind == ROW else j)
        at = self.circuit.publics[argument]
        row, col = (int(at[0, i]), j) if kind == GATHER else (i, int(at[i, j]))
        return self.wire(index, row, col) if min(row, col) >= 0 else Ext.of(0, DEGREE)


def both_ways(cells: Cells, operand: Operand, rows: int, cols: int) -> tuple[Ext, Ext]:
    """factor * 5 * (sum over the domain of weight times operand), as parts and by definition."""
    w: Weights = product(Array.of(elements(rows)), Array.of(elements(cols)))
    factor, parts = element(), Parts()
    functionals = Functionals(cells.circuit, cells.first, DEGREE)
    known = functionals.poly(parts, [(5, [operand])], full(rows, cols), w, factor)
    found = sum((part.evaluate(cells.low, cells.high) for part in parts), known)
    expected = Ext.of(0, DEGREE)
    for i in range(rows):
        for j in range(cols):
            weight = value_of(w.rows, i, 0) * value_of(w.cells, j // BLOCK, j % BLOCK)
            expected += weight * cells.operand(operand, i, j) * factor * 5
    return found, expected


@pytest.mark.parametrize("index", [[0, 2, 2, -1, 1], [-1, -1], [1]])
def test_gathered_rows(index: list[int]) -> None:
    cells = Cells([np.array([index], dtype=np.int64)])
    found, expected = both_ways(cells, (GATHER, 0, 0), len(index), COLS)
    assert found == expected


@pytest.mark.parametrize("index", [[[0, 299], [-1, 128], [127, 127]], [[-1], [-1], [-1]]])
def test_picked_cells(index: list[list[int]]) -> None:
    cells = Cells([np.array(index, dtype=np.int64)])
    found, expected = both_ways(cells, (PICK, 0, 0), ROWS, len(index[0]))
    assert found == expected


@pytest.mark.parametrize(("kind", "wire"), [(CELL, 0), (ROW, 1), (COL, 2)])
def test_other_operands(kind: int, wire: int) -> None:
    operand: Any = (kind, 0, wire)
    found, expected = both_ways(Cells([]), operand, ROWS, COLS)
    assert found == expected
