"""Llama (arXiv:2302.13971, 2407.21783), and what others share with it: Mistral, Qwen2, Qwen3.

(LL.1)  h = rms_norm(x, input_norm)                                        NORM
(LL.2)  q, k, v = h q_proj^T, h k_proj^T, h v_proj^T, in Qwen2 with biases       LIN
(LL.3)  q, k = rope(q), rope(k), a head a row; in Qwen3 of their RMS norms       NORM, ROPE
(LL.4)  o = attention(q, k, v), causal, in Mistral windowed                ATT
(LL.5)  x_2 = x + round(o o_proj^T)                                        LIN, RES.2
(LL.6)  h_2 = rms_norm(x_2, post_attention_norm)                           NORM
(LL.7)  a = silu(h_2 gate_proj^T) * clamp(h_2 up_proj^T)                   GATE
(LL.8)  boundary.(l+1) = clamp(round(x_2 + a down_proj^T))                 RES.3
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.architecture import TURNED, VALUE, Attention, Operations, V
from assay.circuits.fixed_point import Stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama(Attention):
    """GQA, RMS norms before each block, RoPE, SwiGLU, a head that is tied or its own."""

    covers: ClassVar[str] = "llama"
    title: ClassVar[str] = "Llama"
    biased: ClassVar[bool] = False
    """Whether queries, keys and values have biases."""
    normed: ClassVar[bool] = False
    """Whether each head's queries and keys have a norm."""

    architecture: str = "llama"
    intermediate_size: int
    rms_norm_eps: float
    rope_theta: float

    def layer_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"input_norm": (hidden,)}
        for name, rows in (("q", self.queries), ("k", self.keys), ("v", self.keys)):
            shapes[f"{name}_proj"] = (rows, hidden)
            if self.biased:
                shapes[f"{name}_proj_bias"] = (rows,)
            if self.normed and name != "v":
                shapes[f"{name}_norm"] = (self.head_dim,)
        return shapes | {
            "o_proj": (hidden, self.queries),
            "post_attention_norm": (hidden,),
            **self.feed_forward_shapes(),
        }

    def feed_forward_shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of (LL.7-8)."""
        hidden, inner = self.hidden_size, self.intermediate_size
        return {"gate_proj": (inner, hidden), "up_proj": (inner, hidden), "down_proj": (hidden, inner)}

    def layer(self, m: Operations[V], index: int, x: V) -> V:
        eps = self.rms_norm_eps
        turned = {} if self.normed else {"q_proj": TURNED, "k_proj": TURNED}
        h = m.rms_norm("input_norm", x, eps, feeds={**turned, "v_proj": VALUE})
        q = self.turned(m, "q", h, self.num_heads)
        k = self.turned(m, "k", h, self.num_kv_heads)
        v = m.heads(m.linear("v_proj", h, bias=self.biased), self.num_kv_heads)
        o = m.attention(q, k, v, scalar=self.head_dim, window=self.window(index))
        x = m.add("residual_mid", x, m.linear("o_proj", o))
        return m.add("residual_out", x, self.feed_forward(m, x))

    def turned(self, m: Operations[V], name: str, h: V, heads: int) -> V:
        """Queries or keys, (LL.2-3)."""
        x = m.heads(m.linear(f"{name}_proj", h, bias=self.biased), heads)
        if self.normed:
            x = m.rms_norm(f"{name}_norm", x, self.rms_norm_eps)
        return m.rope(f"{name}_rope", x, self.rope_theta, self.stretch)

    @property
    def stretch(self) -> Stretch | None:
        """Of slow rotations; None: as they are."""
        return None

    def feed_forward(self, m: Operations[V], x: V) -> V:
        """(LL.6-8)."""
        h = m.rms_norm(
            "post_attention_norm", x, self.rms_norm_eps, feeds={"gate_proj": "silu", "up_proj": VALUE}
        )
        a = m.gated("silu", m.linear("gate_proj", h), m.linear("up_proj", h))
        return m.linear("down_proj", a)

    def final(self, m: Operations[V], x: V) -> V:
        return m.rms_norm("final_norm", x, self.rms_norm_eps)

    def window(self, layer: int) -> int | None:
        """How many positions, its own included, a position of this layer sees; None: all of them."""
        return None
