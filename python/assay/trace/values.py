"""What the ledger hands out: tickets, and its state."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Purpose = Literal["proof", "refresh"]
Status = Literal["open", "stale", "retired", "abandoned"]

WARN_FROM = 0.9


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to record one opening; its counter goes into the proof."""

    counter: int
    epoch: int
    root: bytes
    parts: tuple[int, ...]
    queries: int
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class PartState:
    """Columns of one part: recorded ones, and those counted because a restore may have lost them."""

    opened: int
    unknown: int = 0

    @property
    def used(self) -> int:
        """Distinct columns that count against the budget."""
        return self.opened + self.unknown


@dataclass(frozen=True, slots=True)
class EpochState:
    """An epoch; `budget`, `reserve` and `queries` in columns, `begun` and `recorded` in tickets."""

    epoch: int
    root: bytes
    status: Status
    budget: int
    reserve: int
    queries: int
    parts: tuple[PartState, ...]
    begun: int
    recorded: int

    @classmethod
    def fresh(
        cls, *, epoch: int, root: bytes, parts: int, budget: int, queries: int, reserve: int
    ) -> EpochState:
        """One of which nothing was opened yet."""
        assert parts > 0
        assert len(root) == 32
        return cls(
            epoch=epoch,
            root=root,
            status="open",
            budget=budget,
            reserve=reserve,
            queries=queries,
            parts=(PartState(0),) * parts,
            begun=0,
            recorded=0,
        )

    def limit(self, purpose: Purpose) -> int:
        """Distinct columns of a part that may be opened.

        A refresh may use `queries` of the reserve; all of it after a restore, which may have lost a refresh.
        """
        if purpose == "proof":
            return self.budget - self.reserve
        if self.status == "open":
            return min(self.budget, self.budget - self.reserve + self.queries)
        return self.budget

    @property
    def fullest(self) -> int:
        """The part with the most columns used."""
        return max(range(len(self.parts)), key=lambda part: self.parts[part].used)

    @property
    def used(self) -> int:
        """Columns used of the fullest part."""
        return self.parts[self.fullest].used

    @property
    def openings_left(self) -> int:
        """Proofs of `queries` columns that still fit for certain, without the reserve."""
        if self.status != "open":
            return 0
        return max(0, self.limit("proof") - self.used) // self.queries

    @property
    def fraction_used(self) -> float:
        """Share of what proofs may open that is used up, of the fullest part; above 1 after a refresh."""
        limit = self.limit("proof")
        return self.used / limit if limit else 1.0

    @property
    def warning(self) -> str | None:
        """What to do soon, if anything."""
        if self.status == "stale":
            return f"epoch {self.epoch} is stale after a restore: only a refresh may use it"
        if self.status == "open" and self.fraction_used >= WARN_FROM:
            left = f"{self.openings_left} proofs left"
            return f"epoch {self.epoch} is {100 * self.fraction_used:.0f} % used up, {left}: refresh soon"
        return None

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            **asdict(self),
            "root": self.root.hex(),
            "parts": [{**asdict(part), "used": part.used} for part in self.parts],
            "fullest_part": self.fullest,
            "openings_left": self.openings_left,
            "fraction_used": self.fraction_used,
            "warning": self.warning,
        }


@dataclass(frozen=True, slots=True)
class LedgerState:
    """All pages of epochs, first to last, and the counter of the last ticket (0: none yet)."""

    counter: int
    epochs: tuple[EpochState, ...]

    @property
    def current(self) -> EpochState:
        """The last epoch that was not abandoned."""
        return next(
            (epoch for epoch in reversed(self.epochs) if epoch.status != "abandoned"), self.epochs[-1]
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(epoch.warning for epoch in self.epochs if epoch.warning is not None)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "counter": self.counter,
            "epochs": [epoch.to_dict() for epoch in self.epochs],
            "warnings": list(self.warnings),
        }
