"""Float models from disk: `load` gives a `SourceModel`, which quantisation and the float reference read."""

from __future__ import annotations

import os
from pathlib import Path

from assay.errors import ModelError
from assay.model import demo
from assay.model.config import Gemma3Config
from assay.model.gguf import GgufModel
from assay.model.gguf_file import MAGIC
from assay.model.huggingface import HuggingFaceModel
from assay.model.source import SourceModel

__all__ = ["Gemma3Config", "SourceModel", "load"]


def load(path: str | os.PathLike[str] | None = None) -> SourceModel:
    """Opens a GGUF file or a Hugging Face folder; None or "gemma3-270m": the model of the `demo` extra.

    Reads headers only. Raises `ModelError` for anything missing, damaged or not covered.
    """
    place = demo.find() if path is None or path == demo.NAME else Path(path)
    try:
        if place.is_dir():
            return HuggingFaceModel(place)
        if not place.exists():
            raise ModelError(
                "model-not-found",
                f"there is no model at {place}",
                hint=f"give a .gguf file or a folder, or {demo.NAME!r} after {demo.INSTALL}",
            )
        with place.open("rb") as file:
            magic = file.read(len(MAGIC))
        if magic != MAGIC:
            raise ModelError(
                "unknown-model-format",
                f"{place} is neither a GGUF file nor a Hugging Face folder",
                hint="for safetensors, give the folder that holds config.json",
            )
        return GgufModel(place)
    except OSError as error:
        raise ModelError("unreadable-model", f"cannot read {place}: {error.strerror or error}") from error
