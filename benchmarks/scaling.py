"""How proving scales: random models of many shapes, registered, recorded, proven, verified, and measured.

    python benchmarks/scaling.py [--quick] [--scratch FOLDER] [--registered SmolLM2-135M=DIR]
    python benchmarks/scaling_fit.py       fits the cost model that `assay estimate` ships with
    python benchmarks/scaling_plot.py      draws docs/scaling/*.svg

Points are kept in scaling.json as soon as they are measured, so that a run that was cut off goes on. Every
third point, from the second on, is held back from the fit: that was fixed before anything was measured.
Seconds are the processor's (user and system, of all threads): other work on the machine moves them less than
the clock. Random models get typical scales in place of calibrated ones; all else is as in the commands.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from assay.circuits.architecture import Architecture

Point = dict[str, Any]
HERE = Path(__file__).parent
RESULTS = HERE / "scaling.json"
BASE: dict[str, Any] = {
    "family": "llama", "hidden": 512, "inner": 1536, "heads": 8, "kv": 4, "head_dim": 64, "layers": 2,
    "vocab": 8192, "tokens": 64, "positions": 4, "served": True, "batch": 1, "threads": 1,
    "storage": "recompute",
}  # fmt: skip
SMOLLM = "SmolLM2-135M"
CHANGES: list[Point] = [
    {},
    {"tokens": 8},
    {"tokens": 16},
    {"tokens": 32},
    {"tokens": 128},
    {"tokens": 256},
    {"tokens": 512},
    {"hidden": 256},
    {"hidden": 768},
    {"hidden": 1024},
    {"inner": 512},
    {"inner": 3072},
    {"heads": 4, "kv": 2},
    {"heads": 16, "kv": 4},
    {"layers": 1},
    {"layers": 4},
    {"layers": 8, "hidden": 256, "inner": 768},
    {"vocab": 2048},
    {"vocab": 32768},
    {"vocab": 65536},
    {"positions": 1},
    {"positions": 16},
    {"served": False},
    {"batch": 3, "tokens": 16},
    {"threads": 2},
    {"threads": 8},
    {"threads": 8, "tokens": 256},
    {"threads": 8, "layers": 8, "hidden": 256, "inner": 768},
    {"hidden": 1024, "inner": 2816, "heads": 16, "layers": 4, "tokens": 32},
    {"hidden": 256, "inner": 768, "layers": 8, "tokens": 256},
    {"vocab": 65536, "tokens": 256, "positions": 8, "served": False},
    {"hidden": 1024, "vocab": 32768, "layers": 1, "tokens": 128},
    {"hidden": 1024, "inner": 2816, "heads": 16, "layers": 4, "tokens": 128, "threads": 8},
    {"family": "qwen3", "hidden": 768, "inner": 2048, "heads": 6, "kv": 2, "head_dim": 128},
    {"model": SMOLLM, "tokens": 48},
    {"model": SMOLLM, "tokens": 16},
    {"hidden": 2048, "inner": 5632, "heads": 32, "kv": 8, "layers": 1},
    {"hidden": 2048, "inner": 5632, "heads": 32, "kv": 8, "layers": 1, "tokens": 16},
    {"storage": "stored", "hidden": 2048, "inner": 5632, "heads": 32, "kv": 8, "layers": 1},
    {"storage": "stored", "vocab": 65536},
]
REGISTERED = {
    SMOLLM: {
        "hidden": 576, "inner": 1536, "heads": 9, "kv": 3, "head_dim": 64, "layers": 30, "vocab": 49152,
    },
}  # fmt: skip
"""Shapes of the models that are given with --registered."""
QUICK = [{"tokens": 8}, {}, {"tokens": 8, "layers": 1}, {"tokens": 16, "hidden": 256}]
SHAPE = ("family", "hidden", "inner", "heads", "kv", "head_dim", "layers", "vocab", "storage")
HELD_BACK = 3  # one point of so many
LONG = 5.0  # core-seconds of proving after which there is no third run


def points(changes: list[Point]) -> list[Point]:
    """All points, each with its name and whether it is held back."""
    return [
        {"name": _name(change), "held_back": i % HELD_BACK == 1, **BASE, **change}
        for i, change in enumerate(changes)
    ]


def _name(change: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in change.items()) or "base"


# ---- models ----


def hugging_face(shape: Point) -> dict[str, Any]:
    """The config.json of a shape."""
    return {
        "architectures": [f"{shape['family'].capitalize()}ForCausalLM"],
        "model_type": shape["family"],
        "vocab_size": shape["vocab"],
        "hidden_size": shape["hidden"],
        "intermediate_size": shape["inner"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv"],
        "head_dim": shape["head_dim"],
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }


def config_of_point(point: Point) -> Architecture:
    """The configuration of a point's model."""
    from assay.model.checkpoints import checkpoint_of

    raw = hugging_face({**point, **REGISTERED.get(point.get("model", ""), {})})
    return checkpoint_of(raw).config(raw)


