"""Whole models: registered, then one layer and one forward pass (or encoding) proven and verified.

    python benchmarks/models.py NAME ... [--tokens 64] [--runs 1] [--markdown] [--work FOLDER]

NAME is gemma3-270m, smollm2-135m or all-minilm-l6-v2, whose packages bring real weights, or a shape of
shapes.py with random ones. A model that is registered in the folder is used again. Of a shape that is too
large to be registered (or with --estimate) one layer is measured, from its boundary on and without a
recording, and the forward pass is what `assay estimate` says; it is marked so.

`--markdown` prints rows of a table instead of JSON. Seconds of proving are those from token ids on, the
recording of the whole model included.
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shapes import SHAPES
from shapes import measure as measure_layer

from assay.audit import challenge
from assay.prove.folder import RegisteredModel
from assay.prove.prover import prove_recording
from assay.prove.record import load_recording, record
from assay.quantize.texts import calibration, heldout
from assay.segments import forget_circuits
from assay.verify import verify

REAL = {
    "gemma3-270m": "Gemma 3 270M",
    "smollm2-135m": "SmolLM2 135M",
    "all-minilm-l6-v2": "all-MiniLM-L6-v2",
}
RANDOM = {
    "gpt2": "GPT-2 small",
    "qwen2.5-0.5b": "Qwen2.5 0.5B",
    "qwen3-0.6b": "Qwen3 0.6B",
    "olmo2-1b": "OLMo 2 1B",
    "mistral-7b": "Mistral 7B",
    "llama-3-8b": "Llama 3 8B",
    "minilm-l6": "MiniLM-L6",
    "mixtral-8x7b": "Mixtral 8x7B",
    "qwen3-30b-a3b": "Qwen3 30B A3B",
    "mixtral-tiny": "a small Mixtral, 4 layers, 2 of 8 experts",
    "qwen3-moe-tiny": "a small Qwen3-MoE, 4 layers, 8 of 64 experts",
}
NAMES = (*REAL, *RANDOM)
LAYER = "1"
FIGURES = ("prove_s", "record_s", "verify_s", "proof_bytes")
TOKENS = 64
COLUMNS = (
    "model",
    f"one layer, {TOKENS} tokens: prove, verify",
    "all of it: prove, verify, proof",
    "command",
)
Found = dict[str, Any]


def assay(*arguments: str | Path) -> Found:
    """What a command prints as JSON; ends with its error."""
    command = [sys.executable, "-m", "assay.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout))


# ---- random models ----


def random_model(name: str, folder: Path) -> Path:
    """A shape as transformers makes it, and a tokenizer that knows the words of the texts measured with."""
    import torch
    import transformers

    if not (folder / "tokenizer.json").is_file():
        config = transformers.AutoConfig.for_model(**SHAPES[name])
        encoder = config.model_type == "bert"
        kind = transformers.AutoModel if encoder else transformers.AutoModelForCausalLM
        torch.manual_seed(1)
        # As models are published: half the memory and disk, and the figures are the same.
        kind.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
        known = sorted({word for text in (*calibration(), *heldout()) for word in text.split()})
        words = {word: i for i, word in enumerate(["<unk>", *known])}
        rules = {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}
        split = {"type": "WhitespaceSplit"}
        empty = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
        tokenizer = {**empty, "added_tokens": [], "pre_tokenizer": split, "model": rules}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


# ---- measurements ----


def encoding(dir: Path, tokens: int, runs: int) -> Found:
    """An encoding of tokens of no meaning: seconds with recording, of verifying, bytes."""
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
    return dict(zip(FIGURES, map(statistics.median, zip(*found, strict=True)), strict=True))


def measured(name: str, work: Path, tokens: int, runs: int) -> Found:
    """All figures of a model that can be registered."""
    model = name if name in REAL else str(random_model(name, work / f"{name}.model"))
    folder, found = work / name, {}
    if not (folder / "public.assay").is_file():
        start = time.perf_counter()
        assay("register", model, "--out", folder, "--storage", "recompute")
        found["register s"] = round(time.perf_counter() - start, 1)
    options = ["--tokens", str(tokens), "--runs", str(runs)]
    layer = assay("bench", "layer", folder, *options, "--layer", LAYER, "--no-accuracy")
    found |= {f"layer {key}": layer[key] for key in FIGURES}
    if RegisteredModel(folder).public.encodes:
        whole = encoding(folder, tokens, runs)
    else:
        whole = assay("bench", "forward", folder, *options, "--model", model)
        found["peak_anon_bytes"] = whole["peak_anon_bytes"]
        found["ratio_to_inference"] = whole["ratio_to_inference"]
    return {**found, "estimated": False, **{key: whole[key] for key in FIGURES}}


def estimate(name: str, tokens: int) -> Found:
    """What `assay estimate` says of a shape on this machine's cores."""
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "config.json"
        config.write_text(json.dumps(SHAPES[name]))
        return assay("estimate", config, "--tokens", str(tokens), "--cores", str(cores()))


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def estimated(name: str, tokens: int) -> Found:
    """One layer, measured without a recording; the rest estimated."""
    layer = measure_layer(name, tokens)
    figures = {key: figure["value"] for key, figure in estimate(name, tokens)["figures"].items()}
    return {
        "layer prove_s": layer["prove s"],
        "layer verify_s": layer["verify s"],
        "layer proof_bytes": round(1e6 * float(layer["MB"])),
        "estimated": True,
        "peak_anon_bytes": round(figures["memory, proving"]),
        "prove_s": figures["recording, time"] + figures["proving, time"],
        "record_s": figures["recording, time"],
        "verify_s": figures["verifying"],
        "proof_bytes": figures["proof"],
    }


