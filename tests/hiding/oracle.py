"""Transcripts whose challenges a test draws in advance, and an oracle that is programmed with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.reference import Statement
from assay.reference.field import Ext, P
from assay.reference.transcript import Transcript


class Draw:
    """Uniform elements, bytes and sets."""

    def __init__(self, seed: Any) -> None:
        self.generator = np.random.default_rng(seed)

    def words(self, *shape: int) -> np.ndarray:
        """Elements of F."""
        return self.generator.integers(0, P, shape, dtype=np.uint64)

    def bytes(self, size: int) -> bytes:
        """Of a root, a salt, a digest that nobody opens."""
        return self.generator.bytes(size)

    def subset(self, count: int, below: int) -> list[int]:
        """Different numbers, ascending."""
        return sorted(self.generator.choice(below, count, replace=False).tolist())


class Scripted(Transcript):
    """Challenges of E come one after another from a seed, whatever was absorbed; indices are given."""

    def __init__(self, statement: Statement, seed: Any, indices: dict[str, list[int]]) -> None:
        super().__init__(statement.encoded(), hiding=statement.hiding)
        self._draw, self._indices = Draw(seed), indices

    def challenge(self, label: str, degree: int) -> Ext:
        super().challenge(label, degree)
        return Ext(self._draw.words(degree).tolist())

    def indices(self, label: str, count: int, below: int) -> list[int]:
        super().indices(label, count, below)
        return self._indices[label]


class Oracle:
    """SHAKE128, but for the histories at which it was programmed."""

    def __init__(self) -> None:
        self.answers: dict[bytes, Any] = {}

    def transcript(self, statement: Statement) -> Transcript:
        """That of a verifier with this oracle."""
        return _Programmed(statement, self.answers)

    def program(self, statement: Statement, script: Scripted) -> Transcript:
        """That of a verifier who is given the script's answers; they are the oracle's from then on."""
        return _Programmed(statement, self.answers, script)


class _Programmed(Transcript):
    def __init__(
        self, statement: Statement, answers: dict[bytes, Any], script: Scripted | None = None
    ) -> None:
        super().__init__(statement.encoded(), hiding=statement.hiding)
        self._answers, self._script = answers, script

    def challenge(self, label: str, degree: int) -> Ext:
        own = super().challenge(label, degree)
        if self._script is not None:
            self._answers[self._history()] = self._script.challenge(label, degree)
        answer: Ext = self._answers.get(self._history(), own)
        return answer

    def indices(self, label: str, count: int, below: int) -> list[int]:
        own = super().indices(label, count, below)
        if self._script is not None:
            self._answers[self._history()] = self._script.indices(label, count, below)
        answer: list[int] = self._answers.get(self._history(), own)
        return answer

    def _history(self) -> bytes:
        return self._hash.digest(32)
