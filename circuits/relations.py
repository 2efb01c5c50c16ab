"""Layers as relations: the interpretation of `Operations` that makes circuits.

A value whose accumulator is known is rounded when something reads it, in the way of the reader: what feeds a
norm stays as wide as n max^2 < 2^62 allows, what a linear layer, rotary embedding or attention reads is
clamped to few bits, what is added to the residual stream gets its fraction, and the last sum of a layer is
rounded once, into the boundary. Where to round is a number for each site, from the scales.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Protocol, TypeAlias

from assay.circuits import layer_norm as layer_norms
from assay.circuits.activation import activated, activation
from assay.circuits.architecture import NOTHING, VALUE
from assay.circuits.attention import AttentionShape, attention, operand_bits
from assay.circuits.bias import biased
from assay.circuits.fixed_point import Stretch, inverse_sqrt_times
from assay.circuits.gated_mlp import gated_product
from assay.circuits.inverse_sqrt import ROOT_BITS
from assay.circuits.limbs import WHOLE_BITS
from assay.circuits.moe import (
    LOGIT_BITS,
    ROUTING,
    UP_BITS,
    ExpertScales,
    ExpertWeights,
    Ids,
    experts,
    recorded_choice,
)
from assay.circuits.residual import boundary_in, boundary_out, stream_bits
from assay.circuits.rms_norm import epsilon, normalised, rms_norm
from assay.circuits.rope import ANGLE_BITS, angle_tables, rope
from assay.circuits.rounding import round_shift, rounded, rounded_bounds
from assay.circuits.scales import norm_shift, reaching, root_bits
from assay.circuits.softmax import UNIT_BITS

from assay.graph import Accumulator, Builder, CircuitError, Interval, PublicTable, Wire

WIDE_BITS = 32  # signed bits of a norm's output: never clamped, bounds are narrower
_VALUE_BITS = (18, 16)  # of what attention and gates multiply; the narrower one in wide models
_MOST_TERMS = 1 << 14  # of a product of 34 and 16 bits that stays below 2^62
_EXPERT_BITS = 43  # of the magnitude of what an expert gives
_SQUARES = (1 << 62) - (1 << 48)  # what a sum of squares may reach; the rest is for eps


class Fit(Protocol):
    """Chooses fraction bits for a site, from what a float model was seen to do and from bounds."""

    def stream(self, site: str) -> int:
        """Of the residual stream at a boundary."""
        ...

    def normed(self, name: str, gain: int, feeds: Mapping[str, str]) -> int:
        """Of a norm's output, for a gain of so many fraction bits; `feeds` as in `Operations`."""
        ...

    def fed(self, name: str, reader: str) -> int:
        """Most of what a linear layer reads, so that what it gives such a reader rounds off one limb."""
        ...

    def turned(self, name: str, gain: int) -> int:
        """Of a norm's output that rotary embedding reads."""
        ...

    def normable(self, name: str, fraction: int, bound: int, row: int, root: int) -> int:
        """Of an accumulator |acc| <= bound that a norm over `row` entries reads; its root has `root` bits."""
        ...

    def clamped(self, name: str, fraction: int, bound: int, bits: int) -> int:
        """Of an accumulator that is clamped to so many bits."""
        ...

    def scores(self, fraction: int, bound: int, scalar: int) -> int:
        """Of attention's scores."""
        ...

    def gate(self, name: str, kind: str, fraction: int, bound: int) -> int:
        """Of what an activation reads."""
        ...

    def addend(self, name: str, fraction: int, bound: int, bits: int) -> int:
        """Most fraction bits of a sum that an accumulator is added to, itself in so many bits."""
        ...

    def normed_addend(self, name: str, gain: int, bits: int, *, calibrated: bool) -> int:
        """The same of a norm; not `calibrated` if its bits come from its bounds."""
        ...

    def sum(self, site: str, bits: int) -> int:
        """Most fraction bits of a sum in so many bits."""
        ...

    def reached(self, fraction: int, bound: int, bits: int) -> int:
        """Most fraction bits of an accumulator |acc| <= bound in so many bits, whatever it was seen to be."""
        ...


