"""demo: the whole road on Gemma 3 270M, with a verifier in processes of its own; three ways to cheat; and the
forward pass that gave a short answer, in one proof.

A forged proof that hides is rejected without a name: its checks are constraints on what the verifier does
not see. So the same cheats are shown once more in proofs that do not hide, where the relation that fails is
named.
"""

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
from assay.prove.head import top_ids
from assay.prove.log import Logging
from assay.prove.prover import Proof, prove_recording
from assay.prove.record import Recording, decode, encode, record_tokens, run_layers
from assay.segments import circuits_digest
from assay.trace import Ledger
from assay.verify import pin_public

if TYPE_CHECKING:
    from assay.model import SourceModel

_OPENINGS = 9
"""Proofs that a run makes at most and that open the same part, and one more."""
_ANSWER = 3
"""Tokens of the answer whose forward pass is proven."""
PROMPT = "The capital of France is Paris, and the capital of Italy is"


_AGAINST = ("--public", "public.assay", "--challenge", "challenge.json")


@dataclass(frozen=True, slots=True)
class Forgery:
    """A way to cheat: the weights that the forger uses in `layer` instead of the registered ones."""

    name: str
    layer: int
    weights: dict[str, Cells]


class Verifier:
    """The client: a folder with what a client has, and a process of its own for each command."""

    def __init__(self, folder: Path, model: RegisteredModel) -> None:
        self.folder = folder
        shutil.copyfile(model.folder.public, folder / "public.assay")
        for number in range(model.public.epoch + 1):
            epoch = model.folder.epoch(number)
            (folder / "epochs" / str(number)).mkdir(parents=True)
            for path in (epoch.public, *epoch.path.glob("*.proof")):
                shutil.copyfile(path, folder / "epochs" / str(number) / path.name)

    def pin(self) -> dict[str, Any]:
        """Verifies the registration proof, and pins."""
        code, answer = self._run("pin", "public.assay", "--out", "model.pin")
        if code != 0:
            raise InternalError("demo-pin", f"the registration proof was rejected: {answer}")
        return answer

    def challenge(self, recording: Recording, *how: str) -> Challenge:
        """Draws a challenge for a record's public head."""
        (self.folder / "record.assay").write_bytes(recording.header.encoded)
        code, answer = self._run("challenge", "record.assay", "--out", "challenge.json", *how)
        if code != 0:
            raise InternalError("demo-challenge", f"the challenge failed: {answer}")
        return Challenge.load(self.folder / "challenge.json")

    def verify(self, proof: bytes, *how: str) -> tuple[int, dict[str, Any]]:
        """Exit code and JSON object of `assay verify`."""
        (self.folder / "proof.assay").write_bytes(proof)
        return self._run("verify", "proof.assay", *_AGAINST, "--pin", "model.pin", *how)

    def verify_by_reference(self, proof: bytes) -> Callable[[], tuple[int, dict[str, Any]]]:
        """Begins the same by the verifier in plain Python; returns what waits for its answer."""
        for name in ("public.assay", "challenge.json"):
            (self.folder / "reference").mkdir(exist_ok=True)
            shutil.copyfile(self.folder / name, self.folder / "reference" / name)
        (self.folder / "reference" / "proof.assay").write_bytes(proof)
        words = ("verify", "proof.assay", *_AGAINST, "--reference")
        return self._begin(self.folder / "reference", *words)

    def _run(self, *words: str) -> tuple[int, dict[str, Any]]:
        return self._begin(self.folder, *words)()

    def _begin(self, folder: Path, *words: str) -> Callable[[], tuple[int, dict[str, Any]]]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PYTHON", "LD_", "LANG", "PATH"))
        }
        env = {**kept, "HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder)}
        env.setdefault("PYTHONUSERBASE", site.getuserbase())
        command = [sys.executable, "-m", "assay.cli", *words, "--json"]
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

        def answer() -> tuple[int, dict[str, Any]]:
            said, complained = process.communicate()
            try:
                return process.returncode, json.loads(said)
            except ValueError as error:
                raise InternalError("demo-verifier", f"the verifier said: {complained[-2000:]}") from error

        return answer


def run(*, threads: int, as_json: bool) -> None:
    """`assay demo`."""
    _core.set_threads(threads)
    model, registered = registered_demo()
    ids = encode(model, PROMPT)
    note(f"prompt: {PROMPT!r}, {len(ids)} tokens")
    with tempfile.TemporaryDirectory(prefix="assay-verifier-") as name:
        client = Verifier(Path(name), model)
        pinned = client.pin()
        note(
            f"the verifier checked the registration proof in {pinned['verify_s']:.1f} s, and pinned the model"
        )
        honest, reference = _honest(model, ids, client)
        layer = honest["layers"][0]
        forged = [_forge(model, ids, client, forgery) for forgery in forgeries(model, layer)]
        honest["reference"] = _reference(reference)
        answered = _forward(model, ids, client)
    payload = {
        "registered": registered,
        "pinned": pinned,
        "honest": honest,
        "forgeries": forged,
        "forward": answered,
    }
    if not as_json:
        _print(honest, forged)
        _print_forward(answered)
    if any(f["verdict"] != "rejected" for forgery in forged for f in (forgery, forgery["not_hiding"])):
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
            return _with_budget(model), {"path": str(folder), "cached": True, "seconds": 0.0}
        note("the registered model in the cache is not of this version: registering anew")
        shutil.rmtree(folder)
    note(f"registering {source.path.name} in {folder}")
    start = time.perf_counter()
    _register(source, folder)
    seconds = time.perf_counter() - start
    return RegisteredModel(folder), {"path": str(folder), "cached": False, "seconds": seconds}


def _with_budget(model: RegisteredModel) -> RegisteredModel:
    """The model, in a new epoch if few openings are left of this one."""
    from assay.prove.refresh import refresh

    with Ledger.open(model.folder.ledger) as ledger:
        left = ledger.state().current.openings_left
    if left >= _OPENINGS:
        return model
    note("the openings of this epoch are nearly used up: refreshing")
    with progress() as report:
        refresh(model.folder.path, progress=report)
    return RegisteredModel(model.folder.path)


def _usable(folder: Path, source: SourceModel) -> RegisteredModel | None:
    try:
        model = RegisteredModel(folder)
        if circuits_digest(model.public) == model.public.circuit_digest:
            same = bytes.fromhex(source.source_digest) == model.public.source_digest
            if same:
                pin_public(model.folder.public)
            return model if same else None
    except AssayError as error:
        note(f"the cache cannot be used: {error}")
    return None


def _register(source: SourceModel, folder: Path) -> None:
    from assay.prove.register import Estimate, register

    def announce(estimates: tuple[Estimate, ...], chosen: str) -> None:
        for e in estimates:
            mark = " (chosen)" if e.storage == chosen else ""
            note(
                f"{e.storage}: {amount(e.disk_bytes)} on disk, {amount(e.memory_bytes)} of memory, about "
                f"{e.seconds:.0f} s, {e.proof_seconds:.0f} s of it for the registration proof{mark}"
            )

    with progress() as report:
        register(source, folder, storage="recompute", progress=report, announce=announce)


# ---- proving, honestly and not ----


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


Waiting = Callable[[], tuple[int, dict[str, Any]]]


def _honest(model: RegisteredModel, ids: list[int], client: Verifier) -> tuple[dict[str, Any], Waiting]:
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
    figures = {
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
        "epoch": answer["epoch"],
        "counter": answer["counter"],
    }
    return figures, client.verify_by_reference(proof.data)


def _forward(model: RegisteredModel, ids: list[int], client: Verifier) -> dict[str, Any]:
    """The exact model's own answer to the prompt, and the proof that each of its tokens is the likeliest."""
    tokens = list(ids)
    for _ in range(_ANSWER):
        (*_, last), _ = run_layers(model, tokens, {})
        tokens.append(int(top_ids(model, last[-1:], 1)[0, 0]))
    answer = tokens[len(ids) :]
    positions = range(len(ids) - 1, len(tokens) - 1)
    note(f"the model answers {decode(model, answer)!r}; the verifier asks for the forward pass that gave it")
    recording, record_s = _timed(lambda: record_tokens(model, tokens, log=Logging()))
    asked = client.challenge(recording, "--scope", "forward", "--positions", ",".join(map(str, positions)))
    with progress() as report:
        proof, prove_s = _timed(lambda: prove_recording(model, recording, asked, progress=report))
    code, said = client.verify(proof.data)
    if code != 0:
        raise InternalError("demo-forward-rejected", f"an honest forward proof was rejected: {said}")
    (statement,) = said["members"][0]["statements"]
    largest = [
        row[logits.index(max(logits))]
        for row, logits in zip(statement["ids"], statement["logits"], strict=True)
    ]
    if statement["tokens"] != tokens or largest != answer:
        raise InternalError("demo-forward-answer", "the proven logits do not give the answer")
    return {
        "verdict": said["verdict"],
        "answer": decode(model, answer),
        "tokens": len(tokens),
        "positions": list(positions),
        "logits": [max(row) for row in statement["logits"]],
        "record_ms": 1e3 * record_s,
        "prove_ms": 1e3 * prove_s,
        "verify_ms": 1e3 * said["verify_s"],
        "proof_kb": len(proof.data) / 1e3,
        "tokens_per_s": len(tokens) / prove_s,
        "security_bits": said["security_bits"],
    }


def _reference(answer: Waiting) -> dict[str, Any]:
    """What the reference verifier said of the honest proof."""
    code, said = answer()
    if code != 0:
        raise InternalError("demo-reference-rejected", f"the reference verifier rejected: {said}")
    return {"verdict": said["verdict"], "verify_ms": 1e3 * said["verify_s"]}


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
    found = []
    for insecure in (False, True):
        proof = prove_recording(
            model,
            recording,
            asked,
            self_check=False,
            evaluate_with=forgery.weights,
            insecure_no_hiding=insecure,
        )
        found.append(_verdict(*client.verify(proof.data, *["--insecure-no-hiding"] * insecure)))
    return {"forgery": forgery.name, **found[0], "not_hiding": found[1]}


def _verdict(code: int, answer: dict[str, Any]) -> dict[str, Any]:
    error = answer.get("error") or {}
    return {
        "verdict": "rejected" if code == 1 else "accepted" if code == 0 else "failed",
        "exit_code": code,
        **{name: error.get(name) for name in ("code", "segment", "relation", "message")},
    }


def _print(honest: dict[str, Any], forged: list[dict[str, Any]]) -> None:
    layers = ", ".join(map(str, honest["layers"]))
    table(
        f"layers {layers} over {honest['tokens']} tokens, {honest['profile']}, hiding={honest['hiding']}",
        ["verdict", "prove ms", "verify ms", "reference ms", "KB", "ns per lookup", "bits"],
        [
            [
                honest["verdict"],
                f"{honest['prove_ms']:.0f}",
                f"{honest['verify_ms']:.0f}",
                f"{honest['reference']['verify_ms']:.0f}",
                f"{honest['proof_kb']:.0f}",
                f"{honest['ns_per_lookup']:.0f}",
                f"{honest['security_bits']:.1f}",
            ]
        ],
    )
    table("bits by term", ["term", "bits"], [[n, f"{b:.1f}"] for n, b in honest["security_terms"].items()])
    rows = [
        [
            f["forgery"],
            _shown(f),
            _shown(f["not_hiding"]),
            f["not_hiding"]["segment"] or "",
            f["not_hiding"]["relation"] or "",
        ]
        for f in forged
    ]
    columns = ["forgery", "hiding", "--insecure-no-hiding", "segment", "relation"]
    table("the same prover, cheating: verdicts", columns, rows)


def _print_forward(answered: dict[str, Any]) -> None:
    table(
        f"the forward pass that gave {answered['answer']!r}: {answered['tokens']} tokens, every layer",
        ["verdict", "prove ms", "verify ms", "KB", "tokens/s", "bits"],
        [
            [
                answered["verdict"],
                f"{answered['prove_ms']:.0f}",
                f"{answered['verify_ms']:.0f}",
                f"{answered['proof_kb']:.0f}",
                f"{answered['tokens_per_s']:.2f}",
                f"{answered['security_bits']:.1f}",
            ]
        ],
    )


def _shown(found: dict[str, Any]) -> str:
    return f"{found['verdict']} ({found['code']})" if found["code"] else str(found["verdict"])
