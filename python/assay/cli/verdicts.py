"""What was verified, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.verify import (
        EncodeStatement,
        Experts,
        ForwardStatement,
        LayerStatement,
        RoutingDistance,
        VerifiedMember,
    )

_MOST_SHOWN = 4  # ids of a position, tokens


def member_lines(member: VerifiedMember) -> Iterator[str]:
    """One member of a batch: its record, and what was proven about it."""
    from assay.verify import EncodeStatement, LayerStatement

    yield f"  record root {member.record_root.hex()}"
    for statement in member.statements:
        if isinstance(statement, LayerStatement):
            yield from _layer(statement)
        elif isinstance(statement, EncodeStatement):
            yield from _encode(statement)
        else:
            yield from _forward(statement)


def _layer(statement: LayerStatement) -> Iterator[str]:
    saturated = sum(statement.saturated.values())
    note = f", {saturated} cells saturated" if saturated else ""
    yield f"    layer {statement.layer} over {statement.tokens} tokens{note}"
    if statement.routing_distance is not None:
        yield from _routed({f"layer {statement.layer}": statement.routing_distance})
    if statement.experts is not None:
        yield from _experts(f"layer {statement.layer}", statement.experts)


def _forward(statement: ForwardStatement) -> Iterator[str]:
    yield f"    forward pass over {len(statement.tokens)} tokens: {_listed(statement.tokens)}"
    for i, position in enumerate(statement.positions):
        ids = statement.ids[i]
        if statement.logits is not None:
            row = [f"{token}: {x:.3f}" for token, x in zip(ids, statement.logits[i], strict=True)]
            yield f"    position {position}: exact logits of {_listed(row)}"
        if statement.distances is not None:
            d = statement.distances[i]
            yield (
                f"    position {position}: served logits of {_listed(ids)}: total variation "
                f"{float(d.tv):.6f}, top-{len(ids)} distance at most {float(d.top_k):.4f}"
            )
    yield from _saturated(statement.saturated)
    yield from _routed(statement.routing_distances)
    for name, experts in statement.experts.items():
        yield from _experts(name, experts)


def _encode(statement: EncodeStatement) -> Iterator[str]:
    yield f"    encoding of {len(statement.tokens)} tokens: {_listed(statement.tokens)}"
    yield f"    its vector, of length one: {_listed([f'{x:.4f}' for x in statement.embedding])}"
    yield from _saturated(statement.saturated)


def _saturated(segments: dict[str, dict[str, int]]) -> Iterator[str]:
    for name, totals in segments.items():
        yield f"    {name}: {sum(totals.values())} cells saturated"


def _routed(distances: dict[str, RoutingDistance]) -> Iterator[str]:
    return routing_lines((name, distance.raw, distance.logits) for name, distance in distances.items())


def _experts(name: str, experts: Experts) -> Iterator[str]:
    yield f"    {name}: experts of each token {_listed([' '.join(map(str, ids)) for ids in experts])}"


def routing_lines(distances: Iterable[tuple[str, int, float]]) -> Iterator[str]:
    """Of layers with experts: the segment, the distance as an integer and in the router's logits."""
    for name, raw, logits in distances:
        how = f"at most {logits:.6g}" if raw else "0"
        yield f"    {name}: routing distance {how}"


def _listed(items: tuple[object, ...] | list[str]) -> str:
    shown = ", ".join(map(str, items[:_MOST_SHOWN]))
    return shown if len(items) <= _MOST_SHOWN else f"{shown}, ... ({len(items)})"
