"""A mixture of experts as a small statement, and the same computed by its definition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np
from assay.circuits.activation import SILU, activation_table, largest, zero_key
from assay.circuits.exponential import exp_table
from assay.circuits.moe import ExpertScales, ExpertWeights, experts, recorded_choice
from assay.circuits.softmax import EXP_BITS, LONGEST, UNIT_BITS
from cheating import Case, Cells

from assay.graph import Builder, CellType, Interval, Source

SCALES = ExpertScales(
    router_shift=14,
    router_fraction=11,
    gate_shift=14,
    gate_fraction=11,
    up_shift=14,
    down_shift=20,
)
NARROW = replace(SCALES, product_shift=14, down_shift=0)


@dataclass(frozen=True)
class Shape:
    """Tokens, experts, experts of a token, hidden and inner sizes."""

    tokens: int = 3
    experts: int = 4
    chosen: int = 2
    hidden: int = 8
    inner: int = 6
    scales: ExpertScales = SCALES
    renormalised: bool = True
    kind: str = SILU


SMALL = Shape()
CHOICE = "moe.choice"


def circuit(shape: Shape, *, logged: list[list[int]] | None = None) -> bytes:
    """With the experts of each token it says so in public."""
    b = Builder("experts")
    h = b.tensor(
        "h", shape.tokens, shape.hidden, Interval.signed(16), source=Source.BOUNDARY, type=CellType.INT32
    )
    b.tensor_fact("h.given", h, "the test gives it")
    e, n, m = shape.experts, shape.hidden, shape.inner
    weights = ExpertWeights(
        router=b.weight("router", e, n),
        gate=b.weight("gate", e * m, n),
        up=b.weight("up", e * m, n),
        down=b.weight("down", e * n, m),
    )
    ids = None if logged is None else np.array(logged, dtype=np.int64)
    choice = recorded_choice(b, CHOICE, tokens=shape.tokens, experts=e, chosen=shape.chosen, logged=ids)
    options = {"renormalised": shape.renormalised, "kind": shape.kind}
    b.commit("out", experts(b, "moe", h, weights, shape.scales, choice, **options))
    return b.finish()


@lru_cache
def inputs(shape: Shape) -> dict[str, Cells]:
    """h and all weights; one router logit and one up cell beyond their range."""
    draw = np.random.default_rng(1)

    def weight(rows: int, cols: int) -> Cells:
        return draw.integers(-(1 << 13), 1 << 13, (rows, cols))

    e, n, m = shape.experts, shape.hidden, shape.inner
    given = {
        "router": weight(e, n),
        "gate": weight(e * m, n),
        "up": weight(e * m, n),
        "down": weight(e * n, m),
    }
    return {**given, "h": draw.integers(-(1 << 12), 1 << 12, (shape.tokens, n))}


def rounded(values: Cells, shift: int) -> Cells:
    return values.astype(object) + (1 << shift >> 1) >> shift


def router_logits(given: dict[str, Cells]) -> Cells:
    g = rounded(given["h"].astype(object) @ given["router"].T.astype(object), SCALES.router_shift)
    return np.clip(g, -(1 << 15), (1 << 15) - 1)


def largest_logits(given: dict[str, Cells], chosen: int) -> list[list[int]]:
    """Of each token, the experts of the largest logits, of equal ones the first."""
    return [sorted(range(len(g)), key=lambda e: (-g[e], e))[:chosen] for g in router_logits(given).tolist()]


def one_hot(choice: list[list[int]], count: int) -> Cells:
    """S, seat m of token t in row m T + t."""
    rows = [token[m] for m in range(len(choice[0])) for token in choice]
    return np.eye(count, dtype=np.int64)[rows]


@lru_cache
def case(shape: Shape = SMALL, *, logged: bool = False) -> Case:
    """With the experts of the largest logits."""
    given = inputs(shape)
    ids = largest_logits(given, shape.chosen) if logged else None
    return Case(circuit(shape, logged=ids), given)


# ---- by definition ----


def _activation(kind: str, t: int) -> int:
    fraction = SCALES.gate_fraction
    key, table = t + zero_key(fraction, kind), activation_table(kind, fraction)
    if key < 0:
        return 0
    return int(table.images[0][key]) if key < table.rows else largest(fraction, kind)


def _expert(given: dict[str, Cells], shape: Shape, expert: int, h: Cells) -> Cells:
    """d of one expert on one row."""
    n, m = given["h"].shape[1], given["down"].shape[1]
    gate, up = (given[w][expert * m : (expert + 1) * m].astype(object) @ h for w in ("gate", "up"))
    up = np.clip(rounded(up, SCALES.up_shift), -(1 << 15), (1 << 15) - 1)
    active = np.array(
        [_activation(shape.kind, int(t)) for t in rounded(gate, SCALES.gate_shift)], dtype=object
    )
    a = rounded(active * up, shape.scales.product_shift)
    return rounded(given["down"][expert * n : (expert + 1) * n].astype(object) @ a, shape.scales.down_shift)


def _shares(logits: list[int], over: list[int]) -> list[int]:
    """p of these logits, in the softmax of `over`."""
    table = exp_table(Fraction(1, 1 << SCALES.router_fraction), EXP_BITS).images[0]
    shift = EXP_BITS + (LONGEST - 1).bit_length()
    inverse = (((1 << UNIT_BITS) - 1) << shift) // sum(int(table[max(over) - c]) for c in over)
    return [int(table[max(over) - c]) * inverse + (1 << shift - 1) >> shift for c in logits]


def by_definition(given: dict[str, Cells], choice: list[list[int]], shape: Shape = SMALL) -> Cells:
    """y for these experts of each token."""
    rows = []
    for t, (logits, chosen) in enumerate(zip(router_logits(given).tolist(), choice, strict=True)):
        own = [logits[e] for e in chosen]
        p = _shares(own, own if shape.renormalised else logits)
        d = [_expert(given, shape, e, given["h"][t].astype(object)) for e in chosen]
        rows.append(sum(a * b for a, b in zip(p, d, strict=True)))
    return np.array(rows)


def distance(given: dict[str, Cells], choice: list[list[int]]) -> int:
    """What the chosen experts' logits lack of the largest."""
    g, best = router_logits(given), largest_logits(given, len(choice[0]))
    return sum(int(g[t, best[t]].sum() - g[t, chosen].sum()) for t, chosen in enumerate(choice))
