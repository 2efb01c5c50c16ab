"""What a Gemma 3 text model is, in the numbers that its circuit and its weights depend on.

Source of the architecture: Gemma Team, "Gemma 3 Technical Report" (arXiv:2503.19786), Section 2 and Table 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

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

_LARGEST_DIMENSION = 1 << 24
_MOST_LAYERS = 1 << 12


def default_query_scalar(*, num_layers: int, hidden_size: int, num_heads: int, head_dim: int) -> int:
    """The `query_pre_attn_scalar` of a Gemma 3 model whose file does not state it."""
    return hidden_size // num_heads if num_layers == LAYERS_OF_27B else head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemma3Config:
    """A Gemma 3 text decoder: GQA, QK norms, sandwich RMS norms, GeGLU, sliding and global layers, tied head.

    Layer `l` is global if `(l + 1) % sliding_pattern == 0`; in any other, position i sees positions
    i - sliding_window + 1 to i. Scores are divided by the square root of `query_pre_attn_scalar`; embeddings
    are multiplied by `embed_scale` = sqrt(hidden_size).
    """

    architecture: str = "gemma3"
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    rms_norm_eps: float
    rope_theta_global: float
    rope_theta_local: float
    sliding_window: int
    sliding_pattern: int
    query_pre_attn_scalar: int
    max_position: int
    tied_embeddings: bool
    embed_scale: float

    def __post_init__(self) -> None:
        _check_architecture(self.architecture)
        for field in fields(self):
            _check_field(field.name, getattr(self, field.name), str(field.type))
        if self.num_heads % self.num_kv_heads:
            raise _bad(f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}")
        if self.head_dim % 2:
            raise _bad(f"head_dim {self.head_dim} is odd: rotary embedding pairs its two halves")
        if not self.tied_embeddings:
            raise ModelError(
                "unsupported-config", "tie_word_embeddings is false: an output head of its own is not covered"
            )
        if self.embed_scale != math.sqrt(self.hidden_size):
            raise _bad(f"embed_scale {self.embed_scale} is not sqrt(hidden_size)")

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
    def group_size(self) -> int:
        """Query heads per key-value head."""
        return self.num_heads // self.num_kv_heads

    @property
    def score_scale(self) -> float:
        """Factor of the attention scores, 1/sqrt(query_pre_attn_scalar)."""
        return 1.0 / math.sqrt(self.query_pre_attn_scalar)

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name and shape of every tensor, in canonical order; projections are [out, in]."""
        shapes: dict[str, tuple[int, ...]] = {"embedding": (self.vocab_size, self.hidden_size)}
        for layer in range(self.num_layers):
            shapes |= {f"layers.{layer}.{name}": shape for name, shape in self.layer_shapes().items()}
        return shapes | {"final_norm": (self.hidden_size,)}

    def layer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name within a layer and shape of each of its 13 tensors, in the order in which they are used."""
        hidden, inner, head = self.hidden_size, self.intermediate_size, self.head_dim
        queries, keys = self.num_heads * head, self.num_kv_heads * head
        return {
            "input_norm": (hidden,),
            "q_proj": (queries, hidden),
            "k_proj": (keys, hidden),
            "v_proj": (keys, hidden),
            "q_norm": (head,),
            "k_norm": (head,),
            "o_proj": (hidden, queries),
            "post_attention_norm": (hidden,),
            "pre_feedforward_norm": (hidden,),
            "gate_proj": (inner, hidden),
            "up_proj": (inner, hidden),
            "down_proj": (hidden, inner),
            "post_feedforward_norm": (hidden,),
        }

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values; `from_dict` inverts it exactly."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Gemma3Config:
        """Rebuilds a config from `to_dict`'s output; a missing, unknown or mistyped field is refused."""
        _check_architecture(raw.get("architecture"))
        if odd := {field.name for field in fields(cls)}.symmetric_difference(raw):
            raise _bad(f"missing or unknown fields: {', '.join(sorted(map(str, odd)))}")
        return cls(**raw)


def _check_architecture(name: object) -> None:
    if name != "gemma3":
        raise ModelError(
            "unknown-architecture",
            f"architecture {name!r} is not covered",
            hint="covered: gemma3 (text only)",
        )


def _bad(message: str) -> ModelError:
    return ModelError("bad-config", f"model config: {message}")


def _check_field(name: str, value: object, kind: str) -> None:
    """Checks type (bool is no int) and range: dimensions 1 to 2^24, floats finite and positive."""
    if kind == "int":
        largest = _MOST_LAYERS if name == "num_layers" else _LARGEST_DIMENSION
        if type(value) is not int or not 1 <= value <= largest:
            raise _bad(f"{name} must be an integer from 1 to {largest}, got {value!r}")
    elif kind == "float":
        if type(value) is not float or not math.isfinite(value) or value <= 0:
            raise _bad(f"{name} must be a positive finite float, got {value!r}")
    elif kind == "bool" and type(value) is not bool:
        raise _bad(f"{name} must be a boolean, got {value!r}")
