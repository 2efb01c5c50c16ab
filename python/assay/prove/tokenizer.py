"""The tokenizer that a registered model keeps, so that `record --prompt` does not need the model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from assay.errors import StorageError
from assay.model import SourceModel
from assay.model.tokenizer import JsonTokenizer, SentencePieceTokenizer, Tokenizer

_KIND = "sentencepiece-bpe"


def tokenizer_bytes(source: SourceModel) -> bytes:
    """What `load_tokenizer` reads again."""
    tokenizer = source.tokenizer
    if isinstance(tokenizer, JsonTokenizer):
        return json.dumps(tokenizer.rules).encode()
    assert isinstance(tokenizer, SentencePieceTokenizer), "there are two kinds of tokenizers"
    fields: dict[str, Any] = {
        "kind": _KIND,
        "pieces": tokenizer.pieces,
        "scores": tokenizer.scores,
        "types": tokenizer.types,
        "bos": tokenizer.bos,
        "unknown": tokenizer.unknown,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def load_tokenizer(path: Path, digest: bytes) -> Tokenizer:
    """The tokenizer kept at a path, checked against the public file's digest."""
    try:
        raw = json.loads(path.read_bytes())
        tokenizer: Tokenizer
        if raw.get("kind") == _KIND:
            tokenizer = SentencePieceTokenizer(
                tuple(raw["pieces"]), tuple(raw["scores"]), tuple(raw["types"]), raw["bos"], raw["unknown"]
            )
        else:
            tokenizer = JsonTokenizer(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError("damaged-registration", f"cannot read {path}: {error}") from error
    if tokenizer.digest != digest.hex():
        raise StorageError("damaged-registration", f"{path} is not the tokenizer that was registered")
    return tokenizer
