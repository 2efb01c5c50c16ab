"""What a proof opens of its record, against the commitments in its head.

    tokens      SHA-256("assay tokens 0", salt, each token as u32)
    log entry   leaf t of a tree of T leaves:  SHA-256(0x00, CBOR of [request, t, ids, logits or null, salt]),
                inner nodes SHA-256(0x01, left, right), the largest power of two of the leaves on the left
    routing     leaf l of a tree of L leaves:  SHA-256(0x00, CBOR of [request, l, the ids, each as u16])

Nothing else of a proof's statement is taken from it. A wrong opening is a `VerificationError`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from assay import framing
from assay.audit.challenge import FORWARD, LAYERS, Challenge
from assay.audit.header import RecordHeader
from assay.audit.log import LogEntry, LogHead, OpenedEntry
from assay.audit.routing import OpenedRouting
from assay.disclosure import Disclosure
from assay.errors import VerificationError
from assay.framing import FormatError
from assay.public import PublicModel
from assay.reference.codewords import sha256
from assay.reference.transcript import Where, require

TOKENS_TAG = b"assay tokens 0"
LEAF, NODE = b"\x00", b"\x01"
_INT16 = range(-(1 << 15), 1 << 15)


def opened_by(
    statement: dict[str, Any], asked: Sequence[Challenge], model: PublicModel
) -> list[Disclosure | None]:
    """What the members of a proof's statement open; None for those that open nothing."""
    try:
        return [_opened(m, c, model) for m, c in zip(_members(statement, asked), asked, strict=True)]
    except FormatError as error:
        raise VerificationError(f"format.{error.reason}", f"statement: {error.message}") from error


def _members(statement: dict[str, Any], asked: Sequence[Challenge]) -> list[dict[str, Any]]:
    """As many as there are challenges; of any content."""
    found = statement.get("members")
    if not isinstance(found, list) or not all(isinstance(member, dict) for member in found):
        raise FormatError("type", "the members are missing")
    require(
        len(found) == len(asked), "statement.members", Where(), "the proof answers more or fewer challenges"
    )
    return found


def _opened(member: dict[str, Any], asked: Challenge, model: PublicModel) -> Disclosure | None:
    if asked.scope == LAYERS and asked.record.routing is None:
        return None
    same = member.get("scope") == asked.scope
    require(same, "statement.scope", Where(), f"{asked.described} was asked for")
    opened = Disclosure.from_member(member, asked)
    if asked.scope != LAYERS:
        require_opened(opened, asked, model.config["vocab_size"])
    if asked.record.routing is not None:
        require_experts(opened.experts, asked, model.routed)
    return opened


def require_experts(found: Sequence[OpenedRouting], asked: Challenge, routed: tuple[int, int] | None) -> None:
    """The experts of each layer that is proven are those of the record's log: K different ones a token."""
    record, layers = asked.record, list(asked.layers) or list(range(asked.record.num_layers))
    complete = routed is not None and len(found) == len(layers)
    require(complete, "statement.experts", Where(), "not the experts of each layer that is proven")
    experts, chosen = routed or (0, 0)
    for layer, opened in zip(layers, found, strict=True):
        leaf = sha256(LEAF + framing.encode([record.request, layer, opened.ids]))
        same = root_above(leaf, layer, record.num_layers, opened.path) == record.routing
        require(same, "statement.experts", Where(), f"the experts of layer {layer} are others in the log")
        impossible = f"the experts of layer {layer} are impossible"
        require(len(opened.ids) == 2 * record.tokens * chosen, "statement.experts", Where(), impossible)
        ids = [expert for (expert,) in struct.iter_unpack("<H", opened.ids)]
        tokens = [ids[at : at + chosen] for at in range(0, len(ids), chosen)]
        possible = all(len(set(own)) == chosen and max(own) < experts for own in tokens)
        require(possible, "statement.experts", Where(), impossible)


def require_opened(opened: Disclosure, asked: Challenge, vocabulary: int) -> None:
    """Tokens and log entries are those of the record, and such as a model with this vocabulary has."""
    header, head, tokens = asked.record, asked.record.log, opened.tokens
    possible = len(tokens) == header.tokens and all(0 <= t < vocabulary for t in tokens)
    require(possible, "statement.tokens", Where(), "the number of tokens, or one of them, is impossible")
    committed = sha256(TOKENS_TAG + opened.salt + struct.pack(f"<{len(tokens)}I", *tokens))
    require(
        committed == header.tokens_commitment,
        "statement.tokens",
        Where(),
        "the tokens are not those that the record is committed to",
    )
    if asked.scope != FORWARD:
        return
    complete = head is not None and len(opened.log) == len(asked.positions)
    require(complete, "statement.log", Where(), "not one entry of the log for each position asked for")
    assert head is not None
    for position, entry in zip(asked.positions, opened.log, strict=True):
        _require_entry(entry, asked, head, position, vocabulary)


def _require_entry(
    opened: OpenedEntry, asked: Challenge, head: LogHead, position: int, vocabulary: int
) -> None:
    header, entry = asked.record, opened.entry
    leaf = sha256(LEAF + leaf_bytes(entry, header.request, position))
    require(
        root_above(leaf, position, header.tokens, opened.path) == head.root,
        "statement.log",
        Where(),
        f"the entry of position {position} is not the one in the log of this request",
    )
    require(
        is_possible(entry, head, vocabulary),
        "statement.ids",
        Where(),
        f"the log at position {position} has impossible ids or logits",
    )


def require_log(ids: npt.NDArray[Any], record: RecordHeader) -> None:
    """A record has a public log of experts, and it is this, [layers, T, K]."""
    logged = record.routing is not None
    require(logged, "statement.experts", Where(), "the record does not say which experts ran")
    nodes = []
    for layer, own in enumerate(ids.reshape(len(ids), -1).tolist()):
        packed = b"".join(struct.pack("<H", expert) for expert in own if expert < 1 << 16)
        nodes.append(sha256(LEAF + framing.encode([record.request, layer, packed])))
    while len(nodes) > 1:
        pairs = [nodes[at : at + 2] for at in range(0, len(nodes), 2)]
        nodes = [sha256(NODE + b"".join(pair)) if len(pair) == 2 else pair[0] for pair in pairs]
    same = len(ids) == record.num_layers and ids.max() < 1 << 16 and nodes == [record.routing]
    require(same, "statement.experts", Where(), "these are not the experts that the record has logged")


def leaf_bytes(entry: LogEntry, request: bytes, position: int) -> bytes:
    """What is hashed of an entry."""
    logits = None if entry.logits is None else list(entry.logits)
    return framing.encode([request, position, list(entry.ids), logits, entry.salt])


def root_above(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root over `count` leaves, from one of them and its neighbours upwards; None if too few or many.

    `last` is the number of the last node of a level. A node without a neighbour moves up as it is.
    """
    node, at, last, rest = leaf, index, count - 1, list(path)
    while last > 0:
        if at % 2 == 1 or at < last:
            if not rest:
                return None
            neighbour = rest.pop(0)
            node = sha256(NODE + (neighbour + node if at % 2 else node + neighbour))
        at, last = at // 2, last // 2
    return None if rest else node


def is_possible(entry: LogEntry, head: LogHead, vocabulary: int) -> bool:
    """K different ids of the vocabulary, and K logits of 16 bits if and only if logits were served."""
    ids, logits = entry.ids, entry.logits
    if len(ids) != head.top_k or len(set(ids)) != len(ids) or not all(0 <= i < vocabulary for i in ids):
        return False
    if logits is None:
        return not head.served
    return head.served and len(logits) == head.top_k and all(x in _INT16 for x in logits)
