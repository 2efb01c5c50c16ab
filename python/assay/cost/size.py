"""How large a proof is.

All lengths follow from the statement but the siblings of Merkle openings, which depend on the columns that
are drawn, and the file around the body: those are expected values. Terms as in docs/spec/proof-format.md,
"Size of the body".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from assay.cost.circuits import Messages
from assay.cost.statement import Counts, Opened
from assay.profiles import Code

_DIGEST, _SALT, _SYMBOL = 32, 16, 8
_MASKS, _EXPANSION, _MARGIN = 3, 8, 4  # of the tableau (protocol, section 13)
_KAPPA = range(6, 17)


@dataclass(frozen=True, slots=True)
class Tableau:
    """Its K, its queries Q_t and its R rows."""

    slots: int
    queries: int
    rows: int

    @property
    def elements(self) -> int:
        """Elements of E that a proof spends on it."""
        return self.queries * (self.rows + _MASKS) + 5 * self.slots


def tableau(bits: float, messages: Messages) -> Tableau:
    """That of the least cost."""
    found = []
    for slots in (1 << kappa for kappa in _KAPPA):
        queries = _queries(slots, bits + _MARGIN)
        if queries is not None:
            message = slots - queries
            rows = -(-messages.elements // message) + 3 * -(-messages.products // message)
            found.append(Tableau(slots, queries, rows))
    return min(found, key=lambda t: t.elements)


def _queries(slots: int, bits: float) -> int | None:
    """The least number of columns that gives these bits, if half the slots are enough."""
    reached, agree, length = 0.0, 5 * slots, _EXPANSION * slots
    for q in range(slots // 2 + 1):
        if q and reached >= bits:
            return q
        reached -= math.log2((agree - q) / (length - q))
    return None


def siblings(length: int, queries: int) -> float:
    """Expected digests of a Merkle opening of so many leaves at random columns.

    A node is known if a column below it is. Of two that share a parent and of which one is known, the other
    is sent.
    """
    levels = range(math.ceil(math.log2(length)) + 1)
    widths = [2.0**i / length for i in levels]
    known = [(1 - (1 - width) ** queries) / width for width in widths]
    return sum(2 * above - below for below, above in pairwise(known))


def body_bytes(counts: Counts) -> int:
    """The prover's messages."""
    return round(sum(body_parts(counts).values()))


def body_parts(counts: Counts) -> dict[str, float]:
    """The same by what they are for; all but `siblings` are exact."""
    code, element = counts.code, 8 * counts.profile.degree
    at = tableau(counts.profile.bits, counts.messages)
    columns = at.queries * ((at.rows + _MASKS) * element + _SALT)
    paths = siblings(code.length, code.queries) * (len(counts.commitments) + 1)
    return {
        "messages": 8 + 3 * _DIGEST + element * counts.messages.elements + counts.messages.clear,
        "combination": code.message * element,
        "columns": _columns(counts.commitments, code),
        "mask and tableau": 5 * element * at.slots + columns + code.queries * (element + _SALT),
        "siblings": _DIGEST * (paths + siblings(_EXPANSION * at.slots, at.queries)),
    }


def _columns(commitments: Iterable[Opened], code: Code) -> int:
    return code.queries * sum(_SYMBOL * c.rows + _SALT * c.parts + _DIGEST * c.others for c in commitments)


def proof_bytes(counts: Counts) -> int:
    """The file."""
    return body_bytes(counts) + counts.statement_bytes
