"""One decoder layer of Gemma 3 (arXiv:2503.19786) as a circuit, from boundary l to boundary l + 1.

    (G3.1)   x    = boundary.l, ranged                                    RES.1
    (G3.2)   h    = rms_norm(x, input_norm)                               NORM
    (G3.3)   q, k = h q_proj^T, h k_proj^T, wide;  v = clamp18            LIN
    (G3.4)   q, k = rope(rms_norm(q)), rope(rms_norm(k)), a head a row    NORM, ROPE
    (G3.5)   o    = attention(q, k, v), causal, windowed in sliding layers    ATT
    (G3.6)   y_1  = rms_norm(o o_proj^T, post_attention_norm)             LIN, NORM
    (G3.7)   h_2  = rms_norm(x + y_1, pre_feedforward_norm)               RES.2, NORM
    (G3.8)   a    = gelu(h_2 gate_proj^T) * clamp18(h_2 up_proj^T)        GATE
    (G3.9)   n_2  = rms_norm(a down_proj^T, post_feedforward_norm), not rounded    LIN, NORM
    (G3.10)  boundary.(l+1) = clamp26(round(x + y_1 + n_2))               RES.3

Rows are positions 0 to T - 1; heads are split by seeing [T, H n] as [T H, n]. Widths follow from the bounds
of what came before: a value that feeds a norm stays wide as long as n max^2 < 2^62, else it is clamped to
what fits. o and a are exact: what they feed rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any, Protocol, TypeAlias

from assay.circuits.attention import AttentionShape, attention
from assay.circuits.fixed_point import inverse_sqrt_times
from assay.circuits.gated_mlp import activation, gated_product
from assay.circuits.linear import linear
from assay.circuits.residual import BITS as RESIDUAL_BITS
from assay.circuits.residual import boundary_in, boundary_out
from assay.circuits.rms_norm import epsilon, normalised, rms_norm
from assay.circuits.rope import angle_tables, rope
from assay.circuits.rounding import round_shift, rounded, rounded_bounds
from assay.circuits.scales import LayerScales

from assay.graph import Accumulator, Builder, CircuitError, Interval, PublicTable, Wire

Angles: TypeAlias = tuple[PublicTable, PublicTable]

VALUE_BITS = 18
UP_BITS = 18
WIDE_BITS = 32  # signed bits of a norm's output: never clamped, bounds are narrower
_SQUARES = (1 << 62) - (1 << 48)  # what a sum of squares may reach; the rest is for eps


class Config(Protocol):
    """A model configuration that can be written as a dictionary (assay.model's Gemma3Config)."""

    def to_dict(self) -> dict[str, Any]:
        """Its fields."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """The sizes and constants of one layer; `window` 0 sees every earlier position."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    eps: float
    theta: float
    window: int
    query_scalar: int

    @staticmethod
    def of(config: Config | Mapping[str, Any], layer: int) -> LayerShape:
        """Of layer `layer` of a Gemma 3 configuration, as an object or as its dictionary."""
        raw = config if isinstance(config, Mapping) else config.to_dict()
        if raw.get("architecture") != "gemma3" or not 0 <= layer < raw["num_layers"]:
            raise CircuitError("circuit-config", f"not layer {layer} of a Gemma 3 model")
        is_global = (layer + 1) % raw["sliding_pattern"] == 0
        shape = LayerShape(
            hidden=raw["hidden_size"],
            heads=raw["num_heads"],
            kv_heads=raw["num_kv_heads"],
            head_dim=raw["head_dim"],
            inner=raw["intermediate_size"],
            eps=raw["rms_norm_eps"],
            theta=raw["rope_theta_global"] if is_global else raw["rope_theta_local"],
            window=0 if is_global else raw["sliding_window"],
            query_scalar=raw["query_pre_attn_scalar"],
        )
        sizes = (shape.hidden, shape.heads, shape.kv_heads, shape.head_dim, shape.inner, shape.query_scalar)
        if min(sizes) < 1 or shape.window < 0 or not 0 <= shape.eps < 1 or not 1 <= shape.theta < 1e12:
            raise CircuitError("circuit-config", "a size or constant of the configuration is out of range")
        return shape


def layer(config: Config | Mapping[str, Any], scales: LayerScales, layer: int, tokens: int) -> bytes:
    """The circuit of layer `layer` over `tokens` positions, in canonical bytes."""
    return build(config, scales, layer, tokens).finish()


def build(config: Config | Mapping[str, Any], scales: LayerScales, layer: int, tokens: int) -> Builder:
    """The same, not yet checked and encoded."""
    shape = LayerShape.of(config, layer)
    if tokens < 1:
        raise CircuitError("circuit-shape", f"a circuit over {tokens} tokens")
    return _Layer(shape, scales, layer, tokens).build()


class _Layer:
    """The relations of one layer, in the order of its equations."""

    def __init__(self, shape: LayerShape, scales: LayerScales, layer: int, tokens: int) -> None:
        self.b = Builder(f"gemma3.layer.{layer}")
        self.shape, self.scales, self.index, self.tokens = shape, scales, layer, tokens

    def build(self) -> Builder:
        s, n = self.scales, self.shape.hidden
        x = boundary_in(self.b, f"boundary.{self.index}", self.tokens, n)
        h = self._norm("input_norm", x, s.residual_in, s.input_norm)
        x = x + self._attended(h)
        y = self._fed_forward(x)
        root = s.root_bits("post_feedforward_norm", s.residual_out)
        added = normalised(
            self.b,
            "residual_out",
            y,
            self._weight("post_feedforward_norm", 1, n),
            root=root,
            eps=self._eps(n, s.down_proj),
        )
        scale = root + s.weights["post_feedforward_norm"] - s.residual_in
        shift = s.norm_shift("post_feedforward_norm", s.residual_out)
        boundary_out(self.b, f"boundary.{self.index + 1}", x, added, scale=scale, shift=shift)
        return self.b

    def _attended(self, h: Wire) -> Wire:
        """y_1, (G3.3-6)."""
        s, shape = self.scales, self.shape
        width = shape.kv_heads * shape.head_dim
        angles = angle_tables(self.b, self.tokens, shape.head_dim, shape.theta)
        q = self._rotated("q", h, shape.heads, (s.q_proj, s.q_norm), angles)
        k = self._rotated("k", h, shape.kv_heads, (s.k_proj, s.k_norm), angles)
        weight = self._weight("v_proj", width, shape.hidden)
        v = linear(
            self.b,
            "v_proj",
            h,
            weight,
            shift=s.linear_shift("v_proj", s.input_norm, s.v_proj),
            bits=VALUE_BITS,
        )
        o = attention(self.b, q, k, self._by_head(v, shape.kv_heads), self._attention_shape())
        o = o.reshape(self.tokens, shape.heads * shape.head_dim)
        y = self._normable("o_proj", o, shape.hidden, s.attention_out, s.o_proj)
        bits = addend_bits(shape.hidden)
        return self._norm("post_attention_norm", y, s.o_proj, s.residual_in, bits=bits)

    def _rotated(self, name: str, h: Wire, heads: int, fractions: tuple[int, int], angles: Angles) -> Wire:
        """Queries or keys with their norm and position, [T * heads, head_dim]."""
        projected, normed = fractions
        x = self._normable(
            f"{name}_proj",
            h,
            heads * self.shape.head_dim,
            self.scales.input_norm,
            projected,
            self.shape.head_dim,
        )
        y = self._norm(f"{name}_norm", self._by_head(x, heads), projected, normed)
        return rope(self.b, f"{name}_rope", y, angles, heads=heads)

    def _fed_forward(self, x: Wire) -> Wire:
        """a down_proj^T, (G3.7-9)."""
        s, shape = self.scales, self.shape
        h = self._norm("pre_feedforward_norm", x, s.residual_in, s.pre_feedforward_norm)
        gate = self.b.product_nt(h, self._weight("gate_proj", shape.inner, shape.hidden))
        shift = s.linear_shift("gate_proj", s.pre_feedforward_norm, s.gate_proj)
        active = activation(self.b, "gate_proj", gate, shift=shift, fraction_bits=s.gate_proj)
        up = linear(
            self.b,
            "up_proj",
            h,
            self._weight("up_proj", shape.inner, shape.hidden),
            shift=s.linear_shift("up_proj", s.pre_feedforward_norm, s.up_proj),
            bits=UP_BITS,
        )
        a = gated_product(self.b, "mlp", active, up, fraction_bits=s.gate_proj)
        return self._normable("down_proj", a, shape.hidden, s.product, s.down_proj)

    # ---- parts ----

    def _weight(self, name: str, rows: int, cols: int) -> Wire:
        return self.b.weight(f"layers.{self.index}.{name}", rows, cols)

    def _by_head(self, x: Wire, heads: int) -> Wire:
        """[T, heads * n] seen as [T * heads, n]."""
        return x.reshape(self.tokens * heads, x.cols // heads)

    def _norm(self, name: str, x: Wire, fraction: int, out: int, *, bits: int = WIDE_BITS) -> Wire:
        return rms_norm(
            self.b,
            name,
            x,
            self._weight(name, 1, x.cols),
            root=self.scales.root_bits(name, out),
            shift=self.scales.norm_shift(name, out),
            bits=bits,
            eps=self._eps(x.cols, fraction),
        )

    def _eps(self, size: int, fraction: int) -> int:
        return epsilon(self.shape.eps, size, fraction)

    def _normable(self, name: str, x: Wire, width: int, into: int, out: int, row: int | None = None) -> Wire:
        """A linear layer whose output feeds a norm over `row` entries: as wide as its squares may be."""
        acc = self.b.product_nt(x, self._weight(name, width, x.cols))
        return _normable(self.b, name, acc, self.scales.linear_shift(name, into, out), row or width)

    def _attention_shape(self) -> AttentionShape:
        s, shape = self.scales, self.shape
        return AttentionShape(
            kv_heads=shape.kv_heads,
            group_size=shape.heads // shape.kv_heads,
            window=shape.window if shape.window < self.tokens else 0,
            score_shift=s.score_shift,
            rate=inverse_sqrt_times(s.scores, shape.query_scalar),
        )


def _normable(b: Builder, name: str, acc: Accumulator, shift: int, row: int) -> Wire:
    """round(acc / 2^shift), clamped only if `row` squares of it could pass 2^62."""
    if fits_a_norm(acc.bounds.magnitude, shift, row):
        return round_shift(b, name, acc, shift)
    return rounded(b, name, acc, shift, square_bits(row))


def fits_a_norm(bound: int, shift: int, row: int) -> bool:
    """Whether `row` squares of a value up to `bound`, divided by 2^shift and rounded, stay below 2^62."""
    return shift >= 0 and row * rounded_bounds(Interval(-bound, bound), shift).magnitude ** 2 < _SQUARES


def square_bits(row: int) -> int:
    """Largest signed width of which `row` squares stay below 2^62."""
    return isqrt(_SQUARES // row).bit_length()


def addend_bits(hidden: int) -> int:
    """Signed width of y_1 such that the squares of x + y_1 stay below 2^62, at most 32."""
    left = isqrt(_SQUARES // hidden) - (1 << (RESIDUAL_BITS - 1))
    if left < 2:
        raise CircuitError(
            "circuit-bound", f"a residual stream of {hidden} entries does not close over the field"
        )
    return min(left.bit_length(), WIDE_BITS)
