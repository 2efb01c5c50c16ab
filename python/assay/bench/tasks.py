"""Parts of a measurement that run in a process of their own; arguments come as JSON, results go as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.errors import AssayError


def heldout_tokens(dir: str, count: int) -> list[int]:
    """The first `count` tokens of the held-out texts, one after another."""
    from assay.prove.folder import RegisteredModel
    from assay.prove.record import check_tokens, encode
    from assay.quantize.texts import heldout

    model = RegisteredModel(Path(dir))
    ids: list[int] = encode(model, "\n".join(heldout()))
    while len(ids) < count:
        ids += ids
    check_tokens(model, ids[:count])
    return ids[:count]


def verify_times(folder: str, runs: int) -> list[float]:
    """Seconds from bytes to a verdict on one core; circuits are built anew each time."""
    from assay import _core
    from assay.segments import forget_circuits
    from assay.verify import verify

    _core.set_threads(1)
    place = Path(folder)
    proof, public = ((place / name).read_bytes() for name in ("proof.assay", "public.assay"))
    asked = [path.read_bytes() for path in _numbered(place)]
    times = []
    for _ in range(runs):
        forget_circuits()
        start = time.perf_counter()
        verify(proof, public=public, challenge=asked)
        times.append(time.perf_counter() - start)
    return times


def _numbered(place: Path) -> list[Path]:
    """The challenges of a batch, in its order."""
    found = place.glob("challenge-*.json")
    return sorted(found, key=lambda path: int(path.stem.partition("-")[2]))


def inference(model: str, tokens: list[int], runs: int) -> dict[str, Any]:
    """Seconds of the float model's prefill in FP32: all layers, logits of the last position.

    The best over 1 to as many threads as there are processors, after a run that is not counted.
    """
    import os

    import torch

    from assay.model import load
    from assay.model.float_model import FloatModel

    float_model = FloatModel(load(model))
    times = {}
    for threads in range(1, len(os.sched_getaffinity(0)) + 1):
        torch.set_num_threads(threads)
        found = []
        for _ in range(runs + 1):
            start = time.perf_counter()
            float_model.logits(float_model.forward(tokens)[-1][-1:])
            found.append(time.perf_counter() - start)
        times[threads] = min(found[1:])
    best = min(times, key=lambda threads: times[threads])
    return {"inference_s": times[best], "inference_threads": best}


def accuracy(dir: str, model: str) -> dict[str, float]:
    """See assay.bench.accuracy."""
    from assay.bench.accuracy import layer_errors

    return layer_errors(Path(dir), model)


_TASKS: dict[str, Callable[..., Any]] = {
    "heldout_tokens": heldout_tokens,
    "verify_times": verify_times,
    "inference": inference,
    "accuracy": accuracy,
}


def main() -> None:
    """Runs the task that standard input names; prints its result, or its `AssayError`."""
    request = json.load(sys.stdin)
    try:
        answer = {"result": _TASKS[request["task"]](**request["arguments"])}
    except AssayError as error:
        answer = {"error": error.to_dict()}
    print(json.dumps(answer))
