"""What a proof takes, said before it begins; too little disk or memory is refused then.

All coefficients are here. They were measured on Gemma 3 270M on two cores of an AMD EPYC with AVX2, and err
to the safe side for memory and disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay import _core
from assay.errors import StorageError
from assay.layout import BLOCK
from assay.prove.resources import free_disk, free_memory
from assay.public import PublicModel
from assay.statement import Statement

_SECONDS_A_LOOKUP = 200e-9  # on one thread, as the others
_SECONDS_A_CELL = 135e-9  # of the witness: evaluated, encoded, hashed, claimed
_SECONDS_A_WEIGHT = 40e-9  # claimed, and encoded again for the columns
_MEMORY = 500 << 20
_MEMORY_A_LOOKUP = 90  # of the segment that has most
_CODEWORDS = 512 << 20  # kept until the opening, `keep_codeword_bytes`
_DISK_A_CELL = 4  # of the witness; with the leaves of each segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Seconds with the present threads; bytes of memory, and of disk while it lasts."""

    seconds: float
    memory_bytes: int
    disk_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
            "disk_bytes": self.disk_bytes,
        }


def estimate_proof(statement: Statement, public: PublicModel, parts: Sequence[int]) -> Estimate:
    """Of a statement that opens these parts of the weights."""
    circuits = statement.circuits
    cells, lookups = sum(c.witness_cells for c in circuits), sum(c.lookups for c in circuits)
    opened = set(parts)
    weights = sum(slot.blocks for slot in public.layout.slots if slot.part in opened) * BLOCK
    work = cells * _SECONDS_A_CELL + lookups * _SECONDS_A_LOOKUP + weights * _SECONDS_A_WEIGHT
    most = max(c.lookups for c in circuits)
    codewords = cells * 8 * public.code.length >> public.code.log_columns
    return Estimate(
        seconds=work / _core.threads(),
        memory_bytes=_MEMORY + min(codewords, _CODEWORDS) + most * _MEMORY_A_LOOKUP,
        disk_bytes=cells * _DISK_A_CELL + len(circuits) * public.code.length * 32,
    )


def require_room(estimate: Estimate, folder: Path) -> None:
    """Raises `StorageError` if disk or memory are too small."""
    disk, memory = free_disk(folder), free_memory()
    if estimate.disk_bytes > disk:
        raise StorageError(
            "disk-full",
            f"the proof needs about {_amount(estimate.disk_bytes)} of disk while it is made, "
            f"{_amount(disk)} are free at {folder}",
            hint="free some, or name another place with --work; nothing was opened",
        )
    if memory is not None and estimate.memory_bytes > memory:
        raise StorageError(
            "memory-too-small",
            f"the proof needs about {_amount(estimate.memory_bytes)} of memory, {_amount(memory)} are left",
            hint="ask for fewer layers or positions in one challenge; nothing was opened",
        )


def _amount(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
