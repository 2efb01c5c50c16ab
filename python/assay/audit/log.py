"""The log of a request: for each position the ids that count there, committed when the request is recorded.

An entry has K ids: what an inference server logged, with its logits as fixed-point numbers; or, of a record
that nothing was served for, the exact model's own K largest. A proof of a forward pass is about the entries
of the positions that were asked for, and opens these alone:

    leaf of position t = canonical CBOR of [request, t, ids, logits or null, salt]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay import framing
from assay.audit import merkle
from assay.framing import FormatError

TOP_K = 20
MOST_IDS = 128
SALT_BYTES = 32
LOGIT_RANGE = (-(1 << 15), (1 << 15) - 1)
_HEAD: framing.Kinds = {"root": bytes, "top_k": int, "fraction": int, "served": bool}
_OPENED: framing.Kinds = {"ids": list, "logits": (list, type(None)), "salt": bytes, "path": list}
_DEEPEST = 13  # of a tree over the tokens of a record


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """What a record says of its log; `fraction` is that of logits, `served` whether the entries have any."""

    root: bytes
    top_k: int
    fraction: int
    served: bool

    def to_dict(self) -> dict[str, Any]:
        """As the record has it."""
        return {"root": self.root, "top_k": self.top_k, "fraction": self.fraction, "served": self.served}

    @classmethod
    def from_dict(cls, raw: Any) -> LogHead:
        """Rebuilds it; raises `FormatError`."""
        values = framing.fields(raw, "log", _HEAD)
        framing.sized(values["root"], merkle.HASH_BYTES, "the root of the log")
        framing.ranged(values["top_k"], 1, MOST_IDS, "top_k")
        framing.ranged(values["fraction"], -62, 62, "the fraction of the log")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One position: ids, the served logits of each or None, and the salt that hides both."""

    ids: tuple[int, ...]
    logits: tuple[int, ...] | None
    salt: bytes

    def leaf(self, request: bytes, position: int) -> bytes:
        """Its hash in the tree."""
        logits = None if self.logits is None else list(self.logits)
        return merkle.leaf_hash(framing.encode([request, position, list(self.ids), logits, self.salt]))


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """An entry with its way to the root."""

    entry: LogEntry
    path: tuple[bytes, ...]

    def to_dict(self) -> dict[str, Any]:
        """As a statement has it."""
        e = self.entry
        logits = None if e.logits is None else list(e.logits)
        return {"ids": list(e.ids), "logits": logits, "salt": e.salt, "path": list(self.path)}

    @classmethod
    def from_dict(cls, raw: Any) -> OpenedEntry:
        """Rebuilds it; raises `FormatError`."""
        values = framing.fields(raw, "log entry", _OPENED)
        logits = values["logits"]
        for name, numbers in (("ids", values["ids"]), ("logits", logits or [])):
            if len(numbers) > MOST_IDS or not all(type(x) is int for x in numbers):
                raise FormatError("type", f"log entry: {name} are at most {MOST_IDS} integers")
        if len(values["path"]) > _DEEPEST or not all(isinstance(x, bytes) for x in values["path"]):
            raise FormatError("type", "log entry: a path is a list of hashes")
        for node in values["path"]:
            framing.sized(node, merkle.HASH_BYTES, "a hash")
        framing.sized(values["salt"], SALT_BYTES, "a salt")
        entry = LogEntry(tuple(values["ids"]), None if logits is None else tuple(logits), values["salt"])
        return cls(entry, tuple(values["path"]))

    def opens(self, head: LogHead, request: bytes, position: int, of: int) -> bool:
        """Whether this is the entry of that position in the log of that request, over `of` positions."""
        leaf = self.entry.leaf(request, position)
        return merkle.root_of(leaf, position, of, self.path) == head.root


def unfit(entry: LogEntry, head: LogHead, vocabulary: int) -> str:
    """Why an entry cannot be one of such a log, or nothing."""
    if len(entry.ids) != head.top_k:
        return f"{len(entry.ids)} ids instead of {head.top_k}"
    if len(set(entry.ids)) != len(entry.ids):
        return "an id is repeated"
    if not all(0 <= i < vocabulary for i in entry.ids):
        return f"an id is outside the vocabulary of {vocabulary}"
    if (entry.logits is not None) != head.served:
        return "served logits are missing" if head.served else "logits where nothing was served"
    if entry.logits is not None and len(entry.logits) != head.top_k:
        return f"{len(entry.logits)} logits instead of {head.top_k}"
    if not all(LOGIT_RANGE[0] <= x <= LOGIT_RANGE[1] for x in entry.logits or ()):
        return "a logit does not fit 16 bits"
    return ""


def log_leaves(request: bytes, entries: Sequence[LogEntry]) -> list[bytes]:
    """The hashes of all entries, position 0 first."""
    return [entry.leaf(request, t) for t, entry in enumerate(entries)]
