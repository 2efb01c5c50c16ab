"""What was verified, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.verify import ForwardStatement, LayerStatement, VerifiedMember

_MOST_SHOWN = 4  # ids of a position, tokens


def member_lines(member: VerifiedMember) -> Iterator[str]:
    """One member of a batch: its record, and what was proven about it."""
    from assay.verify import LayerStatement

    yield f"  record root {member.record_root.hex()}"
    for statement in member.statements:
        yield from _layer(statement) if isinstance(statement, LayerStatement) else _forward(statement)


def _layer(statement: LayerStatement) -> Iterator[str]:
    saturated = sum(statement.saturated.values())
    note = f", {saturated} cells saturated" if saturated else ""
    yield f"    layer {statement.layer} over {statement.tokens} tokens{note}"


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
    for name, totals in statement.saturated.items():
        yield f"    {name}: {sum(totals.values())} cells saturated"


def _listed(items: tuple[object, ...] | list[str]) -> str:
    shown = ", ".join(map(str, items[:_MOST_SHOWN]))
    return shown if len(items) <= _MOST_SHOWN else f"{shown}, ... ({len(items)})"
