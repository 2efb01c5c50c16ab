"""The verifier: holds the statement it expects, compares every field, checks the proof's messages."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy.typing as npt

from assay import _core
from assay.audit.challenge import Challenge
from assay.audit.routing import require_log, routing_table
from assay.errors import ChallengeError, PublicFileError, RequestError, VerificationError
from assay.policy import routing_limit
from assay.proof import FILE_CAP, ProofFile
from assay.public import PublicModel
from assay.segments import layer_name
from assay.source import Source, read_proof, read_source
from assay.statement import Statement, build_statement, check_challenge
from assay.verify.compare import rejected, require_statement, stated_challenges, stated_disclosures
from assay.verify.pin import PinFile
from assay.verify.verified import (
    AnyStatement,
    EncodeStatement,
    ForwardStatement,
    LayerStatement,
    Proven,
    RoutingDistance,
    Verified,
    verified_member,
)

Asked = Source | Challenge


def verify(
    proof: Source,
    *,
    public: Source | PublicModel,
    challenge: Asked | Sequence[Asked] | None = None,
    any_statement: bool = False,
    tokens: Sequence[int] | None = None,
    require_served: bool = False,
    max_routing_distance: float | Fraction | None = None,
    routing: npt.ArrayLike | None = None,
    pin: str | os.PathLike[str] | None = None,
    insecure_no_hiding: bool = False,
) -> Verified:
    """Checks a proof and returns what it proves, or raises.

    `VerificationError` (exit code 1) is for a proof that is wrong in any way, `PublicFileError` and
    `ChallengeError` (2) for the other two. A proof of a batch answers several challenges, given in its order.
    Without a challenge it refuses, unless `any_statement` is set: then the statement is the proof's own, and
    nothing is compared but the public file. `tokens` must be those of the one forward pass or encoding that
    is proven.
    With `require_served` every statement has to say how far served logits are from the exact model's. With
    `max_routing_distance` no layer's choice of experts may be further from its router's own, in units of the
    router's logits, summed over the tokens; 0 is the router's own choice. A layer without experts has none.
    With a `routing`, ids [layers, T, K], these have to be the public log of every record, of which the proof
    then says that they ran.

    With a `pin` (a file, see `assay.verify.pin`) the public file must be of the pinned chain, and the file is
    brought up to the highest counter of a proof that holds, also of one that says less than was required. A
    proof that does not hide is rejected unless `insecure_no_hiding` permits it.
    """
    model = (
        public
        if isinstance(public, PublicModel)
        else PublicModel.from_bytes(read_source(public, FILE_CAP, "public file"))
    )
    pinned = None if pin is None else PinFile.of(pin)
    if pinned is not None:
        pinned.read().require(model)
    most = None if max_routing_distance is None else routing_limit(max_routing_distance)
    experts = None if routing is None else routing_table(routing)
    asked = _challenges(challenge, any_statement)
    data = read_proof(proof)
    file = ProofFile.from_bytes(data)
    file.require_hiding(insecure_no_hiding=insecure_no_hiding)
    statement = _expected(model, asked, file)
    require_statement(file, statement, model.profile.name)
    if experts is not None:
        for member in statement.members:
            require_log(experts, member.challenge.record)
    try:
        result = _core.verify(statement.core, file.body)
    except _core.Rejected as error:
        raise rejected(*error.args) from error
    found = _verified(statement, model, result, compared=not any_statement, size=len(data))
    if pinned is not None:
        found = replace(found, ledger_went_back=pinned.note(found.counter, hashlib.sha256(data).digest()))
    if tokens is not None:
        _require_tokens(found, tuple(tokens))
    if require_served:
        _require_served(found)
    if most is not None:
        _require_routing(found, most)
    return found


def _challenges(given: Asked | Sequence[Asked] | None, any_statement: bool) -> list[Challenge] | None:
    several = [given] if isinstance(given, str | os.PathLike | bytes | Challenge) else list(given or ())
    if not several:
        if any_statement:
            return None
        raise RequestError(
            "no-challenge",
            "a proof is verified against a challenge, and none was given",
            hint="--any-statement only shows what a proof says and compares nothing",
        )
    if any_statement:
        raise RequestError(
            "both-challenge-and-any", "with a challenge the statement is compared: leave out any_statement"
        )
    return [
        one if isinstance(one, Challenge) else Challenge.from_bytes(read_source(one, FILE_CAP, "challenge"))
        for one in several
    ]


def _expected(model: PublicModel, asked: list[Challenge] | None, file: ProofFile) -> Statement:
    """The statement that the proof has to be about."""
    if asked is not None:
        for one in asked:
            check_challenge(model, one)
        opened = stated_disclosures(file.statement, asked)
        return build_statement(model, asked, hiding=file.hiding, disclosures=opened)
    stated = stated_challenges(file.statement)
    opened = stated_disclosures(file.statement, stated)
    try:
        return build_statement(model, stated, hiding=file.hiding, disclosures=opened)
    except (ChallengeError, PublicFileError) as error:
        raise VerificationError(
            f"statement.{error.code}", f"the proof's statement: {error.message}"
        ) from error


def _verified(
    statement: Statement, model: PublicModel, result: dict[str, Any], *, compared: bool, size: int
) -> Verified:
    digests = [s["circuit"] for member in statement.fields["members"] for s in member["segments"]]
    proven = [
        Proven(digest, totals, outputs)
        for digest, totals, outputs in zip(digests, result["totals"], result["outputs"], strict=True)
    ]
    members, at = [], 0
    for member in statement.members:
        after = at + len(member.segments)
        members.append(verified_member(member, proven[at:after]))
        at = after
    return Verified(
        members=tuple(members),
        compared=compared,
        profile=model.profile.name,
        hiding=statement.fields["hiding"],
        security_bits=result["security_bits"],
        security_terms=result["security_terms"],
        public_hash=model.hash,
        proof_bytes=size,
        epoch=model.epoch,
        counter=result["counter"],
    )


def _require_tokens(found: Verified, tokens: tuple[int, ...]) -> None:
    """The one forward pass or encoding of a proof is of these tokens."""
    proven = [s.tokens for s in found.statements if isinstance(s, ForwardStatement | EncodeStatement)]
    if len(proven) != 1:
        raise RequestError(
            "no-one-forward-pass",
            f"tokens are compared with one forward pass or encoding; the proof has {len(proven)}",
        )
    if proven[0] != tokens:
        raise VerificationError("statement.tokens", "the tokens that were proven are others than those given")


def _require_served(found: Verified) -> None:
    """Every statement has distances to logits that were logged as served."""
    if not all(isinstance(s, ForwardStatement) and s.distances is not None for s in found.statements):
        raise VerificationError(
            "statement.served", "the proof says nothing of served logits: a statement of it has no distances"
        )


def _require_routing(found: Verified, most: Fraction) -> None:
    """No layer's choice of experts is further from its router's than this."""
    for number, member in enumerate(found.members):
        prefix = f"{number + 1}: " if len(found.members) > 1 else ""
        for statement in member.statements:
            for name, distance in _routing_distances(statement).items():
                if distance.exact > most:
                    raise VerificationError(
                        "statement.routing",
                        f"the routing distance is {distance.logits:.6g}, more than {float(most):.6g}",
                        segment=prefix + name,
                    )


def _routing_distances(statement: AnyStatement) -> Mapping[str, RoutingDistance]:
    """By segment; layers without experts have none."""
    if isinstance(statement, ForwardStatement):
        return statement.routing_distances
    if isinstance(statement, LayerStatement) and statement.routing_distance is not None:
        return {layer_name(statement.layer): statement.routing_distance}
    return {}
