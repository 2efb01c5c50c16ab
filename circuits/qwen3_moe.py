"""Qwen3 with a mixture of experts (arXiv:2505.09388): Qwen3 with (MX.1), its shares renormalised or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.mixtral import Mixtral


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3Moe(Mixtral):
    """Mixtral's experts after Qwen3's attention."""

    covers: ClassVar[str] = "qwen3_moe"
    title: ClassVar[str] = "Qwen3-MoE"
    normed: ClassVar[bool] = True

    architecture: str = "qwen3_moe"
