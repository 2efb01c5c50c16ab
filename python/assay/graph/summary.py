"""What a circuit costs and how close its bounds are: the numbers behind `assay circuit show`.

An operation is the first part of a name: relation `q_proj.r0` and tensor `q_proj.y1` belong to `q_proj`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from assay.graph.builder import Builder
from assay.graph.encoding import digest
from assay.graph.expression import Domain
from assay.graph.records import Source


@dataclass(frozen=True, slots=True)
class OperationSummary:
    """Existing lookups and committed witness cells of one operation; outputs: cells of its largest tensor."""

    name: str
    outputs: int
    lookups: int
    cells: int


@dataclass(frozen=True, slots=True)
class RelationSummary:
    """A relation, its existing cells, and the bits of its two sides (together they stay below 2^63)."""

    name: str
    kind: str
    cells: int
    left_bits: int
    right_bits: int


@dataclass(frozen=True, slots=True)
class CircuitSummary:
    """A circuit in numbers; `digest` is hex. Totals are over all tokens."""

    name: str
    digest: str
    tokens: int
    lookups: int
    cells: int
    operations: tuple[OperationSummary, ...]
    relations: tuple[RelationSummary, ...]
    tables: tuple[tuple[str, int], ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def lookups_per_token(self) -> float:
        """Lookups over tokens."""
        return self.lookups / self.tokens

    @property
    def cells_per_token(self) -> float:
        """Committed witness cells over tokens."""
        return self.cells / self.tokens

    def to_dict(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            **asdict(self),
            "lookups_per_token": self.lookups_per_token,
            "cells_per_token": self.cells_per_token,
        }


def summarise(builder: Builder, tokens: int) -> CircuitSummary:
    """The numbers of a circuit over `tokens` positions."""
    each = operations(builder)
    return CircuitSummary(
        name=builder.name,
        digest=digest(builder).hex(),
        tokens=tokens,
        lookups=sum(o.lookups for o in each),
        cells=sum(o.cells for o in each),
        operations=each,
        relations=_relations(builder),
        tables=tuple((t.name, t.rows) for t in builder.tables),
        facts=tuple((f.name, f.argument) for f in builder.facts),
    )


def operations(builder: Builder) -> tuple[OperationSummary, ...]:
    """What each operation of a circuit takes."""
    lookups, cells, outputs = Counter[str](), Counter[str](), Counter[str]()
    for lookup in builder.lookups:
        lookups[_operation(lookup.name)] += lookup.domain.cells()
    for tensor in builder.tensors:
        if tensor.source is Source.WITNESS:
            name, count = _operation(tensor.name), tensor.shape.cells()
            cells[name] += count
            outputs[name] = max(outputs[name], count)
    return tuple(
        OperationSummary(name, outputs[name], lookups[name], cells[name])
        for name in dict.fromkeys([*cells, *lookups])
    )


def _operation(name: str) -> str:
    return name.partition(".")[0]


def _relations(builder: Builder) -> tuple[RelationSummary, ...]:
    sides = builder.sides()
    return tuple(
        RelationSummary(
            name,
            kind,
            domain.cells(),
            sides[name].left.magnitude.bit_length(),
            sides[name].right.magnitude.bit_length(),
        )
        for name, kind, domain in _named_domains(builder)
    )


def _named_domains(builder: Builder) -> Iterator[tuple[str, str, Domain]]:
    for z in builder.zero_checks:
        yield z.name, "zero", z.domain
    for linear in builder.linears:
        yield linear.name, "linear", linear.domain
    for e in builder.einsums:
        yield e.name, f"einsum.{e.kind.name.lower()}", e.out.domain
    for r in builder.row_sums:
        yield r.name, "row-sum", r.out.domain
    for total in builder.totals:
        yield total.name, "total", total.wire.domain
    for output in builder.outputs:
        yield output.name, "output", output.wire.domain
    for lookup in builder.lookups:
        yield lookup.name, "lookup", lookup.domain
