"""Architectures beside Gemma 3: float models against transformers, exact ones against those, proofs.

Random weights, spread so that each matters. Functions are named after the family that they are about.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import Run, refusal, run
from test_statement_file import run as run_program
from tiny_model import attempt, register_model, tampered, write_tensors, write_tokenizer

from assay import framing
from assay.audit import Challenge, challenge
from assay.audit.tokens import commit_tokens
from assay.errors import AssayError, ChallengeError, ModelError, VerificationError
from assay.model import load
from assay.proof import ProofFile, pack_proof
from assay.prove.folder import RegisteredModel
from assay.prove.log import Logging
from assay.prove.opening import Transient, opening
from assay.prove.prover import _Job, prove_batch
from assay.prove.record import Recording, load_recording, record, record_tokens
from assay.prove.register import register
from assay.prove.served import Served
from assay.public import PublicModel
from assay.quantize import texts
from assay.reference import verify as reference_verify
from assay.statement import build_statement
from assay.verify import EncodeStatement, ForwardStatement, verify
from assay.verify.bundle import statement_file

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from assay.model.float_model import FloatModel  # noqa: E402 - needs torch

__all__ = ["run"]
VOCABULARY = 320
TOKENS = [2, 7, 1, 8, 2, 8, 100, 300, 5]
POSITIONS = [2, 8]
TOP_K = 5
GPT2 = {
    "vocab_size": VOCABULARY,
    "n_embd": 128,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 512,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "attn_implementation": "eager",
}
BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "max_position_embeddings": 512,
    "attn_implementation": "eager",
}


# --- random models


def spread(model: Any, *, scale: float = 1.0) -> Any:
    """Weights drawn anew; norms and biases wide enough to matter, `scale` times as wide."""
    torch.manual_seed(7)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            norm = "ln_" in name or "LayerNorm" in name
            weight.normal_(0.0, 0.3 * scale if norm else 0.1 * (scale if name.endswith("bias") else 1.0))
    return model.eval()


def gpt2(**changed: Any) -> Any:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**{**GPT2, **changed}))


def bert(**changed: Any) -> Any:
    return transformers.BertModel(transformers.BertConfig(**{**BERT, **changed}))


def save(model: Any, folder: Path) -> Path:
    """A folder as transformers writes it, with a tokenizer of single characters."""
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def state(folder: Path) -> dict[str, np.ndarray]:
    """The tensors of a folder under their stored names."""
    from safetensors.numpy import load_file

    return dict(load_file(folder / "model.safetensors"))


def change_config(folder: Path, change: Mapping[str, Any]) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))


def hidden_states(model: Any, tokens: list[int]) -> list[np.ndarray]:
    with torch.no_grad():
        found = model(torch.tensor([tokens]), output_hidden_states=True)
    return [value[0].numpy() for value in found.hidden_states]


def assert_close(ours: np.ndarray, theirs: np.ndarray, tolerance: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(AssayError) as caught:
        call()
    return caught.value.code


@dataclass(frozen=True)
class Tiny:
    """A registered model, its float original, a record, a challenge and a proof."""

    path: Path
    dir: Path
    model: RegisteredModel
    float: FloatModel
    req: Path
    recording: Recording
    challenge: Challenge
    proof: bytes

    @property
    def public(self) -> PublicModel:
        return self.model.public

    def boundaries(self) -> list[np.ndarray]:
        """Of the exact model, as real numbers."""
        cells = enumerate(self.recording.boundaries)
        hidden = self.public.config["hidden_size"]
        return [np.ldexp(c[:, :hidden].astype(float), -self.public.scales.boundary(i)) for i, c in cells]


def registered(model: Any, folder: Path) -> Path:
    """The folder of a model that was saved in `model` and registered in `DIR`."""
    register_model(save(model, folder / "model"), folder / "DIR")
    return folder


def proven(folder: Path, request: str, asked: Mapping[str, Any], log: Logging | None) -> Tiny:
    """A request to such a model, recorded and proven."""
    path, own, req = folder / "model", RegisteredModel(folder / "DIR"), folder / request
    record(own, req, tokens=TOKENS, log=log)
    recording = load_recording(req, own)
    question = challenge(req / "record.assay", **asked)
    proof = prove_batch(own, [(recording, question)], account=Transient(1 << 20)).data
    return Tiny(path, folder / "DIR", own, FloatModel(load(path)), req, recording, question, proof)


def served_logits() -> Served:
    rng = np.random.default_rng(0)
    ids = np.stack([rng.choice(VOCABULARY, TOP_K, replace=False) for _ in TOKENS])
    return Served.of(ids, rng.standard_normal((len(TOKENS), TOP_K)))


FORWARD = {"scope": "forward", "positions": POSITIONS}


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return registered(spread(gpt2()), tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def tiny_gpt2(gpt2_folder: Path) -> Tiny:
    """Logits that were served, and their distances."""
    return proven(gpt2_folder, "SERVED", FORWARD, Logging(served=served_logits()))


@pytest.fixture(scope="session")
def own_gpt2(gpt2_folder: Path) -> Tiny:
    """The exact model's own largest logits."""
    return proven(gpt2_folder, "OWN", FORWARD, Logging(top_k=TOP_K))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """An encoding."""
    folder = registered(spread(bert()), tmp_path_factory.mktemp("bert"))
    return proven(folder, "REQ", {"scope": "encode"}, None)


