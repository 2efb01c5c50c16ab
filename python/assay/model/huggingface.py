"""Gemma 3 from a Hugging Face folder: config.json, safetensors (one file or indexed shards), tokenizer.json.

The checkpoint stores a norm's weight w, its gain being 1 + w: one is added when it is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import ModelError
from assay.model.config import (
    ROPE_THETA_GLOBAL,
    ROPE_THETA_LOCAL,
    SLIDING_PATTERN,
    Gemma3Config,
)
from assay.model.safetensors_file import SafetensorsFile, load_json
from assay.model.source import FloatArray, SourceModel
from assay.model.tokenizer import JsonTokenizer

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"

_GLOBAL_TENSORS = {"embedding": "model.embed_tokens.weight", "final_norm": "model.norm.weight"}
_LAYER_TENSORS = {
    "input_norm": "input_layernorm",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "q_norm": "self_attn.q_norm",
    "k_norm": "self_attn.k_norm",
    "o_proj": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm",
    "pre_feedforward_norm": "pre_feedforward_layernorm",
    "gate_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "down_proj": "mlp.down_proj",
    "post_feedforward_norm": "post_feedforward_layernorm",
}

# Keys that the computation depends on (read below), keys that must have the one value covered, and keys that
# do not touch inference. Anything else is refused by name.
# fmt: off
_READ = frozenset({
    "model_type", "architectures", "vocab_size", "hidden_size", "num_hidden_layers",
    "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "rms_norm_eps",
    "rope_theta", "rope_local_base_freq", "rope_parameters", "rope_scaling", "sliding_window",
    "sliding_window_pattern", "_sliding_window_pattern", "layer_types", "query_pre_attn_scalar",
    "max_position_embeddings",
})
# fmt: on
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "tie_word_embeddings": (True, None),
    "attention_bias": (False, None),
    "hidden_activation": ("gelu_pytorch_tanh", None),
    "hidden_act": ("gelu_pytorch_tanh", None),
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "use_bidirectional_attention": (False, None),
    "quantization_config": (None,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
}
# fmt: off
_IGNORED = frozenset({
    "attention_dropout", "bos_token_id", "eos_token_id", "pad_token_id", "initializer_range", "use_cache",
    "cache_implementation", "dtype", "torch_dtype", "transformers_version", "_name_or_path",
    "name_or_path", "id2label", "label2id", "problem_type", "output_hidden_states", "output_attentions",
    "return_dict", "chunk_size_feed_forward",
})
# fmt: on


class HuggingFaceModel(SourceModel):
    """A Gemma 3 folder under canonical tensor names."""

    def __init__(self, path: Path) -> None:
        config_file = path / "config.json"
        if not config_file.is_file():
            raise ModelError("unknown-model-format", f"{path} holds no config.json")
        super().__init__(path, config_from_json(load_json(config_file.read_bytes(), str(config_file))))
        self._stored = _canonical_to_stored(self.config)
        self._shards = _open_shards(path)
        self._shard_of = _match_tensors(path, self._shards, self._stored, self.config)

    def _read(self, name: str, start: int, stop: int) -> FloatArray:
        values = self._shard_of[name].rows(self._stored[name], start, stop)
        return values + np.float32(1) if name.endswith("_norm") else values

    def _load_tokenizer(self) -> JsonTokenizer:
        file = self.path / "tokenizer.json"
        if not file.is_file():
            raise ModelError(
                "missing-tokenizer",
                f"{self.path} holds no tokenizer.json",
                hint="save the model's fast tokenizer beside its weights",
            )
        return JsonTokenizer(file)

    def _digest_parts(self) -> list[tuple[str, Path]]:
        names = ["config.json", *(shard.path.name for shard in self._shards)]
        names += [name for name in (_INDEX, "tokenizer.json") if (self.path / name).is_file()]
        return [(name, self.path / name) for name in names]


def _canonical_to_stored(config: Gemma3Config) -> dict[str, str]:
    stored = dict(_GLOBAL_TENSORS)
    for layer in range(config.num_layers):
        for canonical, name in _LAYER_TENSORS.items():
            stored[f"layers.{layer}.{canonical}"] = f"model.layers.{layer}.{name}.weight"
    return stored


def _open_shards(path: Path) -> list[SafetensorsFile]:
    """The weight files; with an index, exactly those that it names, each holding exactly what it says."""
    single, index_file = path / _WEIGHTS, path / _INDEX
    if not index_file.is_file():
        if not single.is_file():
            raise ModelError("missing-shard", f"{path} holds neither {_WEIGHTS} nor {_INDEX}")
        return [SafetensorsFile(single)]
    weight_map = load_json(index_file.read_bytes(), str(index_file)).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ModelError("malformed-json", f"{index_file}: no weight_map from tensor to file")
    shards = []
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name or not (path / name).is_file():
            raise ModelError(
                "missing-shard",
                f"{path}: the index names {name!r}, which is not in the folder",
                hint="the download is incomplete; get the missing file",
            )
        shards.append(SafetensorsFile(path / name))
        promised = {tensor for tensor, file in weight_map.items() if file == name}
        for tensor in sorted(promised - shards[-1].tensors.keys()):
            raise ModelError(
                "missing-tensor", f"{path / name}: tensor {tensor!r} is in the index, not in the file"
            )
        for tensor in sorted(shards[-1].tensors.keys() - promised):
            code = "duplicate-tensor" if tensor in weight_map else "unknown-tensor"
            raise ModelError(
                code, f"{path / name}: tensor {tensor!r} is in the file, not in the index's list of it"
            )
    return shards


def _match_tensors(
    path: Path, shards: list[SafetensorsFile], stored: dict[str, str], config: Gemma3Config
) -> dict[str, SafetensorsFile]:
    """Canonical name to shard; every tensor of the config is there in its shape, and no other."""
    holder = {name: shard for shard in shards for name in shard.tensors}
    for unknown in sorted(holder.keys() - set(stored.values())):
        raise ModelError(
            "unknown-tensor",
            f"{path}: tensor {unknown!r} is no part of a Gemma 3 text model of {config.num_layers} layers",
            hint="the head is tied to the embedding; drop the copy" if unknown == "lm_head.weight" else None,
        )
    for canonical, shape in config.tensor_shapes().items():
        name = stored[canonical]
        if name not in holder:
            raise ModelError("missing-tensor", f"{path}: tensor {name!r} is missing")
        if holder[name].tensors[name].shape != shape:
            found = holder[name].tensors[name].shape
            raise ModelError("bad-shape", f"{path}: tensor {name!r} is {found}, config says {shape}")
    return {canonical: holder[stored[canonical]] for canonical in stored}


def config_from_json(raw: dict[str, Any]) -> Gemma3Config:
    """A `config.json` of type gemma3_text as `Gemma3Config`; anything not covered is refused by name."""
    _refuse_variants(raw)

    def integer(key: str) -> int:
        value = raw.get(key)
        if type(value) is not int:
            raise ModelError("bad-config", f"config.json: {key} should be an integer, is {value!r}")
        return value

    layers, hidden = integer("num_hidden_layers"), integer("hidden_size")
    theta_global, theta_local = _rope_thetas(raw)
    scalar = _float(raw.get("query_pre_attn_scalar", 256), "query_pre_attn_scalar")
    if not scalar.is_integer():
        raise ModelError(
            "unsupported-config", f"config.json: query_pre_attn_scalar {scalar} is not an integer"
        )
    return Gemma3Config(
        vocab_size=integer("vocab_size"),
        hidden_size=hidden,
        num_layers=layers,
        num_heads=integer("num_attention_heads"),
        num_kv_heads=integer("num_key_value_heads"),
        head_dim=integer("head_dim"),
        intermediate_size=integer("intermediate_size"),
        rms_norm_eps=_float(raw.get("rms_norm_eps", 1e-6), "rms_norm_eps"),
        rope_theta_global=theta_global,
        rope_theta_local=theta_local,
        sliding_window=integer("sliding_window"),
        sliding_pattern=_sliding_pattern(raw, layers),
        query_pre_attn_scalar=int(scalar),
        max_position=integer("max_position_embeddings"),
        tied_embeddings=True,
        embed_scale=math.sqrt(max(hidden, 0)),
    )


def _refuse_variants(raw: dict[str, Any]) -> None:
    if raw.get("vision_config") is not None or raw.get("text_config") is not None:
        raise ModelError(
            "unsupported-config",
            "config.json: vision_config/text_config: a model with a vision tower is not covered",
            hint="save the text model on its own (model type gemma3_text)",
        )
    if raw.get("model_type") != "gemma3_text":
        raise ModelError(
            "unknown-architecture",
            f"config.json: model type {raw.get('model_type')!r} is not covered",
            hint="covered: gemma3_text",
        )
    if raw.get("architectures") not in (None, ["Gemma3ForCausalLM"]):
        raise ModelError(
            "unknown-architecture", f"config.json: architectures {raw['architectures']!r} is not covered"
        )
    for key, values in _ONLY.items():
        if key in raw and raw[key] not in values:
            raise ModelError("unsupported-config", f"config.json: {key} = {raw[key]!r} is not covered")
    for key in sorted(raw.keys() - _READ - _ONLY.keys() - _IGNORED):
        raise ModelError("unsupported-config", f"config.json: the key {key!r} is not covered")


def _rope_thetas(raw: dict[str, Any]) -> tuple[float, float]:
    """Bases of the global and the local layers, from the nested form or the older flat one; no scaling."""
    if raw.get("rope_scaling") is not None:
        raise ModelError(
            "unsupported-config", f"config.json: rope_scaling {raw['rope_scaling']!r} is not covered"
        )
    flat = (
        _float(raw.get("rope_theta", ROPE_THETA_GLOBAL), "rope_theta"),
        _float(raw.get("rope_local_base_freq", ROPE_THETA_LOCAL), "rope_local_base_freq"),
    )
    nested = raw.get("rope_parameters")
    if nested is None:
        return flat
    kinds = ("full_attention", "sliding_attention")
    if not isinstance(nested, dict) or set(nested) - set(kinds):
        raise ModelError("unsupported-config", f"config.json: rope_parameters {nested!r} is not covered")
    thetas = []
    for kind, default in zip(kinds, flat, strict=True):
        entry = nested.get(kind) or {}
        known = isinstance(entry, dict) and not set(entry) - {"rope_type", "rope_theta"}
        if not known or entry.get("rope_type", "default") != "default":
            raise ModelError(
                "unsupported-config", f"config.json: rope_parameters.{kind} {entry!r} is not covered"
            )
        thetas.append(_float(entry.get("rope_theta", default), f"rope_parameters.{kind}.rope_theta"))
    return thetas[0], thetas[1]


def _sliding_pattern(raw: dict[str, Any], num_layers: int) -> int:
    """The N of "every Nth layer is global"; the list of layer types, if there, must follow it."""
    stated = raw.get("sliding_window_pattern", raw.get("_sliding_window_pattern"))
    types = raw.get("layer_types")
    if types is None:
        return SLIDING_PATTERN if stated is None else stated
    candidates = (
        [stated] if type(stated) is int and stated > 0 else [SLIDING_PATTERN, *range(1, num_layers + 1)]
    )
    for every in candidates:
        if types == ["sliding_attention" if (i + 1) % every else "full_attention" for i in range(num_layers)]:
            return every
    raise ModelError(
        "unsupported-config", f"config.json: layer_types {types!r} is not 'every Nth layer global'"
    )


def _float(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError("bad-config", f"config.json: {key} should be a number, is {value!r}")
    return float(value)
