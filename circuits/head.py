"""The tensors that the segments after the last layer share, with one shape and type in each of them.

P positions, K ids for each; pieces p of the vocabulary (V ids in all):

| tensor | shape | what it is |
| --- | --- | --- |
| head.input | [P, hidden] | the final norm's output, 20 signed bits |
| head.max, head.threshold | [1, P] | the largest logit m; a threshold tau, int16 values |
| mass.p | [1, P] | sum of e over the piece, 0 <= e <= 2^24 |
| zeros.p | [1, P] | how many of its logits equal m |
| excess.p | [1, P] | sum of max(x - tau, 0) over the piece |
| exp.p, logit.p | [P, K] | e and x at the ids that lie in the piece, 0 elsewhere |

A segment that reads one as an integer proves its range itself, so that no bound is taken from another
segment; one that defines a tensor has its bounds from the definition.
"""

from __future__ import annotations

from dataclasses import dataclass

from assay.circuits import limbs

from assay.graph import Builder, CellType, Interval, Source, Wire

LOGIT = Interval.signed(16)
INPUT_BITS = 20
EXP_BITS = 24
EXPONENTIAL = Interval(0, 1 << EXP_BITS)
EXCESS = Interval(0, (1 << 16) - 1)


def head_input(b: Builder, positions: int, hidden: int) -> Wire:
    """head.input."""
    return b.boundary("head.input", positions, hidden, INPUT_BITS)


def head_input_ranged(b: Builder, positions: int, hidden: int) -> Wire:
    """head.input for a segment that reads it."""
    x = head_input(b, positions, hidden)
    b.decompose("input", b.value(x, x.domain), 0, limbs.signed("limb", INPUT_BITS))
    return x


def maximum(b: Builder, positions: int) -> Wire:
    """head.max, ranged."""
    return _ranged(b, "max", positions)


def threshold(b: Builder, positions: int) -> Wire:
    """head.threshold, ranged."""
    return _ranged(b, "threshold", positions)


def _ranged(b: Builder, name: str, positions: int) -> Wire:
    x = b.tensor(f"head.{name}", 1, positions, LOGIT, source=Source.BOUNDARY, type=CellType.INT32)
    b.in_range(f"{name}.range", x, LOGIT)
    return x


@dataclass(frozen=True, slots=True)
class Share:
    """What one piece of the vocabulary adds to the statement of distances."""

    mass: Wire
    zeros: Wire
    excess: Wire
    exp: Wire
    logit: Wire


def share(b: Builder, piece: int, positions: int, ids: int, vocabulary: int) -> Share:
    """The tensors of piece `piece`, with bounds for the whole vocabulary."""

    def tensor(name: str, cols: int, bounds: Interval, type: CellType, rows: int = 1) -> Wire:
        return b.tensor(f"{name}.{piece}", rows, cols, bounds, source=Source.BOUNDARY, type=type)

    return Share(
        mass=tensor("mass", positions, EXPONENTIAL.scaled(vocabulary), CellType.INT64),
        zeros=tensor("zeros", positions, Interval(0, vocabulary), CellType.INT32),
        excess=tensor("excess", positions, EXCESS.scaled(vocabulary), CellType.INT64),
        exp=tensor("exp", ids, EXPONENTIAL, CellType.INT32, positions),
        logit=tensor("logit", ids, LOGIT, CellType.INT16, positions),
    )
