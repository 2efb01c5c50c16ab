"""What a proof's body is about, and what follows from it (protocol, section 4)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from assay.layout import Slot
from assay.profiles import Code
from assay.reference.circuit import WEIGHT, WITNESS, Circuit, Domain, Table, Tensor

BLOCK = 128
LOG_BLOCK = 7
MAX_BITS = 1024
MAX_LOOKUPS = (1 << 31) - 1
MAX_TABLE_BLOCKS = 1 << 16
MAX_STACK_BLOCKS = 1 << 31
_CELL_CODE = {2: 0, 4: 1, 8: 2}


class MalformedError(ValueError):
    """A statement that does not fit together."""


@dataclass(frozen=True, kw_only=True)
class LongLived:
    """A commitment that is there before the proof: its root, the rows of its parts, the places of tensors."""

    name: str
    root: bytes
    part_rows: tuple[int, ...]
    slots: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A circuit under a name."""

    name: str
    circuit: Circuit


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What a verifier starts from; built by itself, never read from a proof."""

    degree: int
    hiding: bool
    code: Code
    required_bits: float
    instance: bytes
    weights: LongLived
    boundaries: LongLived
    segments: tuple[Segment, ...]

    def encoded(self) -> bytes:
        """The instance: the first frame of the transcript."""
        c = self.code
        numbers = (self.degree, self.hiding, c.log_columns, c.random, c.log_coset, c.cosets, c.queries)
        out = struct.pack("<IB5Id", *numbers, self.required_bits) + _sized(self.instance)
        out += _commitment(self.weights) + _commitment(self.boundaries)
        out += struct.pack("<I", len(self.segments))
        return out + b"".join(_sized(s.name.encode()) + _sized(s.circuit.digest) for s in self.segments)


def _sized(s: bytes) -> bytes:
    return struct.pack("<Q", len(s)) + s


def _commitment(c: LongLived) -> bytes:
    out = _sized(c.name.encode()) + _sized(c.root)
    out += struct.pack(f"<I{len(c.part_rows)}I", len(c.part_rows), *c.part_rows)
    out += struct.pack("<I", len(c.slots))
    for s in c.slots:
        out += _sized(s.name.encode())
        out += struct.pack("<IQIIB", s.part, s.first_block, s.rows, s.cols, _CELL_CODE[s.cell_bytes])
    return out


@dataclass(frozen=True)
class Opened:
    """A commitment as the opening sees it: rows of its parts, and which parts are opened."""

    name: str
    part_rows: tuple[int, ...]
    opened: tuple[bool, ...]


class Plan:
    """Tables, commitments and places in the stack; raises `MalformedError`."""

    def __init__(self, statement: Statement) -> None:
        _check(statement)
        self.statement = statement
        self.row_blocks = statement.code.row_blocks
        self.tables: list[Table] = []
        self.table_starts: list[int] = []  # first block of each
        self.table_blocks = 0
        self.table_ids = [[self._table_id(t) for t in s.circuit.tables] for s in statement.segments]
        _require(self.table_blocks <= MAX_TABLE_BLOCKS, "too many table rows in one proof")
        self._slots = [[self._slot(t) for t in s.circuit.tensors] for s in statement.segments]
        self._in_witness, sizes = zip(*(_witness_places(s.circuit) for s in statement.segments), strict=True)
        self.commitments = self._commitments(sizes)
        self.rows = sum(h for c in self.commitments for h, o in zip(c.part_rows, c.opened, strict=True) if o)
        _require(self.rows * self.row_blocks <= MAX_STACK_BLOCKS, "too many cells in one proof")
        before = [sum(size > 0 for size in sizes[:k]) for k in range(len(sizes))]
        self.first_block = [self._places(k, 2 + n) for k, n in enumerate(before)]
        self.multiplicities = self._part_block(len(self.commitments) - 1, 0)

    @property
    def block_bits(self) -> int:
        """Variables of the stack's blocks; those of its rows come last."""
        return self.statement.code.log_columns - LOG_BLOCK + log2c(self.rows)

    @property
    def least_bytes(self) -> int:
        """Of a body: u and the symbols of opened columns."""
        code = self.statement.code
        return 8 * (self.statement.degree * code.message + code.queries * self.rows)

    def _table_id(self, table: Table) -> int:
        """Number in fingerprints: position among all different tables, plus one."""
        for k, known in enumerate(self.tables):
            if _same(known, table):
                return k + 1
        self.tables.append(table)
        self.table_starts.append(self.table_blocks)
        self.table_blocks += -(-table.rows // BLOCK)
        return len(self.tables)

    def _slot(self, tensor: Tensor) -> tuple[int, Slot] | None:
        """Commitment and place of a long-lived tensor."""
        if tensor.source == WITNESS:
            return None
        index = 0 if tensor.source == WEIGHT else 1
        known = (self.statement.weights, self.statement.boundaries)[index]
        slot = next((s for s in known.slots if s.name == tensor.name), None)
        if slot is None:
            raise MalformedError(f"no committed tensor is called {tensor.name}")
        shape = tensor.shape
        same = (slot.rows, slot.cols, _CELL_CODE[slot.cell_bytes]) == (shape.rows, shape.cols, tensor.cell)
        _require(same and not shape.causal, f"the committed tensor {tensor.name} has another shape")
        return index, slot

    def _commitments(self, witness_blocks: tuple[int, ...]) -> list[Opened]:
        """Weights, boundaries, the witness of each segment that has one, multiplicities."""
        read = {(s[0], s[1].part) for slots in self._slots for s in slots if s is not None}
        out = []
        for index, c in enumerate((self.statement.weights, self.statement.boundaries)):
            opened = tuple((index, part) in read for part in range(len(c.part_rows)))
            out.append(Opened(c.name, c.part_rows, opened))
        for segment, blocks in zip(self.statement.segments, witness_blocks, strict=True):
            if blocks:
                out.append(Opened("witness of " + segment.name, (self._height(blocks),), (True,)))
        return [*out, Opened("multiplicities", (self._height(self.table_blocks),), (True,))]

    def _height(self, blocks: int) -> int:
        return max(1, -(-blocks // self.row_blocks))

    def _part_block(self, commitment: int, part: int) -> int:
        """First block of an opened part in the stack."""
        row = 0
        for index, c in enumerate(self.commitments):
            for p, height in enumerate(c.part_rows):
                if (index, p) == (commitment, part):
                    return row * self.row_blocks
                row += height if c.opened[p] else 0
        raise MalformedError("no such part")

    def _places(self, segment: int, commitment: int) -> list[int]:
        """First block in the stack of each tensor of a segment, with its witness in this commitment."""
        witness = self._part_block(commitment, 0)
        return [
            witness + own if slot is None else self._part_block(slot[0], slot[1].part) + slot[1].first_block
            for slot, own in zip(self._slots[segment], self._in_witness[segment], strict=True)
        ]


def log2c(n: int) -> int:
    """The least k with 2^k >= n."""
    return max(n - 1, 0).bit_length()


def blocks_of(d: Domain) -> int:
    """Blocks of a tensor of this shape."""
    return d.rows * -(-d.cols // BLOCK)


def log_leaves(blocks: int) -> int:
    """Variables of a fraction tree over so many blocks."""
    return LOG_BLOCK + log2c(blocks)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise MalformedError(message)


def _same(a: Table, b: Table) -> bool:
    return (a.name, a.start, a.rows, len(a.images)) == (b.name, b.start, b.rows, len(b.images)) and all(
        (x == y).all() for x, y in zip(a.images, b.images, strict=True)
    )


def _witness_places(circuit: Circuit) -> tuple[list[int], int]:
    """First block of each tensor inside the witness (of no meaning for others), and all blocks."""
    places, at = [], 0
    for t in circuit.tensors:
        places.append(at)
        at += blocks_of(t.shape) if t.source == WITNESS else 0
    return places, at


def _disjoint(slots: Sequence[Slot]) -> bool:
    """Whether no two slots share a block or a name."""
    placed = sorted((slot.part, slot.first_block, slot.first_block + slot.blocks) for slot in slots)
    apart = all(a[0] < b[0] or a[2] <= b[1] for a, b in pairwise(placed))
    return apart and len({slot.name for slot in slots}) == len(slots)


def _check(s: Statement) -> None:
    _require(s.degree in (2, 3), "the extension's degree is not 2 or 3")
    _require(not s.code.invalid_reason(), f"code parameters: {s.code.invalid_reason()}")
    _require(0 <= s.required_bits <= MAX_BITS, "no proof gives so many bits")
    _require(bool(s.segments), "a proof needs at least one segment")
    for commitment in (s.weights, s.boundaries):
        for slot in commitment.slots:
            room = commitment.part_rows[slot.part] if slot.part < len(commitment.part_rows) else 0
            inside = slot.rows > 0 and slot.cols > 0
            inside = inside and slot.first_block + slot.blocks <= room * s.code.row_blocks
            _require(inside, f"the slot {slot.name} lies outside its part")
        _require(_disjoint(commitment.slots), f"slots of the {commitment.name} overlap or share a name")
    lookups = sum(blocks_of(d) for g in s.segments for _, _, d, _ in g.circuit.lookups) * BLOCK
    if lookups > MAX_LOOKUPS:  # only then count exactly
        lookups = sum(int(d.mask().sum()) for g in s.segments for _, _, d, _ in g.circuit.lookups)
    _require(lookups <= MAX_LOOKUPS, "too many lookups in one proof")
