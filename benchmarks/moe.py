"""What one mixture of experts costs, and what of it grows with the number of experts.

    python benchmarks/moe.py --tokens 16 --experts 8 64 128

Random weights; one proof of the layer's mixture alone, hiding, 128 bits.
"""

from __future__ import annotations

import argparse

import numpy as np
from assay.circuits.moe import ROUTING, ExpertScales, ExpertWeights, experts, recorded_choice
from one_segment import Tensors, prove_alone, random_cells

from assay import _core
from assay.graph import Builder, CellType, Interval, Source
from assay.graph.summary import summarise

COMMON = {"router_shift": 14, "router_fraction": 11, "gate_shift": 14, "gate_fraction": 11, "up_shift": 14}
STEPS = ("witness", "products", "lookups", "opening")
TYPES = (np.int16, np.int32, np.int64)


def build(tokens: int, count: int, chosen: int, hidden: int, inner: int) -> Builder:
    b = Builder("moe")
    h = b.tensor("h", tokens, hidden, Interval.signed(16), source=Source.BOUNDARY, type=CellType.INT32)
    b.in_range("h.range", h, Interval.signed(16))
    weights = ExpertWeights(
        router=b.weight("router", count, hidden),
        gate=b.weight("gate", count * inner, hidden),
        up=b.weight("up", count * inner, hidden),
        down=b.weight("down", count * hidden, inner),
    )
    smaller = {"product_shift": 14} if inner < hidden else {"down_shift": 20}
    choice = recorded_choice(b, ROUTING, tokens=tokens, experts=count, chosen=chosen)
    b.commit("out", experts(b, "moe", h, weights, ExpertScales(**COMMON, **smaller), choice))
    return b


def cells(b: Builder, source: Source, reach: int) -> Tensors:
    """Random cells of all tensors that come from there."""
    draw = np.random.default_rng(1)
    return {
        t.name: random_cells(draw, t.shape.rows, t.shape.cols, TYPES[t.type], reach)
        for t in b.tensors
        if t.source is source
    }


def measure(tokens: int, count: int, chosen: int, hidden: int, inner: int) -> str:
    b = build(tokens, count, chosen, hidden, inner)
    circuit, summary = _core.Circuit(b.finish()), summarise(b, tokens)
    weights = cells(b, Source.WEIGHT, 1 << 12)
    boundaries = {"h": random_cells(np.random.default_rng(2), tokens, hidden, np.int32, 1 << 11)}
    boundaries |= circuit.evaluate({**weights, **boundaries}, [ROUTING])
    found = prove_alone("moe", circuit, weights, boundaries, {t.name: t.shape.cols for t in b.tensors})
    size = count * (3 * hidden * inner + hidden)
    numbers = [
        str(count),
        f"{size / 1e6:.1f}",
        f"{summary.lookups_per_token:.0f}",
        f"{summary.cells_per_token:.0f}",
        f"{found.prove_s:.2f}",
        *(f"{found.seconds[step]:.2f}" for step in STEPS),
        f"{found.verify_s:.2f}",
        f"{found.proof_bytes / 1e6:.1f}",
    ]
    return f"| {' | '.join(numbers)} |"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--tokens", type=int, default=16)
    p.add_argument("--experts", type=int, nargs="+", default=[8, 64, 128])
    p.add_argument("--chosen", type=int, default=8)
    p.add_argument("--hidden", type=int, default=256)
    p.add_argument("--inner", type=int, default=128)
    a = p.parse_args()
    columns = ["experts", "million weights", "lookups a token", "cells a token", "prove s", *STEPS]
    columns += ["verify s", "MB"]
    print(f"| {' | '.join(columns)} |")
    print(f"| {' | '.join('---' for _ in columns)} |")
    for count in a.experts:
        print(measure(a.tokens, count, a.chosen, a.hidden, a.inner), flush=True)


if __name__ == "__main__":
    main()