class Scales(Protocol):
    """Fraction bits by site: those of a registered model, or those that a fit finds."""

    @property
    def weights(self) -> Mapping[str, int]:
        """Of each weight by its name within the layer."""
        ...

    def site(self, name: str, fit: Callable[[Fit], int]) -> int:
        """Of a site."""
        ...

    def limit(self, site: str, fraction: int, most: Callable[[Fit], int]) -> None:
        """While fitting: a site of so many fraction bits may have no more than that."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """A wire with its fraction bits; `site` is where they come from."""

    wire: Wire
    fraction: int
    site: str


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """x W^T before its rounding, seen as `count` heads for each row."""

    name: str
    x: Value
    bias: bool
    count: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """A norm before its rounding, seen as `count` heads for each row; `centred` for LayerNorm."""

    name: str
    x: Value
    eps: float
    feeds: Mapping[str, str]
    centred: bool
    count: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A mixture of experts before its rounding."""

    name: str
    x: Value
    chosen: int
    kind: str
    renormalised: bool


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """x + y before the rounding of y."""

    name: str
    x: Value
    y: Value


Value: TypeAlias = "Exact | Linear | Norm | Mixture | Sum"


class Relations:
    """`Operations` over `tokens` rows, as relations of `b`; weights are named with `prefix`.

    With a `routing`, [tokens, K], it is public which experts ran.
    """

    def __init__(
        self,
        b: Builder,
        prefix: str,
        shapes: Mapping[str, tuple[int, ...]],
        tokens: int,
        scales: Scales,
        routing: Ids | None = None,
    ) -> None:
        self.b, self.prefix, self.shapes, self.tokens, self.scales = b, prefix, shapes, tokens, scales
        self.routing = routing
        self._rounded: dict[Value, Exact] = {}
        self._angles: dict[tuple[int, float], tuple[PublicTable, PublicTable]] = {}
        self._readers: list[str] = []  # of the boundary before the layer, without a norm in between

    # ---- operations ----

    def linear(self, name: str, x: Value, *, bias: bool = False) -> Value:
        return Linear(name, x, bias)

    def rms_norm(self, name: str, x: Value, eps: float, *, feeds: Mapping[str, str] = NOTHING) -> Value:
        return Norm(name, x, eps, feeds, centred=False)

    def layer_norm(self, name: str, x: Value, eps: float, *, feeds: Mapping[str, str] = NOTHING) -> Value:
        return Norm(name, x, eps, feeds, centred=True)

    def heads(self, x: Value, count: int) -> Value:
        if isinstance(x, Linear | Norm):
            return replace(x, count=count)
        exact = self._read(x)
        return replace(exact, wire=self._by_head(exact.wire, count))

    def rope(self, name: str, x: Value, theta: float, stretch: Stretch | None = None) -> Value:
        turned = self._turned(x, (1 << ANGLE_BITS) + 1)
        size = turned.wire.cols
        if (size, theta) not in self._angles:  # a model stretches all its rotations, or none
            self._angles[size, theta] = angle_tables(self.b, self.tokens, size, theta, stretch)
        heads = turned.wire.rows // self.tokens
        y = rope(self.b, name, turned.wire, self._angles[size, theta], heads=heads)
        return Exact(y, turned.fraction + ANGLE_BITS, name)

    def attention(
        self, q: Value, k: Value, v: Value, *, scalar: int, window: int | None = None, causal: bool = True
    ) -> Value:
        queries, keys = self._turned(q), self._turned(k)
        heads, kv_heads = (x.wire.rows // self.tokens for x in (queries, keys))
        values = self._valued(v, heads * queries.wire.cols)
        fraction = queries.fraction + keys.fraction
        groups = {"groups": kv_heads, "members": heads // kv_heads}
        bound = self.b.product_nt(queries.wire, keys.wire, **groups).bounds.magnitude
        scores = self.scales.site("scores", lambda fit: fit.scores(fraction, bound, scalar))
        shape = AttentionShape(
            kv_heads=kv_heads,
            group_size=heads // kv_heads,
            window=window if window is not None and window < self.tokens else 0,
            score_shift=fraction - scores,
            rate=inverse_sqrt_times(scores, scalar),
            causal=causal,
        )
        o = attention(self.b, queries.wire, keys.wire, values.wire, shape)
        o = o.reshape(self.tokens, heads * o.cols)
        return Exact(o, values.fraction + UNIT_BITS, "attention")

    def gated(self, kind: str, gate: Value, up: Value) -> Value:
        assert isinstance(gate, Linear), "a gate is a linear layer"
        acc, fraction = self._product(gate)
        inner = acc.domain.cols
        bits = self._gate(gate.name, kind, fraction, acc)
        active = activation(self.b, gate.name, acc, shift=fraction - bits, fraction_bits=bits, kind=kind)
        other = self._valued(up, inner)
        a = gated_product(self.b, "mlp", active, other.wire, fraction_bits=bits, kind=kind)
        return Exact(a, bits + other.fraction, "mlp")

    def activation(self, kind: str, x: Value) -> Value:
        assert isinstance(x, Linear), "an activation reads a linear layer"
        acc, fraction = self._product(x)
        bits = self._gate(x.name, kind, fraction, acc)
        y = activated(self.b, x.name, acc, shift=fraction - bits, fraction_bits=bits, kind=kind)
        return Exact(y, bits, x.name)

    def experts(self, name: str, x: Value, *, chosen: int, kind: str, renormalised: bool) -> Value:
        return Mixture(name, x, chosen, kind, renormalised)

    def add(self, name: str, x: Value, y: Value) -> Value:
        return Sum(name, x, y)

    # ---- boundaries ----

    def boundary_in(self, name: str, hidden: int) -> Value:
        """The residual stream before the layer, ranged: RES.1."""
        wire = boundary_in(self.b, name, self.tokens, hidden)
        return Exact(
            wire, self.scales.site("residual_in", lambda fit: fit.stream("residual_in")), "residual_in"
        )

    def boundary_out(self, name: str, value: Value) -> None:
        """The residual stream after the layer: RES.3."""
        out = self.scales.site("residual_out", lambda fit: fit.stream("residual_out"))
        if isinstance(value, Norm):
            hidden = self._outputs(value.name)
            bits = stream_bits(hidden)
            for reader in self._readers:
                self._limit_read(reader)
            self._limit_norm(value, "residual_out", out, bits)
            wire = self.b.boundary(name, self.tokens, hidden, bits)
            self._norm(value, out, bits, into=wire)
            return
        assert isinstance(value, Sum), "a layer ends with a sum or a norm"
        x = self._normable(value.x)
        bits = stream_bits(x.wire.cols)
        self.scales.limit("residual_out", out, lambda fit: fit.sum(value.name, bits))
        acc, fraction = self._summand(value.y, out)
        common = max(x.fraction, fraction)
        ups = common - x.fraction, common - fraction
        if not isinstance(value.y, Norm):
            reach = (x.wire.bounds.magnitude << ups[0]) + (acc.bounds.magnitude << ups[1])
            self.scales.limit("residual_out", out, lambda fit: fit.reached(common, reach, bits))
        boundary_out(self.b, name, x.wire, acc, scale=ups[0], up=ups[1], shift=common - out)

    def head_input(self, value: Value, out: Wire, bits: int) -> None:
        """What the head multiplies, into a given tensor of so many bits."""
        assert isinstance(value, Norm), "a head reads a norm"
        gain = self._gain(value)
        fraction = self.scales.site(value.name, lambda fit: fit.normed(value.name, gain, {}))
        self._norm(value, fraction, bits, into=out)

    # ---- how values are rounded by those that read them ----

    def _read(self, value: Value) -> Exact:
        """What a linear layer reads."""
        if isinstance(value, Norm):
            gain = self._gain(value)
            return self._once(
                value, lambda: self._normed(value, lambda fit: fit.normed(value.name, gain, value.feeds))
            )
        return self._normable(value) if isinstance(value, Sum) else self._valued(value, 1)

    def _turned(self, value: Value, growth: int = 1) -> Exact:
        """What rotary embedding reads, and the queries and keys of attention; `growth` as in operand_bits."""
        if isinstance(value, Norm):
            gain = self._gain(value)
            return self._once(value, lambda: self._normed(value, lambda fit: fit.turned(value.name, gain)))
        if isinstance(value, Exact):
            return value
        assert isinstance(value, Linear), "queries and keys come from linear layers or norms"
        return self._once(value, lambda: self._clamped(value, self._turned_bits(value, growth)))

    def _turned_bits(self, value: Linear, growth: int) -> int:
        """Of clamped queries and keys: their products have to close."""
        return min(WHOLE_BITS, operand_bits(self._outputs(value.name) // value.count, growth))

    def _valued(self, value: Value, terms: int) -> Exact:
        """What is multiplied by a factor of its own and then summed over `terms`."""
        if isinstance(value, Exact):
            return value
        assert isinstance(value, Linear), "values come from linear layers"
        bits = _VALUE_BITS[terms >= _MOST_TERMS]
        return self._once(value, lambda: self._clamped(value, bits))

    def _normable(self, value: Value, root: int = ROOT_BITS) -> Exact:
        """What a norm of `root` bits reads, or a sum."""
        if isinstance(value, Exact):
            return value
        if isinstance(value, Norm):
            return self._read(value)
        return self._once(
            value, lambda: self._added(value) if isinstance(value, Sum) else self._wide(value, root)
        )

    def _once(self, value: Value, make: Callable[[], Exact]) -> Exact:
        if value not in self._rounded:
            self._rounded[value] = make()
        return self._rounded[value]

    def _added(self, value: Sum) -> Exact:
        """x + y, y in the fraction of x."""
        x = self._normable(value.x)
        bits = addend_bits(x.wire.cols)
        self.scales.limit(x.site, x.fraction, lambda fit: fit.sum(value.name, stream_bits(x.wire.cols)))
        if isinstance(value.y, Norm):
            self._limit_norm(value.y, x.site, x.fraction, bits)
            y = self._norm(value.y, x.fraction, bits)
        else:
            assert isinstance(value.y, Linear), "what is added is a norm or a linear layer"
            acc, fraction = self._product(value.y)
            name, bound = value.y.name, acc.bounds.magnitude
            self.scales.limit(x.site, x.fraction, lambda fit: fit.addend(name, fraction, bound, bits))
            y = rounded(self.b, name, acc, fraction - x.fraction, bits)
        return Exact(x.wire + y, x.fraction, x.site)

    def _limit_norm(
        self, value: Norm, site: str, fraction: int, bits: int, *, calibrated: bool = True
    ) -> None:
        name, gain = value.name, self._gain(value)
        self.scales.limit(
            site, fraction, lambda fit: fit.normed_addend(name, gain, bits, calibrated=calibrated)
        )

    def _limit_read(self, name: str) -> None:
        """A boundary that a norm gives has bits to spare, so that what reads it rounds off one limb.

        One that is a sum has none: what it lost would be lost to all that read the stream.
        """
        fraction = self.scales.site("residual_in", lambda fit: fit.stream("residual_in"))
        self.scales.limit("residual_in", fraction, lambda fit: fit.fed(name, VALUE))

    def _summand(self, value: Value, out: int) -> tuple[Accumulator, int]:
        """A polynomial, not rounded, and its fraction bits; for a sum of `out` fraction bits."""
        if isinstance(value, Norm):
            gain = self.scales.weights[value.name]
            root = root_bits(gain, out)
            x = self._normable(value.x, root)
            self._limit_norm(value, "residual_out", out, WIDE_BITS, calibrated=False)
            eps = epsilon(value.eps, x.wire.cols, x.fraction)
            weight = self._weight(value.name, 1, x.wire.cols)
            assert not value.centred, "a LayerNorm is not added to the stream"
            return normalised(self.b, "residual_out", x.wire, weight, root=root, eps=eps), root + gain
        assert isinstance(value, Linear | Mixture), "what is added is a norm, a linear layer or a mixture"
        acc, fraction = self._product(value) if isinstance(value, Linear) else self._mixed(value)
        exact = self.b.commit(f"{value.name}.exact", acc) if acc.poly is None else None
        return (acc if exact is None else self.b.value(exact, exact.domain)), fraction

    # ---- parts ----

    def _product(self, value: Linear) -> tuple[Accumulator, int]:
        """The accumulator of a linear layer, and its fraction bits."""
        x = self._read(value.x)
        rows = self._outputs(value.name)
        weight = self._weight(value.name, rows, x.wire.cols)
        acc = self.b.product_nt(x.wire, weight)
        fraction = x.fraction + self.scales.weights[value.name]
        if value.bias:
            name = f"{value.name}_bias"
            up = fraction - self.scales.weights[name]
            acc = biased(self.b, f"{value.name}.biased", acc, self._weight(name, 1, rows), up=up)
        return acc, fraction

    def _mixed(self, value: Mixture) -> tuple[Accumulator, int]:
        """The accumulator of a mixture of experts, and its fraction bits."""
        h = self._read(value.x)
        hidden, name = h.wire.cols, value.name
        rows, inner = self._outputs(f"{name}_gate"), self.shapes[f"{name}_down"][1]
        weights = ExpertWeights(
            router=self._weight(f"{name}_router", rows // inner, hidden),
            gate=self._weight(f"{name}_gate", rows, hidden),
            up=self._weight(f"{name}_up", rows, hidden),
            down=self._weight(f"{name}_down", rows // inner * hidden, inner),
        )
        bound = self.b.product_nt(h.wire, weights.gate).bounds.magnitude  # of all three that read h

        def fitted(part: str, choose: Callable[[Fit, str, int], int]) -> tuple[int, int]:
            """Shift and fraction of the output of a part."""
            tensor = f"{name}_{part}"
            fraction = h.fraction + self.scales.weights[tensor]
            out = self.scales.site(tensor, lambda fit: choose(fit, tensor, fraction))
            return fraction - out, out

        router = fitted("router", lambda fit, *site: fit.clamped(*site, bound, LOGIT_BITS))
        gate = fitted("gate", lambda fit, site, fraction: fit.gate(site, value.kind, fraction, bound))
        up = fitted("up", lambda fit, *site: fit.clamped(*site, bound, UP_BITS))
        down = self.scales.weights[f"{name}_down"]
        shifts, fraction = expert_shifts(inner, hidden, gate[1] + up[1], down)
        scales = ExpertScales(
            router_shift=router[0],
            router_fraction=router[1],
            gate_shift=gate[0],
            gate_fraction=gate[1],
            up_shift=up[0],
            product_shift=shifts[0],
            down_shift=shifts[1],
        )
        choice = recorded_choice(
            self.b,
            f"{self.prefix}{ROUTING}",
            tokens=self.tokens,
            experts=rows // inner,
            chosen=value.chosen,
            logged=self.routing,
        )
        y = experts(
            self.b,
            name,
            h.wire,
            weights,
            scales,
            choice,
            kind=value.kind,
            renormalised=value.renormalised,
        )
        return y, fraction + UNIT_BITS

    def _clamped(self, value: Linear, bits: int) -> Exact:
        if isinstance(value.x, Exact) and value.x.site == "residual_in":
            self._readers.append(value.name)
        acc, fraction = self._product(value)
        bound = acc.bounds.magnitude
        out = self.scales.site(value.name, lambda fit: fit.clamped(value.name, fraction, bound, bits))
        y = rounded(self.b, value.name, acc, fraction - out, bits)
        return Exact(self._by_head(y, value.count), out, value.name)

    def _wide(self, value: Value, root: int) -> Exact:
        """A linear layer whose output feeds a norm of `root` bits: as wide as its squares may be."""
        assert isinstance(value, Linear), "a norm reads a stream or a linear layer"
        acc, fraction = self._product(value)
        row, bound = acc.domain.cols // value.count, acc.bounds.magnitude
        out = self.scales.site(value.name, lambda fit: fit.normable(value.name, fraction, bound, row, root))
        y = normable(self.b, value.name, acc, fraction - out, row)
        return Exact(self._by_head(y, value.count), out, value.name)

    def _gain(self, value: Norm) -> int:
        """Fraction bits of the gain; with a bias those of a gain that alone reaches as far."""
        gain = self.scales.weights[value.name]
        return reaching(gain, self.scales.weights[f"{value.name}_bias"]) if value.centred else gain

    def _normed(self, value: Norm, fit: Callable[[Fit], int]) -> Exact:
        fraction = self.scales.site(value.name, fit)
        y = self._norm(value, fraction, WIDE_BITS)
        return Exact(self._by_head(y, value.count), fraction, value.name)

    def _norm(self, value: Norm, out: int, bits: int, *, into: Wire | None = None) -> Wire:
        gain = self.scales.weights[value.name]
        root = root_bits(gain, out)
        x = self._normable(value.x, root)
        weight = self._weight(value.name, 1, x.wire.cols)
        how = {"root": root, "shift": norm_shift(gain, out), "bits": bits}
        eps = epsilon(value.eps, x.wire.cols, x.fraction)
        if not value.centred:
            return rms_norm(self.b, value.name, x.wire, weight, **how, eps=eps, into=into)
        bias = self._weight(f"{value.name}_bias", 1, x.wire.cols)
        up = how["root"] + gain - self.scales.weights[f"{value.name}_bias"]
        return layer_norms.layer_norm(
            self.b, value.name, x.wire, weight, bias, up=up, **how, eps=eps, into=into
        )

    def _gate(self, name: str, kind: str, fraction: int, acc: Accumulator) -> int:
        bound = acc.bounds.magnitude
        return self.scales.site(name, lambda fit: fit.gate(name, kind, fraction, bound))

    def _outputs(self, name: str) -> int:
        """Columns that a weight gives: its rows, of a vector its entries."""
        return self.shapes[name][0]

    def _weight(self, name: str, rows: int, cols: int) -> Wire:
        return self.b.weight(f"{self.prefix}{name}", rows, cols)

    def _by_head(self, x: Wire, count: int) -> Wire:
        """[T, count n] seen as [T count, n]."""
        return x.reshape(x.rows * count, x.cols // count)


def expert_shifts(inner: int, hidden: int, fraction: int, weight: int) -> tuple[tuple[int, int], int]:
    """Shifts of a and d of MOE.8-9, for a of `fraction` bits, and the fraction bits of d.

    The smaller of both is rounded so that d has 43 bits: with the shares of experts they stay below 2^62.
    """
    grown = (inner - 1).bit_length() + 15  # bits of d above those of a
    drop = max(1, 2 * LOGIT_BITS - 1 + grown - _EXPERT_BITS)
    return ((drop, 0) if inner < hidden else (0, drop)), fraction + weight - drop


def normable(b: Builder, name: str, acc: Accumulator, shift: int, row: int) -> Wire:
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
    """Signed width of what is added to the stream, so that the squares of the sum stay below 2^62."""
    left = isqrt(_SQUARES // hidden) - (1 << (stream_bits(hidden) - 1))
    if left < 2:
        raise CircuitError(
            "circuit-bound", f"a residual stream of {hidden} entries does not close over the field"
        )
    return min(left.bit_length(), WIDE_BITS)
