"""Claims: linear functionals of committed cells with a value (protocol, section 5).

A weight has the form  weight(i, j) = rows[i, j // 128] * cells[j // 128, j % 128],  which covers both kinds
of section 5; `rows` may have one column and `cells` one row, for all blocks alike. A functional is never
written out cell by cell: the opening needs only B(r) = sum over cells of weight * eq(r, cell), and
eq(r, cell) splits into a factor for the block and one for the position in it. Operands that pick cells by
public indices are as sparse as their indices: `Part` takes the rows that are read, `Cells` single cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assay.reference.circuit import CELL, GATHER, PICK, ROW, Circuit, Domain, Poly, Wire
from assay.reference.field import Array, Ext, P, eq_vector, ones
from assay.reference.padded import Value
from assay.reference.statement import BLOCK, LOG_BLOCK

Indices = npt.NDArray[np.int64]
Bounds = tuple[Indices, Indices]
Parts = list["Part | Cells"]


@dataclass(frozen=True)
class Weights:
    """Weights on the cells of a domain."""

    rows: Array  # [rows, blocks of a row, or 1]
    cells: Array  # [blocks of a row, or 1; 128]

    def at(self, i: Indices, j: Indices) -> Array:
        """weight(i, j) for each pair."""
        block, place = np.divmod(j, BLOCK)
        row_block, cell_block = (np.minimum(block, n - 1) for n in (self.rows.shape[1], self.cells.shape[0]))
        return self.rows[i, row_block] * self.cells[cell_block, place]


def product(rows: Array, cols: Array) -> Weights:
    """weight(i, j) = rows[i] cols[j]."""
    blocks = -(-cols.shape[0] // BLOCK)
    cells = cols.padded(blocks * BLOCK).x.reshape(blocks, BLOCK, -1)
    return Weights(rows[:, None], Array(cells))


def vector(cols: Array) -> Weights:
    """weight(0, j) = cols[j]."""
    return product(ones((1,), cols.x.shape[-1]), cols)


@dataclass(frozen=True)
class Leaves:
    """eq(z, leaf), by block of leaves and by position in a block."""

    low: Array
    high: Array

    @classmethod
    def at(cls, z: Sequence[Ext], degree: int) -> Leaves:
        """From the point."""
        return cls(eq_vector(z[:LOG_BLOCK], degree), eq_vector(z[LOG_BLOCK:], degree))

    def weights(self, first: int, d: Domain) -> Weights:
        """Those of leaves from block `first` on, on a domain."""
        blocks = -(-d.cols // BLOCK)
        high = self.high.x[first : first + d.rows * blocks].reshape(d.rows, blocks, -1)
        return Weights(Array(high), self.low[None, :])


def full(rows: int, cols: int) -> Domain:
    """A domain that is not ragged."""
    return Domain(rows, cols, False, 1, 0)


def shape_of(wire: Wire) -> Domain:
    """All cells of a wire."""
    return full(wire.rows, wire.cols)


def bounds(d: Domain) -> Bounds:
    """For each row: the first existing column, and the one after the last."""
    t = np.arange(d.rows, dtype=np.int64) // d.divisor
    if not d.causal:
        return np.zeros_like(t), np.full_like(t, d.cols)
    first = np.maximum(t + 1 - d.window, 0) if d.window else np.zeros_like(t)
    return np.minimum(first, d.cols), np.minimum(t + 1, d.cols)


def both(a: Bounds, b: Bounds) -> Bounds:
    """Cells that exist in both."""
    first = np.maximum(a[0], b[0])
    return first, np.maximum(first, np.minimum(a[1], b[1]))


def block_sums(cells: Array, at: Bounds, blocks: int) -> Array:
    """[rows, blocks]: for each row the sum of `cells` over the existing columns of a block."""
    start = BLOCK * np.arange(blocks)[None, :]
    low, high = (np.clip(edge[:, None] - start, 0, BLOCK) for edge in at)
    sums, block = cells.prefixes(), np.minimum(np.arange(blocks), cells.shape[0] - 1)[None, :]
    return sums[block, high] - sums[block, low]


def row_totals(d: Domain, w: Weights) -> Array:
    """sum over the existing j of weight(i, j), for each i."""
    return (w.rows * block_sums(w.cells, bounds(d), -(-d.cols // BLOCK))).sum(1)


def column_totals(d: Domain, w: Weights) -> Array:
    """sum over the existing (i, j) of weight(i, j), for each j."""
    block, place = np.divmod(np.arange(d.cols), BLOCK)
    column = np.minimum(block, w.rows.shape[1] - 1)
    rows = w.rows[:, column].x * d.mask()[:, :, None].astype(np.uint64)
    return Array(rows).sum(0) * w.cells[np.minimum(block, w.cells.shape[0] - 1), place]


def indicator(d: Domain, w: Weights) -> Ext:
    """The sum of the weights over all existing cells."""
    return row_totals(d, w).scalar()


@dataclass(frozen=True)
class Part:
    """factor * sum over cells of weight(i, j) * (sum over k of c_k tensor_k[rows[i], j])."""

    at: Bounds
    weights: Weights
    factor: Ext
    tensors: tuple[tuple[int, int], ...]  # c_k, first block in the stack
    shape: tuple[int, int]  # rows, blocks of a row
    rows: Indices | None = None  # by default all in order

    def evaluate(self, low: Array, high: Array) -> Ext:
        """With the cell of block b at position j replaced by high[b] low[j]."""
        rows, blocks = self.shape
        degree = low.x.shape[-1]
        combined = Array(np.zeros((rows, blocks, degree), np.uint64))
        for c, first in self.tensors:
            combined += self._blocks(high, first).times(np.asarray(c % P, np.uint64))
        sums = block_sums(self.weights.cells * low[None, :], self.at, blocks)
        return (self.weights.rows * combined * sums).scalar() * self.factor

    def _blocks(self, high: Array, first: int) -> Array:
        """high of each block that is read, [rows, blocks], of a tensor that begins at block `first`."""
        rows, blocks = self.shape
        if self.rows is not None:
            return high[first + blocks * self.rows[:, None] + np.arange(blocks)]
        return Array(high.x[first : first + rows * blocks].reshape(rows, blocks, -1))


@dataclass(frozen=True)
class Cells:
    """factor * sum over n of weights[n] * (sum over k of c_k (cell n of tensor_k)): cells in any order."""

    weights: Array  # [n]
    factor: Ext
    tensors: tuple[tuple[int, int], ...]  # c_k, first block in the stack
    blocks: Indices  # of each cell, from the first
    places: Indices  # in its block

    def evaluate(self, low: Array, high: Array) -> Ext:
        """As for a `Part`."""
        weights, result = self.weights * low[self.places], self.factor - self.factor
        for c, first in self.tensors:
            result += (weights * high[first + self.blocks]).scalar() * c
        return result * self.factor


@dataclass(frozen=True)
class Claim:
    """The sum of the parts has this value."""

    parts: Parts
    value: Value


class Functionals:
    """Adds wires and polynomials of one circuit to parts; what it returns is known to the verifier."""

    def __init__(self, circuit: Circuit, first_block: list[int], degree: int) -> None:
        self.circuit, self.first_block = circuit, first_block
        self.zero = Ext.of(0, degree)

    def wire(self, parts: Parts, index: int, d: Domain, w: Weights, factor: Ext | None = None) -> Ext:
        """factor * wire(d, w)."""
        wire = self.circuit.wires[index]
        factor = Ext.of(1, len(self.zero.c)) if factor is None else factor
        whole = [(c, t) for c, t in wire.terms if not self._is_split(t, d)]
        for c, t in wire.terms:
            if self._is_split(t, d):
                parts += self._split(t, d.cols, w, factor * c)
        if whole:
            shape = self.circuit.tensors[whole[0][1]].shape  # all are ragged alike
            own = Domain(d.rows, d.cols, shape.causal, shape.divisor, shape.window)
            size = (d.rows, -(-d.cols // BLOCK))
            parts.append(Part(both(bounds(d), bounds(own)), w, factor, self._tensors(whole), size))
        if wire.constant == 0:
            return self.zero
        return factor * wire.constant * indicator(d, w)

    def poly(self, parts: Parts, poly: Poly, d: Domain, w: Weights, factor: Ext) -> Ext:
        """factor * a polynomial of degree one."""
        known = self.zero
        for c, operands in poly:
            if not operands:
                known += factor * c * indicator(d, w)
                continue
            kind, argument, index = operands[0]
            if kind == CELL:
                known += self.wire(parts, index, d, w, factor * c)
            elif kind == GATHER:
                known += self._gathered(parts, index, self.circuit.publics[argument][0], w, factor * c)
            elif kind == PICK:
                known += self._picked(parts, index, self.circuit.publics[argument], w, factor * c)
            else:
                sums = row_totals(d, w) if kind == ROW else column_totals(d, w)
                known += self.wire(parts, index, full(1, sums.shape[0]), vector(sums), factor * c)
        return known

    def _is_split(self, tensor: int, d: Domain) -> bool:
        """Whether several rows of the domain lie side by side in a row of the tensor."""
        return BLOCK % d.cols == 0 and d.cols < min(BLOCK, self.circuit.tensors[tensor].shape.cols)

    def _split(self, tensor: int, cols: int, w: Weights, factor: Ext) -> Parts:
        """factor * the tensor's rows cut into vectors of `cols` cells: a part for each place in a block."""
        shape, places = self.circuit.tensors[tensor].shape, BLOCK // cols
        blocks, count = -(-shape.cols // BLOCK), shape.cols // cols
        rows = np.zeros((shape.rows, blocks * places, len(factor.c)), np.uint64)
        rows[:, :count] = w.rows[:, 0].x.reshape(shape.rows, count, -1)
        by_block = rows.reshape(shape.rows, blocks, places, -1)
        out: Parts = []
        for place in range(places):
            cells = np.zeros((1, BLOCK, len(factor.c)), np.uint64)
            cells[0, cols * place : cols * (place + 1)] = w.cells.x[0, :cols]
            weights = Weights(Array(by_block[:, :, place]), Array(cells))
            at, tensors = bounds(full(shape.rows, shape.cols)), self._tensors([(1, tensor)])
            out.append(Part(at, weights, factor, tensors, (shape.rows, blocks)))
        return out

    def _gathered(self, parts: Parts, index: int, rows: Indices, w: Weights, factor: Ext) -> Ext:
        """factor * sum over i with rows[i] >= 0, and j, of weight(i, j) wire[rows[i], j]."""
        wire, read = self.circuit.wires[index], np.flatnonzero(rows >= 0)
        d, weights = full(len(read), wire.cols), Weights(w.rows[read], w.cells)
        size = (d.rows, -(-d.cols // BLOCK))
        parts.append(Part(bounds(d), weights, factor, self._tensors(wire.terms), size, rows[read]))
        return factor * wire.constant * indicator(d, weights)

    def _picked(self, parts: Parts, index: int, cols: Indices, w: Weights, factor: Ext) -> Ext:
        """factor * sum over i, j with cols[i, j] >= 0 of weight(i, j) wire[i, cols[i, j]]."""
        wire = self.circuit.wires[index]
        i, j = np.nonzero(cols >= 0)
        block, place = np.divmod(cols[i, j], BLOCK)
        weights = w.at(i, j)
        parts.append(
            Cells(weights, factor, self._tensors(wire.terms), i * -(-wire.cols // BLOCK) + block, place)
        )
        return factor * wire.constant * weights.scalar()

    def _tensors(self, terms: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """c_k and the first block of tensor_k."""
        return tuple((c, self.first_block[t]) for c, t in terms)
