"""What a statement costs: counts that follow from a configuration, scales, tokens and positions.

Layers that do the same operations with the same scales cost alike, and so do pieces of the vocabulary: one of
each kind is built, and counted as often as it occurs. A model that was never registered gets typical scales.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, cast

from assay.circuits import forward
from assay.circuits import layer as layers
from assay.circuits.architecture import Architecture, Operations
from assay.circuits.scales import ModelScales
from assay.cost.circuits import CircuitCounts, Messages, count, log2c, table_blocks, tree
from assay.graph import Builder, Table
from assay.layout import BLOCK, Layout, boundary_layout, routing_name, weight_layout
from assay.profiles import Code, Profile
from assay.quantize.scales import typical_scales

_OF_ALL_PIECES = ("head.max", "head.threshold")  # committed with the first piece of the vocabulary
KEPT_SYMBOLS = 64 << 20
"""Symbols of codewords, 8 bytes each, that a prover keeps until the opening (`keep_codeword_bytes`)."""
DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is proven of each of `requests`: a forward pass, or the layers with these numbers."""

    tokens: int
    positions: int = 1
    served: bool = True
    ids: int = 20
    requests: int = 1
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Segments that cost alike: so many of them, each with these counts and rows of the witness."""

    name: str
    segments: int
    each: CircuitCounts
    rows: int

    def total(self, field: str) -> int:
        """A count, of all of them."""
        return self.segments * int(getattr(self.each, field))


@dataclass(frozen=True, slots=True)
class Opened:
    """A commitment as an opening sees it: rows of the parts that it opens, and how many others there are."""

    rows: int
    parts: int
    others: int = 0


@dataclass(frozen=True, kw_only=True)
class Counts:
    """A statement in numbers; `weights` are the cells of the parts that it opens, filled up to blocks."""

    code: Code
    profile: Profile
    groups: tuple[Group, ...]
    table_blocks: int
    weights: int
    long_lived: tuple[Opened, ...]
    recorded: Mapping[str, int] = field(default_factory=dict)
    statement_bytes: int = 0

    def total(self, name: str, *groups: str) -> int:
        """Of all segments, or those of these groups."""
        return sum(group.total(name) for group in self.groups if not groups or group.name in groups)

    def largest(self, name: str) -> int:
        """Of the segment that has most."""
        return max(int(getattr(group.each, name)) for group in self.groups)

    @property
    def segments(self) -> int:
        """How many there are."""
        return sum(group.segments for group in self.groups)

    @property
    def witness(self) -> Opened:
        """A segment that commits nothing has no part; the last part is that of the multiplicities."""
        rows = sum(group.segments * group.rows for group in self.groups) + rows_of(
            self.table_blocks, self.code
        )
        return Opened(rows, 1 + sum(group.segments for group in self.groups if group.rows))

    @property
    def commitments(self) -> tuple[Opened, ...]:
        """In the order of the proof."""
        return (*self.long_lived, self.witness)

    @property
    def stack_rows(self) -> int:
        """All rows that are opened."""
        return sum(c.rows for c in self.commitments)

    @cached_property
    def messages(self) -> Messages:
        """All that is sent, less what the opening sends in the clear."""
        found = sum((group.each.messages * group.segments for group in self.groups), Messages())
        rounds = self.code.log_columns + log2c(self.stack_rows)
        return found + tree(self.table_blocks) + Messages(2 * rounds + 2)

    @property
    def work_bytes(self) -> int:
        """What a prover keeps on disk while it proves: cells, and digests of each part."""
        return self.total("bytes") + self.witness.parts * self.code.length * DIGEST_BYTES

    @property
    def kept_symbols(self) -> int:
        """Of the witness, kept in memory until the opening: of the first parts, as long as there is room."""
        room = KEPT_SYMBOLS // self.code.length
        kept = 0
        for group in self.groups:
            fitting = min(group.segments, (room - kept) // group.rows) if group.rows else group.segments
            kept += fitting * group.rows
            if fitting < group.segments:
                break
        return kept * self.code.length

    def features(self, *, stored: bool = False) -> dict[str, float]:
        """What times and memory are fitted on; stored codewords need not be made again."""
        length, kept = self.code.length, self.kept_symbols
        symbols = self.witness.rows * length
        weight_symbols = self.long_lived[0].rows * length
        return {
            "one": 1,
            "segments": self.segments,
            "relations": self.total("relations"),
            "cells": self.total("cells"),
            "lookups": self.total("lookups"),
            "leaves": self.total("leaves"),
            "checked": self.total("checked"),
            "macs": self.total("macs"),
            "operands": self.total("operands"),
            "symbols": symbols,
            "kept_symbols": kept,
            "weights": self.weights,
            "parts": self.long_lived[0].parts + self.long_lived[0].others,
            "weight_symbols": weight_symbols,
            "symbols_again": symbols - kept + (0 if stored else weight_symbols),
            "stack": self.stack_rows << self.code.log_columns,
            "stack_rows": self.stack_rows,
            "blocks": self.total("blocks"),
            "elements": self.messages.elements,
            "largest_tree": self.largest("tree"),
            "largest_segment": self.largest("bytes"),
            **self.recorded,
        }

    def structures(self) -> dict[str, dict[str, int]]:
        """Segments, lookups and committed elements of the embedding, the layers and what follows them."""
        names = dict.fromkeys(group.name for group in self.groups)
        return {
            name: {
                "segments": sum(group.segments for group in self.groups if group.name == name),
                "lookups": self.total("lookups", name),
                "committed_elements": self.total("cells", name),
            }
            for name in names
        }


class Model:
    """A configuration with its scales, or typical ones, and the layer that stands for each of its layers."""

    def __init__(self, config: Architecture, code: Code, scales: ModelScales | None = None) -> None:
        self.whole, self.code = config, code
        self.layout: Layout = weight_layout(config, code)
        self.like = _alike(config, scales)
        self.config = config if scales else replace(config, num_layers=1 + max(self.like))
        self.scales = scales or typical_scales(self.config)

    def counts(self, profile: Profile, *asked: Asked) -> Counts:
        """Of a statement about several requests."""
        tables: set[Table] = set()
        groups = []
        for one in asked:
            for kind in self._kinds(one):
                builder = kind.build()
                tables.update(builder.tables)
                each = count(builder, kind.brings)
                rows = rows_of(each.blocks, self.code) if each.blocks else 0
                groups.append(Group(kind.name, kind.segments * one.requests, each, rows))
        parts = set().union(*(self._parts(one.layers) for one in asked))
        rows = sum(self.layout.parts[part] for part in parts)
        opened = Opened(rows, len(parts), len(self.layout.parts) - len(parts))
        return Counts(
            code=self.code,
            profile=profile,
            groups=tuple(groups),
            table_blocks=table_blocks(tables),
            weights=sum(slot.blocks for slot in self.layout.slots if slot.part in parts) * BLOCK,
            long_lived=(opened, *(each for one in asked for each in self._boundaries(one))),
            recorded=self._recorded(asked, groups),
            statement_bytes=400 + sum(one.requests * self._member_bytes(one) for one in asked),
        )

    def _recorded(self, asked: Sequence[Asked], groups: Sequence[Group]) -> dict[str, int]:
        """What recording the requests takes: all layers, their boundaries, the head where ids are logged."""
        layers = [group for group in groups if group.name in ("embedding", "layers")]
        layouts = [(one, boundary_layout(self.whole, self.code, one.tokens)) for one in asked]
        logits = sum(one.requests * one.tokens for one in asked if not one.served) * self.whole.vocab_size
        return {
            "layer_cells": sum(group.total("cells") for group in layers),
            "layer_macs": sum(group.total("macs") for group in layers),
            "boundary_hashes": sum(one.requests * column_compressions(own.parts) for one, own in layouts)
            * self.code.length,
            "boundary_digests": max(len(own.parts) for _, own in layouts) * self.code.length * DIGEST_BYTES,
            "boundary_bytes": max(_cell_bytes(own) for _, own in layouts),
            "logits": logits,
            "logit_macs": logits * self.whole.hidden_size,
        }

    def _member_bytes(self, asked: Asked) -> int:
        """About what the statement in a proof's file says of one request."""
        token = 3 if self.whole.vocab_size <= 1 << 16 else 5
        found = 400 + 27 * len(boundary_layout(self.whole, self.code, asked.tokens).slots)
        if asked.layers is not None:
            return found + 60 * len(asked.layers)
        path, names = 34 * log2c(asked.tokens), min(asked.ids, self.whole.vocab_size)
        each = 60 + path + names * (token + 3 * asked.served)
        return found + 55 * (self.whole.num_layers + 4) + token * asked.tokens + asked.positions * each

    def _kinds(self, asked: Asked) -> Iterator[_Kind]:
        if asked.layers is not None:
            yield from self._layers(asked.tokens, [self.like[i] for i in asked.layers], recorded=True)
            return
        config, scales, tokens = self.config, self.scales, asked.tokens
        pieces = [slot.rows for slot in self.layout.slots if slot.name.startswith("embedding.")]
        spread = [i * config.vocab_size // tokens for i in range(tokens)]
        yield _Kind("embedding", partial(forward.build_embedding, config, scales, spread, pieces))
        yield from self._layers(tokens, self.like, recorded=False)
        if config.encodes:
            pooling = partial(forward.build_pooling, config, scales, tokens)
            yield _Kind("pooling", pooling, known=(f"boundary.{config.num_layers}",))
            return
        last = range(tokens - asked.positions, tokens)
        final = partial(forward.build_final, config, scales, tokens, last)
        yield _Kind("final norm", final, known=(f"boundary.{config.num_layers}",))
        yield from self._head(asked, pieces)

    def _layers(self, tokens: int, like: Sequence[int], *, recorded: bool) -> Iterator[_Kind]:
        for index, number in Counter(like).items():
            build = partial(layers.build, self.config, self.scales.layers[index], index, tokens)
            known = (f"boundary.{index}", routing_name(index), f"boundary.{index + 1}")
            yield _Kind("layers", build, number, known if recorded else known[:2])

    def _head(self, asked: Asked, pieces: Sequence[int]) -> Iterator[_Kind]:
        """The first piece brings what all of them share; the last may be smaller."""
        size, names = self.config.vocab_size, min(asked.ids, self.config.vocab_size)
        ids = [[(k * size // names + p) % size for k in range(names)] for p in range(asked.positions)]
        end = len(pieces) - 1
        for piece, number in {1: end - 1, end: 1, 0: 1}.items():
            if number < 1 or piece > end:
                continue
            build = partial(
                forward.build_vocabulary, self.config, self.scales, piece, pieces, ids, distances=asked.served
            )
            yield _Kind("vocabulary", build, number, ("head.input", *(_OF_ALL_PIECES if piece else ())))
        if asked.served:
            q = [[forward.UNITS, *[0] * (names - 1)]] * asked.positions
            build = partial(forward.build_distances, self.config, self.scales, len(pieces), q)
            yield _Kind("distances", build, known=None)

    def _parts(self, asked: Sequence[int] | None) -> set[int]:
        """The parts of the weights that are opened."""
        if asked is None:
            return set(range(len(self.layout.parts)))
        names = tuple(f"layers.{layer}." for layer in asked)
        return {slot.part for slot in self.layout.slots if slot.name.startswith(names)}

    def _boundaries(self, asked: Asked) -> list[Opened]:
        """The commitments to boundaries and experts that are opened."""
        layers = range(self.whole.num_layers) if asked.layers is None else asked.layers
        names = {routing_name(layer) for layer in layers}
        if asked.layers is not None:
            names |= {f"boundary.{layer + side}" for layer in layers for side in (0, 1)}
        layout = boundary_layout(self.whole, self.code, asked.tokens)
        opened = {slot.part for slot in layout.slots if slot.name in names}
        if not opened:
            return []
        rows = sum(layout.parts[part] for part in opened)
        return [Opened(rows, len(opened), len(layout.parts) - len(opened))] * asked.requests


def _cell_bytes(layout: Layout) -> int:
    """Of all cells, with padding."""
    return sum(slot.blocks * BLOCK * slot.cell_bytes for slot in layout.slots)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Segments that cost alike; `known` boundaries are committed elsewhere, None: all that they name."""

    name: str
    build: Callable[[], Builder]
    segments: int = 1
    known: tuple[str, ...] | None = ()

    def brings(self, boundary: str) -> bool:
        """Whether a boundary is committed with this segment."""
        return self.known is not None and boundary not in self.known


class _Noted:
    """An `Operations` that computes nothing and notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any, **options: Any) -> int:
            self.calls.append((name, arguments, sorted(options.items())))
            return len(self.calls)

        return call


def _alike(config: Architecture, scales: ModelScales | None) -> list[int]:
    """For each layer the first one that does the same, with the same scales if they are given."""
    first: dict[str, int] = {}
    like = []
    for index in range(config.num_layers):
        noted = _Noted()
        config.layer(cast("Operations[int]", noted), index, 0)
        key = repr((noted.calls, scales and scales.layers[index].to_dict()))
        like.append(first.setdefault(key, index))
    return like


def column_compressions(part_rows: Sequence[int]) -> int:
    """Of SHA-256 for a column of a commitment: its parts' symbols with their salts, the leaf, a node."""

    def compressions(message: int) -> int:
        return -(-(message + 9) // 64)  # filled up by a bit and the length

    parts = sum(compressions(8 * rows + 16 + 1) for rows in part_rows)
    return parts + compressions(DIGEST_BYTES * len(part_rows) + 1) + compressions(2 * DIGEST_BYTES + 1)


def rows_of(blocks: int, code: Code) -> int:
    """Rows of a part, at least one."""
    return max(1, -(-blocks // code.row_blocks))
