"""Mixtral (arXiv:2401.04088): (LL.1-6) and (LL.8), and in the place of (LL.7)

(MX.1)  y = sum of the chosen experts' outputs, weighted by the softmax of their logits       MOE
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.circuits.architecture import Operations, V
from assay.circuits.llama import Llama
from assay.circuits.moe import EXPERTS

from assay.errors import ModelError

MOST_EXPERTS, MOST_CHOSEN = 1 << 12, 1 << 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixtral(Llama):
    """Llama with a mixture of experts in the place of (LL.7).

    `intermediate_size` is an expert's. If `renormalised`, the shares of the chosen experts add up to 1.
    """

    covers: ClassVar[str] = "mixtral"
    title: ClassVar[str] = "Mixtral"

    architecture: str = "mixtral"
    num_experts: int
    num_chosen: int
    renormalised: bool

    def check(self) -> None:
        Llama.check(self)
        if not self.num_chosen <= min(self.num_experts, MOST_CHOSEN) or self.num_experts > MOST_EXPERTS:
            raise ModelError(
                "bad-config",
                f"model config: {self.num_chosen} of {self.num_experts} experts; "
                f"covered are {MOST_CHOSEN} of {MOST_EXPERTS} at most",
            )

    @property
    def routed(self) -> tuple[int, int]:
        return self.num_experts, self.num_chosen

    def feed_forward_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden, inner, experts = self.hidden_size, self.intermediate_size, self.num_experts
        return {
            f"{EXPERTS}_router": (experts, hidden),
            f"{EXPERTS}_gate": (experts * inner, hidden),
            f"{EXPERTS}_up": (experts * inner, hidden),
            f"{EXPERTS}_down": (experts * hidden, inner),
        }

    def feed_forward(self, m: Operations[V], x: V) -> V:
        h = m.rms_norm("post_attention_norm", x, self.rms_norm_eps, feeds={f"{EXPERTS}_gate": "silu"})
        return m.experts(EXPERTS, h, chosen=self.num_chosen, kind="silu", renormalised=self.renormalised)
