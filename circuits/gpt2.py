"""GPT-2 (Radford et al. 2019).

(GPT2.1)  boundary.0 = embedding[token] + positions[t]                     EMB
(GPT2.2)  h = layer_norm(x, input_norm)                                    LNORM
(GPT2.3)  q, k, v = clamp(h q_proj^T + q_proj_bias), the same of k, v      LIN, BIAS
(GPT2.4)  o = attention(q, k, v), causal, a head a row                     ATT
(GPT2.5)  x_2 = x + round(o o_proj^T + o_proj_bias)                        LIN, BIAS, RES.2
(GPT2.6)  h_2 = layer_norm(x_2, mlp_norm)                                  LNORM
(GPT2.7)  a = gelu(h_2 fc^T + fc_bias), tanh form                          LIN, BIAS, ACT
(GPT2.8)  boundary.(l+1) = clamp(round(x_2 + a proj^T + proj_bias))        BIAS, RES.3
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.architecture import VALUE, Architecture, Operations, V, require_heads, with_biases


@dataclass(frozen=True, slots=True, kw_only=True)
class GPT2(Architecture):
    """LayerNorm before each block, learned positions, biases everywhere, GELU; the head tied or its own."""

    covers: ClassVar[str] = "gpt2"
    title: ClassVar[str] = "GPT-2"

    architecture: str = "gpt2"
    num_heads: int
    intermediate_size: int
    layer_norm_eps: float

    def check(self) -> None:
        require_heads(self.hidden_size, self.num_heads)

    @property
    def head_dim(self) -> int:
        """Columns of a head."""
        return self.hidden_size // self.num_heads

    def layer_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        return with_biases(
            {
                "input_norm": (hidden,),
                "q_proj": (hidden, hidden),
                "k_proj": (hidden, hidden),
                "v_proj": (hidden, hidden),
                "o_proj": (hidden, hidden),
                "mlp_norm": (hidden,),
                "fc": (inner, hidden),
                "proj": (hidden, inner),
            }
        )

    def outside_shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            "positions": (self.max_position, self.hidden_size),
            **with_biases({"final_norm": (self.hidden_size,)}),
        }

    def layer(self, m: Operations[V], index: int, x: V) -> V:
        eps = self.layer_norm_eps
        h = m.layer_norm("input_norm", x, eps, feeds={"q_proj": VALUE, "k_proj": VALUE, "v_proj": VALUE})
        q, k, v = (
            m.heads(m.linear(name, h, bias=True), self.num_heads) for name in ("q_proj", "k_proj", "v_proj")
        )
        o = m.attention(q, k, v, scalar=self.head_dim)
        x = m.add("residual_mid", x, m.linear("o_proj", o, bias=True))
        h = m.layer_norm("mlp_norm", x, eps, feeds={"fc": "gelu_tanh"})
        a = m.activation("gelu_tanh", m.linear("fc", h, bias=True))
        return m.add("residual_out", x, m.linear("proj", a, bias=True))

    def final(self, m: Operations[V], x: V) -> V:
        return m.layer_norm("final_norm", x, self.layer_norm_eps)
