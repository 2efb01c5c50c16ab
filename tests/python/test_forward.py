"""What stands around the layers of a forward pass: plain integers, evaluators and relations agree."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from assay.circuits import forward, head
from assay.circuits.distances import UNITS, attained, probabilities
from assay.circuits.embedding import embed, scaling
from assay.circuits.gemma3 import Gemma3
from assay.circuits.rms_norm import epsilon
from assay.circuits.scales import HeadScales, ModelScales, norm_shift, root_bits
from assay.circuits.soft_cap import cap_table
from circuit_case import at, plain_root, rng, split
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from assay import _core
from assay.graph import Builder, CellType, CircuitError, Domain, Interval, Ragged, Source, term
from assay.graph.summary import summarise
from assay.layout import Slot
from assay.profiles import Code
from assay.reference.circuit import check, decode, evaluate, outputs, totals

HIDDEN = 128
PIECES = (17, 1, 22)
VOCABULARY = sum(PIECES)
STARTS = (0, 17, 18)
EXAMPLE = json.loads((files("assay.cli") / "gemma3_270m.json").read_text())
SCALES = ModelScales.from_dict(EXAMPLE["scales"])
LAYERS = len(SCALES.layers)
CONFIG: dict[str, Any] = {
    **EXAMPLE["config"],
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "embed_scale": math.sqrt(HIDDEN),
}
TYPES = {0: np.int16, 1: np.int32, 2: np.int64}
LARGEST = (1 << 15) - 1

Arrays = dict[str, np.ndarray]


class Capped(Gemma3):
    """A model that caps its logits, as Gemma 2 does; none that is covered does."""

    __slots__ = ()

    @property
    def logit_cap(self) -> float:
        return 30.0


class Segment:
    """A circuit with an honest witness: by the reference, and by the compiled evaluator alike."""

    def __init__(self, b: Builder | bytes, externals: Mapping[str, np.ndarray]) -> None:
        self.raw = b if isinstance(b, bytes) else b.finish()
        self.externals = dict(externals)
        self.tensors = evaluate(self.raw, externals)
        assert check(self.raw, self.tensors) == []
        assert _differences(self.raw, self.externals, self.tensors) == []

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[name].astype(object)

    @property
    def outputs(self) -> Arrays:
        return outputs(self.raw, self.tensors)

    def violations(self, changes: Mapping[str, np.ndarray]) -> list[str]:
        """What fails if these cells change and no others."""
        assert set(changes) <= set(self.tensors)
        return check(self.raw, {**self.tensors, **changes})

    def forged(self, changes: Mapping[str, np.ndarray]) -> list[str]:
        """What fails if these cells change, and all that is computed from them."""
        assert set(changes) <= set(self.tensors)
        given = {name: changes.get(name, cells) for name, cells in self.externals.items()}
        return check(self.raw, evaluate(self.raw, given, changes))


def _differences(raw: bytes, externals: Mapping[str, np.ndarray], tensors: Mapping[str, Any]) -> list[str]:
    """Tensors of which the compiled evaluator makes something else."""
    types = {t.name: TYPES[t.cell] for t in decode(raw).tensors}
    given = {name: padded(cells).astype(types[name]) for name, cells in externals.items()}
    found = _core.Circuit(raw).evaluate(given)
    return [n for n, cells in tensors.items() if (found[n][:, : cells.shape[1]] != cells).any()]


def padded(cells: np.ndarray) -> np.ndarray:
    return np.pad(cells, ((0, 0), (0, -cells.shape[1] % 128)))


def weights(rows: int = VOCABULARY) -> np.ndarray:
    """Embedding rows at all magnitudes, the first at both bounds."""
    out = rng.integers(-LARGEST, LARGEST + 1, (rows, HIDDEN)) >> rng.integers(0, 8, (rows, 1))
    out[0], out[0, ::2] = -LARGEST, LARGEST
    return out


def cut(embedding: np.ndarray) -> Arrays:
    """Its pieces, by name."""
    parts = zip(STARTS, PIECES, strict=True)
    return {f"embedding.{p}": embedding[s : s + n] for p, (s, n) in enumerate(parts)}


def clamp(values: np.ndarray, bits: int) -> np.ndarray:
    half = 1 << (bits - 1)
    return np.minimum(np.maximum(values, -half), half - 1)


def rounded(values: np.ndarray, shift: int) -> np.ndarray:
    return (values.astype(object) + (1 << shift >> 1)) >> shift


# ---- gather, pick, outputs ----


def indexed_circuit() -> tuple[Builder, Any, Any]:
    b = Builder("indexed")
    x = b.weight("x", 3, 4)
    rows = b.public("rows", np.array([[2, -1, 0, 2]]))
    cols = b.public("cols", np.array([[3, 3], [-1, 0], [1, 2]]))
    taken = b.commit("taken", b.value(term(x.gather(rows)) * 2 + 1, Domain(4, 4)))
    b.output("out", b.commit("picked", b.value(x.pick(cols), Domain(3, 2))) * 5 - 1)
    return b, x, taken


def test_gather_and_pick_read_by_index_and_minus_one_reads_nothing() -> None:
    b, _, taken = indexed_circuit()
    x = np.arange(12).reshape(3, 4) - 5
    segment = Segment(b, {"x": x})
    assert (segment["taken"] == np.stack([x[2], 0 * x[0], x[0], x[2]]) * 2 + 1).all()
    assert segment["picked"].tolist() == [[x[0, 3], x[0, 3]], [0, x[1, 0]], [x[2, 1], x[2, 2]]]
    assert (segment.outputs["out"] == segment["picked"] * 5 - 1).all()
    assert taken.bounds == Interval(-(1 << 16) + 1, (1 << 16) - 1)
    # a row, a cell, a neighbour
    assert segment.violations({"taken": segment["taken"] + at((4, 4), (1, 2))}) == ["taken"]
    wrong = segment["picked"] + at((3, 2), (0, 0)) * (x[0, 2] - x[0, 3])
    assert segment.violations({"picked": wrong}) == ["picked"]


def test_bounds_of_an_index_of_minus_one_contain_zero() -> None:
    b = Builder("zero")
    x = b.tensor("x", 1, 2, Interval(5, 9), source=Source.BOUNDARY)
    present = b.public("present", np.array([[0, 0]]))
    absent = b.public("absent", np.array([[0, -1]]))
    assert x.gather(present).bounds == Interval(5, 9)
    assert x.gather(absent).bounds == Interval(0, 9)


def test_indexed_operands_have_one_place() -> None:
    b, x, taken = indexed_circuit()
    rows, cols = b.publics
    twice = b.public("twice", np.array([[0, 3], [0, 0], [0, 4]]))
    ragged = b.tensor("ragged", 3, 4, Interval(0, 1), ragged=Ragged(True))
    d = Domain(4, 4)
    refused: list[Callable[[], object]] = [
        lambda: b.zero("z", d, [term(x.gather(rows))]),
        lambda: b.vanish("z", d, term(x.gather(rows), taken)),
        lambda: b.lookup("l", b.range_table(9), d, [x.gather(rows)]),
        lambda: b.linear("l", Domain(3, 4), term(x.gather(rows))),
        lambda: b.linear("l", Domain(4, 3), term(x.gather(rows))),
        lambda: b.linear("l", Domain(3, 2), term(x.pick(twice))),
        lambda: b.linear("l", Domain(3, 3), term(x.pick(cols))),
        lambda: b.linear("l", d, term(ragged.gather(rows))),
        lambda: b.linear("l", Domain(4, 4, Ragged(True)), term(x.gather(rows))),
        lambda: b.output("o", ragged),
        lambda: b.output("o", b.weight("wide", 1 << 9, (1 << 7) + 1)),
        lambda: b.ratio("r", term(taken), d, x, Interval(0, 1)),
    ]
    for case in refused:
        with pytest.raises(CircuitError) as caught:
            case()
        assert caught.value.code == "circuit-shape"


def test_a_gathered_row_establishes_no_bound_of_its_tensor() -> None:
    b = Builder("open")
    x = b.tensor("x", 2, 2, Interval(0, 9), source=Source.BOUNDARY)
    y = b.tensor("y", 2, 2, Interval(0, 9))
    b.in_range("y", y, Interval(0, 9))
    b.linear("same", Domain(2, 2), term(x.gather(b.public("rows", np.array([[0, 1]])))) - y)
    with pytest.raises(CircuitError, match="'x'"):
        b.finish()


def test_an_output_that_could_lose_its_sign_is_refused() -> None:
    def circuit(largest: int) -> Builder:
        b = Builder("wide")
        x = b.tensor("x", 1, 1, Interval(0, largest), source=Source.BOUNDARY, type=CellType.INT64)
        b.output("o", b.tensor_fact("x.given", x, "for the test"))
        return b

    circuit((1 << 62) - 1).finish()
    with pytest.raises(CircuitError, match="'o' does not close"):
        circuit(1 << 62).finish()


def test_outputs_are_shown_and_under_the_digest() -> None:
    b, _, _ = indexed_circuit()
    kinds = {r.name: (r.kind, r.cells) for r in summarise(b, 1).relations}
    assert kinds == {"taken": ("linear", 16), "picked": ("linear", 6), "out": ("output", 6)}
    before = summarise(b, 1).digest
    b.output("more", b.weight("more", 1, 1))
    assert summarise(b, 1).digest != before


# ---- embedding ----


def test_the_embedding_is_the_scaled_row_of_each_token() -> None:
    tokens = [0, 39, 16, 17, 18, 5, 5, 5, 0]
    table = weights()
    segment = Segment(forward.embedding(CONFIG, SCALES, tokens, PIECES), cut(table))
    fractions = SCALES.weight("embedding"), SCALES.boundary(0)
    factor, shift = scaling(HIDDEN, *fractions)
    assert (segment["boundary.0"] == rounded(table[tokens] * factor, shift)).all()


@pytest.mark.parametrize("other", [4, 6, 17, 39])
def test_the_row_of_another_token_is_rejected(other: int) -> None:
    table = weights()
    segment = Segment(forward.embedding(CONFIG, SCALES, [7, 5, 7], PIECES), cut(table))
    wrong = evaluate(forward.embedding(CONFIG, SCALES, [7, other, 7], PIECES), cut(table))
    names = [n for n in segment.tensors if n not in segment.externals]
    assert segment.forged({n: wrong[n] for n in names}) == ["embedding"]
    one = at((3, HIDDEN), (1, 2))
    assert segment.forged({"boundary.0": segment["boundary.0"] + one}) == ["embedding.out"]


def test_an_embedding_beyond_26_bits_saturates() -> None:
    def circuit() -> Builder:
        b = Builder("clamped")
        pieces = [b.weight(f"embedding.{p}", n, HIDDEN) for p, n in enumerate(PIECES)]
        embed(b, pieces, [0, 1, 39], factor=1 << 13, shift=1)
        return b

    segment = Segment(circuit(), cut(weights()))
    table = np.concatenate([segment[f"embedding.{p}"] for p in range(3)])
    expected = clamp(rounded(table[[0, 1, 39]] * (1 << 13), 1), 26)
    assert (segment["boundary.0"] == expected).all()
    assert {-(1 << 25), (1 << 25) - 1} <= set(expected[0])
    counted = totals(segment.raw, segment.tensors)
    assert counted["embedding.saturated"] == segment["embedding.clamp.outside"].sum() > 0


# ---- final norm ----


def final_segment(positions: Sequence[int] = (0, 2, 5)) -> Segment:
    x = rng.integers(-(1 << 20), 1 << 20, (6, HIDDEN))
    x[0] = 0
    x[2] = 0
    x[2, 7] = -(1 << 25)  # the output saturates
    x[5] = (1 << 25) - 1
    gain = rng.integers(-LARGEST, LARGEST + 1, (1, HIDDEN))
    gain[0, 7] = LARGEST
    raw = forward.final(CONFIG, SCALES, 6, positions)
    return Segment(raw, {f"boundary.{LAYERS}": x, "final_norm": gain})


def test_the_final_norm_is_that_of_the_rows_asked_for() -> None:
    segment = final_segment()
    fractions = SCALES.weights["final_norm"], SCALES.head.final_norm
    shift, root = norm_shift(*fractions), root_bits(*fractions)
    eps = epsilon(CONFIG["rms_norm_eps"], HIDDEN, SCALES.boundary(LAYERS))
    for i, position in enumerate((0, 2, 5)):
        row = segment[f"boundary.{LAYERS}"][position]
        w = plain_root(sum(v * v for v in row) + eps) >> (46 - root)
        expected = clamp(rounded(row * w * segment["final_norm"][0], shift), head.INPUT_BITS)
        assert (segment["head.input"][i] == expected).all()
    assert segment["head.input"][1, 7] == -(1 << 19)


def test_a_row_at_another_position_is_rejected() -> None:
    segment = final_segment()
    x = segment[f"boundary.{LAYERS}"]
    rows = split(x[[0, 3, 5]], "rows.limb0", "rows.limb1")
    assert segment.forged(rows) == ["rows"]
    out = segment["head.input"] + at((3, HIDDEN), (0, 0))
    assert segment.forged({"head.input": out}) == ["final_norm.saturate"]


def test_a_boundary_cell_out_of_range_is_rejected_where_it_is_read() -> None:
    segment = final_segment()
    name = f"boundary.{LAYERS}"
    x = segment[name] + at((6, HIDDEN), (5, 3))  # 2^25
    limbs = split(x[[0, 2, 5]], "rows.limb0", "rows.limb1")
    assert segment.forged({name: x, **limbs}) == ["rows.limb1"]
    unread = segment[name] + at((6, HIDDEN), (4, 3)) * (1 << 40)
    assert segment.violations({name: unread}) == []


# ---- vocabulary ----

IDS = ([0, 16, 17, 39], [18, 3, 2, 1], [17, 38, 20, 5])


def head_input() -> np.ndarray:
    """One row at the bounds, so that logits saturate on both sides; one of ties; one ordinary."""
    h = rng.integers(-(1 << 12), 1 << 12, (3, HIDDEN))
    h[0], h[0, ::2] = -(1 << 19), (1 << 19) - 1
    h[1] = 0
    return h


def plain_logits(h: np.ndarray, table: np.ndarray) -> np.ndarray:
    return clamp(rounded(h.astype(object) @ table.T.astype(object), SCALES.logits_shift), 16)


def exponentials(distance: np.ndarray, fraction: int) -> np.ndarray:
    """round(2^24 exp(-d 2^-f)), to 40 digits."""

    def one(d: int) -> int:
        with localcontext(prec=40):
            return math.floor((-Decimal(d) / 2**fraction).exp() * 2**head.EXP_BITS + Decimal("0.5"))

    return np.array([[one(int(d)) for d in row] for row in distance], dtype=object)


def vocabulary_segments(
    h: np.ndarray, table: np.ndarray, tau: np.ndarray | None = None, m: np.ndarray | None = None
) -> list[Segment]:
    x = plain_logits(h, table)
    advice = {
        "head.input": h,
        "head.max": (x.max(axis=1) if m is None else m).reshape(1, -1).astype(np.int64),
        "head.threshold": (np.sort(x, axis=1)[:, -4] if tau is None else tau).reshape(1, -1).astype(np.int64),
    }
    return [
        Segment(
            forward.vocabulary(CONFIG, SCALES, p, PIECES, IDS, distances=True),
            {**advice, f"embedding.{p}": cut(table)[f"embedding.{p}"]},
        )
        for p in range(3)
    ]


def test_each_piece_adds_its_share() -> None:
    h, table = head_input(), weights()
    x = plain_logits(h, table)
    assert {-(1 << 15), (1 << 15) - 1} <= set(x[0])
    tau = np.sort(x, axis=1)[:, -4]
    e = exponentials(x.max(axis=1, keepdims=True) - x, SCALES.head.logits)
    for p, segment in enumerate(vocabulary_segments(h, table)):
        own = slice(STARTS[p], STARTS[p] + PIECES[p])
        assert segment[f"mass.{p}"][0].tolist() == e[:, own].sum(axis=1).tolist()
        assert (segment[f"zeros.{p}"][0] == (x == x.max(axis=1, keepdims=True))[:, own].sum(axis=1)).all()
        assert (segment[f"excess.{p}"][0] == np.maximum(x - tau[:, None], 0)[:, own].sum(axis=1)).all()
        for i, ids in enumerate(IDS):
            for k, v in enumerate(ids):
                inside = own.start <= v < own.stop
                assert segment[f"exp.{p}"][i, k] == (e[i, v] if inside else 0)
                assert segment[f"logit.{p}"][i, k] == (x[i, v] if inside else 0)


def test_the_largest_differences_of_int16_are_in_the_tables() -> None:
    h, table = head_input(), weights()
    for bound in (-(1 << 15), (1 << 15) - 1):
        every = np.full(3, bound)
        segments = vocabulary_segments(h, table, tau=every, m=every if bound > 0 else None)
        for segment in segments:
            excess = np.maximum(segment["head.y"] - bound, 0)
            assert (segment["relu.u"] == excess).all()


def test_named_logits_are_public_and_zero_outside_their_piece() -> None:
    h, table = head_input(), weights()
    x = plain_logits(h, table)
    found = np.zeros((3, 4), dtype=object)
    for p in range(3):
        raw = forward.vocabulary(CONFIG, SCALES, p, PIECES, IDS, distances=False)
        segment = Segment(raw, {"head.input": h, f"embedding.{p}": cut(table)[f"embedding.{p}"]})
        assert sum(t.shape.rows * t.shape.cols for t in decode(raw).tensors if t.source == 0) < 7000
        found = found + segment.outputs["logits"]
    assert (found == np.array([[x[i, v] for v in ids] for i, ids in enumerate(IDS)])).all()


def test_a_piece_without_a_named_id_puts_out_zeros() -> None:
    table, ids = weights(), [[0], [3]]
    raw = forward.vocabulary(CONFIG, SCALES, 1, PIECES, ids, distances=False)
    segment = Segment(raw, {"head.input": head_input()[:2], "embedding.1": cut(table)["embedding.1"]})
    assert (segment.outputs["logits"] == 0).all()


def test_logits_of_another_row_or_neighbour_are_rejected() -> None:
    h, table = head_input(), weights()
    raw = forward.vocabulary(CONFIG, SCALES, 0, PIECES, IDS, distances=False)
    segment = Segment(raw, {"head.input": h, "embedding.0": cut(table)["embedding.0"]})
    rows = segment["rows"].copy()
    rows[1] = table[9]
    assert segment.forged({"rows": rows}) == ["rows"]
    assert segment.forged({"logits": np.roll(segment["logits"], 1, axis=1)}) == ["named.logits"]
    assert segment.violations({"logits": segment["logits"] + at((3, 4), (2, 3))}) == ["named.logits"]


def test_a_share_that_is_not_the_pieces_is_rejected() -> None:
    first, _, last = vocabulary_segments(head_input(), weights())
    one, cell = at((1, 3), (0, 2)), at((3, 4), (0, 1))
    assert first.forged({"mass.0": first["mass.0"] - one}) == ["sum.mass"]
    assert last.forged({"mass.2": last["mass.2"] * 0}) == ["sum.mass"]
    assert first.forged({"zeros.0": first["zeros.0"] + one}) == ["sum.zeros"]
    assert first.forged({"excess.0": first["excess.0"] - one}) == ["sum.excess"]
    assert first.forged({"exp.0": first["exp.0"] + cell}) == ["named.exp"]
    assert first.forged({"logit.0": first["logit.0"] - cell}) == ["named.logit"]
    e = first["exp.e"] - at((3, 17), (2, 5))
    assert first.forged({"exp.e": e}) == ["exp"]
    u = first["relu.u"] - at((3, 17), (0, 0))
    assert first.forged({"relu.u": u}) == ["relu"]
    z = 1 - first["exp.z"]
    assert first.forged({"exp.z": z}) == ["exp"]


def test_a_maximum_below_a_logit_has_no_exponential() -> None:
    h, table = head_input(), weights()
    segment = vocabulary_segments(h, table)[0]
    x = segment["head.y"]
    m = x.max(axis=1).reshape(1, -1) - at((1, 3), (0, 2))
    forged = {"head.max": m, "exp.e": segment["exp.e"], "exp.z": segment["exp.z"]}
    assert segment.forged(forged) == ["exp"]


@pytest.mark.parametrize(("name", "value"), [("max", 1 << 15), ("threshold", -(1 << 15) - 1)])
def test_advice_out_of_range_is_rejected(name: str, value: int) -> None:
    segment = vocabulary_segments(head_input(), weights())[1]
    changed = segment[f"head.{name}"] * 0 + value
    assert f"{name}.range" in segment.violations({f"head.{name}": changed})


def test_an_input_out_of_range_is_rejected() -> None:
    segment = vocabulary_segments(head_input(), weights())[1]
    h = segment["head.input"] + at((3, HIDDEN), (2, 5)) * (1 << 21)
    limbs = split(h, "input.limb0", "input.limb1")
    assert "input.limb1" in segment.violations({"head.input": h, **limbs})
    assert "input" in segment.violations({"head.input": h})


def test_lookups_for_each_logit_are_five() -> None:
    shape = EXAMPLE["config"]
    pieces = [52429] * 4 + [52428]
    ids = [list(range(20))] * 2
    b = forward.build_vocabulary(shape, SCALES, 0, pieces, ids, distances=True)
    b.finish()
    operations = {o.name: o.lookups for o in summarise(b, 2).operations}
    logits = 2 * pieces[0]
    assert operations["head"] == 3 * logits
    assert operations["exp"] == operations["relu"] == logits
    assert sum(operations.values()) - 5 * logits == 2 * (2 * 640 + 2)


# ---- soft cap ----


@pytest.mark.parametrize(("cap", "fraction"), [(30.0, 8), (0.75, 12), (50.0, 0), (1000.0, 6)])
def test_a_soft_cap_is_the_rounded_tanh(cap: float, fraction: int) -> None:
    table = cap_table(cap, fraction)
    (image,) = table.images
    assert (image[1:] == -image[:0:-1]).all()
    assert (np.diff(image) >= 0).all()
    with localcontext(prec=40):
        scale = Decimal(cap) * 2**fraction
        for t in (-32768, -32767, -12345, -1, 0, 1, 2, 255, 7680, 30000, 32767):
            decay = (-2 * abs(t) / scale).exp()
            exact = scale * (1 - decay) / (1 + decay)
            expected = math.floor(exact + Decimal("0.5")) * (1 if t >= 0 else -1)
            assert image[t + 32768] == expected


@pytest.mark.parametrize(("cap", "fraction"), [(0.0, 8), (-1.0, 8), (math.inf, 0), (1e6, 8), (1e-9, 2)])
def test_a_cap_that_is_none_is_refused(cap: float, fraction: int) -> None:
    with pytest.raises(CircuitError, match="soft cap"):
        cap_table(cap, fraction)


def test_capped_logits_are_what_a_piece_puts_out() -> None:
    shape = Capped(**CONFIG)
    h, table = head_input(), weights()
    (image,) = cap_table(30.0, SCALES.head.logits).images
    x = image[(plain_logits(h, table) + (1 << 15)).astype(np.int64)]
    raw = forward.vocabulary(shape, SCALES, 0, PIECES, IDS, distances=False)
    segment = Segment(raw, {"head.input": h, "embedding.0": cut(table)["embedding.0"]})
    expected = [[x[i, v] if v < 17 else 0 for v in ids] for i, ids in enumerate(IDS)]
    assert segment.outputs["logits"].tolist() == expected
    y = segment["soft_cap.y"] + at(segment["soft_cap.y"].shape, (2, 1))
    assert "soft_cap" in segment.forged({"soft_cap.y": y})
    raw = forward.vocabulary(shape, SCALES, 0, PIECES, IDS, distances=True)
    m, tau = x.max(axis=1).reshape(1, -1), x.min(axis=1).reshape(1, -1)
    Segment(
        raw,
        {"head.input": h, "embedding.0": table[:17], "head.max": m, "head.threshold": tau},
    )


# ---- distances ----


def served() -> list[tuple[int, ...]]:
    """A distribution of all in one place, one of all alike, and one of logits."""
    even = [UNITS // 4] * 4
    return [(UNITS, 0, 0, 0), tuple(even), forward.served_distribution([300, 20, -70, 5], 8)]


def distance_segment(h: np.ndarray, table: np.ndarray, tau: np.ndarray | None = None) -> Segment:
    parts = vocabulary_segments(h, table, tau)
    names = [f"{kind}.{p}" for p in range(3) for kind in ("mass", "zeros", "excess", "exp", "logit")]
    shared = {name: parts[int(name[-1])].tensors[name] for name in names}
    shared["head.threshold"] = parts[0].tensors["head.threshold"]
    return Segment(forward.distances(CONFIG, SCALES, 3, served()), shared)


def plain_distances(x: np.ndarray) -> tuple[list[int], list[int]]:
    """Twice the total variation in units of 2^-18, and the top-4 distance, of logits [P, V]."""
    e = exponentials(x.max(axis=1, keepdims=True) - x, SCALES.head.logits)
    tv, top = [], []
    for i, (ids, q) in enumerate(zip(IDS, served(), strict=True)):
        p = [math.floor(Fraction(int(e[i, v]) * UNITS, int(e[i].sum())) + Fraction(1, 2)) for v in ids]
        tv.append(sum(abs(a - b) for a, b in zip(q, p, strict=True)) + UNITS - sum(p))
        top.append(sum(sorted(map(int, x[i]))[-4:]) - sum(int(x[i, v]) for v in ids))
    return tv, top


def ordinary() -> tuple[np.ndarray, np.ndarray]:
    """Logits of a few units: h small beside the scale."""
    h = rng.integers(-(1 << 10), 1 << 10, (3, HIDDEN))
    return h, rng.integers(-2000, 2000, (VOCABULARY, HIDDEN))


@pytest.mark.parametrize("inputs", [ordinary, lambda: (head_input(), weights())])
def test_distances_are_those_of_plain_integers(inputs: Callable[[], tuple[np.ndarray, np.ndarray]]) -> None:
    h, table = inputs()
    segment = distance_segment(h, table)
    tv, top = plain_distances(plain_logits(h, table))
    assert segment.outputs["tv"].tolist() == [tv]
    assert segment.outputs["top_k"].tolist() == [top]
    assert min(top) >= 0
    assert 0 <= min(tv) <= max(tv) <= 2 * UNITS + 4


def test_the_total_variation_is_that_of_real_numbers() -> None:
    h, table = ordinary()
    x = plain_logits(h, table).astype(float) / 2**SCALES.head.logits
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    (tv,) = distance_segment(h, table).outputs["tv"].tolist()
    for i, (ids, q) in enumerate(zip(IDS, served(), strict=True)):
        whole = np.zeros(VOCABULARY)
        whole[ids] = np.array(q) / UNITS
        assert abs(tv[i] / 2 / UNITS - np.abs(whole - p[i]).sum() / 2) < 1e-4


def test_another_threshold_enlarges_the_distance_and_nothing_else() -> None:
    h, table = ordinary()
    x = plain_logits(h, table)
    fourth = np.sort(x, axis=1)[:, -4]
    honest = distance_segment(h, table).outputs
    for tau in (fourth + 40, fourth - 500, fourth * 0 - (1 << 15), fourth * 0 + LARGEST):
        other = distance_segment(h, table, tau).outputs
        assert (other["tv"] == honest["tv"]).all()
        assert (other["top_k"] >= honest["top_k"]).all()
    assert (other["top_k"] > honest["top_k"]).all()


def test_a_maximum_that_no_logit_attains_is_rejected() -> None:
    h, table = ordinary()
    x = plain_logits(h, table)
    parts = vocabulary_segments(h, table, m=x.max(axis=1) + 1)
    assert all((s[f"zeros.{p}"] == 0).all() for p, s in enumerate(parts))
    segment = distance_segment(h, table)
    zeros = {f"zeros.{p}": np.zeros((1, 3), dtype=object) for p in range(3)}
    assert segment.violations(zeros) == ["total.attained"]
    below = {"total.attained.limb0": np.full((1, 3), -1, dtype=object)}
    assert segment.violations({**zeros, **below}) == ["total.attained.limb0"]


def test_the_mass_of_a_piece_cannot_be_left_out() -> None:
    """The piece's own segment ties its mass; here the sum has to be that of the pieces named."""
    segment = distance_segment(*ordinary())
    less = segment["mass.0"] + segment["mass.1"]
    limbs = split(less, *(n for n in segment.tensors if n.startswith("total.mass")))
    assert segment.forged(limbs) == ["total.mass"]


