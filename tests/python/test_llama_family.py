"""Llama and its kin, OLMo 2 among them: against transformers, as exact models, and proven."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assay.circuits import layer as layers
from assay.circuits.catalogue import config_of
from assay.circuits.fixed_point import Stretch, rotary
from test_exact_parity import exact_boundaries, relative_error
from tiny_model import SMALL_CODE, proven

from assay.audit import challenge
from assay.errors import ModelError, VerificationError
from assay.model import load
from assay.prove.folder import RegisteredModel
from assay.prove.log import Logging
from assay.prove.record import load_recording, record, record_tokens
from assay.prove.register import register
from assay.quantize.calibrate import site_maxima, weight_maxima
from assay.quantize.scales import derive_scales, typical_scales
from assay.reference import verify as verify_by_reference
from assay.verify import ForwardStatement, verify

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from assay.model.float_model import FloatModel  # noqa: E402 - needs torch

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 144,
    "intermediate_size": 200,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "attn_implementation": "eager",
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 3.0,
    "original_max_position_embeddings": 64,
}
FAMILY: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"head_dim": 32, "tie_word_embeddings": True}),
    "llama-untied": (
        "Llama",
        {"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": False, "rope_theta": 5e5},
    ),
    "llama3": ("Llama", {"head_dim": 32, "rope_scaling": LLAMA3, "rope_theta": 1e3}),
    "mistral": ("Mistral", {"sliding_window": 8, "head_dim": 32}),
    "qwen2": ("Qwen2", {"hidden_size": 192}),
    "olmo2": ("Olmo2", {"head_dim": 32, "tie_word_embeddings": False}),
    "mixtral": ("Mixtral", {"head_dim": 32, "num_local_experts": 6, "num_experts_per_tok": 2}),
    "qwen3-moe": (
        "Qwen3Moe",
        {
            "head_dim": 128,
            "num_experts": 5,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 72,
            "norm_topk_prob": True,
        },
    ),
    "qwen3": ("Qwen3", {"head_dim": 128, "tie_word_embeddings": True}),
}


def random_model(name: str, folder: Path, **changes: Any) -> Any:
    """A tiny random model, saved to a folder; all weights are spread so that each of them matters."""
    kind, own = FAMILY[name]
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **own, **changes})
    torch.manual_seed(7)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for tensor, weight in model.named_parameters():
            if "norm" in tensor:
                weight.uniform_(0.5, 1.5)
            else:
                weight.normal_(0.0, 0.3 if "bias" in tensor else 0.12)
    model.save_pretrained(folder)
    words = {"<unk>": 0, **{chr(0x21 + i): 1 + i for i in range(94)}}
    rules = {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}
    empty = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
    tokenizer = {**empty, "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": rules}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return model


def random_tokens(count: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(3).integers(0, 96, count)]


def transformers_values(model: Any, tokens: list[int]) -> tuple[list[np.ndarray], np.ndarray]:
    """Residuals before the first layer and after each, and logits."""
    found: list[np.ndarray] = []

    def note(_module: Any, _inputs: Any, out: Any) -> None:
        value = out[0] if isinstance(out, tuple) else out
        found.append(value.detach().float().numpy().reshape(len(tokens), -1))

    hooks = [m.register_forward_hook(note) for m in (model.model.embed_tokens, *model.model.layers)]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].float().numpy()
    for hook in hooks:
        hook.remove()
    return found, logits


@pytest.mark.parametrize("name", FAMILY)
def test_the_float_model_is_that_of_transformers(tmp_path: Path, name: str) -> None:
    model = random_model(name, tmp_path)
    mine, tokens = FloatModel(load(tmp_path)), random_tokens(24)
    boundaries, logits = transformers_values(model, tokens)
    found = mine.forward(tokens)
    for ours, theirs in zip(found, boundaries, strict=True):
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()
    assert np.abs(mine.logits(found[-1]) - logits).max() <= 1e-5 * np.abs(logits).max()


@pytest.mark.parametrize("name", FAMILY)
def test_the_exact_model_is_close(tmp_path: Path, name: str) -> None:
    errors = exact_errors(tmp_path, random_model(name, tmp_path))
    assert max(errors) < 2e-3, errors


def test_wide_rows_that_nothing_norms_keep_their_bits(tmp_path: Path) -> None:
    """Linear layers that read the stream itself, norms of all queries and keys at once."""
    wide = {"hidden_size": 1024, "intermediate_size": 2048, "num_attention_heads": 32}
    errors = exact_errors(tmp_path, random_model("olmo2", tmp_path, **wide))
    assert max(errors) < 1e-3, errors


def exact_errors(tmp_path: Path, model: Any) -> list[float]:
    """Of each boundary of the exact model, against transformers."""
    source, tokens = load(tmp_path), random_tokens(24)
    source.encode = lambda _text: tokens  # type: ignore[method-assign]
    scales = derive_scales(source.config, site_maxima(source, ["tokens"]), weight_maxima(source))
    expected, _ = transformers_values(model, tokens)
    found = exact_boundaries(source, scales, tokens)
    return [relative_error(a, b) for a, b in zip(found, expected, strict=True)]


@pytest.mark.parametrize("name", FAMILY)
def test_a_forward_pass_is_proven(tmp_path: Path, name: str) -> None:
    """By files, in zero knowledge, for both verifiers; and one changed weight."""
    random_model(name, tmp_path / "model")
    register(load(tmp_path / "model"), tmp_path / "DIR", code=SMALL_CODE, storage="recompute")
    model = RegisteredModel(tmp_path / "DIR")
    record(model, tmp_path / "REQ", tokens=random_tokens(5), log=Logging(top_k=4))
    recording = load_recording(tmp_path / "REQ", model)
    asked = challenge(tmp_path / "REQ" / "record.assay", scope="forward", positions=[1, 4])
    proof = proven(model, recording, asked).data
    public = model.public.encoded
    (stated,) = verify(proof, public=public, challenge=asked).members[0].statements
    assert isinstance(stated, ForwardStatement)
    assert stated.positions == (1, 4)
    verify_by_reference(proof, public=public, challenge=asked)
    down = "experts_down" if "layers.1.experts_down" in model.layer_weights(1) else "down_proj"
    wrong = np.array(model.weight(f"layers.1.{down}"))
    wrong[:, 5] += 40
    weights = {f"layers.1.{down}": wrong}
    forged = record_tokens(model, random_tokens(5), replaced=weights, log=Logging(top_k=4))
    asked = challenge(forged.header, scope="forward", positions=[1, 4])
    options = {"self_check": False, "evaluate_with": weights, "insecure_no_hiding": True}
    cheat = proven(model, forged, asked, **options).data
    with pytest.raises(VerificationError) as caught:
        verify(cheat, public=public, challenge=asked, insecure_no_hiding=True)
    assert caught.value.segment == "layer 1"
    assert str(caught.value.relation).startswith(down)


@pytest.mark.parametrize(
    ("name", "key", "value", "named"),
    [
        ("llama", "hidden_act", "gelu", "silu"),
        ("llama", "attention_bias", True, "attention_bias"),
        ("llama", "rope_scaling", {"rope_type": "yarn", "factor": 8.0}, "rope_scaling"),
        ("llama", "rope_scaling", {"rope_type": "llama3", "factor": 8.0}, "low_freq_factor"),
        ("llama", "rope_scaling", {**LLAMA3, "attention_factor": 2.0}, "attention_factor"),
        ("llama", "rope_scaling", {**LLAMA3, "factor": 0.5}, "0.5 times slower"),
        ("llama3", "rope_scaling", {"rope_type": "yarn"}, "differ"),
        ("llama3", "rope_scaling", {**LLAMA3, "factor": 2.0}, "differ"),
        ("llama", "rope_scaling", {**LLAMA3, "low_freq_factor": 3.0}, "between 3.0 and 3.0"),
        ("mistral", "rope_scaling", LLAMA3, "rope_scaling"),
        ("llama", "num_experts", 8, "num_experts"),
        ("llama", "num_key_value_heads", 4, "multiple"),
        ("qwen2", "use_sliding_window", True, "use_sliding_window"),
        ("qwen3", "layer_types", ["sliding_attention", "full_attention"], "full_attention"),
        ("mistral", "sliding_window", "8", "sliding_window"),
        ("olmo2", "clip_qkv", 8.0, "clip_qkv"),
    ],
)
def test_an_option_that_no_circuit_covers_is_named(
    tmp_path: Path, name: str, key: str, value: object, named: str
) -> None:
    random_model(name, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    if key == "rope_scaling" and named != "differ":
        config.pop("rope_parameters", None)  # the newer form of the same
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert named in f"{caught.value.message} {caught.value.hint}"


def test_slow_rotations_are_stretched() -> None:
    """As many as turn less than once or three times in 64 positions, and no others."""
    stretch = Stretch(4.0, 1.0, 3.0, 64)
    plain, slower = (rotary(40, 32, 1e3, 13, how) for how in (None, stretch))
    for k in range(16):
        speed = 1e3 ** (-2 * k / 32)
        turns = 64 * speed / (2 * math.pi)
        share = min(1.0, max(0.0, (turns - 1) / 2))
        speed = speed * share + speed / 4 * (1 - share)
        for tables, function in ((0, math.cos), (1, math.sin)):
            expected = [2**13 * function(t * speed) for t in range(40)]
            assert np.abs(slower[tables][:, k] - expected).max() < 0.5 + 1e-6
        assert (slower[0][:, k] == plain[0][:, k]).all() == (turns >= 3)


def test_sizes_that_real_models_have_make_circuits() -> None:
    """Widths of Llama 8B and 70B and of Qwen2.5: every relation closes over the field."""
    for hidden, inner, heads, kv_heads in ((4096, 14336, 32, 8), (8192, 28672, 64, 8), (896, 4864, 14, 2)):
        config = config_of(
            {
                "architecture": "llama",
                "vocab_size": 128256,
                "hidden_size": hidden,
                "num_layers": 1,
                "max_position": 8192,
                "tied_embeddings": False,
                "num_heads": heads,
                "num_kv_heads": kv_heads,
                "head_dim": hidden // heads,
                "intermediate_size": inner,
                "rms_norm_eps": 1e-5,
                "rope_theta": 5e5,
            }
        )
        layers.build(config, typical_scales(config).layers[0], 0, 64).finish()


@pytest.mark.parametrize(
    ("architecture", "change"),
    [
        ("llama", {"rope_theta": 1e-8}),
        ("llama", {"head_dim": 2048}),
        ("llama3", {"rope_low": 4.0}),
        ("llama3", {"rope_factor": 0.25}),
        ("llama3", {"rope_original": 0}),
        ("mixtral", {"num_experts": 1 << 13}),
        ("mixtral", {"num_experts": 512, "num_chosen": 129}),
        ("mixtral", {"num_chosen": 9}),
    ],
)
def test_sizes_that_a_verifier_could_not_build_are_refused(architecture: str, change: dict[str, Any]) -> None:
    sizes = dict.fromkeys(("num_layers", "num_heads", "num_kv_heads", "head_dim", "max_position"), 8)
    sizes |= {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "tied_embeddings": True}
    sizes |= {"rms_norm_eps": 1e-5, "rope_theta": 1e4, "architecture": architecture}
    if architecture == "llama3":
        sizes |= {"rope_factor": 8.0, "rope_low": 1.0, "rope_high": 4.0, "rope_original": 8192}
    if architecture == "mixtral":
        sizes |= {"num_experts": 8, "num_chosen": 2, "renormalised": True}
    assert config_of(sizes).hidden_size == 64
    with pytest.raises(ModelError) as caught:
        config_of({**sizes, **change})
    assert caught.value.code == "bad-config"
