"""The files that Python reads from outside, damaged: for fuzz_python.py and for a short run among the tests.

Files are changed as values: taken apart into sections and envelopes, one or more nodes replaced, put together
again with lengths that fit, so that changes reach the code behind framing and canonical form. Nothing here
knows a field by its name.

    public, record, proof, pin, challenge, layers, envelope     a reader and its bytes
    verify                                                      `assay.verify` up to the messages of a proof

Proof and challenge are those of a forward pass: its statement is what a verifier takes something from.

A reader ends with a value or with a coded error, never with anything else; a value, written again, gives the
bytes it was read from (or, of JSON, a file that reads as the same value). `verify` never gets past its
comparison with another head or statement than the golden proof's.
"""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay import framing
from assay.audit.challenge import Challenge
from assay.audit.header import RecordHeader
from assay.errors import AssayError, InternalError
from assay.framing import FormatError
from assay.proof import ProofFile
from assay.public import PublicModel
from assay.verify import verifier
from assay.verify.pin import Pin

GOLDEN = Path(__file__).resolve().parents[1] / "compat" / "v5" / "provable-100"
VERIFY = "verify"
TRIALS = ("proof", "public", "challenge")  # what is changed for a verification


class ReachedError(Exception):
    """The comparison was passed: the extension would now check the messages."""


def _unchanged(value: bytes, data: bytes) -> None:
    assert value == data, "read, and written otherwise"


def _public(data: bytes) -> None:
    _unchanged(PublicModel.from_bytes(data).encoded, data)


def _record(data: bytes) -> None:
    _unchanged(RecordHeader.from_bytes(data).encoded, data)


def _proof(data: bytes) -> None:
    file = ProofFile.from_bytes(data)
    _unchanged(framing.encode(file.statement), file.statement_bytes)


def _challenge(data: bytes) -> None:
    found = Challenge.from_bytes(data)
    assert Challenge.from_bytes(found.encoded) == found, "read, and written otherwise"


def _pin(data: bytes) -> None:
    found = Pin.from_bytes(data)
    assert Pin.from_bytes(found.encoded) == found, "read, and written otherwise"


def _envelope(data: bytes) -> None:
    _unchanged(framing.encode(framing.decode(data)), data)


READERS: dict[str, Callable[[bytes], None]] = {
    "public": _public,
    "record": _record,
    "proof": _proof,
    "challenge": _challenge,
    "layers": _challenge,
    "pin": _pin,
    "envelope": _envelope,
}


def seeds() -> dict[str, bytes]:
    """A good file of each kind; the proof's body is cut off, as nothing here reads it."""
    challenge = (GOLDEN / "forward.json").read_bytes()
    public = (GOLDEN / "public.assay").read_bytes()
    magic, sections = take_apart((GOLDEN / "forward.assay").read_bytes())
    pinned = Pin(chain=(PublicModel.from_bytes(public).hash,), counter=3, proofs={3: bytes(32)})
    return {
        "public": public,
        "record": Challenge.from_bytes(challenge).record.encoded,
        "proof": put_together(magic, [*sections[:2], sections[2][:64]]),
        "challenge": challenge,
        "layers": (GOLDEN / "challenge.json").read_bytes(),
        "pin": pinned.encoded,
        "envelope": sections[1],
    }


def run(kind: str, data: bytes) -> bool:
    """One reader on bytes from outside; whether they were accepted. Any other failure is a finding."""
    try:
        READERS[kind](data)
    except (AssayError, FormatError) as error:
        if isinstance(error, InternalError):
            raise
        return False
    return True


@contextmanager
def before_the_messages() -> Any:
    """Within it, a verification that gets to a proof's messages raises `ReachedError`."""

    class Core:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def verify(self, *_: object) -> None:
            raise ReachedError

    real = verifier._core
    verifier._core = Core()
    try:
        yield
    finally:
        verifier._core = real


def run_verify(changed: str, data: bytes, good: dict[str, bytes]) -> bool:
    """`assay.verify` with one of its three files changed; whether it got past the comparison."""
    files = {name: good[name] for name in TRIALS} | {changed: data}
    try:
        with before_the_messages():
            verifier.verify(
                files["proof"],
                public=files["public"],
                challenge=files["challenge"],
                insecure_no_hiding=True,
            )
    except ReachedError:
        if changed == "proof":
            assert take_apart(data)[1][:2] == take_apart(good["proof"])[1][:2], "another statement passes"
        return True
    except AssayError as error:
        if isinstance(error, InternalError):
            raise
        return False
    raise AssertionError("a proof without its messages was accepted")


# ---- Changes ----


