"""What a registration costs, of its layout alone: disk, and the proof that every weight is in range."""

from __future__ import annotations

from collections import Counter

from assay.circuits.registration import WEIGHTS
from assay.cost.circuits import lookups
from assay.cost.size import proof_bytes
from assay.cost.statement import DIGEST_BYTES, Counts, Group, Opened
from assay.layout import BLOCK, Layout, chunks
from assay.profiles import Code, Profile

_STATEMENT_BYTES, _SEGMENT_BYTES = 300, 60  # about, in the file of the proof
_TREES_BYTES_A_CELL = 120  # of one segment
_MEMORY = 300 << 20


def registration_counts(layout: Layout, code: Code, profile: Profile) -> Counts:
    """Of the registration proof: a lookup for each weight."""
    shapes = Counter(tuple(slot.blocks for slot in piece) for piece in chunks(layout))
    groups = tuple(Group("registration", n, lookups(blocks), 0) for blocks, n in shapes.items())
    return Counts(
        code=code,
        profile=profile,
        groups=groups,
        table_blocks=-(-(WEIGHTS.hi - WEIGHTS.lo + 1) // BLOCK),
        weights=sum(slot.blocks for slot in layout.slots) * BLOCK,
        long_lived=(Opened(sum(layout.parts), len(layout.parts)),),
        statement_bytes=_STATEMENT_BYTES + _SEGMENT_BYTES * sum(shapes.values()),
    )


def registration_disk(counts: Counts, *, stored: bool) -> int:
    """Bytes of a registered model: cells, digests of each part and of the leaves, the proof; if stored,
    codewords.
    """
    (weights,) = counts.long_lived
    length = counts.code.length
    fixed = 2 * counts.weights + (weights.parts + 1) * length * DIGEST_BYTES + proof_bytes(counts)
    return fixed + stored * column_bytes(counts)


def column_bytes(counts: Counts) -> int:
    """The codewords of all weights."""
    return counts.long_lived[0].rows * counts.code.length * 8


def registration_memory(counts: Counts) -> int:
    """Bytes that the registration proof needs besides the mapped cells."""
    return _MEMORY + counts.largest("lookups") * _TREES_BYTES_A_CELL
