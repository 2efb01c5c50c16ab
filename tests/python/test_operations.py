"""The operations of other families than Gemma 3: plain integers, corruptions, arguments that are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from assay.circuits import fixed_point
from assay.circuits.activation import KINDS, activated, activation, activation_table, largest
from assay.circuits.attention import AttentionShape, attention, operand_bits
from assay.circuits.bias import biased
from assay.circuits.embedding import Rows, aligned, embed, embed_normed
from assay.circuits.gated_mlp import gated_product
from assay.circuits.layer_norm import layer_norm, layer_row_length
from assay.circuits.pooling import pooled
from assay.circuits.residual import boundary_in
from assay.circuits.rms_norm import epsilon
from assay.circuits.rope import angle_tables, rope
from assay.circuits.rounding import round_shift, rounded
from assay.circuits.softmax import seen
from circuit_case import Case, at, external, integers, plain_root, recombined, rng, split

from assay.graph import Builder, CircuitError, Interval, Wire
from assay.reference.circuit import check, evaluate, outputs, totals


def refused(code: str, build: Callable[[], Any]) -> None:
    with pytest.raises(CircuitError) as caught:
        build()
    assert caught.value.code == code


# ---- activation tables ----


PI = Decimal("3.141592653589793238462643383279502884197169399375")


def upper_tail(x: Decimal) -> Decimal:
    """1 - Phi(x) for x > 0: by the alternating series, or from 6 on by Mills' continued fraction."""
    if x < 6:
        total, term, n = Decimal(0), x, 0
        while abs(term) > Decimal("1e-40"):
            total += term / (2 * n + 1)
            n += 1
            term = -term * x * x / (2 * n)
        return Decimal("0.5") - total / (2 * PI).sqrt()
    rest = Decimal(0)
    for k in range(200, 0, -1):
        rest = k / (x + rest)
    return (-x * x / 2).exp() / (2 * PI).sqrt() / (x + rest)


def value(kind: str, x: Decimal) -> Decimal:
    """The function to 30 digits, in other ways than the tables."""
    if kind == "silu":
        return x / (1 + (-x).exp())
    if kind == "gelu_erf":
        return x * (upper_tail(-x) if x < 0 else 1 - upper_tail(x))
    inner = (2 / PI).sqrt() * (x + Decimal("0.044715") * x**3)
    e = (2 * inner).exp()
    return x / 2 * (1 + (e - 1) / (e + 1))


