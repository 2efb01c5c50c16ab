"""The opening: all claims against the roots of the commitments (protocol, section 12)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from assay.profiles import Code
from assay.reference.arguments import Shape, sumchecks
from assay.reference.field import Array, Ext, P, Residues, add, eq_vector, mul, total
from assay.reference.functional import Claim
from assay.reference.statement import LOG_BLOCK, Opened, Plan
from assay.reference.transcript import Messages, Where, canonical, reject, require

COLUMN_TAG, LEAF_TAG, INNER_TAG = b"\x02", b"\x01", b"\x03"
SALT, DIGEST = 16, 32
_OPENING = Where(None, "opening")
_STEP = 512  # coefficients of u taken together


def verify_opening(m: Messages, plan: Plan, roots: list[bytes], claims: list[Claim]) -> None:
    """(O.1) to (O.4)."""
    code = plan.statement.code
    point, value = reduction(m, plan, claims)
    u = combination(m, code, point, value)
    indices = m.transcript.indices("opening.columns", code.queries, code.length)
    columns = [
        read_commitment(m, c, root, indices, code.length)
        for c, root in zip(plan.commitments, roots, strict=True)
    ]
    symbols = np.concatenate(columns, axis=1)  # [queries, rows of the stack]
    rows = eq_vector(point[code.log_columns :], m.degree, plan.rows)
    combined = rows[None, :].times(symbols).sum(1)
    same = (evaluate_row(u, [code_point(code, j) for j in indices]).x == combined.x).all()
    require(bool(same), "opening.column", _OPENING, "a column does not match the combined row")  # (O.3)


def reduction(m: Messages, plan: Plan, claims: list[Claim]) -> tuple[list[Ext], Ext]:
    """(O.1): the point r, and v, the claimed value of M there."""
    gamma = m.challenge("opening.gamma")
    batched, power = Ext.of(0, m.degree), Ext.of(1, m.degree)
    for claim in claims:
        batched += claim.value * power
        power *= gamma
    shape = Shape("opening", 2, [None] * (LOG_BLOCK + plan.block_bits))
    point, (end,) = sumchecks(m, None, [shape], [batched])
    value = m.element("opening.value", _OPENING)
    require(
        end == value * combined_weight(claims, gamma, point),
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


def combination(m: Messages, code: Code, point: list[Ext], value: Ext) -> Array:
    """(O.2): u, whose first symbols have the claimed value."""
    u = m.elements("opening.u", code.message, _OPENING)
    cols = eq_vector(point[: code.log_columns], m.degree)
    require(
        (u[: 1 << code.log_columns] * cols).scalar() == value,
        "opening.combination",
        _OPENING,
        "the combined row does not have the opened value",
    )
    return u


def code_point(code: Code, j: int) -> int:
    """The point at which symbol j of a codeword is evaluated."""
    n = 1 << code.log_coset
    coset, i = divmod(j, n)
    reversed_bits = int(format(i, f"0{code.log_coset}b")[::-1], 2)
    root = pow(7, (P - 1) // n, P)
    return pow(2, 64 * (coset % 3), P) * pow(7, coset // 3, P) * pow(root, reversed_bits, P) % P


def evaluate_row(u: Array, points: list[int]) -> Array:
    """sum over k of u_k x^k at each point: Horner's rule, `_STEP` coefficients at a time."""
    degree = u.x.shape[-1]
    powers = np.array([list(_powers(x)) for x in points], np.uint64)
    coefficients = u.padded(-(-u.shape[0] // _STEP) * _STEP).x.reshape(-1, _STEP, degree)
    result: Residues = np.zeros((len(points), degree), np.uint64)
    for piece in coefficients[::-1]:
        added = total(mul(powers[:, :_STEP, None], piece[None]), 1)
        result = add(mul(result, powers[:, _STEP:]), added)
    return Array(result)


def _powers(x: int) -> Iterator[int]:
    """x^0 to x^_STEP."""
    return accumulate(range(_STEP), lambda power, _: power * x % P, initial=1)


# ---- columns and their digests (O.4) ----


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
            raw = m.take(8 * rows + SALT, where)
            column.append(canonical(raw[: 8 * rows], where))
            digests += _sha256(raw + COLUMN_TAG)
        leaves[j] = _sha256(digests + LEAF_TAG)
        symbols.append(np.concatenate([np.zeros(0, np.uint64), *column]))
    if climb(m, leaves, length, where) != root:
        reject("opening.merkle", where, "a column is not under the commitment's root")
    return np.array(symbols)


def climb(m: Messages, leaves: dict[int, bytes], width: int, where: Where) -> bytes:
    """From leaves to the root; digests that cannot be computed are read as they are needed."""
    level = leaves
    while width > 1:
        above: dict[int, bytes] = {}
        for i in sorted(level):
            if i // 2 in above:
                continue
            sibling = i ^ 1
            if sibling >= width:
                above[i // 2] = level[i]
                continue
            other = level[sibling] if sibling in level else m.take(DIGEST, where)
            pair = level[i] + other if i % 2 == 0 else other + level[i]
            above[i // 2] = _sha256(pair + INNER_TAG)
        level, width = above, -(-width // 2)
    return level[0]


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
