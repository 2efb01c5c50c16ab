"""What a proof is about, built by whoever holds the public file and the challenges; never read from a proof.

A proof is a batch of members: layers of one request between its recorded boundaries, or one request's forward
pass from its tokens to its logits at some positions, or of an encoder to the pooled vector. All are of one
public file, so of one root and epoch.

The instance is the canonical CBOR of every field that a verifier compares; it goes into the transcript before
anything else, together with code, commitments and circuit digests. Circuits are rebuilt from the public
file's configuration and scales. What a proof opens of its record is the one thing that a verifier takes from
it; it is checked against the record first (`assay.disclosure`).

A layer's `distance` is reserved: [0], the computed output boundary equals the recorded one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay import framing
from assay.audit.challenge import ENCODE, FORWARD, LAYERS, Challenge
from assay.audit.log import LogHead
from assay.disclosure import Disclosure, opens, proven_layers
from assay.errors import ChallengeError
from assay.layout import Layout, Slot, boundary_layout, routing_name
from assay.proof import STATEMENT_CAP
from assay.public import PublicModel
from assay.segments import Segment, embedding_rows, segments

if TYPE_CHECKING:
    from assay import _core

FORMAT = 3
DISTANCE = (0,)
MOST_MEMBERS = 256
MOST_SEGMENTS = 1 << 12
MOST_TOKEN_LAYERS = 1 << 16
"""Tokens times layers that one proof may cover: bounds what a verifier builds for a hostile record."""
MOST_LOGITS = 1 << 28
"""Positions times vocabulary that one proof may cover."""


@dataclass(frozen=True, slots=True)
class Member:
    """One statement of a batch: what is asked, what it opens, its segments by the names of the transcript."""

    challenge: Challenge
    disclosure: Disclosure | None
    segments: tuple[Segment, ...]
    prefix: str

    def name(self, segment: Segment) -> str:
        """A segment as errors and transcripts name it; in a batch of several with its member's number."""
        return self.prefix + segment.name


@dataclass(frozen=True, slots=True)
class Statement:
    """The fields, their canonical bytes, and the same as the extension takes it."""

    fields: dict[str, Any]
    instance: bytes
    core: _core.Statement
    members: tuple[Member, ...] = ()
    circuits: tuple[_core.Circuit, ...] = ()


def build_statement(
    public: PublicModel,
    challenges: Sequence[Challenge],
    *,
    hiding: bool = True,
    disclosures: Sequence[Disclosure | None] | None = None,
) -> Statement:
    """The statement that challenges ask for, in this order.

    Raises `ChallengeError` if they are not about this model, `VerificationError` if what is opened of a
    record is not what it commits to.
    """
    from assay import _core

    batch = members(public, challenges, disclosures)
    circuits = [[segment.circuit() for segment in member.segments] for member in batch]
    digests = [[circuit.digest for circuit in own] for own in circuits]
    fields = statement_fields(public, batch, digests, hiding=hiding)
    instance = framing.encode(fields)
    if len(instance) > STATEMENT_CAP:
        raise _too_large(len(instance), STATEMENT_CAP, "bytes of a statement")
    named = [
        (member.name(segment), circuit, index)
        for index, (member, own) in enumerate(zip(batch, circuits, strict=True))
        for segment, circuit in zip(member.segments, own, strict=True)
    ]
    try:
        core = _core.Statement(
            degree=public.profile.degree,
            code=public.code.core(),
            required_bits=float(public.profile.bits),
            instance=instance,
            weights=long_lived("weights", public.root, public.layout),
            members=[_boundaries(public, member) for member in batch],
            segments=named,
            hiding=hiding,
        )
    except _core.Malformed as error:
        raise ChallengeError(
            "statement-malformed", f"no such statement can be proven: {error.args[0]}"
        ) from error
    return Statement(fields, instance, core, batch, tuple(circuit for _, circuit, _ in named))


def members(
    public: PublicModel,
    challenges: Sequence[Challenge],
    disclosures: Sequence[Disclosure | None] | None = None,
) -> tuple[Member, ...]:
    """The members of a batch, all checked; needs no extension."""
    opened = [None] * len(challenges) if disclosures is None else disclosures
    _check_batch(public, challenges)
    batch = []
    for index, (challenge, disclosure) in enumerate(zip(challenges, opened, strict=True)):
        check_challenge(public, challenge)
        if opens(challenge):
            if disclosure is None:
                raise ChallengeError(
                    "no-disclosure",
                    f"a statement about {challenge.described} needs what its proof opens of the record",
                    hint="--proof FILE takes them from the proof, and checks them against the record",
                )
            disclosure.require(challenge, public.config["vocab_size"], public.routed)
        prefix = f"{index + 1}: " if len(challenges) > 1 else ""
        own = tuple(segments(public, challenge, disclosure))
        batch.append(Member(challenge, disclosure, own, prefix))
    return tuple(batch)


def statement_fields(
    public: PublicModel, batch: Sequence[Member], digests: Sequence[Sequence[bytes]], *, hiding: bool = True
) -> dict[str, Any]:
    """Every field that a verifier compares; `digests` are those of the circuits of each member's segments."""
    return {
        "format": FORMAT,
        "hiding": hiding,
        "profile": public.profile.name,
        "public": public.hash,
        "epoch": public.epoch,
        "members": [_member_fields(member, own) for member, own in zip(batch, digests, strict=True)],
    }


def _member_fields(member: Member, digests: Sequence[bytes]) -> dict[str, Any]:
    challenge = member.challenge
    own: dict[str, Any] = {"distance": list(DISTANCE)} if challenge.scope == LAYERS else {}
    opened = {} if member.disclosure is None else member.disclosure.to_dict()
    return {
        "record": challenge.record.to_dict(),
        "record_root": challenge.record.hash,
        "nonce": challenge.nonce,
        "drawn": challenge.drawn,
        "scope": challenge.scope,
        **challenge.asked,
        "segments": [
            {"name": member.name(segment), "circuit": digest, **own}
            for segment, digest in zip(member.segments, digests, strict=True)
        ],
        **opened,
    }


