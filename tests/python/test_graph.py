"""Building circuits: what is refused, which bounds close, and the bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.graph import (
    Builder,
    CellType,
    CircuitError,
    Domain,
    Interval,
    Limb,
    Ragged,
    Source,
    Table,
    Wire,
    digest,
    term,
)
from assay.graph.summary import summarise
from assay.reference.circuit import check, decode, evaluate

integers = st.integers(-(1 << 70), 1 << 70)


def interval(a: int, b: int) -> Interval:
    return Interval(min(a, b), max(a, b))


# ---- intervals ----


@given(integers, integers, integers, integers, st.data())
def test_interval_arithmetic_contains_every_value(
    a: int, b: int, c: int, d: int, data: st.DataObject
) -> None:
    x, y = interval(a, b), interval(c, d)
    v = data.draw(st.integers(x.lo, x.hi))
    w = data.draw(st.integers(y.lo, y.hi))
    assert Interval.point(v + w) in x + y
    assert Interval.point(v * w) in x * y
    assert Interval.point(-3 * v + 7) in x.scaled(-3).shifted(7)
    assert abs(v) <= x.magnitude
    assert x in Interval.signed(x.signed_bits)


@pytest.mark.parametrize(
    ("lo", "hi", "bits"),
    [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-129, 0, 9), (0, 127, 8), (0, 128, 9)],
)
def test_signed_bits_are_the_least(lo: int, hi: int, bits: int) -> None:
    assert Interval(lo, hi).signed_bits == bits


# ---- bounds ----


def given_tensor(b: Builder, name: str, bounds: Interval) -> object:
    wire = b.tensor(name, 1, 2, bounds, source=Source.BOUNDARY, type=CellType.INT64)
    return b.tensor_fact(f"{name}.given", wire, "for the test")


def sides_circuit(left: int, right: int) -> Builder:
    """x = y with |x| <= left and |y| <= right."""
    b = Builder("sides")
    x, y = given_tensor(b, "x", Interval(0, left)), given_tensor(b, "y", Interval(-right, 0))
    b.linear("equal", Domain(1, 2), term(x) - term(y))
    return b


@pytest.mark.parametrize("left", [1, (1 << 62) - 1, 1 << 62, (1 << 63) - 2])
def test_a_relation_at_the_bound_closes_and_one_beyond_is_refused(left: int) -> None:
    limit = (1 << 63) - 1
    sides_circuit(left, limit - left).finish()
    with pytest.raises(CircuitError, match="relation 'equal' does not close") as caught:
        sides_circuit(left, limit - left + 1).finish()
    assert caught.value.code == "circuit-bound"
    assert str(left) in caught.value.message


def test_an_einsum_that_can_wrap_is_refused() -> None:
    b = Builder("einsum")
    x = b.tensor("x", 2, 4, Interval(0, 1 << 47), source=Source.BOUNDARY, type=CellType.INT64)
    b.tensor_fact("x.given", x, "for the test")
    w = b.weight("w", 3, 4)
    b.decompose("product", b.product_nt(x, w), 0, [Limb.signed("y", 16)])
    b.product_fact("unused", [x.cell(), x.cell()], Interval(0, 1), "not of this product")
    with pytest.raises(CircuitError, match="'product'"):
        b.finish()


def selected(s: tuple[int, int], x: tuple[int, int], y: tuple[int, int], *, reach: int = 1) -> Builder:
    b = Builder("selected")

    def given(name: str, shape: tuple[int, int], bounds: Interval) -> Wire:
        wire = b.tensor(name, *shape, bounds, source=Source.BOUNDARY, type=CellType.INT64)
        return b.tensor_fact(f"{name}.given", wire, "for the test")

    wires = given("s", s, Interval(0, reach)), given("x", x, Interval.signed(40)), b.weight("y", *y)
    b.commit("out", b.product_selected(*wires))
    return b


def test_a_selected_product_is_bounded_by_all_that_a_row_may_select() -> None:
    b = selected((6, 3), (2, 4), (15, 4), reach=2)
    assert b.einsums[0].bounds.magnitude == 3 * 2 * 4 * (1 << 39) * (1 << 15)
    b.finish()
    with pytest.raises(CircuitError, match="'out' does not close"):
        selected((6, 3), (2, 4), (15, 4), reach=1 << 6).finish()


def test_a_row_that_selects_one_is_bounded_by_one() -> None:
    b = Builder("one")
    s, x = b.tensor("s", 6, 3, Interval(0, 1)), b.tensor("x", 2, 4, Interval.signed(16))
    acc = b.product_selected(s, x, b.weight("y", 15, 4), most=1)
    assert (acc.domain, acc.bounds.magnitude) == (Domain(6, 5), 4 << 30)


@pytest.mark.parametrize(
    ("s", "x", "y"),
    [
        ((6, 3), (4, 4), (15, 4)),  # rows of x that do not divide those of s
        ((6, 3), (2, 4), (16, 4)),  # rows of y that are not whole groups
        ((6, 3), (2, 5), (15, 4)),  # another depth
    ],
)
def test_a_selected_product_of_other_shapes(
    s: tuple[int, int], x: tuple[int, int], y: tuple[int, int]
) -> None:
    with pytest.raises(CircuitError, match="product of"):
        selected(s, x, y)


def test_a_selection_with_negative_entries_is_refused() -> None:
    b = Builder("negative")
    x = b.tensor("x", 3, 3, Interval.signed(4))
    with pytest.raises(CircuitError, match="product of"):
        b.product_selected(x, x, b.weight("y", 6, 3))


def test_the_largest_of_rows() -> None:
    b = Builder("largest")
    x = b.tensor("x", 2, 5, Interval.signed(4), source=Source.BOUNDARY)
    b.in_range("x", x, Interval.signed(4))
    marks = b.tensor("top.marks", 4, 5, Interval(0, 1))
    for name, wire in (("least", b.top_k("top", x, 2, Interval.signed(4), marks=marks)), ("marks", marks)):
        b.tensor_fact(name, wire, "for the test")
    cells = evaluate(b.finish(), {"x": np.array([[1, 7, 7, -8, 3], [0, 0, 0, 0, 0]])})
    assert cells["top.least"].tolist() == [[7, 0]]
    assert np.argmax(cells["top.marks"], axis=1).tolist() == [1, 0, 2, 1]
    for k in (0, 6):
        with pytest.raises(CircuitError, match="largest"):
            b.top_k("none", x, k, Interval.signed(4))
    with pytest.raises(CircuitError, match="marks"):
        b.top_k("other", x, 3, Interval.signed(4), marks=marks)


def test_a_product_fact_closes_what_intervals_do_not() -> None:
    def circuit(with_fact: bool) -> Builder:
        b = Builder("fact")
        x, y = (given_tensor(b, name, Interval(0, 1 << 40)) for name in "xy")
        if with_fact:
            b.product_fact("xy", [y.cell(), x.cell()], Interval(0, 1 << 41), "for the test")
        z = b.commit("z", b.value(term(x, y) * 2, Domain(1, 2)))
        assert z.bounds.hi == (1 << 42 if with_fact else 1 << 81)
        return b

    circuit(with_fact=True).finish()
    with pytest.raises(CircuitError, match="'z'"):
        circuit(with_fact=False).finish()


def test_a_tensor_without_a_range_is_refused() -> None:
    b = Builder("open")
    x = b.tensor("x", 1, 2, Interval(0, 9), source=Source.BOUNDARY)
    y = b.tensor("y", 1, 2, Interval(0, 9), source=Source.BOUNDARY)
    b.linear("equal", x.domain, term(x) - term(y))
    with pytest.raises(CircuitError, match="'x', 'y'") as caught:
        b.finish()
    assert caught.value.code == "circuit-range"
    b.in_range("x.range", x, Interval(0, 9))
    b.finish()  # y equals x


def test_a_range_that_is_too_wide_does_not_establish_a_bound() -> None:
    b = Builder("wide")
    x = b.tensor("x", 1, 2, Interval(0, 9), source=Source.BOUNDARY)
    b.in_range("x.range", x, Interval(0, 10))
    with pytest.raises(CircuitError, match="'x'"):
        b.finish()


def test_a_coefficient_other_than_one_defines_nothing() -> None:
    b = Builder("halves")
    x = b.tensor("x", 1, 2, Interval(0, 9), source=Source.BOUNDARY)
    b.lookup("x.range", b.range_table(10), x.domain, [x * 2])  # x = 1/2 mod p would do
    with pytest.raises(CircuitError, match="'x'"):
        b.finish()


def test_a_lookup_on_part_of_a_tensor_does_not_establish_it() -> None:
    b = Builder("part")
    x = b.tensor("x", 3, 3, Interval(0, 9), source=Source.BOUNDARY)
    b.lookup("x.range", b.range_table(10), Domain(3, 3, Ragged(True)), [x])
    with pytest.raises(CircuitError, match="'x'"):
        b.finish()


def test_rows_of_known_length_bound_a_product_by_cauchy_schwarz() -> None:
    b = Builder("length")
    x = b.weight("x", 2, 400).bounded(Interval.signed(16), length=1000)
    y = b.weight("y", 3, 400)
    assert b.product_nt(x, y).bounds.hi == 1000 * 20 * (1 << 15)
    assert b.product_nt(y, y).bounds.hi == 400 << 30


# ---- what is not a circuit ----


def test_shapes_that_do_not_fit_are_refused() -> None:
    b = Builder("shapes")
    x, y = b.weight("x", 2, 128), b.weight("y", 3, 100)
    row = b.weight("row", 1, 3)
    full, ragged = Domain(2, 128), Domain(2, 128, Ragged(True))
    cases = [
        lambda: x + y,
        lambda: x.reshape(1, 255),
        lambda: y.reshape(2, 150),
        lambda: b.zero("z", full, [term(y)]),
        lambda: b.zero("z", full, [term(x, row.per_row())]),
        lambda: b.zero("z", full, [term(x, row.per_col())]),
        lambda: b.zero("z", full, [term(x.swap(3))]),
        lambda: b.zero("z", full, [term(x.swap(128))]),
        lambda: b.zero("z", Domain(3, 100), [term(y.swap(2))]),
        lambda: b.zero("z", ragged, [term(x)]),
        lambda: b.zero("z", Domain(3, 3), [term(row.per_row(), row.per_col())]),
        lambda: b.linear("l", full, term(x.swap(2))),
        lambda: b.product_nt(x, y),
        lambda: b.product_nn(x, y),
        lambda: b.product_nt(x, x, groups=3),
        lambda: b.row_dot(x, y),
        lambda: b.lookup("l", b.range_table(4), full, [x, x]),
        lambda: b.tensor("t", 0, 1, Interval(0, 1)),
    ]
    for case in cases:
        with pytest.raises(CircuitError) as caught:
            case()
        assert caught.value.code == "circuit-shape"


def test_rows_can_be_split_and_joined_again() -> None:
    b = Builder("split")
    x = b.weight("x", 2, 576).bounded(Interval.signed(16), length=1000)
    heads = x.reshape(18, 64)
    assert (heads.rows, heads.cols, heads.split, heads.stored, heads.length) == (18, 64, 9, (2, 576), 1000)
    assert heads.reshape(36, 32).stored == (heads * 3 - 1).stored == (heads + heads).stored == (2, 576)
    assert heads.reshape(2, 576).key == heads.reshape(36, 32).reshape(2, 576).key == x.key
    assert x.reshape(2, 576) == x
    whole = b.weight("whole", 2, 512)
    assert whole.reshape(16, 64) == whole.reshape(8, 128).reshape(16, 64)
    assert whole.reshape(16, 64).reshape(4, 256).key == whole.reshape(4, 256).key
    stored = b.commit("y", b.value(term(heads) * 2, heads.domain), shape=(2, 576))
    assert (stored.rows, stored.cols, b.tensors[-1].shape) == (18, 64, Domain(2, 576))
    c = decode(b.finish())
    assert [(w.rows, w.cols) for w in c.wires] == [(18, 64)] * 2


def test_views_that_are_no_split_are_refused() -> None:
    b = Builder("split")
    x, ragged = b.weight("x", 2, 576), b.tensor("r", 2, 576, Interval(0, 1), ragged=Ragged(True))
    heads, stored = x.reshape(18, 64), b.weight("by head", 18, 64)
    index = b.public("index", np.zeros((1, 18), dtype=np.int64))
    cells = b.public("cells", np.zeros((18, 64), dtype=np.int64))
    causal = Domain(18, 64, Ragged(True))
    cases = [
        *(lambda n=n: x.reshape(2 * 576 // n, n) for n in (4, 24, 96, 128, 192, 1152)),
        lambda: x.reshape(17, 64),
        lambda: b.weight("odd", 2, 96).reshape(3, 64),
        lambda: ragged.reshape(18, 64),
        lambda: stored.reshape(2, 576),
        lambda: heads.reshape(6, 192),
        lambda: heads + stored,
        lambda: b.linear("l", causal, term(heads)),
        lambda: b.lookup("l", b.range_table(4), causal, [heads]),
        lambda: b.linear("l", heads.domain, term(heads.gather(index))),
        lambda: b.linear("l", heads.domain, term(heads.pick(cells))),
        lambda: b.commit("c", b.value(term(heads), heads.domain), shape=(4, 288)),
    ]
    for case in cases:
        with pytest.raises(CircuitError) as caught:
            case()
        assert caught.value.code == "circuit-shape"


def test_public_values_have_to_cover_the_rows() -> None:
    b = Builder("publics")
    x = b.weight("x", 4, 2)
    p = b.public("p", np.ones((2, 2), dtype=np.int64))
    b.zero("fits", x.domain, [term(x, p.every(2))])
    with pytest.raises(CircuitError):
        b.zero("short", x.domain, [term(x, p.every(1))])


def test_degrees_names_and_tables_have_limits() -> None:
    b = Builder("limits")
    x = b.weight("x", 1, 2)
    with pytest.raises(CircuitError, match="degree"):
        term(x, x, x, x)
    with pytest.raises(CircuitError, match="degree"):
        b.linear("square", x.domain, term(x, x))
    with pytest.raises(CircuitError, match="two tensors named 'x'"):
        b.weight("x", 1, 2)
    b.zero("z", x.domain, [term(x)])
    with pytest.raises(CircuitError, match="two relations named 'z'"):
        b.linear("z", x.domain, term(x))
    with pytest.raises(CircuitError, match="131073 rows"):
        Table.function("big", 0, 131073, lambda keys: [keys])
    assert b.range_table(5) == b.range_table(5)
    with pytest.raises(CircuitError, match="4194305 rows"):
        b.range_table((1 << 22) + 1)


def test_equal_tables_count_as_one() -> None:
    def table(name: str, start: int, factor: int) -> Table:
        return Table.function(name, start, 4, lambda keys: [keys * factor, keys > 2])

    b = Builder("tables")
    first = table("f", -1, 3)
    assert first.spans == (Interval(-1, 2), Interval(-3, 6), Interval(0, 0))
    others = [table("g", -1, 3), table("f", 0, 3), table("f", -1, 2), Table("f", -1, 4, first.images[:1])]
    assert [b.table(t) for t in (first, *others)] == [0, 1, 2, 3, 4]
    assert b.table(table("f", -1, 3)) == 0
    assert len(b.tables) == 5
    with pytest.raises(ValueError, match="read-only"):
        first.images[0][0] = 1


# ---- bytes ----


def small_circuit(*, steps: bool = True) -> Builder:
    b = Builder("small")
    x, w = b.weight("x", 2, 3), b.weight("w", 4, 3)
    b.decompose("product", b.product_nt(x, w), 5, [Limb.unsigned("low", 16), Limb.signed("high", 18)])
    e = b.tensor("e", 2, 2, Interval(0, 1), ragged=Ragged(True, 1, 1))
    b.lookup("bits", b.range_table(2), e.domain, [e])
    if not steps:
        b.program.clear()
    return b


def test_the_bytes_read_back_as_the_circuit() -> None:
    b = small_circuit()
    c = decode(b.finish())
    assert c.name == "small"
    assert [t.name for t in c.tensors] == ["x", "w", "product.low", "product.high", "e"]
    assert [t.cell for t in c.tensors] == [0, 0, 1, 1, 0]
    assert [(t.name, t.rows) for t in c.tables] == [
        ("range.65536", 65536),
        ("range.262144", 262144),
        ("range.2", 2),
    ]
    assert c.einsums[0].name == "product"
    assert c.wires[c.einsums[0].out].constant == -5
    assert c.tensors[4].shape.mask().tolist() == [[True, False], [False, True]]
    assert c.program[0].bits == [16, 18]


def test_the_digest_covers_relations_and_not_the_program() -> None:
    b = small_circuit()
    raw = b.finish()
    assert decode(raw).digest == digest(b)
    assert digest(b) == digest(small_circuit(steps=False))
    assert raw.startswith(b"ASYC")
    assert digest(b) != hashlib.sha256(raw).digest()
    other = small_circuit()
    other.linear("more", Domain(4, 3), term(other.weight("more", 4, 3)))
    assert digest(b) != digest(other)


def test_truncated_and_extended_bytes_are_refused_by_the_reference() -> None:
    raw = small_circuit().finish()
    for cut in range(0, len(raw), 7):
        with pytest.raises(ValueError, match="circuit"):
            decode(raw[:cut])
    with pytest.raises(ValueError, match="after the end"):
        decode(raw + b"\0")


# ---- evaluation ----


@given(st.lists(st.integers(-(1 << 15), (1 << 15) - 1), min_size=18, max_size=18))
def test_limbs_of_any_product_hold(values: list[int]) -> None:
    b = small_circuit()
    x, w = np.array(values[:6]).reshape(2, 3), np.array(values[6:]).reshape(4, 3)
    raw = b.finish()
    tensors = evaluate(raw, {"x": x, "w": w, "e": np.eye(2, dtype=np.int64)})
    assert check(raw, tensors) == []
    product = tensors["product.low"] + (tensors["product.high"] << 16) - 5
    assert (product == x @ w.T).all()
    tensors["product.low"] = tensors["product.low"] + np.array([[0, 0, 1, 0], [0, 0, 0, 0]])
    assert "product" in check(raw, tensors)


def test_relations_hold_modulo_p_and_ragged_cells_are_not_read() -> None:
    raw = small_circuit().finish()
    x, w = np.ones((2, 3), dtype=np.int64), np.ones((4, 3), dtype=np.int64)
    tensors = evaluate(raw, {"x": x, "w": w, "e": np.array([[1, 5], [7, 0]])})
    assert check(raw, tensors) == []
    p = 2**64 - 2**32 + 1
    shifted = tensors["product.high"].astype(object) + p
    assert check(raw, {**tensors, "product.high": shifted}) == []
    assert check(raw, {**tensors, "e": np.array([[2, 5], [7, 0]])}) == ["bits"]


def test_a_value_that_does_not_fit_its_cells_is_refused() -> None:
    b = Builder("fit")
    x = b.weight("x", 1, 1)
    b.decompose(
        "square", b.value(term(x, x), x.domain), 0, [Limb.unsigned("low", 8), Limb.unsigned("high", 8)]
    )
    raw = b.finish()
    assert evaluate(raw, {"x": np.array([[255]])})["square.high"] == 254
    with pytest.raises(ValueError, match=r"square\.high"):
        evaluate(raw, {"x": np.array([[-32768]])})


# ---- summary ----


def test_the_summary_counts_existing_cells() -> None:
    s = summarise(small_circuit(), tokens=2)
    assert s.lookups == 2 * 8 + 2
    assert s.cells == 2 * 8 + 2
    assert s.lookups_per_token == 9
    assert {o.name: o.lookups for o in s.operations} == {"product": 16, "e": 0, "bits": 2}
    kinds = {r.name: r.kind for r in s.relations}
    assert kinds == {
        "product": "einsum.nt",
        "product.low": "lookup",
        "product.high": "lookup",
        "bits": "lookup",
    }
    assert all(r.left_bits <= 63 and r.right_bits <= 63 for r in s.relations)
    assert s.to_dict()["cells_per_token"] == 9


READERS: list[tuple[Callable[[Builder, Wire], object], str]] = [
    (lambda b, x: b.linear("more", x.domain, term(x)), "'more'"),
    (lambda b, x: b.zero("more", x.domain, [term(x, x)]), "'more'"),
    (lambda b, x: b.in_range("more", x, Interval(0, 9)), "'more'"),
    (lambda b, x: b.row_sum("more", x), "'more'"),
    (lambda b, x: b.commit("more", b.product_nt(x, x)), "'more'"),
    (lambda b, x: b.total("more", x), "'more'"),
    (lambda b, x: b.output("more", x), "'more'"),
    (lambda b, x: b.tensor_fact("again", x, "for the test", only="another"), "'again'"),
]


@pytest.mark.parametrize(("add", "named"), READERS)
def test_a_fact_about_one_reader_is_checked(add: Callable[[Builder, Wire], object], named: str) -> None:
    def circuit() -> tuple[Builder, Wire]:
        b = Builder("readers")
        x = b.tensor("x", 2, 2, Interval(0, 9), source=Source.BOUNDARY)
        b.tensor_fact("x.limbs", x, "read through its limbs", only="limbs")
        b.decompose("limbs", b.value(x, x.domain), 0, [Limb.unsigned("l", 4)])
        return b, x

    circuit()[0].finish()
    b, x = circuit()
    add(b, x)
    with pytest.raises(CircuitError, match=named) as refused:
        b.finish()
    assert refused.value.code == "circuit-fact"


def test_a_fact_about_a_reader_that_is_missing_is_refused() -> None:
    b = Builder("unread")
    b.tensor_fact("x.unread", b.tensor("x", 1, 1, Interval(0, 9)), "for the test", only="limbs")
    with pytest.raises(CircuitError, match="nothing"):
        b.finish()
