"""Gemma 3, text (arXiv:2503.19786, Section 2 and Table 1).

(G3.1)   x    = boundary.l, ranged                                    RES.1
(G3.2)   h    = rms_norm(x, input_norm)                               NORM
(G3.3)   q, k = h q_proj^T, h k_proj^T, wide;  v = clamp18            LIN
(G3.4)   q, k = rope(rms_norm(q)), rope(rms_norm(k)), a head a row    NORM, ROPE
(G3.5)   o    = attention(q, k, v), causal, windowed in sliding layers    ATT
(G3.6)   y_1  = rms_norm(o o_proj^T, post_attention_norm)             LIN, NORM
(G3.7)   h_2  = rms_norm(x + y_1, pre_feedforward_norm)               RES.2, NORM
(G3.8)   a    = gelu(h_2 gate_proj^T) * clamp18(h_2 up_proj^T)        ACT, GATE
(G3.9)   n_2  = rms_norm(a down_proj^T, post_feedforward_norm), not rounded    LIN, NORM
(G3.10)  boundary.(l+1) = clamp26(round(x + y_1 + n_2))               RES.3
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.architecture import VALUE, Attention, Operations, V

from assay.errors import ModelError

# Constants of the architecture that model files may leave out. GGUF holds neither the RoPE base of the
# sliding-window layers nor which layers are global; both come from the report: local and global layers are
# interleaved 5:1, every sixth being global, with RoPE bases of 10k (local) and 1M (global).
SLIDING_PATTERN = 6
ROPE_THETA_LOCAL = 10_000.0
ROPE_THETA_GLOBAL = 1_000_000.0
# Neither does GGUF hold the scalar that scores are divided by (its square root): it is head_dim in every size
# except the 27B, which is told by its 62 layers and divides by hidden_size / num_heads.
LAYERS_OF_27B = 62


def default_query_scalar(*, num_layers: int, hidden_size: int, num_heads: int, head_dim: int) -> int:
    """The `query_pre_attn_scalar` of a Gemma 3 model whose file does not state it."""
    return hidden_size // num_heads if num_layers == LAYERS_OF_27B else head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemma3(Attention):
    """GQA, QK norms, sandwich RMS norms, GeGLU, sliding and global layers, tied head.

    Layer `l` is global if `(l + 1) % sliding_pattern == 0`; in any other, position i sees positions
    i - sliding_window + 1 to i. Scores are divided by the square root of `query_pre_attn_scalar`; embeddings
    are multiplied by `embed_scale` = sqrt(hidden_size).
    """

    covers: ClassVar[str] = "gemma3"
    title: ClassVar[str] = "Gemma 3"

    architecture: str = "gemma3"
    intermediate_size: int
    rms_norm_eps: float
    rope_theta_global: float
    rope_theta_local: float
    sliding_window: int
    sliding_pattern: int
    query_pre_attn_scalar: int
    embed_scale: float

    def check(self) -> None:
        Attention.check(self)
        if not self.tied_embeddings:
            raise ModelError(
                "unsupported-config", "tie_word_embeddings is false: Gemma 3 has no output head of its own"
            )
        if self.embed_scale != math.sqrt(self.hidden_size):
            raise ModelError(
                "bad-config", f"model config: embed_scale {self.embed_scale} is not sqrt(hidden_size)"
            )

    def layer_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        return {
            "input_norm": (hidden,),
            "q_proj": (self.queries, hidden),
            "k_proj": (self.keys, hidden),
            "v_proj": (self.keys, hidden),
            "q_norm": (self.head_dim,),
            "k_norm": (self.head_dim,),
            "o_proj": (hidden, self.queries),
            "post_attention_norm": (hidden,),
            "pre_feedforward_norm": (hidden,),
            "gate_proj": (inner, hidden),
            "up_proj": (inner, hidden),
            "down_proj": (hidden, inner),
            "post_feedforward_norm": (hidden,),
        }

    def layer(self, m: Operations[V], index: int, x: V) -> V:
        eps, theta = self.rms_norm_eps, self.rope_theta(index)
        h = m.rms_norm("input_norm", x, eps)
        q = m.rms_norm("q_norm", m.heads(m.linear("q_proj", h), self.num_heads), eps)
        q = m.rope("q_rope", q, theta)
        k = m.rms_norm("k_norm", m.heads(m.linear("k_proj", h), self.num_kv_heads), eps)
        k = m.rope("k_rope", k, theta)
        v = m.heads(m.linear("v_proj", h), self.num_kv_heads)
        o = m.attention(q, k, v, scalar=self.query_pre_attn_scalar, window=self.window(index))
        x = m.add("residual_mid", x, m.rms_norm("post_attention_norm", m.linear("o_proj", o), eps))
        h = m.rms_norm("pre_feedforward_norm", x, eps, feeds={"gate_proj": "gelu_tanh", "up_proj": VALUE})
        a = m.gated("gelu_tanh", m.linear("gate_proj", h), m.linear("up_proj", h))
        return m.add("residual_out", x, m.rms_norm("post_feedforward_norm", m.linear("down_proj", a), eps))

    def final(self, m: Operations[V], x: V) -> V:
        return m.rms_norm("final_norm", x, self.rms_norm_eps)

    def is_global(self, layer: int) -> bool:
        """Whether layer `layer` attends to all earlier positions rather than to a window."""
        return (layer + 1) % self.sliding_pattern == 0

    def window(self, layer: int) -> int | None:
        """How many positions, its own included, a position of this layer sees; None: all of them."""
        return None if self.is_global(layer) else self.sliding_window

    def rope_theta(self, layer: int) -> float:
        """The base of the rotary embedding in this layer."""
        return self.rope_theta_global if self.is_global(layer) else self.rope_theta_local

    @property
    def score_scale(self) -> float:
        """Factor of the attention scores, 1/sqrt(query_pre_attn_scalar)."""
        return 1.0 / math.sqrt(self.query_pre_attn_scalar)

    @property
    def embedding_factor(self) -> float:
        return self.embed_scale
