"""One layer of the real shape of each architecture, with random weights: what recording apart costs to prove.

    python benchmarks/shapes.py [NAME ...] [--tokens 64]
    python benchmarks/shapes.py NAME --config > config.json

The second writes a shape's configuration, for `assay estimate`.

Scales are those of ordinary magnitudes; counts and times hardly depend on them. One proof in zero knowledge
of the layer between two committed boundaries, at the full parameters of provable-128.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from typing import Any

import numpy as np
from assay.circuits.layer import build
from one_segment import prove_alone, random_cells

from assay import _core
from assay.graph import Source
from assay.graph.summary import summarise
from assay.model.checkpoints import checkpoint_of
from assay.quantize.scales import typical_scales

_LLAMA: dict[str, Any] = {"model_type": "llama", "rms_norm_eps": 1e-5, "tie_word_embeddings": False}
_TIED = {"tie_word_embeddings": True}


def _sizes(hidden: int, inner: int, heads: int, kv_heads: int, vocab: int, layers: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
        "num_hidden_layers": layers,
        "max_position_embeddings": 8192,
    }


SHAPES: dict[str, dict[str, Any]] = {
    "smollm2-135m": {**_LLAMA, **_TIED, **_sizes(576, 1536, 9, 3, 49152, 30)},
    "llama-3-8b": {**_LLAMA, **_sizes(4096, 14336, 32, 8, 128256, 32)},
    "qwen2.5-0.5b": {**_LLAMA, **_TIED, "model_type": "qwen2", **_sizes(896, 4864, 14, 2, 151936, 24)},
    "qwen3-0.6b": {
        **_LLAMA,
        **_TIED,
        "model_type": "qwen3",
        "head_dim": 128,
        **_sizes(1024, 3072, 16, 8, 151936, 28),
    },
    "mistral-7b": {**_LLAMA, "model_type": "mistral", **_sizes(4096, 14336, 32, 8, 32000, 32)},
    "olmo2-1b": {**_LLAMA, "model_type": "olmo2", **_sizes(2048, 8192, 16, 16, 100352, 16)},
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 768,
        "n_head": 12,
        "n_layer": 12,
        "n_positions": 1024,
        "vocab_size": 50257,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
    },
    "minilm-l6": {
        "model_type": "bert",
        "hidden_size": 384,
        "num_attention_heads": 12,
        "num_hidden_layers": 6,
        "intermediate_size": 1536,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "vocab_size": 30522,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    },
    "mixtral-8x7b": {
        **_LLAMA,
        "model_type": "mixtral",
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        **_sizes(4096, 14336, 32, 8, 32000, 32),
    },
    "qwen3-30b-a3b": {
        **_LLAMA,
        "model_type": "qwen3_moe",
        "head_dim": 128,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
        "norm_topk_prob": True,
        **_sizes(2048, 6144, 32, 4, 151936, 48),
    },
    "mixtral-tiny": {
        **_LLAMA,
        "model_type": "mixtral",
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        **_sizes(512, 1024, 8, 4, 32000, 4),
    },
    "qwen3-moe-tiny": {
        **_LLAMA,
        "model_type": "qwen3_moe",
        "head_dim": 128,
        "num_experts": 64,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 256,
        "norm_topk_prob": True,
        **_sizes(512, 1024, 4, 2, 32000, 4),
    },
}


def measure(name: str, tokens: int) -> dict[str, float | int | str]:
    """Counts, times and sizes of one layer."""
    raw, draw = SHAPES[name], np.random.default_rng(1)
    config = checkpoint_of(raw).config(raw)
    b = build(config, typical_scales(config).layers[0], 0, tokens)
    circuit, summary = _core.Circuit(b.finish()), summarise(b, tokens)
    weights = {
        t.name: random_cells(draw, t.shape.rows, t.shape.cols, np.int16, 1 << 12)
        for t in b.tensors
        if t.source is Source.WEIGHT
    }
    given = {"boundary.0": random_cells(draw, tokens, config.hidden_size, np.int32, 1 << 16)}
    computed = [t.name for t in b.tensors if t.source is Source.BOUNDARY and t.name not in given]
    given |= circuit.evaluate({**weights, **given}, computed)
    found = prove_alone("layer", circuit, weights, given, {t.name: t.shape.cols for t in b.tensors})
    return {
        "name": name,
        "million weights": round(sum(w.size for w in weights.values()) / 1e6, 1),
        "lookups a token": round(summary.lookups_per_token),
        "elements a token": round(summary.cells_per_token),
        "prove s": round(found.prove_s, 2),
        "verify s": round(found.verify_s, 3),
        "MB": round(found.proof_bytes / 1e6, 1),
        "peak GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1),
    }


def main() -> None:
    """Prints a table, a line as soon as it is measured; or a configuration."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SHAPES))
    p.add_argument("--tokens", type=int, default=64)
    p.add_argument("--json", action="store_true")
    p.add_argument("--config", action="store_true", help="print the config.json of the one NAME instead")
    a = p.parse_args()
    if unknown := set(a.names) - SHAPES.keys():
        sys.exit(f"no shape {', '.join(unknown)}; there are {', '.join(SHAPES)}")
    if a.config:
        if len(a.names) != 1:
            sys.exit("--config prints that of one NAME")
        print(json.dumps(SHAPES[a.names[0]], indent=1))
        return
    for index, name in enumerate(a.names or SHAPES):
        found = measure(name, a.tokens)
        if a.json:
            print(json.dumps(found), flush=True)
            continue
        if index == 0:
            print(f"| {' | '.join(found)} |\n| {' | '.join('---' for _ in found)} |")
        print(f"| {' | '.join(map(str, found.values()))} |", flush=True)


if __name__ == "__main__":
    main()
