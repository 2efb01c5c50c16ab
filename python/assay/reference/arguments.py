"""The two arguments that everything is made of: sumchecks side by side, and trees of fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from assay.reference.field import Ext, P
from assay.reference.padded import Value
from assay.reference.transcript import Messages, Where


@dataclass(frozen=True)
class Shape:
    """One sumcheck (protocol, section 7): its degree, and for each round rho_k or None."""

    relation: str
    degree: int
    rho: Sequence[Ext | None]


def sumchecks(
    m: Messages, segment: str | None, shapes: Sequence[Shape], claims: Sequence[Value]
) -> tuple[list[Ext], list[Value]]:
    """The point s, and each sumcheck's claim on P at its prefix of s."""
    point: list[Ext] = []
    claims = list(claims)
    for k in range(max((len(s.rho) for s in shapes), default=0)):
        active = [i for i, s in enumerate(shapes) if k < len(s.rho)]
        h = {i: _round(m, segment, shapes[i], k, claims[i]) for i in active}
        point.append(m.challenge("sumcheck"))
        for i in active:
            claims[i] = interpolated(h[i], point[-1])
    return point, claims


def _round(m: Messages, segment: str | None, shape: Shape, k: int, claim: Value) -> list[Value]:
    """H(0), H(1), ..., where H(1) follows from the claim (S.1)."""
    where = Where(segment, shape.relation, k)
    h0 = m.element("sumcheck", where)
    later = [m.element("sumcheck", where) for _ in range(2, shape.degree + 1)]
    rho = shape.rho[k]
    h1 = claim - h0 if rho is None else (claim - h0 * (1 - rho)) * rho.inverse()
    return [h0, h1, *later]


def interpolated(values: Sequence[Value], x: Ext) -> Value:
    """The polynomial with these values at 0, 1, ..., at x."""
    result: Value = Ext.of(0, len(x.c))
    for value, weight in zip(values, lagrange(len(values), x), strict=True):
        result += value * weight
    return result


@lru_cache(maxsize=8)  # sumchecks side by side share their challenges
def lagrange(count: int, x: Ext) -> list[Ext]:
    """For each a below `count` the product over all other b of (x - b) / (a - b)."""
    weights = []
    for a in range(count):
        weight, scale = Ext.of(1, len(x.c)), 1
        for b in range(count):
            if b != a:
                weight *= x - b
                scale = scale * (a - b) % P
        weights.append(weight * pow(scale, P - 2, P))
    return weights


@dataclass(frozen=True)
class Tree:
    """f, and the claims p, q on the extensions of the leaves at z."""

    fraction: Value
    p: Value
    q: Value
    z: list[Ext]


def fraction_tree(m: Messages, where: Where, layers: int) -> Tree:
    """A sum of 2^layers fractions (protocol, section 9)."""
    p, q, inverse, fraction = [m.element("lookup.root", where) for _ in range(4)]
    m.require_zero(
        m.product(q, inverse) - 1,
        "lookup.denominator",
        where,
        "a denominator of the lookup sum vanishes",
    )  # (L.2)
    m.require_zero(
        fraction - m.product(p, inverse),
        "lookup.root",
        where,
        "the root of the lookup tree does not match its fraction",
    )  # (L.2)
    z: list[Ext] = []
    for layer in range(layers):
        p, q, z = _layer(m, Where(where.segment, where.relation, layer), p, q, z)
    return Tree(fraction, p, q, z)


def _layer(m: Messages, where: Where, p: Value, q: Value, z: list[Ext]) -> tuple[Value, Value, list[Ext]]:
    """From claims on a layer to claims on its children."""
    mix = m.challenge("lookup.lambda")
    shape = Shape(where.relation or "", 2, z)
    point, (claim,) = sumchecks(m, where.segment, [shape], [p + q * mix])
    pa, pb, qa, qb = [m.element("lookup.node", where) for _ in range(4)]
    m.require_zero(
        claim - (m.product(pa, qb) + m.product(pb, qa) + m.product(qa, qb) * mix),
        "lookup.layer",
        where,
        "a layer of the lookup tree is wrong",
    )  # (L.1)
    tau = m.challenge("lookup.tau")
    return pa + (pb - pa) * tau, qa + (qb - qa) * tau, [tau, *point]
