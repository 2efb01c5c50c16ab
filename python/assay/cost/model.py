"""What counts come to: core-seconds, seconds, bytes of memory.

Every quantity is a sum of coefficient times count, with coefficients that are not negative. They were
fitted on measured proofs of small models (benchmarks/scaling.py) and are shipped, with the machine that
they hold for, the error at points that the fit had not seen, and the largest counts that were measured:
what lies beyond those is an extrapolation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

FEATURES: Mapping[str, tuple[str, ...]] = {
    "record": ("one", "segments", "layer_cells", "layer_macs", "boundary_hashes", "logits", "logit_macs"),
    "prove.start": ("one", "segments", "parts"),
    "prove.commit": ("one", "segments", "cells", "macs", "symbols", "kept_symbols"),
    "prove.relations": ("one", "lookups", "operands"),
    "prove.opening": ("one", "blocks", "weights", "symbols_again", "elements"),
    "verify": ("one", "segments", "elements", "stack_rows", "blocks"),
    "register": ("one", "weight_symbols", "weights", "leaves"),
    "record.serial": ("one", "segments", "layer_cells", "boundary_hashes"),
    "prove.serial": ("one", "segments", "cells", "leaves"),
    "register.serial": ("one", "weights"),
    "record.memory": ("one", "boundary_digests", "boundary_bytes", "largest_segment"),
    "prove.memory": ("one", "kept_symbols", "largest_tree", "largest_segment", "stack", "elements"),
}
"""Quantities, and the counts that each is a sum of."""
STEPS = ("prove.start", "prove.commit", "prove.relations", "prove.opening")
Features = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CostModel:
    """Coefficients by quantity and count; `errors` by measured quantity: median, worst, points held back."""

    machine: Mapping[str, Any]
    date: str
    coefficients: Mapping[str, Mapping[str, float]]
    measured: Mapping[str, float]
    errors: Mapping[str, Mapping[str, float]]

    def of(self, quantity: str, features: Features) -> float:
        """One of FEATURES."""
        return sum(each * features[name] for name, each in self.coefficients[quantity].items())

    def at_most(self, quantity: str, features: Features) -> float:
        """The same with the largest error on top."""
        return self.of(quantity, features) * (1 + self.errors[quantity]["worst"])

    def prove(self, features: Features) -> float:
        """Core-seconds of a proof."""
        return sum(self.of(step, features) for step in STEPS)

    def seconds(self, quantity: str, core: float, features: Features, cores: int) -> float:
        """By the clock: of `core` core-seconds the serial ones as they are, the others on all cores."""
        serial = min(self.of(f"{quantity}.serial", features), core)
        return serial + (core - serial) / cores

    def beyond(self, features: Features) -> dict[str, float]:
        """How many times the largest measured count each is, of those that are beyond it."""
        return {
            name: features[name] / max(most, 1)
            for name, most in self.measured.items()
            if name in features and features[name] > most
        }


@lru_cache(maxsize=1)
def shipped() -> CostModel:
    """The model that comes with the package."""
    return CostModel(**json.loads((files("assay.cost") / "coefficients.json").read_text()))
