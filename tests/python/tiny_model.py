"""A random Gemma 3 of three layers, registered over a small code: what files and commands are tested on."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import assay.prove.register as registering
from assay.audit import Challenge, challenge
from assay.model import load
from assay.profiles import Code
from assay.proof import ProofFile
from assay.prove.folder import RegisteredModel
from assay.prove.opening import Transient
from assay.prove.prover import Proof, prove_recording
from assay.prove.record import Recording, load_recording, record
from assay.prove.register import Registered

VOCABULARY = 320
CONFIG: dict[str, Any] = {
    "architectures": ["Gemma3ForCausalLM"],
    "model_type": "gemma3_text",
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 128,
    "intermediate_size": 256,
    "rms_norm_eps": 1e-6,
    "sliding_window": 4,
    "sliding_window_pattern": 3,
    "query_pre_attn_scalar": 128,
    "max_position_embeddings": 512,
    "rope_theta": 1e6,
    "rope_local_base_freq": 1e4,
    "hidden_activation": "gelu_pytorch_tanh",
}
SMALL_CODE = Code(log_columns=12, random=1 << 12, log_coset=13, cosets=4, queries=194)
TOKENS = [2, 7, 1, 8, 2, 8]
_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)


def tensors(seed: int, config: dict[str, Any]) -> dict[str, np.ndarray]:
    """Random weights under the names of a checkpoint."""
    rng = np.random.default_rng(seed)
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head

    def random(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    out = {"model.embed_tokens.weight": random(config["vocab_size"], hidden)}
    for layer in range(config["num_hidden_layers"]):
        shapes = {
            "self_attn.q_proj": (queries, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, queries),
            "self_attn.q_norm": (head,),
            "self_attn.k_norm": (head,),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
            **dict.fromkeys(_NORMS, (hidden,)),
        }
        out |= {f"model.layers.{layer}.{name}.weight": random(*shape) for name, shape in shapes.items()}
    return {**out, "model.norm.weight": random(hidden)}


def write_tensors(path: Path, values: dict[str, np.ndarray]) -> None:
    """One safetensors file."""
    header: dict[str, Any] = {}
    body = b""
    for name, value in values.items():
        raw = value.astype("<f4").tobytes()
        place = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": place}
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of single characters."""
    words = {"<unk>": 0, **{chr(0x21 + i): 1 + i for i in range(94)}}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def write_model(
    path: Path, *, seed: int = 0, changed: dict[str, np.ndarray] | None = None, **config: Any
) -> Path:
    """A Hugging Face folder; `changed` tensors and `config` keys replace the usual ones."""
    path.mkdir()
    stated = {**CONFIG, **config}
    (path / "config.json").write_text(json.dumps(stated))
    write_tensors(path / "model.safetensors", {**tensors(seed, CONFIG), **(changed or {})})
    write_tokenizer(path)
    return path


CALIBRATED: dict[Path, Any] = {}
CALIBRATIONS: list[Path] = []


def register_model(model: Path, out: Path, **options: Any) -> Registered:
    """Registers over the small code; a model is calibrated once, each time that it would be is noted."""

    def calibrate(source: Any) -> Any:
        CALIBRATIONS.append(out)
        if model not in CALIBRATED:
            CALIBRATED[model] = registering_calibrate(source)
        return CALIBRATED[model]

    registering_calibrate = registering.calibrate
    with patch.object(registering, "calibrate", calibrate):
        return registering.register(
            load(model), out, **{"code": SMALL_CODE, "storage": "recompute", **options}
        )


@dataclass(frozen=True)
class Road:
    """A registered model, a record, a challenge and a proof, as files and in memory."""

    model_path: Path
    dir: Path
    req: Path
    challenge_path: Path
    proof_path: Path
    model: RegisteredModel
    recording: Recording
    challenge: Challenge
    proof: bytes

    @property
    def public(self) -> bytes:
        return self.model.public.encoded

    @property
    def file(self) -> ProofFile:
        return ProofFile.from_bytes(self.proof)


