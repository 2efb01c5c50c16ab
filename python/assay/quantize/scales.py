"""The scales of an exact model, fitted on what the float model was seen to do.

Statistics are the largest magnitudes at each site over the calibration texts, with a factor of two as
headroom. Where a value is wide anyway its fraction follows from the circuit instead: every width that takes
the same number of limbs costs the same, and the choices below spend the spare bits on precision. A layer's
circuit is built over the longest context, each site's number is chosen when the circuit asks for it.

| what reads the value | fraction bits |
| --- | --- |
| a boundary, or a sum within a layer | what fits the stream and what is added to it; not increasing |
| a linear layer, of a boundary that a norm gives | fewer so that its own output rounds off one limb |
| a linear layer, of a norm | 24 signed bits; fewer so that what it feeds rounds off one limb |
| rotary embedding, of a norm | one limb for any gains |
| a norm, of a linear layer | what the norm can take (its squares stay below 2^62), see below |
| scores | 16 signed bits |
| attention, rotary embedding or a product, of a linear layer | the bits of its clamp |
| an activation | 12, 11, ...: its table ends at 8, 24, 56, ..., half as much beyond calibrated values |
| logits | 16 signed bits |
| the head, of the final norm | 20 signed bits, or fewer so that the remainder of the logits is one limb |

What feeds a norm takes whatever its accumulator can reach, without a clamp, where that leaves calibrated
values 12 bits; else it is calibrated and clamped. It has no more bits than leave 8 to the inverse root of a
row's squares.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

from assay.circuits.activation import KINDS, TABLE_BITS
from assay.circuits.architecture import ADDED, TURNED, Architecture
from assay.circuits.attention import SCORE_BITS
from assay.circuits.head import INPUT_BITS
from assay.circuits.layer import relations
from assay.circuits.limbs import WHOLE_BITS
from assay.circuits.relations import Fit, fits_a_norm, square_bits
from assay.circuits.residual import stream_bits
from assay.circuits.scales import HeadScales, LayerScales, ModelScales, is_gain, reaching
from assay.circuits.softmax import LONGEST
from assay.circuits.vocabulary import LOGIT_BITS
from assay.errors import QuantizationError

__all__ = [
    "HEADROOM",
    "HeadScales",
    "LayerScales",
    "ModelScales",
    "derive_scales",
    "fraction_bits",
    "typical_scales",
]

HEADROOM = 2.0
GATE_HEADROOM = 1.5
WEIGHT_BITS = 16
LARGEST_FRACTION = 30
_BIAS_FRACTION = 18  # of a bias, at most
_INPUT_FRACTION = 4  # of what a linear layer with a bias reads, at least
_VALUE_BITS = 18
_ADDED_BITS = 4  # that positions and token types may have more than the embedding
_OPERAND_BITS = 15  # about what queries and keys are clamped to
_NORMED_BITS = 24
_TURNED_BITS = WHOLE_BITS  # of queries and keys: their products stay below 2^62
_CLAMP_REACH = 14  # a clamped value may pass its width by a factor of 2^14: the rows of its table
_TYPICAL_VALUE, _TYPICAL_WEIGHT, _TYPICAL_GAIN = 20.0, 0.5, 2.0  # largest magnitudes
_CALIBRATED_BITS = 12  # what is worth a limb less than a clamp
_INVERSE_BITS = 8  # of an inverse root, were all of a row as large as its largest; rows have more


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
    config: Architecture, statistics: Mapping[str, float], weight_max: Mapping[str, float]
) -> ModelScales:
    """Scales of a model from largest magnitudes by site (`layers.3.scores`, `logits`) and by tensor name."""
    seen = _Statistics(statistics)
    shapes = config.layer_shapes()
    weights = [_weight_bits(shapes, weight_max, f"layers.{i}.") for i in range(config.num_layers)]
    outside = _weight_bits({**config.tables(), **config.outside_shapes()}, weight_max, "")
    most = _limits(config, seen, weights, _first_boundary(config, outside))
    layers = []
    for index, sites in enumerate(most):
        fit = _Layer(seen, index, weights[index], sites)
        relations(config, fit, index, _length(config))
        layers.append(LayerScales(fit.sites, weights[index]))
    head = None if config.encodes else _head(config, seen, outside)
    return ModelScales(layers=tuple(layers), weights=outside, head=head)


def typical_scales(config: Architecture) -> ModelScales:
    """Scales of a model that nobody has calibrated; what its circuits cost hardly depends on them."""
    weights = {n: _TYPICAL_GAIN if is_gain(n) else _TYPICAL_WEIGHT for n in config.tensor_shapes()}
    return derive_scales(config, defaultdict(lambda: _TYPICAL_VALUE), weights)


def _first_boundary(config: Architecture, weights: Mapping[str, int]) -> int:
    """Most fraction bits of boundary 0."""
    if "embedding_norm" not in weights:
        return LARGEST_FRACTION
    gain = reaching(weights["embedding_norm"], weights["embedding_norm_bias"])
    return min(LARGEST_FRACTION, _normed(gain, stream_bits(config.hidden_size) + _CLAMP_REACH))


def _limits(
    config: Architecture, seen: _Statistics, weights: Sequence[Mapping[str, int]], first: int
) -> list[dict[str, int]]:
    """The most fraction bits of each layer's boundaries, not increasing, and of other sites of sums."""
    bits = [first] * (config.num_layers + 1)
    inner: list[dict[str, int]] = [{} for _ in range(config.num_layers)]

    def sites(index: int) -> dict[str, int]:
        return {**inner[index], "residual_in": bits[index], "residual_out": bits[index + 1]}

    for index in range(config.num_layers):
        while True:
            try:
                relations(config, _Layer(seen, index, weights[index], sites(index)), index, _length(config))
                break
            except _TooFineError as error:
                if error.site in ("residual_in", "residual_out"):
                    at = index + (error.site == "residual_out")
                    bits[at:] = [min(b, error.most) for b in bits[at:]]
                else:
                    inner[index][error.site] = error.most
    return [sites(index) for index in range(config.num_layers)]


