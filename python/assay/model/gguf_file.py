"""One GGUF file: a header of typed metadata and tensor places, and the tensors' blocks behind it.

The header is parsed here, every length checked against the file's size before it is used; blocks are decoded
by the `gguf` package. Layout: the GGUF specification of ggml (docs/gguf.md), versions 2 and 3.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import ModelError
from assay.model.source import FloatArray

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

# Block formats whose decoder in the `gguf` package is covered.
# fmt: off
_QUANTIZATIONS = frozenset({
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """Where a tensor lies: shape with rows first, block format, byte offset in the file, bytes per row."""

    shape: tuple[int, ...]
    quantization: int
    offset: int
    row_bytes: int


class GgufFile:
    """A parsed header and the mapped file behind it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            if file.read(4) != MAGIC:
                raise ModelError("malformed-gguf", f"{path} is not a GGUF file")
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._position = 4
        self.metadata: dict[str, Any] = {}
        self.tensors: dict[str, GgufTensor] = {}
        self._parse()

    def rows(self, name: str, start: int, stop: int) -> FloatArray:
        """Rows `start` to `stop` of a tensor, decoded to float32."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        tensor = self.tensors[name]
        begin = tensor.offset + start * tensor.row_bytes
        raw = np.frombuffer(self._bytes, np.uint8, (stop - start) * tensor.row_bytes, begin)
        kind = GGMLQuantizationType(tensor.quantization)
        if kind == GGMLQuantizationType.F32:
            values = raw.view(np.float32).copy()
        elif kind == GGMLQuantizationType.F16:
            values = raw.view(np.float16).astype(np.float32)
        else:
            values = dequantize(raw.reshape(stop - start, tensor.row_bytes), kind)
        return values.reshape(stop - start, *tensor.shape[1:])

    def _parse(self) -> None:
        (version,) = self._unpack("I")
        if version not in _VERSIONS:
            raise self._malformed(f"version {version} is not covered (2 and 3 are)")
        tensor_count, key_count = self._unpack("QQ")
        for _ in range(key_count):
            key = self._string()
            if key in self.metadata:
                raise self._malformed(f"key {key!r} occurs twice")
            (kind,) = self._unpack("I")
            self.metadata[key] = self._value(kind)
        headers = [self._tensor_header() for _ in range(tensor_count)]
        alignment = self.metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise self._malformed(f"alignment {alignment!r} is not a power of two")
        data_start = -(-self._position // alignment) * alignment
        for name, shape, quantization, offset in headers:
            if name in self.tensors:
                raise ModelError("duplicate-tensor", f"{self.path}: tensor {name!r} occurs twice")
            self.tensors[name] = self._place(name, shape, quantization, data_start + offset)

    def _place(self, name: str, shape: tuple[int, ...], quantization: int, offset: int) -> GgufTensor:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        kinds = {kind.value: kind for kind in GGMLQuantizationType}
        kind = kinds.get(quantization)
        if kind is None or kind.name not in _QUANTIZATIONS:
            spelled = quantization if kind is None else kind.name
            raise ModelError(
                "unsupported-quantization",
                f"{self.path}: tensor {name!r} has the quantisation type {spelled}, which is not covered",
                hint=f"covered: {', '.join(sorted(_QUANTIZATIONS))}",
            )
        block, block_bytes = GGML_QUANT_SIZES[kind]
        if not shape or 0 in shape or shape[-1] % block:
            raise self._malformed(f"tensor {name!r} of shape {shape} is not made of {kind.name} blocks")
        # A vector is a column of rows of one element, so that it can be sliced; vectors are never in blocks.
        per_row = math.prod(shape[1:]) if len(shape) > 1 or block == 1 else 0
        if not per_row:
            raise self._malformed(f"vector {name!r} is stored as {kind.name}")
        row_bytes = per_row // block * block_bytes
        if offset + shape[0] * row_bytes > len(self._bytes):
            raise self._truncated()
        return GgufTensor(shape, quantization, offset, row_bytes)

    def _tensor_header(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        (dimensions,) = self._unpack("I")
        if not 1 <= dimensions <= 4:
            raise self._malformed(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(reversed(self._unpack("Q" * dimensions)))  # GGUF writes the innermost first
        quantization, offset = self._unpack("IQ")
        return name, shape, quantization, offset

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            item, count = self._unpack("IQ")
            if item == _STRING:
                return list(self._strings(count))
            if item not in _SCALARS:
                raise self._malformed(f"array of value type {item}")
            self._require(count * struct.calcsize(_SCALARS[item]))
            return list(self._unpack(f"{count}{_SCALARS[item]}"))
        if kind not in _SCALARS:
            raise self._malformed(f"value type {kind}")
        return self._unpack(_SCALARS[kind])[0]

    def _strings(self, count: int) -> Iterator[str]:
        self._require(8 * count)
        for _ in range(count):
            yield self._string()

    def _string(self) -> str:
        (length,) = self._unpack("Q")
        self._require(length)
        raw = self._bytes[self._position : self._position + length]
        self._position += length
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self._malformed("a string is not UTF-8") from error

    def _unpack(self, layout: str) -> tuple[Any, ...]:
        layout = "<" + layout
        self._require(struct.calcsize(layout))
        values = struct.unpack_from(layout, self._bytes, self._position)
        self._position += struct.calcsize(layout)
        return values

    def _require(self, count: int) -> None:
        if self._position + count > len(self._bytes):
            raise self._truncated()

    def _truncated(self) -> ModelError:
        return ModelError(
            "truncated-gguf",
            f"{self.path} ends before its header says ({len(self._bytes)} bytes)",
            hint="the download or copy is incomplete; get the file again",
        )

    def _malformed(self, message: str) -> ModelError:
        return ModelError("malformed-gguf", f"{self.path}: {message}")