# --- float models


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"n_inner": 80, "n_head": 6, "n_embd": 48, "layer_norm_epsilon": 1e-3},
        {"tie_word_embeddings": False},
        {"activation_function": "gelu_pytorch_tanh"},
    ],
)
def test_gpt2_float_parity(tmp_path: Path, change: dict[str, Any]) -> None:
    model = spread(gpt2(**change))
    mine = FloatModel(load(save(model, tmp_path)))
    assert mine.config.tied_embeddings is change.get("tie_word_embeddings", True)
    states, found = hidden_states(model, TOKENS), mine.forward(TOKENS)
    for ours, theirs in zip(found[:-1], states[:-1], strict=True):  # the last of theirs is normed
        assert_close(ours, theirs)
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0].numpy()
    assert_close(mine.logits(found[-1]), logits)


def test_gpt2_files_of_older_kinds(tmp_path: Path) -> None:
    """Without the prefix, and with the masks that were once saved as buffers of other types."""
    folder = save(spread(gpt2()), tmp_path / "model")
    expected = FloatModel(load(folder)).forward(TOKENS)[-1]
    values = {name.removeprefix("transformer."): value for name, value in state(folder).items()}
    from safetensors.numpy import save_file

    masks: dict[str, np.ndarray] = {f"h.{i}.attn.bias": np.ones((1, 1, 4, 4), np.uint8) for i in range(2)}
    masks["h.0.attn.masked_bias"] = np.array(-1e4, np.float32)
    save_file({**values, **masks}, folder / "model.safetensors")
    assert (FloatModel(load(folder)).forward(TOKENS)[-1] == expected).all()
    save_file({**values, "h.0.attn.other": np.ones(3, np.float32)}, folder / "model.safetensors")
    assert refused(lambda: load(folder)) == "unknown-tensor"
    save_file({**values, "wpe.weight": values["wpe.weight"].astype(np.int32)}, folder / "model.safetensors")
    assert refused(lambda: load(folder)) == "unsupported-quantization"


def test_gpt2_slabs_of_fused_and_transposed_weights(tmp_path: Path) -> None:
    folder = save(spread(gpt2()), tmp_path)
    source, fused = load(folder), state(folder)["transformer.h.1.attn.c_attn.weight"]
    for part, name in enumerate(("q_proj", "k_proj", "v_proj")):
        whole = source.tensor(f"layers.1.{name}")
        assert (whole == fused[:, 128 * part : 128 * (part + 1)].T).all()
        assert (source.rows(f"layers.1.{name}", 5, 11) == whole[5:11]).all()
    bias = state(folder)["transformer.h.1.attn.c_attn.bias"]
    assert (source.rows("layers.1.v_proj_bias", 3, 9) == bias[259:265]).all()


