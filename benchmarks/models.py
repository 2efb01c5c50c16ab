"""Whole models: registered, then one layer and one forward pass (or encoding) proven and verified.

    python benchmarks/models.py NAME [--tokens 64] [--work FOLDER]

NAME is gemma3-270m, smollm2-135m or all-minilm-l6-v2, whose packages bring real weights, or gpt2-random:
GPT-2 small with random weights. A model that is registered in the folder is used again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from assay.audit import challenge
from assay.prove.folder import RegisteredModel
from assay.prove.prover import prove_recording
from assay.prove.record import load_recording, record
from assay.segments import forget_circuits
from assay.verify import verify

GPT2 = "gpt2-random"
ENCODERS = ("all-minilm-l6-v2",)
NAMES = ("gemma3-270m", "smollm2-135m", GPT2, *ENCODERS)


def assay(*arguments: str | Path) -> dict[str, Any]:
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "assay.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return dict(json.loads(done.stdout))


def random_gpt2(folder: Path) -> Path:
    """GPT-2 small as transformers makes it, and a tokenizer that nobody needs."""
    import torch
    import transformers

    if not (folder / "config.json").is_file():
        torch.manual_seed(1)
        transformers.GPT2LMHeadModel(transformers.GPT2Config()).save_pretrained(folder)
        words = {"<unk>": 0, **{chr(0x21 + i): 1 + i for i in range(94)}}
        empty = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
        rules = {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}
        tokenizer = {**empty, "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": rules}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def encoding(dir: Path, tokens: int, runs: int) -> dict[str, Any]:
    """An encoding of random tokens: seconds with recording, of verifying, bytes."""
    model, found = RegisteredModel(dir), []
    ids = [1000 + 7 * i for i in range(tokens)]
    for _ in range(runs):
        with tempfile.TemporaryDirectory(dir=dir.parent) as scratch:
            forget_circuits()
            start = time.perf_counter()
            record(model, Path(scratch) / "REQ", tokens=ids, log=None)
            recording = load_recording(Path(scratch) / "REQ", model)
            recorded = time.perf_counter()
            asked = challenge(Path(scratch) / "REQ" / "record.assay", scope="encode")
            proof = prove_recording(model, recording, asked).data
            proven = time.perf_counter()
            verify(proof, public=model.public.encoded, challenge=asked)
            times = (proven - start, recorded - start, time.perf_counter() - proven)
            found.append((*times, len(proof)))
    prove, recorded, verified, size = map(statistics.median, zip(*found, strict=True))
    return {"prove_s": prove, "record_s": recorded, "verify_s": verified, "proof_bytes": size}


def measure(name: str, work: Path, tokens: int, runs: int) -> dict[str, Any]:
    """All figures of one model."""
    model = str(random_gpt2(work / "gpt2")) if name == GPT2 else name
    folder = work / name
    found: dict[str, Any] = {"name": name, "tokens": tokens, "load before": os.getloadavg()[0]}
    if not (folder / "public.assay").is_file():
        start = time.perf_counter()
        assay("register", model, "--out", folder, "--storage", "recompute")
        found["register s"] = round(time.perf_counter() - start, 1)
    layer = assay("bench", "layer", folder, "--tokens", str(tokens), "--layer", "1", "--no-accuracy")
    found |= {f"layer {key}": layer[key] for key in ("prove_s", "record_s", "verify_s", "proof_bytes")}
    if name in ENCODERS:
        whole = encoding(folder, tokens, runs)
    else:
        options = ["--tokens", str(tokens), "--runs", str(runs), "--model", model]
        whole = assay("bench", "forward", folder, *options)
        found["peak_anon_bytes"] = whole["peak_anon_bytes"]
    found |= {key: whole[key] for key in ("prove_s", "record_s", "verify_s", "proof_bytes")}
    return {**found, "tokens/s": round(tokens / whole["prove_s"], 2)}


def main() -> None:
    """Prints one JSON object for each model."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("names", nargs="+", metavar="NAME", choices=NAMES)
    p.add_argument("--tokens", type=int, default=64)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "assay-models")
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    for name in a.names:
        print(json.dumps(measure(name, a.work, a.tokens, a.runs), indent=1), flush=True)


if __name__ == "__main__":
    main()
