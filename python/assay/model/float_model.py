"""The float reference: Gemma 3 in a few readable lines of torch, observed at named sites.

It is what the exact model is calibrated on and compared with. Architecture: arXiv:2503.19786; order of
operations and roundings: `Gemma3ForCausalLM` of transformers with eager attention, to which tests hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from assay.errors import RequestError
from assay.model.source import FloatArray, SourceModel, check_tokens

Observer = Callable[[str, FloatArray], None]

_SLAB = 1 << 14  # rows of the embedding whose logits are held at once


class FloatModel:
    """Gemma 3 in float32, or in bfloat16 as an honest provider serves it.

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

        `layers` stops after so many. The observer gets float32 arrays, at these sites of each layer l, all
        named `layers.{l}.` and: residual_in, input_norm.out [T, hidden]; q_proj.out [T, heads * head_dim];
        k_proj.out, v_proj.out [T, kv_heads * head_dim]; q_norm.out, q_rope.out [T, heads, head_dim];
        k_norm.out, k_rope.out [T, kv_heads, head_dim]; scores [visible cells], scaled; attention.out [T,
        heads * head_dim]; o_proj.out, post_attention_norm.out, residual_mid, pre_feedforward_norm.out [T,
        hidden]; gate_proj.out, up_proj.out, mlp.product [T, intermediate]; down_proj.out,
        post_feedforward_norm.out, residual_out [T, hidden].
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
        hidden = self._norm("final_norm", torch.tensor(residual, dtype=self.dtype))
        return _to_numpy(functional.linear(hidden, self._weight("embedding")))

    @torch.inference_mode()
    def observe_head(self, residual: FloatArray, observer: Observer) -> None:
        """Shows the sites `final_norm.out` [n, hidden] and `logits` [n, a slab of the vocabulary]."""
        hidden = self._norm("final_norm", torch.tensor(residual, dtype=self.dtype))
        observer("final_norm.out", _to_numpy(hidden))
        for slab in torch.split(self._weight("embedding"), _SLAB):
            observer("logits", _to_numpy(functional.linear(hidden, slab)))

    def _embed(self, tokens: Sequence[int]) -> Tensor:
        if not 1 <= len(tokens) <= self.config.max_position:
            raise RequestError(
                "prompt-too-long" if tokens else "prompt-empty",
                f"{len(tokens)} tokens: from 1 to {self.config.max_position} are possible",
            )
        check_tokens(tokens, self.config.vocab_size)
        # transformers rounds the factor to the weights' type: 25.25 instead of 25.298 in bfloat16 for 270M.
        scale = torch.tensor(self.config.embed_scale, dtype=torch.float32).to(self.dtype)
        return self._weight("embedding")[torch.tensor(tokens)] * scale

    def _layer(self, index: int, residual_in: Tensor, observer: Observer | None) -> Tensor:
        prefix = f"layers.{index}."

        def see(site: str, value: Tensor) -> Tensor:
            if observer is not None:
                observer(prefix + site, _to_numpy(value))
            return value

        def linear(name: str, x: Tensor) -> Tensor:
            return see(f"{name}.out", functional.linear(x, self._weight(prefix + name)))

        def norm(name: str, x: Tensor) -> Tensor:
            return see(f"{name}.out", self._norm(prefix + name, x))

        x = norm("input_norm", see("residual_in", residual_in))
        attended = self._attention(index, x, linear, norm, see)
        attended = norm("post_attention_norm", linear("o_proj", see("attention.out", attended)))
        residual_mid = see("residual_mid", residual_in + attended)

        x = norm("pre_feedforward_norm", residual_mid)
        gate = functional.gelu(linear("gate_proj", x), approximate="tanh")
        product = see("mlp.product", gate * linear("up_proj", x))
        return see("residual_out", residual_mid + norm("post_feedforward_norm", linear("down_proj", product)))

    def _attention(
        self,
        index: int,
        x: Tensor,
        linear: Callable[[str, Tensor], Tensor],
        norm: Callable[[str, Tensor], Tensor],
        see: Callable[[str, Tensor], Tensor],
    ) -> Tensor:
        """Grouped-query attention: normed input [T, hidden] to [T, heads * head_dim], before o_proj."""
        config, length = self.config, x.shape[0]
        q = norm("q_norm", linear("q_proj", x).view(length, config.num_heads, config.head_dim))
        k = norm("k_norm", linear("k_proj", x).view(length, config.num_kv_heads, config.head_dim))
        v = linear("v_proj", x).view(length, config.num_kv_heads, config.head_dim)
        cos, sin = self._rotary(index, length)
        q, k = see("q_rope.out", _rotate(q, cos, sin)), see("k_rope.out", _rotate(k, cos, sin))

        k, v = (
            t.repeat_interleave(config.group_size, dim=1).transpose(0, 1) for t in (k, v)
        )  # [heads, T, head_dim]
        scores = torch.matmul(q.transpose(0, 1), k.transpose(1, 2)) * config.score_scale  # [heads, T, T]
        visible = visible_cells(length, config.window(index))
        see("scores", scores[:, visible])
        scores = scores.masked_fill(~visible, -torch.inf)
        probabilities = functional.softmax(scores, dim=-1, dtype=torch.float32).to(self.dtype)
        return torch.matmul(probabilities, v).transpose(0, 1).reshape(length, -1)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        """RMS norm over the last dimension, in float32."""
        wide = x.float()
        inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.config.rms_norm_eps)
        return (wide * inverse * self._weight(name)).to(self.dtype)

    def _rotary(self, index: int, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines [T, 1, head_dim] of the layer's rotary embedding."""
        dim = self.config.head_dim
        frequencies = 1.0 / (
            self.config.rope_theta(index) ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        )
        angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)
        angles = torch.cat((angles, angles), dim=-1).unsqueeze(1)
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)

    def _weight(self, name: str) -> Tensor:
        if name not in self._weights:
            values = torch.from_numpy(self.source.tensor(name))
            self._weights[name] = values if name.endswith("_norm") else values.to(self.dtype)
        return self._weights[name]


def visible_cells(length: int, window: int | None) -> Tensor:
    """Boolean [T, T]: query i (row) sees key j if j <= i and, in a sliding layer, i - j < window."""
    distance = torch.arange(length).unsqueeze(1) - torch.arange(length).unsqueeze(0)
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [T, heads, head_dim], element i paired with element i + head_dim/2 [SLPWL21]."""
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


def _to_numpy(value: Tensor) -> FloatArray:
    return np.asarray(value.detach().float().numpy())
