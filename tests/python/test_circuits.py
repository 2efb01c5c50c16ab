"""Every operation on tiny shapes: its witness equals plain integers, each corruption fails as it should."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from assay.circuits import fixed_point
from assay.circuits import layer as layers
from assay.circuits.activation import activation, activation_table, largest
from assay.circuits.attention import AttentionShape, attention
from assay.circuits.gated_mlp import gated_product
from assay.circuits.gemma3 import Gemma3
from assay.circuits.inverse_sqrt import inverse_sqrt
from assay.circuits.linear import linear
from assay.circuits.residual import boundary_in, boundary_out
from assay.circuits.rms_norm import epsilon, rms_norm
from assay.circuits.rope import angle_tables, angles, rope
from assay.circuits.rounding import clamped_offset, clamped_round, round_shift
from assay.circuits.scales import LayerScales, ModelScales
from assay.circuits.softmax import reciprocal, softmax
from circuit_case import (
    Case,
    Tensors,
    at,
    external,
    integers,
    plain_root,
    recombined,
    rng,
    split,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import AssayError, QuantizationError
from assay.graph import Builder, CircuitError, Domain, Interval, Ragged, Wire, term
from assay.graph.summary import summarise
from assay.quantize.quantize import fold_gain, quantize_tensor
from assay.quantize.scales import derive_scales
from assay.reference.circuit import P, check, decode, evaluate, totals

# ---- rounding and clamps ----


@pytest.mark.parametrize("shift", [1, 2, 15, 16, 17, 31])
def test_round_shift_is_the_floor_of_half_up(shift: int) -> None:
    b = Builder("round")
    x, y = b.weight("x", 2, 5), b.weight("y", 2, 5)
    out = round_shift(b, "r", b.value(term(x, y), x.domain), shift)
    halves = np.array([[(1 << 14), -(1 << 14), -32768, 32767, 0]])
    case = Case(b, {"x": np.vstack([halves, integers(1, 5)]), "y": np.vstack([halves, integers(1, 5)])})
    product = case["x"] * case["y"]
    assert (recombined(case, out) == (product + (1 << (shift - 1))) >> shift).all()


def rounding_case() -> Case:
    b = Builder("round")
    x, y = b.weight("x", 2, 3), b.weight("y", 2, 3)
    round_shift(b, "r", b.value(term(x, y), x.domain), 7)
    return Case(b, {"x": integers(2, 3), "y": integers(2, 3)})


@pytest.mark.parametrize("step", [1, -1])
def test_an_output_off_by_one_has_a_remainder_out_of_range(step: int) -> None:
    case = rounding_case()
    one = at((2, 3), (1, 2)) * step
    y = split(case.wide("r", "y0", "y1") + one, "r__y0", "r__y1")
    assert case.violations(**y, r__r0=case["r.r0"] - one * 128) == ["r.r0"]
    assert case.violations(**y) == ["r"]


CLAMP_INPUTS = [0, 1, -1, 127, 128, 129, -128, -129, 4095, 4096, -4096, -4097, 32767, -32768]


def clamp_case(bits: int = 8, shift: int = 4, factor: int = 1) -> Case:
    b = Builder("clamp")
    x = b.weight("x", 1, len(CLAMP_INPUTS))
    clamped_round(b, "c", b.value(term(x, x) * 0 + term(x) * factor, x.domain), shift, bits)
    return Case(b, {"x": np.array([CLAMP_INPUTS])})


@pytest.mark.parametrize(
    ("bits", "shift", "factor"), [(8, 4, 1), (8, 0, 1), (4, 1, 3), (17, 3, 300), (16, 2, 9)]
)
def test_a_clamp_saturates_on_both_sides(bits: int, shift: int, factor: int) -> None:
    case = clamp_case(bits, shift, factor)
    half = 1 << (bits - 1)
    for x, y in zip(CLAMP_INPUTS, case["c.y"][0], strict=True):
        t = (x * factor + (1 << shift >> 1)) >> shift
        assert y == min(max(t, -half), half - 1)
    saturated = int(case["c.clamp.outside"].sum())
    assert totals(case.raw, case.tensors) == {"c.saturated": saturated}


def test_a_bypassed_clamp_fails_at_its_table() -> None:
    case = clamp_case()
    j = CLAMP_INPUTS.index(4096)
    one = at((1, len(CLAMP_INPUTS)), (0, j))
    assert case["c.clamp.positive"][0, j] == 1
    lo = case["c.lo0"]
    bypass = {
        "c__clamp__outside": case["c.clamp.outside"] - one,
        "c__clamp__positive": case["c.clamp.positive"] - one,
    }
    y = case["c.y"] * (1 - one) + one * (lo - 128)
    assert case.violations(**bypass, c__y=y) == ["c.clamp"]
    # without the table: hi = 0 and the whole value in lo, which is then out of range
    whole = lo + one * (case["c.hi"] << 8)
    zero_hi = case["c.hi"] * (1 - one)
    y = case["c.y"] * (1 - one) + one * (whole - 128)
    assert case.violations(**bypass, c__y=y, c__lo0=whole, c__hi=zero_hi) == ["c.lo0"]
    assert case.violations(c__y=case["c.y"] - one) == ["c.saturate"]


def test_a_clamp_on_missing_cells_is_offset_and_reads_the_existing_ones() -> None:
    b = Builder("clamp")
    x = external(b, "x", 6, 3, Interval.signed(20))
    domain = Domain(6, 3, Ragged(True, 2, 2))
    y = clamped_offset(b, "c", b.value(x, domain), 4, 8)
    values = np.resize(np.array(CLAMP_INPUTS) * 5, (6, 3))
    case = Case(b, {"x": values})
    plain = np.clip((values + 8) >> 4, -128, 127) + 128
    exists = np.array(
        [[bool(a <= j < z) for j in range(3)] for a, z in (domain.ragged.range(i, 3) for i in range(6))]
    )
    assert (recombined(case, y) == np.where(exists, plain, 0)).all()
    beyond = (values + 8 >> 4 < -128) | (values + 8 >> 4 > 127)
    assert totals(case.raw, case.tensors) == {"c.saturated": int((exists & beyond).sum())}
    hidden, seen = at((6, 3), (0, 2)), at((6, 3), (3, 1))
    for name in ("x", "c.y", "c.lo0", "c.hi", "c.r0", "c.clamp.positive"):
        assert case.violations(**{name: case[name] + hidden}) == []
        assert case.violations(**{name: case[name] + seen}) != []
    assert case.violations(**{"c.y": case["c.y"] + seen}) == ["c.saturate"]


def test_a_zero_check_on_missing_cells_has_no_constant() -> None:
    b = Builder("constant")
    x = b.tensor("x", 2, 2, Interval.signed(4), ragged=Ragged(True, 1, 0))
    full = b.weight("w", 2, 2)
    b.zero("product", x.domain, [term(x, full) - term(x, x)])
    for poly in (term(x, full) - 1, term(x, x) - term(full, full)):
        with pytest.raises(CircuitError, match="on missing cells"):
            b.zero("other", x.domain, [poly])


def test_a_clamp_is_left_out_where_it_cannot_act() -> None:
    b = Builder("fits")
    x, w = b.weight("x", 2, 2), b.weight("w", 3, 2)
    linear(b, "wide", x, w, shift=17, bits=16)
    linear(b, "narrow", x, w, shift=1, bits=16)
    names = {t.name for t in b.tensors}
    assert "narrow.hi" in names
    assert "wide.hi" not in names


def test_a_clamp_whose_table_would_be_too_large_is_refused() -> None:
    b = Builder("table")
    x, y = b.weight("x", 1, 2), b.weight("y", 1, 2)
    with pytest.raises(CircuitError, match="rows") as caught:
        clamped_round(b, "c", b.value(term(x, y), x.domain), 1, 8)
    assert caught.value.code == "circuit-table"


@pytest.mark.parametrize("shift", [-1, 62])
def test_a_shift_out_of_range_is_refused(shift: int) -> None:
    b = Builder("shift")
    x = b.weight("x", 1, 2)
    with pytest.raises(CircuitError, match=f"a shift by {shift} bits"):
        round_shift(b, "r", b.value(x, x.domain), shift)


# ---- inverse square root ----


def roots_case(values: list[int]) -> Case:
    b = Builder("root")
    inverse_sqrt(b, "i", external(b, "v", 1, len(values), Interval(1, (1 << 62) - 1)))
    return Case(b, {"v": np.array([values])})


EDGES = sorted({max(1, min((1 << 62) - 1, (1 << e) + d)) for e in range(63) for d in (-2, -1, 0, 1, 2)})


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, (1 << 62) - 1), min_size=1, max_size=40))
def test_inverse_roots_are_the_normalised_floor(values: list[int]) -> None:
    values = values + EDGES
    case = roots_case(values)
    for v, w in zip(values, case["i.scaled"][0], strict=True):
        assert w == plain_root(v)
        assert v * w * w <= (1 << 92) + (1 << 64)
        assert abs(w * math.sqrt(v) / 2**46 - 1) < 2**-14.9


def root_witness(v: int, row: int, root: int | None = None) -> dict[str, np.ndarray]:
    """All tensors of one inverse root, for a claimed row and a claimed w: only ranges can fail."""
    scale, last = 1 << (30 - row), 4 ** (row + 1) - 1
    shifted = v * scale * scale % P - (1 << 60)
    normal = (shifted + (1 << 60)) >> 32
    w = math.isqrt((1 << 60) // max(normal, 1)) if root is None else root
    a = (1 << 60) - w * w * normal
    b = (2 * w + 1) * normal - 1 - a
    cells = {
        "i.normalise.row": row,
        "i.normalise.scale": scale,
        "i.normalise.inverse": (1 << 32) // scale,
        "i.normalise.last": last,
        "i.root": w,
        "i.scaled": w * scale,
        **split(last - v, "i.below.u0", "i.below.u1", "i.below.u2", "i.below.u3"),
        **split(shifted, "i.shift.r0", "i.shift.r1", "i.shift.v0", "i.shift.v1"),
        **split(a, "i.floor.a0", "i.floor.a1", "i.floor.a2"),
        **split(b, "i.ceiling.b0", "i.ceiling.b1", "i.ceiling.b2"),
    }
    return {name.replace(".", "__"): np.array([[value]], dtype=object) for name, value in cells.items()}


@pytest.mark.parametrize("v", [1, 3, 4, 1000, (1 << 28) + 5, (1 << 40) - 1, (1 << 62) - 1])
def test_other_inverse_roots_are_rejected(v: int) -> None:
    case = roots_case([v])
    row = int(case["i.normalise.row"][0, 0])
    w = int(case["i.root"][0, 0])
    assert case.violations(**root_witness(v, row)) == []
    assert case.violations(**root_witness(v, row, w + 1)) == ["i.floor.a2"] or w == 1 << 16
    assert case.violations(**root_witness(v, row, w - 1)) == ["i.ceiling.b2"] or w == 1 << 15
    assert case.violations(i__scaled=case["i.scaled"] + 1) == ["i.scaled"]
    if row < 30:
        assert "i.shift.v1" in case.violations(**root_witness(v, row + 1))
    if row:
        assert "i.below.u3" in case.violations(**root_witness(v, row - 1))


def test_a_wrapped_normalisation_fails_at_its_upper_bound_alone() -> None:
    """Without U - v >= 0 there is a second witness, with v P^2 wrapped modulo p."""
    found = 0
    for row in range(14):
        for normal in range(1 << 28, (1 << 28) + 400):
            v = (normal << 32) * pow(4 ** (30 - row), -1, P) % P
            if 4 ** (row + 1) <= v < 1 << 62:
                case = roots_case([v])
                assert case.violations(**root_witness(v, row)) == ["i.below.u3"]
                found += 1
                break
    assert found > 3


# ---- norms ----


def norm_case(shift: int = 43, rows: int = 2, size: int = 6, root: int = 46) -> Case:
    b = Builder("norm")
    x = external(b, "x", rows, size, Interval.signed(26))
    rms_norm(b, "n", x, b.weight("gain", 1, size), root=root, shift=shift, bits=32, eps=7)
    x_values = integers(rows, size, bits=26)
    x_values[0] = 0
    x_values[0, 1] = 1 << 24
    return Case(b, {"x": x_values, "gain": quantize_tensor("g", rng.uniform(-1, 1, (1, size)), 15)})


@pytest.mark.parametrize(
    ("shift", "root"), [(32, 46), (38, 46), (43, 46), (46, 46), (32, 45), (33, 40), (20, 24)]
)
def test_a_norm_is_one_rounding_of_x_w_gain(shift: int, root: int) -> None:
    case = norm_case(shift, root=root)
    limbs = [f"y{k}" for k in range(2) if f"n.y{k}" in case.tensors]
    y = case.wide("n", *limbs)
    for i, row in enumerate(case["x"]):
        w = plain_root(sum(v * v for v in row) + 7) >> (46 - root)
        for j, v in enumerate(row):
            assert y[i, j] == (v * w * case["gain"][0, j] + (1 << (shift - 1))) >> shift
        exact = (
            row.astype(float) / math.sqrt(float(sum(v * v for v in row)) + 7) * case["gain"][0].astype(float)
        )
        error = (
            2
            + 2.0 ** (shift - root)
            + (np.abs(row.astype(float)).max() * 2.0 ** (15 - root) if root < 46 else 0)
        )
        assert np.abs(y[i].astype(float) * 2.0 ** (shift - root) - exact).max() <= error


def test_a_root_of_fewer_bits_is_a_floor() -> None:
    case = norm_case(33, root=40)
    w, r = case["n.inverse.scaled.w0"], case["n.inverse.scaled.r0"]
    for step in (1, -1):
        one = at((1, 2), (0, 1)) * step
        changes = {"n__inverse__scaled__w0": w + one, "n__inverse__scaled__r0": r - one * 64}
        assert "n.inverse.scaled.r0" in case.violations(**changes)
        assert "n.inverse.scaled" in case.violations(n__inverse__scaled__w0=w + one)


def test_a_norm_with_another_row_factor_is_rejected() -> None:
    case = norm_case()
    factor = case["n.inverse.scaled"] + np.array([[0, 1 << 20]])
    acc = case["x"] * factor.reshape(2, 1) * case["gain"] + (1 << 42)
    limbs = {
        f"n__r{k}": v
        for k, v in enumerate((acc % (1 << 16), (acc >> 16) % (1 << 16), (acc >> 32) % (1 << 11)))
    }
    limbs |= split(acc >> 43, "n__y0", "n__y1")
    assert case.violations(n__inverse__scaled=factor, **limbs) == ["n.inverse.scaled"]
    assert case.violations(n__inverse__scaled=factor) == ["n.inverse.scaled", "n"]


def test_a_norm_of_too_many_wide_entries_is_refused() -> None:
    b = Builder("norm")
    x = external(b, "x", 1, 4096, Interval.signed(26))
    with pytest.raises(CircuitError, match="sum of 4096 squares") as caught:
        rms_norm(b, "n", x, b.weight("gain", 1, 4096), root=46, shift=43, bits=32, eps=1)
    assert caught.value.code == "circuit-bound"
    b = Builder("norm")
    x = external(b, "x", 1, 4095, Interval.signed(26))
    rms_norm(b, "n", x, b.weight("gain", 1, 4095), root=46, shift=43, bits=32, eps=1)
    b.finish()


def test_epsilon_is_exact_and_at_least_one() -> None:
    assert epsilon(1e-6, 640, 0) == 1
    assert epsilon(1e-6, 640, 16) == round(Fraction(1e-6) * 640 * 2**32)
    assert epsilon(1e-6, 640, -2) == 1


# ---- linear ----


def test_a_linear_layer_is_a_matrix_product() -> None:
    b = Builder("linear")
    x, w = b.weight("x", 3, 4), b.weight("w", 5, 4)
    y = linear(b, "l", x, w, shift=9)
    case = Case(b, {"x": integers(3, 4), "w": integers(5, 4)})
    assert (recombined(case, y) == (case["x"] @ case["w"].T + 256) >> 9).all()
    assert case.violations(w=case["w"] + at((5, 4), (2, 3))) == ["l"]
    # out of range, but equal modulo p: a remainder that wraps
    assert case.violations(l__r0=case["l.r0"] + P) == []
    assert case.violations(l__r0=case["l.r0"] - 512, l__y0=case["l.y0"] + 1)[-1] == "l.r0"


# ---- rotary embedding ----


def rope_case() -> tuple[Case, Wire]:
    b = Builder("rope")
    x = b.weight("x", 6, 8)
    y = rope(b, "p", x, angle_tables(b, 3, 8, 10000.0), heads=2)
    return Case(b, {"x": integers(6, 8)}), y


def turned(x: np.ndarray, first: int) -> np.ndarray:
    """Accumulators of (ROPE.1) for positions first, first + 1, ..., two heads each."""
    cos, sin = (t[first:] for t in angles(6, 8, 10000.0))
    rows = np.arange(6) // 2
    return x * cos[rows] + np.roll(x, 4, axis=1) * sin[rows]


def test_rope_turns_pairs_by_position() -> None:
    case, y = rope_case()
    assert (recombined(case, y) == turned(case["x"], 0)).all()
    exact = np.empty((6, 8))
    for i in range(6):
        for j in range(4):
            angle = (i // 2) * 10000.0 ** (-j / 4)
            a, b = float(case["x"][i, j]), float(case["x"][i, j + 4])
            exact[i, j] = a * math.cos(angle) - b * math.sin(angle)
            exact[i, j + 4] = b * math.cos(angle) + a * math.sin(angle)
    assert np.abs(recombined(case, y).astype(float) / (1 << 13) - exact).max() < 12


def test_rope_at_other_positions_is_rejected() -> None:
    case, _ = rope_case()
    assert case.violations(p=turned(case["x"], 1)) == ["p"]
    assert case.violations(p=case["p"] + at((6, 8), (3, 5))) == ["p"]


# ---- softmax ----


def softmax_case(heads: int = 2, tokens: int = 5, window: int = 3) -> Case:
    b = Builder("softmax")
    x = external(b, "x", tokens * heads, tokens, Interval.unsigned(16))
    softmax(b, "s", x, heads=heads, window=window, rate=Fraction(1, 4096))
    x = integers(tokens * heads, tokens) + (1 << 15)
    x[-1] = 5  # ties
    return Case(b, {"x": x})


def visible(i: int, tokens: int, heads: int = 2, window: int = 3) -> list[int]:
    t = i // heads
    return [j for j in range(tokens) if j <= t and (not window or j > t - window)]


def test_softmax_is_exp_of_the_distance_to_the_maximum() -> None:
    case = softmax_case()
    for i in range(10):
        cells = visible(i, 5)
        row = [int(case["x"][i, j]) for j in cells]
        e = [math.floor(2**15 * math.exp(-(max(row) - v) / 4096) + 0.5) for v in row]
        assert case["s.max"][0, i] == max(row)
        assert [case["s.exp.e"][i, j] for j in cells] == e
        assert case["s.sum"][0, i] == sum(e)
        assert case["s.zeros"][0, i] == row.count(max(row))
        inverse = (65535 << 28) // sum(e)
        assert [case["s.probability.p"][i, j] for j in cells] == [(v * inverse + (1 << 27)) >> 28 for v in e]
        names = ("s.exp.e", "s.exp.z", "s.scaled", "s.probability.p", "s.probability.r0")
        assert all(case[name][i, j] == 0 for name in names for j in range(5) if j not in cells)


def test_masked_scores_and_absent_cells_are_not_read() -> None:
    case = softmax_case()
    assert case.violations(x=case["x"] + at((10, 5), (0, 4)) * 7) == []
    for name in ("s.exp.e", "s.exp.z", "s.scaled", "s.probability.p", "s.probability.r0"):
        assert case.violations(**{name: case[name] + at((10, 5), (0, 4)) * 7}) == []


def test_a_probability_is_the_one_rounding_of_its_share() -> None:
    case = softmax_case()
    p, r = case["s.probability.p"], case["s.probability.r1"]
    one = at((10, 5), (5, 2))
    assert case.violations(s__probability__p=p + one) == ["s.probability"]
    moved = {"s__probability__p": p + one, "s__probability__r1": r - one * (1 << 12)}
    assert case.violations(**moved) == ["s.probability.r1"]
    n = case["s.scaled"] + one
    assert "s.scaled" in case.violations(s__scaled=n)


def test_one_cell_may_have_all_of_its_row() -> None:
    """p = 2^16 - 1, the largest: a row of one cell, and one of far smaller others."""
    b = Builder("softmax")
    x = external(b, "x", 3, 3, Interval.unsigned(16))
    softmax(b, "s", x, heads=1, window=0, rate=Fraction(1))
    case = Case(b, {"x": np.array([[65535, 0, 0], [0, 65535, 0], [65535, 65535, 65535]])})
    assert case["s.probability.p"].tolist() == [[65535, 0, 0], [0, 65535, 0], [21845, 21845, 21845]]


@pytest.mark.parametrize("step", [1, 100])
def test_a_maximum_that_only_bounds_is_rejected(step: int) -> None:
    case = softmax_case()
    i = 7
    m = case["s.max"] + at((1, 10), (0, i)) * step
    e, z, zeros, total = case["s.exp.e"], case["s.exp.z"], case["s.zeros"], case["s.sum"]
    table = fixed_point.exponential(1 << 16, Fraction(1, 4096), 15)
    for j in visible(i, 5):
        e[i, j], z[i, j] = table[int(m[0, i] - case["x"][i, j])], 0
    zeros[0, i], total[0, i] = 0, e[i].sum()
    changes = {"s__max": m, "s__exp__e": e, "s__exp__z": z, "s__sum": total, **divided(e, total)}
    small = {"s.inverse.limb1"}  # a sum below 2^15 may show in its reciprocal as well
    assert {*case.violations(**changes, s__zeros=zeros)} - small == {"s.attained"}
    zeros[0, i] = 1
    assert {*case.violations(**changes, s__zeros=zeros)} - small == {"s.zeros"}
    assert "s.exp" in case.violations(s__max=m - at((1, 10), (0, i)) * 2 * step)


def divided(e: np.ndarray, total: np.ndarray) -> dict[str, np.ndarray]:
    """(SOFT.4-5) of exponentials and sums, for rows of at most three cells."""
    inverse = np.array([[(65535 << 28) // int(d) for d in total[0]]], dtype=object)
    rho = (65535 << 28) - total * inverse
    n = e * inverse.reshape(-1, 1)
    seen = np.array([[int(j in visible(i, 5)) for j in range(5)] for i in range(10)], dtype=object)
    rounded = (n + (1 << 27)) * seen
    return {
        "s__inverse": inverse,
        **split(inverse, "s__inverse__limb0", "s__inverse__limb1"),
        "s__remainder__rho0": rho,
        "s__below__rest0": total - 1 - rho,
        "s__scaled": n,
        **split(rounded % (1 << 28), "s__probability__r0", "s__probability__r1"),
        "s__probability__p": rounded >> 28,
    }


def test_a_wrong_row_sum_is_rejected() -> None:
    case = softmax_case()
    e, total = case["s.exp.e"], case["s.sum"] + at((1, 10), (0, 3))
    assert case.violations(s__sum=total, **divided(e, total)) == ["s.sum"]
    e, total = e + at((10, 5), (9, 4)), case["s.sum"] + at((1, 10), (0, 9))
    assert case.violations(s__exp__e=e, s__sum=total, **divided(e, total)) == ["s.exp"]


# ---- attention ----


def test_the_reciprocal_is_a_floor() -> None:
    values = [1 << 15, (1 << 15) + 1, 3 << 20, (1 << 30) - 1, 1 << 30]
    b = Builder("reciprocal")
    reciprocal(b, "a", external(b, "d", 1, len(values), Interval(1 << 15, 1 << 30)), 1 << 46)
    case = Case(b, {"d": np.array([values])})
    assert case["a.inverse"][0].tolist() == [(1 << 46) // d for d in values]
    for step, limb in ((1, "a.remainder.rho1"), (-1, "a.below.rest1")):
        inverse = case["a.inverse"] + at((1, 5), (0, 2)) * step
        rho = (1 << 46) - case["d"] * inverse
        changes = {
            "a__inverse": inverse,
            **split(inverse, "a__inverse__limb0", "a__inverse__limb1"),
            **split(rho, "a__remainder__rho0", "a__remainder__rho1"),
            **split(case["d"] - 1 - rho, "a__below__rest0", "a__below__rest1"),
        }
        assert limb in case.violations(**changes)
        assert {v.rpartition(".")[0] for v in case.violations(**changes)} <= {"a.remainder", "a.below"}


def attention_case(
    kv_heads: int, members: int, tokens: int, window: int, *, like: Case | None = None
) -> tuple[Case, Wire]:
    """With random inputs, or the first of those of another case."""
    b = Builder("attention")
    heads = kv_heads * members
    q, k = b.weight("q", tokens * heads, 8), b.weight("k", tokens * kv_heads, 8)
    v = b.weight("v", tokens * kv_heads, 4)
    shape = AttentionShape(
        kv_heads=kv_heads,
        group_size=members,
        window=window,
        score_shift=17,
        rate=Fraction(1, 2048),
    )
    out = attention(b, q, k, v, shape)
    inputs = {"q": integers(tokens * heads, 8), "k": integers(tokens * kv_heads, 8)}
    inputs["v"] = integers(tokens * kv_heads, 4)
    if like is not None:
        inputs = {name: like[name][: len(cells)].astype(cells.dtype) for name, cells in inputs.items()}
    return Case(b, inputs), out


@pytest.mark.parametrize(("kv_heads", "members"), [(1, 1), (1, 2), (2, 1), (2, 3)])
@pytest.mark.parametrize(("tokens", "window"), [(1, 0), (5, 0), (5, 3), (5, 1)])
def test_attention_is_grouped_causal_and_windowed(
    kv_heads: int, members: int, tokens: int, window: int
) -> None:
    case, out = attention_case(kv_heads, members, tokens, window)
    heads = kv_heads * members
    values = recombined(case, out)
    for t in range(tokens):
        for h in range(heads):
            g, i = h // members, t * heads + h
            cells = visible(i, tokens, heads, window)
            scores = [int(case["q"][i] @ case["k"][j * kv_heads + g]) for j in cells]
            scores = [min(max((s + (1 << 16)) >> 17, -32768), 32767) for s in scores]
            table = fixed_point.exponential(1 << 16, Fraction(1, 2048), 15)
            e = [table[max(scores) - s] for s in scores]
            shift = 28
            inverse = (65535 << shift) // sum(e)
            p = [(x * inverse + (1 << (shift - 1))) >> shift for x in e]
            rows = [case["v"][j * kv_heads + g] for j in cells]
            assert (values[i] == sum(x * row for x, row in zip(p, rows, strict=True))).all()
            mean = sum(x * row for x, row in zip(e, rows, strict=True)).astype(float) / sum(e)
            assert np.abs(values[i].astype(float) / 65535 - mean).max() < 2


@pytest.mark.parametrize("window", [0, 3])
def test_a_position_does_not_depend_on_later_ones(window: int) -> None:
    """Its probabilities and values are the same in a longer pass."""
    long, out = attention_case(2, 1, 40, window)
    short, again = attention_case(2, 1, 5, window, like=long)
    assert (recombined(short, again) == recombined(long, out)[: 5 * 2]).all()


def test_values_that_are_not_the_weighted_sum_are_rejected() -> None:
    case, _ = attention_case(1, 2, 4, 0)
    assert case.violations(attention=case["attention"] + at((8, 4), (5, 2))) == ["attention"]
    assert case.violations(v=case["v"] + at((4, 4), (3, 0))) == ["attention"]
    # masked cells have no influence, existing ones do
    names = ("scores.lo0", "scores.y", "softmax.exp.e", "softmax.probability.p")
    for name in names:
        assert case.violations(**{name: case[name] + at((8, 4), (3, 2))}) == []
        assert case.violations(**{name: case[name] + at((8, 4), (3, 1))}) != []
    assert "scores.products" in case.violations(scores__products=case["scores.products"] + at((8, 4), (3, 2)))


# ---- gated activation ----


GATES = [
    0,
    1,
    -1,
    8 * 32768,
    8 * 32767,
    -8 * 32768,
    -8 * 32769,
    8 * 40000,
    -8 * 40000,
    1 << 22,
    -(1 << 23),
    5000,
]


def mlp_case(fraction: int = 12) -> tuple[Case, Wire]:
    b = Builder("mlp")
    x = external(b, "x", 1, 12, Interval.signed(24))
    up = external(b, "u", 1, 12, Interval.signed(20))
    active = activation(b, "gate", b.value(x, x.domain), shift=3, fraction_bits=fraction)
    y = gated_product(b, "mlp", active, up, fraction_bits=fraction)
    ups = [*integers(11, bits=20), -(1 << 19)]
    return Case(b, {"x": np.array([GATES]), "u": np.array([ups])}), y


def plain_gelu(t: int, fraction: int) -> int:
    """gelu of t clamped to the table, 0 below it."""
    t = min(t, (1 << 16) - (8 << fraction) - 1)
    return 0 if t < -(8 << fraction) else int(fixed_point.gelu(1 << 16, fraction)[t + (1 << 16)])


@pytest.mark.parametrize("fraction", [12, 11, 9])
def test_the_activation_is_gelu_of_a_clamped_gate(fraction: int) -> None:
    case, y = mlp_case(fraction)
    for x, u, out in zip(case["x"][0], case["u"][0], recombined(case, y)[0], strict=True):
        assert out == plain_gelu((int(x) + 4) >> 3, fraction) * int(u)
    assert (
        largest(fraction)
        == plain_gelu(1 << 20, fraction)
        == activation_table("gelu_tanh", fraction).spans[1].hi
    )


def test_a_wrong_activation_is_rejected() -> None:
    case, _ = mlp_case()
    one = at((1, 12), (0, 11))
    value = case["gate.gelu.value"] + one * 3
    y = case["mlp"] + one * 3 * case["u"]
    assert case.violations(gate__gelu__value=value, mlp=y) == ["gate.gelu"]
    assert case.violations(mlp=case["mlp"] + one) == ["mlp"]
    # a gate above the table passed on as one inside, and one below as one above
    for j, change in ((7, -1), (6, 0)):
        one = at((1, 12), (0, j))
        outside = case["gate.clamp.outside"] + one * change
        positive = case["gate.clamp.positive"] + one * (1 if change == 0 else -1)
        active = case["gate.gelu.value"] * (1 - outside) + positive * largest(12)
        found = case.violations(
            gate__clamp__outside=outside, gate__clamp__positive=positive, mlp=active * case["u"]
        )
        assert found == ["gate.clamp"]


# ---- residual stream ----


def residual_case() -> Case:
    b = Builder("residual")
    x = boundary_in(b, "boundary.0", 2, 3)
    y = external(b, "y", 2, 3, Interval.signed(32))
    boundary_out(b, "boundary.1", x, b.value(y, y.domain), scale=5, shift=7)
    x_values = np.array([[-(1 << 25), (1 << 25) - 1, 0], [5, -5, 70000]])
    return Case(
        b, {"boundary.0": x_values, "y": np.array([[-(1 << 31), (1 << 31) - 1, 9], [48, 47, -70001]])}
    )


def test_a_boundary_is_ranged_added_to_and_rounded() -> None:
    case = residual_case()
    expected = (32 * case["boundary.0"] + case["y"] + 64) >> 7
    assert (case["boundary.1"] == expected).all()
    assert case.violations(**{"boundary.0": case["boundary.0"] + at((2, 3), (0, 0))}) == [
        "residual_in",
        "residual_out",
    ]


def test_a_boundary_beyond_26_bits_is_rejected() -> None:
    b = Builder("residual")
    boundary_in(b, "x", 1, 2)
    raw = b.finish()
    tensors = evaluate(raw, {"x": np.array([[(1 << 25) - 1, 1 << 25]])})
    assert check(raw, tensors) == ["residual_in.limb1"]


# ---- public tables ----


def test_public_tables_are_the_functions() -> None:
    e = fixed_point.exponential(1 << 16, Fraction(1, 512), 15)
    assert e[0] == 1 << 15
    assert all(abs(v - 2**15 * math.exp(-k / 512)) < 0.5 + 1e-9 for k, v in enumerate(e))
    g = fixed_point.gelu(1 << 15, 12)
    assert len(g) == 1 << 16
    c = math.sqrt(2 / math.pi)
    for t in [*range(-32768, 32768, 97), -1, 0, 1, 32767]:
        x = t / 4096
        exact = 0.5 * x * (1 + math.tanh(c * (x + 0.044715 * x**3)))
        assert abs(g[t + 32768] - 4096 * exact) < 0.5 + 1e-6
    assert g[0] == 0
    assert g[-1] == 32767
    for theta in (1e4, 1e6):
        cos, sin = fixed_point.rotary(100, 16, theta, 14)
        for t in (0, 1, 50, 99):
            for k in range(8):
                angle = t * theta ** (-2 * k / 16)
                assert abs(cos[t, k] - 2**14 * math.cos(angle)) < 0.5 + 1e-6
                assert abs(sin[t, k] - 2**14 * math.sin(angle)) < 0.5 + 1e-6


# Each entry also agrees with mpmath at 40 digits.
GOLDEN: dict[str, Any] = {"exp": 16793441, "gelu": 29044836646912, "rotary": (289171408231, 64438779056)}


def test_public_tables_are_pinned() -> None:
    """The same on every machine: golden sums."""
    assert sum(fixed_point.exponential(1 << 16, Fraction(1, 512), 15)) == GOLDEN["exp"]
    assert sum(k * v for k, v in enumerate(fixed_point.gelu(1 << 15, 12))) == GOLDEN["gelu"]
    cos, sin = fixed_point.rotary(512, 32, 1e6, 14)
    weights = np.arange(cos.size).reshape(cos.shape)
    assert (int((weights * cos).sum()), int((weights * sin).sum())) == GOLDEN["rotary"]


def tables_at_hand() -> list[np.ndarray]:
    """Some entries of every kind of table, computed anew."""
    tables = [fixed_point.gelu(1 << 11, bits) for bits in (0, 8, 12)]
    tables += [fixed_point.exponential(5000, rate, 15) for rate in (Fraction(1, 512), Fraction(3, 7))]
    return [*tables, *fixed_point.rotary(100, 16, 1e4, 14), *fixed_point.rotary(1, 2, 1.0, 14)]


def test_entries_are_the_exact_ones_wherever_the_margin_is(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = tables_at_hand()
    monkeypatch.setattr(fixed_point, "_MARGIN", 1.0)  # no entry is left to binary64
    for table, exact in zip(usual, tables_at_hand(), strict=True):
        assert (table == exact).all()


def test_entries_near_a_tie_are_left_to_the_exact_function() -> None:
    near = [0.5 - 2.0**-22, 0.5, 0.5 + 2.0**-22, -1.5, 7.5 - 2.0**-30]
    far = [0.5 - 2.0**-18, 0.5 + 2.0**-18, -0.25, 3.0]
    out = fixed_point._rounded(np.array([*near, *far]), lambda index: 1000 + index)
    assert out.tolist() == [1000, 1001, 1002, 1003, 1004, 0, 1, 0, 3]


# ---- a whole layer ----


def config(kv_heads: int = 1, **changes: Any) -> Gemma3:
    sizes: dict[str, Any] = {
        "vocab_size": 16,
        "hidden_size": 128,
        "num_layers": 2,
        "num_heads": 2,
        "num_kv_heads": kv_heads,
        "head_dim": 128,
        "intermediate_size": 256,
        "rms_norm_eps": 1e-6,
        "rope_theta_global": 1e6,
        "rope_theta_local": 1e4,
        "sliding_window": 3,
        "sliding_pattern": 2,
        "query_pre_attn_scalar": 128,
        "max_position": 64,
        "tied_embeddings": True,
    }
    sizes |= changes
    return Gemma3(**sizes, embed_scale=math.sqrt(sizes["hidden_size"]))


class FloatLayer:
    """Gemma 3 in float64 numpy, with the sites that calibration looks at."""

    def __init__(self, shape: Gemma3, weights: Mapping[str, np.ndarray]) -> None:
        self.c, self.w = shape, weights
        self.maxima: dict[str, float] = {}

    def see(self, site: str, value: np.ndarray) -> np.ndarray:
        self.maxima[site] = max(self.maxima.get(site, 0.0), float(np.abs(value).max()))
        return value

    def norm(self, site: str, x: np.ndarray) -> np.ndarray:
        scale = np.sqrt((x * x).mean(-1, keepdims=True) + self.c.rms_norm_eps)
        return self.see(f"{site}.out", x / scale * self.w[site])

    def project(self, site: str, x: np.ndarray) -> np.ndarray:
        return self.see(f"{site}.out", x @ self.w[site].T)

    def run(self, layer: int, x: np.ndarray) -> np.ndarray:
        p = f"layers.{layer}."
        h = self.norm(f"{p}input_norm", self.see(f"{p}residual_in", x))
        o = self.see(f"{p}attention.out", self.attend(layer, h))
        mid = self.see(
            f"{p}residual_mid", x + self.norm(f"{p}post_attention_norm", self.project(f"{p}o_proj", o))
        )
        h = self.norm(f"{p}pre_feedforward_norm", mid)
        gate, up = self.project(f"{p}gate_proj", h), self.project(f"{p}up_proj", h)
        self.see(f"{p}gate_proj.above", np.maximum(gate, 0))
        tanh = np.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3))
        product = self.see(f"{p}mlp.product", 0.5 * gate * (1 + tanh) * up)
        down = self.project(f"{p}down_proj", product)
        return self.see(f"{p}residual_out", mid + self.norm(f"{p}post_feedforward_norm", down))

    def attend(self, layer: int, h: np.ndarray) -> np.ndarray:
        p, c, tokens = f"layers.{layer}.", self.c, len(h)
        q = self.rotated(layer, "q", h).reshape(tokens, c.num_heads, c.head_dim)
        k = self.rotated(layer, "k", h).reshape(tokens, c.num_kv_heads, c.head_dim)
        v = self.project(f"{p}v_proj", h).reshape(tokens, c.num_kv_heads, c.head_dim)
        k, v = (np.repeat(a, c.group_size, axis=1) for a in (k, v))
        scores = self.see(f"{p}scores", np.einsum("thd,jhd->htj", q, k) * c.score_scale)
        far = np.subtract.outer(np.arange(tokens), np.arange(tokens))
        seen = (far >= 0) & (far < (c.window(layer) or tokens))
        e = np.where(seen, np.exp(scores - np.where(seen, scores, -np.inf).max(-1, keepdims=True)), 0)
        return np.einsum("htj,jhd->thd", e / e.sum(-1, keepdims=True), v).reshape(tokens, -1)

    def rotated(self, layer: int, name: str, h: np.ndarray) -> np.ndarray:
        p, dim = f"layers.{layer}.", self.c.head_dim
        x = self.project(f"{p}{name}_proj", h).reshape(len(h), -1, dim)
        x = self.norm(f"{p}{name}_norm", x)
        frequency = self.c.rope_theta(layer) ** (-np.arange(0, dim, 2) / dim)
        angle = np.tile(np.outer(np.arange(len(h)), frequency), 2)[:, None]
        halves = np.concatenate([-x[..., dim // 2 :], x[..., : dim // 2]], axis=-1)
        return self.see(f"{p}{name}_rope.out", x * np.cos(angle) + halves * np.sin(angle))


class Model:
    """A random tiny model with its scales, and its integer weights."""

    def __init__(self, shape: Gemma3, tokens: int) -> None:
        draw = np.random.default_rng(7)
        self.shape, self.tokens = shape, tokens
        self.weights = {
            name: draw.normal(1, 0.3, dims) if name.endswith("norm") else draw.normal(0, 0.1, dims)
            for name, dims in shape.tensor_shapes().items()
        }
        self.float = FloatLayer(shape, self.weights)
        self.x = draw.normal(0, 3, (tokens, shape.hidden_size))
        out = self.x
        for layer in range(shape.num_layers):
            out = self.float.run(layer, out)
        out = self.float.norm("final_norm", out)
        self.float.see("logits", out @ self.weights["embedding"].T)
        largest = {name: float(np.abs(w).max()) for name, w in self.weights.items()}
        self.scales = derive_scales(shape, self.float.maxima, largest)

    def externals(self, layer: int, x: np.ndarray) -> Tensors:
        out: Tensors = {f"boundary.{layer}": x}
        for name in self.shape.layer_shapes():
            full = f"layers.{layer}.{name}"
            w = fold_gain(self.weights[full]) if name.endswith("norm") else self.weights[full]
            out[full] = quantize_tensor(full, w, self.scales.weight(full)).astype(np.int64)
        return out

    def case(self, layer: int = 0) -> Case:
        b = layers.build(self.shape, self.scales.layers[layer], layer, self.tokens)
        x = np.rint(self.x * 2.0 ** self.scales.boundary(layer)).astype(np.int64)
        return Case(b, self.externals(layer, x))


@pytest.mark.parametrize("kv_heads", [1, 2])
@pytest.mark.parametrize("tokens", [1, 5])
def test_two_layers_are_close_to_float(kv_heads: int, tokens: int) -> None:
    m = Model(config(kv_heads), tokens)
    x = np.rint(m.x * 2.0 ** m.scales.boundary(0)).astype(np.int64)
    exact = m.x
    for layer in range(2):  # the first slides, the second is global
        raw = layers.layer(m.shape, m.scales.layers[layer], layer, tokens)
        assert raw == layers.layer(m.shape.to_dict(), m.scales.layers[layer], layer, tokens)
        tensors = evaluate(raw, m.externals(layer, x))
        assert check(raw, tensors) == []
        x, exact = tensors[f"boundary.{layer + 1}"], m.float.run(layer, exact)
        error = np.abs(x * 2.0 ** -m.scales.boundary(layer + 1) - exact).max() / np.abs(exact).max()
        assert error < 1e-3


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(config(2), 5)


@pytest.fixture(scope="module")
def layer_case(model: Model) -> Case:
    return model.case()


def bump(case: Case, name: str) -> dict[str, np.ndarray]:
    """The tensor with one existing cell one larger."""
    value = case[name]
    (shape,) = [t.shape for t in decode(case.raw).tensors if t.name == name]
    cells = np.argwhere(shape.mask())
    value[tuple(cells[len(cells) // 2])] += 1
    return {name: value}


@pytest.mark.parametrize(
    ("tensor", "relation"),
    [
        ("input_norm.inverse.root", "input_norm.inverse.floor"),
        ("input_norm.inverse.scaled.w0", "input_norm"),
        ("q_norm.inverse.normalise.row", "q_norm.inverse.normalise"),
        ("q_proj.r0", "q_proj"),
        ("q_rope", "q_rope"),
        ("k_rope", "k_rope"),
        ("scores.products", "scores.products"),
        ("softmax.max", "softmax.exp"),
        ("softmax.sum", "softmax.sum"),
        ("softmax.inverse", "softmax.remainder"),
        ("softmax.scaled", "softmax.scaled"),
        ("attention", "attention"),
        ("gate_proj.gelu.value", "gate_proj.gelu"),
        ("up_proj.y", "up_proj.saturate"),
        ("mlp", "mlp"),
        ("residual_in.limb0", "residual_in"),
        ("boundary.1", "residual_out.saturate"),
    ],
)
def test_a_single_wrong_cell_of_a_layer_is_named(layer_case: Case, tensor: str, relation: str) -> None:
    assert relation in check(layer_case.raw, {**layer_case.tensors, **bump(layer_case, tensor)})


def test_every_witness_tensor_is_tied_down(layer_case: Case) -> None:
    """No committed cell that exists is free."""
    for t in decode(layer_case.raw).tensors:
        if t.source == 0:
            assert check(layer_case.raw, {**layer_case.tensors, **bump(layer_case, t.name)}), t.name


def test_a_layer_that_skips_the_residual_is_rejected(model: Model, layer_case: Case) -> None:
    """boundary.1 computed without boundary.0, limbs and clamp consistent: only the sum itself fails."""
    case, half = layer_case, 1 << 25
    s = model.scales.boundary(0) - model.scales.boundary(1)
    rounding = 1 << s >> 1
    remainder = case["residual_out.r0"] if s else 0
    lo = case.wide("residual_out", "lo0", "lo1") + (case["residual_out.hi"] << 26)
    total = remainder + ((lo - half) << s) - rounding
    skipped = total - case["boundary.0"] + rounding
    y = skipped >> s
    changes = {"boundary__1": y, **split(y + half, "residual_out__lo0", "residual_out__lo1")}
    if s:
        changes["residual_out__r0"] = skipped - (y << s)
    assert case.violations(**changes) == ["residual_out"]


@pytest.mark.parametrize("tokens", [1, 2, 64, 100])
def test_the_full_size_layer_closes_at_any_length(tokens: int) -> None:
    shape, scales = full_size()
    for layer in (0, 5):
        b = layers.build(shape, scales, layer, tokens)
        b.finish()
    s = summarise(b, tokens)
    assert s.cells_per_token < 64_000
    if tokens == 64:
        assert s.lookups_per_token < 42_000


# SHA-256 of the bytes, by layer and tokens.
GOLDEN_LAYERS = {
    (0, 1): "67ec0acc9b6c33ab06294aa05f4694537887dab7225145191f152f42fa51158d",
    (0, 64): "86bf5b26f9953339ef81421137f59195b1f8d0bd2358194e1d8d7e2e05c54256",
    (5, 64): "2ef29180e9743341f9b2c3e9a608db207096200cffe7709cb5ae3ff7ee65bea5",
    (5, 100): "4defc3c5782ac2a463338e19480b1a9bd90b776b2cffe86b3d15776ebfdc6d6f",
    (17, 512): "7fc649d6662a99b73c24fe7fde6a9a3799264e5aea6fcff48d7258082aec84cb",
}


@pytest.mark.parametrize(("layer", "tokens"), GOLDEN_LAYERS)
def test_the_bytes_of_a_layer_are_pinned(layer: int, tokens: int) -> None:
    """The same on every machine and in every version: statements name their digests."""
    shape, scales = full_size()
    raw = layers.layer(shape, scales, layer, tokens)
    assert hashlib.sha256(raw).hexdigest() == GOLDEN_LAYERS[layer, tokens]


@pytest.mark.slow
def test_the_full_size_layer_closes_at_the_longest_context() -> None:
    shape, scales = full_size()
    b = layers.build(shape, scales, 5, 32768)
    b.require_sound()
    assert max(sides.magnitude for sides in b.sides().values()) < 1 << 63


def full_size() -> tuple[Gemma3, LayerScales]:
    """Gemma 3 270M, with scales as calibration gives them for a middle layer."""
    shape = config(
        hidden_size=640,
        num_layers=18,
        num_heads=4,
        head_dim=256,
        intermediate_size=2048,
        sliding_window=512,
        sliding_pattern=6,
        query_pre_attn_scalar=256,
        max_position=32768,
    )
    weights = {"input_norm": 3, "q_norm": 7, "k_norm": 6, "post_attention_norm": 1, "pre_feedforward_norm": 5}
    weights |= {
        "post_feedforward_norm": 0,
        "q_proj": 15,
        "k_proj": 16,
        "v_proj": 16,
        "o_proj": 16,
        "gate_proj": 14,
    }
    sites = {"residual_in": 8, "residual_out": 7, "input_norm": 11, "q_proj": 10, "k_proj": 11, "v_proj": 10}
    sites |= {"q_norm": 7, "k_norm": 6, "scores": 5, "o_proj": 11, "pre_feedforward_norm": 11}
    sites |= {"gate_proj": 12, "up_proj": 10, "down_proj": 21}
    return shape, LayerScales(sites, {**weights, "up_proj": 15, "down_proj": 16})


# ---- scales ----


def test_scales_read_back_and_refuse_what_does_not_fit() -> None:
    m = Model(config(1), 2)
    assert ModelScales.from_dict(m.scales.to_dict()) == m.scales
    first, second = m.scales.layers
    with pytest.raises(CircuitError, match="boundary"):
        first.changed(residual_out=first.residual_in + 1)
    with pytest.raises(CircuitError, match="boundary between"):
        ModelScales(layers=(first, second.changed(residual_in=30)), weights={}, head=m.scales.head)
    for broken in ({"weights": 1}, {k: v for k, v in first.to_dict().items() if k != "residual_in"}):
        with pytest.raises(CircuitError, match="fields"):
            LayerScales.from_dict(broken)
    without = {k: v for k, v in first.sites.items() if k != "scores"}
    for sites, named in (({**first.sites, "extra": 1}, "extra"), (without, "scores")):
        with pytest.raises(CircuitError, match=named):
            layers.layer(m.shape, LayerScales(sites, first.weights), 0, 1)
    with pytest.raises(CircuitError, match="integers"):
        first.changed(scores=63)
    assert m.scales.weight("layers.1.q_proj") == second.weights["q_proj"]


def test_weights_saturate_symmetrically_and_nan_is_refused() -> None:
    counted: Counter[str] = Counter()
    values = np.array([0.5, -0.5, 1.5, 40000.0, -40000.0])
    assert quantize_tensor("w", values, 0, saturated=counted).tolist() == [0, 0, 2, 32767, -32767]
    assert counted == {"w": 2}
    for bad in (np.nan, np.inf):
        with pytest.raises(QuantizationError):
            quantize_tensor("w", np.array([bad]), 3)


def test_layers_that_do_not_exist_are_refused() -> None:
    m = Model(config(1), 2)
    refused: list[Callable[[], object]] = [
        lambda: layers.layer(m.shape, m.scales.layers[0], 2, 2),
        lambda: layers.layer(m.shape, m.scales.layers[0], 0, 0),
        lambda: layers.layer(m.shape, replace(m.scales.layers[0], weights={}), 0, 1),
    ]
    for case in refused:
        with pytest.raises(CircuitError):
            case()


def test_statistics_that_are_missing_or_not_finite_are_refused() -> None:
    m = Model(config(1), 2)
    largest = {name: float(np.abs(w).max()) for name, w in m.weights.items()}
    site = "layers.1.scores"
    for maxima in (
        {k: v for k, v in m.float.maxima.items() if k != site},
        {**m.float.maxima, site: math.nan},
        {**m.float.maxima, site: math.inf},
    ):
        with pytest.raises(QuantizationError):
            derive_scales(m.shape, maxima, largest)


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e3])
def test_derived_scales_close_whatever_the_magnitudes(factor: float) -> None:
    """Values beyond a scale saturate; the circuit exists and its relations hold in any case."""
    m = Model(config(1), 3)
    largest = {name: float(np.abs(w).max()) for name, w in m.weights.items()}
    maxima = {site: value * factor for site, value in m.float.maxima.items()}
    scales = derive_scales(m.shape, maxima, largest)
    for layer in range(2):
        raw = layers.layer(m.shape, scales.layers[layer], layer, 3)
        x = np.clip(np.rint(m.x * 2.0 ** scales.boundary(layer)), -(1 << 25), (1 << 25) - 1).astype(np.int64)
        assert check(raw, evaluate(raw, m.externals(layer, x))) == []


def test_a_float_model_that_overflows_is_refused() -> None:
    pytest.importorskip("torch")
    from assay.quantize.calibrate import largest_magnitude

    assert largest_magnitude("site", np.array([1.0, -3.0], dtype=np.float32)) == 3.0
    with pytest.raises(QuantizationError, match="site"):
        largest_magnitude("site", np.array([1.0, np.nan], dtype=np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"query_pre_attn_scalar": -1},
        {"rope_theta_local": 1e-30},
        {"rms_norm_eps": -1.0},
        {"head_dim": 0},
        {"sliding_window": -4},
    ],
)
def test_configurations_out_of_range_are_refused(change: dict[str, float]) -> None:
    shape, scales = full_size()
    with pytest.raises(AssayError):
        layers.build({**shape.to_dict(), **change}, scales, 0, 4)


@pytest.mark.parametrize("change", [{"gate_proj": -3}, {"gate_proj": 40}, {"v_proj": 62}, {"q_proj": 62}])
def test_scales_without_a_shift_are_refused(change: dict[str, int]) -> None:
    shape, scales = full_size()
    with pytest.raises(CircuitError):
        layers.build(shape, scales.changed(**change), 0, 4)
