"""Helpers of these tests are imported by name; `assay.circuits` may be the folder `circuits/` at the root."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import assay

sys.path.insert(0, str(Path(__file__).resolve().parent))
if find_spec("assay.circuits") is None:
    assay.__path__.append(str(Path(__file__).resolve().parents[2]))
