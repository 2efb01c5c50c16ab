"""A mixture of experts: what an honest prover proves, and for every relation one who breaks just it."""

from __future__ import annotations

import numpy as np
import pytest
from assay.circuits.activation import GELU_TANH
from cheating import HIDDEN, Case, Cells, Forgery
from moe_cases import (
    CHOICE,
    NARROW,
    SMALL,
    Shape,
    by_definition,
    case,
    circuit,
    distance,
    inputs,
    largest_logits,
    one_hot,
)
from test_head_relations import Entry, breaks, carried, forgery, relations

from assay.graph import CircuitError
from assay.reference.circuit import check, decode, evaluate

SHAPES = [
    SMALL,
    Shape(scales=NARROW),
    Shape(renormalised=False),
    Shape(kind=GELU_TANH),
    Shape(5, 8, 3, 12, 7),
    Shape(1, 3, 3, 4, 5),
    Shape(4, 1, 1, 3, 2),
    Shape(2, 130, 8, 4, 3),
]
T = SMALL.tokens


def padded(cells: Cells) -> Cells:
    return np.pad(cells, ((0, 0), (0, -cells.shape[1] % 128)))


def computed(c: Case, choices: dict[str, list[int]] | None = None) -> dict[str, Cells]:
    """The witness of the extension's evaluator."""
    types = {t.name: (np.int16, np.int32, np.int64)[t.cell] for t in c.circuit.tensors}
    return dict(
        c.core.evaluate({n: padded(x).astype(types[n]) for n, x in c.externals.items()}, [], choices or {})
    )


# ---- honest provers ----


def other_choice(draw: np.random.Generator, shape: Shape) -> list[list[int]]:
    return [draw.permutation(shape.experts)[: shape.chosen].tolist() for _ in range(shape.tokens)]


