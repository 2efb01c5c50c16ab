"""Distances between the exact model's distribution and the one that was served, at P positions.

q [P, K] are public integers with a sum of 2^18 in each row: the served distribution over its K ids. p_v is
the exact model's probability of v, in the same units, rounded once:

    (DIST.1)  S = sum mass.p,  n = sum zeros.p,  U = sum excess.p,  e = sum exp.p,  x = sum logit.p
              over the pieces, each equal to limbs of its own:
              0 <= S,  1 <= n,  0 <= U,  0 <= e,  each with a limit,  and -2^15 <= x < 2^15
    (DIST.2)  2^19 e + S = 2 S p + r,   0 <= r,   0 <= 2 S - 1 - r,   p in limbs
    (DIST.3)  q - p = lo + 2^16 hi,   (hi, sign) in SIGN,   a = sign (lo + 2^16 hi)
    (DIST.4)  tv[i] = 2^18 + sum_k (a - p),   units of 2^-19
    (DIST.5)  top_k[i] = K tau[i] + U[i] - sum_k x,   units of the logits

p = floor(2^18 e / S + 1/2) is unique by (DIST.2), which has no solution for S = 0. a = |q - p|. n >= 1 says
that the maximum m of all pieces is attained, so that e and S belong to the true maximum.

tv is twice the total variation: sum over the ids of |q - p|, and all other probability, 2^18 - sum p. top_k
is the sum of the K largest logits less that of the served ids' logits, if tau is the K-th largest logit; for
any other tau it is larger, since K tau + sum max(x - tau, 0) is at least the sum of any K logits. So tau is
the one value that a prover is free to choose, and only to its own loss.

Bounds: the sums of (DIST.1) are read through their limbs alone, so that nothing depends on the range of a
piece's share. Their limits are those of the whole vocabulary, S <= V 2^24, n <= V, U < V 2^16, e <= 2^24, and
p <= 2^18, each rounded up to a unit of its last limb (p < 5 2^16). With V <= 2^18, 2 S p stays below 2^62.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from assay.circuits import head, limbs
from assay.circuits.head import EXCESS, EXPONENTIAL, LOGIT, Share

from assay.graph import Builder, Interval, Limb, Poly, PublicTable, Table, Wire, term
from assay.graph.builder import recombine
from assay.graph.expression import combination

UNITS_BITS = 18
UNITS = 1 << UNITS_BITS
_LIMITED = Interval(0, 5 * (1 << 16) - 1)  # what the limbs of p allow
_SIGN_BITS = 4  # |q - p| < 2^19


@lru_cache(maxsize=1)
def sign_table() -> Table:
    """SIGN of (DIST.3): rows (hi, 1 or -1)."""
    half = 1 << (_SIGN_BITS - 1)
    return Table.function("sign", -half, 2 * half, lambda hi: [np.where(hi < 0, -1, 1)])


def served_distance(b: Builder, shares: Sequence[Share], q: npt.NDArray[np.int64], vocabulary: int) -> None:
    """The outputs "tv" and "top_k" [1, P] of (DIST.1-5)."""
    attained(b, [s.zeros for s in shares], vocabulary)
    mass = _total(b, "mass", [s.mass for s in shares], limbs.up_to("limb", EXPONENTIAL.hi * vocabulary))
    e = _total(b, "exp", [s.exp for s in shares], limbs.up_to("limb", EXPONENTIAL.hi))
    p = probabilities(b, e, mass)
    total_variation(b, p, b.public("served", q))
    top_k_distance(b, shares, vocabulary)


def attained(b: Builder, zeros: Sequence[Wire], vocabulary: int) -> None:
    """n >= 1 of (DIST.1)."""
    _total(b, "attained", zeros, limbs.up_to("limb", vocabulary - 1), constant=-1)


def probabilities(b: Builder, e: Wire, mass: Wire) -> Wire:
    """p [P, K] of (DIST.2), for e [P, K] and S [1, P]."""
    widths = limbs.up_to("limb", UNITS)
    numerator = term(e) * (2 * UNITS) + mass.per_row()
    p = b.ratio("probability", numerator, e.domain, mass * 2, _LIMITED)
    b.decompose("probability", b.value(p, p.domain), 0, widths)
    low = limbs.unsigned("limb", (2 * mass.bounds.hi).bit_length())
    rest = term(e) * (2 * UNITS) - term(mass.per_row(), p * 2 - 1)
    r = recombine(low, b.decompose("probability.remainder", b.value(rest, e.domain), 0, low))
    b.decompose("probability.below", b.value(term(mass.per_row()) * 2 - r - 1, e.domain), 0, low)
    return p


def total_variation(b: Builder, p: Wire, q: PublicTable) -> None:
    """The output "tv" of (DIST.3-4)."""
    widths = [Limb.unsigned("lo", 16), Limb.signed("hi", _SIGN_BITS, checked=False)]
    parts = b.decompose("difference", b.value(Poly.of(q.every(1)) - p, p.domain), 0, widths)
    (sign,) = b.table_map("difference.sign", b.table(sign_table()), parts[1], p.domain, ["value"])
    a = b.commit("difference.absolute", b.value(term(sign, recombine(widths, parts)), p.domain))
    b.output("tv", b.row_sum("difference.sum", a - p) + UNITS)


def top_k_distance(b: Builder, shares: Sequence[Share], vocabulary: int) -> None:
    """The output "top_k" of (DIST.5)."""
    excess = _total(b, "excess", [s.excess for s in shares], limbs.up_to("limb", EXCESS.hi * vocabulary))
    x = _total(b, "logit", [s.logit for s in shares], limbs.signed("limb", LOGIT.signed_bits))
    tau = head.threshold(b, x.rows)
    b.output("top_k", combination([tau, excess, b.row_sum("logit.sum", x)], [x.cols, 1, -1]))


def _total(b: Builder, name: str, parts: Sequence[Wire], widths: list[Limb], *, constant: int = 0) -> Wire:
    """sum of parts, plus a constant, as limbs of its own, (DIST.1)."""
    total = combination(parts, [1] * len(parts))
    argument = "(DIST.1): their sum is read through its limbs, they are not"
    b.tensor_fact(f"{name}.parts", total, argument, only=f"total.{name}")
    name = f"total.{name}"
    return recombine(widths, b.decompose(name, b.value(total, total.domain), constant, widths))
