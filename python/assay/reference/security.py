"""The bits of a statement (protocol, section 11): errors as in docs/spec/soundness.md, -log2 of their sum."""

from __future__ import annotations

import math

from assay.reference.circuit import Circuit
from assay.reference.functional import bounds
from assay.reference.plan import Plan
from assay.reference.segment import einsum_bits, output_bits
from assay.reference.statement import LOG_BLOCK, blocks_of, log2c, log_leaves, lookup_trees
from assay.reference.tableau_layout import Layout, query_bits

_COORDINATE_BITS = 63.9999999  # log2 p, rounded down
_WIDEST_FINGERPRINT = 5  # degree in beta
_SUMCHECK_DEGREE = 3


def security_terms(plan: Plan, claims: int, tableau: Layout | None, constraints: int) -> dict[str, float]:
    """Each error as -log2; `constraints` are all that the tableau settles."""
    s = plan.statement
    circuits = [g.circuit for g in s.segments]
    rows = sum(t.rows for t in plan.tables)
    looked_up = [[d for _, _, d, _ in c.lookups] for c in circuits]
    blocks = [sum(map(blocks_of, d[a:b])) for d in looked_up for a, b in lookup_trees(d)]
    layers = [log_leaves(b) for b in (*blocks, plan.table_blocks)]
    errors = {  # times |E|
        "opening: proximity gap": (log2c(plan.rows) + 1) * s.code.length,
        "opening: claim batching": claims,
        "opening: reduction sumcheck": 2 * (LOG_BLOCK + plan.block_bits),
        "relations: output point": sum(sum(output_bits(c)) for c in circuits),
        "relations: batching": sum(len(polys) for c in circuits for _, _, polys in c.zero_checks),
        "relations: sumchecks": sum(map(_rounds, circuits)) * (_SUMCHECK_DEGREE + 1),
        "lookups: fingerprints": (sum(map(_lookups, circuits)) + rows) * (_WIDEST_FINGERPRINT + 1),
        "lookups: trees": 4 * sum(n * n for n in layers),
    }
    agree = (s.code.length + s.code.message) / 2
    bits = {"opening: queries": query_bits(agree, s.code.length, s.code.queries)}
    bits |= _over_field(errors, s.degree)
    return bits if tableau is None else {**bits, **_tableau_terms(tableau, constraints, s.degree)}


def _tableau_terms(at: Layout, constraints: int, degree: int) -> dict[str, float]:
    """Of hiding proofs alone."""
    errors = {  # times |E|
        "tableau: proximity gap": 2 * (log2c(at.rows) + 1) * at.length,
        "tableau: constraints": constraints,
        "tableau: products": at.product_rows,
    }
    return {
        "tableau: queries": query_bits(5 * at.slots, at.length, at.queries),
        **_over_field(errors, degree),
    }


def _over_field(errors: dict[str, int], degree: int) -> dict[str, float]:
    field = degree * _COORDINATE_BITS
    return {name: field - math.log2(n) if n else field for name, n in errors.items()}


def security_bits(terms: dict[str, float]) -> float:
    """-log2 of the sum."""
    return -math.log2(sum(2.0**-bits for bits in terms.values()))


def _rounds(c: Circuit) -> int:
    """Rounds of all sumchecks but those of trees."""
    zero = sum(log2c(d.rows) + log2c(d.cols) for _, d, _ in c.zero_checks)
    return zero + sum(sum(einsum_bits(c, e)) for e in c.einsums)


def _lookups(c: Circuit) -> int:
    return sum(int((last - first).sum()) for _, _, d, _ in c.lookups for first, last in [bounds(d)])
