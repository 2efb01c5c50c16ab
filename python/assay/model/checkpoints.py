"""How checkpoints of transformers name what an architecture has: keys of config.json, tensors.

A key that is neither read nor known to change nothing is refused by name, so that no option is passed over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from assay.circuits.architecture import Architecture
from assay.circuits.bert import Bert
from assay.circuits.catalogue import not_covered
from assay.circuits.gemma3 import ROPE_THETA_GLOBAL, ROPE_THETA_LOCAL, SLIDING_PATTERN, Gemma3
from assay.circuits.gpt2 import GPT2
from assay.circuits.llama import Llama
from assay.circuits.llama3 import Llama3
from assay.circuits.mistral import Mistral
from assay.circuits.mixtral import Mixtral
from assay.circuits.olmo2 import Olmo2
from assay.circuits.qwen2 import Qwen2
from assay.circuits.qwen3 import Qwen3
from assay.circuits.qwen3_moe import Qwen3Moe
from assay.errors import ModelError

Raw = Mapping[str, Any]

# Keys that do not touch inference.
# fmt: off
_IGNORED = frozenset({
    "model_type", "architectures", "attention_dropout", "bos_token_id", "eos_token_id", "pad_token_id",
    "initializer_range", "use_cache", "cache_implementation", "dtype", "torch_dtype", "transformers_version",
    "_name_or_path", "name_or_path", "id2label", "label2id", "problem_type", "output_hidden_states",
    "output_attentions", "return_dict", "chunk_size_feed_forward", "is_llama_config", "rope_interleaved",
    "transformers.js_config", "pretraining_tp",
})
# fmt: on
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "quantization_config": (None,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "rope_interleaved": (False, None),
    "pretraining_tp": (1, None),
}
_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate_size": "intermediate_size",
    "rms_norm_eps": "rms_norm_eps",
    "max_position": "max_position_embeddings",
    "sliding_window": "sliding_window",
}
_OUTSIDE = {"embedding": "model.embed_tokens", "final_norm": "model.norm", "lm_head": "lm_head"}
_ATTENTION = {
    name: f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")
}
_MLP = {name: f"mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")}
_LAYER = {
    **_ATTENTION,
    **_MLP,
    "input_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a checkpoint has a tensor: its name there, whether [in, out], which of how many fused outputs.

    One that is a stack of `stack` experts' has `{}` in its name, for the expert.
    """

    name: str
    transposed: bool = False
    part: int = 0
    parts: int = 1
    stack: int = 1

    @property
    def names(self) -> list[str]:
        """Of all stored tensors."""
        return [self.name.format(i) for i in range(self.stack)] if self.stack > 1 else [self.name]

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """That of each stored tensor, for one of this shape."""
        fused = (shape[0] * self.parts // self.stack, *shape[1:])
        return fused[::-1] if self.transposed else fused

    def rows(self, of: int, start: int, stop: int) -> tuple[int, int]:
        """Rows `start` to `stop` of `of` as those of the fused tensor."""
        return self.part * of + start, self.part * of + stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One architecture's checkpoints.

    `keys` name a field's key in config.json, `derived` gives the fields that are no single key and names the
    keys that it reads, `only` are keys with the values that are covered. A weight `x` is stored as
    `layer` + layers[x] + ".weight", a bias `x_bias` as ... + ".bias". `gain_offset` is what is added to
    stored gains. `fused` tells of a weight which part of its stored tensor it is, and of how many; in
    `transposed` ones the weights of layers are [in, out]. A file may leave out the `prefix` of all its names,
    and may have tensors whose names the pattern `ignored` matches.
    """

    kind: type[Architecture]
    model_type: str
    model_class: str
    keys: Mapping[str, str] = field(default_factory=lambda: _SIZES)
    derived: Callable[[Raw], Mapping[str, Any]] = lambda raw: {}
    reads: frozenset[str] = frozenset()
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    outside: Mapping[str, str] = field(default_factory=lambda: _OUTSIDE)
    layer: str = "model.layers.{}."
    layers: Mapping[str, str] = field(default_factory=lambda: _LAYER)
    gain_offset: float = 0.0
    fused: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    transposed: bool = False
    prefix: str = ""
    ignored: str = ""

    def config(self, raw: Raw) -> Architecture:
        """The configuration; anything that is not covered is refused by name."""
        self._refuse_variants(raw)
        given = {"architecture": self.kind.covers, "tied_embeddings": True, **self.derived(raw)}
        for name, kind in ((f.name, str(f.type)) for f in fields(self.kind)):
            if name not in given:
                given[name] = read(raw, self.keys[name], kind)
        return self.kind(**given)

    def _refuse_variants(self, raw: Raw) -> None:
        if raw.get("architectures") not in (None, [self.model_class]):
            raise not_covered(f"config.json: architectures {raw['architectures']!r}")
        only = {**_ONLY, **self.only}
        for key, values in only.items():
            if key in raw and raw[key] not in values:
                raise ModelError(
                    "unsupported-config",
                    f"config.json: {key} = {raw[key]!r} is not covered",
                    hint=f"covered for {self.kind.title}: {key} = {values[0]!r}",
                )
        known = {*self.keys.values(), *self.reads, *only, "tie_word_embeddings"} | _IGNORED
        for key in sorted(raw.keys() - known):
            raise ModelError("unsupported-config", f"config.json: the key {key!r} is not covered")

    def ignores(self, name: str) -> bool:
        """Whether a stored tensor is of no account."""
        return bool(self.ignored and re.fullmatch(self.ignored, name.removeprefix(self.prefix)))

    def stored(self, config: Architecture, names: Iterable[str]) -> dict[str, Place]:
        """Canonical name to the place in a file with these names."""
        bare = not any(name.startswith(self.prefix) for name in names)
        outside = (*config.tables(), *config.outside_shapes())
        places = {name: Place(_suffixed(self.outside, name)) for name in outside}
        for name, shape in config.layer_shapes().items():
            part = self.fused.get(name.removesuffix("_bias"), (0, 1))
            stored = _suffixed(self.layers, name)
            stack = config.num_experts if isinstance(config, Mixtral) and "{}" in stored else 1
            place = Place(stored, self.transposed and len(shape) == 2, *part, stack)
            for index in range(config.num_layers):
                places[f"layers.{index}.{name}"] = replace(place, name=self.layer.format(index) + place.name)
        if bare:
            return {name: replace(p, name=p.name.removeprefix(self.prefix)) for name, p in places.items()}
        return places


def read(raw: Raw, key: str, kind: str) -> Any:
    """An integer or a number of config.json."""
    value = raw.get(key)
    if kind == "float":
        return number(value, key)
    if type(value) is not int:
        raise ModelError("bad-config", f"config.json: {key} should be an integer, is {value!r}")
    return value


def number(value: object, key: str) -> float:
    """A float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError("bad-config", f"config.json: {key} should be a number, is {value!r}")
    return float(value)


def _suffixed(names: Mapping[str, str], name: str) -> str:
    if name.endswith("_bias"):
        return f"{names[name.removesuffix('_bias')]}.bias"
    return f"{names[name]}.weight"


# ---- the Llama family ----


def _llama(raw: Raw) -> dict[str, Any]:
    """Fields that older checkpoints leave to the class's defaults, and the base of the rotary embedding."""
    heads = read(raw, "num_attention_heads", "int")
    head_dim = raw.get("head_dim")
    if head_dim is None:
        head_dim = read(raw, "hidden_size", "int") // max(heads, 1)
    kv_heads = raw.get("num_key_value_heads")
    return {
        "head_dim": head_dim,
        "num_kv_heads": heads if kv_heads is None else kv_heads,
        "rope_theta": _rope_theta(raw),
        "rms_norm_eps": number(raw.get("rms_norm_eps", 1e-6), "rms_norm_eps"),
        "tied_embeddings": raw.get("tie_word_embeddings", False),
    }


def _rope_theta(raw: Raw) -> float:
    """The base, from the nested form or the older flat one; no scaling."""
    for key in ("rope_scaling", "rope_parameters"):
        entry = raw.get(key)
        if entry is None:
            continue
        known = isinstance(entry, dict) and not set(entry) - {"rope_type", "type", "rope_theta"}
        if not known or entry.get("rope_type", entry.get("type", "default")) != "default":
            raise ModelError(
                "unsupported-config",
                f"config.json: {key} {entry!r} is not covered",
                hint="covered: rotary embedding without scaling (rope_type default), of Llama also llama3",
            )
        if "rope_theta" in entry:
            return number(entry["rope_theta"], f"{key}.rope_theta")
    return number(raw.get("rope_theta", 10_000.0), "rope_theta")


def _stretched(raw: Raw) -> Mapping[str, Any] | None:
    """What config.json says of rotations of the kind llama3, if it has them; both forms say the same."""
    entries = [raw[key] for key in ("rope_scaling", "rope_parameters") if raw.get(key) is not None]
    for entry in entries:
        if isinstance(entry, dict) and entry.get("rope_type", entry.get("type")) == "llama3":
            if any(other != entry for other in entries):
                raise ModelError("unsupported-config", "config.json: rope_scaling and rope_parameters differ")
            return entry
    return None


def _llama3(raw: Raw) -> dict[str, Any]:
    entry = _stretched(raw) or {}
    named = {"rope_factor": "factor", "rope_low": "low_freq_factor", "rope_high": "high_freq_factor"}
    original = "original_max_position_embeddings"
    if unknown := set(entry) - {"rope_type", "type", "rope_theta", original, *named.values()}:
        raise ModelError(
            "unsupported-config", f"config.json: rope_scaling: {', '.join(sorted(unknown))} is not covered"
        )
    plain = {key: value for key, value in raw.items() if key not in ("rope_scaling", "rope_parameters")}
    if "rope_theta" in entry:
        plain["rope_theta"] = entry["rope_theta"]
    return {
        **_llama(plain),
        **{field: read(entry, key, "float") for field, key in named.items()},
        "rope_original": read(entry, original, "int"),
    }


def _qwen(raw: Raw) -> dict[str, Any]:
    _require_full_attention(raw)
    return _llama(raw)


def _require_full_attention(raw: Raw) -> None:
    types = raw.get("layer_types")
    if types is not None and set(types) != {"full_attention"}:
        raise ModelError(
            "unsupported-config",
            f"config.json: layer_types {types!r} is not covered",
            hint="covered: full_attention in all layers",
        )


def _olmo2(raw: Raw) -> dict[str, Any]:
    return _llama({"rms_norm_eps": 1e-5, **raw})


def _mistral(raw: Raw) -> dict[str, Any]:
    window = raw.get("sliding_window")
    everything = read(raw, "max_position_embeddings", "int")
    return {**_llama(raw), "sliding_window": everything if window is None else window}


_LLAMA_READS = frozenset({"rope_theta", "rope_scaling", "rope_parameters"})
_SILU: Mapping[str, tuple[Any, ...]] = {"hidden_act": ("silu", None)}
_QWEN = {**_SILU, "use_sliding_window": (False, None)}
_QWEN_READS = _LLAMA_READS | {"layer_types", "max_window_layers"}


# ---- GPT-2 ----


def _gpt2(raw: Raw) -> dict[str, Any]:
    inner = raw.get("n_inner")
    return {
        "intermediate_size": 4 * read(raw, "n_embd", "int") if inner is None else inner,
        "tied_embeddings": raw.get("tie_word_embeddings", True),
    }


_GPT2_KEYS = {
    "vocab_size": "vocab_size",
    "hidden_size": "n_embd",
    "num_layers": "n_layer",
    "num_heads": "n_head",
    "max_position": "n_positions",
    "layer_norm_eps": "layer_norm_epsilon",
}
# fmt: off
_GPT2_READS = frozenset({
    "n_inner", "n_ctx", "embd_pdrop", "attn_pdrop", "resid_pdrop", "summary_activation",
    "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
    "task_specific_params",
})
# fmt: on
_GPT2_ONLY: Mapping[str, tuple[Any, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "reorder_and_upcast_attn": (False,),
}
_GPT2_OUTSIDE = {
    "embedding": "transformer.wte",
    "positions": "transformer.wpe",
    "final_norm": "transformer.ln_f",
    "lm_head": "lm_head",
}
_GPT2_LAYER = {
    "input_norm": "ln_1",
    "q_proj": "attn.c_attn",
    "k_proj": "attn.c_attn",
    "v_proj": "attn.c_attn",
    "o_proj": "attn.c_proj",
    "mlp_norm": "ln_2",
    "fc": "mlp.c_fc",
    "proj": "mlp.c_proj",
}


# ---- BERT ----

_BERT_KEYS = {
    **_SIZES,
    "token_kinds": "type_vocab_size",
    "layer_norm_eps": "layer_norm_eps",
}
_BERT_READS = frozenset(
    {"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "gradient_checkpointing"}
)
_BERT_ONLY: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("gelu",),
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False,),
    "tie_word_embeddings": (True, None),
}
_BERT_OUTSIDE = {
    "embedding": "bert.embeddings.word_embeddings",
    "positions": "bert.embeddings.position_embeddings",
    "token_types": "bert.embeddings.token_type_embeddings",
    "embedding_norm": "bert.embeddings.LayerNorm",
}
_BERT_LAYER = {
    "q_proj": "attention.self.query",
    "k_proj": "attention.self.key",
    "v_proj": "attention.self.value",
    "o_proj": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "fc": "intermediate.dense",
    "proj": "output.dense",
    "output_norm": "output.LayerNorm",
}


def _mixture(raw: Raw) -> dict[str, Any]:
    experts = raw.get("num_local_experts", raw.get("num_experts"))
    return {
        **_llama(raw),
        "num_experts": experts,
        "num_chosen": read(raw, "num_experts_per_tok", "int"),
        "renormalised": raw.get("norm_topk_prob", True),
    }


def _qwen3_moe(raw: Raw) -> dict[str, Any]:
    _require_full_attention(raw)
    inner = read(raw, "moe_intermediate_size", "int")
    return {"renormalised": False, **_mixture(raw), "intermediate_size": inner}


def _experts(block: str, gate: str, up: str, down: str) -> dict[str, str]:
    """Names of a mixture's tensors."""
    parts = {"gate": gate, "up": up, "down": down}
    stacks = {f"experts_{part}": f"{block}.experts.{{}}.{name}" for part, name in parts.items()}
    return {**_LAYER, "experts_router": f"{block}.gate", **stacks}


_MIXTURE_READS = _LLAMA_READS | {
    "num_local_experts",
    "num_experts",
    "num_experts_per_tok",
    "router_aux_loss_coef",
    "output_router_logits",
    "router_jitter_noise",
}


# ---- Gemma 3 ----


def _gemma3(raw: Raw) -> dict[str, Any]:
    scalar = number(raw.get("query_pre_attn_scalar", 256), "query_pre_attn_scalar")
    if not scalar.is_integer():
        raise ModelError(
            "unsupported-config", f"config.json: query_pre_attn_scalar {scalar} is not an integer"
        )
    theta_global, theta_local = _rope_thetas(raw)
    return {
        "query_pre_attn_scalar": int(scalar),
        "rms_norm_eps": number(raw.get("rms_norm_eps", 1e-6), "rms_norm_eps"),
        "rope_theta_global": theta_global,
        "rope_theta_local": theta_local,
        "sliding_pattern": _sliding_pattern(raw, read(raw, "num_hidden_layers", "int")),
        "embed_scale": math.sqrt(max(read(raw, "hidden_size", "int"), 0)),
    }


def _rope_thetas(raw: Raw) -> tuple[float, float]:
    """Bases of the global and the local layers, from the nested form or the older flat one; no scaling."""
    if raw.get("rope_scaling") is not None:
        raise ModelError(
            "unsupported-config", f"config.json: rope_scaling {raw['rope_scaling']!r} is not covered"
        )
    flat = (
        number(raw.get("rope_theta", ROPE_THETA_GLOBAL), "rope_theta"),
        number(raw.get("rope_local_base_freq", ROPE_THETA_LOCAL), "rope_local_base_freq"),
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
        thetas.append(number(entry.get("rope_theta", default), f"rope_parameters.{kind}.rope_theta"))
    return thetas[0], thetas[1]


def _sliding_pattern(raw: Raw, num_layers: int) -> Any:
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


# fmt: off
_GEMMA3_READS = _LLAMA_READS | {
    "rope_local_base_freq", "sliding_window_pattern", "_sliding_window_pattern", "layer_types",
    "query_pre_attn_scalar",
}
# fmt: on
_GEMMA3_ONLY: Mapping[str, tuple[Any, ...]] = {
    "tie_word_embeddings": (True, None),
    "hidden_activation": ("gelu_pytorch_tanh", None),
    "hidden_act": ("gelu_pytorch_tanh", None),
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "use_bidirectional_attention": (False, None),
}
_GEMMA3_LAYER = {
    **_LAYER,
    "pre_feedforward_norm": "pre_feedforward_layernorm",
    "post_feedforward_norm": "post_feedforward_layernorm",
}

_ALL = (
    Checkpoint(
        kind=Bert,
        model_type="bert",
        model_class="BertModel",
        keys=_BERT_KEYS,
        reads=_BERT_READS,
        only=_BERT_ONLY,
        outside=_BERT_OUTSIDE,
        layer="bert.encoder.layer.{}.",
        layers=_BERT_LAYER,
        prefix="bert.",
        ignored=r"embeddings\.(position_ids|token_type_ids)|pooler\.dense\.(weight|bias)",
    ),
    Checkpoint(
        kind=Gemma3,
        model_type="gemma3_text",
        model_class="Gemma3ForCausalLM",
        derived=_gemma3,
        reads=_GEMMA3_READS,
        only=_GEMMA3_ONLY,
        layers=_GEMMA3_LAYER,
        gain_offset=1.0,
    ),
    Checkpoint(
        kind=GPT2,
        model_type="gpt2",
        model_class="GPT2LMHeadModel",
        keys=_GPT2_KEYS,
        derived=_gpt2,
        reads=_GPT2_READS,
        only=_GPT2_ONLY,
        outside=_GPT2_OUTSIDE,
        layer="transformer.h.{}.",
        layers=_GPT2_LAYER,
        fused={"q_proj": (0, 3), "k_proj": (1, 3), "v_proj": (2, 3)},
        transposed=True,
        prefix="transformer.",
        ignored=r"h\.\d+\.attn\.(bias|masked_bias)",
    ),
    Checkpoint(
        kind=Llama,
        model_type="llama",
        model_class="LlamaForCausalLM",
        derived=_llama,
        reads=_LLAMA_READS,
        only=_SILU,
    ),
    Checkpoint(
        kind=Mistral,
        model_type="mistral",
        model_class="MistralForCausalLM",
        derived=_mistral,
        reads=_LLAMA_READS,
        only=_SILU,
    ),
    Checkpoint(
        kind=Mixtral,
        model_type="mixtral",
        model_class="MixtralForCausalLM",
        derived=_mixture,
        reads=_MIXTURE_READS,
        only={**_SILU, "sliding_window": (None,)},
        layers=_experts("block_sparse_moe", "w1", "w3", "w2"),
    ),
    Checkpoint(
        kind=Olmo2,
        model_type="olmo2",
        model_class="Olmo2ForCausalLM",
        derived=_olmo2,
        reads=_LLAMA_READS,
        only=_SILU,
        layers={**_LAYER, "post_feedforward_norm": "post_feedforward_layernorm"},
    ),
    Checkpoint(
        kind=Qwen3Moe,
        model_type="qwen3_moe",
        model_class="Qwen3MoeForCausalLM",
        derived=_qwen3_moe,
        reads=_MIXTURE_READS | _QWEN_READS | {"moe_intermediate_size", "norm_topk_prob"},
        only={**_QWEN, "decoder_sparse_step": (1,), "mlp_only_layers": ([], None)},
        layers=_experts("mlp", "gate_proj", "up_proj", "down_proj"),
    ),
    Checkpoint(
        kind=Qwen2,
        model_type="qwen2",
        model_class="Qwen2ForCausalLM",
        derived=_qwen,
        reads=_QWEN_READS,
        only=_QWEN,
    ),
    Checkpoint(
        kind=Qwen3,
        model_type="qwen3",
        model_class="Qwen3ForCausalLM",
        derived=_qwen,
        reads=_QWEN_READS,
        only=_QWEN,
    ),
)
CHECKPOINTS: Mapping[str, Checkpoint] = {checkpoint.model_type: checkpoint for checkpoint in _ALL}
_LLAMA3 = replace(CHECKPOINTS["llama"], kind=Llama3, derived=_llama3)


def checkpoint_of(raw: Raw) -> Checkpoint:
    """The kind of checkpoint that a config.json describes."""
    if raw.get("vision_config") is not None or raw.get("text_config") is not None:
        raise ModelError(
            "unsupported-config",
            "config.json: vision_config/text_config: a model with a vision tower is not covered",
            hint="save the text model on its own (model type gemma3_text)",
        )
    kind = raw.get("model_type")
    if not isinstance(kind, str) or kind not in CHECKPOINTS:
        raise ModelError(
            "unknown-architecture",
            f"config.json: model type {kind!r} is not covered",
            hint=f"covered: {', '.join(CHECKPOINTS)}",
        )
    return _LLAMA3 if kind == "llama" and _stretched(raw) is not None else CHECKPOINTS[kind]
