"""Where tensors lie in the two long-lived commitments; follows from the configuration and the code alone.

A part is a matrix of rows of 2^log_columns cells, cut into blocks of 128. Tensors follow each other inside
their part; each row of a tensor starts a block, its last block padded with zeros.

Weights: the embedding in parts of at most 512 rows, cut between tokens (`embedding.0`, ...), and a head of
its own as well (`lm_head.0`, ...); a part for each layer; a part for the rest. Boundaries, int32: as many in
a part as fit eight rows, one at least: a column of eight rows is hashed as fast as two of one row. Then, of
a model with experts, in parts of their own and int16, which of them ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assay.circuits.catalogue import Configured, config_of
from assay.circuits.moe import ROUTING
from assay.profiles import Code

BLOCK = 128
MOST_PART_ROWS = 512
MOST_BOUNDARY_ROWS = 8
MOST_PARTS = 4096
MOST_CHUNK_BLOCKS = 3 << 14
"""Blocks of weights in a segment of a registration or refresh: 6.3 million cells."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A tensor's place: its part, first block there, rows, columns and bytes of a cell."""

    name: str
    part: int
    first_block: int
    rows: int
    cols: int
    cell_bytes: int

    @property
    def stride(self) -> int:
        """Cells from one row to the next."""
        return padded(self.cols)

    @property
    def blocks(self) -> int:
        """Blocks taken."""
        return self.rows * self.stride // BLOCK

    def to_list(self) -> list[str | int]:
        """For envelopes and for the extension."""
        return [self.name, self.part, self.first_block, self.rows, self.cols, self.cell_bytes]

    def renamed(self, name: str) -> Slot:
        """The same place under another name."""
        return replace(self, name=name)

    def cut(self, most: int) -> list[Slot]:
        """The slot in pieces of at most `most` blocks (or of one row) and equal height: `embedding.0/3`."""
        tallest = max(1, most * BLOCK // self.stride)
        step = -(-self.rows // -(-self.rows // tallest))
        starts = range(0, self.rows, step)
        if len(starts) == 1:
            return [self]
        return [
            replace(
                self,
                name=f"{self.name}/{i}",
                first_block=self.first_block + start * self.stride // BLOCK,
                rows=min(step, self.rows - start),
            )
            for i, start in enumerate(starts)
        ]


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of each part, and all slots in order."""

    parts: tuple[int, ...]
    slots: tuple[Slot, ...]

    def of_part(self, part: int) -> tuple[Slot, ...]:
        """The slots of one part, in order."""
        return tuple(slot for slot in self.slots if slot.part == part)


def chunks(layout: Layout, most: int | None = None) -> list[tuple[Slot, ...]]:
    """The slots cut and grouped into segments of at most `most` blocks (or of one row), none across parts.

    A tensor that is larger is cut between rows into equal pieces. Proofs about all weights have these
    segments, and these slots in place of the layout's own.
    """
    limit = MOST_CHUNK_BLOCKS if most is None else most
    out: list[list[Slot]] = []
    for part in range(len(layout.parts)):
        room = 0
        for slot in layout.of_part(part):
            for piece in slot.cut(limit):
                if piece.blocks > room:
                    out.append([])
                    room = limit
                out[-1].append(piece)
                room -= piece.blocks
    return [tuple(chunk) for chunk in out]


def padded(cols: int) -> int:
    """Columns rounded up to whole blocks."""
    return -(-cols // BLOCK) * BLOCK


def weight_layout(config: Configured, code: Code) -> Layout:
    """The weights' commitment."""
    model = config_of(config)
    parts: list[list[tuple[str, int, int]]] = []
    for table, (rows, cols) in model.tables().items():
        parts += [[piece] for piece in _pieces(table, rows, cols, code)]
    for layer in range(model.num_layers):
        shapes = model.layer_shapes()
        parts.append([(f"layers.{layer}.{name}", *_matrix(shape)) for name, shape in shapes.items()])
    parts.append([(name, *_matrix(shape)) for name, shape in model.outside_shapes().items()])
    return _placed(parts, code, cell_bytes=2)


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a tensor; a gain or bias is one row."""
    return (shape[0], shape[1]) if len(shape) == 2 else (1, shape[0])


def boundary_layout(config: Configured, code: Code, tokens: int) -> Layout:
    """The commitment to the boundaries of one request, and to the experts that ran in it."""
    model = config_of(config)
    boundaries = [(f"boundary.{i}", tokens, model.hidden_size) for i in range(model.num_layers + 1)]
    layout = _placed(_together(boundaries, code), code, cell_bytes=4)
    if model.routed is None:
        return layout
    experts, chosen = model.routed
    choices = [(routing_name(i), chosen * tokens, experts) for i in range(model.num_layers)]
    routing = _placed(_together(choices, code), code, cell_bytes=2, first=len(layout.parts))
    return Layout(layout.parts + routing.parts, layout.slots + routing.slots)


def routing_name(layer: int) -> str:
    """The slot of the experts that ran in a layer."""
    return f"layers.{layer}.{ROUTING}"


def _together(tensors: list[tuple[str, int, int]], code: Code) -> list[list[tuple[str, int, int]]]:
    """Tensors of one shape in parts of at most eight rows, or of one tensor."""
    _, rows, cols = tensors[0]
    blocks = rows * padded(cols) // BLOCK
    together = max(1, MOST_BOUNDARY_ROWS * code.row_blocks // blocks)
    return [tensors[at : at + together] for at in range(0, len(tensors), together)]


def table_parts(config: Configured, code: Code) -> int:
    """How many parts the embedding, and a head of its own, fall into."""
    return sum(_count(rows, cols, code) for rows, cols in config_of(config).tables().values())


def _count(rows: int, cols: int, code: Code) -> int:
    most = max(1, MOST_PART_ROWS * code.row_blocks * BLOCK // padded(cols))
    return -(-rows // most)


def _pieces(table: str, rows: int, cols: int, code: Code) -> list[tuple[str, int, int]]:
    step = -(-rows // _count(rows, cols, code))
    return [(f"{table}.{i}", min(step, rows - at), cols) for i, at in enumerate(range(0, rows, step))]


def _placed(
    parts: Sequence[Sequence[tuple[str, int, int]]], code: Code, *, cell_bytes: int, first: int = 0
) -> Layout:
    rows, slots = [], []
    for index, tensors in enumerate(parts, first):
        at = 0
        for name, height, width in tensors:
            slots.append(Slot(name, index, at, height, width, cell_bytes))
            at += slots[-1].blocks
        rows.append(-(-at // code.row_blocks))
    return Layout(tuple(rows), tuple(slots))
