"""Mistral (arXiv:2310.06825): (LL.1-8) with a window in all layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.llama import Llama


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistral(Llama):
    """Llama in which position i sees i - sliding_window + 1 to i."""

    covers: ClassVar[str] = "mistral"
    title: ClassVar[str] = "Mistral"

    architecture: str = "mistral"
    sliding_window: int

    def window(self, layer: int) -> int | None:
        return self.sliding_window
