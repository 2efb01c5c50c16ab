"""For each operation a prover that breaks just one of its relations, and is caught at just that check.

A forgery is a story, the cells that the prover commits to, and the relations that fail on them according to
plain Python (assay.reference); all later steps of the program compute from the forged cells, so that
everything else is consistent. `FORGERIES` is the one place to add to.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest
from assay.circuits.activation import activation, largest
from assay.circuits.attention import AttentionShape, attention
from assay.circuits.gated_mlp import gated_product
from assay.circuits.inverse_sqrt import inverse_sqrt
from assay.circuits.linear import linear
from assay.circuits.residual import boundary_in, boundary_out
from assay.circuits.rms_norm import rms_norm
from assay.circuits.rope import angle_tables, angles, rope
from assay.circuits.rounding import clamped_round
from assay.circuits.softmax import reciprocal, softmax
from cheating import HIDDEN, Case, Cells, Forgery

from assay.graph import Builder, CellType, Interval, Source, Wire
from assay.reference.circuit import WITNESS, check

_RATE = Fraction(1, 4096)


def external(b: Builder, name: str, rows: int, cols: int, bounds: Interval) -> Wire:
    """A boundary with bounds that the test vouches for."""
    wire = b.tensor(name, rows, cols, bounds, source=Source.BOUNDARY, type=CellType.INT64)
    return b.tensor_fact(f"{name}.given", wire, "the test gives it")


def integers(seed: int, *shape: int, bits: int = 16) -> Cells:
    half = 1 << (bits - 1)
    return np.random.default_rng(seed).integers(-half, half, shape)


def at(values: Cells, row: int, col: int, delta: int = 1) -> Cells:
    """The values with one cell changed."""
    out = values.copy()
    out[row, col] += delta
    return out


def image(c: Case, prefix: str) -> Cells:
    """The first image of the one table whose name begins so."""
    (table,) = [t for t in c.circuit.tables if t.name.startswith(prefix)]
    return table.images[0]


def split(value: Cells, *names: str) -> dict[str, Cells]:
    """Limbs of 16 bits, the last with the signed rest."""
    out = {}
    for name in names[:-1]:
        out[name], value = value % (1 << 16), value >> 16
    return {**out, names[-1]: value}


# ---- circuits ----


@lru_cache
def linear_case() -> Case:
    b = Builder("linear")
    x, w = external(b, "x", 3, 4, Interval.signed(16)), b.weight("w", 5, 4)
    b.weight("other", 5, 4)
    linear(b, "l", x, w, shift=9)
    cells = {"x": integers(1, 3, 4), "w": integers(2, 5, 4), "other": integers(3, 5, 4)}
    return Case(b.finish(), cells)


@lru_cache
def clamp_case() -> Case:
    b = Builder("clamp")
    values = [0, 1, -1, 127, 128, -129, 4095, 4096, -4096, -4097, 32767, -32768]
    x = external(b, "x", 1, len(values), Interval.signed(16))
    clamped_round(b, "c", b.value(x, x.domain), 4, 8)
    return Case(b.finish(), {"x": np.array([values])})


@lru_cache
def root_case() -> Case:
    b = Builder("root")
    values = [3, 1000, (1 << 28) + 5, (1 << 40) - 1, (1 << 61) + 12345]
    inverse_sqrt(b, "i", external(b, "v", 1, len(values), Interval(1, (1 << 62) - 1)))
    return Case(b.finish(), {"v": np.array([values])})


@lru_cache
def norm_case() -> Case:
    b = Builder("norm")
    x = external(b, "x", 2, 6, Interval.signed(26))
    rms_norm(b, "n", x, b.weight("gain", 1, 6), root=40, shift=37, bits=32, eps=7)
    return Case(b.finish(), {"x": integers(4, 2, 6, bits=26), "gain": integers(5, 1, 6, bits=15)})


@lru_cache
def rope_case() -> Case:
    b = Builder("rope")
    x = external(b, "x", 6, 8, Interval.signed(16))
    rope(b, "p", x, angle_tables(b, 3, 8, 10000.0), heads=2)
    return Case(b.finish(), {"x": integers(6, 6, 8)})


@lru_cache
def softmax_case() -> Case:
    b = Builder("softmax")
    x = external(b, "x", 10, 5, Interval.unsigned(16))
    softmax(b, "s", x, heads=2, window=3, rate=_RATE)
    return Case(b.finish(), {"x": integers(7, 10, 5, bits=14) + (1 << 15)})


@lru_cache
def reciprocal_case() -> Case:
    values = [1 << 15, (1 << 15) + 1, 3 << 20, (1 << 30) - 1, 1 << 30]
    b = Builder("reciprocal")
    reciprocal(b, "a", external(b, "d", 1, len(values), Interval(1 << 15, 1 << 30)), 1 << 46)
    return Case(b.finish(), {"d": np.array([values])})


@lru_cache
def attention_case() -> Case:
    b = Builder("attention")
    q, k = (external(b, name, rows, 8, Interval.signed(16)) for name, rows in (("q", 20), ("k", 10)))
    v = external(b, "v", 10, 4, Interval.signed(16))
    shape = AttentionShape(kv_heads=2, group_size=2, window=3, score_shift=17, rate=Fraction(1, 2048))
    attention(b, q, k, v, shape)
    q_values, k_values = integers(8, 20, 8), integers(9, 10, 8)
    q_values[8] = k_values[2] = 32767  # a score beyond 16 bits
    return Case(b.finish(), {"q": q_values, "k": k_values, "v": integers(10, 10, 4)})


@lru_cache
def gate_case() -> Case:
    b = Builder("gate")
    gates = [0, 1, -1, 8 * 32768, -8 * 32769, 5000, 1 << 22, -(1 << 23)]
    x = external(b, "x", 1, len(gates), Interval.signed(24))
    up = external(b, "u", 1, len(gates), Interval.signed(20))
    active = activation(b, "gate", b.value(x, x.domain), shift=3, fraction_bits=12)
    gated_product(b, "mlp", active, up, fraction_bits=12)
    return Case(b.finish(), {"x": np.array([gates]), "u": integers(11, 1, len(gates), bits=20)})


@lru_cache
def residual_case() -> Case:
    b = Builder("residual")
    x = boundary_in(b, "boundary.0", 2, 3)
    y = external(b, "y", 2, 3, Interval.signed(32))
    boundary_out(b, "boundary.1", x, b.value(y, y.domain), scale=5, shift=7)
    x_values = np.array([[-(1 << 25), (1 << 25) - 1, 0], [5, -5, 70000]])
    y_values = np.array([[-(1 << 31), (1 << 31) - 1, 9], [48, 47, -70001]])
    return Case(b.finish(), {"boundary.0": x_values, "y": y_values})


CASES: dict[str, Callable[[], Case]] = {
    "linear": linear_case,
    "clamp": clamp_case,
    "inverse root": root_case,
    "norm": norm_case,
    "rope": rope_case,
    "softmax": softmax_case,
    "reciprocal": reciprocal_case,
    "attention": attention_case,
    "gate": gate_case,
    "residual": residual_case,
}


# ---- forgeries ----


def output_off_by_one(c: Case) -> Forgery:
    return Forgery({"l.y0": at(c["l.y0"], 1, 2)}, ("l",))


def remainder_adapted(c: Case) -> Forgery:
    """The equation holds again, with a remainder outside [0, 2^s)."""
    return Forgery({"l.y0": at(c["l.y0"], 1, 2), "l.r0": at(c["l.r0"], 1, 2, -512)}, ("l.r0",))


def limb_out_of_range(c: Case) -> Forgery:
    """A carry moved into a limb that has no room for it."""
    return Forgery({"l.y0": at(c["l.y0"], 1, 2, -(1 << 16)), "l.y1": at(c["l.y1"], 1, 2)}, ("l.y0",))


def weight_of_another_layer(c: Case) -> Forgery:
    acc = c["x"] @ c["other"].T + 256
    return Forgery({"l.r0": acc % 512, **split(acc >> 9, "l.y0", "l.y1")}, ("l",))


def clamp_bypassed(c: Case) -> Forgery:
    """A value far above the range, passed on as its low bits."""
    j = c.externals["x"][0].tolist().index(4096)
    return Forgery(
        {
            "c.clamp.outside": at(c["c.clamp.outside"], 0, j, -1),
            "c.clamp.positive": at(c["c.clamp.positive"], 0, j, -1),
        },
        ("c.clamp",),
    )


def clamp_with_a_wide_limb(c: Case) -> Forgery:
    """No overflow is admitted: the whole value goes into the limb below."""
    j = c.externals["x"][0].tolist().index(4096)
    lo = at(c["c.lo0"], 0, j, int(c["c.hi"][0, j]) << 8)
    outside = at(c["c.clamp.outside"], 0, j, -1)
    positive = at(c["c.clamp.positive"], 0, j, -1)
    hi = at(c["c.hi"], 0, j, -int(c["c.hi"][0, j]))
    return Forgery(
        {"c.lo0": lo, "c.hi": hi, "c.clamp.outside": outside, "c.clamp.positive": positive}, ("c.lo0",)
    )


def saturated_value_off_by_one(c: Case) -> Forgery:
    return Forgery({"c.y": at(c["c.y"], 0, 7, -1)}, ("c.saturate",))


def saturated_to_the_other_side(c: Case) -> Forgery:
    j = c.externals["x"][0].tolist().index(32767)
    return Forgery({"c.clamp.positive": at(c["c.clamp.positive"], 0, j, -1)}, ("c.clamp",))


def root_too_large(c: Case) -> Forgery:
    return Forgery({"i.root": at(c["i.root"], 0, 1)}, ("i.floor.a2",))


def root_too_small(c: Case) -> Forgery:
    return Forgery({"i.root": at(c["i.root"], 0, 1, -1)}, ("i.ceiling.b2",))


def scaled_root_off_by_one(c: Case) -> Forgery:
    return Forgery({"i.scaled": at(c["i.scaled"], 0, 3)}, ("i.scaled",))


def normalised_by_another_row(c: Case) -> Forgery:
    """The next row of the table: v is then too small for it."""
    row = int(c["i.normalise.row"][0, 2]) + 1
    new = {"row": row, "scale": 1 << (30 - row), "inverse": 1 << (2 + row), "last": 4 ** (row + 1) - 1}
    cells = {f"i.normalise.{name}": c[f"i.normalise.{name}"].copy() for name in new}
    for name, value in new.items():
        cells[f"i.normalise.{name}"][0, 2] = value
    root = c["i.root"].copy()
    shifted = int(c["v"][0, 2]) * new["scale"] ** 2 >> 32
    root[0, 2] = min(1 << 16, int(np.sqrt((1 << 60) / shifted)))
    return Forgery({**cells, "i.root": root}, ("i.shift.v1", "i.floor.a2", "i.ceiling.b2"))


def factor_of_another_row(c: Case) -> Forgery:
    """Both rows normed by the first row's length."""
    limbs = {name: c[name] for name in ("n.inverse.scaled.w0", "n.inverse.scaled.w1", "n.inverse.scaled.w2")}
    return Forgery({n: np.array([[w[0, 0], w[0, 0]]]) for n, w in limbs.items()}, ("n.inverse.scaled",))


