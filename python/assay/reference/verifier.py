"""The verifier of a proof's body, in the order of its messages (protocol, section 6).

    commitments            here
    segments               segment.py: (C.1) to (C.11); sumchecks (S.1) and trees (L.1-2) in arguments.py
    tables, lookup sum     here: (L.3)
    combination            opening.py: (O.1), (O.2)
    bits                   security.py
    answers on pads        tableau.py: (T.2), (T.3); if the proof hides
    columns                opening.py: (O.3), (O.4); tableau.py: (T.4)

field.py, padded.py, transcript.py, statement.py, functional.py, codewords.py and tableau_layout.py hold what
these are made of. A failing check raises `VerificationError` with the code of the protocol's section 14, and
the segment, relation and round at fault. In a hiding proof a check of values becomes a constraint that the
tableau settles with all others.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from assay.reference.arguments import fraction_tree
from assay.reference.field import Ext, residues
from assay.reference.functional import Claim, Leaves, Part, bounds, full
from assay.reference.opening import Combination, combine, verify_columns
from assay.reference.padded import Value
from assay.reference.plan import Plan
from assay.reference.security import security_bits, security_terms
from assay.reference.segment import Fingerprint, SegmentVerifier
from assay.reference.statement import BLOCK, Statement, log_leaves
from assay.reference.tableau import all_constraints, read_answers, verify_answers
from assay.reference.tableau_layout import Layout, layout
from assay.reference.transcript import Messages, Transcript, Where, require

_TABLES = Where(None, "tables")


@dataclass(frozen=True)
class Accepted:
    """What each segment puts out, by name, the bits of the statement, the number in the ledger.

    Totals are residues, outputs the signed integers of a wire's cells, row by row.
    """

    totals: tuple[dict[str, int], ...]
    outputs: tuple[dict[str, list[int]], ...]
    security_bits: float
    security_terms: dict[str, float]
    counter: int


@dataclass(frozen=True)
class Told:
    """All that was sent before the tableau's answers and the columns, and what it leaves to be shown."""

    counter: int
    roots: list[bytes]  # of the plan's commitments; if the proof hides, of the mask and the tableau
    totals: tuple[dict[str, int], ...]
    outputs: tuple[dict[str, list[int]], ...]
    combination: Combination
    tableau: Layout | None
    terms: dict[str, float]


def verify_body(statement: Statement, body: bytes, transcript: Transcript | None = None) -> Accepted:
    """Checks a body; raises `VerificationError`, or `MalformedError` if it is the statement that is refused.

    Another transcript than the statement's own is for tests: who knows its challenges has anything accepted.
    """
    plan, code = Plan(statement), statement.code
    require(len(body) >= plan.least_bytes, "format.truncated", Where(None, None), "the proof ends early")
    transcript = transcript or Transcript(statement.encoded(), hiding=statement.hiding)
    m = Messages(body, transcript, statement.degree, hiding=statement.hiding)
    told = verify_messages(m, plan)
    answers = None if told.tableau is None else read_answers(m, told.tableau)
    indices = transcript.indices("opening.columns", code.queries, code.length)
    if answers is None:
        verify_columns(m, plan, told.roots, told.combination, indices)
    else:
        own = transcript.indices("tableau.columns", answers.layout.queries, answers.layout.length)
        verify_columns(m, plan, told.roots, told.combination, indices)
        verify_answers(m, told.roots[-1], answers, own)
    m.finish()
    return Accepted(told.totals, told.outputs, security_bits(told.terms), told.terms, told.counter)


def verify_messages(m: Messages, plan: Plan) -> Told:
    """All messages up to u, and the bits."""
    statement = plan.statement
    (counter,) = struct.unpack("<Q", m.bytes("ledger.counter", 8, Where(None, "ledger")))
    roots = [c.root for c in statement.long_lived]
    while len(roots) < len(plan.commitments) + (2 if m.hiding else 0):
        roots.append(m.bytes("root", 32, Where(None, "commitments")))
    fp = Fingerprint(m.challenge("lookup.alpha"), m.challenge("lookup.beta"))
    claims: list[Claim] = []
    segments = verify_relations(m, plan, fp, claims)
    combination = combine(m, plan, claims)
    tableau = layout(statement.required_bits, m.pads, len(m.products)) if m.hiding else None
    terms = security_terms(plan, len(claims), tableau, len(all_constraints(m)))
    require(
        security_bits(terms) >= statement.required_bits,
        "security.bits",
        Where(None, "profile"),
        "the proof gives fewer bits than its profile",
    )
    totals, outputs = tuple(s.totals for s in segments), tuple(s.outputs for s in segments)
    return Told(counter, roots, totals, outputs, combination, tableau, terms)


def verify_relations(m: Messages, plan: Plan, fp: Fingerprint, claims: list[Claim]) -> list[SegmentVerifier]:
    """All segments, the tables, and the sum of both sides."""
    shares: Value = Ext.of(0, m.degree)
    segments = []
    places = zip(plan.statement.segments, plan.first_block, plan.table_ids, strict=True)
    for segment, first_block, ids in places:
        verifier = SegmentVerifier(m, segment, first_block, claims)
        shares += verifier.verify(ids, fp)
        segments.append(verifier)
    m.require_zero(
        shares - verify_tables(m, plan, fp, claims),
        "lookup.sum",
        Where(None, "lookup"),
        "a looked up value is not in its table",
    )  # (L.3)
    return segments


def verify_tables(m: Messages, plan: Plan, fp: Fingerprint, claims: list[Claim]) -> Value:
    """The tree of the tables (protocol, section 10); returns its sum."""
    tree = fraction_tree(m, _TABLES, log_leaves(plan.table_blocks))
    leaves = Leaves.at(tree.z, m.degree)
    m.require_zero(
        tree.q - denominator(plan, fp, leaves),
        "lookup.table",
        _TABLES,
        "the table side's denominators are wrong",
    )
    claims.append(Claim([multiplicities(plan, k, leaves) for k in range(len(plan.tables))], tree.p))
    return tree.fraction


def denominator(plan: Plan, fp: Fingerprint, leaves: Leaves) -> Ext:
    """q of the tables at z: alpha - id - beta (column 0) - beta^2 (column 1) - ... at rows, 1 elsewhere."""
    result = Ext.of(1, len(fp.alpha.c))
    for k, (table, first) in enumerate(zip(plan.tables, plan.table_starts, strict=True)):
        columns = [np.ones(table.rows), table.start + np.arange(table.rows), *table.images]
        exists, *sums = [_weighted(leaves, first, column) for column in columns]
        result += exists * (fp.alpha - (k + 1)) - exists
        power = fp.beta
        for s in sums:
            result -= power * s
            power *= fp.beta
    return result


def _weighted(leaves: Leaves, first: int, column: np.ndarray) -> Ext:
    """sum over r of eq(z, 128 first + r) column[r]."""
    blocks = -(-len(column) // BLOCK)
    values = residues(np.pad(column, (0, blocks * BLOCK - len(column)))).reshape(blocks, BLOCK)
    return (leaves.low[None, :].times(values).sum(1) * leaves.high[first : first + blocks]).scalar()


def multiplicities(plan: Plan, k: int, leaves: Leaves) -> Part:
    """The committed multiplicities of a table's rows, with the weights of its leaves."""
    d, first = full(1, plan.tables[k].rows), plan.table_starts[k]
    one = Ext.of(1, leaves.low.x.shape[-1])
    blocks = -(-d.cols // BLOCK)
    return Part(bounds(d), leaves.weights(first, d), one, ((1, plan.multiplicities + first),), (1, blocks))
