"""A proof's statement against the verifier's own, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from assay import framing
from assay.audit.challenge import NONCE_BYTES, Challenge, draw, named_layers
from assay.audit.header import RecordHeader
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
            f"statement.{place.split('.')[0]}",
            f"the proof is about something else: its statement differs in {place}",
        )


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


def stated_challenge(fields: dict[str, Any]) -> Challenge:
    """The challenge that a proof says it answers; only for looking at a statement without comparing it."""
    try:
        header = RecordHeader.from_dict(fields.get("record"))
        nonce, layers, drawn = fields.get("nonce"), fields.get("layers"), fields.get("drawn")
        if not isinstance(nonce, bytes) or not isinstance(layers, list) or not isinstance(drawn, bool):
            raise FormatError("type", "nonce or layers are missing")
        framing.sized(nonce, NONCE_BYTES, "nonce")
        if (
            not all(type(layer) is int for layer in layers)
            or list(named_layers(layers, header.num_layers)) != layers
        ):
            raise FormatError("range", "layers are not ascending numbers")
        if drawn and list(draw(header.hash, nonce, len(layers), header.num_layers)) != layers:
            raise FormatError("draw", "the layers do not follow from the record root and the nonce")
    except FormatError as error:
        raise VerificationError(f"format.{error.reason}", f"statement: {error.message}") from error
    except ChallengeError as error:
        raise VerificationError("format.range", f"statement: {error.message}") from error
    return Challenge(record=header, nonce=nonce, layers=tuple(layers), drawn=drawn)
