"""What was verified: the outcome of `verify`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from assay.audit.challenge import ENCODE, FORWARD, LAYERS
from assay.circuits.moe import DISTANCE, ROUTER
from assay.errors import InternalError
from assay.public import PublicModel
from assay.segments import DISTANCES, POOLING, Segment, layer_name
from assay.statement import Member

_TV_UNIT = Fraction(1, 1 << 19)
_LOGITS, _TV, _TOP_K, _POOLED = "logits", "tv", "top_k", "pooled"
_LEAST_LENGTH = 1e-12
Experts = tuple[tuple[int, ...], ...]
"""Ids of each token's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDistance:
    """How far a layer's choice of experts is from its router's own, over all tokens.

    For each token: how much larger the sum of the router's K largest logits is than the sum of the logits of
    the K experts that ran. `raw` bounds the sum of it over the tokens from above, as an integer of `fraction`
    fraction bits; it is 0 only if every token has K experts of the largest logits.
    """

    raw: int
    fraction: int

    @property
    def logits(self) -> float:
        """In units of the router's logits."""
        return math.ldexp(self.raw, -self.fraction)

    @property
    def exact(self) -> Fraction:
        """The same without rounding."""
        return Fraction(self.raw) / Fraction(2) ** self.fraction

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"raw": self.raw, "fraction": self.fraction, "logits": self.logits}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStatement:
    """With the committed weights, `layer` maps its recorded input to `distance` from its recorded output.

    `saturated` counts the cells that each clamp of the layer cut off, by name. A layer with experts does it
    with those that the record is committed to, no further from its router's choice than `routing_distance`;
    if they were logged publicly, `experts` are those of each token.
    """

    layer: int
    tokens: int
    circuit_digest: bytes
    distance: tuple[int, ...]
    saturated: dict[str, int]
    routing_distance: RoutingDistance | None = None
    experts: Experts | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        routed = self.routing_distance
        return {
            "scope": "layers",
            "layer": self.layer,
            "tokens": self.tokens,
            "circuit_digest": self.circuit_digest.hex(),
            "distance": list(self.distance),
            "saturated": self.saturated,
            "routing_distance": None if routed is None else routed.to_dict(),
            "experts": None if self.experts is None else _lists(self.experts),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """How far served logits are from the exact model's at one position.

    `tv` is the total variation distance between the distributions, that of the served logits over its K ids.
    `top_k` bounds from above how much larger the sum of the exact model's K largest logits is than the sum
    of its logits at the K ids: 0 if these are its own.
    """

    tv: Fraction
    top_k: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardStatement:
    """With the committed weights, the exact model maps `tokens` to what is said of its logits.

    For each of the `positions` there are `ids`, those of the request's log, and either the exact logits at
    these ids, as integers of `fraction` fraction bits, or, where logits were served, the distances of the
    served ones. `saturated` counts the cells that each clamp cut off, by segment and name. Layers with
    experts run with those that the record is committed to; `routing_distances` says how far they are from
    the routers' choices, by segment, and `experts` which they were, if they were logged publicly.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    ids: tuple[tuple[int, ...], ...]
    fraction: int
    raw_logits: tuple[tuple[int, ...], ...] | None
    served_logits: tuple[tuple[int, ...], ...] | None
    distances: tuple[Distances, ...] | None
    circuit_digests: dict[str, bytes]
    saturated: dict[str, dict[str, int]]
    routing_distances: dict[str, RoutingDistance] = field(default_factory=dict)
    experts: dict[str, Experts] = field(default_factory=dict)

    @property
    def logits(self) -> tuple[tuple[float, ...], ...] | None:
        """The exact logits at the ids, as real numbers; exact in double precision."""
        return None if self.raw_logits is None else self._reals(self.raw_logits)

    def _reals(self, rows: tuple[tuple[int, ...], ...]) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(float(x * 2.0**-self.fraction) for x in row) for row in rows)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        found: dict[str, Any] = {
            "scope": "forward",
            "tokens": list(self.tokens),
            "positions": list(self.positions),
            "ids": [list(row) for row in self.ids],
            "fraction": self.fraction,
            "circuit_digests": {name: digest.hex() for name, digest in self.circuit_digests.items()},
            "saturated": self.saturated,
            "routing_distances": {name: d.to_dict() for name, d in self.routing_distances.items()},
            "experts": {name: _lists(experts) for name, experts in self.experts.items()},
        }
        if self.raw_logits is not None:
            found |= {"raw_logits": [list(row) for row in self.raw_logits], "logits": self.logits}
        if self.served_logits is not None and self.distances is not None:
            found |= {
                "served_logits": self._reals(self.served_logits),
                "tv": [float(d.tv) for d in self.distances],
                "top_k": [float(d.top_k) for d in self.distances],
                "tv_exact": [str(d.tv) for d in self.distances],
                "top_k_exact": [str(d.top_k) for d in self.distances],
            }
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeStatement:
    """With the committed weights, the exact encoder maps `tokens` to rows whose sum is `raw_pooled`.

    Its entries are integers of `fraction` fraction bits. `saturated` counts the cells that each clamp cut
    off, by segment and name.
    """

    tokens: tuple[int, ...]
    fraction: int
    raw_pooled: tuple[int, ...]
    circuit_digests: dict[str, bytes]
    saturated: dict[str, dict[str, int]]

    @property
    def mean(self) -> list[float]:
        """The mean of the rows, as real numbers."""
        return [math.ldexp(x, -self.fraction) / len(self.tokens) for x in self.raw_pooled]

    @property
    def embedding(self) -> list[float]:
        """The mean scaled to length one, as sentence-transformers gives it; of length 0 if the mean is."""
        mean = self.mean
        length = max(math.hypot(*mean), _LEAST_LENGTH)
        return [x / length for x in mean]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "scope": "encode",
            "tokens": list(self.tokens),
            "fraction": self.fraction,
            "raw_pooled": list(self.raw_pooled),
            "embedding": self.embedding,
            "circuit_digests": {name: digest.hex() for name, digest in self.circuit_digests.items()},
            "saturated": self.saturated,
        }


AnyStatement = LayerStatement | ForwardStatement | EncodeStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedMember:
    """One challenge of a batch, answered: of which record, and what was proven."""

    record_root: bytes
    request: bytes
    nonce: bytes
    drawn: bool
    scope: str
    statements: tuple[AnyStatement, ...]

    @property
    def embedding(self) -> list[float] | None:
        """The sentence's vector, of length one, of an encoder; None of any other member."""
        (first, *_) = self.statements
        return first.embedding if isinstance(first, EncodeStatement) else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "record_root": self.record_root.hex(),
            "request": self.request.hex(),
            "nonce": self.nonce.hex(),
            "drawn": self.drawn,
            "scope": self.scope,
            "statements": [statement.to_dict() for statement in self.statements],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was verified, one member for each challenge.

    `compared` is False if the statement was taken from the proof (`any_statement`). `epoch` is the public
    file's, `counter` the number of the proof in the prover's ledger. `ledger_went_back` is known with a
    pin: this proof's counter is not above that of another proof verified before, so the ledger was probably
    restored from a backup.
    """

    members: tuple[VerifiedMember, ...]
    compared: bool
    profile: str
    hiding: bool
    security_bits: float
    security_terms: dict[str, float]
    public_hash: bytes
    proof_bytes: int
    epoch: int
    counter: int
    ledger_went_back: bool | None = None

    @property
    def statements(self) -> tuple[AnyStatement, ...]:
        """Those of all members, in order."""
        return tuple(statement for member in self.members for statement in member.statements)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "verdict": "accepted",
            "compared": self.compared,
            "members": [member.to_dict() for member in self.members],
            "profile": self.profile,
            "hiding": self.hiding,
            "insecure": not self.hiding,
            "epoch": self.epoch,
            "counter": self.counter,
            "ledger_went_back": self.ledger_went_back,
            "security_bits": self.security_bits,
            "security_terms": self.security_terms,
            "public_hash": self.public_hash.hex(),
            "proof_bytes": self.proof_bytes,
        }


@dataclass(frozen=True, slots=True)
class Proven:
    """One segment as it was proven: circuit, totals and outputs."""

    digest: bytes
    totals: dict[str, int]
    outputs: dict[str, list[int]]

    @property
    def saturated(self) -> dict[str, int]:
        """The totals that count cells."""
        return {name: count for name, count in self.totals.items() if name != DISTANCE}

    def routing_distance(self, public: PublicModel, layer: int) -> RoutingDistance | None:
        """That of a layer with experts."""
        if DISTANCE not in self.totals:
            return None
        return RoutingDistance(raw=self.totals[DISTANCE], fraction=public.scales.layers[layer].sites[ROUTER])


def verified_member(member: Member, proven: list[Proven]) -> VerifiedMember:
    """A member with what the body says of its segments."""
    asked = member.challenge
    statements = {LAYERS: _layers, FORWARD: _forward, ENCODE: _encode}[asked.scope](member, proven)
    return VerifiedMember(
        record_root=asked.record.hash,
        request=asked.record.request,
        nonce=asked.nonce,
        drawn=asked.drawn,
        scope=asked.scope,
        statements=statements,
    )


def _layers(member: Member, proven: list[Proven]) -> tuple[AnyStatement, ...]:
    return tuple(
        LayerStatement(
            layer=layer,
            tokens=member.challenge.record.tokens,
            circuit_digest=found.digest,
            distance=(0,),
            saturated=found.saturated,
            routing_distance=found.routing_distance(segment.public, layer),
            experts=_experts(segment),
        )
        for layer, segment, found in zip(member.challenge.layers, member.segments, proven, strict=True)
    )


def _forward(member: Member, proven: list[Proven]) -> tuple[AnyStatement, ...]:
    opened, head = member.disclosure, member.challenge.record.log
    if opened is None or head is None:  # a member like this is never built
        raise InternalError("no-disclosure", "a forward pass without what it opens")
    segments = {segment.name: found for segment, found in zip(member.segments, proven, strict=True)}
    served = tuple(o.entry.logits or () for o in opened.log) if head.served else None
    last = segments.get(DISTANCES)
    return (
        ForwardStatement(
            tokens=opened.tokens,
            positions=member.challenge.positions,
            ids=tuple(opened.ids),
            fraction=head.fraction,
            raw_logits=None if head.served else _logits(list(segments.values()), opened.ids),
            served_logits=served,
            distances=None if last is None else _distances(last.outputs, head.fraction),
            circuit_digests={name: found.digest for name, found in segments.items()},
            saturated=_saturated(segments),
            routing_distances=_routed(member, segments),
            experts={s.name: found for s in member.segments if (found := _experts(s)) is not None},
        ),
    )


def _experts(segment: Segment) -> Experts | None:
    return None if segment.routing is None else tuple(map(tuple, segment.routing.tolist()))


def _lists(experts: Experts) -> list[list[int]]:
    return [list(ids) for ids in experts]


def _saturated(segments: dict[str, Proven]) -> dict[str, dict[str, int]]:
    """The clamps of those segments that cut something off."""
    return {name: found.saturated for name, found in segments.items() if any(found.saturated.values())}


def _routed(member: Member, segments: dict[str, Proven]) -> dict[str, RoutingDistance]:
    public = member.segments[0].public
    names = [layer_name(layer) for layer in range(public.num_layers)]
    distances = [segments[name].routing_distance(public, layer) for layer, name in enumerate(names)]
    return {name: d for name, d in zip(names, distances, strict=True) if d is not None}


def _encode(member: Member, proven: list[Proven]) -> tuple[AnyStatement, ...]:
    opened = member.disclosure
    if opened is None:  # a member like this is never built
        raise InternalError("no-disclosure", "an encoding without what it opens")
    segments = {segment.name: found for segment, found in zip(member.segments, proven, strict=True)}
    public = member.segments[0].public
    return (
        EncodeStatement(
            tokens=opened.tokens,
            fraction=public.scales.boundary(public.num_layers),
            raw_pooled=tuple(segments[POOLING].outputs[_POOLED]),
            circuit_digests={name: found.digest for name, found in segments.items()},
            saturated=_saturated(segments),
        ),
    )


def _logits(proven: list[Proven], ids: list[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Each piece of the vocabulary puts out the logits of the ids that lie in it, and 0 for all others."""
    pieces = [segment.outputs[_LOGITS] for segment in proven if _LOGITS in segment.outputs]
    summed = [sum(values) for values in zip(*pieces, strict=True)]
    width = len(ids[0])
    return tuple(tuple(summed[i * width : (i + 1) * width]) for i in range(len(ids)))


def _distances(outputs: dict[str, list[int]], fraction: int) -> tuple[Distances, ...]:
    unit = Fraction(1, 1 << fraction) if fraction >= 0 else Fraction(1 << -fraction)
    pairs = zip(outputs[_TV], outputs[_TOP_K], strict=True)
    return tuple(Distances(tv=tv * _TV_UNIT, top_k=top_k * unit) for tv, top_k in pairs)