def test_gpt2_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = save(spread(gpt2()), tmp_path / "model")
    values = state(folder)
    name = "transformer.h.0.mlp.c_fc.weight"
    write_tensors(folder / "model.safetensors", {**values, name: values[name].T})
    assert refused(lambda: load(folder)) == "bad-shape"


@pytest.mark.parametrize(
    "change",
    [{}, {"hidden_size": 48, "num_attention_heads": 6, "type_vocab_size": 3, "layer_norm_eps": 1e-3}],
)
def test_bert_float_parity(tmp_path: Path, change: dict[str, Any]) -> None:
    model = spread(bert(**change))
    mine = FloatModel(load(save(model, tmp_path)))
    for ours, theirs in zip(mine.forward(TOKENS), hidden_states(model, TOKENS), strict=True):
        assert_close(ours, theirs)


def test_bert_files_of_older_kinds(tmp_path: Path) -> None:
    """With the prefix of larger models, and the position ids that were once saved."""
    from safetensors.numpy import save_file

    folder = save(spread(bert()), tmp_path / "model")
    expected = FloatModel(load(folder)).forward(TOKENS)[-1]
    values = {f"bert.{name}": value for name, value in state(folder).items()}
    ids = {"bert.embeddings.position_ids": np.arange(512).reshape(1, -1)}
    save_file({**values, **ids}, folder / "model.safetensors")
    assert (FloatModel(load(folder)).forward(TOKENS)[-1] == expected).all()


# --- refusals of configurations


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        ({"scale_attn_by_inverse_layer_idx": True}, "unsupported-config", "= False"),
        ({"scale_attn_weights": False}, "unsupported-config", "= True"),
        ({"reorder_and_upcast_attn": True}, "unsupported-config", "reorder_and_upcast_attn"),
        ({"activation_function": "relu"}, "unsupported-config", "'gelu_new'"),
        ({"add_cross_attention": True}, "unsupported-config", "add_cross_attention"),
        ({"architectures": ["GPT2ForSequenceClassification"]}, "unknown-architecture", "Sequence"),
        ({"n_experts": 3}, "unsupported-config", "n_experts"),
        ({"n_head": 3}, "bad-config", "num_heads"),
        ({"n_inner": 1.5}, "bad-config", "intermediate_size"),
        ({"n_layer": 3}, "missing-tensor", "h.2"),
        ({"tie_word_embeddings": False}, "missing-tensor", "lm_head"),
    ],
)
def test_gpt2_config_refusals(tmp_path: Path, change: dict[str, Any], code: str, named: str) -> None:
    config_refusal(save(gpt2(), tmp_path / "model"), change, code, named)


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        ({"position_embedding_type": "relative_key"}, "unsupported-config", "'absolute'"),
        ({"hidden_act": "relu"}, "unsupported-config", "'gelu'"),
        ({"hidden_act": "gelu_new"}, "unsupported-config", "'gelu'"),
        ({"is_decoder": True}, "unsupported-config", "= False"),
        ({"architectures": ["BertForMaskedLM"]}, "unknown-architecture", "BertForMaskedLM"),
        ({"embedding_size": 32}, "unsupported-config", "embedding_size"),
        ({"num_attention_heads": 5}, "bad-config", "num_heads"),
        ({"type_vocab_size": 0}, "bad-config", "token_kinds"),
        ({"type_vocab_size": 3}, "bad-shape", "token_type"),
        ({"num_hidden_layers": 1}, "unknown-tensor", "layer.1"),
    ],
)
def test_bert_config_refusals(tmp_path: Path, change: dict[str, Any], code: str, named: str) -> None:
    config_refusal(save(bert(), tmp_path / "model"), change, code, named)


def config_refusal(folder: Path, change: dict[str, Any], code: str, named: str) -> None:
    """The error names the key, and where there is one the nearest value that is covered."""
    change_config(folder, change)
    with pytest.raises(ModelError) as caught:
        load(folder)
    error = caught.value
    assert error.code == code
    assert named in f"{error} {error.hint}"
    if code == "unsupported-config":
        assert next(iter(change)) in error.message


