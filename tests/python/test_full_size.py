"""A real layer of Gemma 3 270M, from the model file to a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.audit import challenge
from assay.bench.layer import with_profile
from assay.errors import VerificationError
from assay.model import load
from assay.prove.folder import RegisteredModel
from assay.prove.prover import prove_recording
from assay.prove.record import record_tokens
from assay.prove.register import register
from assay.quantize import texts
from assay.verify import verify


@pytest.mark.full_size
def test_a_layer_of_gemma_270m(tmp_path: Path) -> None:
    """A local and a global layer in one batch, 64 tokens, in both profiles; a changed byte is rejected."""
    source = load()
    folder = register(source, tmp_path / "DIR", storage="recompute").path
    tokens = source.encode("\n".join(texts.heldout()))[:64]
    for profile, bits in (("provable-128", 128), ("provable-100", 100)):
        public = with_profile(RegisteredModel(folder).public, profile)
        model = RegisteredModel(folder, public)
        recording = record_tokens(model, tokens)
        asked = challenge(recording.header, layers=[4, 5])
        proof = prove_recording(model, recording, asked).data
        found = verify(proof, public=public, challenge=asked)
        assert [statement.layer for statement in found.statements] == [4, 5]
        assert found.security_bits >= bits
        broken = bytearray(proof)
        broken[len(proof) // 2] ^= 1
        with pytest.raises(VerificationError):
            verify(bytes(broken), public=public, challenge=asked)