def _length(config: Architecture) -> int:
    return min(config.max_position, LONGEST)


def _weight_bits(
    shapes: Mapping[str, tuple[int, ...]], weight_max: Mapping[str, float], prefix: str
) -> dict[str, int]:
    """Fraction bits of weights; of gain * sqrt(n) for a gain.

    A bias has no more than the product that it is added to, of whatever the layer reads, and a gain no more
    than its bias, whose rounding would hide what else it has.
    """
    out = {}
    for name, shape in shapes.items():
        factor = math.sqrt(shape[0]) if is_gain(name) else 1.0
        out[name] = fraction_bits(_of(weight_max, prefix + name) * factor, WEIGHT_BITS)
    for name in shapes:
        bias = f"{name}_bias"
        if bias in out:
            out[bias] = min(out[bias], _BIAS_FRACTION)
            if is_gain(name):
                out[name] = min(out[name], out[bias])
            else:
                out[bias] = min(out[bias], out[name] + _INPUT_FRACTION)
        if name in ADDED:
            out[name] = min(out[name], out["embedding"] + _ADDED_BITS)
    return out


def _head(config: Architecture, seen: _Statistics, weights: Mapping[str, int]) -> HeadScales:
    """Both sites, as far as their shifts stay possible."""
    logits, weight = seen.fit("logits", LOGIT_BITS), weights[config.head]
    gain, bias = weights["final_norm"], weights.get("final_norm_bias")
    normed = min(
        seen.fit("final_norm.out", INPUT_BITS),
        _normed(gain if bias is None else reaching(gain, bias), INPUT_BITS + _CLAMP_REACH),
        logits + WHOLE_BITS - weight,
    )
    least = _least_shift(config.hidden_size << (INPUT_BITS - 1 + 15), LOGIT_BITS)
    return HeadScales(final_norm=normed, logits=min(logits, normed + weight - least))


def _of(values: Mapping[str, float], name: str) -> float:
    try:
        return values[name]
    except KeyError:
        raise QuantizationError("missing-statistics", f"no largest magnitude of {name}") from None


@dataclass(frozen=True, slots=True)
class _Statistics:
    """Largest magnitudes by site, and how many fraction bits they leave."""

    values: Mapping[str, float]

    def of(self, site: str) -> float:
        return _of(self.values, site)

    def fit(self, site: str, bits: int, *, scale: float = 1.0) -> int:
        return fraction_bits(self.of(site) * scale, bits, headroom=HEADROOM)


def _normed(gain: int, bits: int) -> int:
    """Fraction bits of a norm's output with so many signed bits for any gains, of `gain` fraction bits."""
    return gain + bits - WEIGHT_BITS


def _least_shift(bound: int, bits: int) -> int:
    """Least shift, at least 1, after which a clamp to `bits` has a table small enough."""
    return max(1, (bound - 1).bit_length() - bits - _CLAMP_REACH)


