"""The command `assay`. Exit codes: 0 accepted or done, 1 a rejected proof, 2 bad input otherwise, 3 a bug."""

from assay.cli.main import main

__all__ = ["main"]
