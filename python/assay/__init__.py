"""Prove that a committed language model produced an output, and check the proof without the model.

    import assay

    model = assay.load("gemma3.gguf")           # needs the extra `demo`
    verified = assay.verify(proof, public=public, challenge=challenge)

Both names are loaded on first use, so that importing this package imports neither torch nor the extension.
"""

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.model import load as load
    from assay.verify import verify as verify

__all__ = ["__version__", "load", "verify"]

__version__ = _version("assay")

_HOME = {"load": "assay.model", "verify": "assay.verify"}


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