# --- exact models


def test_gpt2_exact_against_float(tiny_gpt2: Tiny) -> None:
    for exact, real in zip(tiny_gpt2.boundaries(), tiny_gpt2.float.forward(TOKENS), strict=True):
        assert_close(exact, real, 2e-3)


def test_bert_exact_against_float(tiny_bert: Tiny) -> None:
    for exact, real in zip(tiny_bert.boundaries(), tiny_bert.float.forward(TOKENS), strict=True):
        assert_close(exact, real, 1e-3)


@pytest.mark.parametrize("scale", [1e-3, 8.0])
@pytest.mark.parametrize("family", [gpt2, bert])
def test_gpt2_bert_norms_and_biases_of_any_size(
    tmp_path: Path, family: Callable[[], Any], scale: float
) -> None:
    """Tiny gains beside tables of zeros, up to the unit of an activation; ones that carry the stream far."""
    model = spread(family(), scale=scale)
    if scale < 1:
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if any(part in name for part in ("wpe", "position_emb", "token_type")):
                    weight.zero_()
    path = save(model, tmp_path / "model")
    register_model(path, tmp_path / "DIR")
    own = RegisteredModel(tmp_path / "DIR")
    cells = record_tokens(own, TOKENS).boundaries
    for i, (found, real) in enumerate(zip(cells, FloatModel(load(path)).forward(TOKENS), strict=True)):
        exact = np.ldexp(found[:, :128].astype(float), -own.public.scales.boundary(i))
        assert np.abs(exact - real).max() <= 2e-2 * np.abs(real).max() + 2.0**-10


# --- proofs of forward passes


def test_gpt2_forward_with_served_logits(tiny_gpt2: Tiny) -> None:
    found = verify(tiny_gpt2.proof, public=tiny_gpt2.public, challenge=tiny_gpt2.challenge)
    reference_verify(tiny_gpt2.proof, public=tiny_gpt2.public, challenge=tiny_gpt2.challenge)
    assert found.hiding
    assert found.security_bits >= 128
    (said,) = found.statements
    assert isinstance(said, ForwardStatement)
    assert said.tokens == tuple(TOKENS)
    assert said.distances is not None
    logits = tiny_gpt2.float.logits(tiny_gpt2.float.forward(TOKENS)[-1])
    served = served_logits()
    for position, distance in zip(POSITIONS, said.distances, strict=True):
        p, q = softmax(logits[position]), softmax(served.logits[position])
        ids = served.ids[position]
        tv = (np.abs(q - p[ids]).sum() + 1 - p[ids].sum()) / 2
        assert float(distance.tv) == pytest.approx(tv, abs=5e-3)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return np.asarray(e / e.sum())


def test_gpt2_logits_of_a_head_of_its_own(tmp_path: Path) -> None:
    folder = registered(spread(gpt2(tie_word_embeddings=False)), tmp_path)
    tiny = proven(folder, "REQ", FORWARD, Logging(top_k=TOP_K))
    (said,) = verify(tiny.proof, public=tiny.public, challenge=tiny.challenge).statements
    reference_verify(tiny.proof, public=tiny.public, challenge=tiny.challenge)
    assert isinstance(said, ForwardStatement)
    assert said.logits is not None
    logits = tiny.float.logits(tiny.float.forward(TOKENS)[-1])
    for position, ids, row in zip(POSITIONS, said.ids, said.logits, strict=True):
        assert list(row) == pytest.approx(logits[position][list(ids)].tolist(), abs=1e-2)


@pytest.mark.parametrize(
    ("name", "segment", "relation"),
    [
        ("positions", None, "opening"),
        ("layers.0.q_proj", "layer 0", "q_proj.biased.product"),
        ("layers.1.fc_bias", None, "opening"),
        ("layers.0.mlp_norm_bias", "layer 0", "mlp_norm"),
        ("layers.1.proj", "layer 1", "proj.biased.product"),
        ("final_norm_bias", "final", "final_norm"),
    ],
)
def test_gpt2_other_weights_are_rejected(
    own_gpt2: Tiny, name: str, segment: str | None, relation: str
) -> None:
    """Linear relations have no messages of their own: what is wrong there shows when claims are opened."""
    assert forged_with(own_gpt2, name) == (segment, relation)


