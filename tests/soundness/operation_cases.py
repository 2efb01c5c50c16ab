"""The operations of other families than Gemma 3 as small statements."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
from assay.circuits.activation import activated, activation
from assay.circuits.attention import AttentionShape, attention
from assay.circuits.bias import biased
from assay.circuits.embedding import Rows, embed, embed_normed
from assay.circuits.gated_mlp import gated_product
from assay.circuits.layer_norm import layer_norm
from assay.circuits.pooling import pooled
from assay.circuits.residual import boundary_in
from assay.circuits.rounding import round_shift
from cheating import Case, Cells

from assay.graph import Builder, CellType, Interval, Source, Wire

HIDDEN, PIECES, TOKENS = 8, (5, 1, 6), (3, 11, 5)


def external(b: Builder, name: str, rows: int, cols: int, bounds: Interval) -> Wire:
    """A boundary with bounds that the test vouches for."""
    wire = b.tensor(name, rows, cols, bounds, source=Source.BOUNDARY, type=CellType.INT64)
    return b.tensor_fact(f"{name}.given", wire, "the test gives it")


def draw(seed: int, *shape: int, bits: int = 16) -> Cells:
    half = 1 << (bits - 1)
    return np.random.default_rng(seed).integers(-half + 1, half, shape)


@lru_cache
def gate_case() -> Case:
    """SiLU, on both sides of its table and far beyond."""
    b = Builder("gate")
    gates = [0, 1, -1, 8 * 40960, -8 * 24577, 5000, 1 << 22, -(1 << 23)]
    x = external(b, "x", 1, len(gates), Interval.signed(24))
    u = external(b, "u", 1, len(gates), Interval.signed(20))
    active = activation(b, "gate", b.value(x, x.domain), shift=3, fraction_bits=11, kind="silu")
    gated_product(b, "mlp", active, u, fraction_bits=11, kind="silu")
    return Case(b.finish(), {"x": np.array([gates]), "u": draw(1, 1, len(gates), bits=20)})


@lru_cache
def activated_case() -> Case:
    """GELU with erf, of a product with a bias."""
    b = Builder("activated")
    x, w = external(b, "x", 3, 4, Interval.signed(16)), b.weight("w", 5, 4)
    acc = biased(b, "fc", b.product_nt(x, w), b.weight("bias", 1, 5), up=9)
    activated(b, "fc", acc, shift=14, fraction_bits=11, kind="gelu_erf")
    return Case(b.finish(), {"x": draw(2, 3, 4), "w": draw(3, 5, 4), "bias": draw(4, 1, 5)})


@lru_cache
def bias_case() -> Case:
    b = Builder("bias")
    x, w = external(b, "x", 3, 4, Interval.signed(16)), b.weight("w", 5, 4)
    round_shift(b, "l", biased(b, "l", b.product_nt(x, w), b.weight("bias", 1, 5), up=7), 9)
    return Case(b.finish(), {"x": draw(5, 3, 4), "w": draw(6, 5, 4), "bias": draw(7, 1, 5)})


@lru_cache
def layer_norm_case() -> Case:
    b = Builder("norm")
    x = external(b, "x", 2, 6, Interval.signed(26))
    gain, bias = b.weight("gain", 1, 6), b.weight("bias", 1, 6)
    layer_norm(b, "n", x, gain, bias, root=40, shift=37, up=20, bits=32, eps=7)
    return Case(b.finish(), {"x": draw(8, 2, 6, bits=26), "gain": draw(9, 1, 6), "bias": draw(10, 1, 6)})


def _rows(b: Builder) -> dict[str, Rows]:
    positions, types = b.weight("positions", 4, HIDDEN), b.weight("token_types", 2, HIDDEN)
    return {"positions": Rows(positions, 1), "token_types": Rows(types, 0)}


def _embedded() -> dict[str, Cells]:
    out = {f"embedding.{p}": draw(11 + p, n, HIDDEN) for p, n in enumerate(PIECES)}
    return {**out, "positions": draw(14, 4, HIDDEN), "token_types": draw(15, 2, HIDDEN)}


@lru_cache
def embedding_case() -> Case:
    b = Builder("embedding")
    pieces = [b.weight(f"embedding.{p}", n, HIDDEN) for p, n in enumerate(PIECES)]
    embed(b, pieces, TOKENS, factor=4, shift=2, **_rows(b))
    return Case(b.finish(), _embedded())


@lru_cache
def normed_embedding_case() -> Case:
    b = Builder("embedding")
    pieces = [b.weight(f"embedding.{p}", n, HIDDEN) for p, n in enumerate(PIECES)]
    norm = b.weight("gain", 1, HIDDEN), b.weight("bias", 1, HIDDEN)
    embed_normed(b, pieces, TOKENS, *norm, factor=4, root=40, shift=37, up=20, eps=5, **_rows(b))
    return Case(b.finish(), {**_embedded(), "gain": draw(16, 1, HIDDEN), "bias": draw(17, 1, HIDDEN)})


@lru_cache
def attention_case() -> Case:
    """Without a mask."""
    b = Builder("attention")
    q, k = (external(b, name, rows, 8, Interval.signed(16)) for name, rows in (("q", 12), ("k", 6)))
    v = external(b, "v", 6, 4, Interval.signed(16))
    shape = AttentionShape(
        kv_heads=2, group_size=2, window=0, score_shift=17, rate=Fraction(1, 2048), causal=False
    )
    attention(b, q, k, v, shape)
    cells = {"q": draw(18, 12, 8), "k": draw(19, 6, 8), "v": draw(20, 6, 4)}
    cells["q"][8] = cells["k"][4] = 32767  # a score beyond 16 bits
    return Case(b.finish(), cells)


@lru_cache
def pooling_case() -> Case:
    b = Builder("pooling")
    pooled(b, boundary_in(b, "boundary.6", 5, 7))
    return Case(b.finish(), {"boundary.6": draw(21, 5, 7, bits=26)})