def factor_rounded_up(c: Case) -> Forgery:
    w, r = c["n.inverse.scaled.w0"], c["n.inverse.scaled.r0"]
    cells = {"n.inverse.scaled.w0": at(w, 0, 1), "n.inverse.scaled.r0": at(r, 0, 1, -64)}
    return Forgery(cells, ("n.inverse.scaled.r0",))


def squares_left_out(c: Case) -> Forgery:
    """The row sum of squares without its last entry."""
    short = c["n.squares"] - (c["x"][:, -1] ** 2)[None, :]
    return Forgery({"n.squares": short}, ("n.squares",))


def other_positions(c: Case) -> Forgery:
    cos, sin = (t[1:] for t in angles(4, 8, 10000.0))
    rows = np.arange(6) // 2
    return Forgery({"p": c["x"] * cos[rows] + np.roll(c["x"], 4, axis=1) * sin[rows]}, ("p",))


def halves_not_swapped(c: Case) -> Forgery:
    cos, sin = angles(3, 8, 10000.0)
    rows = np.arange(6) // 2
    return Forgery({"p": c["x"] * cos[rows] + c["x"] * sin[rows]}, ("p",))


def maximum_too_large(c: Case) -> Forgery:
    """It bounds the row and is attained nowhere."""
    return Forgery({"s.max": at(c["s.max"], 0, 7, 3)}, ("s.attained",))


