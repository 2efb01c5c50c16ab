"""The scales of an exact model: how many fraction bits each committed quantity has.

A real quantity a is the integer round(a * 2^f); f is the site's fraction bits. All re-quantisations are
then pure shifts, and a circuit needs nothing but these numbers and the shapes. They are public.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from assay.circuits.inverse_sqrt import ROOT_BITS
from assay.circuits.limbs import LIMB_BITS
from assay.circuits.rope import ANGLE_BITS
from assay.circuits.softmax import UNIT_BITS

from assay.graph import CircuitError

NORMS = (
    "input_norm",
    "q_norm",
    "k_norm",
    "post_attention_norm",
    "pre_feedforward_norm",
    "post_feedforward_norm",
)
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WEIGHTS = (*NORMS, *PROJECTIONS)
_LIMIT = 62
_LEAST_ROOT_BITS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerScales:
    """Fraction bits of one Gemma 3 layer.

    `weights` has the 13 weight tensors (a gain's count is that of gain * sqrt(n)). `scores` are q k before
    the division by sqrt(query scalar).
    """

    residual_in: int
    residual_out: int
    input_norm: int
    q_proj: int
    k_proj: int
    v_proj: int
    q_norm: int
    k_norm: int
    scores: int
    o_proj: int
    pre_feedforward_norm: int
    gate_proj: int
    up_proj: int
    down_proj: int
    weights: Mapping[str, int]

    def __post_init__(self) -> None:
        if set(self.weights) != set(WEIGHTS):
            raise CircuitError("circuit-scale", "scales: the weights are not those of a layer")
        numbers = [*self.weights.values(), *(getattr(self, n) for n in _SITES)]
        if any(type(v) is not int or not -_LIMIT <= v <= _LIMIT for v in numbers):
            raise CircuitError("circuit-scale", f"scales: fraction bits are integers of at most {_LIMIT}")
        if self.residual_out > self.residual_in:
            raise CircuitError(
                "circuit-scale", "scales: a boundary has more fraction bits than the one before it"
            )

    def root_bits(self, norm: str, out: int) -> int:
        """K of NORM.2 for an output of `out` fraction bits."""
        return root_bits(self.weights[norm], out)

    def norm_shift(self, norm: str, out: int) -> int:
        """Shift of NORM.3 for an output of `out` fraction bits."""
        return norm_shift(self.weights[norm], out)

    def linear_shift(self, weight: str, into: int, out: int) -> int:
        """Shift of LIN.2 from inputs of `into` to outputs of `out` fraction bits."""
        return into + self.weights[weight] - out

    @property
    def score_shift(self) -> int:
        """Shift of ATT.2."""
        return self.q_norm + self.k_norm + 2 * ANGLE_BITS - self.scores

    @property
    def attention_out(self) -> int:
        """Fraction bits of o, ATT.4."""
        return self.v_proj + UNIT_BITS

    @property
    def product(self) -> int:
        """Fraction bits of GATE.4."""
        return self.gate_proj + self.up_proj

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values; `from_dict` inverts it exactly."""
        sites = {name: getattr(self, name) for name in _SITES}
        return {**sites, "weights": {name: self.weights[name] for name in WEIGHTS}}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> LayerScales:
        """Rebuilds scales from `to_dict`'s output."""
        if set(raw) != {*_SITES, "weights"} or not isinstance(raw["weights"], Mapping):
            raise CircuitError("circuit-scale", "scales: missing or unknown fields")
        return cls(**{**raw, "weights": dict(raw["weights"])})


def root_bits(gain: int, out: int) -> int:
    """K of NORM.2 for a gain of `gain` fraction bits and an output of `out`: the remainder takes two limbs.

    46 where that leaves a smaller one, and never fewer than 24.
    """
    return min(ROOT_BITS, max(_LEAST_ROOT_BITS, 2 * LIMB_BITS + out - gain))


def norm_shift(gain: int, out: int) -> int:
    """Shift of NORM.3."""
    return root_bits(gain, out) + gain - out


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CircuitError("circuit-scale", "scales: missing or unknown fields")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadScales:
    """Fraction bits after the last layer: of the final norm's output, and of the logits."""

    final_norm: int
    logits: int

    def __post_init__(self) -> None:
        if any(type(v) is not int or not -_LIMIT <= v <= _LIMIT for v in (self.final_norm, self.logits)):
            raise CircuitError("circuit-scale", f"scales: fraction bits are integers of at most {_LIMIT}")

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `from_dict` inverts it exactly."""
        return {"final_norm": self.final_norm, "logits": self.logits}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> HeadScales:
        """Rebuilds scales from `to_dict`'s output."""
        if set(raw) != {"final_norm", "logits"}:
            raise CircuitError("circuit-scale", "scales: missing or unknown fields")
        return cls(**raw)


_SITES = tuple(f.name for f in fields(LayerScales) if f.name != "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelScales:
    """Scales of every layer, in order, of what follows them, and of the tensors outside the layers.

    Layers agree at the boundaries they share: residual_out of one is residual_in of the next.
    """

    layers: tuple[LayerScales, ...]
    weights: Mapping[str, int]
    head: HeadScales

    def __post_init__(self) -> None:
        for before, after in zip(self.layers, self.layers[1:], strict=False):
            if before.residual_out != after.residual_in:
                raise CircuitError("circuit-scale", "scales: two layers differ in the boundary between them")

    def boundary(self, index: int) -> int:
        """Fraction bits of boundary `index`, 0 to the number of layers."""
        return self.layers[index].residual_in if index < len(self.layers) else self.layers[-1].residual_out

    def weight(self, name: str) -> int:
        """Fraction bits of a tensor by its canonical name, `layers.3.q_proj` or `embedding`."""
        if name in self.weights:
            return self.weights[name]
        _, layer, tensor = name.split(".")
        return self.layers[int(layer)].weights[tensor]

    @property
    def final_norm_shift(self) -> int:
        """Shift of NORM.3 of the final norm."""
        return norm_shift(self.weights["final_norm"], self.head.final_norm)

    @property
    def final_norm_root(self) -> int:
        """K of NORM.2 of the final norm."""
        return root_bits(self.weights["final_norm"], self.head.final_norm)

    @property
    def logits_shift(self) -> int:
        """Shift of VOC.2."""
        return self.head.final_norm + self.weights["embedding"] - self.head.logits

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `from_dict` inverts it exactly."""
        layers = [layer.to_dict() for layer in self.layers]
        return {"layers": layers, "weights": dict(self.weights), "head": self.head.to_dict()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ModelScales:
        """Rebuilds scales from `to_dict`'s output."""
        if set(raw) != {"layers", "weights", "head"}:
            raise CircuitError("circuit-scale", "scales: missing or unknown fields")
        return cls(
            layers=tuple(LayerScales.from_dict(layer) for layer in raw["layers"]),
            weights=dict(raw["weights"]),
            head=HeadScales.from_dict(_mapping(raw["head"])),
        )
