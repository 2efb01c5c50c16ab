"""In a checkout that is not installed, `assay.circuits` is the folder `circuits/` at the root."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import assay

sys.path.insert(0, str(Path(__file__).resolve().parent))
if find_spec("assay.circuits") is None:
    assay.__path__.append(str(Path(__file__).resolve().parents[2]))

from forward_road import batch, own, served
from tiny_model import other, road

__all__ = ["batch", "other", "own", "road", "served"]