def forged_with(tiny: Tiny, name: str) -> tuple[str | None, str | None]:
    """Where a proof is rejected whose witness is of another weight than the one committed."""
    weight = tiny.model.weight(name).copy()
    weight[0, 3] ^= 0x155
    forged = prove_batch(
        tiny.model,
        [(tiny.recording, tiny.challenge)],
        account=Transient(1 << 20),
        insecure_no_hiding=True,
        self_check=False,
        evaluate_with={name: weight},
    ).data
    asked = {"public": tiny.public, "challenge": tiny.challenge, "insecure_no_hiding": True}
    error = attempt(lambda: verify(forged, **asked), VerificationError)
    other = attempt(lambda: reference_verify(forged, **asked), VerificationError)
    assert (error.code, error.segment, error.relation) == (other.code, other.segment, other.relation)
    return error.segment, error.relation


# --- the encoding


def encoded(tiny: Tiny, proof: bytes, **options: Any) -> EncodeStatement:
    found = verify(proof, public=tiny.public, challenge=tiny.challenge, **options)
    (said,) = found.statements
    assert isinstance(said, EncodeStatement)
    assert found.members[0].embedding == said.embedding
    return said


def test_bert_encoding(tiny_bert: Tiny) -> None:
    said = encoded(tiny_bert, tiny_bert.proof, tokens=TOKENS)
    last = tiny_bert.recording.boundaries[-1][:, :128]
    assert list(said.raw_pooled) == last.astype(np.int64).sum(axis=0).tolist()
    assert said.tokens == tuple(TOKENS)
    assert said.fraction == tiny_bert.public.scales.boundary(2)
    real = tiny_bert.float.forward(TOKENS)[-1].mean(axis=0)
    assert_close(np.array(said.mean), real, 1e-3)
    assert math.hypot(*said.embedding) == pytest.approx(1.0, abs=1e-12)
    assert np.dot(said.embedding, real) / np.linalg.norm(real) > 0.99999
    zero = dataclasses.replace(said, raw_pooled=(0,) * 128)
    assert zero.embedding == [0.0] * 128


def test_bert_both_verifiers_and_the_program(tiny_bert: Tiny, tmp_path: Path) -> None:
    found = reference_verify(
        tiny_bert.proof, public=tiny_bert.public, challenge=tiny_bert.challenge, tokens=TOKENS
    )
    raw = list(encoded(tiny_bert, tiny_bert.proof).raw_pooled)
    assert found.body.outputs[-1] == {"pooled": raw}
    assert [s["name"] for s in found.fields["members"][0]["segments"]] == [
        "embedding",
        "layer 0",
        "layer 1",
        "pooling",
    ]
    opened = [tiny_bert.recording.disclosure(tiny_bert.challenge)]
    data = statement_file(tiny_bert.public, [tiny_bert.challenge], disclosures=opened)
    (tmp_path / "statement").write_bytes(data)
    (tmp_path / "proof").write_bytes(tiny_bert.proof)
    code, said = run_program(tmp_path / "statement", tmp_path / "proof")
    assert (code, said["verdict"]) == (0, "accepted")
    assert said["segments"][-1]["outputs"] == {"pooled": raw}


def test_bert_layers_alone(tiny_bert: Tiny) -> None:
    asked = challenge(tiny_bert.recording.header, layers=[1])
    proof = prove_batch(tiny_bert.model, [(tiny_bert.recording, asked)], account=Transient(1 << 20)).data
    found = verify(proof, public=tiny_bert.public, challenge=asked)
    assert found.members[0].embedding is None
    assert reference_verify(proof, public=tiny_bert.public, challenge=asked)


