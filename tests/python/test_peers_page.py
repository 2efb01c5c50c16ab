"""The page that compares with other systems, from the results that are stored; nothing is measured here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIME = {"wall": 2.0, "cpu": 3.0}


def page(folder: Path, results: Path) -> str:
    """What the command writes of stored results."""
    out = folder / "page.md"
    command = [
        sys.executable,
        "-m",
        "benchmarks.peers",
        "--only",
        "",
        "--results",
        str(results),
        "--page",
        str(out),
    ]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    return out.read_text()


def stored(folder: Path, results: dict[str, Any]) -> Path:
    path = folder / "results.json"
    path.write_text(json.dumps(results))
    return path


def rows(text: str, start: str) -> list[list[str]]:
    """Cells of the lines of tables whose first cell starts so."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_is_that_of_the_stored_results(tmp_path: Path) -> None:
    made = page(tmp_path, ROOT / "benchmarks" / "peers" / "results.json")
    assert made == (ROOT / "docs" / "peers.md").read_text()


def test_what_was_not_measured_is_not_on_the_page(tmp_path: Path) -> None:
    made = page(tmp_path, stored(tmp_path, {}))
    assert not rows(made, "linear")
    assert not rows(made, "Assay")


def test_rows_ratios_and_unfinished_systems(tmp_path: Path) -> None:
    case = "linear 256x256, 16 tokens"
    at = {"rss": 10**9, "load": 1.5}
    theirs = {
        "export": {"logrows": 16, **at},
        "setup": {"setup": TIME, "pk_bytes": 5 * 10**8, **at},
        "witness": {"witness": TIME, "relative_error": 1e-3, **at},
        "prove": {"prove": {"wall": 50.0, "cpu": 90.0}, "proof_bytes": 5600, "rss": 2 * 10**9, "load": 7.0},
        "verify": {"verify": TIME, **at},
    }
    ours = {"prove": {"wall": 0.1, "cpu": 0.3}, "verify": TIME, "register": TIME, "proof_bytes": 600_000}
    results = {
        case: {
            "ezkl": theirs,
            "Assay, small code": {"run": {**ours, "bits": 130.04, "relative_error": 4e-5, **at}},
            "Assay, default code": {"write": at},
        }
    }
    made = page(tmp_path, stored(tmp_path, results))
    first, second, ratio = rows(made, case)
    assert first[1:] == [
        "ezkl, 2^16 rows, proving key 500 MB", "2 / 3", "50 / 90", "2 / 3", "5.6 KB", "2 GB", "7.0", "0.001",
    ]  # fmt: skip
    assert second[1] == "Assay, small code, 130.0 bits proven"
    assert ratio[1:] == ["Assay, small code", "", "300"]
    theirs["prove"]["load"] = 1.0
    assert rows(page(tmp_path, stored(tmp_path, results)), case)[2][2:] == ["500", "300"]


def test_gpt2_is_extrapolated_only_where_it_was_not_measured(tmp_path: Path) -> None:
    def run(cpu: float) -> dict[str, Any]:
        return {"prove": {"wall": 9, "cpu": cpu}, "bits": 130.0, "proof_bytes": 1, "rss": 1, "load": 1.0}

    steps = {
        "register": {"register": TIME, "disk_bytes": 10**9, "storage": "recompute"},
        "prove 16": run(16.0),
        "prove 32": run(24.0),
    }
    made = page(tmp_path, stored(tmp_path, {"gpt2": steps}))
    assert rows(made, "Assay, extrapolated") == [
        ["Assay, extrapolated, not measured", "1024", "more than 0.508"]
    ]
    measured = {"gpt2": {**steps, "prove 1024": run(700.0)}}
    assert not rows(page(tmp_path, stored(tmp_path, measured)), "Assay, extrapolated")
