"""What one mixture of experts costs, and what of it grows with the number of experts.

    python benchmarks/moe.py --tokens 16 --experts 8 64 128

Random weights; one proof of the layer's mixture alone, hiding, 128 bits.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from assay.circuits.moe import ExpertScales, ExpertWeights, experts

from assay import _core
from assay.graph import Builder, CellType, Interval, Source
from assay.graph.summary import summarise
from assay.profiles import DEFAULT, PROFILES

COMMON = {"router_shift": 14, "router_fraction": 11, "gate_shift": 14, "gate_fraction": 11, "up_shift": 14}
PROFILE = PROFILES[DEFAULT]
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
    b.commit("out", experts(b, "moe", h, weights, ExpertScales(**COMMON, **smaller), chosen=chosen))
    return b


def cells(rows: int, cols: int, kind: Any, reach: int) -> np.ndarray:
    out = np.zeros((rows, -(-cols // 128) * 128), dtype=kind)
    out[:, :cols] = np.random.default_rng(rows).integers(-reach, reach, (rows, cols))
    return out


def commitment(name: str, source: Source, b: Builder, reach: int) -> tuple[Any, Any]:
    code, slots, arrays, at = PROFILE.code, [], [], 0
    for t in b.tensors:
        if t.source is source:
            array = cells(t.shape.rows, t.shape.cols, TYPES[t.type], reach)
            arrays.append((at, array))
            slots.append((t.name, 0, at, t.shape.rows, t.shape.cols, array.itemsize))
            at += array.size // 128
    rows = -(-at // code.row_blocks)
    made = _core.Commitment(name, code.core(), [(rows, arrays)], bytes(32))
    made.commit()
    return made, _core.LongLived(name, made.root, [rows], slots)


def measure(tokens: int, count: int, chosen: int, hidden: int, inner: int) -> str:
    b = build(tokens, count, chosen, hidden, inner)
    circuit, summary = _core.Circuit(b.finish()), summarise(b, tokens)
    weights, known = commitment("weights", Source.WEIGHT, b, 1 << 12)
    boundaries, recorded = commitment("boundaries", Source.BOUNDARY, b, 1 << 11)
    statement = _core.Statement(
        degree=PROFILE.degree,
        code=PROFILE.code.core(),
        required_bits=float(PROFILE.bits),
        instance=b"",
        weights=known,
        members=[recorded],
        segments=[("moe", circuit, 0)],
        hiding=True,
    )
    start = time.perf_counter()
    proof = _core.prove(statement, weights, [boundaries], bytes(32), self_check=False)
    proven = time.perf_counter()
    _core.verify(statement, proof["body"])
    verified = time.perf_counter()
    size = count * (3 * hidden * inner + hidden)
    numbers = [
        str(count),
        f"{size / 1e6:.1f}",
        f"{summary.lookups_per_token:.0f}",
        f"{summary.cells_per_token:.0f}",
        f"{proven - start:.2f}",
        *(f"{proof['seconds'][step]:.2f}" for step in STEPS),
        f"{verified - proven:.2f}",
        f"{len(proof['body']) / 1e6:.1f}",
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
