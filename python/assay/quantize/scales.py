"""The scales of an exact model, fitted on what the float model was seen to do.

Statistics are the largest magnitudes at each site over the calibration texts, with a factor of two as
headroom. Where a value is wide anyway its fraction follows from the circuit instead: limbs are 16 bits, so
every width up to the next multiple costs the same, and the choices below spend the spare bits on precision.

| site | fraction bits |
| --- | --- |
| boundary l | the residual stream, and what is added to it, in 26 signed bits; not increasing with l |
| input_norm, q_norm, k_norm | 14 more than their gains: the remainder of the norm is then two whole limbs |
| pre_feedforward_norm | 8 more than its gains, fewer if the gate's remainder would pass one limb |
| q_proj, k_proj, o_proj, down_proj | what their norm can take (its squares stay below 2^62) |
| q_rope, k_rope | two fewer than the norm: a remainder of one limb |
| scores, v_proj | 16 signed bits |
| attention | two more than v_proj |
| gate_proj | 12: the table of GELU then ends at +-8 |
| product | 24 signed bits, or as many as its clamp allows; product_bits grows to 32 for it |
| up_proj | two limbs, and a remainder of the product of one limb |
| logits | 16 signed bits |
| final_norm | 20 signed bits, or fewer so that the remainder of the logits is one limb |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

from assay.circuits.gemma3 import VALUE_BITS, WIDE_BITS, addend_bits, square_bits
from assay.circuits.head import INPUT_BITS
from assay.circuits.inverse_sqrt import LENGTH
from assay.circuits.residual import BITS as RESIDUAL_BITS
from assay.circuits.scales import INVERSE_ROOT_BITS, NORMS, WEIGHTS, HeadScales, LayerScales, ModelScales
from assay.errors import QuantizationError
from assay.model.config import Gemma3Config

__all__ = ["HEADROOM", "HeadScales", "LayerScales", "ModelScales", "derive_scales", "fraction_bits"]

HEADROOM = 2.0
WEIGHT_BITS = 16
GATE_BITS = 12
PRODUCT_BITS = 24
LARGEST_FRACTION = 30
_LIMB = 16
_WIDE_SHIFT = 32  # remainder of two whole limbs
_GATED_SHIFT = 38
_CLAMP_REACH = 14  # a clamped value may pass its width by a factor of 2^14: the rows of its table
_GAIN_DROP = 1


def fraction_bits(largest: float, bits: int, *, headroom: float = 1.0) -> int:
    """Most fraction bits f with largest * headroom * 2^f <= 2^(bits-1) - 1, at most 30."""
    if not math.isfinite(largest) or largest < 0:
        raise QuantizationError("non-finite-statistics", f"a largest magnitude of {largest}")
    limit = (1 << (bits - 1)) - 1
    f = LARGEST_FRACTION
    while largest * headroom * 2.0**f > limit:
        f -= 1
    return f


def derive_scales(
    config: Gemma3Config, statistics: Mapping[str, float], weight_max: Mapping[str, float]
) -> ModelScales:
    """Scales of a model from largest magnitudes by site (`layers.3.scores`, `logits`) and by tensor name."""
    seen = _Statistics(statistics)
    layers = [_Layer(config, seen, weight_max, layer) for layer in range(config.num_layers)]
    boundaries = _boundaries(layers)
    scales = tuple(
        layer.scales(before, after)
        for layer, before, after in zip(layers, boundaries, boundaries[1:], strict=False)
    )
    gain = _of(weight_max, "final_norm") * math.sqrt(config.hidden_size)
    outside = {
        "embedding": fraction_bits(_of(weight_max, "embedding"), WEIGHT_BITS),
        "final_norm": fraction_bits(gain, WEIGHT_BITS),
    }
    return ModelScales(layers=scales, weights=outside, head=_head(config, seen, outside))


def _head(config: Gemma3Config, seen: _Statistics, weights: Mapping[str, int]) -> HeadScales:
    """Both sites, as far as their shifts stay possible."""
    logits, weight = seen.fit_site("logits", VALUE_BITS), weights["embedding"]
    normed = min(
        seen.fit_site("final_norm.out", INPUT_BITS),
        INVERSE_ROOT_BITS + weights["final_norm"] - _least_shift(LENGTH << 15, INPUT_BITS),
        logits + _LIMB - weight,
    )
    least = _least_shift(config.hidden_size << (INPUT_BITS - 1 + 15), VALUE_BITS)
    return HeadScales(final_norm=normed, logits=min(logits, normed + weight - least))


def _of(values: Mapping[str, float], name: str) -> float:
    if name not in values:
        raise QuantizationError("missing-statistics", f"no largest magnitude of {name}")
    return values[name]


@dataclass(frozen=True, slots=True)
class _Statistics:
    """Largest magnitudes by site, and how many fraction bits they leave."""

    values: Mapping[str, float]

    def of(self, layer: int, site: str) -> float:
        return _of(self.values, f"layers.{layer}.{site}")

    def fit(self, layer: int, site: str, bits: int, *, scale: float = 1.0) -> int:
        return fraction_bits(self.of(layer, site) * scale, bits, headroom=HEADROOM)

    def fit_site(self, site: str, bits: int) -> int:
        return fraction_bits(_of(self.values, site), bits, headroom=HEADROOM)


def _product_bound(length: int, inputs: int) -> int:
    """|acc| of a linear layer on rows of this length: Cauchy-Schwarz with int16 weights."""
    return length * (isqrt(inputs << 30) + 1)


def _norm_length(size: int, shift: int) -> int:
    """Length of a norm's output row, as circuits.rms_norm has it."""
    return ((LENGTH << 15) >> shift) + isqrt(size) + 2


