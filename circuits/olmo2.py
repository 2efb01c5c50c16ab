"""OLMo 2 (arXiv:2501.00656, Section 3): norms after each block and of whole queries and keys, none before.

(O2.1)  q, k = rms_norm(x q_proj^T), rms_norm(x k_proj^T), over all heads     LIN, NORM
(O2.2)  q, k = rope(q), rope(k), a head a row;  v = clamp(x v_proj^T)         ROPE, LIN
(O2.3)  o = attention(q, k, v), causal                                        ATT
(O2.4)  x_2 = x + rms_norm(o o_proj^T, post_attention_norm)                   LIN, NORM, RES.2
(O2.5)  a = silu(x_2 gate_proj^T) * clamp(x_2 up_proj^T)                      ACT, GATE
(O2.6)  n_2 = rms_norm(a down_proj^T, post_feedforward_norm), not rounded     LIN, NORM
(O2.7)  boundary.(l+1) = clamp(round(x_2 + n_2))                              RES.3
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.architecture import Attention, Operations, V


@dataclass(frozen=True, slots=True, kw_only=True)
class Olmo2(Attention):
    """GQA, RMS norms of whole queries and keys and after each block, RoPE, SwiGLU, a head tied or its own."""

    covers: ClassVar[str] = "olmo2"
    title: ClassVar[str] = "OLMo 2"

    architecture: str = "olmo2"
    intermediate_size: int
    rms_norm_eps: float
    rope_theta: float

    def layer_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        return {
            "q_proj": (self.queries, hidden),
            "q_norm": (self.queries,),
            "k_proj": (self.keys, hidden),
            "k_norm": (self.keys,),
            "v_proj": (self.keys, hidden),
            "o_proj": (hidden, self.queries),
            "post_attention_norm": (hidden,),
            "gate_proj": (inner, hidden),
            "up_proj": (inner, hidden),
            "down_proj": (hidden, inner),
            "post_feedforward_norm": (hidden,),
        }

    def layer(self, m: Operations[V], index: int, x: V) -> V:
        eps = self.rms_norm_eps
        q = self.turned(m, "q", x, self.num_heads)
        k = self.turned(m, "k", x, self.num_kv_heads)
        v = m.heads(m.linear("v_proj", x), self.num_kv_heads)
        o = m.attention(q, k, v, scalar=self.head_dim)
        x = m.add("residual_mid", x, m.rms_norm("post_attention_norm", m.linear("o_proj", o), eps))
        a = m.gated("silu", m.linear("gate_proj", x), m.linear("up_proj", x))
        return m.add("residual_out", x, m.rms_norm("post_feedforward_norm", m.linear("down_proj", a), eps))

    def turned(self, m: Operations[V], name: str, x: V, heads: int) -> V:
        """Queries or keys, (O2.1-2)."""
        normed = m.rms_norm(f"{name}_norm", m.linear(f"{name}_proj", x), self.rms_norm_eps)
        return m.rope(f"{name}_rope", m.heads(normed, heads), self.rope_theta)

    def final(self, m: Operations[V], x: V) -> V:
        return m.rms_norm("final_norm", x, self.rms_norm_eps)