@pytest.mark.parametrize("step", [1, -1])
def test_a_probability_off_by_one_has_a_remainder_out_of_range(step: int) -> None:
    segment = distance_segment(*ordinary())
    largest = int(np.argmax(segment["probability"][2]))
    p = segment["probability"] + at((3, 4), (2, largest)) * step
    found = segment.forged({"probability": p})
    assert len(found) == 1
    assert found[0].startswith("probability.remainder" if step > 0 else "probability.below")


def test_probabilities_are_rounded_halves_up_at_the_bounds() -> None:
    def circuit(rows: int, cols: int, largest: int) -> Builder:
        b = Builder("division")
        e = given(b, "e", rows, cols, head.EXPONENTIAL)
        s = given(b, "s", 1, rows, Interval(0, largest))
        probabilities(b, e, s)
        return b

    one, whole = 1 << head.EXP_BITS, (1 << head.EXP_BITS) << 18
    s = np.array([[one, 2 * one, 3, whole, 1 << 19, 7]])
    e = np.array([[one, 0, 1], [one, one - 1, 1], [1, 2, 3], [one, one // 2, 1], [1, 3, 5], [1, 6, 7]])
    segment = Segment(circuit(6, 3, whole + (1 << 32)), {"e": e, "s": s})
    for i in range(6):
        for k in range(3):
            exact = Fraction(int(e[i, k]) * UNITS, int(s[0, i])) + Fraction(1, 2)
            assert segment["probability"][i, k] == math.floor(exact)
    assert segment["probability"][4].tolist() == [1, 2, 3]  # halves go up
    with pytest.raises(CircuitError, match="does not close"):
        circuit(6, 3, 4 * whole).finish()


def given(b: Builder, name: str, rows: int, cols: int, bounds: Interval) -> Any:
    wire = b.tensor(name, rows, cols, bounds, source=Source.BOUNDARY, type=CellType.INT64)
    return b.tensor_fact(f"{name}.given", wire, "for the test")


def test_a_mass_of_zero_has_no_probability() -> None:
    b = Builder("division")
    e = given(b, "e", 1, 1, head.EXPONENTIAL)
    s = given(b, "s", 1, 1, Interval(0, 1 << 30))
    probabilities(b, e, s)
    segment = Segment(b, {"e": np.array([[5]]), "s": np.array([[9]])})
    zero = {n: np.zeros_like(v, dtype=object) for n, v in segment.tensors.items()}
    assert "probability.below" in segment.violations(zero)


def test_every_logit_may_be_the_maximum() -> None:
    def circuit(vocabulary: int) -> Builder:
        b = Builder("attained")
        attained(b, [given(b, f"z.{p}", 1, 3, Interval(0, vocabulary)) for p in range(2)], vocabulary)
        return b

    many = Segment(circuit(262144), {"z.0": np.array([[1, 0, 131072]]), "z.1": np.array([[0, 1, 131072]])})
    assert recombined_zeros(many) == [1, 1, 262144]
    one = Segment(circuit(1), {"z.0": np.array([[1, 0, 1]]), "z.1": np.array([[0, 1, 0]])})
    assert recombined_zeros(one) == [1, 1, 1]


def recombined_zeros(segment: Segment) -> list[int]:
    """n of DIST.1, from its limbs."""
    limbs = [segment[name][0] for name in segment.tensors if name.startswith("total.attained")]
    return [1 + sum(int(limb[i]) << 16 * k for k, limb in enumerate(limbs)) for i in range(3)]


@pytest.mark.parametrize("index", [(0, 0), (1, 1), (1, 3)])
def test_a_difference_of_the_wrong_sign_is_rejected(index: tuple[int, int]) -> None:
    segment = distance_segment(*ordinary())
    one = at((3, 4), index)
    assert (segment["difference.absolute"] * one).any()
    sign = segment["difference.sign.value"] * (1 - 2 * one)
    assert segment.forged({"difference.sign.value": sign}) == ["difference.sign"]
    absolute = segment["difference.absolute"] * (1 - 2 * one)
    assert segment.forged({"difference.absolute": absolute}) == ["difference.absolute"]
    lo, hi = segment["difference.lo"] - one * (1 << 16), segment["difference.hi"] + one
    assert "difference.lo" in segment.forged({"difference.lo": lo, "difference.hi": hi})


@pytest.mark.parametrize("name", ["difference.sum", "logit.sum"])
def test_an_output_that_changes_leaves_a_relation_unsatisfied(name: str) -> None:
    segment = distance_segment(*ordinary())
    changed = {name: segment[name] + at((1, 3), (0, 1))}
    assert segment.violations(changed) == [name]
    found = outputs(segment.raw, {**segment.tensors, **changed})
    assert any((found[n] != values).any() for n, values in segment.outputs.items())


def test_every_witness_tensor_is_tied_down() -> None:
    """A change of any one committed cell breaks a relation, or an output of the statement."""
    h, table = ordinary()
    segments = [*vocabulary_segments(h, table)[:1], distance_segment(h, table), final_segment()]
    # A piece of the vocabulary without a logit above the threshold does not show its value, and another value
    # only enlarges the distance.
    for segment, public in zip(segments, (["head.threshold"], ["head.threshold"], []), strict=True):
        for name, cells in segment.tensors.items():
            if name in public:
                continue
            changed = cells.astype(object) + at(cells.shape, tuple(d - 1 for d in cells.shape))
            assert segment.violations({name: changed}), name


# ---- proofs ----

TOKENS = [0, 39, 16, 17, 5, 5]
POSITIONS = [0, 2, 5]


@dataclass(frozen=True)
class Pass:
    """Segments of a forward pass without its layers, as one unrecorded member, and what proves them."""

    statement: Any
    weights: Any
    advice: Arrays
    logits: np.ndarray

    @staticmethod
    def of(*, distances: bool, hiding: bool) -> Pass:
        h, table = ordinary()
        cells = {**cut(table), "final_norm": rng.integers(-2000, 2000, (1, HIDDEN))}
        weights, longlived = committed(cells)
        boundary = rng.integers(-(1 << 20), 1 << 20, (len(TOKENS), HIDDEN))
        last = f"boundary.{LAYERS}"
        final = forward.final(CONFIG, SCALES, len(TOKENS), POSITIONS)
        h = evaluate(final, {last: boundary, "final_norm": cells["final_norm"]})["head.input"]
        x = plain_logits(h, table)
        circuits = [forward.embedding(CONFIG, SCALES, TOKENS, PIECES), final]
        circuits += [
            forward.vocabulary(CONFIG, SCALES, p, PIECES, IDS, distances=distances) for p in range(3)
        ]
        advice = {last: boundary}
        if distances:
            circuits.append(forward.distances(CONFIG, SCALES, 3, served()))
            advice["head.max"] = x.max(axis=1).reshape(1, -1).astype(np.int64)
            advice["head.threshold"] = np.sort(x, axis=1)[:, -4].reshape(1, -1).astype(np.int64)
        statement = _core.Statement(
            degree=3,
            code=CODE.core(),
            required_bits=1.0,
            instance=b"a request",
            weights=longlived,
            members=[None],
            segments=[(f"segment {i}", _core.Circuit(c), 0) for i, c in enumerate(circuits)],
            hiding=hiding,
        )
        return Pass(statement, weights, advice, x)

    def outputs(self) -> list[dict[str, list[int]]]:
        """Of a proof that verifies."""
        body = _core.prove(self.statement, self.weights, [], bytes(32), advice=[self.advice])["body"]
        found: list[dict[str, list[int]]] = _core.verify(self.statement, body)["outputs"]
        return found


CODE = Code(log_columns=7, random=64, log_coset=8, cosets=3, queries=20)


def committed(cells: Arrays) -> tuple[Any, Any]:
    """A commitment with a part for each tensor, and its public side."""
    slots = [Slot(name, part, 0, *c.shape, 2) for part, (name, c) in enumerate(cells.items())]
    rows = [-(-s.blocks // CODE.row_blocks) for s in slots]
    parts = [(n, [(0, padded(cells[s.name]).astype(np.int16))]) for n, s in zip(rows, slots, strict=True)]
    weights = _core.Commitment("weights", CODE.core(), parts, bytes(32))
    weights.commit()
    return weights, _core.LongLived("weights", weights.root, rows, [tuple(s.to_list()) for s in slots])


@pytest.mark.parametrize("hiding", [False, True])
def test_distances_are_proven_across_segments(hiding: bool) -> None:
    proof = Pass.of(distances=True, hiding=hiding)
    tv, top = plain_distances(proof.logits)
    assert proof.outputs() == [{}] * 5 + [{"tv": tv, "top_k": top}]


@pytest.mark.parametrize("hiding", [False, True])
def test_named_logits_are_proven_across_segments(hiding: bool) -> None:
    proof = Pass.of(distances=False, hiding=hiding)
    found = np.array([o["logits"] for o in proof.outputs()[2:]]).sum(axis=0).reshape(3, 4)
    assert (found == np.take_along_axis(proof.logits, np.array(IDS), axis=1)).all()


# ---- served distributions ----


@settings(deadline=None)
@hypothesis_given(st.lists(st.integers(-(1 << 15), LARGEST), min_size=1, max_size=24), st.integers(-2, 14))
def test_a_served_distribution_sums_to_one_and_keeps_the_order(logits: list[int], fraction: int) -> None:
    q = forward.served_distribution(logits, fraction)
    assert sum(q) == UNITS
    assert min(q) >= 0
    ordered = [q[k] for k in sorted(range(len(q)), key=lambda k: -logits[k])]
    assert all(a >= b - 1 for a, b in pairwise(ordered))
    x = np.array(logits) / 2.0**fraction
    p = np.exp(x - x.max())
    assert np.abs(np.array(q) - p / p.sum() * UNITS).max() < 2


def test_a_served_distribution_gives_what_is_left_to_the_first_of_equals() -> None:
    assert forward.served_distribution([5, 5, 5], 8) == (87382, 87381, 87381)
    assert forward.served_distribution([-(1 << 15), LARGEST], 8) == (0, UNITS)
    for bad in ([], [0, 1 << 16]):
        with pytest.raises(CircuitError):
            forward.served_distribution(bad, 8)


# ---- arguments ----


def test_arguments_that_make_no_statement_are_refused() -> None:
    q = served()
    refused: list[Callable[[], object]] = [
        lambda: forward.embedding(CONFIG, SCALES, [], PIECES),
        lambda: forward.embedding(CONFIG, SCALES, [VOCABULARY], PIECES),
        lambda: forward.embedding(CONFIG, SCALES, [-1], PIECES),
        lambda: forward.embedding(CONFIG, SCALES, [0], (17, 22)),
        lambda: forward.embedding(CONFIG, SCALES, [0], (40, 0)),
        lambda: forward.final(CONFIG, SCALES, 6, []),
        lambda: forward.final(CONFIG, SCALES, 6, [6]),
        lambda: forward.final(CONFIG, SCALES, 6, [-1, 2]),
        lambda: forward.final(CONFIG, SCALES, 6, [2, 2]),
        lambda: forward.final(CONFIG, SCALES, 6, [3, 2]),
        lambda: forward.vocabulary(CONFIG, SCALES, 0, PIECES, [[1, 1]], distances=True),
        lambda: forward.vocabulary(CONFIG, SCALES, 0, PIECES, [[1], [1, 2]], distances=True),
        lambda: forward.vocabulary(CONFIG, SCALES, 3, PIECES, [[1]], distances=True),
        lambda: forward.vocabulary(CONFIG, SCALES, 0, PIECES, [[VOCABULARY]], distances=False),
        lambda: forward.distances(CONFIG, SCALES, 0, q),
        lambda: forward.distances(CONFIG, SCALES, 3, [(UNITS - 1, 0)]),
        lambda: forward.distances(CONFIG, SCALES, 3, [(UNITS + 1, -1)]),
        lambda: scaling(640, 15, 60),
    ]
    for case in refused:
        with pytest.raises(CircuitError):
            case()


def test_head_scales_read_back() -> None:
    assert HeadScales.from_dict(SCALES.head.to_dict()) == SCALES.head
    for broken in ({"logits": 8}, {"logits": 8, "final_norm": 9, "x": 1}, {"logits": 8.0, "final_norm": 9}):
        with pytest.raises(CircuitError, match="scales"):
            HeadScales.from_dict(broken)