def registrable(name: str) -> bool:
    """Whether one registration proof can have all weights."""
    return name in REAL or not estimate(name, TOKENS)["limits"]


def measure(name: str, work: Path, tokens: int, runs: int, *, as_estimate: bool) -> Found:
    """All figures of one model, with the machine's load before them."""
    start = {"name": name, "tokens": tokens, "cores": cores(), "load before": round(os.getloadavg()[0], 2)}
    if as_estimate or not registrable(name):
        found = estimated(name, tokens)
    else:
        found = measured(name, work, tokens, runs)
    return {**start, **found, "tokens/s": round(tokens / found["prove_s"], 2)}


# ---- output ----


def row(found: Mapping[str, Any]) -> str:
    """A row of the table of `COLUMNS`, which names another number of tokens than its head."""
    name, tokens = found["name"], found["tokens"]
    title = REAL.get(name) or f"{RANDOM[name]}, random weights"
    command = f"python benchmarks/models.py {name}"
    if tokens != TOKENS:
        title, command = f"{title}, {tokens} tokens", f"{command} --tokens {tokens}"
    layer = f"{seconds(found['layer prove_s'])}, {seconds(found['layer verify_s'])}"
    whole = (
        f"{seconds(found['prove_s'])} ({found['tokens/s']:.2g} tokens/s), {seconds(found['verify_s'])}, "
        f"{found['proof_bytes'] / 1e6:.1f} MB"
    )
    if found["estimated"]:
        layer, whole = f"{layer} (without recording)", f"estimated: {whole}"
    return f"| {title} | {layer} | {whole} | `{command}` |"


def seconds(value: float) -> str:
    """Two or three digits."""
    if value < 1:
        return f"{value:#.2g} s"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def main() -> None:
    """Prints one JSON object, or row, for each model as soon as it is measured."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="+", metavar="NAME", choices=NAMES, help=", ".join(NAMES))
    p.add_argument("--tokens", type=int, default=TOKENS)
    p.add_argument("--runs", type=int, default=1, help="median of so many")
    p.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "assay-models")
    p.add_argument("--estimate", action="store_true", help="register nothing")
    p.add_argument("--markdown", action="store_true", help="rows of a table")
    a = p.parse_args()
    if a.estimate and (real := [name for name in a.names if name in REAL and name not in SHAPES]):
        p.error(f"{', '.join(real)}: shapes.py has no such shape to estimate")
    a.work.mkdir(parents=True, exist_ok=True)
    if a.markdown:
        print(f"| {' | '.join(COLUMNS)} |\n| {' | '.join('---' for _ in COLUMNS)} |", flush=True)
    for name in a.names:
        found = measure(name, a.work, a.tokens, a.runs, as_estimate=a.estimate)
        print(row(found) if a.markdown else json.dumps(found, indent=1), flush=True)


if __name__ == "__main__":
    main()