def attained_by_declaration(c: Case) -> Forgery:
    """The same, and the count of cells that attain it is simply set to one."""
    zeros = c["s.zeros"].copy()
    zeros[0, 7] = 1
    return Forgery({"s.max": at(c["s.max"], 0, 7, 3), "s.zeros": zeros}, ("s.zeros",))


def maximum_too_small(c: Case) -> Forgery:
    """The largest score gets the exponential of a distance it does not have."""
    e, z = c["s.exp.e"].copy(), c["s.exp.z"].copy()
    maximum = c["s.max"].copy()
    row, cells = 9, [2, 3, 4]
    scores = [int(c["x"][row, j]) for j in cells]
    second = sorted(scores)[1]
    maximum[0, row] = second
    table = image(c, "exp.")
    for j, score in zip(cells, scores, strict=True):
        e[row, j], z[row, j] = table[max(second - score, 0)], int(score >= second)
    return Forgery({"s.max": maximum, "s.exp.e": e, "s.exp.z": z}, ("s.exp",))


def row_sum_of_exponentials(c: Case) -> Forgery:
    return Forgery({"s.sum": at(c["s.sum"], 0, 3)}, ("s.sum",))


def exponential_of_another_row(c: Case) -> Forgery:
    return Forgery({"s.exp.e": at(c["s.exp.e"], 9, 4)}, ("s.exp",))


