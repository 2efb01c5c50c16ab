"""Assay beside ezkl, published figures and TOPLOC: one command, one table.

    pip install -c constraints.txt -e '.[bench]'
    pip install -c constraints.txt --no-build-isolation --no-binary toploc toploc    # builds against torch
    python -m benchmarks.peers --only linear,decoder,gpt2,records

Each step is run once, in a process of its own, and stored at once in `results.json`; a step that is stored
there is not run again, so a run that was cut off goes on, and `--again` begins anew. The page is
`docs/peers.md`. ezkl's decoder layer needs 11 GB of memory and 6 GB of disk, GPT-2 some 2 GB of each; files
are in the folder `--work`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.peers import table
from benchmarks.peers.measure import ROOT, StepFailedError, machine, run_step

RESULTS = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs" / "peers.md"
Step = tuple[str, str, str, dict[str, Any]]  # key, module, function, arguments


class Runner:
    """Runs steps that are not stored yet, and stores them."""

    def __init__(self, work: Path, store: Path, *, long: bool) -> None:
        self.work, self.store, self.long = work, store, long
        self.results: dict[str, Any] = json.loads(store.read_text()) if store.is_file() else {}

    def system(self, case: str, system: str, steps: list[Step]) -> None:
        """All steps of one system on one case, in a folder of theirs; on failure the next system's turn."""
        kept = self.results.setdefault(case, {}).setdefault(system, {})
        self._run(kept, self.work / _folder(f"{case} {system}"), steps)

    def case(self, case: str, steps: list[Step]) -> None:
        """The same of a case of one system."""
        self._run(self.results.setdefault(case, {}), self.work / case, steps)

    def forget(self, cases: Iterable[str]) -> None:
        """Drops what is stored of these cases, and their folders."""
        for case in cases:
            self.results.pop(case, None)
            for folder in self.work.glob(f"{_folder(case)}*"):
                shutil.rmtree(folder)

    def _run(self, kept: dict[str, Any], folder: Path, steps: list[Step]) -> None:
        if all(key in kept for key, *_ in steps):
            return
        folder.mkdir(parents=True, exist_ok=True)
        for key, module, function, arguments in steps:
            if key in kept:
                continue
            print(f"{folder.name}: {key}", flush=True)
            try:
                kept[key] = run_step(module, function, folder, **arguments)
            except StepFailedError as error:
                print(f"  {error}", flush=True)
                return
            self.results["machine"] = machine()
            self.store.write_text(json.dumps(self.results, indent=1) + "\n")


def _folder(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


def linear(run: Runner) -> None:
    """A product of 64 x 64 and of 256 x 256, 16 tokens."""
    for case, side in zip(table.LINEAR, (64, 256), strict=True):
        sizes = {"inputs": side, "outputs": side, "tokens": 16}
        run.system(case, "ezkl", ezkl("linear", sizes))
        for code in ("small", "default"):
            run.system(
                case,
                f"Assay, {code} code",
                [("run", "assay_steps", "linear", {"sizes": sizes, "code": code})],
            )


def decoder(run: Runner) -> None:
    """A decoder layer of hidden size 32 with 2 heads, 8 tokens."""
    run.system(table.DECODER, "ezkl", ezkl("decoder", {"hidden": 32, "heads": 2, "inner": 128, "tokens": 8}))
    for code in ("small", "default"):
        steps = registered("decoder", code=code, storage="stored")
        proof = ("prove", "assay_steps", "prove", {"tokens": 8, "scope": "layer"})
        run.system(
            table.DECODER, f"Assay, {code} code", [*steps, proof, ("verify", "assay_steps", "verify", {})]
        )


def gpt2(run: Runner) -> None:
    """GPT-2 small, from token ids to logits."""
    tokens = (16, 32, 64, 1024) if run.long else (16, 32, 64)
    steps = registered("gpt2", code="default", storage="recompute")
    for count in tokens:
        steps.append((f"prove {count}", "assay_steps", "prove", {"tokens": count, "scope": "forward"}))
        steps.append((f"verify {count}", "assay_steps", "verify", {}))
        steps.append((f"inference {count}", "assay_steps", "inference", {"tokens": count}))
    run.case("gpt2", steps)


def records(run: Runner) -> None:
    """TOPLOC and Token-DiFR on Gemma 3 270M."""
    for name in ("toploc", "token_difr"):
        run.system("records", name, [("run", "record_steps", name, {})])


def ezkl(kind: str, sizes: dict[str, int]) -> list[Step]:
    """From ONNX to a verdict."""
    export: Step = ("export", "ezkl_steps", "export", {"kind": kind, "sizes": sizes})
    return [export, *((name, "ezkl_steps", name, {}) for name in ("setup", "witness", "prove", "verify"))]


def registered(model: str, *, code: str, storage: str) -> list[Step]:
    """A model of random weights, registered."""
    return [
        ("write", "assay_steps", "write", {"model": model}),
        ("register", "assay_steps", "register", {"code": code, "storage": storage}),
    ]


CASES: dict[str, Callable[[Runner], None]] = {
    "linear": linear,
    "decoder": decoder,
    "gpt2": gpt2,
    "records": records,
}
NAMES = {"linear": table.LINEAR, "decoder": (table.DECODER,), "gpt2": ("gpt2",), "records": ("records",)}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", default=",".join(CASES), help="cases, separated by commas; none: the page alone")
    p.add_argument("--again", action="store_true", help="run the steps of these cases again")
    p.add_argument("--long", action="store_true", help="GPT-2 over 1,024 tokens too")
    p.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "assay-peers", help="scratch folder"
    )
    p.add_argument("--results", type=Path, default=RESULTS)
    p.add_argument("--page", type=Path, default=PAGE)
    a = p.parse_args()
    chosen = [name for name in a.only.split(",") if name]
    if unknown := set(chosen) - CASES.keys():
        p.error(f"no such case: {', '.join(sorted(unknown))}")
    run = Runner(a.work, a.results, long=a.long)
    for name in chosen:
        if a.again:
            run.forget(NAMES[name])
        CASES[name](run)
    a.page.write_text(table.page(run.results))


if __name__ == "__main__":
    main()
