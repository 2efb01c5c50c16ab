"""Batches, shared tensors and outputs: both verifiers agree on what is honest and on what is not."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any

import pytest
from batch import Batch, batch, core_of, sent_cells
from mutations import Honest, changed

from assay import _core
from assay.layout import Slot
from assay.reference import LongLived, MalformedError, Statement
from assay.reference.circuit import Circuit
from assay.reference.field import P
from assay.reference.plan import Plan


@lru_cache
def case(hiding: bool) -> tuple[Batch, Honest]:
    made = Batch(hiding=hiding)
    return made, Honest(made)


def agree(s: Batch, body: bytes) -> tuple[Any, ...]:
    """What both verifiers say."""
    core, reference = s.outcomes(body)
    assert core == reference
    return core


def place_of(honest: Honest, relation: str) -> int:
    """Of an output in the body."""
    return next(at for at, _, where in honest.trace.messages if where.relation == relation)


@pytest.mark.parametrize("hiding", [False, True])
def test_an_honest_batch_is_accepted(hiding: bool) -> None:
    s, honest = case(hiding)
    verdict, totals, outputs, *_ = agree(s, honest.body)
    assert verdict == "accepted"
    assert [list(t) for t in totals] == [["all"], [], [], [], []]
    assert outputs == [{}, {}, {}, {"cells": sent_cells(), "top.itself": [5, -7, 0, 3]}, {}]


@pytest.mark.parametrize("hiding", [False, True])
def test_mutations(hiding: bool) -> None:
    s, honest = case(hiding)
    every = list(islice(honest.every(60), 60))
    assert all(body == honest.body for body in every if agree(s, body)[0] == "accepted")


@pytest.mark.slow
@pytest.mark.parametrize("hiding", [False, True])
def test_a_thousand_mutations(hiding: bool) -> None:
    s, honest = case(hiding)
    assert all(body == honest.body for body in honest.every(1000) if agree(s, body)[0] == "accepted")


@pytest.mark.parametrize("name", ["cells", "top.itself"])
def test_another_output_is_rejected(name: str) -> None:
    """Any cell of it; it makes claim (C.9) false, and has no check of its own."""
    s, honest = case(False)
    at = place_of(honest, name)
    for cell in range(4):
        body = changed(honest.body, at + 8 * cell, (1234).to_bytes(8, "little"))
        assert agree(s, body)[0] not in ("accepted", "format.field")


def test_an_output_that_is_no_field_element() -> None:
    s, honest = case(True)
    body = changed(honest.body, place_of(honest, "cells"), P.to_bytes(8, "little"))
    assert agree(s, body) == ("format.field", "2: picked", "cells", None)


def test_other_advice_gives_other_outputs() -> None:
    s, _ = case(False)
    body = s.prove(advice=[{}, {"top": [[0, 0, 0, 0]]}, {}])
    outputs = agree(s, body)[2][3]
    assert outputs["top.itself"] == [0, 0, 0, 0]
    assert outputs["cells"] != sent_cells()


# ---- what is absorbed, and what is refused ----


def test_both_absorb_the_same_instance() -> None:
    for hiding in (False, True):
        s = batch(hiding=hiding)
        assert core_of(s).instance == s.encoded()


def with_segment(s: Statement, number: int, **changes: Any) -> Statement:
    segments = list(s.segments)
    segments[number] = replace(segments[number], **changes)
    return replace(s, segments=tuple(segments))


def test_every_member_is_absorbed() -> None:
    """Another member, order or number of one: other bytes."""
    s = batch()
    first, _, third = s.members
    others = [
        replace(s, members=(third, None, first)),
        replace(s, members=(*s.members, None)),
        replace(s, members=(first, third, third)),
        with_segment(s, 4, member=0),
        with_segment(s, 1, member=2),
    ]
    assert len({x.encoded() for x in [s, *others]}) == 1 + len(others)
    assert all(core_of(x).instance == x.encoded() for x in (others[0], others[-1]))


def refused(s: Statement) -> bool:
    """By both."""
    with pytest.raises(_core.Malformed):
        core_of(s)
    with pytest.raises(MalformedError):
        Plan(s)
    return True


def test_statements_that_both_refuse() -> None:
    s = batch()
    assert refused(with_segment(s, 0, member=3))  # no such member
    assert refused(with_segment(s, 3, member=0))  # `s` was not recorded
    assert refused(replace(s, members=()))
    assert refused(replace(s, members=(*s.members, None)))  # no segment of it
    assert refused(with_segment(s, 4, member=0))  # none of the third
    first = s.members[0]
    assert isinstance(first, LongLived)
    twice = replace(first, slots=(*first.slots, first.slots[0]))
    assert refused(replace(s, members=(twice, *s.members[1:])))
    assert refused(replace(s, weights=replace(s.weights, partial=True)))


def test_partly_recorded_members() -> None:
    """Boundaries that have a slot, and no others, lie in the record's commitment; each slot is read."""
    s = batch()
    _, *others = s.members
    (top,) = (t for t in s.segments[2].circuit.tensors if t.name == "top")
    slot = Slot("top", 0, 0, top.shape.rows, top.shape.cols, 8)

    def partly(*slots: Slot) -> Statement:
        known = LongLived(name="2: boundaries", root=bytes(32), part_rows=(2,), slots=slots, partial=True)
        return replace(s, members=(s.members[0], known, others[-1]))

    stated = partly(slot)
    assert core_of(stated).instance == stated.encoded()
    assert len({stated.encoded(), s.encoded(), without_part(stated).encoded()}) == 3
    assert core_of(stated).opened_parts()[2] == [0]
    plan = Plan(stated)
    assert [c.name for c in plan.commitments][2] == "2: boundaries"
    assert refused(partly())
    assert refused(without_part(stated))  # `s` has no slot
    assert refused(partly(slot, Slot("other", 0, 1, 1, 4, 8)))
    for changes in ({"rows": 2}, {"cols": 3}, {"cell_bytes": 4}):
        assert refused(partly(replace(slot, **changes)))


def without_part(s: Statement) -> Statement:
    """Its partly recorded member as a recorded one."""
    return replace(s, members=tuple(m and replace(m, partial=False) for m in s.members))


def test_tensors_of_one_name_are_one_tensor() -> None:
    """In a member without recorded boundaries; the first segment's witness has it."""
    s = batch()
    plan = Plan(s)
    source, picked = (s.segments[k].circuit for k in (2, 3))
    places = [
        plan.first_block[k][[t.name for t in c.tensors].index("s")] for k, c in ((2, source), (3, picked))
    ]
    assert places[0] == places[1]
    names = [c.name for c in plan.commitments]
    assert names[:3] == ["weights", "1: boundaries", "3: boundaries"]
    assert names[3:] == ["witness"]


@pytest.mark.parametrize("change", [{"cell": 1}, {"rows": 3}, {"cols": 5}, {"causal": True}])
def test_shared_tensors_agree_in_shape(change: dict[str, Any]) -> None:
    s = batch()
    circuit = s.segments[3].circuit
    tensors = list(circuit.tensors)
    at = [t.name for t in tensors].index("s")
    own = {k: v for k, v in change.items() if k == "cell"}
    shape = replace(tensors[at].shape, **{k: v for k, v in change.items() if k != "cell"})
    tensors[at] = replace(tensors[at], shape=shape, **own)
    other = Circuit(**{**vars(circuit), "tensors": tensors})
    with pytest.raises(MalformedError, match="boundary s"):
        Plan(with_segment(s, 3, circuit=other))
