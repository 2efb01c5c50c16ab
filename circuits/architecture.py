"""What an architecture is: its sizes, the shapes of its tensors, its layers, written once over operations.

`Operations` has two interpretations: the relations of a circuit (`assay.circuits.relations`), from which also
the scales are fitted, and the float model in torch (`assay.model.float_operations`). A value [rows, cols] of
either is opaque to an architecture.

Names: a gain ends with `_norm`, a bias with `_bias`; `layers.3.q_proj` is q_proj of layer 3.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self, TypeVar

from assay.circuits.fixed_point import Stretch

from assay.errors import ModelError

LARGEST_DIMENSION = 1 << 24
MOST_LAYERS = 1 << 12
MOST_HEAD_DIM = 1 << 10  # up to where the table of angles is correctly rounded

VALUE, TURNED = "value", "turned"  # what attention or a gate multiplies; what rope turns, without a norm
ADDED = ("positions", "token_types")
"""Tables whose rows an embedding may add to those of the tokens."""
EMBEDDED = (*ADDED, "embedding_norm", "embedding_norm_bias")
"""Tensors outside the layers that boundary 0 may come from."""
NOTHING: Mapping[str, str] = MappingProxyType({})

V = TypeVar("V")


class Operations(Protocol[V]):
    """What layers are made of. `name` is that of the weight, and of the site whose scale is fitted."""

    def linear(self, name: str, x: V, *, bias: bool = False) -> V:
        """x W^T, and `name`_bias if there is one."""
        ...

    def rms_norm(self, name: str, x: V, eps: float, *, feeds: Mapping[str, str] = NOTHING) -> V:
        """RMS norm of each row; `feeds` are the linear layers that read it, each with what reads that: an
        activation's kind, VALUE or TURNED."""
        ...

    def layer_norm(self, name: str, x: V, eps: float, *, feeds: Mapping[str, str] = NOTHING) -> V:
        """LayerNorm of each row, with gain `name` and bias `name`_bias."""
        ...

    def heads(self, x: V, count: int) -> V:
        """[T, count n] seen as [T count, n]."""
        ...

    def rope(self, name: str, x: V, theta: float, stretch: Stretch | None = None) -> V:
        """Rotary embedding of [T heads, n], element i paired with i + n/2; slow turns may be slower."""
        ...

    def attention(
        self, q: V, k: V, v: V, *, scalar: int, window: int | None = None, causal: bool = True
    ) -> V:
        """softmax(q k^T / sqrt(scalar)) v for [T heads, n] and [T kv_heads, n]: [T, heads n]."""
        ...

    def gated(self, kind: str, gate: V, up: V) -> V:
        """act(gate) * up for an activation of fixed_point.ACTIVATIONS."""
        ...

    def activation(self, kind: str, x: V) -> V:
        """act(x)."""
        ...

    def experts(self, name: str, x: V, *, chosen: int, kind: str, renormalised: bool) -> V:
        """A gated mixture of experts: the `chosen` with the largest logits of each row.

        Weights `name`_router [E, hidden], _gate and _up [E inner, hidden], _down [E hidden, inner].
        """
        ...

    def add(self, name: str, x: V, y: V) -> V:
        """x + y; x is the residual stream, `name` the site of the sum."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture(ABC):
    """A model's configuration. A subclass adds its sizes and constants, and says what its layers are."""

    covers: ClassVar[str]
    """Its name in configurations."""
    title: ClassVar[str]
    """Its name for people."""
    encodes: ClassVar[bool] = False
    """Whether it gives vectors; else logits."""

    architecture: str
    vocab_size: int
    hidden_size: int
    num_layers: int
    max_position: int
    tied_embeddings: bool

    def __post_init__(self) -> None:
        if self.architecture != self.covers:
            raise _bad(f"{self.architecture!r} is not {self.covers}")
        for field in fields(self):
            _check_field(field.name, getattr(self, field.name), str(field.type))
        self.check()

    def check(self) -> None:  # noqa: B027
        """Raises `ModelError` where sizes do not fit together."""

    @property
    def routed(self) -> tuple[int, int] | None:
        """Experts of each layer, and how many of them a token has; None if it has no choice of experts."""
        return None

    # ---- tensors ----

    @abstractmethod
    def layer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name within a layer and shape of each tensor, in the order in which they are used."""

    def tables(self) -> dict[str, tuple[int, int]]:
        """Tensors committed in pieces of rows: the embedding, and a head of its own."""
        shape = (self.vocab_size, self.hidden_size)
        return {"embedding": shape} if self.tied_embeddings else {"embedding": shape, "lm_head": shape}

    def outside_shapes(self) -> dict[str, tuple[int, ...]]:
        """The other tensors outside the layers: norm before the head, and what boundary 0 is made of.

        `positions` [max_position, hidden] and `token_types` [kinds, hidden] are added to the embedding, of
        position t row t, of the token types row 0; `embedding_norm` and its bias norm the sum.
        """
        return {"final_norm": (self.hidden_size,)}

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name and shape of every tensor, in canonical order; projections are [out, in]."""
        shapes: dict[str, tuple[int, ...]] = dict(self.tables())
        for layer in range(self.num_layers):
            shapes |= {f"layers.{layer}.{name}": shape for name, shape in self.layer_shapes().items()}
        return shapes | self.outside_shapes()

    # ---- the computation ----

    @abstractmethod
    def layer(self, m: Operations[V], index: int, x: V) -> V:
        """The residual stream after layer `index`, of that before it."""

    @abstractmethod
    def final(self, m: Operations[V], x: V) -> V:
        """What the head multiplies, or of an encoder is pooled, of the stream after the last layer."""

    @property
    def embedding_eps(self) -> float:
        """The epsilon of `embedding_norm`, where there is one."""
        raise NotImplementedError

    @property
    def embedding_factor(self) -> float:
        """What rows of the embedding are multiplied by."""
        return 1.0

    @property
    def logit_cap(self) -> float | None:
        """Where logits are soft-capped, if they are."""
        return None

    @property
    def head(self) -> str:
        """The table that logits come from."""
        return "embedding" if self.tied_embeddings else "lm_head"

    # ---- as a dictionary ----

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values; `from_dict` inverts it exactly."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Rebuilds a configuration from `to_dict`'s output; a missing or unknown field is refused."""
        if odd := {field.name for field in fields(cls)}.symmetric_difference(raw):
            raise _bad(f"missing or unknown fields: {', '.join(sorted(map(str, odd)))}")
        return cls(**raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention(Architecture):
    """Architectures with grouped-query attention over `num_heads` heads of `head_dim`."""

    num_heads: int
    num_kv_heads: int
    head_dim: int

    def check(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise _bad(f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}")
        if self.head_dim % 2:
            raise _bad(f"head_dim {self.head_dim} is odd: rotary embedding pairs its two halves")
        if self.head_dim > MOST_HEAD_DIM:
            raise _bad(f"head_dim {self.head_dim} is more than {MOST_HEAD_DIM}")

    @property
    def queries(self) -> int:
        """Columns of all queries."""
        return self.num_heads * self.head_dim

    @property
    def keys(self) -> int:
        """Columns of all keys, and of all values."""
        return self.num_kv_heads * self.head_dim

    @property
    def group_size(self) -> int:
        """Query heads per key-value head."""
        return self.num_heads // self.num_kv_heads


def with_biases(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes of weights, each with that of its bias after it."""
    out: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        out |= {name: shape, f"{name}_bias": shape[:1]}
    return out


def require_heads(hidden: int, heads: int) -> None:
    """Raises `ModelError` unless heads of equal size make up a row."""
    if hidden % heads:
        raise _bad(f"hidden_size {hidden} is not a multiple of num_heads {heads}")


def _bad(message: str) -> ModelError:
    return ModelError("bad-config", f"model config: {message}")


def _check_field(name: str, value: object, kind: str) -> None:
    """Checks type (bool is no int) and range: dimensions 1 to 2^24, floats finite and positive."""
    if kind == "int":
        largest = MOST_LAYERS if name == "num_layers" else LARGEST_DIMENSION
        if type(value) is not int or not 1 <= value <= largest:
            raise _bad(f"{name} must be an integer from 1 to {largest}, got {value!r}")
    elif kind == "float":
        if type(value) is not float or not math.isfinite(value) or value <= 0:
            raise _bad(f"{name} must be a positive finite float, got {value!r}")
        if name.startswith("rope_theta") and value < 1:
            raise _bad(f"{name} must be at least 1, got {value!r}")
    elif kind == "bool" and type(value) is not bool:
        raise _bad(f"{name} must be a boolean, got {value!r}")
