"""demo: the whole road on Gemma 3 270M, with a verifier in a process of its own; then three ways to cheat."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay import _core
from assay.audit.challenge import Challenge
from assay.cli.output import amount, emit, note, progress, table
from assay.errors import AssayError, InternalError
from assay.prove.folder import Cells, RegisteredModel
from assay.prove.prover import Proof, prove_recording
from assay.prove.record import Recording, encode, record_tokens
from assay.statement import circuits_digest

if TYPE_CHECKING:
    from assay.model import SourceModel

PROMPT = "The capital of France is Paris, and the capital of Italy is"


@dataclass(frozen=True, slots=True)
class Forgery:
    """A way to cheat: the weights that the forger uses in `layer` instead of the registered ones."""

    name: str
    layer: int
    weights: dict[str, Cells]


class Verifier:
    """The client: a folder with what a client has, and a process of its own for each command."""

    def __init__(self, folder: Path, public: Path) -> None:
        self.folder = folder
        shutil.copyfile(public, folder / "public.assay")

    def challenge(self, recording: Recording, *how: str) -> Challenge:
        """Draws a challenge for a record's public head."""
        (self.folder / "record.assay").write_bytes(recording.header.encoded)
        code, answer = self._run("challenge", "record.assay", "--out", "challenge.json", *how)
        if code != 0:
            raise InternalError("demo-challenge", f"the challenge failed: {answer}")
        return Challenge.load(self.folder / "challenge.json")

    def verify(self, proof: bytes) -> tuple[int, dict[str, Any]]:
        """Exit code and JSON object of `assay verify`."""
        (self.folder / "proof.assay").write_bytes(proof)
        return self._run("verify", "proof.assay", "--public", "public.assay", "--challenge", "challenge.json")

    def _run(self, *words: str) -> tuple[int, dict[str, Any]]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PYTHON", "LD_", "LANG", "PATH"))
        }
        env = {**kept, "HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder)}
        env.setdefault("PYTHONUSERBASE", site.getuserbase())
        command = [sys.executable, "-m", "assay.cli", *words, "--json"]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError as error:
            raise InternalError("demo-verifier", f"the verifier said: {done.stderr[-2000:]}") from error


def run(*, threads: int, as_json: bool) -> None:
    """`assay demo`."""
    _core.set_threads(threads)
    model, registered = registered_demo()
    ids = encode(model, PROMPT)
    note(f"prompt: {PROMPT!r}, {len(ids)} tokens")
    with tempfile.TemporaryDirectory(prefix="assay-verifier-") as name:
        client = Verifier(Path(name), model.folder.public)
        honest = _honest(model, ids, client)
        layer = honest["layers"][0]
        forged = [_forge(model, ids, client, forgery) for forgery in forgeries(model, layer)]
    payload = {"registered": registered, "honest": honest, "forgeries": forged}
    if not as_json:
        _print(honest, forged)
    if any(f["verdict"] != "rejected" for f in forged):
        raise InternalError("demo-forgery-accepted", "a forged proof was accepted")
    if as_json:
        emit(True, payload, [])


def registered_demo() -> tuple[RegisteredModel, dict[str, Any]]:
    """Gemma 3 270M, registered in the user's cache; registered anew if this program builds other circuits."""
    from assay.model import demo, load

    source = load()
    folder = demo.cache_folder().parent / "registered" / demo.NAME
    if (folder / "public.assay").is_file():
        if model := _usable(folder, source):
            note(f"registered already: {folder}")
            return model, {"path": str(folder), "cached": True, "seconds": 0.0}
        note("the registered model in the cache is of another version: registering anew")
        shutil.rmtree(folder)
    note(f"registering {source.path.name} in {folder}")
    start = time.perf_counter()
    _register(source, folder)
    seconds = time.perf_counter() - start
    return RegisteredModel(folder), {"path": str(folder), "cached": False, "seconds": seconds}


def _usable(folder: Path, source: SourceModel) -> RegisteredModel | None:
    try:
        model = RegisteredModel(folder)
        if circuits_digest(model.public) == model.public.circuit_digest:
            same = bytes.fromhex(source.source_digest) == model.public.source_digest
            return model if same else None
    except AssayError as error:
        note(f"the cache cannot be used: {error}")
    return None


def _register(source: SourceModel, folder: Path) -> None:
    from assay.prove.register import Estimate, register

    def announce(estimates: tuple[Estimate, ...], chosen: str) -> None:
        for e in estimates:
            mark = " (chosen)" if e.storage == chosen else ""
            note(f"{e.storage}: {amount(e.disk_bytes)} on disk, about {e.seconds:.0f} s{mark}")

    with progress() as report:
        register(source, folder, storage="recompute", progress=report, announce=announce)


# ---- proving, honestly and not ----


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def _honest(model: RegisteredModel, ids: list[int], client: Verifier) -> dict[str, Any]:
    recording, record_s = _timed(lambda: record_tokens(model, ids))
    asked = client.challenge(recording, "--num-layers", str(min(2, model.public.num_layers)))
    drawn = ", ".join(map(str, asked.layers))
    note(f"record root {recording.header.hash.hex()}; the verifier drew layers {drawn}")
    proof: Proof
    proof, prove_s = _timed(lambda: prove_recording(model, recording, asked))
    code, answer = client.verify(proof.data)
    if code != 0:
        raise InternalError("demo-honest-rejected", f"an honest proof was rejected: {answer}")
    threads = _core.threads()
    return {
        "verdict": answer["verdict"],
        "layers": list(asked.layers),
        "tokens": len(ids),
        "record_ms": 1e3 * record_s,
        "prove_ms": 1e3 * prove_s,
        "verify_ms": 1e3 * answer["verify_s"],
        "proof_kb": len(proof.data) / 1e3,
        "ns_per_lookup": 1e9 * threads * proof.seconds["lookups"] / proof.lookups,
        "security_bits": answer["security_bits"],
        "security_terms": answer["security_terms"],
        "profile": answer["profile"],
        "hiding": answer["hiding"],
    }


def forgeries(model: RegisteredModel, layer: int) -> list[Forgery]:
    """(i) one changed weight, (ii) another layer's weights, (iii) weights of 4 bits."""
    own = model.layer_weights(layer)
    name = f"layers.{layer}.up_proj"
    changed = own[name].copy()
    changed[0, 0] = changed[0, 0] + 1000 if changed[0, 0] < 0 else changed[0, 0] - 1000
    other = (layer + 1) % model.public.num_layers
    swapped = {n: model.weight(n.replace(f"layers.{layer}.", f"layers.{other}.")) for n in own}
    coarse = {n: four_bits(cells) for n, cells in own.items() if n.endswith("_proj")}
    return [
        Forgery(f"one weight of layer {layer} changed", layer, {name: changed}),
        Forgery(
            f"layer {other}'s weights in layer {layer}", layer, {n: np.array(c) for n, c in swapped.items()}
        ),
        Forgery(f"4-bit weights in layer {layer}", layer, coarse),
    ]


def four_bits(cells: Cells) -> Cells:
    """Rounded to 16 levels, a scale for each group of 32 cells of a row."""
    groups = cells.reshape(-1, 32).astype(np.float64)
    scale = np.maximum(np.abs(groups).max(axis=1, keepdims=True) / 7, 1)
    rounded = np.clip(np.rint(groups / scale), -8, 7) * scale
    coarse: Cells = np.clip(np.rint(rounded), -32767, 32767).astype(np.int16).reshape(cells.shape)
    return coarse


def _forge(model: RegisteredModel, ids: list[int], client: Verifier, forgery: Forgery) -> dict[str, Any]:
    """Records and evaluates with other weights, proves against the registered root, self-checks off."""
    note(f"cheating: {forgery.name}")
    recording = record_tokens(model, ids, replaced=forgery.weights)
    asked = client.challenge(recording, "--layers", str(forgery.layer))
    proof = prove_recording(model, recording, asked, self_check=False, evaluate_with=forgery.weights)
    code, answer = client.verify(proof.data)
    error = answer.get("error") or {}
    return {
        "forgery": forgery.name,
        "verdict": "rejected" if code == 1 else "accepted" if code == 0 else "failed",
        "exit_code": code,
        **{name: error.get(name) for name in ("code", "segment", "relation", "message")},
    }


def _print(honest: dict[str, Any], forged: list[dict[str, Any]]) -> None:
    layers = ", ".join(map(str, honest["layers"]))
    table(
        f"layers {layers} over {honest['tokens']} tokens, {honest['profile']}, hiding={honest['hiding']}",
        ["verdict", "prove ms", "verify ms", "KB", "ns per lookup", "bits"],
        [
            [
                honest["verdict"],
                f"{honest['prove_ms']:.0f}",
                f"{honest['verify_ms']:.0f}",
                f"{honest['proof_kb']:.0f}",
                f"{honest['ns_per_lookup']:.0f}",
                f"{honest['security_bits']:.1f}",
            ]
        ],
    )
    table("bits by term", ["term", "bits"], [[n, f"{b:.1f}"] for n, b in honest["security_terms"].items()])
    rows = [
        [f["forgery"], f["verdict"], f["code"] or "", f["segment"] or "", f["relation"] or ""] for f in forged
    ]
    table("the same prover, cheating", ["forgery", "verdict", "code", "segment", "relation"], rows)
