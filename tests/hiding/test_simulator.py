"""Proofs made without a witness are accepted, but only with the oracle that the simulator programmed."""

from __future__ import annotations

import random
from functools import lru_cache

import pytest
from batch import batch
from simulator import Public, Simulated, simulate
from tiny import CODE, statement

from assay.errors import VerificationError
from assay.reference import verify_body

PUBLIC = (Public(4, (2**63,)), Public(5, (77,)), Public(6, (0,)))


@lru_cache
def simulated(degree: int) -> Simulated:
    return simulate(statement(degree), PUBLIC, degree)


@pytest.mark.parametrize("degree", [2, 3])
def test_simulated_proofs_are_accepted_with_the_programmed_oracle(degree: int) -> None:
    s = simulated(degree)
    for body, public in zip(s.bodies, PUBLIC, strict=True):
        found = verify_body(s.statement, body, s.oracle.transcript(s.statement))
        assert found.counter == public.counter
        assert found.totals == ({"all": public.totals[0]}, {})


@pytest.mark.parametrize("degree", [2, 3])
def test_simulated_proofs_are_rejected_with_the_true_one(degree: int) -> None:
    s = simulated(degree)
    for body in s.bodies:
        with pytest.raises(VerificationError):
            verify_body(s.statement, body)


def test_a_batch_is_simulated_from_its_outputs() -> None:
    """Members with and without recorded boundaries; no cell of a shared tensor is known."""
    cells, top = list(range(8)), [9, 8, 7, 6]
    outputs = tuple(sum(x << 64 * i for i, x in enumerate(values)) for values in (cells, top))
    s = simulate(batch(), [Public(4, (11,), outputs)], 3)
    found = verify_body(s.statement, s.bodies[0], s.oracle.transcript(s.statement))
    assert found.totals[0] == {"all": 11}
    assert found.outputs[3] == {"cells": cells, "top.itself": top}
    with pytest.raises(VerificationError):
        verify_body(s.statement, s.bodies[0])


def test_changed_simulated_proofs_are_rejected() -> None:
    """By the programmed oracle too: its answers are bound to all that was sent before them."""
    s, draw = simulated(3), random.Random(0)
    for _ in range(16):
        body = bytearray(draw.choice(s.bodies))
        body[draw.randrange(len(body))] ^= 1 << draw.randrange(8)
        with pytest.raises(VerificationError):
            verify_body(s.statement, bytes(body), s.oracle.transcript(s.statement))


def test_proofs_of_one_commitment_stay_within_its_budget() -> None:
    assert len(PUBLIC) * CODE.queries <= CODE.random
