"""What all sides prove: a linear layer, a small decoder layer in the manner of Llama, GPT-2; random
weights."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

EPS = 1e-5
THETA = 1e4
MASKED = -8.0  # of scores: far enough below those of random weights, within every calibrated range


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """Sizes of a decoder layer."""

    hidden: int = 32
    heads: int = 2
    inner: int = 128
    tokens: int = 8

    @property
    def head_dim(self) -> int:
        """Columns of a head."""
        return self.hidden // self.heads


class Norm(nn.Module):
    """RMS norm."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size).uniform_(0.5, 1.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS) * self.weight


class DecoderLayer(nn.Module):
    """RMS norms, RoPE, causal attention, SwiGLU: as `assay.circuits.llama`, in plain operations."""

    cos: torch.Tensor
    sin: torch.Tensor
    mask: torch.Tensor

    def __init__(self, sizes: Decoder) -> None:
        super().__init__()
        hidden, inner = sizes.hidden, sizes.inner
        self.sizes = sizes
        self.input_norm, self.post_norm = Norm(hidden), Norm(hidden)
        self.q, self.k, self.v, self.o = (nn.Linear(hidden, hidden, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(hidden, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, hidden, bias=False)
        half = torch.arange(sizes.head_dim // 2) * 2 / sizes.head_dim
        angles = torch.outer(torch.arange(sizes.tokens).float(), THETA**-half).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        self.register_buffer("mask", torch.full((sizes.tokens, sizes.tokens), MASKED).triu(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.input_norm(x)
        q, k, v = (
            self._turned(self._heads(self.q(h))),
            self._turned(self._heads(self.k(h))),
            self._heads(self.v(h)),
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.sizes.head_dim) + self.mask
        o = scores.softmax(-1) @ v
        x = x + self.o(o.transpose(-2, -3).reshape(x.shape))
        h = self.post_norm(x)
        gate = self.gate(h)
        y: torch.Tensor = x + self.down(gate * torch.sigmoid(gate) * self.up(h))
        return y

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(self.sizes.tokens, self.sizes.heads, self.sizes.head_dim).transpose(0, 1)

    def _turned(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x[..., : self.sizes.head_dim // 2], x[..., self.sizes.head_dim // 2 :]
        return x * self.cos + torch.cat((-right, left), -1) * self.sin


def linear(inputs: int, outputs: int, tokens: int) -> tuple[nn.Linear, torch.Tensor]:
    """A linear layer with its input."""
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=False), torch.randn(tokens, inputs)


def decoder(sizes: Decoder) -> tuple[nn.Module, torch.Tensor]:
    """A decoder layer with its input."""
    torch.manual_seed(0)
    return DecoderLayer(sizes), torch.randn(sizes.tokens, sizes.hidden)


def write_llama(folder: Path) -> int:
    """A Llama of one layer of the decoder's sizes, saved to a folder; how many parameters it has."""
    sizes = Decoder()
    config = transformers.LlamaConfig(
        vocab_size=128,
        hidden_size=sizes.hidden,
        intermediate_size=sizes.inner,
        num_hidden_layers=1,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.heads,
        head_dim=sizes.head_dim,
        max_position_embeddings=256,
        rms_norm_eps=EPS,
        tie_word_embeddings=True,
    )
    return _write(transformers.LlamaForCausalLM(config), folder, spread=sizes.hidden**-0.5)


def write_gpt2(folder: Path) -> int:
    """GPT-2 small, 124 million parameters in 12 layers, with random weights."""
    return _write(transformers.GPT2LMHeadModel(transformers.GPT2Config()), folder, spread=0.04)


def _write(model: Any, folder: Path, *, spread: float) -> int:
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name and "ln_" not in name:
                weight.normal_(0.0, spread)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    return sum(weight.numel() for weight in model.parameters())


_EMPTY = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
_WORDS = {"<unk>": 0, **{chr(0x21 + i): 1 + i for i in range(94)}}
TOKENIZER: dict[str, Any] = {
    **_EMPTY,
    "added_tokens": [],
    "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": _WORDS, "unk_token": "<unk>"},
}
"""One token a printable character: calibration needs some text, whatever the weights are."""
