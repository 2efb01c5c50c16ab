"""From files to a statement and back: framing, the comparison of fields, then the body.

Public file, challenges, and circuits are read and built by the same modules as in `assay.verify` (they are
plain Python without the extension). What a proof opens of a record is checked here on its own
(`disclosed`), and all that follows, from the circuits' bytes on, is this package's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy.typing as npt

from assay import framing
from assay.audit.challenge import FORWARD, LAYERS, Challenge
from assay.audit.routing import routing_table
from assay.circuits.moe import DISTANCE, ROUTER, ROUTING
from assay.errors import ChallengeError, RequestError, VerificationError
from assay.layout import Layout, boundary_layout
from assay.policy import routing_limit
from assay.proof import FILE_CAP, ProofFile
from assay.public import PublicModel
from assay.reference.circuit import Circuit, decode
from assay.reference.disclosed import opened_by, require_log
from assay.reference.statement import LongLived, MalformedError, Segment, Statement
from assay.reference.transcript import Where, require
from assay.reference.verifier import Accepted, verify_body
from assay.source import Source, read_proof, read_source
from assay.statement import Member, check_challenge, members

FORMAT = 3
Asked = Source | Challenge


@dataclass(frozen=True)
class Routed:
    """How far a layer's choice of experts is from its router's: `raw` of `fraction` fraction bits.

    In units of the router's logits, summed over the tokens.
    """

    segment: str
    raw: int
    fraction: int

    @property
    def distance(self) -> Fraction:
        """Exactly."""
        return Fraction(self.raw) * Fraction(2) ** -self.fraction


@dataclass(frozen=True)
class Verified:
    """What the reference verifier accepted: the body's outcome and the fields that were compared.

    `routing` has an entry for each layer with experts, in the order of the segments.
    """

    fields: dict[str, Any]
    body: Accepted
    routing: tuple[Routed, ...] = ()


def verify(
    proof: Source,
    *,
    public: Source | PublicModel,
    challenge: Asked | Sequence[Asked],
    tokens: Sequence[int] | None = None,
    require_served: bool = False,
    max_routing_distance: float | Fraction | None = None,
    routing: npt.ArrayLike | None = None,
    insecure_no_hiding: bool = False,
) -> Verified:
    """`assay.verify.verify` in plain Python: the same errors, and always against challenges."""
    model = public
    if not isinstance(model, PublicModel):
        model = PublicModel.from_bytes(read_source(model, FILE_CAP, "public file"))
    most = None if max_routing_distance is None else routing_limit(max_routing_distance)
    experts = None if routing is None else routing_table(routing)
    several = [challenge] if isinstance(challenge, str | os.PathLike | bytes | Challenge) else challenge
    asked = [c if isinstance(c, Challenge) else _read(c) for c in several]
    file = ProofFile.from_bytes(read_proof(proof))
    file.require_hiding(insecure_no_hiding=insecure_no_hiding)
    for one in asked:
        check_challenge(model, one)
    batch = members(model, asked, opened_by(file.statement, asked, model))
    circuits = [[decode(segment.encoded()) for segment in member.segments] for member in batch]
    fields = statement_fields(model, batch, circuits, hiding=file.hiding)
    compare(file, model.profile.name, fields)
    if experts is not None:
        for one in asked:
            require_log(experts, one.record)
    try:
        body = verify_body(build(model, batch, circuits, fields), file.body)
    except MalformedError as error:
        raise ChallengeError("statement-malformed", f"no such statement can be proven: {error}") from error
    if tokens is not None:
        _require_tokens(batch, tuple(tokens))
    if require_served:
        _require_served(asked)
    routed = tuple(_routing(model, batch, body))
    if most is not None:
        _require_routing(routed, most)
    return Verified(fields, body, routed)


def _read(source: Source) -> Challenge:
    return Challenge.from_bytes(read_source(source, FILE_CAP, "challenge"))


def _require_tokens(batch: Sequence[Member], tokens: tuple[int, ...]) -> None:
    opened = [member.disclosure for member in batch if member.challenge.scope != LAYERS]
    passes = [disclosure.tokens for disclosure in opened if disclosure is not None]
    if len(passes) != 1:
        raise RequestError(
            "no-one-forward-pass",
            f"tokens are compared with one forward pass or encoding; the proof has {len(passes)}",
        )
    require(passes[0] == tokens, "statement.tokens", Where(), "the tokens are others than those given")


def _require_served(asked: Sequence[Challenge]) -> None:
    logs = [one.record.log if one.scope == FORWARD else None for one in asked]
    served = all(log is not None and log.served for log in logs)
    require(served, "statement.served", Where(), "a statement without distances to served logits")


def _routing(model: PublicModel, batch: Sequence[Member], body: Accepted) -> Iterator[Routed]:
    """The totals that are routing distances, each with the fraction bits of its layer's router."""
    segments = [(member, segment) for member in batch for segment in member.segments]
    for (member, segment), totals in zip(segments, body.totals, strict=True):
        if segment.layer is not None and DISTANCE in totals:
            fraction = model.scales.layers[segment.layer[0]].sites[ROUTER]
            yield Routed(member.name(segment), totals[DISTANCE], fraction)