def walk(model_path: Path, dir: Path, folder: Path, layers: list[int]) -> Road:
    """Records, names layers, proves."""
    model = RegisteredModel(dir)
    req = folder / "REQ"
    record(model, req, tokens=TOKENS)
    recording = load_recording(req, model)
    asked = challenge(req / "record.assay", layers=layers)
    (folder / "challenge.json").write_bytes(asked.encoded)
    proof = prove_recording(model, recording, asked).data
    (folder / "proof.assay").write_bytes(proof)
    return Road(
        model_path,
        dir,
        req,
        folder / "challenge.json",
        folder / "proof.assay",
        model,
        recording,
        asked,
        proof,
    )


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    """Layers 0 and 2 of a model, proven."""
    folder = tmp_path_factory.mktemp("road")
    model = write_model(folder / "model")
    register_model(model, folder / "DIR")
    return walk(model, folder / "DIR", folder, [0, 2])


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Road:
    """The same of a model with other weights."""
    folder = tmp_path_factory.mktemp("other")
    model = write_model(folder / "model", seed=1)
    register_model(model, folder / "DIR")
    return walk(model, folder / "DIR", folder, [0, 2])


def proven(model: RegisteredModel, recording: Recording, asked: Challenge, **options: Any) -> Proof:
    """A proof that the model's ledger does not count: tests make more of them than an epoch allows."""
    return prove_recording(model, recording, asked, account=Transient(1 << 20), **options)


def attempt(call: Callable[[], Any], error: type[Exception]) -> Any:
    """What a call returns, or the error of this class that it raises."""
    try:
        return call()
    except error as raised:
        return raised


def cuts(data: bytes, count: int = 40) -> list[bytes]:
    """Beginnings of a file, the short ones all, and one byte too many."""
    places = {*range(min(len(data), 24)), *np.linspace(0, len(data) - 1, count).astype(int).tolist()}
    return [*(data[:at] for at in sorted(places)), data + b"\0"]


def flips(data: bytes, count: int, seed: int = 0) -> list[bytes]:
    """The file with one bit flipped, at places spread over it."""
    rng = np.random.default_rng(seed)
    out = []
    for at in rng.choice(len(data), min(count, len(data)), replace=False):
        changed = bytearray(data)
        changed[at] ^= 1 << int(rng.integers(8))
        out.append(bytes(changed))
    return out


def edits(value: Any) -> list[Any]:
    """Other values of a field's type, and one of another type."""
    if isinstance(value, bool):
        return [not value, int(value)]
    if isinstance(value, int):
        return [value + 1, -1, 1 << 70, str(value)]
    if isinstance(value, float):
        return [value * 2, -value, int(value)]
    if isinstance(value, str):
        return [value + "x", "", value.encode()]
    if isinstance(value, bytes):
        return [bytes([value[0] ^ 1]) + value[1:], value[:-1], value + b"\0", value.hex()]
    if value is None:
        return [0, b""]
    return [{}, []] if value else [None, [0]]


def tampered(envelope: Any, path: str = "") -> list[tuple[str, Callable[[], Any]]]:
    """Every field of an envelope edited, left out, or added, as pairs (name, makes the envelope)."""
    out: list[tuple[str, Callable[[], Any]]] = []
    if isinstance(envelope, dict):
        for name, value in envelope.items():
            place = f"{path}.{name}" if path else name
            rest = {n: v for n, v in envelope.items() if n != name}
            out.append((f"{place} left out", lambda rest=rest: rest))
            for label, make in tampered(value, place):
                out.append((label, lambda name=name, make=make: {**envelope, name: make()}))
        out.append((f"{path} with one more", lambda: {**envelope, "zz": 0}))
    elif isinstance(envelope, list) and envelope:
        for i in {0, len(envelope) - 1}:
            for label, make in tampered(envelope[i], f"{path}.{i}"):
                out.append((label, lambda i=i, make=make: [*envelope[:i], make(), *envelope[i + 1 :]]))
        out.append((f"{path} shorter", lambda: envelope[:-1]))
        out.append((f"{path} longer", lambda: [*envelope, envelope[-1]]))
    else:
        for other in edits(envelope):
            out.append((f"{path} = {other!r}", lambda other=other: other))
    return out
