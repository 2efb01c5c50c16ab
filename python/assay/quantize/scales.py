"""The scales of an exact model, fitted on what the float model was seen to do.

Statistics are the largest magnitudes at each site over the calibration texts, with a factor of two as
headroom. Where a value is wide anyway its fraction follows from the circuit instead: every width that takes
the same number of limbs costs the same, and the choices below spend the spare bits on precision.

| site | fraction bits |
| --- | --- |
| boundary l | the residual stream, and what is added to it, in 26 signed bits; not increasing with l |
| input_norm, pre_feedforward_norm | 24 signed bits; fewer so that gate and up round off one limb |
| q_norm, k_norm | one limb for any gains |
| q_proj, k_proj, o_proj, down_proj | what their norm can take (its squares stay below 2^62), see below |
| scores | 16 signed bits |
| v_proj, up_proj | 18 signed bits |
| gate_proj | 12, 11, ...: the table of GELU ends at 8, 24, 56, ..., half as much beyond calibrated gates |
| logits | 16 signed bits |
| final_norm | 20 signed bits, or fewer so that the remainder of the logits is one limb |

What feeds a norm takes whatever its accumulator can reach, without a clamp, where that leaves calibrated
values 12 bits; else it is calibrated and clamped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

from assay.circuits.attention import SCORE_BITS, UNIT_BITS
from assay.circuits.gated_mlp import BELOW, TABLE_BITS
from assay.circuits.gemma3 import UP_BITS, VALUE_BITS, WIDE_BITS, addend_bits, fits_a_norm, square_bits
from assay.circuits.head import INPUT_BITS
from assay.circuits.limbs import WHOLE_BITS
from assay.circuits.residual import BITS as RESIDUAL_BITS
from assay.circuits.rms_norm import row_length
from assay.circuits.rope import ANGLE_BITS
from assay.circuits.scales import (
    NORMS,
    WEIGHTS,
    HeadScales,
    LayerScales,
    ModelScales,
    norm_shift,
    root_bits,
)
from assay.circuits.vocabulary import LOGIT_BITS
from assay.errors import QuantizationError
from assay.model.config import Gemma3Config

__all__ = ["HEADROOM", "HeadScales", "LayerScales", "ModelScales", "derive_scales", "fraction_bits"]

HEADROOM = 2.0
GATE_HEADROOM = 1.5
WEIGHT_BITS = 16
GATE_BITS = 12
LARGEST_FRACTION = 30
_NORMED_BITS = 24
_TURNED_BITS = WHOLE_BITS  # of queries and keys: their products stay below 2^62
_CLAMP_REACH = 14  # a clamped value may pass its width by a factor of 2^14: the rows of its table
_CALIBRATED_BITS = 12  # what is worth a limb less than a clamp


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
    logits, weight = seen.fit_site("logits", LOGIT_BITS), weights["embedding"]
    normed = min(
        seen.fit_site("final_norm.out", INPUT_BITS),
        _normed(weights["final_norm"], INPUT_BITS + _CLAMP_REACH),
        logits + WHOLE_BITS - weight,
    )
    least = _least_shift(config.hidden_size << (INPUT_BITS - 1 + 15), LOGIT_BITS)
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


def _normed(gain: int, bits: int) -> int:
    """Fraction bits of a norm's output with so many signed bits for any gains, of `gain` fraction bits."""
    return gain + bits - WEIGHT_BITS