class _TooFineError(Exception):
    """A site has more fraction bits than what is added to it, or the sum, can have."""

    def __init__(self, site: str, most: int) -> None:
        super().__init__(site, most)
        self.site, self.most = site, most


class _Layer:
    """Scales of one layer, chosen when they are asked for; both `Scales` and `Fit` of assay.circuits."""

    def __init__(
        self, seen: _Statistics, index: int, weights: Mapping[str, int], most: Mapping[str, int]
    ) -> None:
        self.seen, self.index, self.weights = seen, index, weights
        self.sites: dict[str, int] = {}
        self._most = most

    # ---- scales ----

    def site(self, name: str, fit: Callable[[Fit], int]) -> int:
        if name not in self.sites:
            found = fit(self)
            self.sites[name] = min(found, self._most.get(name, found))
        return self.sites[name]

    def limit(self, site: str, fraction: int, most: Callable[[Fit], int]) -> None:
        if (limit := most(self)) < fraction:
            raise _TooFineError(site, limit)

    # ---- fit ----

    def stream(self, site: str) -> int:
        return self._most[site]

    def normed(self, name: str, gain: int, feeds: Mapping[str, str]) -> int:
        return min([_normed(gain, _NORMED_BITS), *(self.fed(*item) for item in feeds.items())])

    def fed(self, name: str, reader: str) -> int:
        return self._wanted(name, reader) + WHOLE_BITS - self.weights[name]

    def turned(self, name: str, gain: int) -> int:
        return _normed(gain, _TURNED_BITS)

    def normable(self, name: str, fraction: int, bound: int, row: int, root: int) -> int:
        shift = max(1, bound.bit_length() - square_bits(row) - 1)
        while not fits_a_norm(bound, shift, row):
            shift += 1
        largest = self.seen.of(self._name(f"{name}.out"))
        width = max(root - _INVERSE_BITS - isqrt(row).bit_length(), _CALIBRATED_BITS)
        kept = fraction_bits(largest, width + 1)
        if largest * 2.0 ** (fraction - shift) >= 1 << _CALIBRATED_BITS:
            return min(fraction - shift, kept)
        return min(self.clamped(name, fraction, bound, square_bits(row)), kept)

    def clamped(self, name: str, fraction: int, bound: int, bits: int) -> int:
        return min(self._fit(f"{name}.out", bits), fraction - _least_shift(bound, bits))

    def scores(self, fraction: int, bound: int, scalar: int) -> int:
        calibrated = self._fit("scores", SCORE_BITS, scale=math.sqrt(scalar))
        least, most = _least_shift(bound, SCORE_BITS), max(1, bound.bit_length() - SCORE_BITS - 2)
        return fraction - min(max(fraction - calibrated, least), most)

    def gate(self, name: str, kind: str, fraction: int, bound: int) -> int:
        return min(self._gate(name, kind), fraction - _least_shift(bound, TABLE_BITS))

    def addend(self, name: str, fraction: int, bound: int, bits: int) -> int:
        return self.clamped(name, fraction, bound, bits)

    def normed_addend(self, name: str, gain: int, bits: int, *, calibrated: bool) -> int:
        widest = _normed(gain, bits + _CLAMP_REACH)
        return min(widest, self._fit(f"{name}.out", bits)) if calibrated else widest

    def sum(self, site: str, bits: int) -> int:
        return self._fit(site, bits)

    def reached(self, fraction: int, bound: int, bits: int) -> int:
        return fraction - _least_shift(bound, bits)

    # ---- parts ----

    def _name(self, site: str) -> str:
        return f"layers.{self.index}.{site}"

    def _fit(self, site: str, bits: int, *, scale: float = 1.0) -> int:
        return self.seen.fit(self._name(site), bits, scale=scale)

    def _wanted(self, name: str, reader: str) -> int:
        """Fraction bits of a linear layer whose input may have any."""
        if reader in KINDS:
            return self._gate(name, reader)
        return self._fit(f"{name}.out", _OPERAND_BITS if reader == TURNED else _VALUE_BITS)

    def _gate(self, name: str, kind: str) -> int:
        """Most fraction bits with which the activation's table ends beyond calibrated values."""
        largest = self.seen.of(self._name(f"{name}.above")) * GATE_HEADROOM
        gate = KINDS[kind].most_fraction
        while gate > 0 and largest > (1 << (TABLE_BITS - gate)) - KINDS[kind].below:
            gate -= 1
        return gate
