"""Which experts of a mixture ran: what a provider says of a request, and the exact model is forced to do.

A file .npy of integers [layers, T, K]: the experts of each token, in any order. REQ/private/routing.ids has
them as int32; their record commits to them as seats, S of (MOE.2).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.audit.routing import (
    CAP,
    OpenedRouting,
    opened_routing,
    read_routing,
    routing_root,
    routing_table,
    unfit_routing,
)
from assay.layout import Slot, routing_name
from assay.public import PublicModel
from assay.storage import read_file


@dataclass(frozen=True, slots=True)
class Routing:
    """Experts [layers, T, K]."""

    ids: npt.NDArray[np.int32]

    @classmethod
    def of(cls, ids: Any) -> Routing:
        """From an array or lists; raises `RequestError`."""
        return cls(routing_table(ids))

    @classmethod
    def load(cls, path: Path) -> Routing:
        """Reads a file; raises `RequestError`."""
        return cls(read_routing(read_file(path, CAP, "routing"), str(path)))

    @classmethod
    def seated(cls, seats: Sequence[npt.NDArray[np.int16]], tokens: int) -> Routing:
        """Of the seats of each layer."""
        ids = np.stack([cells.argmax(axis=1) for cells in seats])
        return cls(ids.reshape(len(seats), -1, tokens).transpose(0, 2, 1).astype("<i4"))

    @classmethod
    def stored(cls, path: Path, digest: bytes, public: PublicModel, tokens: int) -> Routing:
        """What `encoded` wrote for a request of this model; raises `RequestError`."""
        _, chosen = require_experts(public)
        raw = read_file(path, CAP, "routing of the record")
        if hashlib.sha256(raw).digest() != digest or len(raw) != 4 * public.num_layers * tokens * chosen:
            raise unfit_routing(f"{path} is not what was recorded")
        routing = cls(np.frombuffer(raw, "<i4").reshape(public.num_layers, tokens, chosen))
        routing.require(public, tokens)
        return routing

    def require(self, public: PublicModel, tokens: int) -> None:
        """Refuses what is no choice of this model's experts for so many tokens."""
        experts, chosen = require_experts(public)
        expected = (public.num_layers, tokens, chosen)
        if self.ids.shape != expected:
            raise unfit_routing(
                f"its shape is {self.ids.shape}; here [layers, tokens, experts] is {expected}"
            )
        if self.ids.min() < 0 or self.ids.max() >= experts:
            raise unfit_routing(f"an id is outside the {experts} experts of a layer")
        ordered = np.sort(self.ids, axis=2)
        repeated = (ordered[:, :, 1:] == ordered[:, :, :-1]).any(axis=2)
        if repeated.any():
            layer, token = np.argwhere(repeated)[0]
            raise unfit_routing(f"an expert is repeated in layer {layer} at position {token}")

    def choices(self, layer: int) -> dict[str, list[int]]:
        """A layer's, as the witness program takes them: seat after seat (MOE.2)."""
        return {routing_name(layer): self._columns(layer).tolist()}

    def seats(self, layer: int, slot: Slot) -> npt.NDArray[np.int16]:
        """A layer's as the record commits to them, [K T, E padded to blocks]."""
        cells = np.zeros((slot.rows, slot.stride), np.int16)
        cells[np.arange(slot.rows), self._columns(layer)] = 1
        return cells

    def _columns(self, layer: int) -> npt.NDArray[np.int32]:
        columns: npt.NDArray[np.int32] = self.ids[layer].T.reshape(-1)
        return columns

    def root(self, request: bytes) -> bytes:
        """Of a public log of them."""
        return routing_root(request, self.ids)

    def opened(self, request: bytes, layers: Sequence[int]) -> tuple[OpenedRouting, ...]:
        """What a proof opens of that log."""
        return opened_routing(request, self.ids, layers)

    @property
    def file(self) -> bytes:
        """A .npy file of them."""
        out = io.BytesIO()
        np.save(out, self.ids)
        return out.getvalue()

    @property
    def encoded(self) -> bytes:
        """The file in the private part of a record."""
        return self.ids.astype("<i4").tobytes()

    @property
    def digest(self) -> bytes:
        """SHA-256 of it."""
        return hashlib.sha256(self.encoded).digest()


def require_experts(public: PublicModel) -> tuple[int, int]:
    """Experts of a layer, and how many of them a token has."""
    if public.routed is None:
        raise unfit_routing("the model has no experts to choose", hint="leave it out")
    return public.routed
