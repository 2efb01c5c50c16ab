"""The unique fixed-point inverse square root of a row quantity, W ~ 2^K / sqrt(v).

v is an integer in [1, 2^62), one a row. Let i = floor(log4 v) (31 values), P = 2^(30-i) and U = 4^(i+1) -
1. Then v P^2 lies in [2^60, 2^62), and its upper 30 bits v' are v normalised:

    (ISQRT.1)  (i, P, 2^32 / P, U) in NORMALISE
    (ISQRT.2)  U - v = limbs,                     0 <= U - v < 2^62
    (ISQRT.3)  v P^2 = 2^32 v' + r,               0 <= r < 2^32,  2^28 <= v' < 2^30
    (ISQRT.4)  2^60 = w^2 v' + a,                 0 <= a < 2^48,  2^15 <= w <= 2^16
    (ISQRT.5)  (2 w + 1) v' - 1 = a + b,          0 <= b < 2^48
    (ISQRT.6)  W = floor(w P / 2^(46 - K)), K root bits

Unique: (ISQRT.2) gives v <= U as integers, so v P^2 < 4^(i+1) 4^(30-i) = 2^62 does not wrap; were i too
large, v P^2 < 2^60 and v' < 2^28. (ISQRT.4-5) say w^2 v' <= 2^60 < (w + 1)^2 v', that is w =
floor(sqrt(2^60 / v')). Without (ISQRT.2), v P^2 wraps and a second witness exists.

With P = 2^(16-t+a), 4^a and 4^t the factors of v 4^a = v' 4^t + rem, this is the same v' (r = rem
4^(16-t)): one fixed shift instead of a variable one, so that the remainder needs two limbs and no upper
bound that depends on t.

Length: if sum of x^2 <= v then sqrt(sum (x W)^2) <= sqrt(v) w P; v P^2 < 2^32 (v' + 1) and w^2 v' <= 2^60
give
    (ISQRT.7)  |x W|^2 <= w^2 (v' + 1) 2^32 <= 2^92 (1 + 2^-28),   so |x| W <= 2^46 (1 + 2^-28).
W is biased low by a relative error of at most 2^-15 + 2^-28.

W of (ISQRT.6) has K <= 46 root bits, which keeps later remainders small: w P = 2^(46 - K) W + r, with r and W
in limbs (for K = 46 there is neither). A floor makes W no larger, so |x| W <= 2^K (1 + 2^-28), rounded up.
"""

from __future__ import annotations

from functools import lru_cache

from assay.circuits import limbs

from assay.graph import Builder, Interval, Limb, Table, Wire, term
from assay.graph.builder import recombine

VALUE_BITS = 62
ROOT_BITS = 46  # the most

_ROWS = 31
_ROOT = Interval(1 << 15, 1 << 16)
_NORMAL = 1 << 28  # least v'


@lru_cache
def normalise_table() -> Table:
    """Rows (i, P, 2^32 / P, U)."""
    return Table.function(
        "normalise", 0, _ROWS, lambda i: [1 << (30 - i), 1 << (2 + i), (1 << (2 * i + 2)) - 1]
    )


def length(root_bits: int) -> int:
    """The bound on |x| W of (ISQRT.7), in units of 2^-K."""
    return -((-(1 << ROOT_BITS) - (1 << 18)) >> (ROOT_BITS - root_bits))


def inverse_sqrt(b: Builder, name: str, v: Wire, root_bits: int = ROOT_BITS) -> Wire:
    """W [1, n] for v [1, n], 1 <= v < 2^62."""
    _, scale, _, last = b.normalise(
        f"{name}.normalise", v, b.table(normalise_table()), ["row", "scale", "inverse", "last"]
    )
    b.decompose(f"{name}.below", b.value(last - v, v.domain), 0, limbs.unsigned("u", VALUE_BITS))
    normal = _normalised(b, name, v, scale)
    root = _root(b, name, normal)
    scaled = b.value(term(root, scale), v.domain)
    drop = ROOT_BITS - root_bits
    if not drop:
        return b.commit(f"{name}.scaled", scaled)
    wide = max(root_bits + 1, 2 * limbs.WHOLE_BITS)  # room above 2^K, for a table that others use
    low, high = limbs.unsigned("r", drop), limbs.unsigned("w", wide)
    parts = b.decompose(f"{name}.scaled", scaled, 0, low + high)
    return b.wire_fact(
        f"{name}.scaled",
        recombine(high, parts[len(low) :]),
        Interval(0, 1 << root_bits),
        "(ISQRT.6): W = floor(w P / 2^(46 - K)), w <= 2^16, P <= 2^30",
    )


def _normalised(b: Builder, name: str, v: Wire, scale: Wire) -> Wire:
    """v' of (ISQRT.3)."""
    b.product_fact(
        f"{name}.no-wrap",
        [v.cell(), scale.cell(), scale.cell()],
        Interval(0, (1 << 62) - 1),
        "(ISQRT.1-2): v <= U = 4^(i+1) - 1 and P^2 = 4^(30-i)",
    )
    high = [Limb.unsigned("v0", 16), Limb("v1", 14, Interval(0, 3 * (1 << 12) - 1))]
    parts = b.decompose(
        f"{name}.shift",
        b.value(term(v, scale, scale), v.domain),
        -(_NORMAL << 32),
        limbs.unsigned("r", 32) + high,
    )
    return recombine(high, parts[2:]) + _NORMAL


def _root(b: Builder, name: str, normal: Wire) -> Wire:
    """w of (ISQRT.4-5)."""
    root = b.inverse_square_root(f"{name}.root", normal, 1 << 60, _ROOT)
    b.in_range(f"{name}.root", root, _ROOT)
    d = normal.domain
    below = term(root, root, normal) * -1 + (1 << 60)
    widths = limbs.unsigned("a", 48)
    a = recombine(widths, b.decompose(f"{name}.floor", b.value(below, d), 0, widths))
    above = term(root * 2 + 1, normal) - 1 - a
    b.decompose(f"{name}.ceiling", b.value(above, d), 0, limbs.unsigned("b", 48))
    return root
