"""The table that compares the exact models with transformers: an architecture cannot be left out of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from assay.circuits.catalogue import ARCHITECTURES

pytest.importorskip("torch")
pytest.importorskip("transformers")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import parity  # noqa: E402 - found by the path above


def test_every_architecture_has_a_model_and_a_row() -> None:
    assert sorted([*parity.REAL, *parity.RANDOM]) == sorted(ARCHITECTURES)
    rows = [line for line in parity.PAGE.read_text().splitlines() if line.startswith("|")]
    assert "\n".join(rows[:2]) == parity.HEAD
    assert [row.split(" | ")[0] for row in rows[2:]] == [f"| {kind.title}" for kind in ARCHITECTURES.values()]


def test_a_row_is_measured() -> None:
    small = {"num_hidden_layers": 2, "hidden_size": 128, "intermediate_size": 256, "vocab_size": 320}
    found = parity.measure("olmo2", {**small, "num_attention_heads": 2, "num_key_value_heads": 1})
    assert found["title"] == ARCHITECTURES["olmo2"].title
    for figure in ("last", "logits", "tv"):
        exact, bfloat16 = found[figure]
        assert 0 < exact < 5e-3
        assert exact < bfloat16
    cells = parity.table_row(found).split(" | ")
    assert cells[0] == "| OLMo 2"
    assert cells[3] == " / ".join(f"{x:.2g}" for x in found["last"])


def test_a_page_keeps_its_text() -> None:
    made = parity.page("before\n\n| old |\n| --- |\n| row |\n\nafter\n", ["| new |"])
    assert made == f"before\n\n{parity.HEAD}\n| new |\n\nafter\n"
