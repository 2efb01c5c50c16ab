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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from tiny_model import CONFIG, register_model, tensors, write_model, write_tensors

from assay.audit import challenge
from assay.profiles import Code
from assay.prove.folder import RegisteredModel
from assay.prove.prover import prove_recording
from assay.prove.record import load_recording, record

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
QUERIES = {"provable-128": 148, "provable-100": 116}
KINDS = {"proof.assay": False, "proof-not-hiding.assay": True}  # insecure_no_hiding


def make(profile: str, out: Path) -> None:
    """One profile's files."""
    out.mkdir(parents=True)
    code = Code(log_columns=12, random=1 << 10, log_coset=13, cosets=8, queries=QUERIES[profile])
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = write_model(scratch / "model", **SMALL)
        write_tensors(model / "model.safetensors", tensors(0, SMALL))
        register_model(model, scratch / "DIR", profile=profile, code=code)
        registered = RegisteredModel(scratch / "DIR")
        record(registered, scratch / "REQ", tokens=TOKENS)
        asked = challenge(scratch / "REQ" / "record.assay", layers=[LAYER])
        recording = load_recording(scratch / "REQ", registered)
        for file, insecure in KINDS.items():
            proof = prove_recording(registered, recording, asked, insecure_no_hiding=insecure)
            (out / file).write_bytes(proof.data)
        shutil.copyfile(scratch / "DIR" / "public.assay", out / "public.assay")
        (out / "challenge.json").write_bytes(asked.encoded)


if __name__ == "__main__":
    for profile in QUERIES:
        make(profile, Path(sys.argv[1]) / profile)
