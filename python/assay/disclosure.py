"""What a proof of a forward pass opens of its record: the tokens, and the log's entries at some positions.

A proof of an encoding opens the tokens alone. These are the only things that a verifier takes from a proof's
statement. Each is checked here, against the commitments in the head of the record that the verifier's
challenge carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay import framing
from assay.audit.challenge import ENCODE, FORWARD, Challenge
from assay.audit.log import OpenedEntry, unfit
from assay.audit.tokens import SALT_BYTES, commit_tokens
from assay.errors import VerificationError
from assay.framing import FormatError

_TOKENS: framing.Kinds = {"tokens": list, "salt": bytes}
_FIELDS: Mapping[str, framing.Kinds] = {FORWARD: {**_TOKENS, "log": list}, ENCODE: _TOKENS}
_LARGEST_TOKEN = (1 << 32) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """Tokens with their salt, and the entries of a challenge's positions, in order; none of an encoding."""

    tokens: tuple[int, ...]
    salt: bytes
    log: tuple[OpenedEntry, ...] = ()

    @property
    def ids(self) -> list[tuple[int, ...]]:
        """The ids of each position."""
        return [opened.entry.ids for opened in self.log]

    def to_dict(self) -> dict[str, Any]:
        """As a member of a statement has it."""
        log = {"log": [opened.to_dict() for opened in self.log]} if self.log else {}
        return {"tokens": list(self.tokens), "salt": self.salt, **log}

    @classmethod
    def from_member(cls, member: Mapping[str, Any], scope: str) -> Disclosure:
        """Reads it out of a member of a proof's statement; raises `FormatError`."""
        kinds = _FIELDS[scope]
        found = {name: member[name] for name in kinds if name in member}
        values = framing.fields(found, f"statement of the scope {scope}", kinds)
        if not all(type(t) is int and 0 <= t <= _LARGEST_TOKEN for t in values["tokens"]):
            raise FormatError("type", "tokens are numbers of 32 bits")
        framing.sized(values["salt"], SALT_BYTES, "the salt of the tokens")
        log = tuple(OpenedEntry.from_dict(entry) for entry in values.get("log", ()))
        return cls(tokens=tuple(values["tokens"]), salt=values["salt"], log=log)

    def require(self, challenge: Challenge, vocabulary: int) -> None:
        """Raises `VerificationError` unless all of it is what the challenge's record commits to."""
        header = challenge.record
        if len(self.tokens) != header.tokens or not all(0 <= t < vocabulary for t in self.tokens):
            raise VerificationError("statement.tokens", "the number of tokens, or one of them, is impossible")
        if commit_tokens(self.tokens, self.salt) != header.tokens_commitment:
            raise VerificationError(
                "statement.tokens", "the tokens are not those that the record is committed to"
            )
        if challenge.scope == FORWARD:
            self._require_log(challenge, vocabulary)

    def _require_log(self, challenge: Challenge, vocabulary: int) -> None:
        header, head = challenge.record, challenge.record.log
        if head is None or len(self.log) != len(challenge.positions):
            raise VerificationError("statement.log", "not one entry of the log for each position asked for")
        for position, opened in zip(challenge.positions, self.log, strict=True):
            if not opened.opens(head, header.request, position, header.tokens):
                raise VerificationError(
                    "statement.log",
                    f"the entry of position {position} is not the one in the log of this request",
                )
            if reason := unfit(opened.entry, head, vocabulary):
                raise VerificationError("statement.ids", f"the log at position {position}: {reason}")
