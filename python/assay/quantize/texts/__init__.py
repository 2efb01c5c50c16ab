"""Texts shipped with the package: scales are fitted on `calibration`, errors measured on `heldout`."""

from __future__ import annotations

from importlib.resources import files

_SEPARATOR = "\n%%\n"


def calibration() -> list[str]:
    """Short texts of many kinds (prose, code, proof, list, German, dialogue, JSON) to fit scales on."""
    return _read("calibration.txt")


def heldout() -> list[str]:
    """Texts of the same kinds that no scale was fitted on."""
    return _read("heldout.txt")


def _read(name: str) -> list[str]:
    text = (files(__package__) / name).read_text(encoding="utf-8")
    return text.strip("\n").split(_SEPARATOR)
