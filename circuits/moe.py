"""A mixture of experts: a router, the experts that were chosen for each token, and how far from the router's
own choice that is.

E experts, K of them for a token, T tokens. A seat is a token with one of its experts: seat m of token t is
row i = m T + t. The weights of all experts are stacked, W [E out, in]. Which experts ran, S, is a boundary
that the record commits to. It need not be the exact model's choice, and is hidden unless it is logged.

    (MOE.1)  g = clamp16(round(h R^T / 2^s))                                            CLAMP.1-4
    (MOE.2)  S (S - 1) = 0,   sum_e S[i, e] = 1
    (MOE.3)  D[t, e] = sum_m S[m T + t, e],   D (D - 1) = 0
    (MOE.4)  c[t, m] = sum_e g[t, e] S[m T + t, e]
    (MOE.5)  (g[t, e] - tau[t], u[t, e]) in RELU,   distance = sum_t (K tau + sum_e u - sum_m c)
    (MOE.6)  p = softmax of c over the seats of a token, or of g over all experts       SOFT.1-5
    (MOE.7)  G[i, o] = sum_e S[i, e] sum_k h[i mod T, k] W_gate[(e, o), k],  U the same with W_up
    (MOE.8)  a = f(G) clamp16(round(U / 2^s)),   exact, or round(a / 2^s)               ACT, GATE.1, ROUND.1
    (MOE.9)  d[i, o] = sum_e S[i, e] sum_k a[i, k] W_down[(e, o), k],   exact, or round(d / 2^s)
    (MOE.10) y[t, o] = sum_m p[t, m] d[m T + t, o]                                      (never committed)

A row of S is zeros and ones with a sum of 1, so it has one 1, at the seat's expert. D says that no token
has an expert twice. y does not depend on the order of a token's seats, so it is a function of h, the
weights, and the set of experts.

tau is int16, ranged. K tau + sum_e max(g - tau, 0) is at least the sum of any K of the g[t, .], and equal
to the largest such sum if tau is the K-th largest. So each term of the distance is at least what the chosen
experts' logits lack of the largest ones; it is never negative; a prover can choose tau to its own loss
alone. The distance is one public number for a layer. It is 0 only if the K experts of every token are K with
the largest logits. (It bounds the largest term, which is not put out: a maximum over tokens would hide how
many of them were routed elsewhere.)

One of a and d is rounded, or y would not close over the field: a of [K T, inner] or d of [K T, hidden],
whichever is smaller. What is exact is committed, and defined by its relation: it needs no range check.

p is the softmax of the chosen experts' logits: as much as that of all, renormalised over the chosen ones. If
the model does not renormalise, p is the chosen experts' part of the softmax of all,

    (MOE.11) e[t, m] = sum_e EXP[t, e] S[m T + t, e],   with d of (SOFT.3) over all experts.

If the choice is logged, id[t, m] are public and part of the circuit:

    (MOE.12) S[m T + t, id[t, m]] = 1

What is committed and looked up beside the seats' products is T (E + K) cells a relation, and T K E cells of
S: no product of E with the sizes of an expert but the weights themselves.

Bounds: a selected product is that of one row with one expert's weights. c is a cell of g. p >= 0, and the
sum of a row of it is bounded by SOFT, so |y| <= P max|d|.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from assay.circuits.activation import SILU, activation
from assay.circuits.gated_mlp import gated_product
from assay.circuits.rounding import round_shift, rounded
from assay.circuits.softmax import Softmax, exponentials, shares, softmax_over
from assay.circuits.vocabulary import relu_table

from assay.graph import Accumulator, Builder, CircuitError, Domain, Interval, Poly, Source, Wire, term
from assay.graph.expression import combination

LOGIT_BITS = 16
UP_BITS = 16
EXPERTS = "experts"
"""The mixture of a layer; its weights and relations begin with it."""
ROUTING = "routing"
"""A layer's boundary S of (MOE.2); its name begins as those of the layer's weights do."""
ROUTER = f"{EXPERTS}_router"
"""Its site of (MOE.1)."""
DISTANCE = f"{EXPERTS}_distance"
"""Its total of (MOE.5), in units of the router's logits."""
_BIT = Interval(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertWeights:
    """Of a layer: router [E, hidden], gate and up [E * inner, hidden], down [E * hidden, inner]."""

    router: Wire
    gate: Wire
    up: Wire
    down: Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertScales:
    """Shifts of (MOE.1), (MOE.7-9), and the fractions of g and of gate; a or d with a shift of 0 is exact."""

    router_shift: int
    router_fraction: int
    gate_shift: int
    gate_fraction: int
    up_shift: int
    product_shift: int = 0
    down_shift: int = 0


Ids = npt.NDArray[np.int64]
"""The experts of each token, [T, K]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """S of (MOE.2), [K T, E], and the ids of (MOE.12) where they are logged."""

    seats: Wire
    logged: Ids | None = None


def recorded_choice(
    b: Builder, name: str, *, tokens: int, experts: int, chosen: int, logged: Ids | None = None
) -> Choice:
    """The boundary `name`: the K largest logits, or what the witness program is told."""
    if not 1 <= chosen <= experts:
        raise CircuitError("circuit-config", f"{chosen} of {experts} experts")
    if logged is not None and (logged.shape != (tokens, chosen) or not _within(logged, experts)):
        raise CircuitError("circuit-shape", f"{chosen} of {experts} experts for each of {tokens} tokens")
    seats = b.tensor(name, chosen * tokens, experts, _BIT, source=Source.BOUNDARY)
    return Choice(seats=seats, logged=logged)


def _within(ids: Ids, experts: int) -> bool:
    return bool(ids.min() >= 0 and ids.max() < experts)


def experts(
    b: Builder,
    name: str,
    h: Wire,
    weights: ExpertWeights,
    scales: ExpertScales,
    choice: Choice,
    *,
    kind: str = SILU,
    renormalised: bool = True,
) -> Accumulator:
    """y [T, hidden] of (MOE.1-12) for h [T, hidden], with UNIT_BITS fraction bits more than d.

    The distance is the total `name_distance`.
    """
    g = rounded(b, f"{name}_router", b.product_nt(h, weights.router), scales.router_shift, LOGIT_BITS)
    s, logits = chosen_experts(b, name, g, choice)
    rate = Fraction(2) ** -scales.router_fraction
    soft = expert_shares(b, f"{name}_softmax", g, s, logits if renormalised else None, rate)
    gate = b.product_selected(s, h, weights.gate, most=1)
    up = rounded(b, f"{name}_up", b.product_selected(s, h, weights.up, most=1), scales.up_shift, UP_BITS)
    fraction = scales.gate_fraction
    active = activation(b, f"{name}_gate", gate, shift=scales.gate_shift, fraction_bits=fraction, kind=kind)
    a = gated_product(b, f"{name}_mlp", active, up, fraction_bits=fraction, kind=kind)
    if scales.product_shift:
        a = round_shift(b, f"{name}_product", b.value(a, a.domain), scales.product_shift)
    acc = b.product_selected(s, a, weights.down, most=1)
    shift, down = scales.down_shift, f"{name}_down"
    d = round_shift(b, down, acc, shift) if shift else b.commit(down, acc)
    reach = d.bounds.magnitude * soft.most
    return b.product_nn(soft.probabilities, d, groups=h.rows).bounded(Interval(-reach, reach))


def chosen_experts(b: Builder, name: str, g: Wire, choice: Choice) -> tuple[Wire, Wire]:
    """S [K T, E] and c [T, K] of (MOE.2-5) and (MOE.12), for g [T, E]."""
    chosen = choice.seats.rows // g.rows
    bounds = Interval.signed(LOGIT_BITS)
    tau = b.top_k(f"{name}_choice", g, chosen, bounds, marks=choice.seats)
    s = one_hot(b, f"{name}_choice", choice.seats)
    if choice.logged is not None:
        logged(b, f"{name}_choice", s, choice.logged)
    distinct(b, f"{name}_distinct", s, g.rows)
    c = b.commit(f"{name}_logits", b.product_nt(g, s, groups=g.rows).bounded(g.bounds))
    routing_distance(b, f"{name}_distance", g, c, tau)
    return s, c


def expert_shares(b: Builder, name: str, g: Wire, s: Wire, c: Wire | None, rate: Fraction) -> Softmax:
    """p [T, K] of (MOE.6): of c alone, or without c of all of g."""
    if c is not None:
        return softmax_over(b, name, c, c.domain, rate)
    e, d = exponentials(b, name, g, g.domain, rate)
    taken = b.product_nt(e, s, groups=g.rows).bounded(e.bounds)
    return shares(b, name, b.commit(f"{name}.chosen", taken), d)


def one_hot(b: Builder, name: str, s: Wire) -> Wire:
    """(MOE.2)"""
    b.zero(f"{name}.bits", s.domain, [term(s, s) - s])
    b.tensor_fact(f"{name}.bits", s, "(MOE.2): S (S - 1) = 0 modulo p, so that S is 0 or 1")
    ones = b.row_sum(f"{name}.sum", s)
    b.linear(f"{name}.one", ones.domain, Poly.of(ones) - 1)
    return b.wire_fact(
        f"{name}.one",
        s,
        s.bounds,
        "(MOE.2): a row of S has one 1: what it selects is one of what it selects from",
    )


def logged(b: Builder, name: str, s: Wire, ids: Ids) -> None:
    """(MOE.12)"""
    index = b.public(f"{name}.ids", ids.T.reshape(-1, 1))
    b.linear(f"{name}.logged", Domain(s.rows, 1), Poly.of(s.pick(index)) - 1)


def distinct(b: Builder, name: str, s: Wire, tokens: int) -> None:
    """(MOE.3)"""
    d = b.tensor(f"{name}.experts", tokens, s.cols, _BIT)
    seats = np.arange(s.rows, dtype=np.int64).reshape(-1, 1, tokens)
    rows = [s.gather(b.public(f"{name}.{m}", index)) for m, index in enumerate(seats)]
    b.assign(name, d, sum(map(Poly.of, rows), Poly()))
    b.zero(f"{name}.bits", d.domain, [term(d, d) - d])
    b.tensor_fact(f"{name}.bits", d, "(MOE.3): D (D - 1) = 0 modulo p, so that D is 0 or 1")


def routing_distance(b: Builder, name: str, g: Wire, c: Wire, tau: Wire) -> None:
    """The total `name` of (MOE.5)."""
    b.in_range(f"{name}.threshold", tau, Interval.signed(LOGIT_BITS))
    excess = Poly.of(g) - tau.per_row()
    (u,) = b.table_map(f"{name}.relu", b.table(relu_table()), excess, g.domain, ["u"])
    parts = [tau, b.row_sum(f"{name}.excess", u), b.row_sum(f"{name}.chosen", c)]
    b.total(name, combination(parts, [c.cols, 1, -1]))
