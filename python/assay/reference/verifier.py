"""The verifier of a proof's body, in the order of its messages (protocol, section 6).

    commitments            here
    segments               segment.py: (C.1) to (C.7); their sumchecks (S.1) and trees (L.1-2) in arguments.py
    tables, lookup sum     here: (L.3)
    bits                   security.py
    opening                opening.py: (O.1) to (O.4)

field.py, transcript.py, statement.py and functional.py hold what these are made of. A failing check raises
`VerificationError` with the code of the protocol's section 14, and the segment, relation and round at fault.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.reference.arguments import fraction_tree
from assay.reference.field import Ext, residues
from assay.reference.functional import Claim, Leaves, Part, bounds, full
from assay.reference.opening import verify_opening
from assay.reference.security import security_bits, security_terms
from assay.reference.segment import Fingerprint, SegmentVerifier
from assay.reference.statement import BLOCK, Plan, Statement, log_leaves
from assay.reference.transcript import Messages, Transcript, Where, require

_TABLES = Where(None, "tables")


@dataclass(frozen=True)
class Accepted:
    """The public totals of each segment, by name, and the bits of the statement."""

    totals: tuple[dict[str, int], ...]
    security_bits: float
    security_terms: dict[str, float]


def verify_body(statement: Statement, body: bytes) -> Accepted:
    """Checks a body; raises `VerificationError`, `MalformedError` if it is the statement that is refused."""
    plan = Plan(statement)
    m = Messages(body, Transcript(statement.encoded()), statement.degree)
    roots = [statement.weights.root, statement.boundaries.root]
    while len(roots) < len(plan.commitments):
        roots.append(m.bytes("root", 32, Where(None, "commitments")))
    fp = Fingerprint(m.challenge("lookup.alpha"), m.challenge("lookup.beta"))
    claims: list[Claim] = []
    shares, totals = Ext.of(0, statement.degree), []
    for segment, first_block, ids in zip(statement.segments, plan.first_block, plan.table_ids, strict=True):
        verifier = SegmentVerifier(m, segment, first_block, claims)
        shares += verifier.verify(ids, fp)
        totals.append(verifier.totals)
    require(
        shares == verify_tables(m, plan, fp, claims),
        "lookup.sum",
        Where(None, "lookup"),
        "a looked up value is not in its table",
    )  # (L.3)
    terms = security_terms(plan, len(claims))
    bits = security_bits(terms)
    require(
        bits >= statement.required_bits,
        "security.bits",
        Where(None, "profile"),
        "the proof gives fewer bits than its profile",
    )
    verify_opening(m, plan, roots, claims)
    m.finish()
    return Accepted(tuple(totals), bits, terms)


def verify_tables(m: Messages, plan: Plan, fp: Fingerprint, claims: list[Claim]) -> Ext:
    """The tree of the tables (protocol, section 10); returns its sum."""
    tree = fraction_tree(m, _TABLES, log_leaves(plan.table_blocks))
    leaves = Leaves.at(tree.z, m.degree)
    require(
        tree.q == denominator(plan, fp, leaves),
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
