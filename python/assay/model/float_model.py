"""The float reference: a model in torch, observed at named sites.

It is what the exact model is calibrated on and compared with. Order of operations and roundings: those of
transformers with eager attention, to which tests hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from assay.circuits.scales import is_gain
from assay.errors import RequestError
from assay.model.float_operations import FloatOperations
from assay.model.source import FloatArray, SourceModel, check_tokens

Observer = Callable[[str, FloatArray], None]

_SLAB = 1 << 14  # rows of the embedding whose logits are held at once


class FloatModel:
    """A model in float32, or in bfloat16 as an honest provider serves it.

    In bfloat16, weights and activations are bfloat16, while norms and softmax are computed in float32 and
    rounded, and norm gains and RoPE angles are kept in float32 up to that point. Weights are read on first
    use and kept.
    """

    def __init__(self, source: SourceModel, dtype: torch.dtype = torch.float32) -> None:
        self.source = source
        self.config = source.config
        self.dtype = dtype
        self._weights: dict[str, Tensor] = {}

    @torch.inference_mode()
    def forward(
        self, tokens: Sequence[int], *, observer: Observer | None = None, layers: int | None = None
    ) -> list[FloatArray]:
        """The residual stream before the first layer and after each: L + 1 float32 arrays [T, hidden].

        `layers` stops after so many. The observer gets float32 arrays by site, all named `layers.{l}.` and
        what `FloatOperations` sees, with `residual_in` before the layer and `residual_out` after it.
        """
        count = self.config.num_layers if layers is None else layers
        if not 0 <= count <= self.config.num_layers:
            raise RequestError(
                "layer-out-of-range", f"{count} layers asked for, there are {self.config.num_layers}"
            )
        residual = self._embed(tokens)
        boundaries = [_to_numpy(residual)]
        for layer in range(count):
            residual = self._layer(layer, residual, observer)
            boundaries.append(_to_numpy(residual))
        return boundaries

    @torch.inference_mode()
    def layer(self, index: int, residual: FloatArray, *, observer: Observer | None = None) -> FloatArray:
        """One layer alone: residual [T, hidden] at positions 0 to T-1, to the residual after it."""
        if not 0 <= index < self.config.num_layers:
            raise RequestError("layer-out-of-range", f"layer {index} is not one of {self.config.num_layers}")
        return _to_numpy(self._layer(index, torch.tensor(residual, dtype=self.dtype), observer))

    @torch.inference_mode()
    def logits(self, residual: FloatArray) -> FloatArray:
        """Last residuals [n, hidden], any rows of the last boundary, to logits [n, vocab]."""
        return _to_numpy(functional.linear(self._final(residual), self._weight(self.config.head)))

    @torch.inference_mode()
    def observe_head(self, residual: FloatArray, observer: Observer) -> None:
        """Shows the sites `final_norm.out` [n, hidden] and `logits` [n, a slab of the vocabulary]."""
        hidden = self._final(residual, observer)
        for slab in torch.split(self._weight(self.config.head), _SLAB):
            observer("logits", _to_numpy(functional.linear(hidden, slab)))

    def _embed(self, tokens: Sequence[int]) -> Tensor:
        if not 1 <= len(tokens) <= self.config.max_position:
            raise RequestError(
                "prompt-too-long" if tokens else "prompt-empty",
                f"{len(tokens)} tokens: from 1 to {self.config.max_position} are possible",
            )
        check_tokens(tokens, self.config.vocab_size)
        # transformers rounds the factor to the weights' type: 25.25 instead of 25.298 in bfloat16 for 270M.
        scale = torch.tensor(self.config.embedding_factor, dtype=torch.float32).to(self.dtype)
        value = self._weight("embedding")[torch.tensor(tokens)] * scale
        outside = self.config.outside_shapes()
        if "token_types" in outside:
            value = value + self._weight("token_types")[0]
        if "positions" in outside:
            value = value + self._weight("positions")[: len(tokens)]
        if "embedding_norm" in outside:
            return self._operations("", None).layer_norm("embedding_norm", value, self.config.embedding_eps)
        return value

    def _layer(self, index: int, residual_in: Tensor, observer: Observer | None) -> Tensor:
        m = self._operations(f"layers.{index}.", observer)
        return m.see("residual_out", self.config.layer(m, index, m.see("residual_in", residual_in)))

    def _final(self, residual: FloatArray, observer: Observer | None = None) -> Tensor:
        return self.config.final(self._operations("", observer), torch.tensor(residual, dtype=self.dtype))

    def _operations(self, prefix: str, observer: Observer | None) -> FloatOperations:
        def see(site: str, value: Tensor) -> Tensor:
            if observer is not None:
                observer(prefix + site, _to_numpy(value))
            return value

        return FloatOperations(lambda name: self._weight(prefix + name), self.dtype, see)

    def _weight(self, name: str) -> Tensor:
        if name not in self._weights:
            values = torch.from_numpy(self.source.tensor(name))
            self._weights[name] = values if is_gain(name) else values.to(self.dtype)
        return self._weights[name]


def _to_numpy(value: Tensor) -> FloatArray:
    return np.asarray(value.detach().float().numpy())
