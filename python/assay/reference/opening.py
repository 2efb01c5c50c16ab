"""The opening: all claims against the roots of the commitments (protocol, section 12)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.reference.arguments import Shape, sumchecks
from assay.reference.codewords import DIGEST, SALT, climb, code_point, evaluate_row, sha256
from assay.reference.field import Array, Ext, Residues, eq_vector
from assay.reference.functional import Claim
from assay.reference.padded import Value
from assay.reference.plan import Opened, Plan
from assay.reference.statement import LOG_BLOCK
from assay.reference.transcript import Messages, Where, canonical, reject, require

LEAF_TAG, PART_TAG, MASK_TAG = b"\x01", b"\x02", b"\x04"
_OPENING, _MASK = Where(None, "opening"), Where(None, "mask")


@dataclass(frozen=True)
class Combination:
    """u = rho eq(rows)^T M + g; without a mask rho is 1."""

    u: Array
    rows: list[Ext]
    rho: Ext


def combine(m: Messages, plan: Plan, claims: list[Claim]) -> Combination:
    """(O.1), (O.2)."""
    code = plan.statement.code
    point, value = reduction(m, plan, claims)
    rho = Ext.of(1, m.degree)
    if m.hiding:
        masked = m.element("opening.mask", _OPENING)
        rho = m.challenge("opening.rho")
        value = value * rho + masked
    u = m.elements("opening.u", code.message, _OPENING)
    cells = 1 << code.log_columns
    found = (u[:cells] * eq_vector(point[: code.log_columns], m.degree)).scalar()
    m.require_zero(
        value - found, "opening.combination", _OPENING, "the combined row does not have the opened value"
    )  # (O.2)
    return Combination(u, point[code.log_columns :], rho)


def reduction(m: Messages, plan: Plan, claims: list[Claim]) -> tuple[list[Ext], Value]:
    """(O.1): the point r, and v, the claimed value of M there."""
    gamma = m.challenge("opening.gamma")
    batched: Value = Ext.of(0, m.degree)
    power = Ext.of(1, m.degree)
    for claim in claims:
        batched += claim.value * power
        power *= gamma
    shape = Shape("opening", 2, [None] * (LOG_BLOCK + plan.block_bits))
    point, (end,) = sumchecks(m, None, [shape], [batched])
    value = m.element("opening.value", _OPENING)
    m.require_zero(
        end - value * combined_weight(claims, gamma, point),
        "opening.reduction",
        _OPENING,
        "the claims do not reduce to the opened value",
    )
    return point, value


def combined_weight(claims: list[Claim], gamma: Ext, point: list[Ext]) -> Ext:
    """B(r) = sum over cells of B(cell) eq(r, cell)."""
    degree = len(gamma.c)
    low, high = eq_vector(point[:LOG_BLOCK], degree), eq_vector(point[LOG_BLOCK:], degree)
    result, power = Ext.of(0, degree), Ext.of(1, degree)
    for claim in claims:
        for part in claim.parts:
            result += part.evaluate(low, high) * power
        power *= gamma
    return result


# ---- columns ----


def verify_columns(
    m: Messages, plan: Plan, roots: list[bytes], opened: Combination, indices: list[int]
) -> None:
    """(O.3), (O.4)."""
    code = plan.statement.code
    columns = [
        read_commitment(m, c, root, indices, code.length)
        for c, root in zip(plan.commitments, roots, strict=False)
    ]
    symbols = np.concatenate(columns, axis=1)  # [queries, rows of the stack]
    rows = eq_vector(opened.rows, m.degree, plan.rows)
    combined = rows[None, :].times(symbols).sum(1) * opened.rho
    if m.hiding:
        combined += read_mask(m, roots[len(plan.commitments)], indices, code.length)
    same = (evaluate_row(opened.u, [code_point(code, j) for j in indices]).x == combined.x).all()
    require(bool(same), "opening.column", _OPENING, "a column does not match the combined row")  # (O.3)


def read_commitment(m: Messages, c: Opened, root: bytes, indices: list[int], length: int) -> Residues:
    """The symbols of all opened parts, [queries, rows], once they are known to be under the root."""
    where = Where(None, c.name)
    symbols, leaves = [], {}
    for j in indices:
        column, digests = [], b""
        for rows, opened in zip(c.part_rows, c.opened, strict=True):
            if not opened:
                digests += m.take(DIGEST, where)
                continue
            raw = m.take(8 * rows, where)
            column.append(canonical(raw, where))
            digests += sha256(raw + m.take(SALT, where) + PART_TAG)
        leaves[j] = sha256(digests + LEAF_TAG)
        symbols.append(np.concatenate([np.zeros(0, np.uint64), *column]))
    _under(m, leaves, length, root, where)
    return np.array(symbols)


def read_mask(m: Messages, root: bytes, indices: list[int], length: int) -> Array:
    """g at the points of these columns."""
    symbols, leaves = [], {}
    for j in indices:
        raw = m.take(8 * m.degree, _MASK)
        symbols.append(canonical(raw, _MASK))
        leaves[j] = sha256(raw + m.take(SALT, _MASK) + MASK_TAG)
    _under(m, leaves, length, root, _MASK)
    return Array(np.array(symbols))


def _under(m: Messages, leaves: dict[int, bytes], length: int, root: bytes, where: Where) -> None:
    """(O.4): the leaves belong to the root."""
    if climb(m, leaves, length, where) != root:
        reject("opening.merkle", where, "a column is not under the commitment's root")
