"""The command `assay`. Exit codes: 0 accepted or done, 1 a rejected proof, 2 whatever else came from outside, 3 a bug."""

from assay.cli.main import main

__all__ = ["main"]
