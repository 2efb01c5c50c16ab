"""Qwen3 (arXiv:2505.09388): (LL.1-8) with norms in (LL.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.llama import Llama


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3(Llama):
    """Llama with norms of queries and keys."""

    covers: ClassVar[str] = "qwen3"
    title: ClassVar[str] = "Qwen3"
    normed: ClassVar[bool] = True

    architecture: str = "qwen3"
