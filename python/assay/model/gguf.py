"""Gemma 3 and Llama from a GGUF file, as llama.cpp writes it.

For Gemma 3 llama.cpp stores norm weights as 1 + w, which is the effective gain. For Llama it permutes the
rows of the query and key projections, so that rotary embedding pairs neighbours; they are put back into the
checkpoint's order when they are read, where element i of a head is paired with element i + head_dim/2.
tests/python/test_float_parity.py shows both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assay.circuits.architecture import Architecture
from assay.circuits.gemma3 import (
    ROPE_THETA_GLOBAL,
    ROPE_THETA_LOCAL,
    SLIDING_PATTERN,
    Gemma3,
    default_query_scalar,
)
from assay.circuits.llama import Llama
from assay.errors import ModelError
from assay.model.gguf_file import GgufFile
from assay.model.source import FloatArray, SourceModel
from assay.model.tokenizer import JsonTokenizer, PieceType, SentencePieceTokenizer, Tokenizer

_OUTSIDE = {
    "embedding": "token_embd.weight",
    "final_norm": "output_norm.weight",
    "lm_head": "output.weight",
}
_LAYER = {
    "input_norm": "attn_norm",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
_LAYERS: Mapping[str, Mapping[str, str]] = {
    "gemma3": {
        **_LAYER,
        "q_norm": "attn_q_norm",
        "k_norm": "attn_k_norm",
        "post_attention_norm": "post_attention_norm",
        "pre_feedforward_norm": "ffn_norm",
        "post_feedforward_norm": "post_ffw_norm",
    },
    "llama": {**_LAYER, "post_attention_norm": "ffn_norm"},
}

# The keys of the architecture that may occur; any other could change the computation, and is refused.
# fmt: off
_KNOWN_KEYS = frozenset({
    "context_length", "embedding_length", "block_count", "feed_forward_length", "vocab_size",
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
    "attention.layer_norm_rms_epsilon", "attention.sliding_window", "attention.sliding_window_pattern",
    "rope.freq_base", "rope.freq_base_swa", "rope.scaling.type", "rope.scaling.factor",
    "rope.dimension_count", "attn_logit_softcapping", "final_logit_softcapping",
})
# fmt: on
# Of those, the ones that must have a value that changes nothing.
_ONLY: dict[str, tuple[object, ...]] = {
    "rope.scaling.type": ("none",),
    "rope.scaling.factor": (0.0, 1.0),
    "attn_logit_softcapping": (0.0,),
    "final_logit_softcapping": (0.0,),
}


class GgufModel(SourceModel):
    """A GGUF file under canonical tensor names."""

    def __init__(self, path: Path) -> None:
        try:
            import gguf  # noqa: F401
        except ImportError as error:
            raise ModelError(
                "missing-package", "the package `gguf` is not installed", hint="pip install 'assay[demo]'"
            ) from error
        self._file = GgufFile(path)
        super().__init__(path, _config(self._file))
        self._stored = _match_tensors(self._file, self.config)

    def _read(self, name: str, start: int, stop: int) -> FloatArray:
        stored = self._stored[name]
        if isinstance(self.config, Llama) and name.endswith((".q_proj", ".k_proj")):
            rows, cols = self.shape(name)
            pairs = self._file.rows(stored, 0, rows).reshape(-1, self.config.head_dim // 2, 2, cols)
            return pairs.swapaxes(1, 2).reshape(rows, cols)[start:stop]
        return self._file.rows(stored, start, stop)

    def _load_tokenizer(self) -> Tokenizer:
        if self._file.metadata.get("tokenizer.ggml.model") == "gpt2":
            return JsonTokenizer.of_rules(byte_pair_rules(self._file, self.config.vocab_size))
        return _tokenizer(self._file, self.config.vocab_size)

    def _digest_parts(self) -> list[tuple[str, Path]]:
        return [(self.path.name, self.path)]


def _match_tensors(file: GgufFile, config: Architecture) -> dict[str, str]:
    """Canonical name to the file's; every tensor of the config is there in its shape, and no other."""
    stored = {name: _OUTSIDE[name] for name in (*config.tables(), *config.outside_shapes())}
    for layer in range(config.num_layers):
        for canonical, name in _LAYERS[config.covers].items():
            stored[f"layers.{layer}.{canonical}"] = f"blk.{layer}.{name}.weight"
    for unknown in sorted(file.tensors.keys() - set(stored.values())):
        raise ModelError(
            "unknown-tensor",
            f"{file.path}: tensor {unknown!r} is not one of the {config.num_layers}-layer text model's",
        )
    for canonical, shape in config.tensor_shapes().items():
        tensor = file.tensors.get(stored[canonical])
        if tensor is None:
            raise ModelError("missing-tensor", f"{file.path}: tensor {stored[canonical]!r} is missing")
        if tensor.shape != shape:
            raise ModelError(
                "bad-shape",
                f"{file.path}: tensor {stored[canonical]!r} is {tensor.shape}, config says {shape}",
            )
    return stored


