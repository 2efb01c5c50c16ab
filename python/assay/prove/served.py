"""What an inference server logged of a request: for each position some ids and their logits.

A file with `ids` and `logits`, both [T, K]: .npz, .safetensors, or JSON with lists of lists.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.audit.log import LOGIT_RANGE, MOST_IDS
from assay.errors import AssayError, RequestError
from assay.storage import read_file

_CAP = 64 << 20
_NAMES = ("ids", "logits")


@dataclass(frozen=True, slots=True)
class Served:
    """Ids [T, K] and logits [T, K] as real numbers."""

    ids: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float64]

    @classmethod
    def of(cls, ids: Any, logits: Any) -> Served:
        """From arrays or lists; raises `RequestError`."""
        try:
            numbers, values = np.asarray(ids), np.asarray(logits)
        except ValueError as error:  # rows of different length
            raise _unfit(f"ids and logits are not tables: {error}") from error
        if numbers.dtype.kind not in "iu" or values.dtype.kind not in "iuf":
            raise _unfit("ids are integers, logits are numbers")
        if numbers.ndim != 2 or numbers.shape != values.shape or 0 in numbers.shape:
            raise _unfit(f"ids have the shape {numbers.shape}, logits {values.shape}; both are [T, K]")
        if numbers.shape[1] > MOST_IDS:
            raise _unfit(f"{numbers.shape[1]} ids a position, at most {MOST_IDS} are possible")
        if numbers.max() > np.iinfo(np.int64).max:
            raise _unfit("an id is outside every vocabulary")
        if not np.isfinite(values).all():
            raise _unfit("a logit is NaN or infinite")
        return cls(numbers.astype(np.int64), values.astype(np.float64))

    @classmethod
    def load(cls, path: Path) -> Served:
        """Reads a file; raises `RequestError`."""
        raw = read_file(path, _CAP, "served logits")
        values = _table(path, raw)
        if not isinstance(values, dict) or not all(name in values for name in _NAMES):
            raise _unfit(f"{path} has no `ids` and `logits`")
        return cls.of(values["ids"], values["logits"])

    def require(self, tokens: int, vocabulary: int) -> None:
        """Refuses what is not of a request of so many tokens."""
        if len(self.ids) != tokens:
            raise _unfit(f"{len(self.ids)} positions were served, the request has {tokens} tokens")
        if self.ids.min() < 0 or self.ids.max() >= vocabulary:
            raise _unfit(f"an id is outside the vocabulary of {vocabulary}")
        ordered = np.sort(self.ids, axis=1)
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            position = int((ordered[:, 1:] == ordered[:, :-1]).any(axis=1).argmax())
            raise _unfit(f"an id is repeated at position {position}")

    def quantised(self, fraction: int) -> npt.NDArray[np.int16]:
        """The logits as integers of so many fraction bits, clamped to 16 bits."""
        scaled: npt.NDArray[np.float64] = np.rint(np.ldexp(self.logits, fraction))
        return np.clip(scaled, *LOGIT_RANGE).astype(np.int16)


def _table(path: Path, raw: bytes) -> Any:
    """The named arrays of a file, by its first bytes."""
    try:
        if raw[:2] == b"PK":
            return _npz(path)
        if raw.lstrip()[:1] == b"{":
            return json.loads(raw)
        return _safetensors(path)
    except (OSError, ValueError, KeyError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise _unfit(f"{path} cannot be read: {error}") from error
    except AssayError as error:
        raise _unfit(f"{path} cannot be read: {error.message}") from error


def _npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in _NAMES if name in found}


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, TypeError) as error:  # a type that numpy does not have
        raise ValueError(str(error)) from error


def _unfit(message: str) -> RequestError:
    return RequestError("bad-served-logits", f"served logits: {message}")
