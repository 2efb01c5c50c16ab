"""The architectures that are covered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from assay.circuits.architecture import Architecture
from assay.circuits.bert import Bert
from assay.circuits.gemma3 import Gemma3
from assay.circuits.gpt2 import GPT2
from assay.circuits.llama import Llama
from assay.circuits.llama3 import Llama3
from assay.circuits.mistral import Mistral
from assay.circuits.mixtral import Mixtral
from assay.circuits.olmo2 import Olmo2
from assay.circuits.qwen2 import Qwen2
from assay.circuits.qwen3 import Qwen3
from assay.circuits.qwen3_moe import Qwen3Moe

from assay.errors import ModelError

Configured: TypeAlias = Architecture | Mapping[str, Any]

ARCHITECTURES: Mapping[str, type[Architecture]] = {
    kind.covers: kind
    for kind in (Bert, Gemma3, GPT2, Llama, Llama3, Mistral, Mixtral, Olmo2, Qwen2, Qwen3, Qwen3Moe)
}


def config_of(raw: Configured) -> Architecture:
    """A configuration from its dictionary; raises `ModelError` if no architecture has it."""
    if isinstance(raw, Architecture):
        return raw
    name = raw.get("architecture")
    kind = ARCHITECTURES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise not_covered(f"architecture {name!r}")
    return kind.from_dict(raw)


def not_covered(what: str) -> ModelError:
    """The error of an architecture that no circuit covers."""
    return ModelError(
        "unknown-architecture", f"{what} is not covered", hint=f"covered: {', '.join(ARCHITECTURES)}"
    )
