"""Proofs taken apart: the words of every message and of every opened column, by name.

The layout of a statement's bodies is learnt from one run of the reference verifier; others are read by it,
with nothing computed but the transcript, whose indices say how many digests an opening has.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from assay.reference import Statement, codewords, opening, tableau, verify_body
from assay.reference.codewords import DIGEST, SALT
from assay.reference.transcript import CHALLENGE, INDICES, Messages, Transcript, Where

Words = dict[str, np.ndarray]  # by name: a word for each place, [places], or [proofs, places]


@dataclass(frozen=True)
class _Step:
    kind: str  # message, challenge, indices, symbols, salt, digest, siblings
    name: str
    size: int
    code: int = 0
    payload: bytes = b""


class Reader:
    """Reads bodies of one statement."""

    def __init__(self, statement: Statement, body: bytes, transcript: Transcript | None = None) -> None:
        self.statement = statement
        self._steps: list[_Step] = []
        with pytest.MonkeyPatch.context() as patch:
            self._listen(patch)
            verify_body(statement, body, transcript)
        self._name_columns()

    def _listen(self, patch: pytest.MonkeyPatch) -> None:
        note, frame, take, climb = self._steps.append, Transcript.frame, Messages.take, codewords.climb

        def noted_frame(t: Any, kind: int, label: str, payload: bytes) -> None:
            if kind == INDICES:
                note(_Step("indices", label, 0, kind, payload))
            elif kind >= CHALLENGE:
                note(_Step("challenge", label, 0, kind))
            elif label != "instance":
                self._steps[-1] = _Step("message", label, len(payload), kind)  # in place of its bytes
            frame(t, kind, label, payload)

        def noted_take(m: Any, size: int, where: Where) -> bytes:
            note(_Step("bytes", str(where.relation), size))
            return take(m, size, where)

        def noted_climb(m: Any, leaves: dict[int, bytes], width: int, where: Where) -> bytes:
            start = len(self._steps)
            root = climb(m, leaves, width, where)
            self._steps[start:] = [_Step("siblings", str(where.relation), width)]
            return root

        patch.setattr(Transcript, "frame", noted_frame)
        patch.setattr(Messages, "take", noted_take)
        for module in (opening, tableau):
            patch.setattr(module, "climb", noted_climb)

    def _name_columns(self) -> None:
        """What a salt follows are symbols; the rest are digests of parts that are not opened."""
        steps, salt = self._steps, False
        for k, (step, following) in enumerate(pairwise([*steps, _Step("end", "", 0)])):
            if step.kind != "bytes":
                continue
            if salt:
                kind = "salt"
            else:
                kind = "symbols" if (following.kind, following.size) == ("bytes", SALT) else "digest"
            salt = kind == "symbols"
            steps[k] = _Step(kind, f"{kind} of {step.name}", step.size)

    def read(self, body: bytes, transcript: Transcript | None = None) -> Words:
        """The words of one proof."""
        hiding, degree = self.statement.hiding, self.statement.degree
        t = transcript or Transcript(self.statement.encoded(), hiding=hiding)
        found: defaultdict[str, list[bytes]] = defaultdict(list)
        indices: list[list[int]] = []
        at = 0
        for step in self._steps:
            size = step.size
            if step.kind == "challenge":
                t.challenge(step.name, degree)
            elif step.kind == "indices":
                indices.append(t.indices(step.name, *struct.unpack("<QQ", step.payload)))
            elif step.kind == "siblings":
                size = DIGEST * siblings(indices[step.name == "tableau"], step.size)
                found["siblings of " + step.name].append(body[at : at + size])
            else:
                found[step.name].append(body[at : at + size])
                if step.kind == "message":
                    t.frame(step.code, step.name, found[step.name][-1])
            at += 0 if step.kind in ("challenge", "indices") else size
        assert at == len(body)
        return {name: np.frombuffer(b"".join(raw), "<u8") for name, raw in found.items()}

    def read_all(self, bodies: Iterable[bytes]) -> Words:
        """Of several proofs: [proofs, places]. Digests of openings are as many as they are, and left out."""
        every = [self.read(body) for body in bodies]
        return stacked(every)


def stacked(every: list[Words]) -> Words:
    """[proofs, places] for each name whose places are always as many."""
    names = [name for name in every[0] if not name.startswith("siblings")]
    return {name: np.stack([one[name] for one in every]) for name in names}


def siblings(indices: list[int], width: int) -> int:
    """Digests of a Merkle opening."""
    known, count = set(indices), 0
    while width > 1:
        count += sum(1 for i in known if i ^ 1 not in known and i ^ 1 < width)
        known, width = {i // 2 for i in known}, -(-width // 2)
    return count
