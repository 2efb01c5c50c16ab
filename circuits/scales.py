"""The scales of an exact model: how many fraction bits each committed quantity has.

A real quantity a is the integer round(a * 2^f); f is the site's fraction bits. All re-quantisations are
then pure shifts, and a circuit needs nothing but these numbers and the shapes. They are public.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.circuits.inverse_sqrt import ROOT_BITS
from assay.circuits.limbs import LIMB_BITS

from assay.graph import CircuitError

_LIMIT = 62
_LEAST_ROOT_BITS = 24
_STREAM = ("residual_in", "residual_out")


def is_gain(name: str) -> bool:
    """Whether a tensor is a norm's gain, by its name."""
    return name.endswith("_norm")


@dataclass(frozen=True, slots=True)
class LayerScales:
    """Fraction bits of one layer: of its sites, by the names that its architecture gives them, and weights.

    A gain's count is that of gain * sqrt(n). `scores` are q k before the division by sqrt(query scalar).
    """

    sites: Mapping[str, int]
    weights: Mapping[str, int]

    def __post_init__(self) -> None:
        numbers = [*self.weights.values(), *self.sites.values()]
        if any(type(v) is not int or not -_LIMIT <= v <= _LIMIT for v in numbers):
            raise CircuitError("circuit-scale", f"scales: fraction bits are integers of at most {_LIMIT}")
        if any(name not in self.sites for name in _STREAM):
            raise CircuitError("circuit-scale", "scales: missing or unknown fields")
        if self.residual_out > self.residual_in:
            raise CircuitError(
                "circuit-scale", "scales: a boundary has more fraction bits than the one before it"
            )

    @property
    def residual_in(self) -> int:
        """Of the boundary before the layer."""
        return self.sites["residual_in"]

    @property
    def residual_out(self) -> int:
        """Of the boundary after the layer."""
        return self.sites["residual_out"]

    def changed(self, **sites: int) -> LayerScales:
        """The same with other numbers at these sites."""
        return LayerScales({**self.sites, **sites}, self.weights)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `from_dict` inverts it exactly."""
        return {**self.sites, "weights": dict(self.weights)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> LayerScales:
        """Rebuilds scales from `to_dict`'s output."""
        sites = dict(raw)
        return cls(sites, dict(_mapping(sites.pop("weights", None))))


def root_bits(gain: int, out: int) -> int:
    """K of NORM.2 for a gain of `gain` fraction bits and an output of `out`: the remainder takes two limbs.

    46 where that leaves a smaller one, and never fewer than 24.
    """
    return min(ROOT_BITS, max(_LEAST_ROOT_BITS, 2 * LIMB_BITS + out - gain))


def reaching(gain: int, bias: int) -> int:
    """Fraction bits of a gain that alone lets a norm's output reach as far as a gain and a bias do."""
    return min(gain, bias) - 1


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

    @property
    def sites(self) -> Mapping[str, int]:
        """Those of the final norm's circuit."""
        return {"final_norm": self.final_norm}

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `from_dict` inverts it exactly."""
        return {"final_norm": self.final_norm, "logits": self.logits}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> HeadScales:
        """Rebuilds scales from `to_dict`'s output."""
        if set(raw) != {"final_norm", "logits"}:
            raise CircuitError("circuit-scale", "scales: missing or unknown fields")
        return cls(**raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelScales:
    """Scales of every layer, in order, of what follows them, and of the tensors outside the layers.

    Layers agree at the boundaries they share: residual_out of one is residual_in of the next. An encoder has
    no head.
    """

    layers: tuple[LayerScales, ...]
    weights: Mapping[str, int]
    head: HeadScales | None

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
    def of_head(self) -> HeadScales:
        """Those of the head, of a model that has one."""
        if self.head is None:
            raise CircuitError("circuit-scale", "scales: an encoder has no head")
        return self.head

    @property
    def logits_shift(self) -> int:
        """Shift of VOC.2."""
        head = self.of_head
        return head.final_norm + self.weights.get("lm_head", self.weights["embedding"]) - head.logits

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `from_dict` inverts it exactly."""
        head = {} if self.head is None else {"head": self.head.to_dict()}
        return {
            "layers": [layer.to_dict() for layer in self.layers],
            "weights": dict(self.weights),
            **head,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ModelScales:
        """Rebuilds scales from `to_dict`'s output."""
        if set(raw) - {"head"} != {"layers", "weights"}:
            raise CircuitError("circuit-scale", "scales: missing or unknown fields")
        return cls(
            layers=tuple(LayerScales.from_dict(layer) for layer in raw["layers"]),
            weights=dict(raw["weights"]),
            head=HeadScales.from_dict(_mapping(raw["head"])) if "head" in raw else None,
        )
