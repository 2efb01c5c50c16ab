"""Gemma 3 from a GGUF file, as llama.cpp writes it.

For Gemma 3 llama.cpp stores norm weights as 1 + w, which is the effective gain, and leaves the rows of the
query and key projections in the checkpoint's order (it permutes them for Llama only), so that rotary
embedding pairs element i of a head with element i + head_dim/2. tests/python/test_float_parity.py shows both.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import ModelError
from assay.model.config import (
    ROPE_THETA_GLOBAL,
    ROPE_THETA_LOCAL,
    SLIDING_PATTERN,
    Gemma3Config,
    default_query_scalar,
)
from assay.model.gguf_file import GgufFile
from assay.model.source import FloatArray, SourceModel
from assay.model.tokenizer import PieceType, SentencePieceTokenizer

_GLOBAL_TENSORS = {"token_embd.weight": "embedding", "output_norm.weight": "final_norm"}
_LAYER_TENSORS = {
    "attn_norm": "input_norm",
    "attn_q": "q_proj",
    "attn_k": "k_proj",
    "attn_v": "v_proj",
    "attn_q_norm": "q_norm",
    "attn_k_norm": "k_norm",
    "attn_output": "o_proj",
    "post_attention_norm": "post_attention_norm",
    "ffn_norm": "pre_feedforward_norm",
    "ffn_gate": "gate_proj",
    "ffn_up": "up_proj",
    "ffn_down": "down_proj",
    "post_ffw_norm": "post_feedforward_norm",
}

# The keys of the architecture that may occur; any other could change the computation, and is refused.
# fmt: off
_KNOWN_KEYS = frozenset({
    "context_length", "embedding_length", "block_count", "feed_forward_length", "vocab_size",
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
    "attention.layer_norm_rms_epsilon", "attention.sliding_window", "attention.sliding_window_pattern",
    "rope.freq_base", "rope.freq_base_swa", "rope.scaling.type", "rope.scaling.factor",
    "attn_logit_softcapping", "final_logit_softcapping",
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
    """A Gemma 3 GGUF file under canonical tensor names."""

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
        return self._file.rows(self._stored[name], start, stop)

    def _load_tokenizer(self) -> SentencePieceTokenizer:
        return _tokenizer(self._file, self.config.vocab_size)

    def _digest_parts(self) -> list[tuple[str, Path]]:
        return [(self.path.name, self.path)]


def _match_tensors(file: GgufFile, config: Gemma3Config) -> dict[str, str]:
    """Canonical name to the file's; every tensor of the config is there in its shape, and no other."""
    stored = {canonical: name for name, canonical in _GLOBAL_TENSORS.items()}
    for layer in range(config.num_layers):
        for name, canonical in _LAYER_TENSORS.items():
            stored[f"layers.{layer}.{canonical}"] = f"blk.{layer}.{name}.weight"
    for unknown in sorted(file.tensors.keys() - set(stored.values())):
        raise ModelError(
            "unknown-tensor",
            f"{file.path}: tensor {unknown!r} is not one of the {config.num_layers}-layer text model's",
            hint="an output head of its own is not covered" if unknown == "output.weight" else None,
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


def _config(file: GgufFile) -> Gemma3Config:
    architecture = file.metadata.get("general.architecture")
    if architecture != "gemma3":
        raise ModelError(
            "unknown-architecture",
            f"{file.path}: architecture {architecture!r} is not covered",
            hint="covered: gemma3 (text only)",
        )
    prefix = "gemma3."
    stated = {key.removeprefix(prefix): v for key, v in file.metadata.items() if key.startswith(prefix)}
    _refuse_variants(file, stated)

    def integer(key: str) -> int:
        value = stated.get(key)
        if type(value) is not int:
            raise ModelError("bad-config", f"{file.path}: {prefix}{key} should be an integer, is {value!r}")
        return value

    def number(key: str, default: float) -> float:
        value = stated.get(key, default)
        if type(value) is not float:
            raise ModelError("bad-config", f"{file.path}: {prefix}{key} should be a float, is {value!r}")
        return float(str(np.float32(value)))  # as it was written: 1e-6, not 9.999999974752427e-07

    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelError("missing-tensor", f"{file.path}: tensor 'token_embd.weight' is missing")
    layers, hidden = integer("block_count"), integer("embedding_length")
    heads, head_dim = integer("attention.head_count"), integer("attention.key_length")
    if integer("attention.value_length") != head_dim:
        raise ModelError("unsupported-config", f"{file.path}: keys and values differ in length")
    if heads < 1:
        raise ModelError("bad-config", f"{file.path}: {prefix}attention.head_count is {heads}")
    return Gemma3Config(
        vocab_size=stated.get("vocab_size", embedding.shape[0]),
        hidden_size=hidden,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=integer("attention.head_count_kv"),
        head_dim=head_dim,
        intermediate_size=integer("feed_forward_length"),
        rms_norm_eps=number("attention.layer_norm_rms_epsilon", 0.0),
        rope_theta_global=number("rope.freq_base", ROPE_THETA_GLOBAL),
        rope_theta_local=number("rope.freq_base_swa", ROPE_THETA_LOCAL),
        sliding_window=integer("attention.sliding_window"),
        sliding_pattern=stated.get("attention.sliding_window_pattern", SLIDING_PATTERN),
        query_pre_attn_scalar=default_query_scalar(
            num_layers=layers, hidden_size=hidden, num_heads=heads, head_dim=head_dim
        ),
        max_position=integer("context_length"),
        tied_embeddings="output.weight" not in file.tensors,
        embed_scale=math.sqrt(max(hidden, 0)),
    )


def _refuse_variants(file: GgufFile, stated: dict[str, Any]) -> None:
    """Refuses by name whatever would make the model compute something else than `Gemma3Config` says."""
    for key in sorted(stated.keys() - _KNOWN_KEYS):
        raise ModelError("unsupported-config", f"{file.path}: the key gemma3.{key} is not covered")
    for key, values in _ONLY.items():
        if key in stated and stated[key] not in values:
            raise ModelError(
                "unsupported-config", f"{file.path}: gemma3.{key} = {stated[key]!r} is not covered"
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
