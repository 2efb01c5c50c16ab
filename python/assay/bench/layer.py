"""One layer, measured from token ids to proof bytes, and from proof bytes to a verdict.

| key | what it is |
| --- | --- |
| prove_s | open DIR, record, prove: from token ids to the proof's bytes; median of the runs |
| record_s, witness_s | the recording in it; the layer's witness |
| verify_s | from bytes to a verdict, on one core, in a process of its own; median of the runs |
| prove_cold_s, verify_cold_s | the first run of a process, with nothing cached |
| peak_anon_bytes, peak_mapped_bytes | the proving process's largest RssAnon and RssFile, sampled |
| ns_per_lookup | seconds of the LogUp step, times threads, a lookup |
| ns_per_committed_element | seconds of encoding and hashing the witness, times threads, an element |
| relative_l2 | see assay.bench.accuracy |
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from assay import _core
from assay.audit.challenge import challenge
from assay.audit.header import check_length
from assay.errors import AssayError, InternalError, RequestError
from assay.profiles import profile_named
from assay.prove.folder import RegisteredModel
from assay.prove.opening import Transient
from assay.prove.prover import Proof, prove_recording
from assay.prove.record import record_tokens
from assay.public import PublicModel
from assay.statement import forget_circuits


def measure(
    dir: Path,
    *,
    tokens: int = 64,
    layer: int = 0,
    profile: str | None = None,
    threads: int = 0,
    runs: int = 3,
    model: str | None = None,
) -> dict[str, Any]:
    """All figures. `model` is the float model to compare with; None leaves the accuracy out (null)."""
    public = with_profile(RegisteredModel(dir).public, profile)
    if not 0 <= layer < public.num_layers:
        raise RequestError("layer-out-of-range", f"layer {layer} is not one of 0 to {public.num_layers - 1}")
    check_length(tokens, public.config["max_position"])
    ids = _elsewhere("heldout_tokens", dir=str(dir), count=tokens)
    _core.set_threads(threads)
    figures, proof = _proving(dir, public, ids, layer, runs)
    figures |= _verifying(public, proof, runs)
    figures |= _counts(proof[0], figures["threads"])
    accuracy = _elsewhere("accuracy", dir=str(dir), model=model) if model else _NO_ACCURACY
    return {
        **figures,
        **accuracy,
        "profile": public.profile.name,
        "layer": layer,
        "tokens": tokens,
        "runs": runs,
        "storage": RegisteredModel(dir).storage,
        "cpu": processor(),
    }


_NO_ACCURACY: dict[str, Any] = {"relative_l2": None, "relative_l2_bf16": None}
Proved = tuple[Proof, bytes]


def with_profile(public: PublicModel, name: str | None) -> PublicModel:
    """The same commitment under another profile: the extension and the number of queries differ."""
    if name is None or name == public.profile.name:
        return public
    profile = profile_named(name)
    code = dataclasses.replace(public.code, queries=profile.queries)
    return dataclasses.replace(public, profile=profile, code=code)


def _proving(
    dir: Path, public: PublicModel, ids: list[int], layer: int, runs: int
) -> tuple[dict[str, Any], Proved]:
    """Runs from token ids to proof bytes; the first is the cold one."""
    with _memory() as peaks:
        done = [_run(dir, public, ids, layer) for _ in range(runs + 1)]
    proof, asked = done[-1].proved
    figures = {
        "prove_s": median(run.prove_s for run in done[1:]),
        "prove_cold_s": done[0].prove_s,
        "record_s": median(run.record_s for run in done[1:]),
        "witness_s": proof.seconds.get("witness", 0.0),
        "proof_bytes": len(proof.data),
        "peak_anon_bytes": peaks["RssAnon"],
        "peak_mapped_bytes": peaks["RssFile"],
        "threads": _core.threads(),
        "steps": {"record": done[-1].record_s, **proof.seconds},
    }
    return figures, (proof, asked)


@dataclasses.dataclass(frozen=True, slots=True)
class _Run:
    """One run's times, and what it made."""

    prove_s: float
    record_s: float
    proved: Proved


def _run(dir: Path, public: PublicModel, ids: list[int], layer: int) -> _Run:
    forget_circuits()
    start = time.perf_counter()
    model = RegisteredModel(dir, public)
    recording = record_tokens(model, ids)
    recorded = time.perf_counter()
    asked = challenge(recording.header, layers=[layer])
    proof = prove_recording(model, recording, asked, account=Transient(model.public.code.random))
    return _Run(time.perf_counter() - start, recorded - start, (proof, asked.encoded))


def _verifying(public: PublicModel, proof: Proved, runs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "public.assay").write_bytes(public.encoded)
        (folder / "proof.assay").write_bytes(proof[0].data)
        (folder / "challenge.json").write_bytes(proof[1])
        times: list[float] = _elsewhere("verify_times", folder=name, runs=runs + 1)
    return {"verify_s": median(times[1:]), "verify_cold_s": times[0]}


def _counts(proof: Proof, threads: int) -> dict[str, Any]:
    seconds = proof.seconds
    return {
        "security_bits": proof.security_bits,
        "security_terms": proof.security_terms,
        "lookups": proof.lookups,
        "committed_elements": proof.committed_elements,
        "ns_per_lookup": 1e9 * threads * seconds["lookups"] / proof.lookups,
        "ns_per_committed_element": 1e9 * threads * seconds["commit"] / proof.committed_elements,
    }


@contextmanager
def _memory() -> Iterator[dict[str, int]]:
    """The largest anonymous and file-mapped memory of this process while the block runs, in bytes."""
    peaks = {"RssAnon": 0, "RssFile": 0}
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.003):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in peaks:
                    peaks[name] = max(peaks[name], int(rest.split()[0]) << 10)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield peaks
    finally:
        stop.set()
        sampler.join()


def _elsewhere(task: str, **arguments: Any) -> Any:
    """Runs one of assay.bench.tasks in a process of its own: its memory and its caches are not this one's."""
    code = "from assay.bench.tasks import main; main()"
    request = json.dumps({"task": task, "arguments": arguments})
    done = subprocess.run(
        [sys.executable, "-c", code], input=request, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise InternalError("bench-failed", f"{task}: {done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if error := answer.get("error"):
        raise AssayError(error["code"], error["message"], hint=error["hint"])
    return answer["result"]


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"
