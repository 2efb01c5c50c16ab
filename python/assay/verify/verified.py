"""What was verified: the outcome of `verify`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from assay.audit.challenge import FORWARD
from assay.errors import InternalError
from assay.segments import DISTANCES
from assay.statement import Member

_TV_UNIT = Fraction(1, 1 << 19)
_LOGITS, _TV, _TOP_K = "logits", "tv", "top_k"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStatement:
    """With the committed weights, `layer` maps its recorded input to `distance` from its recorded output.

    `saturated` counts the cells that each clamp of the layer cut off, by name.
    """

    layer: int
    tokens: int
    circuit_digest: bytes
    distance: tuple[int, ...]
    saturated: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "scope": "layers",
            "layer": self.layer,
            "tokens": self.tokens,
            "circuit_digest": self.circuit_digest.hex(),
            "distance": list(self.distance),
            "saturated": self.saturated,
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
    served ones. `saturated` counts the cells that each clamp cut off, by segment and name.
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


AnyStatement = LayerStatement | ForwardStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedMember:
    """One challenge of a batch, answered: of which record, and what was proven."""

    record_root: bytes
    request: bytes
    nonce: bytes
    drawn: bool
    scope: str
    statements: tuple[AnyStatement, ...]

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


def verified_member(member: Member, proven: list[Proven]) -> VerifiedMember:
    """A member with what the body says of its segments."""
    asked = member.challenge
    statements = _forward(member, proven) if asked.scope == FORWARD else _layers(member, proven)
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
            circuit_digest=segment.digest,
            distance=(0,),
            saturated=segment.totals,
        )
        for layer, segment in zip(member.challenge.layers, proven, strict=True)
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
            saturated={name: found.totals for name, found in segments.items() if any(found.totals.values())},
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
