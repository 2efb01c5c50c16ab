"""What a proof takes, said before it begins; too little disk or memory is refused then.

The coefficients are those of `assay.cost`, fitted on measurements. Memory gets the largest error of points
that the fit had not seen on top; disk follows from the statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay import _core
from assay.audit.challenge import ENCODE, LAYERS, Challenge
from assay.circuits.catalogue import config_of
from assay.cost.model import shipped
from assay.cost.statement import Asked, Model
from assay.errors import StorageError
from assay.prove.folder import RegisteredModel
from assay.prove.resources import free_disk, free_memory
from assay.statement import Statement


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


def estimate_proof(statement: Statement, model: RegisteredModel) -> Estimate:
    """Of a statement about requests to a registered model."""
    public, cost = model.public, shipped()
    counted = Model(config_of(public.config), public.code, public.scales)
    counts = counted.counts(public.profile, *(_asked(member.challenge) for member in statement.members))
    features = counts.features(stored=model.storage == "stored")
    core = cost.prove(features)
    return Estimate(
        seconds=cost.seconds("prove", core, features, _core.threads()),
        memory_bytes=round(cost.at_most("prove.memory", features)),
        disk_bytes=counts.work_bytes,
    )


def _asked(challenge: Challenge) -> Asked:
    record = challenge.record
    if challenge.scope == LAYERS:
        return Asked(tokens=record.tokens, layers=challenge.layers)
    if challenge.scope == ENCODE:
        return Asked(tokens=record.tokens, positions=0, served=False, ids=0)
    assert record.log is not None, "a challenge to a record without a log is refused before"
    return Asked(
        tokens=record.tokens,
        positions=len(challenge.positions),
        served=record.log.served,
        ids=record.log.top_k,
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
