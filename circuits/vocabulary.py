"""Logits of one piece of the vocabulary, and what they add to a distance.

h = head.input [P, hidden] is ranged here, E [V_p, hidden] is the piece of the embedding.

    (VOC.1)  h = l_0 + 2^16 l_1, l_0 in 16 bits, l_1 in 4 signed bits
    (VOC.2)  x = clamp16(round(h E^T / 2^s)), then soft-capped if the model does so    CLAMP.1-4, CAP.1
    (VOC.3)  (m[i] - x[i, v], e[i, v], z[i, v]) in EXP,  24 fraction bits, c = 2^-f         EXP.1
    (VOC.4)  (x[i, v] - tau[i], u[i, v]) in RELU: rows (k, max(k, 0)), -2^16 <= k < 2^16
    (VOC.5)  mass.p[i] = sum_v e,   zeros.p[i] = sum_v z,   excess.p[i] = sum_v u
    (VOC.6)  exp.p[i, k] = e[i, id],  logit.p[i, k] = x[i, id],  0 for an id of another piece

m and tau are int16, ranged here, so that every honest key is in its table. The statement of logits names few
ids, and needs no other logits: it takes the rows R of the ids from the piece first,

    (VOC.7)  R[n] = E[row n],   x = (VOC.2) for R,   logits[i, k] = x[i, column of id], a public output

Lookups for each logit of a piece: limbs of the remainder (one if s <= 16), lo and hi of the clamp, EXP and
RELU, and one more for a soft cap.

Bounds: |h E^T| <= hidden 2^34. m - x and x - tau are differences of int16 values. e <= 2^24 and u < 2^16, so
that 2^18 logits have a mass of at most 2^42 and an excess below 2^34.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from assay.circuits import head
from assay.circuits.exponential import exp_table
from assay.circuits.head import EXP_BITS, LOGIT, Share
from assay.circuits.rounding import rounded
from assay.circuits.soft_cap import soft_cap

from assay.graph import Builder, Domain, Poly, PublicTable, Table, Wire

LOGIT_BITS = 16
_RELU_REACH = 1 << 16

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LogitScale:
    """The shift of (VOC.2), the logits' fraction, and the cap if there is one."""

    shift: int
    fraction: int
    cap: float | None

    @property
    def rate(self) -> Fraction:
        """c of (VOC.3): the distribution at temperature 1."""
        return Fraction(2) ** -self.fraction


@lru_cache(maxsize=1)
def relu_table() -> Table:
    """RELU of (VOC.4)."""
    return Table.function("relu", -_RELU_REACH, 2 * _RELU_REACH, lambda k: [np.maximum(k, 0)])


def logits(b: Builder, h: Wire, rows: Wire, scale: LogitScale) -> Wire:
    """x [P, rows] of (VOC.2)."""
    x = rounded(b, "head", b.product_nt(h, rows), scale.shift, LOGIT_BITS)
    return x if scale.cap is None else soft_cap(b, "soft_cap", x, cap=scale.cap, fraction_bits=scale.fraction)


def named_logits(b: Builder, h: Wire, piece: Wire, rows: Ids, scale: LogitScale) -> None:
    """The output "logits" [P, K] of (VOC.7) at `rows` of the piece, 0 where a row is -1."""
    named = np.unique(rows[rows >= 0])
    named = named if named.size else np.array([-1])
    index = b.public("named", named.reshape(1, -1))
    taken = b.commit("rows", b.value(piece.gather(index), Domain(named.size, piece.cols)))
    x = logits(b, h, taken, scale)
    columns = np.where(rows >= 0, np.searchsorted(named, rows), -1)
    out = b.tensor("logits", x.rows, rows.shape[1], LOGIT)
    b.output("logits", _picked(b, "named.logits", x, b.public("columns", columns), out))


def distance_share(b: Builder, h: Wire, piece: Wire, rows: Ids, scale: LogitScale, out: Share) -> None:
    """Fills `out`, (VOC.3-6), for ids at `rows` of the piece [P, K], -1 where they lie in another."""
    x = logits(b, h, piece, scale)
    key = head.maximum(b, x.rows).per_row() - x
    e, z = b.table_map("exp", b.table(exp_table(scale.rate, EXP_BITS)), key, x.domain, ["e", "z"])
    tau = head.threshold(b, x.rows)
    (u,) = b.table_map("relu", b.table(relu_table()), Poly.of(x) - tau.per_row(), x.domain, ["u"])
    for name, wire, total in (("mass", e, out.mass), ("zeros", z, out.zeros), ("excess", u, out.excess)):
        b.row_sum(f"sum.{name}", wire, into=total)
    index = b.public("ids", rows)
    _picked(b, "named.exp", e, index, out.exp)
    _picked(b, "named.logit", x, index, out.logit)


def _picked(b: Builder, name: str, wire: Wire, index: PublicTable, out: Wire) -> Wire:
    """out[i, k] = wire[i, index[i, k]], 0 where that is -1."""
    return b.assign(name, out, Poly.of(wire.pick(index)))
