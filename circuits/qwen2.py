"""Qwen2 (arXiv:2407.10671): (LL.1-8) with biases in (LL.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.llama import Llama


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen2(Llama):
    """Llama with biases of queries, keys and values."""

    covers: ClassVar[str] = "qwen2"
    title: ClassVar[str] = "Qwen2"
    biased: ClassVar[bool] = True

    architecture: str = "qwen2"
