"""A float model as it lies on disk: its config, its tensors one at a time, its tokenizer, its digests."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from assay.circuits.architecture import Architecture
from assay.errors import ModelError, RequestError
from assay.model.tokenizer import Tokenizer

FloatArray = npt.NDArray[np.float32]


class SourceModel(ABC):
    """A model file or folder, read lazily under canonical names (see `Architecture.tensor_shapes`).

    Projections are [out, in]; norm weights are the effective gain, whatever the file stores. A subclass
    checks names and shapes when it opens the file; values are checked when read, since that is when they are
    decoded.
    """

    def __init__(self, path: Path, config: Architecture) -> None:
        self.path: Path = path
        self.config: Architecture = config
        self._shapes = config.tensor_shapes()

    @abstractmethod
    def _read(self, name: str, start: int, stop: int) -> FloatArray:
        """Rows `start` to `stop` of the tensor with this canonical name, decoded to float32, unchecked."""

    @abstractmethod
    def _load_tokenizer(self) -> Tokenizer: ...

    @abstractmethod
    def _digest_parts(self) -> list[tuple[str, Path]]:
        """The files that make up the model, by name within it."""

    def tensor_names(self) -> tuple[str, ...]:
        """All canonical names, in canonical order: embedding, the layers in turn, final_norm."""
        return tuple(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        if name not in self._shapes:
            raise ModelError("unknown-tensor", f"the model has no tensor {name!r}")
        return self._shapes[name]

    def tensor(self, name: str) -> FloatArray:
        """The whole tensor as float32, read and decoded anew at each call."""
        return self.rows(name, 0, self.shape(name)[0])

    def rows(self, name: str, start: int, stop: int) -> FloatArray:
        """Rows `start` to `stop` of a tensor as float32 (elements, of a vector): a slab of a large one."""
        if not 0 <= start <= stop <= self.shape(name)[0]:
            raise ModelError("bad-shape", f"{name}: no rows {start} to {stop} in shape {self.shape(name)}")
        values = np.ascontiguousarray(self._read(name, start, stop), dtype=np.float32)
        if not np.isfinite(values).all():
            raise ModelError(
                "non-finite-weights",
                f"{self.path}: tensor {name} holds NaN or infinity",
                hint="the file is damaged, or was converted through a type that overflowed; get it again",
            )
        return values

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's own tokenizer, built on first use."""
        return self._load_tokenizer()

    @property
    def tokenizer_digest(self) -> str:
        """SHA-256 (hex) over a canonical serialisation of the vocabulary and its rules."""
        return self.tokenizer.digest

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, with the beginning token if the model wants one."""
        ids = self.tokenizer.encode(text)
        if len(ids) > self.config.max_position:
            raise RequestError(
                "prompt-too-long",
                f"the prompt has {len(ids)} tokens, the context {self.config.max_position}",
                hint="shorten the prompt",
            )
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, control tokens left out."""
        check_tokens(ids, self.config.vocab_size)
        return self.tokenizer.decode(ids)

    @cached_property
    def source_digest(self) -> str:
        """SHA-256 (hex) of the file; of a folder, over the JSON list of its files' names and digests."""
        parts = [(name, sha256_of_file(path)) for name, path in self._digest_parts()]
        if len(parts) == 1:
            return parts[0][1]
        return hashlib.sha256(json.dumps(sorted(parts), separators=(",", ":")).encode()).hexdigest()


def check_tokens(ids: Iterable[int], vocab_size: int) -> None:
    """Raises `RequestError` unless every id is in the vocabulary."""
    for token in ids:
        if not 0 <= token < vocab_size:
            raise RequestError(
                "token-out-of-range", f"token {token} is outside the vocabulary of {vocab_size}"
            )


def sha256_of_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
