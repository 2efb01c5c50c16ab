"""For every relation of the circuits around the layers a prover that breaks just it, and is caught there.

`FORGERIES` is the one place to add to: the relations that break, and what the prover adds to cells of
tensors; all later steps compute from that. A relation of a circuit that no entry breaks fails a test.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cheating import HIDDEN, Case, Edit, Entry, breaks, carried, forgery, relations
from head_cases import LAST, distances_case, embedding_case, final_case, named_case, share_case

from assay.reference.circuit import check

CASES: dict[str, Callable[[], Case]] = {
    "embedding": embedding_case,
    "final": final_case,
    "named logits": named_case,
    "share": share_case,
    "distances": distances_case,
}


def normalised(col: int, row: int, step: int) -> tuple[Edit, ...]:
    """Another row of the table: shifts of a factor of 4 more or less."""

    def cells(row: int) -> dict[str, int]:
        return {"row": row, "scale": 1 << (30 - row), "inverse": 1 << (2 + row), "last": 4 ** (row + 1) - 1}

    new, old = cells(row + step), cells(row)
    return tuple((f"{_ROOT}.normalise.{name}", 0, col, new[name] - old[name]) for name in new)


_ROOT = "final_norm.inverse"

INPUT: tuple[Entry, ...] = (
    ("input", ("input.limb0", 0, 2, 1)),
    carried("input.limb0", "input.limb1"),
    ("input.limb1", ("head.input", 2, 0, 1 << 20)),
)
LOGIT: tuple[Entry, ...] = (
    ("head", ("head.r0", 0, 0, 1)),
    carried("head.r0", "head.lo0", bits=17),
    carried("head.lo0", "head.hi"),
    ("head.clamp", ("head.clamp.outside", 2, 1, 1)),
    ("head.saturate", ("head.y", 0, 2, 1)),
)

FORGERIES: dict[str, tuple[Entry, ...]] = {
    "embedding": (
        ("embedding", ("embedding.r0", 1, 3, -1)),
        ("embedding.out", ("boundary.0", 2, 5, 1)),
        carried("embedding.r0", "embedding.r1"),
        carried("embedding.r1", "embedding.y0", bits=13),
        carried("embedding.y0", "embedding.y1"),
        (("embedding.y0", "embedding.y1"), ("embedding.y0", 0, 0, -1 << 25), ("embedding.y1", 0, 0, 1 << 9)),
    ),
    "final": (
        ("rows", ("rows.limb0", 0, 0, 1)),
        carried("rows.limb0", "rows.limb1"),
        ("rows.limb1", (LAST, 0, 0, 1 << 25)),
        ("final_norm.squares", ("final_norm.squares", 0, 0, -1)),
        (f"{_ROOT}.normalise", (f"{_ROOT}.normalise.row", 0, 0, 1)),
        (f"{_ROOT}.below", (f"{_ROOT}.below.u0", 0, 0, 1)),
        carried(f"{_ROOT}.below.u0", f"{_ROOT}.below.u1"),
        carried(f"{_ROOT}.below.u1", f"{_ROOT}.below.u2"),
        carried(f"{_ROOT}.below.u2", f"{_ROOT}.below.u3", up=False),
        ((f"{_ROOT}.below.u3", f"{_ROOT}.shift.v1"), *normalised(1, 25, -1)),
        (f"{_ROOT}.shift", (f"{_ROOT}.shift.r0", 0, 0, 1)),
        carried(f"{_ROOT}.shift.r0", f"{_ROOT}.shift.r1"),
        carried(f"{_ROOT}.shift.r1", f"{_ROOT}.shift.v0"),
        carried(f"{_ROOT}.shift.v0", f"{_ROOT}.shift.v1"),
        ((f"{_ROOT}.shift.v1", f"{_ROOT}.root"), *normalised(0, 20, 1)),
        ((f"{_ROOT}.root", f"{_ROOT}.floor.a2"), (f"{_ROOT}.root", 0, 1, 1)),
        (f"{_ROOT}.floor", (f"{_ROOT}.floor.a0", 0, 1, 1)),
        carried(f"{_ROOT}.floor.a0", f"{_ROOT}.floor.a1"),
        carried(f"{_ROOT}.floor.a1", f"{_ROOT}.floor.a2"),
        (f"{_ROOT}.floor.a2", (f"{_ROOT}.root", 0, 0, 1)),
        (f"{_ROOT}.ceiling", (f"{_ROOT}.ceiling.b0", 0, 0, 1)),
        carried(f"{_ROOT}.ceiling.b0", f"{_ROOT}.ceiling.b1"),
        carried(f"{_ROOT}.ceiling.b1", f"{_ROOT}.ceiling.b2"),
        (f"{_ROOT}.ceiling.b2", (f"{_ROOT}.root", 0, 0, -1)),
        (f"{_ROOT}.scaled", (f"{_ROOT}.scaled.w0", 0, 1, 1)),
        carried(f"{_ROOT}.scaled.r0", f"{_ROOT}.scaled.w0", bits=6),
        carried(f"{_ROOT}.scaled.w0", f"{_ROOT}.scaled.w1"),
        carried(f"{_ROOT}.scaled.w1", f"{_ROOT}.scaled.w2", up=False),
        (
            (f"{_ROOT}.scaled.w1", f"{_ROOT}.scaled.w2"),
            (f"{_ROOT}.scaled.w1", 0, 0, 1 << 16),
            (f"{_ROOT}.scaled.w2", 0, 0, -1),
        ),
        ("final_norm", ("final_norm.r0", 1, 2, 1)),
        carried("final_norm.r0", "final_norm.r1"),
        carried("final_norm.r1", "final_norm.lo0"),
        carried("final_norm.lo0", "final_norm.lo1"),
        carried("final_norm.lo1", "final_norm.hi", bits=4),
        ("final_norm.clamp", ("final_norm.clamp.outside", 0, 5, 1)),
        ("final_norm.saturate", ("head.input", 1, 2, 1)),
    ),
    "named logits": (
        *INPUT,
        ("rows", ("rows", 3, 2, 1)),
        *LOGIT,
        ("named.logits", ("logits", 1, 3, 1)),
    ),
    "share": (
        *INPUT,
        *LOGIT,
        ("max.range", ("head.max", 0, 0, 1 << 15)),
        ("exp", ("exp.e", 0, 4, 1)),
        ("exp", ("exp.z", 0, 4, 1), ("exp.z", 0, 1, -1)),
        ("threshold.range", ("head.threshold", 0, 1, 1 << 15)),
        ("relu", ("relu.u", 1, 3, -1)),
        ("sum.mass", ("mass.2", 0, 2, -1)),
        ("sum.zeros", ("zeros.2", 0, 1, 1)),
        ("sum.excess", ("excess.2", 0, 1, -1)),
        ("named.exp", ("exp.2", 1, 1, 1)),
        ("named.logit", ("logit.2", 1, 3, 1)),
    ),
    "distances": (
        ("total.attained", ("total.attained.limb0", 0, 0, 1)),
        ("total.attained.limb0", ("zeros.2", 0, 1, -1)),
        ("total.mass", ("total.mass.limb0", 0, 0, 1)),
        carried("total.mass.limb0", "total.mass.limb1"),
        ("total.mass.limb1", ("mass.0", 0, 0, 110_000_000)),
        ("total.exp", ("total.exp.limb0", 0, 0, 1)),
        carried("total.exp.limb0", "total.exp.limb1"),
        ("total.exp.limb1", ("exp.0", 0, 1, 1 << 21)),
        ("probability", ("probability.limb0", 1, 2, 1)),
        carried("probability.limb0", "probability.limb1", up=False),
        ("probability.limb1", ("mass.0", 0, 0, -118_000_000)),
        ("probability.remainder", ("probability.remainder.limb0", 1, 2, 1)),
        carried("probability.remainder.limb0", "probability.remainder.limb1"),
        ("probability.remainder.limb1", ("probability", 1, 1, 1)),
        ("probability.below", ("probability.below.limb0", 1, 2, 1)),
        carried("probability.below.limb0", "probability.below.limb1"),
        ("probability.below.limb1", ("probability", 1, 1, -1)),
        ("difference", ("difference.lo", 1, 2, 1)),
        carried("difference.lo", "difference.hi", up=False),
        ("difference.sign", ("difference.sign.value", 0, 1, 2)),
        ("difference.absolute", ("difference.absolute", 2, 2, -1)),
        ("difference.sum", ("difference.sum", 0, 1, -1)),
        ("total.excess", ("total.excess.limb0", 0, 0, -1)),
        carried("total.excess.limb0", "total.excess.limb1", up=False),
        ("total.excess.limb1", ("excess.0", 0, 0, 13 << 16)),
        ("total.logit", ("total.logit.limb0", 0, 0, 1)),
        ("logit.sum", ("logit.sum", 0, 2, 1)),
        ("threshold.range", ("head.threshold", 0, 1, 1 << 15)),
    ),
}


UNBREAKABLE = {"distances": {"total.logit.limb0"}}  # its cells are int16, each of which is in the table


@pytest.mark.parametrize("segment", CASES)
def test_an_honest_proof_is_accepted(segment: str) -> None:
    case = CASES[segment]()
    for hiding in (False, True):
        assert case.verdict(case.tensors, hiding=hiding)["security_bits"] >= 1


@pytest.mark.parametrize("segment", CASES)
def test_every_relation_has_a_cheating_prover(segment: str) -> None:
    broken = {name for entry in FORGERIES[segment] for name in breaks(entry)}
    assert broken | UNBREAKABLE.get(segment, set()) == relations(CASES[segment]())


@pytest.mark.parametrize(
    ("segment", "entry"),
    [
        pytest.param(segment, entry, id=f"{segment}: {'+'.join(breaks(entry))}")
        for segment, entries in FORGERIES.items()
        for entry in entries
    ],
)
def test_a_forgery_is_caught_at_its_relation(segment: str, entry: Entry) -> None:
    case = CASES[segment]()
    forged = forgery(case, entry)
    cells = case.forged(forged)
    assert tuple(check(case.raw, cells)) == forged.breaks
    assert case.verdict(cells) == case.caught_at(list(forged.breaks))
    assert case.verdict(cells, hiding=True) == HIDDEN