def half_up(v: Decimal) -> int:
    return int((v + Decimal("0.5")).to_integral_value("ROUND_FLOOR"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [0, 7, 11])
def test_a_table_has_the_rounded_function(kind: str, fraction: int) -> None:
    table, zero = activation_table(kind, fraction), KINDS[kind].below << fraction
    keys = {0, 1, zero - 1, zero, zero + 1, 65535, *rng.integers(0, 1 << 16, 30)}
    keys |= {int(k) for k in zero + rng.integers(-4 << fraction, 4 << fraction, 30) if k}
    with localcontext() as context:
        context.prec = 50
        for key in keys - {zero}:
            x = Decimal(int(key) - zero) / (1 << fraction)
            if kind != "gelu_tanh" or abs(x) < 60:
                assert table.images[0][key] == half_up(value(kind, x) * (1 << fraction))
    assert table.images[0][zero] == 0
    assert table.images[0][0] == 0  # and below it
    assert largest(fraction, kind) == table.spans[1].hi == 65535 - zero


def test_nothing_but_zero_is_left_of_a_table() -> None:
    """silu(-12) is less than half a unit at the most fraction bits, and rises to 0 beyond."""
    for kind, function in KINDS.items():
        with localcontext() as context:
            context.prec = 50
            beyond = value(kind, Decimal(-function.below))
        assert abs(beyond) * (1 << function.most_fraction) < Decimal("0.5")


@pytest.mark.parametrize("function", [fixed_point.silu, fixed_point.gelu_erf])
def test_entries_are_the_exact_ones_wherever_the_margin_is(
    function: Callable[[int, int], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = [function(1 << 11, bits) for bits in (0, 8, 12)]
    monkeypatch.setattr(fixed_point, "_MARGIN", 1.0)  # no entry is left to binary64
    for bits, table in zip((0, 8, 12), usual, strict=True):
        assert (table == function(1 << 11, bits)).all()


# Each entry also agrees with mpmath at 40 digits.
GOLDEN = {"silu": 28418245705728, "gelu_erf": 29044381237248}


@pytest.mark.parametrize("name", GOLDEN)
def test_tables_are_pinned(name: str) -> None:
    """The same on every machine: golden sums."""
    assert sum(k * v for k, v in enumerate(getattr(fixed_point, name)(1 << 15, 12))) == GOLDEN[name]


def test_tables_of_other_fractions_or_kinds_are_refused() -> None:
    for kind, fraction in (("silu", 12), ("gelu_erf", 13), ("gelu_tanh", -1)):
        refused("circuit-scale", lambda k=kind, f=fraction: activation_table(k, f))
    refused("circuit-config", lambda: activation_table("relu", 8))


# ---- activations ----


def plain_activation(kind: str, t: int, fraction: int) -> int:
    """f of t clamped to the table, 0 below it."""
    zero = KINDS[kind].below << fraction
    return 0 if t < -zero else int(activation_table(kind, fraction).images[0][min(t + zero, 65535)])


def gates(kind: str, fraction: int) -> list[int]:
    """Accumulators for a shift of 3: at both ends of the table, at 0, far outside."""
    ends = (0, -(KINDS[kind].below << fraction), (1 << 16) - (KINDS[kind].below << fraction))
    near = [8 * end + d for end in ends for d in (-12, -5, -4, -1, 0, 3, 4, 8)]
    return [*near, -(1 << 23), (1 << 23) - 1, *(int(v) for v in integers(6, bits=19))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [11, 6])
def test_an_activation_is_its_table_clamped(kind: str, fraction: int) -> None:
    values = gates(kind, fraction)
    b = Builder("activation")
    x = external(b, "x", 1, len(values), Interval.signed(24))
    u = external(b, "u", 1, len(values), Interval.signed(18))
    y = activated(b, "act", b.value(x, x.domain), shift=3, fraction_bits=fraction, kind=kind)
    active = activation(b, "gate", b.value(x, x.domain), shift=3, fraction_bits=fraction, kind=kind)
    g = gated_product(b, "mlp", active, u, fraction_bits=fraction, kind=kind)
    case = Case(b, {"x": np.array([values]), "u": integers(1, len(values), bits=18)})
    expected = [plain_activation(kind, (v + 4) >> 3, fraction) for v in values]
    assert recombined(case, y)[0].tolist() == expected
    assert (recombined(case, g) == case["u"] * expected).all()
    assert y.bounds == activation_table(kind, fraction).spans[1]
    one = at((1, len(values)), (0, 3))
    assert case.violations(act__active=case["act.active"] + one) == ["act.active"]


# ---- biases ----


def bias_case(up: int, shift: int, bits: int = 32) -> tuple[Case, Wire]:
    b = Builder("bias")
    x, w = external(b, "x", 3, 4, Interval.signed(16)), b.weight("w", 5, 4)
    acc = biased(b, "l", b.product_nt(x, w), b.weight("bias", 1, 5), up=up)
    y = rounded(b, "l", acc, shift, bits)
    inputs = {"x": integers(3, 4), "w": integers(5, 4), "bias": integers(1, 5)}
    inputs["bias"][0, :2] = -32767, 32767
    inputs["w"][0] = np.where(inputs["x"][1] > 0, -32767, 32767)
    return Case(b, inputs), y


@pytest.mark.parametrize(
    ("up", "shift", "bits"), [(0, 9, 32), (7, 9, 32), (20, 21, 32), (13, 12, 16), (3, 0, 37)]
)
def test_a_bias_is_added_before_the_rounding(up: int, shift: int, bits: int) -> None:
    case, y = bias_case(up, shift, bits)
    acc = case["x"] @ case["w"].T + (case["bias"] << up) + (1 << shift >> 1)
    half = 1 << (bits - 1)
    assert (recombined(case, y) == np.clip(acc >> shift, -half, half - 1)).all()


def test_a_bias_left_out_or_of_another_column_is_rejected() -> None:
    case, _ = bias_case(7, 9)
    bias = case["bias"]
    for other in (bias * 0, np.roll(bias, 1, axis=1)):
        acc = case["l.product"] + (other << 7) + 256
        changes = {"l__r0": acc % 512, **split(acc >> 9, "l__y0", "l__y1")}
        assert case.violations(**changes) == ["l"]
        assert case.violations(**changes, l__product=case["l.product"] + ((bias - other) << 7)) != []
    assert case.violations(bias=bias + at((1, 5), (0, 4))) == ["l"]
    assert "l.product" in case.violations(l__product=case["l.product"] + at((3, 5), (1, 1)))


def test_a_bias_feeds_an_activation() -> None:
    b = Builder("bias")
    x, w = external(b, "x", 2, 4, Interval.signed(16)), b.weight("w", 3, 4)
    acc = biased(b, "fc", b.product_nt(x, w), b.weight("bias", 1, 3), up=9)
    y = activated(b, "fc", acc, shift=14, fraction_bits=10, kind="gelu_erf")
    case = Case(b, {"x": integers(2, 4, bits=12), "w": integers(3, 4), "bias": integers(1, 3)})
    t = (case["x"] @ case["w"].T + (case["bias"] << 9) + (1 << 13)) >> 14
    assert recombined(case, y).tolist() == [[plain_activation("gelu_erf", int(v), 10) for v in r] for r in t]


def test_a_bias_that_does_not_fit_is_refused() -> None:
    b = Builder("bias")
    acc = b.product_nt(b.weight("x", 2, 4), b.weight("w", 3, 4))
    for up in (-1, 47):
        refused("circuit-scale", lambda up=up: biased(b, "l", acc, b.weight(f"bias{up}", 1, 3), up=up))
    refused("circuit-shape", lambda: biased(b, "l", acc, b.weight("short", 1, 2), up=0))
    b = Builder("bias")
    wide = external(b, "v", 1, 2, Interval.signed(63))
    acc = biased(b, "l", b.value(wide, wide.domain), b.weight("bias", 1, 2), up=46)
    round_shift(b, "l", acc, 30)
    refused("circuit-bound", b.finish)


# ---- layer norm ----


def layer_case(
    x: np.ndarray, *, root: int = 40, shift: int = 37, up: int = 20, bits: int = 32, eps: int = 7
) -> tuple[Case, Wire]:
    rows, size = x.shape
    b = Builder("norm")
    wire = external(b, "x", rows, size, Interval.signed(26))
    gain, bias = b.weight("gain", 1, size), b.weight("bias", 1, size)
    y = layer_norm(b, "n", wire, gain, bias, root=root, shift=shift, up=up, bits=bits, eps=eps)
    inputs = {"gain": integers(1, size), "bias": integers(1, size)}
    for cells in inputs.values():
        cells[cells == -(1 << 15)] += 1
        cells[0, 0] = 32767
    return Case(b, {"x": x, **inputs}), y


def rows_of(size: int) -> np.ndarray:
    """Random rows, equal cells, an outlier at each bound, halves at both bounds, a mean at a tie."""
    x = integers(7, size, bits=26)
    x[1], x[2], x[2, 0], x[3], x[3, -1] = -5, -(1 << 25), (1 << 25) - 1, (1 << 25) - 1, -(1 << 25)
    x[4], x[4, ::2] = -(1 << 25), (1 << 25) - 1
    x[5], x[5, : size // 2] = -3, -4
    x[6] = 0
    return x


@pytest.mark.parametrize("size", [1, 5, 6, 130])
@pytest.mark.parametrize(("root", "shift", "up"), [(40, 37, 20), (46, 46, 30), (24, 22, 0)])
def test_a_layer_norm_is_one_rounding_of_the_centred_row(size: int, root: int, shift: int, up: int) -> None:
    case, y = layer_case(rows_of(size), root=root, shift=shift, up=up)
    values, gain, bias = recombined(case, y), case["gain"][0], case["bias"][0]
    for i, row in enumerate(case["x"]):
        m = (2 * int(sum(row)) + size) // (2 * size)
        c = row - m
        w = plain_root(int(c @ c) + 7) >> (46 - root)
        assert (values[i] == (c * w * gain + (bias << up) + (1 << (shift - 1))) >> shift).all()
        assert int(values[i] @ values[i]) <= layer_row_length(size, root, shift, up) ** 2


def test_a_layer_norm_is_close_to_the_real_one() -> None:
    size, fraction, fg, fb = 96, 12, 10, 13
    draw = np.random.default_rng(3)
    x, gain, bias = draw.normal(3, 2, (4, size)), draw.normal(1, 0.3, size), draw.normal(0, 0.5, size)
    b = Builder("norm")
    wire = external(b, "x", 4, size, Interval.signed(26))
    root, out = 40, 12
    weights = b.weight("gain", 1, size), b.weight("bias", 1, size)
    y = layer_norm(
        b, "n", wire, *weights, root=root, shift=root + fg - out, up=root + fg - fb, bits=26,
        eps=epsilon(1e-5, size, fraction),
    )  # fmt: skip
    inputs = {
        "x": x * 2**fraction,
        "gain": gain[None] * math.sqrt(size) * 2**fg,
        "bias": bias[None] * 2**fb,
    }
    case = Case(b, {name: np.rint(cells).astype(np.int64) for name, cells in inputs.items()})
    centred = x - x.mean(axis=1, keepdims=True)
    exact = centred / np.sqrt(centred.var(axis=1, keepdims=True) + 1e-5) * gain + bias
    assert np.abs(recombined(case, y).astype(float) / 2**out - exact).max() < 2e-3


def test_another_mean_is_rejected() -> None:
    case, _ = layer_case(rows_of(6))
    x, size = case["x"], 6
    for step in (1, -1):
        m = case.wide("n.mean", "limb0", "limb1") + at((1, 7), (0, 0)) * step
        changes = {
            "n__mean": m,
            **split(m, "n__mean__limb0", "n__mean__limb1"),
            "n__mean__remainder__r": case["n.sum"] + 3 - size * m,
            "n__centred": x - m.reshape(7, 1),
        }
        found = case.violations(**changes)
        assert "n.mean.remainder.r" in found
        assert not {"n.mean", "n.mean.remainder", "n.centred"} & set(found)
    # a quotient in the field: the remainder is right, m is no integer of its width
    m = case["n.mean"].copy()
    m[0, 0] = (int(case["n.sum"][0, 0]) + 3 - 1) * pow(size, -1, 2**64 - 2**32 + 1) % (2**64 - 2**32 + 1)
    r = case["n.mean.remainder.r"].copy()
    r[0, 0] = 1
    if case["n.mean.remainder.r"][0, 0] != 1:
        changes = {"n__mean": m, **split(m, "n__mean__limb0", "n__mean__limb1"), "n__mean__remainder__r": r}
        assert "n.mean.limb1" in case.violations(**changes)


def test_a_layer_norm_of_the_residual_stream_closes() -> None:
    for size in (384, 768, 1024, 4095):
        b = Builder("norm")
        x = boundary_in(b, "boundary.0", 2, size)
        out = b.boundary("boundary.1", 2, size, 26)
        weights = b.weight("gain", 1, size), b.weight("bias", 1, size)
        layer_norm(b, "n", x, *weights, root=40, shift=37, up=36, bits=26, eps=9, into=out)
        b.finish()


def test_a_layer_norm_that_does_not_fit_is_refused() -> None:
    def build(size: int, *, up: int = 20, short: int = 0) -> None:
        b = Builder("norm")
        x = external(b, "x", 1, size, Interval.signed(30))
        weights = b.weight("gain", 1, size), b.weight("bias", 1, size - short)
        layer_norm(b, "n", x, *weights, root=46, shift=43, up=up, bits=32, eps=1)
        b.finish()

    build(12)
    refused("circuit-bound", lambda: build(17))
    refused("circuit-scale", lambda: build(6, up=-1))
    refused("circuit-shape", lambda: build(6, short=1))
    build(6, up=46)


# ---- embedding ----

HIDDEN = 8
PIECES = (5, 1, 6)
TOKENS = [3, 11, 5, 3]


def weights_of(b: Builder, positions: int = 6, types: int = 2) -> tuple[list[Wire], Wire, Wire]:
    pieces = [b.weight(f"embedding.{p}", n, HIDDEN) for p, n in enumerate(PIECES)]
    return pieces, b.weight("positions", positions, HIDDEN), b.weight("token_types", types, HIDDEN)


def embedding_inputs() -> dict[str, np.ndarray]:
    out = {f"embedding.{p}": integers(n, HIDDEN) for p, n in enumerate(PIECES)}
    return {**out, "positions": integers(6, HIDDEN), "token_types": integers(2, HIDDEN)}


def plain_sum(case: Case, factor: int, up: int, down: int) -> np.ndarray:
    table = np.concatenate([case[f"embedding.{p}"] for p in range(3)])
    rows = table[TOKENS] * factor
    return rows + (case["positions"][: len(TOKENS)] << up) + (case["token_types"][:1] << down)


@pytest.mark.parametrize(("factor", "up", "down", "shift"), [(1, 0, 0, 0), (4, 1, 0, 3), (1 << 13, 12, 3, 1)])
def test_an_embedding_adds_positions_and_the_first_token_type(
    factor: int, up: int, down: int, shift: int
) -> None:
    b = Builder("embedding")
    pieces, positions, types = weights_of(b)
    rows = {"positions": Rows(positions, up), "token_types": Rows(types, down)}
    y = embed(b, pieces, TOKENS, factor=factor, shift=shift, **rows)
    case = Case(b, embedding_inputs())
    acc = plain_sum(case, factor, up, down) + (1 << shift >> 1)
    assert (recombined(case, y) == np.clip(acc >> shift, -(1 << 25), (1 << 25) - 1)).all()
    swapped = case["positions"]
    swapped[[0, 1]] = swapped[[1, 0]]
    assert case.violations(positions=swapped) == ["embedding"]
    assert case.violations(token_types=case["token_types"][::-1]) == ["embedding"]


def test_an_embedding_may_have_positions_alone() -> None:
    b = Builder("embedding")
    pieces, positions, _ = weights_of(b)
    y = embed(b, pieces, TOKENS, factor=2, shift=0, positions=Rows(positions, 1))
    case = Case(b, embedding_inputs())
    assert (recombined(case, y) == plain_sum(case, 2, 1, 0) - case["token_types"][:1]).all()


def test_an_embedding_may_be_normed() -> None:
    b = Builder("embedding")
    pieces, positions, types = weights_of(b)
    norm = b.weight("gain", 1, HIDDEN), b.weight("bias", 1, HIDDEN)
    (factor, up, down), _ = aligned([10, 12, 11], 12)
    rows = {"positions": Rows(positions, up), "token_types": Rows(types, down)}
    y = embed_normed(b, pieces, TOKENS, *norm, factor=1 << factor, root=40, shift=37, up=20, eps=5, **rows)
    weights = {"gain": integers(1, HIDDEN, bits=15), "bias": integers(1, HIDDEN, bits=15)}
    case = Case(b, {**embedding_inputs(), **weights})
    acc = plain_sum(case, 4, 0, 1)
    assert (case["embedding"] == acc).all()
    m = (2 * acc.sum(axis=1) + HIDDEN) // (2 * HIDDEN)
    c = acc - m[:, None]
    w = np.array([[plain_root(int(row @ row) + 5) >> 6] for row in c], dtype=object)
    expected = (c * w * case["gain"] + (case["bias"] << 20) + (1 << 36)) >> 37
    assert (recombined(case, y) == expected).all()
    assert (case["boundary.0"] == expected).all()
    assert case.violations(positions=np.roll(case["positions"], 1, axis=0)) == ["embedding"]


def test_fractions_are_aligned_without_losing_a_bit() -> None:
    assert aligned([15, 17, 12], 9) == ([2, 0, 5], 8)
    assert aligned([8], 11) == ([3], 0)
    refused("circuit-scale", lambda: aligned([0, 31], 5))


def test_an_embedding_whose_rows_do_not_fit_is_refused() -> None:
    b = Builder("embedding")
    pieces, positions, _ = weights_of(b, positions=3)
    narrow = b.weight("narrow", 9, HIDDEN - 1)

    def build(rows: Rows) -> Any:
        return embed(b, pieces, TOKENS, factor=1, shift=0, positions=rows)

    refused("circuit-shape", lambda: build(Rows(positions, 0)))
    refused("circuit-shape", lambda: build(Rows(narrow, 0)))
    refused("circuit-scale", lambda: build(Rows(b.weight("more", 9, HIDDEN), -1)))


# ---- attention ----


def plain_attention(case: Case, heads: int, members: int, tokens: int) -> np.ndarray:
    """(ATT.1-4) where every position sees every other."""
    table = fixed_point.exponential(1 << 16, Fraction(1, 2048), 15)
    out = []
    for i in range(tokens * heads):
        g, kv = i % heads // members, heads // members
        scores = [int(case["q"][i] @ case["k"][j * kv + g]) for j in range(tokens)]
        scores = [min(max((s + (1 << 16)) >> 17, -32768), 32767) for s in scores]
        e = [int(table[max(scores) - s]) for s in scores]
        inverse = (65535 << 28) // sum(e)
        p = [(x * inverse + (1 << 27)) >> 28 for x in e]
        out.append(sum(x * case["v"][j * kv + g] for j, x in enumerate(p)))
    return np.array(out)


@pytest.mark.parametrize(("kv_heads", "members", "tokens"), [(1, 1, 1), (2, 1, 5), (2, 2, 4)])
def test_attention_without_a_mask_sees_every_position(kv_heads: int, members: int, tokens: int) -> None:
    heads = kv_heads * members
    b = Builder("attention")
    q, k = b.weight("q", tokens * heads, 8), b.weight("k", tokens * kv_heads, 8)
    v = b.weight("v", tokens * kv_heads, 4)
    shape = AttentionShape(
        kv_heads=kv_heads, group_size=members, window=0, score_shift=17, rate=Fraction(1, 2048), causal=False
    )
    out = attention(b, q, k, v, shape)
    inputs = {"q": integers(tokens * heads, 8), "k": integers(tokens * kv_heads, 8)}
    case = Case(b, {**inputs, "v": integers(tokens * kv_heads, 4)})
    assert (recombined(case, out) == plain_attention(case, heads, members, tokens)).all()
    if tokens > 1:  # the last position is read by the first
        one = at((tokens * heads, tokens), (0, tokens - 1))
        for name in ("scores.y", "softmax.exp.e", "softmax.probability.p"):
            assert case.violations(**{name: case[name] + one}) != []


def test_a_window_needs_a_causal_mask() -> None:
    refused("circuit-config", lambda: seen(4, 4, heads=1, window=2, causal=False))


def wide_attention(head_dim: int, bits: int) -> Builder:
    """Queries and keys that come from a clamp and the rotary embedding, and have no norm."""
    b = Builder("attention")
    angles = angle_tables(b, 3, head_dim, 1e4)
    q, k = (
        rope(b, name, external(b, f"{name}.in", 3, head_dim, Interval.signed(bits)), angles, heads=1)
        for name in ("q", "k")
    )
    v = external(b, "v", 3, 4, Interval.signed(18))
    shape = AttentionShape(kv_heads=1, group_size=1, window=0, score_shift=36, rate=Fraction(1, 256))
    attention(b, q, k, v, shape)
    return b


@pytest.mark.parametrize(("head_dim", "bits"), [(64, 15), (128, 15), (256, 14)])
def test_queries_without_a_norm_have_room_for_a_product(head_dim: int, bits: int) -> None:
    assert operand_bits(head_dim, (1 << 13) + 1) in (bits - 1, bits)
    wide_attention(head_dim, operand_bits(head_dim, (1 << 13) + 1)).finish()
    refused("circuit-bound", lambda: wide_attention(head_dim, bits + 2).finish())


def test_queries_may_have_no_length() -> None:
    b = Builder("attention")
    q, k = (external(b, name, 3, 64, Interval.signed(operand_bits(64))) for name in "qk")
    shape = AttentionShape(kv_heads=1, group_size=1, window=0, score_shift=36, rate=Fraction(1, 256))
    attention(b, q, k, external(b, "v", 3, 4, Interval.signed(18)), shape)
    b.finish()


# ---- pooling ----


def test_pooling_puts_out_the_sum_of_the_rows() -> None:
    b = Builder("pooling")
    out = pooled(b, boundary_in(b, "boundary.6", 5, 7))
    x = integers(5, 7, bits=26)
    x[:, 0], x[:, 1] = (1 << 25) - 1, -(1 << 25)
    case = Case(b, {"boundary.6": x})
    assert (outputs(case.raw, case.tensors)["pooled"] == x.sum(axis=0)).all()
    assert out.bounds == Interval(-5 << 25, 5 * ((1 << 25) - 1))
    assert case.violations(pooled__sum=case["pooled.sum"] + at((1, 7), (0, 3))) == ["pooled.sum"]
    far = evaluate(case.raw, {"boundary.6": x + at((5, 7), (2, 2)).astype(np.int64) * (1 << 26)})
    assert check(case.raw, far) == ["residual_in.limb1"]
    assert totals(case.raw, case.tensors) == {}


def test_a_pool_of_too_many_columns_is_refused() -> None:
    b = Builder("pooling")
    refused("circuit-shape", lambda: pooled(b, b.boundary("x", 1, (1 << 16) + 1, 26)))