def take_apart(data: bytes) -> tuple[bytes, list[bytes]]:
    """A framed file's first 12 bytes and its sections, as far as they go."""
    sections, at = [], 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        sections.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return data[:12], sections


def put_together(head: bytes, sections: list[bytes]) -> bytes:
    """The reverse."""
    return head + b"".join(struct.pack("<Q", len(s)) + s for s in sections)


def change(kind: str, data: bytes, choice: random.Random) -> bytes:
    """The bytes with one change or a few: of values, of bytes, or of both."""
    if choice.random() < 0.85:
        data = _change_values(kind, data, choice)
    if choice.random() < 0.25:
        data = _change_bytes(data, choice)
    return data


def _change_values(kind: str, data: bytes, choice: random.Random) -> bytes:
    try:
        if kind == "envelope":
            return framing.encode(_changed(framing.decode(data), choice))
        if kind in ("challenge", "layers", "pin"):
            return json.dumps(_changed(json.loads(data), choice), indent=choice.choice([None, 1])).encode()
        head, sections = take_apart(data)
        k = choice.randrange(max(1, len(sections)))
        sections[k] = framing.encode(_changed(framing.decode(sections[k]), choice))
        return put_together(head, sections)
    except (FormatError, ValueError, IndexError, OverflowError, RecursionError, TypeError):
        return _change_bytes(data, choice)  # no such values in it


def _change_bytes(data: bytes, choice: random.Random) -> bytes:
    out = bytearray(data)
    at = choice.randrange(len(out) + 1)
    match choice.randrange(5):
        case 0 if at < len(out):
            out[at] ^= 1 << choice.randrange(8)
        case 1:
            out[at:at] = choice.randbytes(choice.randrange(1, 9))
        case 2:
            del out[at : at + choice.randrange(1, 9)]
        case 3:
            del out[at:]
        case _:
            other = choice.randrange(len(out) + 1)
            out[at:at] = out[other : other + choice.randrange(1, 40)]
    return bytes(out)


def _changed(value: Any, choice: random.Random) -> Any:
    value = copy.deepcopy(value)
    for _ in range(choice.choice([1, 1, 1, 2, 4])):
        nodes = list(_nodes(value))
        if not nodes:
            return _other(value, choice)
        parent, key = choice.choice(nodes)
        _edit(parent, key, nodes, choice)
    return value


def _nodes(value: Any) -> Any:
    """Every (container, key) below a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _nodes(item)


def _edit(parent: Any, key: Any, nodes: list[Any], choice: random.Random) -> None:
    what = choice.randrange(8)
    if what == 0:
        del parent[key]
    elif what == 1 and isinstance(parent, dict):
        parent[choice.choice(["", "x", key + "_", "é" * 40])] = parent.pop(key)
    elif what == 1:
        parent.insert(key, copy.deepcopy(parent[key]))
    elif what == 2:
        other, at = choice.choice(nodes)
        if other is parent and at in (parent if isinstance(parent, dict) else range(len(parent))):
            parent[key], parent[at] = parent[at], parent[key]
        else:
            parent[key] = copy.deepcopy(other[at]) if _still(other, at) else None
    else:
        parent[key] = _other(parent[key], choice)


def _still(parent: Any, key: Any) -> bool:
    return key in parent if isinstance(parent, dict) else key < len(parent)


_NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 1 << 16, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 53, (1 << 63) - 1)
_NUMBERS = (*_NUMBERS, 1 << 63, (1 << 64) - 1, -(1 << 63))


def _other(value: Any, choice: random.Random) -> Any:
    """A value of the same type, mostly."""
    if choice.random() < 0.15:
        return choice.choice([None, True, 0, 1.5, "", b"", [], {}, [[[[[[[[[[[[[[]]]]]]]]]]]]]], "x" * 5000])
    match value:
        case bool():
            return not value
        case int():
            return choice.choice([*_NUMBERS, value + 1, value - 1, -value, value * 2, choice.getrandbits(64)])
        case float():
            return choice.choice([0.0, -value, value * 2, 5e-324, 1.7e308, float("inf"), float("nan")])
        case str():
            cut = choice.randrange(len(value) + 1)
            return choice.choice([value[:cut], value + "0", value.upper(), value[::-1], "\0", "\ud7ff", "é"])
        case bytes():
            flipped = bytes([*value[:-1], value[-1] ^ 1]) if value else b"\0"
            return choice.choice([b"", value[:-1], value + b"\0", flipped, bytes(len(value))])
        case list():
            return choice.choice(
                [[], value * 2, value[1:], value[::-1], value * 300 if len(value) < 9 else []]
            )
        case _:
            return choice.choice([{}, {"": value}, [value], None])
