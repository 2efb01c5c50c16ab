"""The folder of a registered model, `DIR`.

public.assay            for clients
secret.key              randomness of the weights' commitment, mode 0600
tokenizer.json          what `record --prompt` needs of the model file
weights/leaves          leaf digests of the commitment
weights/NNNN.cells      a part's int16 cells, its tensors one after another
weights/NNNN.digests    digests of the part's columns
weights/NNNN.columns    its codeword, batches of 8 rows column by column (storage `stored` alone)
registering.json        while registering: what was asked for, and the scales
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from assay import _core, framing
from assay.errors import StorageError
from assay.framing import FormatError, Kind
from assay.layout import BLOCK, Slot
from assay.public import PublicModel
from assay.storage import read_file

KEY_VERSION = 0
Cells = npt.NDArray[np.int16]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths inside DIR."""

    path: Path

    @property
    def public(self) -> Path:
        return self.path / "public.assay"

    @property
    def key(self) -> Path:
        return self.path / "secret.key"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer.json"

    @property
    def plan(self) -> Path:
        return self.path / "registering.json"

    @property
    def weights(self) -> Path:
        return self.path / "weights"

    @property
    def leaves(self) -> Path:
        return self.weights / "leaves"

    def cells(self, part: int) -> Path:
        return self.weights / f"{part:04}.cells"

    def digests(self, part: int) -> Path:
        return self.weights / f"{part:04}.digests"

    def columns(self, part: int) -> Path:
        return self.weights / f"{part:04}.columns"


class RegisteredModel:
    """A registered model, its cells and digests mapped from disk."""

    def __init__(self, path: Path, public: PublicModel | None = None) -> None:
        """Opens DIR; with `public`, under that profile instead of the folder's own (for measurements)."""
        self.folder = Folder(path)
        if not self.folder.public.is_file():
            raise _unregistered(self.folder)
        self.public = public or PublicModel.load(self.folder.public)
        self._slots = {slot.name: slot for slot in self.public.layout.slots}

    @cached_property
    def key(self) -> bytes:
        """The commitment's secret key."""
        return read_key(self.folder.key)

    @property
    def storage(self) -> str:
        """`stored` if the codewords of all parts are on disk, else `recompute`."""
        parts = range(len(self.public.layout.parts))
        return "stored" if all(self.folder.columns(p).is_file() for p in parts) else "recompute"

    def weight(self, name: str) -> Cells:
        """A tensor's cells, rows padded to whole blocks, mapped from disk."""
        slot = self._slots[name]
        start = slot.first_block * BLOCK
        return self.part_cells(slot.part)[start : start + slot.blocks * BLOCK].reshape(slot.rows, slot.stride)

    def layer_weights(self, layer: int) -> dict[str, Cells]:
        """The tensors of a layer by the names that circuits use."""
        prefix = f"layers.{layer}."
        return {name: self.weight(name) for name in self._slots if name.startswith(prefix)}

    def embeddings(self, tokens: list[int]) -> Cells:
        """Rows of the embedding, [T, hidden padded]."""
        pieces = [slot for name, slot in self._slots.items() if name.startswith("embedding.")]
        step = pieces[0].rows
        return np.stack([self.weight(pieces[t // step].name)[t % step] for t in tokens])

    def part_cells(self, part: int) -> Cells:
        """All cells of a part, mapped."""
        if part not in self._mapped:
            cells = sum(slot.blocks for slot in self._parts[part]) * BLOCK
            self._mapped[part] = map_file(self.folder.cells(part), np.dtype("<i2"), cells)
        return self._mapped[part]

    def commitment(self) -> _core.Commitment:
        """The prover's side of the weights' commitment, restored from digests."""
        code, rows = self.public.code, self.public.layout.parts
        parts = [(height, [(0, self.part_cells(p))]) for p, height in enumerate(rows)]
        commitment = _core.Commitment("weights", code.core(), parts, self.key)
        leaves = map_file(self.folder.leaves, np.dtype("u1"), code.length * 32)
        digests = [
            map_file(self.folder.digests(p), np.dtype("u1"), code.length * 32) for p in range(len(rows))
        ]
        commitment.restore(leaves, digests)
        if commitment.root != self.public.root:
            raise StorageError(
                "damaged-registration", f"{self.folder.leaves}: the digests do not give the root"
            )
        for part, height in enumerate(rows):
            if self.folder.columns(part).is_file():
                columns = map_file(self.folder.columns(part), np.dtype("u1"), code.length * height * 8)
                commitment.set_codeword(part, columns)
        return commitment

    @cached_property
    def _mapped(self) -> dict[int, Cells]:
        return {}

    @cached_property
    def _parts(self) -> list[tuple[Slot, ...]]:
        layout = self.public.layout
        return [layout.of_part(part) for part in range(len(layout.parts))]


def _unregistered(folder: Folder) -> StorageError:
    if folder.plan.is_file():
        return StorageError(
            "registration-incomplete",
            f"the registration in {folder.path} was not finished",
            hint="run `assay register` with the same arguments again: it resumes",
        )
    return StorageError(
        "not-registered",
        f"{folder.path} is not a registered model: it has no public.assay",
        hint="assay register MODEL --out DIR",
    )


def map_file(path: Path, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    """A file of so many numbers, mapped read-only."""
    try:
        size = path.stat().st_size
        if size != count * dtype.itemsize:
            raise StorageError(
                "damaged-registration", f"{path} has {size} bytes instead of {count * dtype.itemsize}"
            )
        return np.memmap(path, dtype, mode="r", shape=(count,))
    except OSError as error:
        raise StorageError(
            "damaged-registration", f"cannot read {path}: {error.strerror or error}"
        ) from error


def read_key(path: Path) -> bytes:
    """The secret key of a registered model."""
    try:
        (key,) = framing.unpack(read_file(path, 128, "secret key"), Kind.KEY, KEY_VERSION, [32])
        return framing.sized(key, 32, "the secret key")
    except FormatError as error:
        raise StorageError("damaged-registration", f"{path}: {error.message}") from error
