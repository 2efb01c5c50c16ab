"""A model that a command is given by name: a registered one, a config.json or its folder, or a model file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from assay.circuits.architecture import Architecture
from assay.circuits.catalogue import config_of
from assay.circuits.scales import ModelScales
from assay.profiles import DEFAULT, Code, Profile, profile_named

EXAMPLE = "gemma3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A model without its weights; `scales` are None where nobody has calibrated it."""

    what: str
    config: Architecture
    scales: ModelScales | None
    profile: Profile
    code: Code


def named(name: str) -> Named:
    """By a path, or Gemma 3 270M as an example."""
    if name == EXAMPLE:
        example = json.loads((files("assay.cli") / "gemma3_270m.json").read_text())
        scales = ModelScales.from_dict(example["scales"])
        what = "the sizes and scales of Gemma 3 270M"
        return _unregistered(what, config_of(example["config"]), scales)
    path = Path(name)
    public = path / "public.assay" if path.is_dir() else path
    if public.suffix == ".assay" and public.is_file():
        from assay.public import PublicModel

        model = PublicModel.load(public)
        return Named(
            what=name,
            config=config_of(model.config),
            scales=model.scales,
            profile=model.profile,
            code=model.code,
        )
    from assay.model import load_config

    return _unregistered(f"{name}, scales of ordinary magnitudes", load_config(path), None)


def _unregistered(what: str, config: Architecture, scales: ModelScales | None) -> Named:
    profile = profile_named(DEFAULT)
    return Named(what=what, config=config, scales=scales, profile=profile, code=profile.code)
