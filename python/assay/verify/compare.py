"""A proof's statement against the verifier's own, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from assay import framing
from assay.audit.challenge import NONCE_BYTES, SCOPES, Challenge, asked_of
from assay.audit.header import RecordHeader
from assay.disclosure import Disclosure, opens
from assay.errors import ChallengeError, VerificationError
from assay.framing import FormatError
from assay.proof import ProofFile
from assay.statement import Statement


def require_statement(file: ProofFile, statement: Statement, profile: str) -> None:
    """Rejects a proof whose head or statement is not exactly the expected one."""
    if file.profile != profile:
        raise VerificationError("statement.profile", f"the proof has the profile {file.profile!r}")
    if file.hiding != statement.fields["hiding"]:
        raise VerificationError("statement.hiding", f"the proof says hiding={file.hiding}")
    place = first_difference(file.statement, statement.fields)
    if place is not None or file.statement_bytes != statement.instance:
        place = place or "encoding"
        raise VerificationError(
            f"statement.{_field(place)}",
            f"the proof is about something else: its statement differs in {place}",
        )


def _field(place: str) -> str:
    """The field that a place is in, `layers` of `members.0.layers.1`: error codes name it."""
    head, *rest = place.split(".")
    return rest[1] if head == "members" and len(rest) > 1 else head


def rejected(code: str, segment: str, relation: str, round: int, message: str) -> VerificationError:
    """What the extension says of a proof's body."""
    return VerificationError(
        code, message, segment=segment or None, relation=relation or None, round=None if round < 0 else round
    )


def first_difference(found: Any, expected: Any, path: str = "") -> str | None:
    """The path of the first field in which two envelopes differ, `record.tokens`; None if in none."""
    return next(_differences(found, expected, path), None)


def _differences(found: Any, expected: Any, path: str) -> Iterator[str]:
    if type(found) is not type(expected):
        yield path
    elif isinstance(expected, dict):
        for name in [*expected, *(name for name in found if name not in expected)]:
            place = f"{path}.{name}" if path else name
            if name not in found or name not in expected:
                yield place
            else:
                yield from _differences(found[name], expected[name], place)
    elif isinstance(expected, list):
        if len(found) != len(expected):
            yield path
        for i, (a, b) in enumerate(zip(found, expected, strict=False)):
            yield from _differences(a, b, f"{path}.{i}")
    elif found != expected:
        yield path


def stated_challenges(fields: dict[str, Any]) -> list[Challenge]:
    """The challenges that a proof says it answers; only for looking at a statement without comparing it."""
    try:
        return [_challenge(member) for member in stated_members(fields)]
    except FormatError as error:
        raise VerificationError(f"format.{error.reason}", f"statement: {error.message}") from error
    except ChallengeError as error:
        raise VerificationError("format.range", f"statement: {error.message}") from error


def stated_disclosures(fields: dict[str, Any], challenges: Sequence[Challenge]) -> list[Disclosure | None]:
    """What a proof opens of the records that challenges are bound to; still to be checked against these."""
    try:
        found = stated_members(fields)
        if len(found) != len(challenges):
            raise VerificationError(
                "statement.members",
                f"the proof answers {len(found)} challenges, {len(challenges)} were asked",
            )
        pairs = zip(found, challenges, strict=True)
        return [_disclosure(member, challenge) for member, challenge in pairs]
    except FormatError as error:
        raise VerificationError(f"format.{error.reason}", f"statement: {error.message}") from error


def stated_members(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """The members of a proof's statement, of any content; raises `FormatError`."""
    found = fields.get("members")
    if not isinstance(found, list) or not all(isinstance(member, dict) for member in found):
        raise FormatError("type", "the members are missing")
    return found


def _disclosure(member: dict[str, Any], challenge: Challenge) -> Disclosure | None:
    if not opens(challenge):
        return None
    if member.get("scope") != challenge.scope:
        raise VerificationError(
            "statement.scope", f"{challenge.described} was asked for, the proof is about something else"
        )
    return Disclosure.from_member(member, challenge)


def _challenge(member: dict[str, Any]) -> Challenge:
    header = RecordHeader.from_dict(member.get("record"))
    nonce, scope, drawn = member.get("nonce"), member.get("scope"), member.get("drawn")
    if not isinstance(nonce, bytes) or scope not in SCOPES or not isinstance(drawn, bool):
        raise FormatError("type", "nonce, scope or the origin of what was asked are missing")
    framing.sized(nonce, NONCE_BYTES, "nonce")
    return asked_of(header, nonce, scope, member, drawn=drawn)