def write_model(folder: Path, shape: Point) -> None:
    """A model with random weights, as a Hugging Face folder."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(hugging_face(shape)))
    words = {"<unk>": 0, **{chr(0x21 + i): 1 + i for i in range(94)}}
    empty = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
    rules = {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}
    tokenizer = {**empty, "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": rules}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    _write_tensors(folder / "model.safetensors", hugging_face(shape))


def _write_tensors(path: Path, config: dict[str, Any]) -> None:
    from assay.model.checkpoints import checkpoint_of

    checkpoint = checkpoint_of(config)
    shapes = checkpoint.config(config).tensor_shapes()
    rng, header, at = np.random.default_rng(0), {}, 0
    stored = checkpoint.stored(checkpoint.config(config), [f"{checkpoint.prefix}norm"])
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[stored[name].name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in shapes.values():
            values = rng.standard_normal(shape, dtype=np.float32) / np.sqrt(shape[-1])
            file.write(values.astype("<f4").tobytes())


# ---- what is measured, each in a process of its own ----


@contextmanager
def spending() -> Iterator[dict[str, float]]:
    """Core-seconds of a block, those of the main thread, seconds, and the peak of anonymous memory."""
    spent, stop = {"memory": 0.0}, threading.Event()

    def sample() -> None:
        while True:
            spent["memory"] = max(spent["memory"], _anonymous())
            if stop.wait(0.02):
                return

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    clocks = {"core_s": time.process_time, "main_s": time.thread_time, "wall_s": time.perf_counter}
    began = {name: clock() for name, clock in clocks.items()}
    try:
        yield spent
    finally:
        spent |= {name: round(clock() - began[name], 4) for name, clock in clocks.items()}
        stop.set()
        sampler.join()


def _anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) << 10
    return 0


def measure_registration(model: str, dir: str, storage: str, threads: int) -> dict[str, Any]:
    """Registers with typical scales."""
    import assay.prove.register as registering
    from assay import _core
    from assay.model import load
    from assay.quantize.scales import typical_scales

    registering.calibrate = lambda source: typical_scales(source.config)
    _core.set_threads(threads)
    with spending() as spent:
        done = registering.register(load(model), Path(dir), storage=storage)
    return {**spent, "disk_bytes": done.disk_bytes, "proof_bytes": _proof_bytes(Path(dir))}


def _proof_bytes(dir: Path) -> int:
    return next((dir / "epochs" / "0").glob("*.proof")).stat().st_size


NAMES = {"commit": "commit", "prove": "relations"}  # of steps; the rest is `opening`


class Steps:
    """Core-seconds of a proof by step, from its progress."""

    def __init__(self) -> None:
        self.spent, self.now, self.since = dict[str, float](), "start", time.process_time()

    def __call__(self, step: str, _done: float, _of: float) -> None:
        self.lap(NAMES.get(step, "opening"))

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.spent[self.now] = round(self.spent.get(self.now, 0.0) + now - self.since, 4)
        self.now, self.since = name, now


def measure_proof(dir: str, point: Point) -> dict[str, Any]:
    """Records, proves and verifies a batch of forward passes: of two or three runs the one that took least.

    Memory is that of the first run: later ones find some of it taken already.
    """
    runs = [_measured(dir, point)]
    while len(runs) < 2 or (len(runs) < 3 and sum(run["prove"]["core_s"] for run in runs) < LONG):
        runs.append(_measured(dir, point))
    best = {**min(runs, key=lambda run: run["prove"]["core_s"]), "runs": len(runs)}
    for step in ("record", "verify"):
        best[step] = min((run[step] for run in runs), key=lambda spent: spent["core_s"])
    for step in ("record", "prove"):
        best[step] = {**best[step], "memory": runs[0][step]["memory"]}
    return best


def _measured(dir: str, point: Point) -> dict[str, Any]:
    from assay import _core
    from assay.audit.challenge import FORWARD, challenge
    from assay.prove.folder import RegisteredModel
    from assay.prove.log import Logging
    from assay.prove.opening import Transient
    from assay.prove.prover import prove_batch
    from assay.prove.record import record_tokens
    from assay.prove.served import Served
    from assay.segments import forget_circuits
    from assay.verify import verify

    rng, asked = np.random.default_rng(0), []
    public = RegisteredModel(Path(dir)).public
    vocab, tokens = public.config["vocab_size"], point["tokens"]
    ids = np.stack([rng.choice(vocab, 20, replace=False) for _ in range(tokens)])
    log = Logging(served=Served.of(ids, rng.standard_normal(ids.shape))) if point["served"] else Logging()
    forget_circuits()
    _core.set_threads(point["threads"])
    with spending() as recorded:
        model = RegisteredModel(Path(dir))
        for _ in range(point["batch"]):
            recording = record_tokens(model, rng.integers(0, vocab, tokens).tolist(), log=log)
            drawn = challenge(recording.header, scope=FORWARD, num_positions=point["positions"])
            asked.append((recording, drawn))
    forget_circuits()
    account = Transient(public.code.random)
    with tempfile.TemporaryDirectory() as work, spending() as proven:
        steps = Steps()
        model = RegisteredModel(Path(dir))
        proof = prove_batch(model, asked, account=account, work=Path(work), progress=steps)
        steps.lap("done")
        work_bytes = sum(file.stat().st_size for file in Path(work).rglob("*") if file.is_file())
    forget_circuits()
    _core.set_threads(1)
    with spending() as verified:
        verify(proof.data, public=public, challenge=[drawn for _, drawn in asked])
    return {
        "record": recorded,
        "prove": proven,
        "steps": steps.spent,
        "verify": verified,
        "proof_bytes": len(proof.data),
        "work_bytes": work_bytes,
        "lookups": proof.lookups,
        "committed_elements": proof.committed_elements,
        "seconds": {name: round(s, 4) for name, s in proof.seconds.items()},
    }


TASKS = {"registration": measure_registration, "proof": measure_proof}


def elsewhere(task: str, **arguments: Any) -> dict[str, Any]:
    """A measurement in a process of its own."""
    request = json.dumps({"task": task, "arguments": arguments})
    command = [sys.executable, str(Path(__file__).resolve()), "--task", request]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{task} {arguments}: {done.stderr.strip()[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


# ---- the run ----


def run(results: Path, scratch: Path, wanted: list[Point], command: str, given: Mapping[str, Path]) -> None:
    """Measures what is not there yet; `given` are registered models, any other is deleted after its last
    point.
    """
    found = json.loads(results.read_text()) if results.is_file() else _empty(command)
    fresh = _empty(command)
    if found.get("record_version") != fresh["record_version"]:  # other commitments: nothing is comparable
        found = fresh
    todo = [point for point in wanted if point["name"] not in found["points"]]
    for shape in dict.fromkeys(_shape(point) for point in todo):
        own = [point for point in todo if _shape(point) == shape]
        if "model" in own[0] and shape not in given:
            print(f"{shape}: left out, --registered {shape}=DIR measures it")
            continue
        place = given[shape] if shape in given else _registered(scratch / shape, own, found["models"])
        for point in own:
            measured = elsewhere("proof", dir=str(place), point=point)
            load = round(os.getloadavg()[0], 1)
            found["points"][point["name"]] = {**point, **measured, "load": load}
            results.write_text(json.dumps(found, indent=1) + "\n")
            print(f"{point['name']}: {measured['prove']['core_s']:.2f} core-seconds", flush=True)
        if shape not in given:
            shutil.rmtree(place.parent)


def _registered(folder: Path, own: list[Point], models: dict[str, Any]) -> Path:
    """A random model of the shape of these points, registered with the most of their threads."""
    place = folder / "DIR"
    if folder.name not in models or not (place / "public.assay").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        write_model(folder / "model", own[0])
        threads = max(point["threads"] for point in own)
        how = {"storage": own[0]["storage"], "threads": threads}
        measured = elsewhere("registration", model=str(folder / "model"), dir=str(place), **how)
        models[folder.name] = {**{key: own[0][key] for key in SHAPE}, "threads": threads, **measured}
    return place


def _shape(point: Point) -> str:
    return point.get("model") or "-".join(str(point[key]) for key in SHAPE)


def _empty(command: str) -> dict[str, Any]:
    from assay.audit.header import VERSION
    from assay.bench.machine import processor

    machine = {"cpu": processor(), "cores": os.cpu_count()}
    today = datetime.date.today().isoformat()
    return {
        "machine": machine,
        "date": today,
        "command": command,
        "record_version": VERSION,
        "models": {},
        "points": {},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="four small points, kept apart")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "assay-scaling")
    parser.add_argument("--registered", metavar="NAME=DIR", action="append", default=[])
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        request = json.loads(options.task)
        print(json.dumps(TASKS[request["task"]](**request["arguments"])))
        return
    options.scratch.mkdir(parents=True, exist_ok=True)
    results = options.scratch / "quick.json" if options.quick else RESULTS
    command = "python benchmarks/scaling.py" + " --quick" * options.quick
    given = {name: Path(place) for name, _, place in (text.partition("=") for text in options.registered)}
    run(results, options.scratch, points(QUICK if options.quick else CHANGES), command, given)


if __name__ == "__main__":
    main()
