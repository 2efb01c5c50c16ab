"""What a proof opens of its record, if anything.

One of a forward pass opens the tokens and the log's entries at some positions, one of an encoding the tokens
alone. Any proof opens which experts ran in its layers, where the record has a public log of them. Nothing
else of a proof's statement is taken by a verifier. It is checked here, against the commitments in the head of
the record that the verifier's challenge carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay import framing
from assay.audit import routing
from assay.audit.challenge import ENCODE, FORWARD, LAYERS, Challenge
from assay.audit.log import OpenedEntry, unfit
from assay.audit.routing import OpenedRouting
from assay.audit.tokens import SALT_BYTES, commit_tokens
from assay.errors import VerificationError
from assay.framing import FormatError

_TOKENS: framing.Kinds = {"tokens": list, "salt": bytes}
_FIELDS: Mapping[str, framing.Kinds] = {FORWARD: {**_TOKENS, "log": list}, ENCODE: _TOKENS, LAYERS: {}}
_EXPERTS: framing.Kinds = {"experts": list}
_LARGEST_TOKEN = (1 << 32) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """Tokens with their salt, the entries of a challenge's positions, and the experts of its layers."""

    tokens: tuple[int, ...] = ()
    salt: bytes = b""
    log: tuple[OpenedEntry, ...] = ()
    experts: tuple[OpenedRouting, ...] = ()

    @property
    def ids(self) -> list[tuple[int, ...]]:
        """The ids of each position."""
        return [opened.entry.ids for opened in self.log]

    def to_dict(self) -> dict[str, Any]:
        """As a member of a statement has it."""
        found: dict[str, Any] = {}
        if self.tokens:
            found |= {"tokens": list(self.tokens), "salt": self.salt}
        if self.log:
            found["log"] = [opened.to_dict() for opened in self.log]
        if self.experts:
            found["experts"] = [opened.to_dict() for opened in self.experts]
        return found

    @classmethod
    def from_member(cls, member: Mapping[str, Any], challenge: Challenge) -> Disclosure:
        """Reads what such a challenge needs out of a member of a proof's statement; raises `FormatError`."""
        kinds = {**_FIELDS[challenge.scope], **({} if challenge.record.routing is None else _EXPERTS)}
        found = {name: member[name] for name in kinds if name in member}
        values = framing.fields(found, f"statement of the scope {challenge.scope}", kinds)
        tokens = values.get("tokens", [])
        if not all(type(t) is int and 0 <= t <= _LARGEST_TOKEN for t in tokens):
            raise FormatError("type", "tokens are numbers of 32 bits")
        if "salt" in values:
            framing.sized(values["salt"], SALT_BYTES, "the salt of the tokens")
        return cls(
            tokens=tuple(tokens),
            salt=values.get("salt", b""),
            log=tuple(OpenedEntry.from_dict(entry) for entry in values.get("log", ())),
            experts=tuple(OpenedRouting.from_dict(entry) for entry in values.get("experts", ())),
        )

    def require(self, challenge: Challenge, vocabulary: int, routed: tuple[int, int] | None) -> None:
        """Raises `VerificationError` unless all of it is what the challenge's record commits to.

        `vocabulary` and `routed`, experts and those of a token, are the model's.
        """
        if challenge.scope != LAYERS:
            self._require_tokens(challenge, vocabulary)
        if challenge.scope == FORWARD:
            self._require_log(challenge, vocabulary)
        if challenge.record.routing is not None:
            self._require_experts(challenge, challenge.record.routing, routed)

    def _require_tokens(self, challenge: Challenge, vocabulary: int) -> None:
        header = challenge.record
        if len(self.tokens) != header.tokens or not all(0 <= t < vocabulary for t in self.tokens):
            raise VerificationError("statement.tokens", "the number of tokens, or one of them, is impossible")
        if commit_tokens(self.tokens, self.salt) != header.tokens_commitment:
            raise VerificationError(
                "statement.tokens", "the tokens are not those that the record is committed to"
            )

    def _require_experts(self, challenge: Challenge, root: bytes, routed: tuple[int, int] | None) -> None:
        header, layers = challenge.record, proven_layers(challenge)
        if routed is None or len(self.experts) != len(layers):
            raise VerificationError("statement.experts", "not the experts of each layer that is proven")
        for layer, opened in zip(layers, self.experts, strict=True):
            if not opened.opens(root, header.request, layer, header.num_layers):
                raise VerificationError(
                    "statement.experts",
                    f"the experts of layer {layer} are not those in the log of this request",
                )
            if reason := routing.unfit(opened.ids, header.tokens, routed):
                raise VerificationError("statement.experts", f"the experts of layer {layer}: {reason}")

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


def opens(challenge: Challenge) -> bool:
    """Whether a proof for this challenge opens anything of its record."""
    return challenge.scope != LAYERS or challenge.record.routing is not None


def proven_layers(challenge: Challenge) -> Sequence[int]:
    """The layers that are proven, in order: those asked for, or all."""
    return challenge.layers or range(challenge.record.num_layers)