def _norm_length(size: int, gain: int, out: int) -> int:
    """Length of a norm's output row, as circuits.rms_norm has it."""
    return row_length(size, root_bits(gain, out), norm_shift(gain, out))


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
            _normed(self.weights["post_attention_norm"], first + _CLAMP_REACH),
            _normed(self.weights["post_feedforward_norm"], WIDE_BITS + _CLAMP_REACH),
        )

    def last_boundary(self) -> int:
        """The same of the boundary after this layer, if it is the last."""
        return self._fit("residual_out", RESIDUAL_BITS)

    def _fit(self, site: str, bits: int, *, scale: float = 1.0) -> int:
        return self.seen.fit(self.index, site, bits, scale=scale)

    def _linear(self, name: str, into: int, bound: int, bits: int) -> int:
        """Fraction bits of a clamped linear layer: calibrated, as far as its shift stays possible."""
        return min(self._fit(f"{name}.out", bits), into + self.weights[name] - _least_shift(bound, bits))

    def _normable(self, name: str, into: int, bound: int, row: int) -> int:
        """Fraction bits of a linear layer whose output feeds a norm over `row` entries."""
        shift = max(1, bound.bit_length() - square_bits(row) - 1)
        while not fits_a_norm(bound, shift, row):
            shift += 1
        free = into + self.weights[name] - shift
        if self.seen.of(self.index, f"{name}.out") * 2.0**free >= 1 << _CALIBRATED_BITS:
            return free
        return self._linear(name, into, bound, square_bits(row))

    def _attention(self) -> dict[str, int]:
        config, w = self.config, self.weights
        normed = _normed(w["input_norm"], _NORMED_BITS)
        bound = self._bound("input_norm", normed)
        q, k = (_normed(w[f"{name}_norm"], _TURNED_BITS) for name in "qk")
        turned = [
            _norm_length(config.head_dim, w[f"{name}_norm"], normed) * ((1 << ANGLE_BITS) + 1)
            for name, normed in (("q", q), ("k", k))
        ]
        scores = self._scores(q + k + 2 * ANGLE_BITS, turned[0] * turned[1])
        v = self._linear("v_proj", normed, bound, VALUE_BITS)
        summed = config.num_heads * config.head_dim << (UNIT_BITS + 1 + VALUE_BITS - 1 + WEIGHT_BITS - 1)
        return {
            "input_norm": normed,
            "q_proj": self._normable("q_proj", normed, bound, config.head_dim),
            "k_proj": self._normable("k_proj", normed, bound, config.head_dim),
            "v_proj": v,
            "q_norm": q,
            "k_norm": k,
            "scores": scores,
            "o_proj": self._normable("o_proj", v + UNIT_BITS, summed, config.hidden_size),
        }

    def _scores(self, fraction: int, bound: int) -> int:
        """Fraction bits of scores, from products of `fraction`: calibrated, as far as a shift is possible."""
        calibrated = self._fit("scores", SCORE_BITS, scale=math.sqrt(self.config.query_pre_attn_scalar))
        least, most = _least_shift(bound, SCORE_BITS), max(1, bound.bit_length() - SCORE_BITS - 2)
        return fraction - min(max(fraction - calibrated, least), most)

    def _bound(self, norm: str, out: int) -> int:
        """|acc| of a linear layer after a norm over the hidden size."""
        size = self.config.hidden_size
        return _product_bound(_norm_length(size, self.weights[norm], out), size)

    def _feed_forward(self) -> dict[str, int]:
        config, w = self.config, self.weights
        gate = self._gate()
        normed = min(
            _normed(w["pre_feedforward_norm"], _NORMED_BITS),
            gate + WHOLE_BITS - w["gate_proj"],
            self._fit("up_proj.out", UP_BITS) + WHOLE_BITS - w["up_proj"],
        )
        bound = self._bound("pre_feedforward_norm", normed)
        gate = min(gate, normed + w["gate_proj"] - _least_shift(bound, TABLE_BITS))
        up = self._linear("up_proj", normed, bound, UP_BITS)
        summed = config.intermediate_size << (TABLE_BITS + UP_BITS - 1 + WEIGHT_BITS - 1)
        return {
            "pre_feedforward_norm": normed,
            "gate_proj": gate,
            "up_proj": up,
            "down_proj": self._normable("down_proj", gate + up, summed, config.hidden_size),
        }

    def _gate(self) -> int:
        """Most fraction bits, at most 12, with which the table of GELU ends beyond calibrated gates."""
        largest = self.seen.of(self.index, "gate_proj.above") * GATE_HEADROOM
        gate = GATE_BITS
        while gate > 0 and largest > (1 << (TABLE_BITS - gate)) - BELOW:
            gate -= 1
        return gate


def _boundaries(layers: Sequence[_Layer]) -> list[int]:
    """Fraction bits of boundaries 0 to L, not increasing."""
    fits = [layer.boundary() for layer in layers] + [layers[-1].last_boundary()]
    return [min(fits[: index + 1]) for index in range(len(fits))]
