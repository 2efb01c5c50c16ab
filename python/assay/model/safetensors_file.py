"""One safetensors file: eight bytes of header length, a JSON header, raw little-endian tensors.

Parsed here because the reference reader takes a name that occurs twice without complaint, and gives no
bfloat16 to numpy. Format: github.com/huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import ModelError
from assay.model.source import FloatArray

_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Shape, type and byte offset in the file."""

    shape: tuple[int, ...]
    dtype: str
    offset: int


class SafetensorsFile:
    """A parsed header; tensors are read by slices of rows. Of one that is ignored only the place counts."""

    def __init__(self, path: Path, ignores: Callable[[str], bool] = lambda name: False) -> None:
        self.path, self._ignores = path, ignores
        self.tensors: dict[str, StoredTensor] = {}
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _LARGEST_HEADER):
                raise self._malformed("the header is longer than the file")
            header = load_json(file.read(length), str(path))
        header.pop("__metadata__", None)
        spans = [self._place(name, entry, 8 + length) for name, entry in header.items()]
        end = 8 + length
        for start, stop in sorted(spans):
            if start != end:
                raise self._malformed("tensors overlap or leave a gap")
            end = stop
        if end != size:
            raise self._malformed(f"the header describes {end} bytes, the file has {size}")

    def rows(self, name: str, start: int, stop: int) -> FloatArray:
        """Rows `start` to `stop` of a tensor as float32."""
        tensor = self.tensors[name]
        row = math.prod(tensor.shape[1:])
        item = _ITEM_BYTES[tensor.dtype]
        raw = np.fromfile(
            self.path, np.uint8, (stop - start) * row * item, offset=tensor.offset + start * row * item
        )
        if raw.size != (stop - start) * row * item:
            raise self._malformed("the file has become shorter since it was opened")
        if tensor.dtype == "BF16":
            values = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = raw.view("<f4" if tensor.dtype == "F32" else "<f2").astype(np.float32)
        return values.reshape(stop - start, *tensor.shape[1:])

    def _place(self, name: str, entry: Any, data_start: int) -> tuple[int, int]:
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            numbers = [*shape, begin, end]
        except (TypeError, KeyError, ValueError) as error:
            raise self._malformed(f"the entry of {name!r} lacks a type, shape or place") from error
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise self._malformed(f"the entry of {name!r} holds something other than sizes")
        if self._ignores(name) and begin <= end:
            return data_start + begin, data_start + end
        if dtype not in _ITEM_BYTES:
            raise ModelError(
                "unsupported-quantization",
                f"{self.path}: tensor {name!r} is stored as {dtype}, which is not covered",
                hint="covered: F32, F16, BF16",
            )
        if end - begin != math.prod(shape) * _ITEM_BYTES[dtype]:
            raise self._malformed(f"the size of {name!r} does not follow from its shape")
        self.tensors[name] = StoredTensor(tuple(shape), dtype, data_start + begin)
        return data_start + begin, data_start + end

    def _malformed(self, message: str) -> ModelError:
        return ModelError(
            "malformed-safetensors",
            f"{self.path}: {message}",
            hint="the download or copy may be incomplete; get the file again",
        )


def load_json(raw: bytes, where: str) -> dict[str, Any]:
    """A JSON object in which no name occurs twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in pairs:
            if name in values:
                raise ModelError("duplicate-tensor", f"{where}: {name!r} occurs twice")
            values[name] = value
        return values

    try:
        value = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ModelError("malformed-json", f"{where}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelError("malformed-json", f"{where}: not a JSON object")
    return value
