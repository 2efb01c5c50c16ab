"""A whole forward pass, measured from token ids to proof bytes, beside the float model's prefill.

The keys of `assay.bench.layer` without `relative_l2` and `relative_l2_bf16`: errors of one layer's update, of
which a forward pass has none. And:

| key | what it is |
| --- | --- |
| prove_s | open DIR, record, prove: from token ids to the proof's bytes; median of the runs |
| tokens_per_s | tokens / prove_s |
| inference_s | the float model's prefill in FP32: best number of threads, a process of its own |
| ratio_to_inference | prove_s / inference_s |
| breakdown | seconds of each step of one run, and `other`; their sum is `total` |
| marginal_s | (batch of B statements - one statement) / (B - 1), without recording; with `--batch B` |
| one_s | the one statement of it, proven just before the batch |
| marginal_cpu_s, one_cpu_s | the same in seconds of all threads: less moved by what else the machine does |

The proof is the one that a provider makes: in zero knowledge, spilling to a work folder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from assay import _core
from assay.audit.challenge import FORWARD, Challenge, challenge
from assay.audit.header import check_length
from assay.audit.log import TOP_K
from assay.bench.layer import counts
from assay.bench.machine import elsewhere, memory, processor, verifying, with_profile
from assay.prove.folder import RegisteredModel
from assay.prove.log import Logging
from assay.prove.opening import Transient
from assay.prove.prover import Proof, prove_batch
from assay.prove.record import Recording, record_tokens
from assay.prove.served import Served
from assay.public import PublicModel
from assay.segments import forget_circuits


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is measured: sizes of a statement, and whether it is about served logits."""

    tokens: int
    positions: int
    served: bool


def measure(
    dir: Path,
    *,
    tokens: int = 64,
    positions: int = 8,
    profile: str | None = None,
    threads: int = 0,
    runs: int = 1,
    batch: int = 1,
    served: bool = True,
    model: str | None = None,
) -> dict[str, Any]:
    """All figures. `model` is the float model whose prefill is timed; None leaves it out (null)."""
    public = with_profile(RegisteredModel(dir).public, profile)
    check_length(tokens, public.config["max_position"])
    asked = Asked(tokens=tokens, positions=positions, served=served)
    ids = elsewhere("heldout_tokens", dir=str(dir), count=tokens)
    _core.set_threads(threads)
    with memory() as peaks:
        done = [_run(dir, public, ids, asked) for _ in range(runs)]
    figures = _figures(done, peaks)
    last = done[-1]
    figures |= verifying(public, last.proof.data, [last.challenge.encoded], runs)
    figures |= counts(last.proof, figures["threads"])
    if batch > 1:
        figures |= _marginal(dir, public, ids, asked, batch)
    inference = elsewhere("inference", model=model, tokens=ids, runs=3) if model else _NO_INFERENCE
    ratio = figures["prove_s"] / inference["inference_s"] if model else None
    return {
        **figures,
        **inference,
        "ratio_to_inference": ratio,
        "tokens_per_s": tokens / figures["prove_s"],
        "profile": public.profile.name,
        "tokens": tokens,
        "positions": positions,
        "served": served,
        "batch": batch,
        "runs": runs,
        "storage": RegisteredModel(dir).storage,
        "cpu": processor(),
    }


_NO_INFERENCE: dict[str, Any] = {"inference_s": None, "inference_threads": None}


@dataclass(frozen=True, slots=True)
class _Run:
    """One run: its times, and what it made."""

    total_s: float
    open_s: float
    record_s: float
    challenge: Challenge
    proof: Proof

    def breakdown(self) -> dict[str, float]:
        """Rows whose sum is the total."""
        rows = {"open": self.open_s, "record": self.record_s, **self.proof.seconds}
        return {**rows, "other": self.total_s - sum(rows.values()), "total": self.total_s}


def _run(dir: Path, public: PublicModel, ids: list[int], asked: Asked) -> _Run:
    forget_circuits()
    start = time.perf_counter()
    model = RegisteredModel(dir, public)
    opened = time.perf_counter()
    recording = record_tokens(model, ids, log=_log(asked, public))
    recorded = time.perf_counter()
    drawn = _drawn(recording, asked)
    proof = _prove(model, [(recording, drawn)])
    end = time.perf_counter()
    return _Run(end - start, opened - start, recorded - opened, drawn, proof)


def _log(asked: Asked, public: PublicModel) -> Logging:
    """Logits as a server has them: what is in them makes no difference to the time."""
    if not asked.served:
        return Logging()
    rng = np.random.default_rng(0)
    shape = asked.tokens, min(TOP_K, public.config["vocab_size"])
    ids = [rng.choice(public.config["vocab_size"], shape[1], replace=False) for _ in range(shape[0])]
    return Logging(served=Served.of(np.stack(ids), rng.standard_normal(shape)))


def _drawn(recording: Recording, asked: Asked) -> Challenge:
    return challenge(recording.header, scope=FORWARD, num_positions=asked.positions)


def _prove(model: RegisteredModel, members: Sequence[tuple[Recording, Challenge]]) -> Proof:
    account = Transient(model.public.code.random)
    with tempfile.TemporaryDirectory() as work:
        return prove_batch(model, members, account=account, work=Path(work))


def _figures(done: list[_Run], peaks: dict[str, int]) -> dict[str, Any]:
    last = done[-1]
    return {
        "prove_s": median(run.total_s for run in done),
        "prove_cold_s": done[0].total_s,
        "record_s": median(run.record_s for run in done),
        "witness_s": last.proof.seconds.get("witness", 0.0),
        "proof_bytes": len(last.proof.data),
        "peak_anon_bytes": peaks["RssAnon"],
        "peak_mapped_bytes": peaks["RssFile"],
        "threads": _core.threads(),
        "steps": {"record": last.record_s, **last.proof.seconds},
        "breakdown": last.breakdown(),
    }


def _marginal(dir: Path, public: PublicModel, ids: list[int], asked: Asked, batch: int) -> dict[str, float]:
    """What each further statement of a batch takes to prove, beside one statement proven just before."""
    model = RegisteredModel(dir, public)
    members = []
    for _ in range(batch):
        recording = record_tokens(model, ids, log=_log(asked, public))
        members.append((recording, _drawn(recording, asked)))
    one, all_of_them = _spent(model, members[:1]), _spent(model, members)
    wall, cpu = ((b - a) / (batch - 1) for a, b in zip(one, all_of_them, strict=True))
    return {"marginal_s": wall, "marginal_cpu_s": cpu, "one_s": one[0], "one_cpu_s": one[1]}


def _spent(model: RegisteredModel, members: Sequence[tuple[Recording, Challenge]]) -> tuple[float, float]:
    """Seconds of one proof: by the clock, and of all threads together."""
    forget_circuits()
    start = time.perf_counter(), time.process_time()
    _prove(model, members)
    return time.perf_counter() - start[0], time.process_time() - start[1]
