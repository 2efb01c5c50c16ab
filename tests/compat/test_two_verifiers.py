"""The extension and the reference verifier accept what is honest, and refuse all else at the same check."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from typing import Any

import pytest
from two_segments import CODE, Outcome, TwoSegments

from assay.profiles import Code
from assay.reference import transcript, verify_body
from assay.reference.field import Array, Ext, P
from assay.reference.opening import code_point

CODES = {
    "format.truncated",
    "format.trailing",
    "format.field",
    "sumcheck.einsum",
    "sumcheck.zero",
    "lookup.denominator",
    "lookup.root",
    "lookup.layer",
    "lookup.numerator",
    "lookup.table",
    "lookup.sum",
    "security.bits",
    "opening.reduction",
    "opening.combination",
    "opening.column",
    "opening.merkle",
}
SEEN: set[str] = set()


@lru_cache
def statement(degree: int) -> TwoSegments:
    return TwoSegments(degree)


@lru_cache
def honest(degree: int) -> bytes:
    return statement(degree).prove()


@dataclass
class Trace:
    """What an honest run reads and draws: (place, size, where) of messages, and challenges."""

    messages: list[tuple[int, int, transcript.Where]] = field(default_factory=list)
    drawn: list[tuple[int, str, Ext]] = field(default_factory=list)  # messages before it, label, value


@lru_cache
def trace(degree: int) -> Trace:
    """Of the honest proof."""
    out = Trace()
    take, challenge = transcript.Messages.take, transcript.Messages.challenge

    def noted_take(m: Any, size: int, where: transcript.Where) -> bytes:
        out.messages.append((m._at, size, where))
        return take(m, size, where)

    def noted_challenge(m: Any, label: str) -> Ext:
        value = challenge(m, label)
        out.drawn.append((len(out.messages), label, value))
        return value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcript.Messages, "take", noted_take)
        patch.setattr(transcript.Messages, "challenge", noted_challenge)
        verify_body(statement(degree).pair[1], honest(degree))
    return out


def agree(s: TwoSegments, body: bytes) -> Outcome:
    """What both verifiers say."""
    core, reference = s.outcomes(body)
    assert core == reference
    SEEN.add(core[0])
    return core


# ---- mutations ----


def changed(body: bytes, at: int, new: bytes) -> bytes:
    return body[:at] + new + body[at + len(new) :]


def by_section(degree: int) -> list[list[tuple[int, int]]]:
    """Places of messages, those of one kind and relation together."""
    sections: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    for at, size, where in trace(degree).messages:
        key = (where.segment, where.relation, where.round is None, size)
        sections.setdefault(key, []).append((at, size))
    return list(sections.values())


def mutations(degree: int, count: int) -> Iterator[bytes]:
    """Round after round over all sections: a flipped bit, an element not below p, two messages swapped."""
    draw, body, sections = random.Random(degree), honest(degree), by_section(degree)
    for number in range(count):
        section = sections[number % len(sections)]
        at, size = draw.choice(section)
        kind = number // len(sections) % 3
        if kind == 1 and size % 8 == 0:
            yield changed(
                body, at + 8 * draw.randrange(size // 8), (P + draw.randrange(4)).to_bytes(8, "little")
            )
        elif kind == 2 and len(section) > 1:
            other, _ = draw.choice(section)
            one, two = body[at : at + size], body[other : other + size]
            yield changed(changed(body, at, two), other, one)
        else:
            place = at + draw.randrange(size)
            yield changed(body, place, bytes([body[place] ^ 1 << draw.randrange(8)]))


def lengths(degree: int, count: int) -> Iterator[bytes]:
    """Cut at messages and inside them; a byte too many."""
    draw, body = random.Random(degree), honest(degree)
    yield from (b"", body[:-1], body + b"\0", body + body)
    for at, size, _ in draw.sample(trace(degree).messages, count // 2):
        yield body[:at]
        yield body[: at + draw.randrange(size)]


def check_mutations(degree: int, count: int, part: int = 0, parts: int = 1) -> None:
    """One part of so many mutations."""
    bodies = chain(mutations(degree, count), lengths(degree, count // 4))
    outcomes = [(body, agree(statement(degree), body)) for body in islice(bodies, part, None, parts)]
    assert all(body == honest(degree) for body, outcome in outcomes if outcome[0] == "accepted")
    assert len(outcomes) >= count // parts


@pytest.mark.parametrize("degree", [2, 3])
def test_an_honest_proof_is_accepted(degree: int) -> None:
    assert agree(statement(degree), honest(degree))[0] == "accepted"


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize(("degree", "count"), [(2, 80), (3, 120)])
def test_mutations(degree: int, count: int, part: int) -> None:
    check_mutations(degree, count, part, 3)


@pytest.mark.slow
@pytest.mark.parametrize("degree", [2, 3])
def test_a_thousand_mutations(degree: int) -> None:
    check_mutations(degree, 500)


# ---- provers that cheat, and messages that fit each other ----


def test_broken_witnesses() -> None:
    s = statement(3)
    for name, (row, col) in s.corruptible()[::4]:
        outcome = agree(s, s.prove(self_check=False, corrupt={name: [(row, col, 1)]}))
        assert outcome[0] != "accepted", name


@pytest.mark.slow
def test_every_broken_witness() -> None:
    s = statement(2)
    for name, (row, col) in s.corruptible():
        outcome = agree(s, s.prove(self_check=False, corrupt={name: [(row, col, -1)]}))
        assert outcome[0] != "accepted", name


def test_a_wrong_multiplicity() -> None:
    s = statement(3)
    body = s.prove(self_check=False, corrupt={"multiplicities": [(0, 3, 1)]})
    assert agree(s, body)[:3] == ("lookup.sum", None, "lookup")


def test_another_row_than_the_committed_one() -> None:
    """Columns and root are of one matrix, the combined row of one that differs in a cell nobody reads."""
    s = TwoSegments(3)
    s.weights.keep_codeword(1)
    _, array, cols = s.weights.parts[1][0]
    array[0, cols] = 1  # padding
    assert agree(s, s.prove())[:3] == ("opening.column", None, "opening")


def test_more_bits_than_there_are() -> None:
    bits = agree(statement(3), honest(3))[2]
    for required in (bits + 0.001, float("inf")):
        s = TwoSegments(3, required)
        assert agree(s, s.prove(self_check=False)) == ("security.bits", None, "profile", None)


def last_nodes(segment: str | None, relation: str) -> tuple[list[int], list[Ext], Ext]:
    """Places and values of the last four nodes of a tree, and the last lambda before them."""
    places = [
        (number, at)
        for number, (at, size, where) in enumerate(trace(3).messages)
        if (where.segment, where.relation) == (segment, relation) and size == 24
    ][-4:]
    body = honest(3)
    values = [
        Ext([int.from_bytes(body[at + k : at + k + 8], "little") for k in (0, 8, 16)]) for _, at in places
    ]
    drawn = [v for n, label, v in trace(3).drawn if label == "lookup.lambda" and n <= places[0][0]]
    return [at for _, at in places], values, drawn[-1]


def with_elements(places: list[int], values: list[Ext]) -> bytes:
    body = honest(3)
    for at, value in zip(places, values, strict=True):
        body = changed(body, at, b"".join(c.to_bytes(8, "little") for c in value.c))
    return body


@pytest.mark.parametrize("segment", ["first", "second"])
def test_numerators_that_are_not_one(segment: str) -> None:
    places, (pa, pb, qa, qb), _ = last_nodes(segment, "lookup")
    outcome = agree(statement(3), with_elements(places, [pa + qa, pb - qb, qa, qb]))
    assert outcome == ("lookup.numerator", segment, "lookup", None)


def test_denominators_of_other_tables() -> None:
    places, (pa, pb, qa, qb), mix = last_nodes(None, "tables")
    moved = pa - pb * qb.inverse() - mix
    outcome = agree(statement(3), with_elements(places, [moved, pb, qa + 1, qb]))
    assert outcome == ("lookup.table", None, "tables", None)


def test_roots_of_trees() -> None:
    """P, Q, I and f of each tree, one at a time."""
    for segment, relation in (("first", "lookup"), ("second", "lookup"), (None, "tables")):
        whole = [m for m in trace(3).messages if (m[2].segment, m[2].relation) == (segment, relation)]
        roots = [at for at, _, where in whole if where.round is None][:4]
        codes = [agree(statement(3), changed(honest(3), at, bytes(24)))[0] for at in roots]
        assert codes == ["lookup.root", "lookup.denominator", "lookup.denominator", "lookup.root"]


def test_every_check_was_reached() -> None:
    """By the tests above, if all of them ran."""
    if "opening.combination" not in SEEN:
        pytest.skip("the mutations were left out")
    assert CODES <= SEEN


# ---- what both derive ----


def test_the_check_values_of_the_specification() -> None:
    """docs/spec/protocol.md, section 3; docs/spec/commitment.md."""
    t = transcript.Transcript(b"abc")
    assert t.session_id.hex() == "690ad4cf739356ffce76f887417159375b1847caf33f29aacc885b4fe35d8cbb"
    t.frame(transcript.BYTES, "root", bytes(range(32)))
    expected = (0x3AB82621F44E9673, 0x9374196972AB6890, 0x9AD26CB2B55EA419)
    assert t.challenge("lookup.alpha", 3).c == expected
    assert t.indices("opening.columns", 5, 393216) == [98964, 122712, 165109, 204885, 278825]
    points = [code_point(Code(queries=1), j) for j in (0, 1, 131072, 262147, 393215)]
    assert points == [1, 18446744069414584320, 4294967295, 281474976645120, 8875867438959188569]


@pytest.mark.parametrize("degree", [2, 3])
def test_arrays_and_elements_compute_alike(degree: int) -> None:
    """Residues at the edges of every carry, and random ones."""
    draw = random.Random(degree)
    edges = [0, 1, P - 1, P - 2, 2**32 - 1, 2**32, 2**32 + 1, 2**63, P - 2**32, 7, 2]
    values = [Ext([draw.choice(edges) for _ in range(degree)]) for _ in range(400)]
    values += [Ext([draw.randrange(P) for _ in range(degree)]) for _ in range(400)]
    others = draw.sample(values, len(values))
    a, b = Array.of(values), Array.of(others)
    pairs = list(zip(values, others, strict=True))
    assert (a + b).x.tolist() == [list((x + y).c) for x, y in pairs]
    assert (a - b).x.tolist() == [list((x - y).c) for x, y in pairs]
    assert (a * b).x.tolist() == [list((x * y).c) for x, y in pairs]
    assert a.scalar().c == tuple(sum(x.c[k] for x in values) % P for k in range(degree))
    assert all(x * x.inverse() == Ext.of(1, degree) for x in values if any(x.c))
    assert Ext.of(0, degree).inverse() == Ext.of(0, degree)


def test_impossible_codes_have_the_same_reason() -> None:
    draw = random.Random(0)
    for _ in range(400):
        code = Code(
            log_columns=draw.randrange(5, 27),
            random=draw.choice([0, 256, 1 << 15, 1 << 24]),
            log_coset=draw.randrange(0, 27),
            cosets=draw.randrange(0, 18),
            queries=draw.choice([0, 1, 200, 1 << 20]),
        )
        assert code.invalid_reason() == code.core().invalid_reason()
    assert CODE.invalid_reason() == ""