def share_off_by_one(c: Case) -> Forgery:
    """A share that is not its exponential's part of the row."""
    return Forgery({"s.scaled": at(c["s.scaled"], 5, 2)}, ("s.scaled",))


def probability_off_by_one(c: Case) -> Forgery:
    return Forgery({"s.probability.p": at(c["s.probability.p"], 5, 2)}, ("s.probability",))


def probability_with_its_remainder(c: Case) -> Forgery:
    """The equation holds again, with a remainder that is none."""
    p, r = at(c["s.probability.p"], 5, 2), at(c["s.probability.r1"], 5, 2, -(1 << 12))
    return Forgery({"s.probability.p": p, "s.probability.r1": r}, ("s.probability.r1",))


def reciprocal_too_large(c: Case) -> Forgery:
    return Forgery({"a.inverse": at(c["a.inverse"], 0, 2)}, ("a.remainder.rho1",))


def reciprocal_too_small(c: Case) -> Forgery:
    return Forgery({"a.inverse": at(c["a.inverse"], 0, 2, -1)}, ("a.below.rest1",))


def weighted(c: Case, *, window: int = 3, future: int = 0, swap: bool = False) -> Cells:
    """(ATT.4) with another mask or the other group of heads."""
    p, v = c["softmax.probability.p"], c["v"]
    o = np.zeros((20, 4), dtype=object)
    for i in range(20):
        t, group = i // 4, (i % 4) // 2
        for j in range(5):
            if t - window < j <= t + future:
                weight = p[i, j] if t - 3 < j <= t else 16
                o[i] += weight * v[2 * j + (group ^ swap)]
    return o


