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
    from assay.statement import forget_circuits
    from assay.verify import verify

    _core.set_threads(1)
    place = Path(folder)
    proof, public, asked = (
        (place / name).read_bytes() for name in ("proof.assay", "public.assay", "challenge.json")
    )
    times = []
    for _ in range(runs):
        forget_circuits()
        start = time.perf_counter()
        verify(proof, public=public, challenge=asked)
        times.append(time.perf_counter() - start)
    return times


def accuracy(dir: str, model: str) -> dict[str, float]:
    """See assay.bench.accuracy."""
    from assay.bench.accuracy import layer_errors

    return layer_errors(Path(dir), model)


_TASKS: dict[str, Callable[..., Any]] = {
    "heldout_tokens": heldout_tokens,
    "verify_times": verify_times,
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