@pytest.mark.parametrize("logged", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_exact_choice(shape: Shape, logged: bool) -> None:
    c, given = case(shape, logged=logged), inputs(shape)
    assert (c["out"] == by_definition(given, largest_logits(given, shape.chosen), shape)).all()
    for name, cells in computed(c).items():
        assert (cells[:, : c.tensors[name].shape[1]] == c.tensors[name]).all(), name
    for hiding in (False, True):
        (totals,) = c.verdict(c.tensors, hiding=hiding)["totals"]
        assert totals["moe_distance"] == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_another_choice_is_forced(shape: Shape) -> None:
    """The witness program takes it for S and computes the rest; all relations hold, the distance says so."""
    draw, given = np.random.default_rng(2), inputs(shape)
    for logged in (False, True):
        choice = other_choice(draw, shape)
        raw = circuit(shape, logged=choice if logged else None)
        c = Case(raw, given, told={CHOICE: one_hot(choice, shape.experts)})
        assert (c["out"] == by_definition(given, choice, shape)).all()
        seats = [row[m] for m in range(shape.chosen) for row in choice]
        for name, cells in computed(c, {CHOICE: seats}).items():
            assert (cells[:, : c.tensors[name].shape[1]] == c.tensors[name]).all(), name
        (totals,) = c.verdict(c.tensors, hiding=True)["totals"]
        assert totals["moe_distance"] == distance(given, choice) >= 0


def test_the_order_of_seats_does_not_matter() -> None:
    choice = largest_logits(inputs(SMALL), SMALL.chosen)
    turned = one_hot([c[::-1] for c in choice], SMALL.experts)
    assert (case().forged(Forgery({CHOICE: turned}, ()))["out"] == case()["out"]).all()


@pytest.mark.parametrize("moved", [-20000, 1, 700])
def test_another_threshold_only_adds_to_the_distance(moved: int) -> None:
    c = case()
    tau = c["moe_choice.least"].copy()
    tau[0, 1] += moved
    cells = c.forged(Forgery({"moe_choice.least": tau}, ()))
    (totals,) = c.verdict(cells)["totals"]
    assert totals["moe_distance"] > 0


@pytest.mark.parametrize(
    ("sizes", "lookups"),
    [
        (Shape(4, 8, 2, 4096, 14336), 10 * 2 * 14336),  # Mixtral 8x7B
        (Shape(4, 128, 8, 2048, 768, NARROW), 11 * 8 * 768),  # Qwen3 30B A3B
        (Shape(4, 128, 8, 4096, 1536, NARROW), 11 * 8 * 1536),  # Qwen3 235B A22B
    ],
)
def test_bounds_of_real_sizes_close(sizes: Shape, lookups: int) -> None:
    """And the lookups of a token stay near those of its experts alone."""
    c = decode(circuit(sizes))
    assert sum(d.rows * d.cols for _, _, d, _ in c.lookups) / sizes.tokens < lookups


def test_shapes_that_are_refused() -> None:
    for shape in (Shape(chosen=5), Shape(chosen=0)):
        with pytest.raises(CircuitError):
            circuit(shape)
    given = largest_logits(inputs(SMALL), SMALL.chosen)
    for ids in (given[1:], [[*row, 0] for row in given], [[row[0], SMALL.experts] for row in given]):
        with pytest.raises(CircuitError, match="experts for each of"):
            circuit(SMALL, logged=ids)


# ---- provers that cheat ----


def first_choice(token: int) -> tuple[int, int, int]:
    """The two experts of a token, and one that it does not have."""
    a, b = largest_logits(inputs(SMALL), SMALL.chosen)[token]
    return a, b, next(e for e in range(SMALL.experts) if e not in (a, b))


A, B, OTHER = first_choice(0)

CLAMPED = [("moe_router", 0, 0), ("moe_up", 4, 1)]

FORGERIES: tuple[Entry, ...] = (
    # two experts in a seat; none; two, said to be one
    ("moe_choice.one", (CHOICE, 0, OTHER, 1)),
    ("moe_choice.one", (CHOICE, 0, A, -1)),
    ("moe_choice.sum", (CHOICE, 0, OTHER, 1), ("moe_choice.sum", 0, 0, 0)),
    # an expert twice and less another one, in both seats so that each occurs once
    ("moe_choice.bits", (CHOICE, 0, A, 1), (CHOICE, 0, B, -1), (CHOICE, T, A, -1), (CHOICE, T, B, 1)),
    (("moe_choice.bits", "moe_distinct.bits"), (CHOICE, 0, A, 1), (CHOICE, 0, OTHER, -1)),
    # the same expert in both seats, and the same said to be once there
    ("moe_distinct.bits", (CHOICE, T, B, -1), (CHOICE, T, A, 1)),
    (
        "moe_distinct",
        (CHOICE, T, B, -1),
        (CHOICE, T, A, 1),
        ("moe_distinct.experts", 0, A, 0),
    ),
    # the logit of another expert, an excess, sums
    ("moe_logits", ("moe_logits", 0, 0, 1)),
    ("moe_distance.relu", ("moe_distance.relu.u", 1, 2, -1)),
    ("moe_distance.excess", ("moe_distance.excess", 0, 1, -1)),
    ("moe_distance.chosen", ("moe_distance.chosen", 0, 2, 1)),
    # products with the selected weights
    *((name, (f"{name}.r0", row, col, 1)) for name, row, col in CLAMPED),
    *(carried(f"{name}.r0", f"{name}.lo0", bits=14) for name, _, _ in CLAMPED),
    *(carried(f"{name}.lo0", f"{name}.hi") for name, _, _ in CLAMPED),
    *((f"{name}.clamp", (f"{name}.clamp.outside", row, col, 1)) for name, row, col in CLAMPED),
    *((f"{name}.saturate", (f"{name}.y", row, col, 1)) for name, row, col in CLAMPED),
    ("moe_gate", ("moe_gate.r0", 2, 3, 1)),
    carried("moe_gate.r0", "moe_gate.lo", bits=14),
    ("moe_gate.silu", ("moe_gate.silu.value", 3, 3, 1)),
    ("moe_gate.clamp", ("moe_gate.clamp.outside", 3, 3, 1)),
    ("moe_mlp", ("moe_mlp", 1, 5, -1)),
    ("moe_down", ("moe_down.r0", 5, 7, 1)),
    carried("moe_down.r0", "moe_down.r1"),
    carried("moe_down.r1", "moe_down.y0", bits=4),
    carried("moe_down.y0", "moe_down.y1"),
    (("moe_down.y0", "moe_down.y1"), ("moe_down.y0", 0, 0, -1 << 29), ("moe_down.y1", 0, 0, 1 << 13)),
    ("out", ("out", 2, 7, 1)),
)


NARROW_FORGERIES: tuple[Entry, ...] = (  # where a is rounded, and d is exact
    ("moe_product", ("moe_product.r0", 2, 3, 1)),
    carried("moe_product.r0", "moe_product.y0", bits=14),
    ("moe_down", ("moe_down", 5, 7, -1)),
    ("out", ("out", 0, 0, 1)),
)
ALL_FORGERIES: tuple[Entry, ...] = (  # where the softmax is over all experts
    ("moe_softmax.chosen", ("moe_softmax.chosen", 0, 1, 1)),
    ("moe_softmax.exp", ("moe_softmax.exp.e", 0, OTHER, -1)),
    ("moe_softmax.sum", ("moe_softmax.sum", 0, 2, -1)),
)

UNBREAKABLE = {"moe_distance.threshold"}  # its cells are int16, each of which is in the table


def test_every_relation_has_a_cheating_prover() -> None:
    """Those of the softmax: test_relations.py."""
    broken = {name for entry in FORGERIES for name in breaks(entry)}
    assert broken | UNBREAKABLE == {name for name in relations(case()) if not name.startswith("moe_softmax")}


@pytest.mark.parametrize(
    "entry", [pytest.param(e, id=f"{k}: {'+'.join(breaks(e))}") for k, e in enumerate(FORGERIES)]
)
def test_a_forgery_is_caught_at_its_relation(entry: Entry) -> None:
    c, forged = case(), forgery(case(), entry)
    cells = c.forged(forged)
    assert tuple(check(c.raw, cells)) == forged.breaks
    assert c.verdict(cells) == c.caught_at(list(forged.breaks))
    assert c.verdict(cells, hiding=True) == HIDDEN


@pytest.mark.parametrize(
    ("shape", "entry"),
    [(Shape(scales=NARROW), e) for e in NARROW_FORGERIES]
    + [(Shape(renormalised=False), e) for e in ALL_FORGERIES],
)
def test_a_forgery_of_a_variant_is_caught(shape: Shape, entry: Entry) -> None:
    c = case(shape)
    forged = forgery(c, entry)
    cells = c.forged(forged)
    assert tuple(check(c.raw, cells)) == forged.breaks
    assert c.verdict(cells) == c.caught_at(list(forged.breaks))


def test_another_expert_than_the_one_selected() -> None:
    """All seats of a token computed with weights of experts that S does not say, in full."""
    c, given = case(), inputs(SMALL)
    choice = largest_logits(given, SMALL.chosen)
    choice[0] = [OTHER, B]
    other = evaluate(c.raw, given, {CHOICE: one_hot(choice, SMALL.experts)})
    parts = ("moe_gate", "moe_up", "moe_mlp", "moe_down")
    cells = c.forged(Forgery({n: x for n, x in other.items() if n.startswith(parts)}, ()))
    broken = check(c.raw, cells)
    assert set(broken) == {"moe_gate", "moe_up", "moe_down"}
    assert c.verdict(cells) == c.caught_at(broken)
    assert c.verdict(cells, hiding=True) == HIDDEN


@pytest.mark.parametrize("at", range(SMALL.tokens * SMALL.chosen))
def test_another_expert_than_the_one_that_is_logged(at: int) -> None:
    """A choice of which nothing is wrong but that it is not the one in public."""
    c, given = case(logged=True), inputs(SMALL)
    choice = largest_logits(given, SMALL.chosen)
    token, seat = divmod(at, SMALL.chosen)
    choice[token][seat] = next(e for e in range(SMALL.experts) if e not in choice[token])
    cells = c.forged(Forgery({CHOICE: one_hot(choice, SMALL.experts)}, ()))
    assert check(c.raw, cells) == ["moe_choice.logged"]
    assert check(case().raw, cells) == []
    assert c.verdict(cells) == c.caught_at(["moe_choice.logged"])
    assert c.verdict(cells, hiding=True) == HIDDEN


@pytest.mark.parametrize("expert", [A, OTHER])
@pytest.mark.parametrize("weight", ["gate", "up", "down"])
def test_weights_that_are_not_the_committed_ones(weight: str, expert: int) -> None:
    """Of an expert that ran for token 0, and of one that did not: the witness is that of other weights."""
    c, given = case(), inputs(SMALL)
    changed = given[weight].copy()
    changed[expert * (len(changed) // SMALL.experts), 0] ^= 1 << 11
    cells = evaluate(c.raw, {**c.externals, weight: changed})
    cells[weight] = c.tensors[weight]
    broken = check(c.raw, cells)
    assert set(broken) <= {f"moe_{weight}"}
    if broken:
        assert c.verdict(cells) == c.caught_at(broken)
