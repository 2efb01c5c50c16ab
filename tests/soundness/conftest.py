"""In a checkout that is not installed, `assay.circuits` is the folder `circuits/` at the root."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import assay

if find_spec("assay.circuits") is None:
    assay.__path__.append(str(Path(__file__).resolve().parents[2]))
