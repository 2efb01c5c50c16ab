"""Llama 3.1 to 3.3 (arXiv:2407.21783): Llama with slow rotations slowed down (ROPE), for longer contexts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.fixed_point import Stretch
from assay.circuits.llama import Llama

from assay.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama3(Llama):
    """Llama whose rotations are stretched by `rope_factor`, between `rope_low` and `rope_high` turns."""

    covers: ClassVar[str] = "llama3"
    title: ClassVar[str] = "Llama 3.1"

    architecture: str = "llama3"
    rope_factor: float
    rope_low: float
    rope_high: float
    rope_original: int

    def check(self) -> None:
        Llama.check(self)
        if self.rope_factor < 1 or self.rope_low >= self.rope_high:
            raise ModelError(
                "bad-config",
                f"model config: rotations {self.rope_factor} times slower, interpolated between "
                f"{self.rope_low} and {self.rope_high} turns",
            )

    @property
    def stretch(self) -> Stretch:
        return Stretch(self.rope_factor, self.rope_low, self.rope_high, self.rope_original)