def _config(file: GgufFile) -> Architecture:
    architecture = file.metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in _LAYERS:
        raise ModelError(
            "unknown-architecture",
            f"{file.path}: architecture {architecture!r} is not covered",
            hint=f"covered: {', '.join(_LAYERS)}",
        )
    stated = _Stated(file, f"{architecture}.")
    _refuse_variants(file, architecture, stated.values)
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelError("missing-tensor", f"{file.path}: tensor 'token_embd.weight' is missing")
    layers, hidden = stated.integer("block_count"), stated.integer("embedding_length")
    heads = stated.integer("attention.head_count")
    if heads < 1:
        raise ModelError("bad-config", f"{file.path}: {architecture}.attention.head_count is {heads}")
    head_dim = stated.integer("attention.key_length", hidden // heads if architecture == "llama" else None)
    if stated.integer("attention.value_length", head_dim if architecture == "llama" else None) != head_dim:
        raise ModelError("unsupported-config", f"{file.path}: keys and values differ in length")
    sizes: dict[str, Any] = {
        "vocab_size": stated.values.get("vocab_size", embedding.shape[0]),
        "hidden_size": hidden,
        "num_layers": layers,
        "num_heads": heads,
        "num_kv_heads": stated.integer("attention.head_count_kv"),
        "head_dim": head_dim,
        "intermediate_size": stated.integer("feed_forward_length"),
        "rms_norm_eps": stated.number("attention.layer_norm_rms_epsilon", 0.0),
        "max_position": stated.integer("context_length"),
        "tied_embeddings": "output.weight" not in file.tensors,
    }
    if architecture == "llama":
        if stated.integer("rope.dimension_count", head_dim) != head_dim:
            raise ModelError("unsupported-config", f"{file.path}: rotary embedding of a part of each head")
        return Llama(**sizes, rope_theta=stated.number("rope.freq_base", 10_000.0))
    return Gemma3(
        **sizes,
        rope_theta_global=stated.number("rope.freq_base", ROPE_THETA_GLOBAL),
        rope_theta_local=stated.number("rope.freq_base_swa", ROPE_THETA_LOCAL),
        sliding_window=stated.integer("attention.sliding_window"),
        sliding_pattern=stated.values.get("attention.sliding_window_pattern", SLIDING_PATTERN),
        query_pre_attn_scalar=default_query_scalar(
            num_layers=layers, hidden_size=hidden, num_heads=heads, head_dim=head_dim
        ),
        embed_scale=math.sqrt(max(hidden, 0)),
    )


class _Stated:
    """The keys of the architecture."""

    def __init__(self, file: GgufFile, prefix: str) -> None:
        self.file, self.prefix = file, prefix
        own = {key: value for key, value in file.metadata.items() if key.startswith(prefix)}
        self.values = {key.removeprefix(prefix): value for key, value in own.items()}

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.values.get(key, default)
        if type(value) is not int:
            raise self._bad(key, "an integer", value)
        return value

    def number(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if type(value) is not float:
            raise self._bad(key, "a float", value)
        return float(str(np.float32(value)))  # as it was written: 1e-6, not 9.999999974752427e-07

    def _bad(self, key: str, wanted: str, value: object) -> ModelError:
        where = f"{self.file.path}: {self.prefix}{key}"
        return ModelError("bad-config", f"{where} should be {wanted}, is {value!r}")


def _refuse_variants(file: GgufFile, architecture: str, stated: dict[str, Any]) -> None:
    """Refuses by name whatever would make the model compute something else than its configuration says."""
    for key in sorted(stated.keys() - _KNOWN_KEYS):
        raise ModelError("unsupported-config", f"{file.path}: the key {architecture}.{key} is not covered")
    for key, values in _ONLY.items():
        if key in stated and stated[key] not in values:
            raise ModelError(
                "unsupported-config", f"{file.path}: {architecture}.{key} = {stated[key]!r} is not covered"
            )


def _tokenizer(file: GgufFile, vocab_size: int) -> SentencePieceTokenizer:
    prefix = "tokenizer.ggml."
    stated = {key.removeprefix(prefix): v for key, v in file.metadata.items() if key.startswith(prefix)}

    def bad(message: str) -> ModelError:
        return ModelError("bad-tokenizer", f"{file.path}: {message}")

    if stated.get("model") != "llama":
        raise bad(f"tokenizer model {stated.get('model')!r} is not covered (SentencePiece, 'llama', is)")
    for key, default in (
        ("add_space_prefix", True),
        ("add_eos_token", False),
        ("remove_extra_whitespaces", False),
    ):
        if stated.get(key, default) is not False:
            raise bad(f"{prefix}{key} other than false is not covered")
    if "precompiled_charsmap" in stated:
        raise bad(f"{prefix}precompiled_charsmap is not covered")

    def column(key: str, kind: type) -> list[Any]:
        values = stated.get(key)
        if not isinstance(values, list) or not all(type(value) is kind for value in values):
            raise bad(f"{prefix}{key} is not a list of {kind.__name__}")
        if len(values) != vocab_size:
            raise bad(f"{prefix}{key} has {len(values)} entries, the embedding {vocab_size} rows")
        return values

    pieces, scores, types = column("tokens", str), column("scores", float), column("token_type", int)
    if not all(map(math.isfinite, scores)):
        raise bad("a score is NaN or infinite")
    spelled = {f"<0x{byte:02X}>" for byte in range(256)}
    byte_pieces = {piece for piece, kind in zip(pieces, types, strict=True) if kind == PieceType.BYTE}
    if byte_pieces - spelled:
        raise bad("a byte piece is not spelled <0x00> to <0xFF>")
    bos = stated.get("bos_token_id") if stated.get("add_bos_token", True) else None
    unknown = stated.get("unknown_token_id", 0)
    for token in (bos, unknown):
        if token is not None and (type(token) is not int or not 0 <= token < vocab_size):
            raise bad(f"special token {token!r} is outside the vocabulary")
    return SentencePieceTokenizer(tuple(pieces), tuple(scores), tuple(types), bos, unknown)


# How texts are split before pairs are joined, by tokenizer.ggml.pre: as GPT-2 does; in SmolLM, digits first.
_SPLITS: Mapping[str, list[dict[str, Any]]] = {
    "gpt-2": [],
    "smollm": [{"type": "Digits", "individual_digits": True}],
}


def byte_pair_rules(file: GgufFile, vocab_size: int) -> dict[str, Any]:
    """A byte-level BPE tokenizer of a GGUF file as the rules of a tokenizer.json."""
    prefix = "tokenizer.ggml."
    stated = {key.removeprefix(prefix): v for key, v in file.metadata.items() if key.startswith(prefix)}

    def bad(message: str) -> ModelError:
        return ModelError("bad-tokenizer", f"{file.path}: {message}")

    pre = stated.get("pre")
    if not isinstance(pre, str) or pre not in _SPLITS:
        raise bad(f"{prefix}pre {pre!r} is not covered (covered: {', '.join(_SPLITS)})")
    for key in ("add_bos_token", "add_eos_token", "add_space_prefix"):
        if stated.get(key, False) is not False:
            raise bad(f"{prefix}{key} other than false is not covered")
    tokens, types, merges = (stated.get(key) for key in ("tokens", "token_type", "merges"))
    for key, values, kind in (("tokens", tokens, str), ("token_type", types, int), ("merges", merges, str)):
        if not isinstance(values, list) or not all(type(value) is kind for value in values):
            raise bad(f"{prefix}{key} is not a list of {kind.__name__}")
    assert isinstance(tokens, list) and isinstance(types, list) and isinstance(merges, list)  # noqa: PT018
    if not len(tokens) == len(types) == vocab_size or len(set(tokens)) != vocab_size:
        raise bad(f"{prefix}tokens are not one for each of the embedding's {vocab_size} rows")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    control = (PieceType.CONTROL, PieceType.USER_DEFINED)
    added = [
        {
            "id": index,
            "content": token,
            "special": kind == PieceType.CONTROL,
            **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
        }
        for index, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in control
    ]
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*_SPLITS[pre], byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": merges,
        },
    }
