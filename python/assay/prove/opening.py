"""Openings and the ledgers they are charged to.

A proof that shows columns of a long-lived commitment begins with a ticket of each commitment's ledger, and
records its columns in all of them before anything of a column is computed. The weights' ledger comes first;
its counter goes into the proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from assay.errors import StorageError
from assay.trace import Ledger, Ticket
from assay.trace.values import Purpose


class Account(Protocol):
    """What tickets are drawn from: a ledger, or a count of this process alone."""

    def begin(self, *, root: bytes, parts: Sequence[int], queries: int, purpose: Purpose) -> Ticket:
        """A ticket."""
        ...

    def record(self, ticket: Ticket, columns: Sequence[int]) -> None:
        """Counts its columns."""
        ...


@dataclass(slots=True)
class Transient:
    """The count for a commitment that lives in this process alone, or for proofs that never leave it."""

    budget: int
    counter: int = 0
    opened: dict[tuple[bytes, int], set[int]] = field(default_factory=dict)

    def begin(self, *, root: bytes, parts: Sequence[int], queries: int, purpose: Purpose) -> Ticket:
        """A ticket; refused where a ledger would refuse it."""
        self.counter += 1
        for part in parts:
            self._check(len(self.opened.get((root, part), ())) + queries)
        return Ticket(self.counter, 0, root, tuple(parts), queries, purpose)

    def record(self, ticket: Ticket, columns: Sequence[int]) -> None:
        """Counts the columns."""
        after = {part: self.opened.get((ticket.root, part), set()) | set(columns) for part in ticket.parts}
        for opened in after.values():
            self._check(len(opened))
        self.opened.update(((ticket.root, part), opened) for part, opened in after.items())

    def _check(self, columns: int) -> None:
        if columns > self.budget:
            raise StorageError(
                "ledger-budget", f"{columns} columns of a commitment would be opened, {self.budget} may be"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One commitment that a proof opens: whose ledger, which parts."""

    account: Path | Account
    root: bytes
    parts: Sequence[int]
    queries: int
    purpose: Purpose = "proof"


@dataclass(frozen=True, slots=True)
class Opening:
    """Tickets of all commitments that one proof opens."""

    drawn: tuple[tuple[Account, Ticket], ...]

    @property
    def counter(self) -> int:
        """The number of the proof in the first ledger."""
        return self.drawn[0][1].counter

    def record(self, columns: Sequence[int]) -> None:
        """Counts the columns everywhere; they may be revealed only when this has returned."""
        for account, ticket in self.drawn:
            account.record(ticket, columns)


@contextmanager
def opening(*charges: Charge) -> Iterator[Opening]:
    """Tickets for a proof; refuses now what would pass a budget."""
    with ExitStack() as open_ledgers:
        drawn = []
        for charge in charges:
            account = charge.account
            if isinstance(account, Path):
                account = open_ledgers.enter_context(Ledger.open(account))
            ticket = account.begin(
                root=charge.root, parts=charge.parts, queries=charge.queries, purpose=charge.purpose
            )
            drawn.append((account, ticket))
        yield Opening(tuple(drawn))
