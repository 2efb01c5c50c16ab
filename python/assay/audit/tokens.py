"""The salted commitment to a request's tokens, which its record carries."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

SALT_BYTES = 32
_TAG = b"assay tokens 0"


def commit_tokens(tokens: Sequence[int], salt: bytes) -> bytes:
    """SHA-256(tag, salt, tokens as u32)."""
    return hashlib.sha256(_TAG + salt + struct.pack(f"<{len(tokens)}I", *tokens)).digest()