def test_bert_a_batch_of_encodings(tiny_bert: Tiny) -> None:
    other = record_tokens(tiny_bert.model, [5, 4])
    asked = [tiny_bert.challenge, challenge(other.header, scope="encode")]
    members = [(tiny_bert.recording, asked[0]), (other, asked[1])]
    proof = prove_batch(tiny_bert.model, members, account=Transient(1 << 20)).data
    found = verify(proof, public=tiny_bert.public, challenge=asked)
    assert [len(said.tokens) for said in found.statements] == [len(TOKENS), 2]
    assert found.members[0].embedding == encoded(tiny_bert, tiny_bert.proof).embedding
    code = refused(lambda: verify(proof, public=tiny_bert.public, challenge=asked, tokens=TOKENS))
    assert code == "no-one-forward-pass"


@pytest.mark.parametrize(
    ("name", "segment", "relation"),
    [
        ("token_types", None, "opening"),
        ("embedding_norm_bias", "embedding", "embedding_norm"),
        ("layers.0.k_proj", "layer 0", "k_proj.biased.product"),
        ("layers.1.output_norm", "layer 1", "output_norm"),
    ],
)
def test_bert_other_weights_are_rejected(
    tiny_bert: Tiny, name: str, segment: str | None, relation: str
) -> None:
    assert forged_with(tiny_bert, name) == (segment, relation)


@pytest.mark.parametrize(
    ("tensor", "place", "segment", "relation"),
    [("pooled.sum", 3, "pooling", "pooled.sum"), ("embedding", 0, None, "opening")],
)
def test_bert_other_cells_are_rejected(
    tiny_bert: Tiny, tensor: str, place: int, segment: str | None, relation: str
) -> None:
    """A vector that is not the sum of the rows; a row that is not that of the tokens."""
    proof = corrupted(tiny_bert, place, {tensor: [(0, 3, 1)]}, hiding=False)
    options = {"public": tiny_bert.public, "challenge": tiny_bert.challenge, "insecure_no_hiding": True}
    for check in (verify, reference_verify):
        with pytest.raises(VerificationError) as caught:
            check(proof, **options)
        assert (caught.value.segment, caught.value.relation) == (segment, relation)
    hidden = corrupted(tiny_bert, place, {tensor: [(0, 3, 1)]}, hiding=True)
    assert refused(lambda: verify(hidden, public=tiny_bert.public, challenge=tiny_bert.challenge)).startswith(
        "tableau."
    )


def corrupted(tiny: Tiny, segment: int, cells: Mapping[str, Any], *, hiding: bool) -> bytes:
    """By a prover who adds to cells of a segment's witness."""
    job = _Job(
        tiny.model,
        [(tiny.recording, tiny.challenge)],
        hiding=hiding,
        progress=None,
        account=Transient(1 << 20),
    )
    with opening(*job.charges) as tickets:
        return job.run(
            tickets, bytes(32), work=None, self_check=False, corrupt=cells, corrupt_segment=segment
        ).data


def test_bert_a_body_about_other_tokens(tiny_bert: Tiny) -> None:
    """The commitment opens to other tokens; the proof was made for the right ones."""
    tokens = [1, *TOKENS[1:]]
    commitment = commit_tokens(tokens, tiny_bert.recording.salt)
    header = dataclasses.replace(tiny_bert.recording.header, tokens_commitment=commitment)
    asked = dataclasses.replace(tiny_bert.challenge, record=header)
    opened = dataclasses.replace(tiny_bert.recording.disclosure(tiny_bert.challenge), tokens=tuple(tokens))
    statement = build_statement(tiny_bert.public, [asked], disclosures=[opened])
    body = ProofFile.from_bytes(tiny_bert.proof).body
    proof = pack_proof("provable-128", True, statement.instance, body)
    for check in (verify, reference_verify):
        code = refused(lambda check=check: check(proof, public=tiny_bert.public, challenge=asked))
        assert not code.startswith("statement.")


