"""Assay: the linear layer as a circuit alone; the decoder layer and GPT-2 as registered models.

All proofs are hiding and of profile `provable-128`. `SMALL` is a code for few weights: at rate 1/4 fewer
queries than at the default's 5/16 give the same proven bits.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from assay.circuits.linear import linear as linear_relations
from benchmarks.peers import models
from benchmarks.peers.alone import PROFILE, Committed, range_circuit
from benchmarks.peers.measure import Clock

from assay import _core
from assay.audit import challenge
from assay.graph import Builder, CellType, Interval, Source
from assay.model import load
from assay.profiles import Code
from assay.prove.folder import RegisteredModel
from assay.prove.log import Logging
from assay.prove.opening import Transient
from assay.prove.prover import prove_recording
from assay.prove.record import load_recording, record
from assay.prove.register import register as register_model
from assay.segments import forget_circuits
from assay.verify import verify as verify_proof

SMALL = Code(log_columns=12, random=1 << 12, log_coset=13, cosets=4, queries=194)
CODES = {"small": SMALL, "default": PROFILE.code}
INPUT_BITS = 16
SHIFT = 14  # of the product: leaves the output about 10 bits of fraction more than a 16-bit one would have
RUNS = 5


def linear(folder: Path, *, sizes: dict[str, int], code: str) -> dict[str, Any]:
    """Commit and prove the range of the weights, once; prove and verify a product, several times.

    `prove` and `verify` are those of the first run, with nothing cached; `warm` are medians of the others.
    """
    clock, chosen = Clock(), CODES[code]
    module, x = models.linear(**sizes)
    weights, fraction = _integers(module.weight.detach().numpy(), 15)
    inputs, input_fraction = _integers(x.numpy(), INPUT_BITS - 1)
    with clock("register"):
        b = _linear_circuit(**sizes)
        committed = Committed.of({"w": weights}, chosen)
        ranged = committed.statement("registration", range_circuit(b))
        registration = committed.prove(ranged, {})
    statement = committed.statement("linear", b.finish())
    runs = [_proven(committed, statement, inputs) for _ in range(RUNS)]
    first, (proof, verdict) = runs[0][0], runs[-1][1:]
    warm = {step: _median([times[step] for times, *_ in runs[1:]]) for step in first}
    found = np.array(verdict["outputs"][0]["y"], dtype=float) * 2.0 ** (SHIFT - fraction - input_fraction)
    expected = module(x).detach().numpy()
    error = np.linalg.norm(found.reshape(expected.shape) - expected) / np.linalg.norm(expected)
    return {
        "register": clock.figures["register"],
        "registration_bytes": len(registration["body"]),
        **first,
        "warm": warm,
        "proof_bytes": len(proof["body"]),
        "bits": min(proof["security_bits"], registration["security_bits"]),
        "steps": proof["seconds"],
        "lookups": proof["lookups"],
        "code": chosen.to_dict(),
        "proofs_an_epoch": chosen.random // chosen.queries - 1,
        "relative_error": float(error),
    }


def _proven(committed: Committed, statement: _core.Statement, inputs: np.ndarray) -> tuple[Any, Any, Any]:
    """One run: its times, the proof, the verdict."""
    clock = Clock()
    with clock("prove"):
        proof = committed.prove(statement, {"x": inputs})
    with clock("verify"):
        verdict = _core.verify(statement, proof["body"])
    return clock.figures, proof, verdict


def _linear_circuit(*, inputs: int, outputs: int, tokens: int) -> Builder:
    """y = round(x w^T / 2^s), x and y public, w committed."""
    b, span = Builder("linear"), Interval.signed(INPUT_BITS)
    x = b.tensor("x", tokens, inputs, span, source=Source.BOUNDARY, type=CellType.INT32)
    b.in_range("x.range", x, span)
    y = linear_relations(b, "linear", x, b.weight("w", outputs, inputs), shift=SHIFT)
    b.output("input", x)
    b.output("y", y)
    return b


def _integers(values: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """Rounded values in `bits` and a sign, and the fraction bits that they then have."""
    fraction = bits - int(np.ceil(np.log2(np.abs(values).max() + 1e-9)))
    most = (1 << bits) - 1
    return np.clip(np.rint(np.ldexp(values.astype(float), fraction)), -most, most).astype(np.int64), fraction


def _median(times: list[dict[str, float]]) -> dict[str, float]:
    return {part: median(time[part] for time in times) for part in times[0]}


# ---- registered models ----


def write(folder: Path, *, model: str) -> dict[str, Any]:
    """A model with random weights, as a Hugging Face folder."""
    writers: dict[str, Callable[[Path], int]] = {"decoder": models.write_llama, "gpt2": models.write_gpt2}
    return {"parameters": writers[model](folder / "model")}


def register(folder: Path, *, code: str, storage: str) -> dict[str, Any]:
    """Calibrate, quantise, commit, and prove the range of every weight: once for a model."""
    clock, source = Clock(), load(folder / "model")
    with clock("register"):
        made = register_model(source, folder / "DIR", code=CODES[code], storage=storage)
    return {**clock.figures, "disk_bytes": made.disk_bytes, "code": CODES[code].to_dict(), "storage": storage}


def prove(folder: Path, *, tokens: int, scope: str) -> dict[str, Any]:
    """From token ids to the proof's bytes: of the only layer, or of a forward pass and four of its logits."""
    clock, request = Clock(), folder / f"REQ-{tokens}-{os.getpid()}"
    public = RegisteredModel(folder / "DIR").public
    ids = np.random.default_rng(0).integers(0, public.config["vocab_size"], tokens).tolist()
    asked = {"layers": [0]} if scope == "layer" else {"scope": "forward", "positions": [tokens - 1]}
    forget_circuits()
    with clock("prove"):
        model = RegisteredModel(folder / "DIR")
        with clock("record"):
            record(model, request, tokens=ids, log=None if scope == "layer" else Logging(top_k=4))
        question = challenge(request / "record.assay", **asked)
        recording = load_recording(request, model)
        with tempfile.TemporaryDirectory() as work:
            account = Transient(public.code.random)
            proof = prove_recording(model, recording, question, account=account, work=Path(work))
    (folder / "proof.assay").write_bytes(proof.data)
    (folder / "challenge.json").write_bytes(question.encoded)
    return {
        **clock.figures,
        "proof_bytes": len(proof.data),
        "bits": proof.security_bits,
        "steps": proof.seconds,
        "lookups": proof.lookups,
        "committed_elements": proof.committed_elements,
        "threads": _core.threads(),
    }


def verify(folder: Path) -> dict[str, Any]:
    """A verdict from the proof, the challenge and the public file, on one core."""
    _core.set_threads(1)
    clock = Clock()
    proof, asked = (folder / "proof.assay").read_bytes(), (folder / "challenge.json").read_bytes()
    public = (folder / "DIR" / "public.assay").read_bytes()
    with clock("verify"):
        verify_proof(proof, public=public, challenge=asked)
    return {**clock.figures, "public_bytes": len(public)}


def inference(folder: Path, *, tokens: int) -> dict[str, Any]:
    """The float model's prefill, for scale."""
    from assay.bench.tasks import inference as prefill

    ids = np.random.default_rng(0).integers(
        0, json.loads((folder / "model/config.json").read_text())["vocab_size"], tokens
    )
    return prefill(str(folder / "model"), ids.tolist(), runs=3)