def _least_shift(bound: int, bits: int) -> int:
    """Least shift, at least 1, after which a clamp to `bits` has a table small enough."""
    return max(1, (bound - 1).bit_length() - bits - _CLAMP_REACH)


class _Layer:
    """Scales of one layer."""

    def __init__(
        self, config: Gemma3Config, seen: _Statistics, weight_max: Mapping[str, float], layer: int
    ) -> None:
        self.config, self.seen, self.index = config, seen, layer
        self.weights = {name: self._weight(weight_max, name) for name in WEIGHTS}

    def _weight(self, weight_max: Mapping[str, float], name: str) -> int:
        size = self.config.layer_shapes()[name][0]
        factor = math.sqrt(size) if name in NORMS else 1.0
        largest = _of(weight_max, f"layers.{self.index}.{name}") * factor
        return fraction_bits(largest, WEIGHT_BITS)

    def scales(self, residual_in: int, residual_out: int) -> LayerScales:
        """All sites, given the boundaries."""
        attention = self._attention()
        return LayerScales(
            residual_in=residual_in,
            residual_out=residual_out,
            **attention,
            **self._feed_forward(),
            weights=self.weights,
        )

    def boundary(self) -> int:
        """Most fraction bits of the boundary before this layer: the stream and both addends have to fit."""
        first = addend_bits(self.config.hidden_size)
        return min(
            self._fit("residual_in", RESIDUAL_BITS),
            self._fit("residual_mid", RESIDUAL_BITS),
            self._fit("post_attention_norm.out", first),
            self._normed("post_attention_norm", _least_shift(LENGTH << 15, first)),
            self._normed("post_feedforward_norm", _least_shift(LENGTH << 15, WIDE_BITS)),
        )

    def last_boundary(self) -> int:
        """The same of the boundary after this layer, if it is the last."""
        return self._fit("residual_out", RESIDUAL_BITS)

    def _fit(self, site: str, bits: int, *, scale: float = 1.0) -> int:
        return self.seen.fit(self.index, site, bits, scale=scale)

    def _linear(self, name: str, into: int, bound: int, bits: int) -> int:
        """Fraction bits of a clamped linear layer: calibrated, as far as its shift stays possible."""
        return min(self._fit(f"{name}.out", bits), into + self.weights[name] - _least_shift(bound, bits))

    def _attention(self) -> dict[str, int]:
        config = self.config
        scores = self._fit("scores", 16, scale=math.sqrt(config.query_pre_attn_scalar))
        self._trim_gains(scores)
        q, k = (self._normed(f"{name}_norm", _WIDE_SHIFT) for name in "qk")
        length = (_norm_length(config.head_dim, _WIDE_SHIFT) >> 1) + config.head_dim  # more than after ROPE.1
        scores = min(scores, q + k - 4 - _least_shift(length * length, 16))
        normed = self._normed("input_norm", _WIDE_SHIFT)
        bound = _product_bound(_norm_length(config.hidden_size, _WIDE_SHIFT), config.hidden_size)
        v = self._linear("v_proj", normed, bound, 16)
        o = v + 2
        width = config.num_heads * config.head_dim
        return {
            "input_norm": normed,
            "q_proj": self._linear("q_proj", normed, bound, square_bits(config.head_dim)),
            "k_proj": self._linear("k_proj", normed, bound, square_bits(config.head_dim)),
            "v_proj": v,
            "q_norm": q,
            "k_norm": k,
            "q_rope": q - 2,
            "k_rope": k - 2,
            "scores": scores,
            "attention": o,
            "o_proj": self._linear("o_proj", o, width << 32, square_bits(config.hidden_size)),
        }

    def _normed(self, norm: str, shift: int) -> int:
        return INVERSE_ROOT_BITS + self.weights[norm] - shift

    def _trim_gains(self, scores: int) -> None:
        """Gives up a bit of the q and k gains where the scores' remainder then takes two limbs, not three."""
        extra = 2 * (INVERSE_ROOT_BITS - _WIDE_SHIFT - 2) - scores - 2 * _LIMB
        over = self.weights["q_norm"] + self.weights["k_norm"] + extra
        if 0 < over <= 2 * _GAIN_DROP:
            self.weights["q_norm"] -= 1
            self.weights["k_norm"] -= over - 1

    def _feed_forward(self) -> dict[str, int]:
        config, w = self.config, self.weights
        gate = GATE_BITS
        shift = max(
            _GATED_SHIFT, INVERSE_ROOT_BITS + w["pre_feedforward_norm"] + w["gate_proj"] - gate - _LIMB
        )
        normed = self._normed("pre_feedforward_norm", shift)
        bound = _product_bound(_norm_length(config.hidden_size, shift), config.hidden_size)
        gate = min(gate, normed + w["gate_proj"] - _least_shift(bound, 16))
        # |gelu(gate) * up| with gate.fraction + up.fraction = 0 fraction bits, as a power of two
        reach = 2 * bound.bit_length() - 2 * normed - w["gate_proj"] - w["up_proj"]
        product = min(self._fit("mlp.product", PRODUCT_BITS), 2 * _LIMB + _CLAMP_REACH - reach)
        bits = max(PRODUCT_BITS, reach + product - _CLAMP_REACH)
        up_shift = max(1, bound.bit_length() - 2 * _LIMB + 1)
        up = min(normed + w["up_proj"] - up_shift, product + _LIMB - gate)
        summed = config.intermediate_size << (bits - 1 + 15)
        return {
            "pre_feedforward_norm": normed,
            "gate_proj": gate,
            "up_proj": up,
            "product": product,
            "product_bits": bits,
            "down_proj": self._linear("down_proj", product, summed, square_bits(config.hidden_size)),
        }


def _boundaries(layers: Sequence[_Layer]) -> list[int]:
    """Fraction bits of boundaries 0 to L, not increasing."""
    fits = [layer.boundary() for layer in layers] + [layers[-1].last_boundary()]
    return [min(fits[: index + 1]) for index in range(len(fits))]
