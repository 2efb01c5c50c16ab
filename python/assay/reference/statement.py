"""What a proof's body is about (protocol, section 4)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from assay.layout import Slot
from assay.profiles import Code
from assay.reference.circuit import Circuit, Domain

BLOCK = 128
LOG_BLOCK = 7
MAX_BITS = 1024
MAX_MEMBERS = 4096
TREE_BLOCKS = 1 << 15
MAX_LOOKUPS = (1 << 31) - 1
CELL_CODE = {2: 0, 4: 1, 8: 2}


class MalformedError(ValueError):
    """A statement that does not fit together."""


@dataclass(frozen=True, kw_only=True)
class LongLived:
    """A commitment that is there before the proof: its root, the rows of its parts, the places of tensors.

    Of a `partial` one, of boundaries, all slots are read; boundaries without a slot are the proof's own.
    """

    name: str
    root: bytes
    part_rows: tuple[int, ...]
    slots: tuple[Slot, ...]
    partial: bool = False


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A circuit under a name, and the number of the member that it belongs to."""

    name: str
    circuit: Circuit
    member: int = 0


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What a verifier starts from; built by itself, never read from a proof.

    A member is one statement of a batch: the commitment to its boundaries, or None if none was recorded.
    """

    degree: int
    hiding: bool
    code: Code
    required_bits: float
    instance: bytes
    weights: LongLived
    members: tuple[LongLived | None, ...]
    segments: tuple[Segment, ...]

    @property
    def long_lived(self) -> list[LongLived]:
        """The commitments whose roots it names: the weights, then the boundaries of recorded members."""
        return [self.weights, *(m for m in self.members if m is not None)]

    def encoded(self) -> bytes:
        """The instance: the first frame of the transcript."""
        c = self.code
        numbers = (self.degree, self.hiding, c.log_columns, c.random, c.log_coset, c.cosets, c.queries)
        out = struct.pack("<IB5Id", *numbers, self.required_bits) + _sized(self.instance)
        out += _commitment(self.weights) + struct.pack("<I", len(self.members))
        out += b"".join(b"\0" if m is None else bytes([1 + m.partial]) + _commitment(m) for m in self.members)
        return out + struct.pack("<I", len(self.segments)) + b"".join(map(_segment, self.segments))


def _sized(s: bytes) -> bytes:
    return struct.pack("<Q", len(s)) + s


def _commitment(c: LongLived) -> bytes:
    out = _sized(c.name.encode()) + _sized(c.root)
    out += struct.pack(f"<I{len(c.part_rows)}I", len(c.part_rows), *c.part_rows)
    out += struct.pack("<I", len(c.slots))
    for s in c.slots:
        out += _sized(s.name.encode())
        out += struct.pack("<IQIIB", s.part, s.first_block, s.rows, s.cols, CELL_CODE[s.cell_bytes])
    return out


def _segment(s: Segment) -> bytes:
    return _sized(s.name.encode()) + _sized(s.circuit.digest) + struct.pack("<I", s.member)


def log2c(n: int) -> int:
    """The least k with 2^k >= n."""
    return max(n - 1, 0).bit_length()


def blocks_of(d: Domain) -> int:
    """Blocks of a tensor of this shape."""
    return d.rows * -(-d.cols // BLOCK)


def log_leaves(blocks: int) -> int:
    """Variables of a fraction tree over so many blocks."""
    return LOG_BLOCK + log2c(blocks)


def lookup_trees(domains: list[Domain]) -> list[tuple[int, int]]:
    """Ranges of lookups that share a tree: consecutive ones of at most 2^15 blocks, or a single one."""
    ranges, blocks = [(0, 0)], 0
    for k, d in enumerate(domains):
        first, last = ranges[-1]
        if last > first and blocks + blocks_of(d) > TREE_BLOCKS:
            ranges.append((k, k))
            first, blocks = k, 0
        ranges[-1] = (first, k + 1)
        blocks += blocks_of(d)
    return ranges


def require_fit(holds: bool, message: str) -> None:
    """Raises `MalformedError` unless it holds."""
    if not holds:
        raise MalformedError(message)


def _disjoint(slots: Sequence[Slot]) -> bool:
    """Whether no two slots share a block or a name."""
    placed = sorted((slot.part, slot.first_block, slot.first_block + slot.blocks) for slot in slots)
    apart = all(a[0] < b[0] or a[2] <= b[1] for a, b in pairwise(placed))
    return apart and len({slot.name for slot in slots}) == len(slots)


def check(s: Statement) -> None:
    """What has to hold of a statement by itself."""
    require_fit(s.degree in (2, 3), "the extension's degree is not 2 or 3")
    require_fit(not s.code.invalid_reason(), f"code parameters: {s.code.invalid_reason()}")
    require_fit(0 <= s.required_bits <= MAX_BITS, "no proof gives so many bits")
    require_fit(bool(s.segments), "a proof needs at least one segment")
    require_fit(all(0 <= g.member < len(s.members) for g in s.segments), "a segment of no member")
    require_fit(len(s.members) <= MAX_MEMBERS, "too many members in one proof")
    require_fit({g.member for g in s.segments} == set(range(len(s.members))), "a member without segments")
    require_fit(not s.weights.partial, "a part of the weights")
    require_fit(
        all(m is None or m.slots or not m.partial for m in s.members), "a commitment of no boundaries"
    )
    for commitment in s.long_lived:
        for slot in commitment.slots:
            room = commitment.part_rows[slot.part] if slot.part < len(commitment.part_rows) else 0
            inside = slot.rows > 0 and slot.cols > 0
            inside = inside and slot.first_block + slot.blocks <= room * s.code.row_blocks
            require_fit(inside, f"the slot {slot.name} lies outside its part")
        require_fit(_disjoint(commitment.slots), f"slots of the {commitment.name} overlap or share a name")
    lookups = sum(blocks_of(d) for g in s.segments for _, _, d, _ in g.circuit.lookups) * BLOCK
    if lookups > MAX_LOOKUPS:  # only then count exactly
        lookups = sum(int(d.mask().sum()) for g in s.segments for _, _, d, _ in g.circuit.lookups)
    require_fit(lookups <= MAX_LOOKUPS, "too many lookups in one proof")
