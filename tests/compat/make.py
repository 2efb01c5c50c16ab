"""Makes the golden files anew: python tests/compat/make.py FOLDER

Weights, tokens and layer are fixed; keys, salts, seeds, nonce and time are the operating system's, so no two
runs give the same bytes. Files of a version that was released are never replaced: a new version gets a folder
of its own.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from test_llama_family import random_model
from tiny_model import CONFIG, register_model, tensors, write_model, write_tensors

from assay.audit import Challenge, challenge
from assay.profiles import Code
from assay.prove.folder import RegisteredModel
from assay.prove.log import Logging
from assay.prove.prover import prove_batch, prove_recording
from assay.prove.record import Recording, load_recording, record
from assay.prove.served import Served

SMALL = {
    **CONFIG,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "intermediate_size": 128,
    "vocab_size": 128,
    "sliding_window": 2,
    "sliding_window_pattern": 2,
}
TOKENS = [2, 7, 1]
LAYER = 0
POSITIONS = [0, 2]
TOP_K = 3
SERVED = Served.of(np.array([[5, 127, 0]] * len(TOKENS)), np.array([[1.5, 0.25, -3.0]] * len(TOKENS)))
QUERIES = {"provable-128": 148, "provable-100": 116}
KINDS = {"proof.assay": False, "proof-not-hiding.assay": True}  # insecure_no_hiding


def code_of(profile: str) -> Code:
    """A small one."""
    return Code(log_columns=12, random=5 << 8, log_coset=13, cosets=8, queries=QUERIES[profile])


def make(profile: str, out: Path) -> None:
    """One profile's files."""
    out.mkdir(parents=True)
    code = code_of(profile)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = write_model(scratch / "model", **SMALL)
        write_tensors(model / "model.safetensors", tensors(0, SMALL))
        register_model(model, scratch / "DIR", profile=profile, code=code)
        registered = RegisteredModel(scratch / "DIR")
        own = recorded(registered, scratch / "own", Logging(top_k=TOP_K))
        served = recorded(registered, scratch / "served", Logging(served=SERVED))
        asked = challenge(own.header, layers=[LAYER])
        write(out, "challenge.json", asked.encoded)
        for file, insecure in KINDS.items():
            proof = prove_recording(registered, own, asked, insecure_no_hiding=insecure)
            write(out, file, proof.data)
        forward(registered, own, served, asked, out)
        shutil.copyfile(scratch / "DIR" / "public.assay", out / "public.assay")


def mixture(out: Path) -> None:
    """A model with experts, and which of them ran."""
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        random_model("mixtral", scratch / "model")
        register_model(scratch / "model", scratch / "DIR", code=code_of("provable-128"))
        registered = RegisteredModel(scratch / "DIR")
        record(registered, scratch / "REQ", tokens=TOKENS, log=Logging(top_k=TOP_K), public_routing=True)
        recording = load_recording(scratch / "REQ", registered)
        for asked, to, file in (
            (challenge(recording.header, layers=[LAYER]), "challenge.json", "proof.assay"),
            (
                challenge(recording.header, scope="forward", positions=POSITIONS),
                "forward.json",
                "forward.assay",
            ),
        ):
            write(out, to, asked.encoded)
            write(out, file, prove_recording(registered, recording, asked).data)
        shutil.copyfile(scratch / "REQ" / "routing.npy", out / "routing.npy")
        shutil.copyfile(scratch / "DIR" / "public.assay", out / "public.assay")


def forward(model: RegisteredModel, own: Recording, served: Recording, layers: Challenge, out: Path) -> None:
    """A forward pass and its logits; a batch of layers and of a forward pass and its distances."""
    first, second = (challenge(r.header, scope="forward", positions=POSITIONS) for r in (own, served))
    write(out, "forward.json", first.encoded)
    write(out, "distances.json", second.encoded)
    write(out, "forward.assay", prove_recording(model, own, first).data)
    write(out, "batch.assay", prove_batch(model, [(own, layers), (served, second)]).data)


def recorded(model: RegisteredModel, folder: Path, log: Logging) -> Recording:
    """A request and its log."""
    record(model, folder, tokens=TOKENS, log=log)
    return load_recording(folder, model)


def write(out: Path, name: str, data: bytes) -> None:
    """One file."""
    (out / name).write_bytes(data)


if __name__ == "__main__":
    for profile in QUERIES:
        make(profile, Path(sys.argv[1]) / profile)
    mixture(Path(sys.argv[1]) / "mixture")
