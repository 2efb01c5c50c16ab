"""A check on padded messages is the same check on what was padded: constraint by constraint."""

from __future__ import annotations

import pytest
from oracle import Draw, Scripted
from tiny import statement

from assay.reference.field import Array, Ext
from assay.reference.padded import PAD, PRODUCT, Value
from assay.reference.plan import Plan
from assay.reference.transcript import Messages, Where
from assay.reference.verifier import verify_messages


class Reader(Messages):
    """Messages from an endless list of values, padded or not; no check ends the reading."""

    def __init__(self, degree: int, pads: list[Ext], *, hiding: bool) -> None:
        plan = Plan(statement(degree, hiding=hiding))
        super().__init__(b"", Scripted(plan.statement, 1, {}), degree, hiding=hiding)
        self._values, self._pads = Draw(2), iter(pads)
        self.found: list[Value] = []
        verify_messages(self, plan)

    def bytes(self, label: str, size: int, where: Where) -> bytes:
        return bytes(size)

    def elements(self, label: str, count: int, where: Where) -> Array:
        values = Array(self._values.words(count, self.degree))
        return values + Array.of([next(self._pads)]) if count == 1 else values

    def require_zero(self, value: Value, code: str, where: Where, message: str) -> None:
        self.found.append(value)


@pytest.mark.parametrize("degree", [2, 3])
def test_constraints_on_pads_are_the_checks(degree: int) -> None:
    draw = Draw(3)
    zero = Ext.of(0, degree)
    plain = Reader(degree, [zero] * 10_000, hiding=False)
    pads = [Ext(draw.words(degree).tolist()) for _ in range(10_000)]
    padded = Reader(degree, pads, hiding=True)

    def value(unknown: tuple[int, int]) -> Ext:
        kind, number = unknown
        if kind == PAD:
            return pads[number]
        assert kind == PRODUCT
        (_, left), (_, right) = padded.products[number]
        return pads[left] * pads[right]

    found = []
    for form in padded.found:
        result = form.known
        for unknown, c in form.terms.items():
            result += c * value(unknown)
        found.append(result)
    assert len(found) == len(plain.found) > 40
    assert len(padded.products) > 60
    assert found[:-1] == plain.found[:-1]  # the last is of s, rho and u
