"""Where tensors lie in the two long-lived commitments; follows from the configuration and the code alone.

A part is a matrix of rows of 2^log_columns cells, cut into blocks of 128. Tensors follow each other inside
their part; each row of a tensor starts a block, its last block padded with zeros.

Weights: the embedding in parts of at most 512 rows, cut between tokens (`embedding.0`, ...); a part for each
layer; a part for the final norm. Boundaries: a part for each, int32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay.profiles import Code

BLOCK = 128
MOST_PART_ROWS = 512
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


def layer_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Rows and columns of the 13 tensors of a layer, in the order of their use; a gain is one row."""
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_heads"] * head, config["num_kv_heads"] * head
    return {
        "input_norm": (1, hidden),
        "q_proj": (queries, hidden),
        "k_proj": (keys, hidden),
        "v_proj": (keys, hidden),
        "q_norm": (1, head),
        "k_norm": (1, head),
        "o_proj": (hidden, queries),
        "post_attention_norm": (1, hidden),
        "pre_feedforward_norm": (1, hidden),
        "gate_proj": (inner, hidden),
        "up_proj": (inner, hidden),
        "down_proj": (hidden, inner),
        "post_feedforward_norm": (1, hidden),
    }


def weight_layout(config: Mapping[str, Any], code: Code) -> Layout:
    """The weights' commitment."""
    parts = [[piece] for piece in _embedding_pieces(config, code)]
    for layer in range(config["num_layers"]):
        parts.append([(f"layers.{layer}.{name}", *shape) for name, shape in layer_shapes(config).items()])
    parts.append([("final_norm", 1, config["hidden_size"])])
    return _placed(parts, code, cell_bytes=2)


def boundary_layout(config: Mapping[str, Any], code: Code, tokens: int) -> Layout:
    """The commitment to the boundaries of one request."""
    parts = [[(f"boundary.{i}", tokens, config["hidden_size"])] for i in range(config["num_layers"] + 1)]
    return _placed(parts, code, cell_bytes=4)


def embedding_parts(config: Mapping[str, Any], code: Code) -> int:
    """How many parts the embedding falls into."""
    most = max(1, MOST_PART_ROWS * code.row_blocks * BLOCK // padded(config["hidden_size"]))
    return -(-int(config["vocab_size"]) // most)


def _embedding_pieces(config: Mapping[str, Any], code: Code) -> list[tuple[str, int, int]]:
    vocabulary, hidden = config["vocab_size"], config["hidden_size"]
    count = embedding_parts(config, code)
    step = -(-vocabulary // count)
    starts = range(0, vocabulary, step)
    return [(f"embedding.{i}", min(step, vocabulary - start), hidden) for i, start in enumerate(starts)]


def _placed(parts: Sequence[Sequence[tuple[str, int, int]]], code: Code, *, cell_bytes: int) -> Layout:
    rows, slots = [], []
    for index, tensors in enumerate(parts):
        at = 0
        for name, height, width in tensors:
            slots.append(Slot(name, index, at, height, width, cell_bytes))
            at += slots[-1].blocks
        rows.append(-(-at // code.row_blocks))
    return Layout(tuple(rows), tuple(slots))
