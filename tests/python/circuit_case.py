"""A small circuit with its honest witness, and what breaks when cells of it change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from assay.graph import Builder, CellType, Interval, Source, Wire
from assay.reference.circuit import check, decode, evaluate

Tensors = dict[str, Any]
rng = np.random.default_rng(20240229)


def external(b: Builder, name: str, rows: int, cols: int, bounds: Interval) -> Wire:
    """An input with bounds that the test vouches for."""
    wire = b.tensor(name, rows, cols, bounds, source=Source.BOUNDARY, type=CellType.INT64)
    return b.tensor_fact(f"{name}.given", wire, "the test gives it")


def integers(*shape: int, bits: int = 16) -> np.ndarray:
    half = 1 << (bits - 1)
    return rng.integers(-half, half, shape)


class Case:
    """A circuit with an honest witness, to be corrupted."""

    def __init__(self, b: Builder, externals: Mapping[str, np.ndarray]) -> None:
        self.raw = b.finish()
        self.tensors: Tensors = evaluate(self.raw, externals)
        assert check(self.raw, self.tensors) == []

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[name].astype(object)

    def wide(self, name: str, *limbs: str) -> np.ndarray:
        """The value of limbs of 16 bits."""
        return sum(self[f"{name}.{limb}"] << (16 * k) for k, limb in enumerate(limbs))

    def violations(self, **changes: Any) -> list[str]:
        """What fails after the changes; names have __ for dots."""
        changed = {name.replace("__", "."): value for name, value in changes.items()}
        assert all(name in self.tensors for name in changed)
        return check(self.raw, {**self.tensors, **changed})


def split(value: np.ndarray, *names: str) -> dict[str, np.ndarray]:
    """Limbs of 16 bits, the last with the signed rest."""
    out = {}
    for name in names[:-1]:
        out[name], value = value % (1 << 16), value >> 16
    return {**out, names[-1]: value}


def at(shape: tuple[int, ...], index: tuple[int, ...]) -> np.ndarray:
    one = np.zeros(shape, dtype=object)
    one[index] = 1
    return one


def recombined(case: Case, wire: Wire) -> np.ndarray:
    """The values of a wire."""
    tensors = decode(case.raw).tensors
    return sum(c * case[tensors[t].name] for c, t in wire.terms) + wire.constant


def plain_root(v: int) -> int:
    """2^46 / sqrt(v) in fixed point, by the two-sided normalisation v 4^a = v' 4^t + rem."""
    a = t = 0
    while v * 4**a < 1 << 28:
        a += 1
    while (v >> 2 * t) >= 1 << 30:
        t += 1
    return math.isqrt((1 << 60) // ((v * 4**a) >> 2 * t)) << (16 - t + a)