def _require_routing(routing: Sequence[Routed], most: Fraction) -> None:
    for layer in routing:
        where = Where(layer.segment)
        require(
            layer.distance <= most, "statement.routing", where, "the experts are further from the router's"
        )


# ---- the fields ----


def statement_fields(
    model: PublicModel, batch: Sequence[Member], circuits: Sequence[Sequence[Circuit]], *, hiding: bool
) -> dict[str, Any]:
    """Everything that is compared; its encoding is the instance (proof-format, "Proof")."""
    return {
        "format": FORMAT,
        "hiding": hiding,
        "profile": model.profile.name,
        "public": model.hash,
        "epoch": model.epoch,
        "members": [_member_fields(member, own) for member, own in zip(batch, circuits, strict=True)],
    }


def _member_fields(member: Member, circuits: Sequence[Circuit]) -> dict[str, Any]:
    asked = member.challenge
    fields = {
        "record": asked.record.to_dict(),
        "record_root": asked.record.hash,
        "nonce": asked.nonce,
        "drawn": asked.drawn,
        "scope": asked.scope,
    }
    pairs = zip(member.segments, circuits, strict=True)
    segments: list[dict[str, Any]] = [{"name": member.name(s), "circuit": c.digest} for s, c in pairs]
    opened = {} if member.disclosure is None else member.disclosure.to_dict()
    if asked.scope == LAYERS:
        return {
            **fields,
            "layers": list(asked.layers),
            "segments": [{**s, "distance": [0]} for s in segments],
            **opened,
        }
    positions = {"positions": list(asked.positions)} if asked.scope == FORWARD else {}
    return {**fields, **positions, "segments": segments, **opened}


def compare(file: ProofFile, profile: str, fields: dict[str, Any]) -> None:
    """Head and statement of a proof are exactly these; the error names the first field that is not."""
    if file.profile != profile:
        place: str | None = "profile"
    elif file.hiding != fields["hiding"]:
        place = "hiding"
    else:
        place = next(differences(file.statement, fields), None)
    if place is None and file.statement_bytes != framing.encode(fields):
        place = "encoding"
    if place is not None:
        raise VerificationError(
            f"statement.{place}", f"the proof is about something else: it differs in {place}"
        )


def differences(found: dict[str, Any], expected: dict[str, Any]) -> Iterator[str]:
    """Names of the fields that differ, of members the names of their fields."""
    for name in [*expected, *(n for n in found if n not in expected)]:
        if name not in found or name not in expected:
            yield name
        elif name == "members":
            yield from _in_members(found[name], expected[name])
        elif framing.encode(found[name]) != framing.encode(expected[name]):
            yield name


def _in_members(found: Any, expected: list[dict[str, Any]]) -> Iterator[str]:
    if not isinstance(found, list) or len(found) != len(expected):
        yield "members"
        return
    for one, other in zip(found, expected, strict=True):
        yield from differences(one, other) if isinstance(one, dict) else ("members",)


# ---- the statement ----


def build(
    model: PublicModel,
    batch: Sequence[Member],
    circuits: Sequence[Sequence[Circuit]],
    fields: dict[str, Any],
) -> Statement:
    """The statement that challenges ask for; the fields are its instance."""
    segments = [
        Segment(name=member.name(segment), circuit=circuit, member=number)
        for number, (member, own) in enumerate(zip(batch, circuits, strict=True))
        for segment, circuit in zip(member.segments, own, strict=True)
    ]
    return Statement(
        degree=model.profile.degree,
        hiding=fields["hiding"],
        code=model.code,
        required_bits=float(model.profile.bits),
        instance=framing.encode(fields),
        weights=_long_lived("weights", model.root, model.layout),
        members=tuple(_boundaries(model, member) for member in batch),
        segments=tuple(segments),
    )


def _boundaries(model: PublicModel, member: Member) -> LongLived | None:
    """What a member reads of the record: the boundaries around its layers, and which experts ran.

    A proof from the tokens on has boundaries of its own, so that it reads the experts alone.
    """
    asked = member.challenge
    layout = boundary_layout(model.config, model.code, asked.record.tokens)
    if asked.scope != LAYERS:
        layout = Layout(layout.parts, tuple(s for s in layout.slots if s.name.endswith(f".{ROUTING}")))
    if not layout.slots:
        return None
    found = _long_lived(f"{member.prefix}boundaries", asked.record.boundaries_root, layout)
    return replace(found, partial=asked.scope != LAYERS)


def _long_lived(name: str, root: bytes, layout: Layout) -> LongLived:
    return LongLived(name=name, root=root, part_rows=layout.parts, slots=layout.slots)
