"""Helpers of these tests, and those of tests/compat, are imported by name.

`assay.circuits` may be the folder `circuits/` at the root.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import assay

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "compat")]
if find_spec("assay.circuits") is None:
    assay.__path__.append(str(HERE.parents[1]))
