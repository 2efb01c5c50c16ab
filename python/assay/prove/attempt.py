"""A proof, once: its seed and tickets are kept until the proof's file is there.

Openings are counted, and a refresh does its own from a reserve that is just large enough. So a run that is
cut off is taken up with the same seed and the same tickets: it makes the same proof, byte for byte, and opens
no other column. Where a ledger has other tickets under these numbers, or other columns, one of both was
restored: then the proof, or the epoch that it is of, begins anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay import framing
from assay.errors import StorageError
from assay.framing import FormatError, Kind
from assay.prove.opening import Charge
from assay.prove.unfinished import UnfitError
from assay.storage import read_file, write_file
from assay.trace import Ledger, Ticket

VERSION = 1
_CAP = 1 << 20
_FIELDS: framing.Kinds = {"core": bytes, "seed": bytes, "counters": list, "columns": list}


@dataclass(slots=True)
class Attempt:
    """A proof under way; `columns` is what was about to be recorded, empty before that is known."""

    path: Path
    core: bytes
    seed: bytes
    drawn: tuple[tuple[Ledger, Ticket], ...]
    columns: list[int]
    numbered: int

    @property
    def counter(self) -> int:
        """The number of the proof in the weights' ledger: that of the ticket which numbers it."""
        return self.drawn[self.numbered][1].counter

    def record(self, columns: Sequence[int]) -> None:
        """Counts the columns in every ledger; again after a run that was cut off, if they are the same."""
        resumed = bool(self.columns)
        if resumed and list(columns) != self.columns:
            raise _spoiled(self.path)
        if not resumed:
            self.columns = list(columns)
            self.save()
        for ledger, ticket in self.drawn:
            if not resumed or not ledger.holds(ticket, columns):  # recorded by the run before
                ledger.record(ticket, columns)

    def save(self) -> None:
        """Keeps it; readable for the provider alone."""
        fields = {
            "core": self.core,
            "seed": self.seed,
            "counters": [ticket.counter for _, ticket in self.drawn],
            "columns": self.columns,
        }
        data = framing.pack(Kind.ATTEMPT, VERSION, framing.encode(fields))
        write_file(self.path, data, mode=0o600)


class OtherProofError(UnfitError):
    """What was begun is another proof."""


@contextmanager
def attempt(path: Path, core: bytes, charges: Sequence[Charge], *, numbered: int = 0) -> Iterator[Attempt]:
    """The attempt at the proof of a core that was begun at `path`, or a new one with tickets of its own.

    `numbered` is the charge whose ticket gives the proof its number. Raises `UnfitError` if there is an
    attempt that does not go with the core or with a ledger.
    """
    with ExitStack() as opened:
        books = _ledgers(opened, charges)
        if path.is_file():
            kept = _read(path)
            if kept["core"] != core or len(kept["counters"]) != len(charges):
                raise OtherProofError
            pairs = zip(books, kept["counters"], charges, strict=True)
            drawn = tuple((book, _ticket(book, n, charge, kept["columns"])) for book, n, charge in pairs)
            yield Attempt(path, core, kept["seed"], drawn, kept["columns"], numbered)
            return
        drawn = tuple(
            (book, book.begin(root=c.root, parts=c.parts, queries=c.queries, purpose=c.purpose))
            for book, c in zip(books, charges, strict=True)
        )
        fresh = Attempt(path, core, os.urandom(32), drawn, [], numbered)
        fresh.save()
        yield fresh


def _ledgers(opened: ExitStack, charges: Sequence[Charge]) -> list[Ledger]:
    """The ledger of each charge; one that several are to is opened once."""
    books: dict[Path, Ledger] = {}
    for charge in charges:
        assert isinstance(charge.account, Path), "an attempt is counted on disk"
        if charge.account not in books:
            books[charge.account] = opened.enter_context(Ledger.open(charge.account))
    return [books[charge.account] for charge in charges if isinstance(charge.account, Path)]


def _ticket(ledger: Ledger, counter: int, charge: Charge, columns: list[int]) -> Ticket:
    """The ledger's ticket of this number, if it is one for this charge, with these columns or none yet."""
    found = ledger.ticket(counter)
    if found is None:
        raise UnfitError
    ticket, recorded = found
    asked = (charge.root, tuple(charge.parts), charge.queries, charge.purpose)
    if (ticket.root, ticket.parts, ticket.queries, ticket.purpose) != asked:
        raise UnfitError
    if recorded and not (columns and ledger.holds(ticket, columns)):
        raise UnfitError
    return ticket


def _read(path: Path) -> dict[str, Any]:
    try:
        data = read_file(path, _CAP, "attempt")
        (envelope,) = framing.unpack(data, Kind.ATTEMPT, VERSION, [_CAP])
        values = framing.fields(framing.decode(envelope), "attempt", _FIELDS)
        framing.sized(values["seed"], 32, "seed")
        if not all(type(x) is int for x in values["counters"] + values["columns"]):
            raise FormatError("type", "counters and columns are numbers")
    except FormatError as error:
        raise _spoiled(path) from error
    return values


def _spoiled(path: Path) -> StorageError:
    return StorageError(
        "damaged-registration",
        f"{path} is not what was kept of the proof under way",
        hint="delete it to begin the proof anew; its columns stay counted",
    )