def _boundaries(public: PublicModel, member: Member) -> _core.LongLived | None:
    """What a member reads of the boundaries' commitment; what begins at the tokens reads no boundaries."""
    layout = recorded_layout(public, member.challenge)
    if layout is None:
        return None
    name, challenge = f"{member.prefix}boundaries", member.challenge
    root, partial = challenge.record.boundaries_root, challenge.scope != LAYERS
    return long_lived(name, root, layout, partial=partial)


def recorded_layout(public: PublicModel, challenge: Challenge) -> Layout | None:
    """The boundaries' commitment of a challenge's record, with the slots that a statement reads by name.

    Layers lie between recorded boundaries; all else begins at the tokens and reads which experts ran, if any
    did: without these, nothing.
    """
    layout = boundary_layout(public.config, public.code, challenge.record.tokens)
    if challenge.scope == LAYERS:
        return layout
    names = {routing_name(layer) for layer in range(public.num_layers)}
    choices = tuple(slot for slot in layout.slots if slot.name in names)
    return Layout(layout.parts, choices) if choices else None


def opened_slots(public: PublicModel, challenge: Challenge) -> list[Slot]:
    """Those of the slots that a proof opens."""
    layout = recorded_layout(public, challenge)
    names = {routing_name(layer) for layer in proven_layers(challenge)}
    if challenge.scope == LAYERS:
        names |= {f"boundary.{layer + side}" for layer in challenge.layers for side in (0, 1)}
    return [] if layout is None else [slot for slot in layout.slots if slot.name in names]


def _check_batch(public: PublicModel, challenges: Sequence[Challenge]) -> None:
    """Bounds what is built for a hostile record or challenge."""
    if not challenges:
        raise ChallengeError("no-challenge", "a statement is about at least one challenge")
    counts = [len(c.layers) if c.scope == LAYERS else public.num_layers for c in challenges]
    passes = sum(c.scope != LAYERS for c in challenges)
    around = passes * (len(embedding_rows(public)) + 3)
    token_layers = sum(c.record.tokens * count for c, count in zip(challenges, counts, strict=True))
    logits = sum(len(c.positions) for c in challenges) * public.config["vocab_size"]
    for found, most, what in (
        (len(challenges), MOST_MEMBERS, "challenges"),
        (sum(counts) + around, MOST_SEGMENTS, "segments"),
        (token_layers, MOST_TOKEN_LAYERS, "layers times tokens"),
        (logits, MOST_LOGITS, "positions times vocabulary"),
    ):
        if found > most:
            raise _too_large(found, most, what)
    _refuse_repeated(challenges)


def _too_large(found: int, most: int, what: str) -> ChallengeError:
    return ChallengeError(
        "challenge-too-large",
        f"{found} {what} are more than one proof may cover: {most}",
        hint="ask for less, in several challenges and proofs",
    )


def _refuse_repeated(challenges: Sequence[Challenge]) -> None:
    roots = [c.record.hash for c in challenges if c.scope == LAYERS]
    if len(set(roots)) != len(roots):
        raise ChallengeError(
            "record-repeated",
            "two challenges of a batch ask for layers of one record",
            hint="ask for all of them in one challenge",
        )


def check_challenge(public: PublicModel, challenge: Challenge) -> None:
    """The record that a challenge is bound to was made with this registered model."""
    header = challenge.record
    if header.public != public.hash:
        raise ChallengeError(
            "record-of-another-model",
            f"the record is of the public file {header.public.hex()[:16]}, not {public.hash.hex()[:16]}",
            hint="give the public file of the model that made the record",
        )
    if header.weights_root != public.root or header.num_layers != public.num_layers:
        raise ChallengeError(
            "record-mismatch", "the record names another root or number of layers than its model"
        )
    if header.tokens > public.config["max_position"]:
        raise ChallengeError("record-mismatch", "the record has more tokens than the model's context")
    if not header.follows(public.config, public.code):
        raise ChallengeError("record-mismatch", "the record's boundaries are not laid out as its model says")
    _check_scope(public, challenge.scope)
    if header.log is not None and not fits(header.log, public):
        raise ChallengeError("record-mismatch", "the record's log is not one of its model's logits")
    if header.routing is not None and public.routed is None:
        raise ChallengeError("record-mismatch", "the record has a log of experts, its model has none")


def _check_scope(public: PublicModel, scope: str) -> None:
    """An encoder has no logits, and any other model no encoding."""
    if scope == (FORWARD if public.encodes else ENCODE):
        what = "an encoder: it has no logits" if public.encodes else "no encoder: it has logits"
        raise ChallengeError(
            "scope-not-covered",
            f"the scope {scope} was asked for, the model is {what}",
            hint=f"ask for the scope {ENCODE if public.encodes else FORWARD}, or for layers",
        )


def fits(log: LogHead, public: PublicModel) -> bool:
    """Whether a log is of this model's logits."""
    head = public.scales.head
    return head is not None and log.fraction == head.logits and log.top_k <= public.config["vocab_size"]


def long_lived(name: str, root: bytes, layout: Layout, *, partial: bool = False) -> _core.LongLived:
    """A commitment as a verifier knows it; of a partial one all slots are read, others beside."""
    from assay import _core

    slots = [(s.name, s.part, s.first_block, s.rows, s.cols, s.cell_bytes) for s in layout.slots]
    return _core.LongLived(name, root, list(layout.parts), slots, partial)
