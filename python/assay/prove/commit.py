"""Committing a registered model's parts in one epoch: digests and codewords of a part, leaves and root.

A part is done when its digests are there, whatever happened afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from assay import _core
from assay.layout import Layout
from assay.profiles import Code
from assay.prove.folder import Cells, EpochFolder, map_file
from assay.storage import writing

Progress = Callable[[str, float, float], None]
"""Gets a step's name, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Committing:
    """The commitment of one epoch while it is made."""

    epoch: EpochFolder
    layout: Layout
    code: Code
    storage: str
    key: bytes
    progress: Progress

    def is_done(self, part: int) -> bool:
        """Whether the part's files are all there."""
        if not self.epoch.digests(part).is_file():
            return False
        columns, height = self.epoch.columns(part), self.layout.parts[part]
        return self.storage == "recompute" or (
            columns.is_file() and columns.stat().st_size == height * 8 * self.code.length
        )

    def part(self, part: int, cells: Cells) -> None:
        """Encodes and hashes a part."""
        if self.storage == "stored":
            with writing(self.epoch.columns(part), mode=0o600) as columns:
                digests = self._digests(part, cells, columns)
        else:
            digests = self._digests(part, cells, None)
        with writing(self.epoch.digests(part)) as file:
            file.write(digests.tobytes())

    def tell(self, part: int, rows: int) -> None:
        """Progress: so many rows of a part are done."""
        self.progress("commit", sum(self.layout.parts[:part]) + rows, sum(self.layout.parts))

    def _digests(self, part: int, cells: Cells, columns: BinaryIO | None) -> npt.NDArray[np.uint8]:
        def sink(rows_done: int, symbols: memoryview | None) -> None:
            if columns is not None and symbols is not None:
                columns.write(symbols)
            self.tell(part, rows_done)

        height = self.layout.parts[part]
        return _core.part_digests(
            self.code.core(), height, [(0, cells)], part, self.key, sink, want_codeword=columns is not None
        )

    def root(self) -> bytes:
        """Leaves over all parts, and the root."""
        parts, size = range(len(self.layout.parts)), self.code.length * 32
        leaves = _core.combine_parts([map_file(self.epoch.digests(p), np.dtype("u1"), size) for p in parts])
        with writing(self.epoch.leaves) as file:
            file.write(leaves.tobytes())
        return _core.merkle_root(leaves)
