"""Changed proofs: of every field, of lengths, and with roots that fit the change."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

import pytest

from assay.errors import VerificationError
from assay.reference import Statement, opening, tableau, verify_body
from assay.reference.codewords import climb
from assay.reference.field import Ext, P
from assay.reference.transcript import Messages, Where

DIGEST = 32


class Case(Protocol):
    """A statement in both forms."""

    reference: Any

    def prove(self) -> bytes: ...


@dataclass
class Trace:
    """What an honest run reads and draws: (place, size, where) of messages, and challenges."""

    messages: list[tuple[int, int, Where]] = field(default_factory=list)
    drawn: list[tuple[int, str, Ext]] = field(default_factory=list)  # messages before it, label, value
    absorbed: int = 0  # messages before the columns
    roots: list[int] = field(default_factory=list)  # places


def changed(body: bytes, at: int, new: bytes) -> bytes:
    return body[:at] + new + body[at + len(new) :]


class Honest:
    """An honest proof and its mutations."""

    def __init__(self, case: Case) -> None:
        self.statement: Statement = case.reference
        self.body = case.prove()

    @cached_property
    def trace(self) -> Trace:
        """By running the reference verifier."""
        out = Trace()
        take, challenge, told = Messages.take, Messages.challenge, Messages.bytes

        def noted_take(m: Any, size: int, where: Where) -> bytes:
            out.messages.append((m._at, size, where))
            return take(m, size, where)

        def noted_bytes(m: Any, label: str, size: int, where: Where) -> bytes:
            out.roots += [m._at] if label == "root" else []
            return told(m, label, size, where)

        def noted_challenge(m: Any, label: str) -> Ext:
            value = challenge(m, label)
            out.drawn.append((len(out.messages), label, value))
            return value

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Messages, "take", noted_take)
            patch.setattr(Messages, "bytes", noted_bytes)
            patch.setattr(Messages, "challenge", noted_challenge)
            verify_body(self.statement, self.body)
        last = "tableau.products" if self.statement.hiding else "opening.u"
        sizes = [size for _, size, _ in out.messages]
        degree, code = self.statement.degree, self.statement.code
        out.absorbed = 1 + max(i for i, size in enumerate(sizes) if size == 8 * degree * code.message)
        out.absorbed += 3 if last == "tableau.products" else 0
        return out

    # ---- one after another ----

    def sections(self) -> list[list[tuple[int, int]]]:
        """Places of messages, those of one kind and relation together."""
        sections: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
        for number, (at, size, where) in enumerate(self.trace.messages):
            absorbed = number < self.trace.absorbed
            key = (absorbed, where.segment, where.relation, where.round is None, size)
            sections.setdefault(key, []).append((at, size))
        return list(sections.values())

    def mutations(self, count: int, seed: int = 0) -> Iterator[bytes]:
        """Round after round over all sections: a bit flipped, an element not below p, messages swapped."""
        draw, sections = random.Random(seed), self.sections()
        for number in range(count):
            section = sections[number % len(sections)]
            at, size = draw.choice(section)
            kind = number // len(sections) % 3
            if kind == 1 and size % 8 == 0:
                large = (P + draw.randrange(4)).to_bytes(8, "little")
                yield changed(self.body, at + 8 * draw.randrange(size // 8), large)
            elif kind == 2 and len(section) > 1:
                other, _ = draw.choice(section)
                one, two = self.body[at : at + size], self.body[other : other + size]
                yield changed(changed(self.body, at, two), other, one)
            else:
                yield self._flipped(draw, at, size)

    def _flipped(self, draw: random.Random, at: int, size: int) -> bytes:
        place = at + draw.randrange(size)
        return changed(self.body, place, bytes([self.body[place] ^ 1 << draw.randrange(8)]))

    def lengths(self, count: int, seed: int = 0) -> Iterator[bytes]:
        """Cut at messages and inside them; a byte too many."""
        draw, body = random.Random(seed), self.body
        yield from (b"", body[:-1], body + b"\0", body + body)
        for _ in range(count // 2):
            at, size, _ = draw.choice(self.trace.messages)
            yield body[:at]
            yield body[: at + draw.randrange(size)]

    def repaired(self, count: int, seed: int = 0) -> Iterator[bytes]:
        """A bit of the columns flipped, and the root in the body replaced by that of what is there now."""
        draw = random.Random(seed)
        columns, places = self.trace.messages[self.trace.absorbed :], self._root_places()
        for _ in range(count):
            at, size, where = draw.choice([m for m in columns if m[2].relation in places])
            body = self._flipped(draw, at, size)
            yield changed(body, places[where.relation], self._root_of(body, where))

    def _root_places(self) -> dict[str | None, int]:
        """Of the commitments whose roots are in the body: all but those that the statement names."""
        names = dict.fromkeys(where.relation for _, _, where in self.trace.messages[self.trace.absorbed :])
        return dict(zip(list(names)[len(self.statement.long_lived) :], self.trace.roots, strict=True))

    def _root_of(self, body: bytes, where: Where) -> bytes:
        found = bytes(DIGEST)

        def noted(m: Messages, leaves: dict[int, bytes], width: int, at: Where) -> bytes:
            nonlocal found
            root = climb(m, leaves, width, at)
            found = root if at.relation == where.relation else found
            return root

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(opening, "climb", noted)
            patch.setattr(tableau, "climb", noted)
            with pytest.raises(VerificationError):
                verify_body(self.statement, body)
        return found

    def every(self, count: int, seed: int = 0) -> Iterator[bytes]:
        """About so many of all kinds."""
        return chain(
            self.mutations(count * 3 // 4, seed),
            self.lengths(count // 8, seed),
            self.repaired(count // 8, seed),
        )
