"""The two tokenizers that models carry: a SentencePiece vocabulary (GGUF), a `tokenizer.json` (folders)."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from assay.errors import ModelError

_SPACE = "\u2581"  # SentencePiece's visible space


class Tokenizer(Protocol):
    """Text to token ids and back; `digest` is SHA-256 (hex) over all that the mapping depends on."""

    @property
    def digest(self) -> str: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


class PieceType(IntEnum):
    """Kinds of SentencePiece entries, as numbered in its `ModelProto` and in GGUF."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class SentencePieceTokenizer:
    """Byte-pair encoding by SentencePiece's rule [KR18, arXiv:1808.06226].

    Of all adjacent pairs that join to a known piece, the one of the highest score is joined, the leftmost of
    equals, until none is left.

    Control and user-defined pieces are cut out of the text first, longest match at the leftmost place;
    characters without a piece fall back to the pieces of their UTF-8 bytes.
    """

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    types: tuple[int, ...]
    bos: int | None
    unknown: int

    @cached_property
    def _ids(self) -> dict[str, int]:
        """Pieces that text can be joined to."""
        kinds = enumerate(zip(self.pieces, self.types, strict=True))
        return {piece: i for i, (piece, kind) in kinds if kind == PieceType.NORMAL}

    @cached_property
    def _fixed(self) -> dict[str, int]:
        """Pieces that are cut out of the text before anything is joined."""
        wanted = (PieceType.CONTROL, PieceType.USER_DEFINED)
        kinds = enumerate(zip(self.pieces, self.types, strict=True))
        return {piece.replace(_SPACE, " "): i for i, (piece, kind) in kinds if kind in wanted and piece}

    @cached_property
    def _fixed_lengths(self) -> dict[str, list[int]]:
        """By first character, the lengths that cut-out pieces have, longest first."""
        lengths: dict[str, set[int]] = {}
        for piece in self._fixed:
            lengths.setdefault(piece[0], set()).add(len(piece))
        return {first: sorted(found, reverse=True) for first, found in lengths.items()}

    @cached_property
    def _bytes(self) -> dict[int, int]:
        """Byte value to the id of its piece, spelled <0x00> to <0xFF>."""
        kinds = enumerate(zip(self.pieces, self.types, strict=True))
        return {int(piece[3:5], 16): i for i, (piece, kind) in kinds if kind == PieceType.BYTE}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of all fields."""
        return _json_digest(
            {
                "kind": "sentencepiece-bpe",
                "pieces": self.pieces,
                "scores": self.scores,
                "types": self.types,
                "bos": self.bos,
                "unknown": self.unknown,
            }
        )

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, after the beginning token if there is one."""
        ids = [] if self.bos is None else [self.bos]
        for fragment in self._fragments(text):
            if isinstance(fragment, int):
                ids.append(fragment)
            else:
                for symbol in self._join(fragment.replace(" ", _SPACE)):
                    ids.extend(self._symbol_ids(symbol))
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, control tokens left out; bytes that are no UTF-8 become U+FFFD."""
        spelled = bytearray()
        byte_of = {token: byte for byte, token in self._bytes.items()}
        for token in ids:
            if token in byte_of:
                spelled.append(byte_of[token])
            elif self.types[token] != PieceType.CONTROL:
                spelled += self.pieces[token].replace(_SPACE, " ").encode()
        return spelled.decode(errors="replace")

    def _fragments(self, text: str) -> Iterator[str | int]:
        """The text in order: ids of cut-out pieces, and the stretches between them."""
        start = position = 0
        while position < len(text):
            token, length = self._fixed_at(text, position)
            if token is None:
                position += 1
                continue
            if start < position:
                yield text[start:position]
            yield token
            start = position = position + length
        if start < len(text):
            yield text[start:]

    def _fixed_at(self, text: str, position: int) -> tuple[int | None, int]:
        for length in self._fixed_lengths.get(text[position], ()):
            token = self._fixed.get(text[position : position + length])
            if token is not None:
                return token, length
        return None, 0

    def _join(self, text: str) -> list[str]:
        """The text cut into pieces: a heap of joinable neighbours over a linked list of symbols."""
        symbols = list(text)
        following = [*range(1, len(symbols)), -1]
        previous = list(range(-1, len(symbols) - 1))
        heap: list[tuple[float, int, int, str]] = []

        def offer(left: int, right: int) -> None:
            if left >= 0 and right >= 0:
                joined = symbols[left] + symbols[right]
                token = self._ids.get(joined)
                if token is not None:
                    heapq.heappush(heap, (-self.scores[token], left, right, joined))

        for left in range(len(symbols) - 1):
            offer(left, left + 1)
        while heap:
            _, left, right, joined = heapq.heappop(heap)
            if not symbols[right] or following[left] != right or symbols[left] + symbols[right] != joined:
                continue  # one of the two was joined to another in the meantime
            symbols[left], symbols[right] = joined, ""
            following[left] = following[right]
            if following[left] >= 0:
                previous[following[left]] = left
            offer(previous[left], left)
            offer(left, following[left])
        return [symbol for symbol in symbols if symbol]

    def _symbol_ids(self, symbol: str) -> list[int]:
        if symbol in self._ids:
            return [self._ids[symbol]]
        return [self._bytes.get(byte, self.unknown) for byte in symbol.encode(errors="replace")]


class JsonTokenizer:
    """A `tokenizer.json` run by the `tokenizers` library; its digest leaves out truncation and padding."""

    def __init__(self, path: Path) -> None:
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError("bad-tokenizer", f"{path} is not a tokenizer: {error}") from error
        self._load(raw, str(path))

    @classmethod
    def of_rules(cls, rules: dict[str, Any]) -> JsonTokenizer:
        """From the file's content."""
        tokenizer = cls.__new__(cls)
        tokenizer._load(rules, "the model's vocabulary")
        return tokenizer

    def _load(self, raw: dict[str, Any], where: str) -> None:
        try:
            from tokenizers import Tokenizer as Backend

            self._backend: Any = Backend.from_str(json.dumps({**raw, "truncation": None, "padding": None}))
        except ImportError as error:
            raise ModelError(
                "missing-package",
                "the package `tokenizers` is not installed",
                hint="pip install 'assay[demo]'",
            ) from error
        except Exception as error:  # the backend raises bare Exception on a file that it does not understand
            raise ModelError("bad-tokenizer", f"{where} is not a tokenizer: {error}") from error
        self.rules: dict[str, Any] = {k: v for k, v in raw.items() if k not in ("truncation", "padding")}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of the file's rules."""
        return _json_digest({"kind": "tokenizer.json", "rules": self.rules})

    def encode(self, text: str) -> list[int]:
        return [int(token) for token in self._backend.encode(text).ids]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._backend.decode(list(ids), skip_special_tokens=True))


def _json_digest(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
