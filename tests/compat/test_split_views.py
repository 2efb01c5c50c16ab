"""Split views, tensors [R, H n] seen as [R H, n]: evaluated, proven, and false cells caught."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pytest
from assay.circuits.attention import AttentionShape, attention
from assay.circuits.fixed_point import exponential
from assay.circuits.rope import angle_tables, angles, rope
from tiny_prover import Outcome, outcomes
from two_segments import CODE, Committed, padded

from assay import _core
from assay.graph import Builder, CellType, Interval, Source, Wire, term
from assay.reference import Segment, Statement
from assay.reference.circuit import WITNESS, Tensor, check, decode, evaluate

Cells = dict[str, np.ndarray]


def external(b: Builder, name: str, rows: int, cols: int) -> Wire:
    """A boundary of 8-bit integers that the test vouches for."""
    wire = b.tensor(name, rows, cols, Interval.signed(8), source=Source.BOUNDARY, type=CellType.INT64)
    return b.tensor_fact(f"{name}.given", wire, "the test gives it")


def integers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, shape)


@dataclass(frozen=True)
class Shape:
    """Rows R, groups G of M heads each, cells n of a head, cells m of another factor."""

    rows: int
    groups: int
    members: int
    n: int
    m: int = 5

    @property
    def heads(self) -> int:
        return self.groups * self.members

    @property
    def stored(self) -> tuple[int, int]:
        return self.rows, self.heads * self.n


def split(b: Builder, name: str, s: Shape, heads: int) -> Wire:
    return external(b, name, s.rows, heads * s.n).reshape(s.rows * heads, s.n)


def toy(s: Shape) -> bytes:
    """Every relation that can read or define a split view."""
    b = Builder("split")
    groups = {"groups": s.groups, "members": s.members}
    q, k, v = split(b, "q", s, s.heads), split(b, "k", s, s.groups), split(b, "v", s, s.groups)
    scale, bias = external(b, "scale", 1, s.rows * s.heads), external(b, "bias", 1, s.n)
    turn = b.public("turn", integers(9, s.rows, s.n))
    plain = external(b, "plain", s.rows * s.heads, s.n)
    b.commit("turned", b.value(term(q.swap(s.n // 2), turn.every(s.heads)), q.domain), shape=s.stored)
    products = term(q, q, scale.per_row()) + term(q, bias.per_col()) - 3
    b.commit("products", b.value(products, q.domain))
    sums = b.commit("sums", b.value(term(q) * 5 - plain + scale.per_row() + 7, q.domain), shape=s.stored)
    assert sums.reshape(*s.stored).split == 1
    b.commit("scores", b.product_nt(q - 1, k + 2, **groups))
    weights = external(b, "weights", s.rows * s.heads, s.rows)
    b.commit("values", b.product_nn(weights, v, **groups), constant=3, shape=s.stored)
    b.commit("projected", b.product_nt(external(b, "low", s.rows * s.heads, s.m), b.weight("up", s.n, s.m)))
    down = b.weight("down", s.n * s.groups, s.m)
    b.commit("spread", b.product_nn(q, down, **groups))
    b.commit("squares", b.row_dot(q, q))
    b.commit("dots", b.row_dot(sums, plain))
    b.row_sum("row sums", q)
    b.total("all", q)
    b.output("shown", k)
    b.in_range("range", q, Interval.signed(8))
    return b.finish()


def inputs(s: Shape) -> Cells:
    rows = s.rows * s.heads
    shapes = {"q": s.stored, "k": (s.rows, s.groups * s.n), "v": (s.rows, s.groups * s.n)}
    shapes |= {"scale": (1, rows), "bias": (1, s.n), "plain": (rows, s.n), "weights": (rows, s.rows)}
    shapes |= {"low": (rows, s.m), "up": (s.n, s.m), "down": (s.n * s.groups, s.m)}
    return {name: integers(seed, *shape) for seed, (name, shape) in enumerate(shapes.items())}


def expected(s: Shape, c: Cells) -> Cells:
    """Of the tensors of the circuit, from their definitions."""
    q, k, v = (c[name].reshape(s.rows, -1, s.n) for name in "qkv")
    heads = np.arange(s.heads)
    scale = c["scale"].reshape(s.rows, s.heads, 1)
    swapped = q[:, :, np.arange(s.n) ^ (s.n // 2)]
    group = heads // s.members
    weights = c["weights"].reshape(s.rows, s.heads, s.rows)
    down = c["down"].reshape(s.n, s.groups, s.m)
    plain = c["plain"].reshape(q.shape)
    sums = 5 * q - plain + scale + 7
    out = {
        "turned": swapped * integers(9, s.rows, s.n)[:, None, :],
        "products": q * q * scale + q * c["bias"][0] - 3,
        "sums": sums,
        "scores": np.einsum("thn,jhn->thj", q - 1, k[:, group] + 2),
        "values": np.einsum("thj,jhn->thn", weights, v[:, group]) + 3,
        "projected": c["low"] @ c["up"].T,
        "spread": np.einsum("thn,nhm->thm", q, down[:, group]),
        "squares": (q * q).sum(-1),
        "dots": (sums * plain).sum(-1),
        "row sums": q.sum(-1),
    }
    shapes = {t.name: t.shape for t in decode(toy(s)).tensors}
    return {name: x.reshape(shapes[name].rows, shapes[name].cols) for name, x in out.items()}


class Case:
    """One segment, in the forms of both verifiers."""

    def __init__(self, raw: bytes, given: Cells, *, beside: int = 0) -> None:
        self.raw, self.given, self.beside, self.circuit = raw, given, beside, decode(raw)
        self.core_circuit = _core.Circuit(raw)
        self.committed = [self._committed(*names) for names in (("weights", 1), ("boundaries", 2))]

    def _committed(self, name: str, source: int) -> Committed:
        tensors = [t for t in self.circuit.tensors if t.source == source]
        return Committed(name, [[(t.name, self._cells(t), t.shape.cols) for t in tensors]])

    def _cells(self, t: Tensor) -> np.ndarray:
        """What is committed, with `beside` in the padding of each row."""
        out = padded(self.given[t.name], (np.int16, np.int32, np.int64)[t.cell])
        out[:, t.shape.cols :] = self.beside
        return out

    @cached_property
    def witness(self) -> Cells:
        """As the extension computes it."""
        cells = {name: array for c in self.committed for part in c.parts for name, array, _ in part}
        found = self.core_circuit.evaluate(cells)
        return {t.name: found[t.name][:, : t.shape.cols] for t in self.circuit.tensors if t.source == WITNESS}

    def verdict(
        self, *, hiding: bool, corrupt: dict[str, list[tuple[int, int, int]]] | None = None
    ) -> Outcome:
        """What both verifiers say of a proof; `corrupt` adds to cells (tensor, row, column)."""
        weights, boundaries = self.committed
        common: dict[str, Any] = {"degree": 3, "required_bits": 1.0, "instance": b"", "hiding": hiding}
        core = _core.Statement(
            **common,
            code=CODE.core(),
            weights=weights.core,
            members=[boundaries.core],
            segments=[("segment", self.core_circuit, 0)],
        )
        reference = Statement(
            **common,
            code=CODE,
            weights=weights.reference,
            members=(boundaries.reference,),
            segments=(Segment(name="segment", circuit=self.circuit),),
        )
        standing = weights.prover, [boundaries.prover]
        options = {"corrupt": corrupt, "self_check": False} if corrupt else {}
        body = _core.prove(core, *standing, bytes(32), **options)["body"]
        ours, theirs = outcomes(core, reference, body)
        assert ours == theirs
        return ours


SHAPES = {
    "9 heads of 64, 3 groups": Shape(2, 3, 3, 64),
    "12 heads of 32": Shape(2, 12, 1, 32),
    "5 heads of 8, rows of less than a block": Shape(3, 1, 5, 8),
    "20 heads of 16": Shape(1, 10, 2, 16),
}


BREAKS = {
    "turned": ("sumcheck.zero", "turned"),
    "products": ("sumcheck.zero", "products"),
    "sums": ("sumcheck.einsum", "dots"),
    "scores": ("sumcheck.einsum", "scores"),
    "values": ("sumcheck.einsum", "values"),
    "spread": ("sumcheck.einsum", "spread"),
    "squares": ("sumcheck.einsum", "squares"),
    "row sums": ("opening.reduction", "opening"),
}


@lru_cache
def case(name: str) -> Case:
    return Case(toy(SHAPES[name]), inputs(SHAPES[name]))


@pytest.mark.parametrize("name", SHAPES)
def test_both_evaluators_agree_with_the_definitions(name: str) -> None:
    c = case(name)
    wanted = expected(SHAPES[name], c.given)
    plain = evaluate(c.raw, c.given)
    assert check(c.raw, plain) == []
    assert wanted.keys() == c.witness.keys()
    for tensor, cells in wanted.items():
        assert (plain[tensor] == cells).all(), tensor
        assert (c.witness[tensor] == cells).all(), tensor


@pytest.mark.parametrize("hiding", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_both_verifiers_accept_what_is_honest(name: str, hiding: bool) -> None:
    verdict, totals, shown, *_ = case(name).verdict(hiding=hiding)
    given = case(name).given
    assert verdict == "accepted"
    assert totals == [{"all": given["q"].sum()}]
    assert shown == [{"shown": given["k"].reshape(-1).tolist()}]


@pytest.mark.parametrize("name", SHAPES)
def test_a_wrong_cell_is_caught_at_its_relation(name: str) -> None:
    """Of tensors that are split, and of those that are defined by them."""
    c, draw = case(name), np.random.default_rng(3)
    for tensor, broken in BREAKS.items():
        rows, cols = c.witness[tensor].shape
        for col in (0, int(draw.integers(cols)), cols - 1):
            code, _, relation, *_ = c.verdict(
                hiding=False, corrupt={tensor: [(int(draw.integers(rows)), col, 1)]}
            )
            assert (code, relation) == broken, (tensor, col)
    hidden = c.verdict(hiding=True, corrupt={"turned": [(0, c.witness["turned"].shape[1] - 1, 1)]})
    assert hidden[0] == "tableau.linear"


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_stored_beside_the_last_head_is_not_read(name: str) -> None:
    c = Case(toy(SHAPES[name]), inputs(SHAPES[name]), beside=99)
    assert c.verdict(hiding=False) == case(name).verdict(hiding=False)


# ---- attention ----

RATE = Fraction(1, 2048)
SHIFT = 28


def heads(s: Shape) -> bytes:
    """Rotated queries and keys, attention and its projection."""
    b = Builder("heads")
    tables = angle_tables(b, s.rows, s.n, 10000.0)
    q = rope(b, "q_rope", split(b, "q", s, s.heads), tables, heads=s.heads)
    k = rope(b, "k_rope", split(b, "k", s, s.groups), tables, heads=s.groups)
    of = AttentionShape(kv_heads=s.groups, group_size=s.members, window=0, score_shift=SHIFT, rate=RATE)
    o = attention(b, q, k, split(b, "v", s, s.groups), of)
    assert (o.rows, o.cols) == (s.rows * s.heads, s.n)
    b.commit("projected", b.product_nt(o.reshape(*s.stored), b.weight("out", 3, s.heads * s.n)))
    return b.finish()


def attended(s: Shape, c: Cells) -> Cells:
    """The tensors of `heads` that are defined exactly, by head."""
    cos, sin = angles(s.rows, s.n, 10000.0)
    q, k, v = (c[name].reshape(s.rows, -1, s.n) for name in "qkv")
    q, k = (x * cos[:, None] + np.roll(x, s.n // 2, 2) * sin[:, None] for x in (q, k))
    group = np.arange(s.heads) // s.members
    products = np.einsum("thn,jhn->thj", q, k[:, group])
    scores = np.clip((products + (1 << (SHIFT - 1))) >> SHIFT, -32768, 32767)
    seen = np.tril(np.ones((s.rows, s.rows), dtype=bool))[:, None, :]
    most = np.where(seen, scores, -32768).max(2, keepdims=True)
    e = np.where(seen, np.array(exponential(1 << 16, RATE, 15))[np.maximum(most - scores, 0)], 0)
    inverse = (65535 << 28) // e.sum(2, keepdims=True)
    p = np.where(seen, (e * inverse + (1 << 27)) >> 28, 0)
    o = np.einsum("thj,jhn->thn", p, v[:, group]).reshape(s.stored)
    return {
        "q_rope": q.reshape(s.stored),
        "k_rope": k.reshape(s.rows, -1),
        "scores.products": products.reshape(-1, s.rows),
        "attention": o,
        "projected": o @ c["out"].T,
    }


ATTENTION = {
    "9 heads of 64 for 3 of keys": Shape(4, 3, 3, 64),
    "12 heads of 32": Shape(3, 12, 1, 32),
    "one position": Shape(1, 3, 3, 64),
    "one head of keys": Shape(3, 1, 4, 32),
    "whole blocks": Shape(2, 1, 2, 128),
}


@lru_cache
def attention_of(name: str) -> Case:
    s = ATTENTION[name]
    widths = {"q": s.heads * s.n, "k": s.groups * s.n, "v": s.groups * s.n}
    given = {name: integers(seed, s.rows, cols) for seed, (name, cols) in enumerate(widths.items())}
    return Case(heads(s), {**given, "out": integers(3, 3, s.heads * s.n)})


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_over_heads_side_by_side(name: str) -> None:
    c, s = attention_of(name), ATTENTION[name]
    plain = evaluate(c.raw, c.given)
    assert check(c.raw, plain) == []
    for tensor, cells in attended(s, c.given).items():
        assert (plain[tensor].reshape(cells.shape) == cells).all(), tensor
    assert all((plain[tensor] == cells).all() for tensor, cells in c.witness.items())
    for hiding in (False, True):
        assert c.verdict(hiding=hiding)[0] == "accepted"


def test_a_head_in_the_place_of_another_is_caught() -> None:
    """Two heads of one position exchanged, as a view with the wrong order of heads would have it."""
    c = attention_of("9 heads of 64 for 3 of keys")
    o = c.witness["attention"][1].reshape(9, 64)
    delta = (o[[3, 2]] - o[[2, 3]]).reshape(-1)
    changed = {"attention": [(1, 2 * 64 + j, int(x)) for j, x in enumerate(delta) if x]}
    verdict = c.verdict(hiding=False, corrupt=changed)
    assert (verdict[0], verdict[2]) == ("sumcheck.einsum", "attention")
