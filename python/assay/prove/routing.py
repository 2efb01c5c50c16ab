"""Which experts of a mixture ran: what a provider says of a request, and the exact model is forced to do.

A file .npy of integers [layers, T, K]: the experts of each token, in any order. REQ/private/routing.ids has
them as int32.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.circuits.catalogue import config_of
from assay.circuits.moe import MARKS
from assay.errors import RequestError
from assay.public import PublicModel
from assay.storage import read_file

_CAP = 256 << 20


@dataclass(frozen=True, slots=True)
class Routing:
    """Experts [layers, T, K]."""

    ids: npt.NDArray[np.int32]

    @classmethod
    def of(cls, ids: Any) -> Routing:
        """From an array or lists; raises `RequestError`."""
        try:
            numbers = np.asarray(ids)
        except ValueError as error:  # rows of different length
            raise _unfit(f"the ids are not a table: {error}") from error
        if numbers.dtype.kind not in "iu" or numbers.ndim != 3 or 0 in numbers.shape:
            raise _unfit(
                f"{numbers.dtype} of the shape {numbers.shape}; it is integers [layers, tokens, experts]"
            )
        if numbers.min() < 0 or numbers.max() > np.iinfo(np.int32).max:
            raise _unfit("an id is outside every model's experts")
        return cls(numbers.astype("<i4"))

    @classmethod
    def load(cls, path: Path) -> Routing:
        """Reads a file; raises `RequestError`."""
        raw = read_file(path, _CAP, "routing")
        try:
            found = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
        except (ValueError, OverflowError, MemoryError, EOFError) as error:
            raise _unfit(f"{path} is no .npy file of numbers: {error}") from error
        return cls.of(found)

    @classmethod
    def stored(cls, path: Path, digest: bytes, public: PublicModel, tokens: int) -> Routing:
        """What `encoded` wrote for a request of this model; raises `RequestError`."""
        _, chosen = _routed(public)
        raw = read_file(path, _CAP, "routing of the record")
        if hashlib.sha256(raw).digest() != digest or len(raw) != 4 * public.num_layers * tokens * chosen:
            raise _unfit(f"{path} is not what was recorded")
        routing = cls(np.frombuffer(raw, "<i4").reshape(public.num_layers, tokens, chosen))
        routing.require(public, tokens)
        return routing

    def require(self, public: PublicModel, tokens: int) -> None:
        """Refuses what is no choice of this model's experts for so many tokens."""
        experts, chosen = _routed(public)
        expected = (public.num_layers, tokens, chosen)
        if self.ids.shape != expected:
            raise _unfit(f"its shape is {self.ids.shape}; here [layers, tokens, experts] is {expected}")
        if self.ids.min() < 0 or self.ids.max() >= experts:
            raise _unfit(f"an id is outside the {experts} experts of a layer")
        ordered = np.sort(self.ids, axis=2)
        repeated = (ordered[:, :, 1:] == ordered[:, :, :-1]).any(axis=2)
        if repeated.any():
            layer, token = np.argwhere(repeated)[0]
            raise _unfit(f"an expert is repeated in layer {layer} at position {token}")

    def choices(self, layer: int) -> dict[str, list[int]]:
        """A layer's, as the witness program takes them: seat after seat (MOE.2)."""
        return {MARKS: self.ids[layer].T.reshape(-1).tolist()}

    @property
    def encoded(self) -> bytes:
        """The file in the private part of a record."""
        return self.ids.astype("<i4").tobytes()

    @property
    def digest(self) -> bytes:
        """SHA-256 of it."""
        return hashlib.sha256(self.encoded).digest()


def _routed(public: PublicModel) -> tuple[int, int]:
    """Experts of a layer, and how many of them a token has."""
    routed = config_of(public.config).routed
    if routed is None:
        raise _unfit("the model has no experts to choose", hint="leave it out")
    return routed


def _unfit(message: str, hint: str | None = None) -> RequestError:
    return RequestError("bad-routing", f"routing: {message}", hint=hint)
