"""Layers in torch: the interpretation of `Operations` that calibration and parity look at.

Values are [T, columns], or [T, heads, head_dim] once `heads` has seen them so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from assay.circuits.architecture import NOTHING
from assay.circuits.fixed_point import Stretch

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "gelu_erf": functional.gelu,
    "silu": functional.silu,
}


class FloatOperations:
    """`Operations` on torch tensors of `dtype`; `weight` reads by name, `see` is shown each site's value."""

    def __init__(
        self, weight: Callable[[str], Tensor], dtype: torch.dtype, see: Callable[[str, Tensor], Tensor]
    ) -> None:
        self.weight, self.dtype, self.see = weight, dtype, see

    def linear(self, name: str, x: Tensor, *, bias: bool = False) -> Tensor:
        added = self.weight(f"{name}_bias") if bias else None
        return self.see(f"{name}.out", functional.linear(x, self.weight(name), added))

    def rms_norm(self, name: str, x: Tensor, eps: float, *, feeds: Mapping[str, str] = NOTHING) -> Tensor:
        """In float32, over the last dimension."""
        wide = x.float()
        inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        return self.see(f"{name}.out", (wide * inverse * self.weight(name)).to(self.dtype))

    def layer_norm(self, name: str, x: Tensor, eps: float, *, feeds: Mapping[str, str] = NOTHING) -> Tensor:
        gain, bias = self.weight(name).float(), self.weight(f"{name}_bias").float()
        return self.see(
            f"{name}.out", functional.layer_norm(x.float(), gain.shape, gain, bias, eps).to(self.dtype)
        )

    def heads(self, x: Tensor, count: int) -> Tensor:
        return x.view(x.shape[0], count, -1)

    def rope(self, name: str, x: Tensor, theta: float, stretch: Stretch | None = None) -> Tensor:
        """Element i paired with element i + head_dim/2 [SLPWL21]."""
        length, dim = x.shape[0], x.shape[-1]
        frequencies = 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
        if stretch is not None:
            turns = frequencies * stretch.original / (2 * math.pi)
            share = ((turns - stretch.low) / (stretch.high - stretch.low)).clamp(0, 1)
            frequencies = frequencies / stretch.factor * (1 - share) + frequencies * share
        angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)
        angles = torch.cat((angles, angles), dim=-1).unsqueeze(1)
        cos, sin = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        low, high = x.chunk(2, dim=-1)
        return self.see(f"{name}.out", x * cos + torch.cat((-high, low), dim=-1) * sin)

    def attention(
        self, q: Tensor, k: Tensor, v: Tensor, *, scalar: int, window: int | None = None, causal: bool = True
    ) -> Tensor:
        length, group = q.shape[0], q.shape[1] // k.shape[1]
        k, v = (t.repeat_interleave(group, dim=1).transpose(0, 1) for t in (k, v))  # [heads, T, head_dim]
        scores = torch.matmul(q.transpose(0, 1), k.transpose(1, 2)) * (1.0 / math.sqrt(scalar))
        visible = visible_cells(length, window) if causal else torch.ones(length, length, dtype=torch.bool)
        self.see("scores", scores[:, visible])
        scores = scores.masked_fill(~visible, -torch.inf)
        probabilities = functional.softmax(scores, dim=-1, dtype=torch.float32).to(self.dtype)
        o = torch.matmul(probabilities, v).transpose(0, 1).reshape(length, -1)
        return self.see("attention.out", o)

    def gated(self, kind: str, gate: Tensor, up: Tensor) -> Tensor:
        return self.see("mlp.product", _ACTIVATIONS[kind](gate) * up)

    def activation(self, kind: str, x: Tensor) -> Tensor:
        return self.see("mlp.product", _ACTIVATIONS[kind](x))

    def experts(self, name: str, x: Tensor, *, chosen: int, kind: str, renormalised: bool) -> Tensor:
        logits = self.see(f"{name}_router.out", functional.linear(x, self.weight(f"{name}_router")))
        shares = functional.softmax(logits, dim=-1, dtype=torch.float32)
        shares, seats = torch.topk(shares, chosen, dim=-1)
        if renormalised:
            shares = shares / shares.sum(-1, keepdim=True)
        count = logits.shape[-1]
        weights = [self.weight(f"{name}_{part}") for part in ("gate", "up", "down")]
        gates, ups, downs = (w.view(count, -1, w.shape[-1]) for w in weights)
        out = torch.zeros_like(x)
        for expert in range(count):
            token, seat = torch.where(seats == expert)
            h = x[token]
            gate = self.see(f"{name}_gate.out", functional.linear(h, gates[expert]))
            up = self.see(f"{name}_up.out", functional.linear(h, ups[expert]))
            d = functional.linear(_ACTIVATIONS[kind](gate) * up, downs[expert])
            out.index_add_(0, token, (d * shares[token, seat, None]).to(self.dtype))
        return self.see(f"{name}.out", out)

    def add(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        return self.see(name, x + y)


def visible_cells(length: int, window: int | None) -> Tensor:
    """Boolean [T, T]: query i (row) sees key j if j <= i and, in a sliding layer, i - j < window."""
    distance = torch.arange(length).unsqueeze(1) - torch.arange(length).unsqueeze(0)
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)
