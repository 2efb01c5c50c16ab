"""What follows from a statement: tables, commitments, places in the stack (protocol, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from assay.reference.circuit import BOUNDARY, WEIGHT, WITNESS, Table, Tensor
from assay.reference.statement import (
    BLOCK,
    CELL_CODE,
    LOG_BLOCK,
    LongLived,
    MalformedError,
    Segment,
    Statement,
    blocks_of,
    check,
    log2c,
    require_fit,
)

MAX_TABLE_BLOCKS = 1 << 16
MAX_STACK_BLOCKS = 1 << 31


@dataclass(frozen=True)
class Opened:
    """A commitment as the opening sees it: rows of its parts, and which parts are opened."""

    name: str
    part_rows: tuple[int, ...]
    opened: tuple[bool, ...]


@dataclass(frozen=True)
class Place:
    """First block of a tensor in a part, the part's number in its commitment, and the commitment's."""

    commitment: int
    part: int
    block: int


class Plan:
    """Tables, commitments and places in the stack; raises `MalformedError`."""

    def __init__(self, statement: Statement) -> None:
        check(statement)
        self.statement = statement
        self.row_blocks = statement.code.row_blocks
        self.tables: list[Table] = []
        self.table_starts: list[int] = []  # first block of each
        self.table_blocks = 0
        self.table_ids = [[self._table_id(t) for t in s.circuit.tables] for s in statement.segments]
        require_fit(self.table_blocks <= MAX_TABLE_BLOCKS, "too many table rows in one proof")
        witness = Witness(statement)
        self.commitments = self._commitments(witness)
        self._part_starts, self.rows = self._stacked()
        require_fit(self.rows * self.row_blocks <= MAX_STACK_BLOCKS, "too many cells in one proof")
        self.first_block = [[self._block(place) for place in places] for places in witness.places]
        own = len(self.commitments) - 1
        self.multiplicities = self._block(Place(own, len(self.commitments[own].part_rows) - 1, 0))

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

    def _commitments(self, witness: Witness) -> list[Opened]:
        """Weights, boundaries of recorded members, then the proof's own, multiplicities last."""
        read = {(place.commitment, place.part) for places in witness.places for place in places}
        out = []
        for index, c in enumerate(self.statement.long_lived):
            opened = tuple((index, part) in read for part in range(len(c.part_rows)))
            out.append(Opened(c.name, c.part_rows, opened))
        heights = [self._height(blocks) for blocks in (*filter(None, witness.blocks), self.table_blocks)]
        return [*out, Opened("witness", tuple(heights), (True,) * len(heights))]

    def _height(self, blocks: int) -> int:
        return max(1, -(-blocks // self.row_blocks))

    def _stacked(self) -> tuple[dict[tuple[int, int], int], int]:
        """First row in the stack of each opened part of each commitment, and all rows."""
        starts, row = {}, 0
        for index, c in enumerate(self.commitments):
            for part, height in enumerate(c.part_rows):
                if c.opened[part]:
                    starts[index, part] = row
                    row += height
        return starts, row

    def _block(self, place: Place) -> int:
        """First block in the stack."""
        return self._part_starts[place.commitment, place.part] * self.row_blocks + place.block


def _same(a: Table, b: Table) -> bool:
    return (a.name, a.start, a.rows, len(a.images)) == (b.name, b.start, b.rows, len(b.images)) and all(
        (x == y).all() for x, y in zip(a.images, b.images, strict=True)
    )


class Witness:
    """Where the tensors of each segment lie, and how many blocks its own witness takes.

    A boundary that was not recorded lies in the witness of the first of its member's segments that names it;
    the later ones read the same cells.
    """

    def __init__(self, statement: Statement) -> None:
        self.places: list[list[Place]] = []
        self.blocks: list[int] = []
        self._slots = [{slot.name: slot for slot in c.slots} for c in statement.long_lived]
        self._recorded = _numbered(statement.members)
        self._partial = [m is not None and m.partial for m in statement.members]
        self._shared: dict[tuple[int, str], tuple[Tensor, Place]] = {}
        self._own_commitment = len(statement.long_lived)
        self._next = 0  # the part of the next witness
        for segment in statement.segments:
            self._segment(segment)
        self._require_all_read(statement)

    def _segment(self, segment: Segment) -> None:
        self.blocks.append(0)
        self.places.append([self._place(segment.member, t) for t in segment.circuit.tensors])
        self._next += self.blocks[-1] > 0

    def _place(self, member: int, tensor: Tensor) -> Place:
        if tensor.source == WITNESS:
            return self._own(tensor)
        if tensor.source == WEIGHT:
            return self._committed(0, tensor)
        commitment = self._recorded[member]
        if commitment is None or (self._partial[member] and tensor.name not in self._slots[commitment]):
            return self._boundary(member, tensor)
        return self._committed(commitment, tensor)

    def _require_all_read(self, statement: Statement) -> None:
        """Every slot of a partial commitment is some boundary's of the member."""
        for number, member in enumerate(statement.members):
            if member is None or not member.partial:
                continue
            circuits = [segment.circuit for segment in statement.segments if segment.member == number]
            read = {t.name for c in circuits for t in c.tensors if t.source == BOUNDARY}
            for slot in member.slots:
                require_fit(slot.name in read, f"no segment reads the slot {slot.name}")

    def _own(self, tensor: Tensor) -> Place:
        """In the witness of this segment, after what is there already."""
        place = Place(self._own_commitment, self._next, self.blocks[-1])
        self.blocks[-1] += blocks_of(tensor.shape)
        return place

    def _boundary(self, member: int, tensor: Tensor) -> Place:
        """That was not recorded."""
        require_fit(not tensor.shape.causal, f"the boundary {tensor.name} has missing cells")
        if (member, tensor.name) not in self._shared:
            self._shared[member, tensor.name] = tensor, self._own(tensor)
            return self._shared[member, tensor.name][1]
        first, place = self._shared[member, tensor.name]
        same = (first.shape, first.cell) == (tensor.shape, tensor.cell)
        require_fit(same, f"the boundary {tensor.name} has another shape in an earlier segment")
        require_fit(place.part != self._next, f"a segment names the boundary {tensor.name} twice")
        return place

    def _committed(self, commitment: int, tensor: Tensor) -> Place:
        """By its slot."""
        slot = self._slots[commitment].get(tensor.name)
        if slot is None:
            raise MalformedError(f"no committed tensor is called {tensor.name}")
        shape = tensor.shape
        same = (slot.rows, slot.cols, CELL_CODE[slot.cell_bytes]) == (shape.rows, shape.cols, tensor.cell)
        require_fit(same and not shape.causal, f"the committed tensor {tensor.name} has another shape")
        return Place(commitment, slot.part, slot.first_block)


def _numbered(members: Sequence[LongLived | None]) -> list[int | None]:
    """The number of each member's boundaries among the commitments, after the weights."""
    numbers = count(1)
    return [None if m is None else next(numbers) for m in members]
