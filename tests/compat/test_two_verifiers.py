"""The extension and the reference verifier accept what is honest, and refuse all else at the same check."""

from __future__ import annotations

import random
from functools import lru_cache
from itertools import islice

import pytest
from mutations import Honest, changed
from tiny_prover import Outcome, Tiny
from two_segments import CODE, TwoSegments

from assay import _core
from assay.profiles import Code
from assay.reference import MalformedError, transcript
from assay.reference.codewords import code_point
from assay.reference.field import Array, Ext, P
from assay.reference.plan import Plan
from assay.reference.statement import MAX_BITS

PLAIN = {
    "format.truncated",
    "format.trailing",
    "format.field",
    "sumcheck.einsum",
    "sumcheck.product",
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
HIDING = {
    "format.truncated",
    "format.trailing",
    "format.field",
    "security.bits",
    "tableau.linear",
    "tableau.products",
    "opening.column",
    "opening.merkle",
    "tableau.merkle",
}  # (T.4): tests/hiding/test_plain_prover.py
SEEN: dict[bool, set[str]] = {False: set(), True: set()}


@lru_cache
def statement(degree: int, hiding: bool = False) -> TwoSegments:
    return TwoSegments(degree, hiding=hiding)


@lru_cache
def proof(degree: int, hiding: bool = False) -> Honest:
    return Honest(statement(degree, hiding))


@lru_cache
def tiny(degree: int, hiding: bool) -> tuple[Tiny, Honest]:
    case = Tiny(degree, hiding=hiding)
    return case, Honest(case)


def honest(degree: int) -> bytes:
    return proof(degree).body


def agree(s: TwoSegments | Tiny, body: bytes) -> Outcome:
    """What both verifiers say."""
    core, reference = s.outcomes(body)
    assert core == reference
    SEEN[s.hiding].add(core[0])
    return core


# ---- mutations ----


def check_mutations(s: TwoSegments | Tiny, honest: Honest, count: int, part: int = 0, parts: int = 1) -> None:
    """One part of so many mutations."""
    outcomes = [(body, agree(s, body)) for body in islice(honest.every(count), part, None, parts)]
    assert all(body == honest.body for body, outcome in outcomes if outcome[0] == "accepted")
    assert len(outcomes) >= count // parts - 2


@pytest.mark.parametrize("hiding", [False, True])
@pytest.mark.parametrize("degree", [2, 3])
def test_an_honest_proof_is_accepted(degree: int, hiding: bool) -> None:
    s = statement(degree, hiding)
    assert agree(s, proof(degree, hiding).body)[0] == "accepted"
    assert agree(s, s.prove(counter=2**64 - 1))[-1] == 2**64 - 1


@pytest.mark.parametrize("hiding", [False, True])
@pytest.mark.parametrize(("degree", "count"), [(2, 24), (3, 40)])
def test_mutations(degree: int, count: int, hiding: bool) -> None:
    check_mutations(statement(degree, hiding), proof(degree, hiding), count)


@pytest.mark.parametrize("hiding", [False, True])
def test_mutations_of_a_tiny_statement(hiding: bool) -> None:
    check_mutations(*tiny(3, hiding), 60)


@pytest.mark.slow
@pytest.mark.parametrize("hiding", [False, True])
@pytest.mark.parametrize("degree", [2, 3])
def test_a_thousand_mutations(degree: int, hiding: bool) -> None:
    check_mutations(*tiny(degree, hiding), 1000)


# ---- provers that cheat, and messages that fit each other ----


def test_broken_witnesses() -> None:
    for hiding in (False, True):
        s = statement(3, hiding)
        for name, (row, col) in s.corruptible()[:: 8 if hiding else 4]:
            outcome = agree(s, s.prove(self_check=False, corrupt={name: [(row, col, 1)]}))
            assert outcome[0] != "accepted", name
            assert outcome[:3] == ("tableau.linear", None, "tableau") or not hiding


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


@pytest.mark.parametrize("hiding", [False, True])
def test_another_row_than_the_committed_one(hiding: bool) -> None:
    """Columns and root are of one matrix, the combined row of one that differs in a cell nobody reads."""
    s = TwoSegments(3, hiding=hiding)
    s.weights.keep_codeword(1)
    _, array, cols = s.weights.parts[1][0]
    array[0, cols] = 1  # padding
    assert agree(s, s.prove())[:3] == ("opening.column", None, "opening")


def test_more_bits_than_there_are() -> None:
    bits = agree(statement(3), honest(3))[-2]
    for s in (TwoSegments(3, bits + 0.001), TwoSegments(3, MAX_BITS), TwoSegments(3, 25.0, hiding=True)):
        assert agree(s, s.prove(self_check=False)) == ("security.bits", None, "profile", None)


def test_statements_that_both_refuse() -> None:
    for bits in (-0.5, MAX_BITS + 1.0, float("inf"), float("nan")):
        s = TwoSegments(3, bits)
        with pytest.raises(_core.Malformed, match="so many bits"):
            s.core()
        with pytest.raises(MalformedError, match="so many bits"):
            Plan(s.reference)


def last_nodes(segment: str | None, relation: str) -> tuple[list[int], list[Ext], Ext]:
    """Places and values of the last four nodes of a tree, and the last lambda before them."""
    trace = proof(3).trace
    places = [
        (number, at)
        for number, (at, size, where) in enumerate(trace.messages)
        if (where.segment, where.relation) == (segment, relation) and size == 24
    ][-4:]
    body = honest(3)
    values = [
        Ext([int.from_bytes(body[at + k : at + k + 8], "little") for k in (0, 8, 16)]) for _, at in places
    ]
    drawn = [v for n, label, v in trace.drawn if label == "lookup.lambda" and n <= places[0][0]]
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
        whole = [m for m in proof(3).trace.messages if (m[2].segment, m[2].relation) == (segment, relation)]
        roots = [at for at, _, where in whole if where.round is None][:4]
        codes = [agree(statement(3), changed(honest(3), at, bytes(24)))[0] for at in roots]
        assert codes == ["lookup.root", "lookup.denominator", "lookup.denominator", "lookup.root"]


def test_another_combination_of_rows() -> None:
    """A coefficient of u that is a message symbol."""
    (at,) = (at for at, size, _ in proof(3).trace.messages if size == 8 * 3 * CODE.message)
    outcome = agree(statement(3), changed(honest(3), at, bytes(8)))
    assert outcome == ("opening.combination", None, "opening", None)


def test_every_check_was_reached() -> None:
    """By the tests above, if all of them ran."""
    if "opening.combination" not in SEEN[False]:
        pytest.skip("the mutations were left out")
    assert SEEN[False] >= PLAIN
    assert SEEN[True] >= HIDING


# ---- what both derive ----


def test_the_check_values_of_the_specification() -> None:
    """docs/spec/protocol.md, section 3; docs/spec/commitment.md."""
    plain, t = (transcript.Transcript(b"abc", hiding=hiding) for hiding in (False, True))
    assert plain.session_id.hex() == "6f4f89a21acda4acc3313ff6e46fa2b23b25a36aaccde72f93bc0416cc1250b6"
    assert t.session_id.hex() == "57e81396d4b55dc50964486d3fbd2cd80fec7fe29fc826984ad165ed70c0592a"
    t.frame(transcript.BYTES, "root", bytes(range(32)))
    expected = (0x8F912D88E575C2AF, 0x185BD1E3BE035A35, 0x92EBE97083EC5912)
    assert t.challenge("lookup.alpha", 3).c == expected
    assert t.indices("opening.columns", 5, 524288) == [188448, 262321, 265116, 281985, 358697]
    points = [code_point(Code(queries=1), j) for j in (0, 1, 262144, 262147, 524287)]
    assert points == [1, 18446744069414584320, 4294967295, 65536, 4578918190856433210]


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