@pytest.mark.parametrize(
    "change",
    [{"tokens": (1, *TOKENS[1:])}, {"tokens": (*TOKENS[:-1], VOCABULARY)}, {"salt": bytes(32)}],
)
def test_bert_other_tokens_than_the_records(tiny_bert: Tiny, change: dict[str, Any]) -> None:
    opened = dataclasses.replace(tiny_bert.recording.disclosure(tiny_bert.challenge), **change)
    file = ProofFile.from_bytes(tiny_bert.proof)
    (member,) = file.statement["members"]
    stated = {**file.statement, "members": [{**member, **opened.to_dict()}]}
    proof = pack_proof(file.profile, True, framing.encode(stated), file.body)
    for check in (verify, reference_verify):
        code = refused(
            lambda check=check: check(proof, public=tiny_bert.public, challenge=tiny_bert.challenge)
        )
        assert code == "statement.tokens"


def test_bert_every_field_of_the_statement_is_compared(tiny_bert: Tiny) -> None:
    file, seen = ProofFile.from_bytes(tiny_bert.proof), set()
    for label, make in tampered(file.statement):
        proof = pack_proof(file.profile, True, framing.encode(make()), file.body)
        code = refused(
            lambda proof=proof: verify(proof, public=tiny_bert.public, challenge=tiny_bert.challenge)
        )
        assert code.startswith(("statement.", "format.")), label
        seen.add(code)
    names = ("record", "nonce", "scope", "tokens", "segments", "public", "epoch", "drawn")
    assert {f"statement.{name}" for name in names} <= seen
    (member,) = file.statement["members"]
    for more in ({"log": []}, {"positions": [0]}, {"layers": []}):
        stated = {**file.statement, "members": [{**member, **more}]}
        proof = pack_proof(file.profile, True, framing.encode(stated), file.body)
        for check in (verify, reference_verify):
            code = refused(
                lambda check=check, proof=proof: check(
                    proof, public=tiny_bert.public, challenge=tiny_bert.challenge
                )
            )
            assert code == f"statement.{next(iter(more))}"


def test_bert_nothing_compared(tiny_bert: Tiny) -> None:
    found = verify(tiny_bert.proof, public=tiny_bert.public, any_statement=True)
    assert not found.compared
    assert found.members[0].embedding == encoded(tiny_bert, tiny_bert.proof).embedding


@pytest.mark.full_size
def test_bert_sentences_of_all_minilm(tmp_path: Path) -> None:
    """Real weights: vectors as near to those in float32 as the similarities that they are for."""
    source = load("all-minilm-l6-v2")
    model = RegisteredModel(register(source, tmp_path / "DIR", storage="recompute").path)
    real = FloatModel(source)
    for text in [*texts.heldout()[:3], "A fast auburn fox leaps above a sleepy hound."]:
        tokens = source.encode(text)[:128]
        recording = record_tokens(model, tokens)
        asked = challenge(recording.header, scope="encode")
        proof = prove_batch(model, [(recording, asked)]).data
        found = verify(proof, public=model.public, challenge=asked, tokens=tokens).members[0].embedding
        expected = real.forward(tokens)[-1].mean(axis=0)
        assert np.dot(found, expected) / np.linalg.norm(expected) > 0.9999


# --- scopes


def test_bert_every_field_of_a_challenge_is_checked(tiny_bert: Tiny) -> None:
    asked = challenge(tiny_bert.recording.header, scope="encode", nonce=bytes(range(32)))
    assert Challenge.from_bytes(asked.encoded) == asked
    assert (asked.scope, asked.asked, asked.drawn) == ("encode", {}, False)
    for label, make in tampered(asked.to_dict()):
        if "b'" in label:
            continue  # bytes have no place in JSON
        found = attempt(lambda make=make: Challenge.from_bytes(json.dumps(make()).encode()), ChallengeError)
        assert isinstance(found, ChallengeError), label
    for more in ({"layers": [0]}, {"positions": [0]}):
        changed = json.dumps({**asked.to_dict(), **more}).encode()
        assert refused(lambda changed=changed: Challenge.from_bytes(changed)) == "challenge-fields"


@pytest.mark.parametrize(
    "more", [{"layers": [0]}, {"num_layers": 1}, {"positions": [0]}, {"num_positions": 1}]
)
def test_bert_an_encoding_asks_for_nothing_else(tiny_bert: Tiny, more: dict[str, Any]) -> None:
    header = tiny_bert.recording.header
    assert refused(lambda: challenge(header, scope="encode", **more)) == "bad-challenge"


