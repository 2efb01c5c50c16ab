"""The folder of a registered model, `DIR`.

public.assay                    for clients: that of the newest epoch
ledger.db                       the count of opened columns, with its companions
tokenizer.json                  what `record --prompt` needs of the model file
weights/NNNN.cells              a part's int16 cells, its tensors one after another; of all epochs
epochs/K/public.assay           the public file of epoch K; written when the epoch is complete
epochs/K/HASH.proof             the proof that it lists, under its SHA-256
epochs/K/secret.key             randomness of the epoch's commitment, mode 0600
epochs/K/leaves                 leaf digests of the commitment
epochs/K/NNNN.digests           digests of the part's columns
epochs/K/NNNN.columns           its codeword, batches of 8 rows column by column (storage `stored` alone)
epochs/K/place                  while the epoch is made: where its key was made
epochs/K/proving.assay          while the epoch's own proof is made: its seed and tickets, mode 0600
registering.json                while registering: what was asked for, and the scales
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from assay import _core, framing
from assay.errors import RequestError, StorageError
from assay.framing import FormatError, Kind
from assay.layout import BLOCK, Slot
from assay.public import PublicModel
from assay.storage import read_file

KEY_VERSION = 1
Cells = npt.NDArray[np.int16]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class EpochFolder:
    """Paths inside DIR/epochs/K."""

    path: Path

    @property
    def public(self) -> Path:
        return self.path / "public.assay"

    @property
    def key(self) -> Path:
        return self.path / "secret.key"

    @property
    def place(self) -> Path:
        return self.path / "place"

    @property
    def leaves(self) -> Path:
        return self.path / "leaves"

    @property
    def attempt(self) -> Path:
        return self.path / "proving.assay"

    def digests(self, part: int) -> Path:
        return self.path / f"{part:04}.digests"

    def columns(self, part: int) -> Path:
        return self.path / f"{part:04}.columns"

    def proof(self, digest: bytes) -> Path:
        return self.path / f"{digest.hex()}.proof"


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths inside DIR."""

    path: Path

    @property
    def public(self) -> Path:
        return self.path / "public.assay"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.db"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer.json"

    @property
    def plan(self) -> Path:
        return self.path / "registering.json"

    @property
    def weights(self) -> Path:
        return self.path / "weights"

    def cells(self, part: int) -> Path:
        return self.weights / f"{part:04}.cells"

    @property
    def epochs(self) -> Path:
        return self.path / "epochs"

    def epoch(self, number: int) -> EpochFolder:
        """Of an epoch, whether there is one or not."""
        return EpochFolder(self.epochs / str(number))

    def public_of(self, digest: bytes) -> PublicModel | None:
        """The public file with this hash, of whichever epoch; None if there is none."""
        number = 0
        while (path := self.epoch(number).public).is_file():
            found = PublicModel.load(path)
            if found.hash == digest:
                return found
            number += 1
        return None


class RegisteredModel:
    """A registered model, its cells and digests mapped from disk."""

    def __init__(self, path: Path, public: PublicModel | None = None) -> None:
        """Opens DIR in its newest epoch.

        With `public`, in the epoch of that file, or under its profile instead of the folder's own (for
        measurements).
        """
        self.folder = Folder(path)
        if public is None and not self.folder.public.is_file():
            raise _unregistered(self.folder)
        self.public = public or PublicModel.load(self.folder.public)
        self.epoch = self.folder.epoch(self.public.epoch)
        self._slots = {slot.name: slot for slot in self.public.layout.slots}

    def at(self, digest: bytes) -> RegisteredModel:
        """The model in the epoch whose public file has this hash; raises `RequestError`."""
        if digest == self.public.hash:
            return self
        public = self.folder.public_of(digest)
        if public is None:
            raise RequestError(
                "record-of-another-model",
                f"the record was made with another registered model: no epoch of {self.folder.path} has the "
                f"public file {digest.hex()[:16]}",
            )
        return RegisteredModel(self.folder.path, public)

    @cached_property
    def key(self) -> bytes:
        """The commitment's secret key."""
        return read_key(self.epoch.key)

    @property
    def storage(self) -> str:
        """`stored` if the codewords of all parts are on disk, else `recompute`."""
        parts = range(len(self.public.layout.parts))
        return "stored" if all(self.epoch.columns(p).is_file() for p in parts) else "recompute"

    def weight(self, name: str) -> Cells:
        """A tensor's cells, rows padded to whole blocks, mapped from disk."""
        slot = self._slots[name]
        start = slot.first_block * BLOCK
        return self.part_cells(slot.part)[start : start + slot.blocks * BLOCK].reshape(slot.rows, slot.stride)

    def layer_weights(self, layer: int) -> dict[str, Cells]:
        """The tensors of a layer by the names that circuits use."""
        prefix = f"layers.{layer}."
        return {name: self.weight(name) for name in self._slots if name.startswith(prefix)}

    def part_cells(self, part: int) -> Cells:
        """All cells of a part, mapped as long as somebody has them."""
        mapped = self._mapped.get(part)
        if mapped is None:
            mapped = map_file(self.folder.cells(part), np.dtype("<i2"), self._cells_in(part))
            self._mapped[part] = mapped
        return mapped

    def _cells_in(self, part: int) -> int:
        return sum(slot.blocks for slot in self._parts[part]) * BLOCK

    def commitment(self, name: str = "weights") -> _core.Commitment:
        """The prover's side of the weights' commitment, restored from digests.

        It maps a part's files when it reads them: of a model, one segment's weights at a time.
        """
        code, rows = self.public.code, self.public.layout.parts
        parts = [
            (height, [(0, mapped_later(self.folder.cells(p), 2 * self._cells_in(p)))])
            for p, height in enumerate(rows)
        ]
        commitment = _core.Commitment(name, code.core(), parts, self.key)
        leaves = map_file(self.epoch.leaves, np.dtype("u1"), code.length * 32)
        digests = [mapped_later(self.epoch.digests(p), code.length * 32) for p in range(len(rows))]
        commitment.restore(leaves, digests)
        if commitment.root != self.public.root:
            raise StorageError(
                "damaged-registration", f"{self.epoch.leaves}: the digests do not give the root"
            )
        for part, height in enumerate(rows):
            if self.epoch.columns(part).is_file():
                columns = mapped_later(self.epoch.columns(part), code.length * height * 8)
                commitment.set_codeword(part, columns)
        return commitment

    @cached_property
    def _mapped(self) -> WeakValueDictionary[int, Cells]:
        return WeakValueDictionary()

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
    with _readable(path):
        _require_size(path, count * dtype.itemsize)
        return np.memmap(path, dtype, mode="r", shape=(count,))


def mapped_later(path: Path, size: int) -> _core.File:
    """A file of so many bytes, for the extension to map while it reads it."""
    with _readable(path):
        _require_size(path, size)
    return _core.File(str(path.absolute()), size)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            "damaged-registration", f"cannot read {path}: {error.strerror or error}"
        ) from error


def _require_size(path: Path, size: int) -> None:
    found = path.stat().st_size
    if found != size:
        raise StorageError("damaged-registration", f"{path} has {found} bytes instead of {size}")


def read_key(path: Path) -> bytes:
    """The secret key of a registered model."""
    try:
        (key,) = framing.unpack(read_file(path, 128, "secret key"), Kind.KEY, KEY_VERSION, [32])
        return framing.sized(key, 32, "the secret key")
    except FormatError as error:
        raise StorageError("damaged-registration", f"{path}: {error.message}") from error
