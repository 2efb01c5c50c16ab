"""Damaged files of every kind: a reader ends with a value or a coded error. (tests/fuzz goes further.)"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))

import surface

ROUNDS = 3000


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    return surface.seeds()


@pytest.mark.parametrize("kind", list(surface.READERS))
def test_a_reader_of_damaged_files_accepts_or_says_why_not(kind: str, good: dict[str, bytes]) -> None:
    assert surface.run(kind, good[kind])
    choice = random.Random(kind)
    verdicts = set()
    for _ in range(ROUNDS):
        verdicts.add(surface.run(kind, surface.change(kind, good[kind], choice)))
    assert False in verdicts


@pytest.mark.parametrize("changed", surface.TRIALS)
def test_a_verification_with_a_damaged_file_ends_before_the_messages(
    changed: str, good: dict[str, bytes]
) -> None:
    assert surface.run_verify(changed, good[changed], good)
    choice = random.Random(changed)
    passed = sum(
        surface.run_verify(changed, surface.change(changed, good[changed], choice), good)
        for _ in range(ROUNDS // 4)
    )
    assert passed < ROUNDS // 8