def test_bert_has_no_logits(tiny_bert: Tiny, tiny_gpt2: Tiny) -> None:
    """No log is made of an encoder, and no forward pass asked for, whatever its record says."""
    header = tiny_bert.recording.header
    assert header.log is None
    assert refused(lambda: challenge(header, **FORWARD)) == "no-log"
    assert refused(lambda: record_tokens(tiny_bert.model, TOKENS, log=Logging(top_k=2))) == "bad-log"
    lying = dataclasses.replace(header, log=tiny_gpt2.recording.header.log)
    asked = challenge(lying, **FORWARD)
    with pytest.raises(ChallengeError) as caught:
        build_statement(tiny_bert.public, [asked], disclosures=[None])
    assert caught.value.code == "scope-not-covered"
    assert "encode" in (caught.value.hint or "")
    layers = challenge(lying, layers=[0])
    assert refused(lambda: build_statement(tiny_bert.public, [layers])) == "record-mismatch"


def test_gpt2_has_no_encoding(tiny_gpt2: Tiny) -> None:
    header = tiny_gpt2.recording.header
    with pytest.raises(ChallengeError) as caught:
        challenge(header, scope="encode")
    assert caught.value.code == "scope-not-covered"
    assert "forward" in (caught.value.hint or "")
    asked = challenge(dataclasses.replace(header, log=None), scope="encode")
    assert refused(lambda: build_statement(tiny_gpt2.public, [asked])) == "scope-not-covered"


def test_bert_public_files_say_nothing_of_a_head(tiny_bert: Tiny, tiny_gpt2: Tiny) -> None:
    assert set(tiny_bert.public.scales.to_dict()) == {"layers", "weights"}
    for one, other in ((tiny_bert, tiny_gpt2), (tiny_gpt2, tiny_bert)):
        scales = dataclasses.replace(one.public.scales, head=other.public.scales.head)
        changed = dataclasses.replace(one.public, scales=scales)
        assert refused(lambda changed=changed: PublicModel.from_bytes(changed.encoded)) == "public-scales"


def test_bert_command_line(run: Run, tiny_bert: Tiny, tmp_path: Path) -> None:
    req, asked, proof = tmp_path / "REQ", tmp_path / "c.json", tmp_path / "proof.assay"
    code, made = run("record", tiny_bert.dir, "--tokens", "5,6,7", "--out", req)
    assert (code, made["log"]) == (0, None)
    words = ["record", tiny_bert.dir, "--tokens", "5", "--out", tmp_path / "x"]
    assert refusal(run, *words, "--top-k", "3") == "bad-log"
    code, said = run("challenge", req / "record.assay", "--scope", "encode", "--out", asked)
    assert (code, said["scope"], said["drawn"]) == (0, "encode", False)
    words = ["challenge", req / "record.assay", "--out", tmp_path / "y"]
    assert refusal(run, *words, "--scope", "forward", "--num-positions", "1") == "no-log"
    assert refusal(run, *words, "--scope", "encode", "--layers", "0") == "bad-challenge"
    code, proved = run("prove", tiny_bert.dir, req, "--challenge", asked, "--out", proof)
    assert (code, proved.get("members")) == (0, [{"scope": "encode"}]), proved
    words = ["verify", proof, "--public", tiny_bert.dir / "public.assay", "--challenge", asked]
    code, answer = run(*words, "--tokens", "5,6,7")
    assert (code, answer["verdict"]) == (0, "accepted")
    (statement,) = answer["members"][0]["statements"]
    assert (statement["scope"], statement["tokens"]) == ("encode", [5, 6, 7])
    assert len(statement["embedding"]) == len(statement["raw_pooled"]) == 128
    assert refusal(run, *words, "--tokens", "5,6", "--reference", exit_code=1) == "statement.tokens"
    code, shown = run("inspect", asked)
    assert (code, shown["scope"]) == (0, "encode")
    assert run("inspect", tiny_bert.dir / "public.assay")[0] == 0