def honest_weighted_values(c: Case) -> Forgery:
    assert (weighted(c) == c["attention"]).all()
    return Forgery({"attention": weighted(c)}, ())


def future_position_attended(c: Case) -> Forgery:
    return Forgery({"attention": weighted(c, future=1)}, ("attention",))


def position_before_the_window_attended(c: Case) -> Forgery:
    return Forgery({"attention": weighted(c, window=4)}, ("attention",))


def heads_swapped(c: Case) -> Forgery:
    return Forgery({"attention": weighted(c, swap=True)}, ("attention",))


def score_clamp_bypassed(c: Case) -> Forgery:
    """A score beyond its range in one existing cell, passed on as its low bits."""
    outside = c["scores.clamp.outside"]
    i, j = np.argwhere(outside == 1)[0]
    cells = {"scores.clamp.outside": at(outside, i, j, -1)}
    if c["scores.clamp.positive"][i, j]:
        cells["scores.clamp.positive"] = at(c["scores.clamp.positive"], i, j, -1)
    return Forgery(cells, ("scores.clamp",))


def score_of_another_product(c: Case) -> Forgery:
    return Forgery({"scores.lo0": at(c["scores.lo0"], 6, 1)}, ("scores",))


def keys_of_the_other_group(c: Case) -> Forgery:
    """Scores with swapped heads, and everything after them."""
    k = c["k"].reshape(5, 2, 8)[:, ::-1]
    q = c["q"].reshape(5, 2, 2, 8)
    acc = np.einsum("agmk,jgk->agmj", q, k, optimize=False).reshape(20, 5)
    return Forgery({"scores.products": acc}, ("scores.products",))


def gelu_of_another_row(c: Case) -> Forgery:
    value = c["gate.gelu.value"].copy()
    value[0, 5] = image(c, "gelu.")[int(c["gate.lo"][0, 5]) + 700]
    return Forgery({"gate.gelu.value": value}, ("gate.gelu",))


def active_below_the_table(c: Case) -> Forgery:
    """A very negative gate passed on as if it were positive."""
    return Forgery({"gate.clamp.positive": at(c["gate.clamp.positive"], 0, 7)}, ("gate.clamp",))


def table_read_beyond_its_end(c: Case) -> Forgery:
    """A gate far above passed on as one inside."""
    cells = {
        "gate.clamp.outside": at(c["gate.clamp.outside"], 0, 6, -1),
        "gate.clamp.positive": at(c["gate.clamp.positive"], 0, 6, -1),
    }
    return Forgery(cells, ("gate.clamp",))


def product_without_its_clamp(c: Case) -> Forgery:
    """A gate far above, and the product of its line."""
    t = (int(c["x"][0, 6]) + 4) >> 3
    more = (t - largest(12)) * int(c["u"][0, 6])
    return Forgery({"mlp": at(c["mlp"], 0, 6, more)}, ("mlp",))


def residual_skipped(c: Case) -> Forgery:
    """The output without the input, rounded as it should be."""
    total = c["y"] + 64
    limbs = split(total >> 7, "residual_out.y0", "residual_out.y1")
    return Forgery({"residual_out.r0": total % 128, **limbs}, ("residual_out",))


def output_of_another_value(c: Case) -> Forgery:
    return Forgery({"boundary.1": at(c["boundary.1"], 1, 1)}, ("residual_out.out",))


