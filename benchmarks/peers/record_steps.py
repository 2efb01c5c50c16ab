"""TOPLOC and Token-DiFR on Gemma 3 270M: what recording an answer costs, and what checking it does.

Both check with the weights. An honest provider computes in bfloat16; whoever checks runs the model again,
here in float32, and compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from benchmarks.peers.measure import Clock

from assay.model import load
from assay.model.demo import NAME
from assay.model.float_model import FloatModel
from assay.quantize.texts import heldout

TOKENS = 128
TOPK, BATCH = 128, 32  # TOPLOC's: values kept of each 32 positions
SEED = 1
SAMPLING = {"temperature": 1.0, "top_k": 50, "top_p": 0.95}


def toploc(folder: Path) -> dict[str, Any]:
    """Last hidden states of each 32 tokens as a polynomial through their largest entries."""
    from toploc import build_proofs_bytes, verify_proofs_bytes

    clock, ids = Clock(), _tokens()
    served = torch.from_numpy(_model(torch.bfloat16).forward(ids)[-1]).to(torch.bfloat16)
    checker = _model(torch.float32)
    checker.forward(ids)  # weights are read on first use
    with clock("make"):
        proofs = build_proofs_bytes(list(served), BATCH, TOPK, skip_prefill=True)
    with clock("inference"):
        again = torch.from_numpy(checker.forward(ids)[-1]).to(torch.bfloat16)
    with clock("check"):
        results = verify_proofs_bytes(list(again), proofs, BATCH, TOPK, skip_prefill=True)
    worst = max(result.exp_mismatches for result in results)
    return {
        **clock.figures,
        "tokens": len(ids),
        "bytes": sum(map(len, proofs)),
        "result": f"at most {worst} of {TOPK} exponents differ",
    }


def token_difr(folder: Path) -> dict[str, Any]:
    """Tokens sampled with known Gumbel noise: how far each is from what the checker would have sampled.

    The package's `verify_outputs` wants vLLM; this is its arithmetic on logits, from `token_difr.common`.
    """
    from token_difr import common

    clock, ids = Clock(), _tokens()
    served, checker = _logits(_model(torch.bfloat16), ids), _model(torch.float32)
    checker.forward(ids)
    options = {name: torch.full((len(ids),), SAMPLING[name]) for name in ("top_k", "top_p")}

    def compare(
        logits: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        limits = options["top_k"].int(), options["top_p"]
        probs = common._get_probs(logits.clone(), SAMPLING["temperature"], limits[0].clone(), limits[1])
        found: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = common._verify_vllm_gumbel_max(
            SAMPLING["temperature"], SEED, logits, probs, tokens, limits[0].clone(), limits[1]
        )
        return found

    with clock("make"):  # sampling itself: nothing is recorded but the seed
        tokens = compare(served, torch.zeros(len(ids), dtype=torch.long))[0]
    with clock("inference"):
        again = _logits(checker, ids)
    with clock("check"):
        predicted, _, margins = compare(again, tokens)
    same = float((predicted == tokens).float().mean())
    margin = float(margins[margins.isfinite()].mean())
    return {
        **clock.figures,
        "tokens": len(ids),
        "bytes": 0,
        "result": f"{same:.1%} of tokens the same, mean margin {margin:.3g}",
    }


def _tokens() -> list[int]:
    ids: list[int] = load(NAME).encode("\n".join(heldout()))
    return ids[:TOKENS]


def _model(dtype: torch.dtype) -> FloatModel:
    return FloatModel(load(NAME), dtype)


def _logits(model: FloatModel, ids: list[int]) -> torch.Tensor:
    return torch.from_numpy(model.logits(model.forward(ids)[-1]))
