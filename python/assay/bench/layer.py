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
import time
from pathlib import Path
from statistics import median
from typing import Any

from assay import _core
from assay.audit.challenge import challenge
from assay.audit.header import check_length
from assay.bench.machine import elsewhere, memory, processor, verifying, with_profile
from assay.errors import RequestError
from assay.prove.folder import RegisteredModel
from assay.prove.opening import Transient
from assay.prove.prover import Proof, prove_recording
from assay.prove.record import record_tokens
from assay.public import PublicModel
from assay.segments import forget_circuits


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
    ids = elsewhere("heldout_tokens", dir=str(dir), count=tokens)
    _core.set_threads(threads)
    figures, proof = _proving(dir, public, ids, layer, runs)
    figures |= verifying(public, proof[0].data, [proof[1]], runs)
    figures |= counts(proof[0], figures["threads"])
    accuracy = elsewhere("accuracy", dir=str(dir), model=model) if model else NO_ACCURACY
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


NO_ACCURACY: dict[str, Any] = {"relative_l2": None, "relative_l2_bf16": None}
Proved = tuple[Proof, bytes]


def _proving(
    dir: Path, public: PublicModel, ids: list[int], layer: int, runs: int
) -> tuple[dict[str, Any], Proved]:
    """Runs from token ids to proof bytes; the first is the cold one."""
    with memory() as peaks:
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


def counts(proof: Proof, threads: int) -> dict[str, Any]:
    """Bits, lookups and committed elements, and the time for each."""
    seconds = proof.seconds
    return {
        "security_bits": proof.security_bits,
        "security_terms": proof.security_terms,
        "lookups": proof.lookups,
        "committed_elements": proof.committed_elements,
        "ns_per_lookup": 1e9 * threads * seconds["lookups"] / proof.lookups,
        "ns_per_committed_element": 1e9 * threads * seconds["commit"] / proof.committed_elements,
    }
