"""How far the exact model's layers are from the float model's, beside honest bfloat16.

    relative_l2 = max over layers of the median over tokens of |u - u_32| / |u_32|

where u is what a layer adds to the residual stream (output minus input) for one token, u_32 the same in
float32 on the same input, the exact model's boundary. Tokens are the first of each held-out text.
relative_l2_bf16 has the bfloat16 layer in place of the exact one, its update taken against the input as
bfloat16 holds it.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from assay.errors import RequestError
from assay.prove.folder import RegisteredModel
from assay.prove.record import encode, run_layers
from assay.quantize.texts import heldout

_MOST_TOKENS = 64  # of each text; one length for all, so that circuits are built once
Array = npt.NDArray[np.float64]


def layer_errors(dir: Path, model: str) -> dict[str, float]:
    """relative_l2 and relative_l2_bf16."""
    import torch

    from assay.model import load
    from assay.model.float_model import FloatModel

    registered = RegisteredModel(dir)
    source = load(model)
    if bytes.fromhex(source.source_digest) != registered.public.source_digest:
        raise RequestError(
            "other-model", f"{dir} was not registered from {model}", hint="give --model, or --no-accuracy"
        )
    full, half = FloatModel(source), FloatModel(source, torch.bfloat16)
    exact_errors: list[list[Array]] = [[] for _ in range(registered.public.num_layers)]
    half_errors: list[list[Array]] = [[] for _ in range(registered.public.num_layers)]
    for text in heldout():
        boundaries = float_boundaries(registered, encode(registered, text)[:_MOST_TOKENS])
        for layer, (x, y) in enumerate(pairwise(boundaries)):
            update = full.layer(layer, x.astype(np.float32)).astype(np.float64) - x
            rough = torch.tensor(x, dtype=torch.bfloat16).double().numpy()
            half_update = half.layer(layer, x.astype(np.float32)).astype(np.float64) - rough
            exact_errors[layer].append(relative(y - x, update))
            half_errors[layer].append(relative(half_update, update))
    return {"relative_l2": _worst(exact_errors), "relative_l2_bf16": _worst(half_errors)}


def float_boundaries(model: RegisteredModel, ids: list[int]) -> list[Array]:
    """The exact model's boundaries as real numbers, [T, hidden]."""
    hidden, scales = model.public.config["hidden_size"], model.public.scales
    cells, _ = run_layers(model, ids, {})
    return [np.ldexp(c[:, :hidden].astype(np.float64), -scales.boundary(i)) for i, c in enumerate(cells)]


def relative(found: Array, expected: Array) -> Array:
    """|found - expected| / |expected| of each row."""
    errors: Array = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    return errors


def _worst(errors: list[list[Array]]) -> float:
    return max(float(np.median(np.concatenate(tokens))) for tokens in errors)
