"""BERT encoders (arXiv:1810.04805), sentence transformers among them.

(BERT.1)  boundary.0 = layer_norm(embedding[token] + positions[t] + token_types[0], embedding_norm)    EMB
(BERT.2)  q, k, v = clamp(x q_proj^T + q_proj_bias), the same of k, v      LIN, BIAS
(BERT.3)  o = attention(q, k, v), every position sees every other          ATT
(BERT.4)  x_2 = layer_norm(x + round(o o_proj^T + o_proj_bias), attention_norm)     LIN, BIAS, LNORM
(BERT.5)  a = gelu(x_2 fc^T + fc_bias), the form with erf                  LIN, BIAS, ACT
(BERT.6)  boundary.(l+1) = clamp(layer_norm(x_2 + round(a proj^T + proj_bias), output_norm))    BIAS, LNORM
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.architecture import Architecture, Operations, V, require_heads, with_biases


@dataclass(frozen=True, slots=True, kw_only=True)
class Bert(Architecture):
    """LayerNorm after each sum, learned positions, one sequence (token type 0), GELU; gives vectors."""

    covers: ClassVar[str] = "bert"
    title: ClassVar[str] = "BERT"
    encodes: ClassVar[bool] = True

    architecture: str = "bert"
    num_heads: int
    intermediate_size: int
    token_kinds: int
    layer_norm_eps: float

    def check(self) -> None:
        require_heads(self.hidden_size, self.num_heads)

    @property
    def head_dim(self) -> int:
        """Columns of a head."""
        return self.hidden_size // self.num_heads

    @property
    def embedding_eps(self) -> float:
        return self.layer_norm_eps

    def layer_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        return with_biases(
            {
                "q_proj": (hidden, hidden),
                "k_proj": (hidden, hidden),
                "v_proj": (hidden, hidden),
                "o_proj": (hidden, hidden),
                "attention_norm": (hidden,),
                "fc": (inner, hidden),
                "proj": (hidden, inner),
                "output_norm": (hidden,),
            }
        )

    def outside_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden = self.hidden_size
        return {
            "positions": (self.max_position, hidden),
            "token_types": (self.token_kinds, hidden),
            **with_biases({"embedding_norm": (hidden,)}),
        }

    def layer(self, m: Operations[V], index: int, x: V) -> V:
        q, k, v = (
            m.heads(m.linear(name, x, bias=True), self.num_heads) for name in ("q_proj", "k_proj", "v_proj")
        )
        o = m.attention(q, k, v, scalar=self.head_dim, causal=False)
        x = m.add("attention_sum", x, m.linear("o_proj", o, bias=True))
        x = m.layer_norm("attention_norm", x, self.layer_norm_eps, feeds={"fc": "gelu_erf"})
        a = m.activation("gelu_erf", m.linear("fc", x, bias=True))
        x = m.add("output_sum", x, m.linear("proj", a, bias=True))
        return m.layer_norm("output_norm", x, self.layer_norm_eps)

    def final(self, m: Operations[V], x: V) -> V:
        return x