FORGERIES: dict[str, tuple[Callable[[Case], Forgery], ...]] = {
    "linear": (output_off_by_one, remainder_adapted, limb_out_of_range, weight_of_another_layer),
    "clamp": (
        clamp_bypassed,
        clamp_with_a_wide_limb,
        saturated_value_off_by_one,
        saturated_to_the_other_side,
    ),
    "inverse root": (root_too_large, root_too_small, scaled_root_off_by_one, normalised_by_another_row),
    "norm": (factor_of_another_row, factor_rounded_up, squares_left_out),
    "rope": (other_positions, halves_not_swapped),
    "softmax": (
        maximum_too_large,
        attained_by_declaration,
        maximum_too_small,
        row_sum_of_exponentials,
        exponential_of_another_row,
        share_off_by_one,
        probability_off_by_one,
        probability_with_its_remainder,
    ),
    "reciprocal": (reciprocal_too_large, reciprocal_too_small),
    "attention": (
        future_position_attended,
        position_before_the_window_attended,
        heads_swapped,
        keys_of_the_other_group,
        score_clamp_bypassed,
        score_of_another_product,
    ),
    "gate": (
        gelu_of_another_row,
        active_below_the_table,
        table_read_beyond_its_end,
        product_without_its_clamp,
    ),
    "residual": (residual_skipped, output_of_another_value),
}


# ---- tests ----


@pytest.mark.parametrize("operation", CASES)
def test_an_honest_proof_is_accepted(operation: str) -> None:
    case = CASES[operation]()
    for hiding in (False, True):
        accepted = case.verdict(case.tensors, hiding=hiding)
        assert accepted["security_bits"] >= 1


def test_operations_without_a_cheating_prover() -> None:
    assert FORGERIES.keys() == CASES.keys()


@pytest.mark.parametrize(
    ("operation", "forge"),
    [pytest.param(o, f, id=f"{o}: {f.__name__}") for o, forgeries in FORGERIES.items() for f in forgeries],
)
def test_a_forgery_is_caught_at_its_relation(operation: str, forge: Callable[[Case], Forgery]) -> None:
    case = CASES[operation]()
    forgery = forge(case)
    cells = case.forged(forgery)
    assert tuple(check(case.raw, cells)) == forgery.breaks
    assert case.verdict(cells) == case.caught_at(list(forgery.breaks))
    assert case.verdict(cells, hiding=True) == HIDDEN


@pytest.mark.parametrize("operation", CASES)
def test_a_single_wrong_cell_is_caught_where_plain_python_says(operation: str) -> None:
    """One cell of each committed tensor, an absent or unread one now and then."""
    case, draw = CASES[operation](), np.random.default_rng(12)
    for t in case.circuit.tensors:
        if t.source != WITNESS:
            continue
        row, col = draw.integers(t.shape.rows), draw.integers(t.shape.cols)
        cells = {**case.tensors, t.name: at(case[t.name], row, col, 1 if row % 2 else -1)}
        broken = check(case.raw, cells)
        verdict = case.verdict(cells)
        if broken:
            assert verdict == case.caught_at(broken), t.name
        else:
            assert not t.shape.mask()[row, col], t.name
            assert verdict["security_bits"] >= 1


def test_the_same_values_in_other_hands_are_accepted() -> None:
    """Cells set by hand to what the program computes: the hook itself breaks nothing."""
    case = attention_case()
    assert case.verdict(case.forged(honest_weighted_values(case)))["security_bits"] >= 1


@pytest.mark.parametrize("delta", [1, -1, 1 << 20])
def test_a_wrong_multiplicity_is_caught(delta: int) -> None:
    case = linear_case()
    rejection = case.verdict(case.tensors, counts=[(0, 5, delta)])
    assert (rejection.code, rejection.relation) == ("lookup.sum", "lookup")
    moved = case.verdict(case.tensors, counts=[(0, 5, delta), (0, 6, -delta)])
    assert (moved.code, moved.relation) == ("lookup.sum", "lookup")
    assert case.verdict(case.tensors, counts=[(0, 5, delta)], hiding=True) == HIDDEN


def test_multiplicities_of_absent_rows_are_not_read() -> None:
    """Tables are padded to whole blocks of rows; what is committed there counts for nothing."""
    case = clamp_case()
    rows = [t.rows for t in case.circuit.tables]
    absent = next(k for k, n in enumerate(rows) if n % 128)
    before = sum(-(-n // 128) for n in rows[:absent]) * 128
    verdict = case.verdict(case.tensors, counts=[(0, before + rows[absent], 1)])
    assert verdict["security_bits"] >= 1
