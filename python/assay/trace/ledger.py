"""The ledger: the durable count of the columns that were opened of each long-lived commitment.

Any h distinct columns of a part are uniform; one more may tell something about its cells. A prover begins a
ticket, makes its proof, records the columns, and only then reveals them:

    with Ledger.open(model / "ledger.db") as ledger:
        ticket = ledger.begin(root=root, parts=[7], queries=194, purpose="proof")
        ...                                  # ticket.counter is part of the proof
        ledger.record(ticket, columns)       # durable when it returns; now the proof may leave

docs/spec/ledger.md has the order of steps and why a crash at each is safe. All errors are `StorageError`s.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import quote

from assay.errors import StorageError
from assay.trace import refusals, schema
from assay.trace.failpoints import failpoint
from assay.trace.high import HighWater, Tally, sync_folder
from assay.trace.values import EpochState, LedgerState, PartState, Purpose, Ticket


class Ledger:
    """One ledger file, for one process and thread; made by `create`, `open` or `require_refresh`."""

    _busy_s: ClassVar[float] = 30.0
    _synchronous: ClassVar[str] = "FULL"

    def __init__(self, path: Path) -> None:
        """Connects and checks nothing yet."""
        if not path.is_file():
            raise refusals.missing(path)
        self.path = path
        self._process = os.getpid()
        self._high = HighWater(path)
        with refusals.ledger_errors(path):
            self._db = self._connect()

    @classmethod
    def create(
        cls, path: Path, *, epoch: int, root: bytes, parts: int, budget: int, queries: int, reserve: int
    ) -> Self:
        """Adds an epoch and opens the ledger; makes the file (mode 0600) if there is none.

        `parts`: how many the commitment has; `budget`, `queries`, `reserve`: columns of each. An epoch that
        is there already with the same numbers stays as it is, so that a registration can resume.
        """
        new = EpochState(
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
        assert parts > 0
        assert len(root) == 32
        _make_file(path)
        return cls(path)._opened_by(lambda ledger: ledger._create(new))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a ledger after a check of its pages, its counts and its high-water mark."""
        return cls(path)._opened_by(lambda ledger: ledger._check())

    @classmethod
    def require_refresh(cls, path: Path) -> Self:
        """Accepts a ledger that was restored: its epochs are stale from now on, durably, and only refreshed.

        What proofs could have opened of them counts as opened; the counter goes on from the high-water mark.
        """
        return cls(path)._opened_by(lambda ledger: ledger._require_refresh())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; what was begun or recorded stays."""
        self._db.close()

    # --- the steps of a proof

    def begin(self, *, root: bytes, parts: Sequence[int], queries: int, purpose: Purpose) -> Ticket:
        """A ticket to open `queries` columns of `parts`; its counter is on disk when this returns.

        Raises `ledger-budget`, `ledger-other-model`, `ledger-stale`, `ledger-epoch`, `ledger-rolled-back`.
        """
        asked = tuple(parts)
        assert len(set(asked)) == len(asked) > 0
        assert queries > 0
        with self._change("begin"):
            epoch = self._usable(root, purpose)
            for part in asked:
                _check_budget(epoch, part, queries, purpose)
            ticket = Ticket(self._next_counter(), epoch.epoch, root, asked, queries, purpose)
            self._store(ticket)
        return ticket

    def record(self, ticket: Ticket, columns: Sequence[int]) -> None:
        """Records the columns of a ticket in all its parts. They may be revealed only when this has returned.

        Raises `ledger-budget` if another prover was first, `ledger-ticket` if this is not its first record,
        and the errors of `begin`; nothing is recorded then.
        """
        chosen = sorted({int(column) for column in columns})
        assert len(chosen) == len(columns)
        assert 0 < len(chosen) <= ticket.queries
        with self._change("record"):
            self._claim(ticket)
            epoch = self._usable(ticket.root, ticket.purpose)
            for part in ticket.parts:
                known = self._count_known(epoch.epoch, part, chosen)
                _check_budget(epoch, part, len(chosen) - known, ticket.purpose)
                self._insert(ticket, part, chosen)

    def retire(self, epoch: int) -> None:
        """Ends an epoch: nothing more is opened of it, not even for a refresh."""
        with self._change("retire"):
            found = self._db.execute("SELECT status FROM epoch WHERE epoch = ?", (epoch,)).fetchone()
            if found is None:
                raise refusals.wrong_epoch(f"there is no epoch {epoch}")
            if found[0] != "retired":
                self._db.execute("UPDATE epoch SET status = 'retired' WHERE epoch = ?", (epoch,))

    def state(self) -> LedgerState:
        """All epochs with their counts, as of one moment."""
        with refusals.ledger_errors(self.path):
            self._db.execute("BEGIN")
            try:
                numbers = self._db.execute("SELECT epoch FROM epoch ORDER BY epoch").fetchall()
                return LedgerState(self._tally().counter, tuple(self._epoch(n) for (n,) in numbers))
            finally:
                self._db.execute("ROLLBACK")

    # --- opening

    def _opened_by(self, prepare: Callable[[Self], None]) -> Self:
        try:
            with refusals.ledger_errors(self.path):
                prepare(self)
        except BaseException:
            self.close()
            raise
        return self

    def _connect(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < (3, 37):
            raise StorageError(
                "ledger-sqlite",
                f"the ledger needs SQLite 3.37 or newer, this is {sqlite3.sqlite_version}",
                hint="use a Python with a newer SQLite",
            )
        uri = f"file:{quote(str(self.path.absolute()))}?mode=rw"
        db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=self._busy_s)
        db.execute(f"PRAGMA synchronous = {self._synchronous}")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA trusted_schema = OFF")
        return db

    def _check(self) -> None:
        mark = self._high.read()
        self._check_form()
        self._high.check(mark, self._tally())

    def _check_form(self) -> None:
        fault = schema.fault(self._db)
        if fault is not None:
            raise refusals.corrupt(self.path, fault)

    def _create(self, new: EpochState) -> None:
        if schema.is_empty(self._db):
            self._high.raise_to(Tally(), step="create")
            self._db.execute("PRAGMA journal_mode = WAL")
        else:
            self._check()
        with self._change("create"):
            if schema.is_empty(self._db):
                schema.create(self._db)
            self._add(new)

    def _require_refresh(self) -> None:
        self._check_form()
        with self._change("refresh", restored=True):
            tally = self._tally().up_to(self._high.read_sound() or Tally())
            self._db.execute("UPDATE tally SET counter = ?, recorded = ?", (tally.counter, tally.recorded))
            self._db.execute(
                "UPDATE part SET unknown = max(unknown, e.budget - e.reserve - opened) FROM epoch e"
                " WHERE e.epoch = part.epoch AND e.status = 'open'"
            )
            self._db.execute("UPDATE epoch SET status = 'stale' WHERE status = 'open'")

    # --- one durable change

    @contextmanager
    def _change(self, step: str, *, restored: bool = False) -> Iterator[None]:
        """One transaction, on disk and then in the high-water mark when the block has ended well."""
        assert os.getpid() == self._process, "a ledger is not carried into another process"
        with refusals.ledger_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                failpoint(f"{step}.locked")
                if not restored:
                    self._high.check(self._high.read(), self._tally())
                yield
                tally = self._tally()
                failpoint(f"{step}.stored")
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        failpoint(f"{step}.committed")
        self._high.raise_to(tally, step=step)
        failpoint(f"{step}.done")

    def _tally(self) -> Tally:
        if schema.is_empty(self._db):
            return Tally()
        return Tally(*self._db.execute("SELECT counter, recorded FROM tally").fetchone())

    def _next_counter(self) -> int:
        (counter,) = self._db.execute("UPDATE tally SET counter = counter + 1 RETURNING counter").fetchone()
        return int(counter)

    def _store(self, ticket: Ticket) -> None:
        self._db.execute(
            "INSERT INTO ticket (counter, epoch, purpose, queries) VALUES (?, ?, ?, ?)",
            (ticket.counter, ticket.epoch, ticket.purpose, ticket.queries),
        )
        rows = [(ticket.counter, ticket.epoch, part) for part in ticket.parts]
        self._db.executemany("INSERT INTO ticket_part VALUES (?, ?, ?)", rows)

    def _claim(self, ticket: Ticket) -> None:
        """Marks a ticket as recorded; it must be as it was stored."""
        claimed = self._db.execute(
            "UPDATE ticket SET recorded = 1 WHERE counter = ? AND epoch = ? AND purpose = ? AND queries = ?"
            " AND recorded = 0",
            (ticket.counter, ticket.epoch, ticket.purpose, ticket.queries),
        ).rowcount
        # All rows are fetched at once: a cursor that an error's traceback keeps would keep its snapshot too.
        stored = self._db.execute(
            "SELECT part FROM ticket_part WHERE counter = ?", (ticket.counter,)
        ).fetchall()
        if claimed != 1 or {part for (part,) in stored} != set(ticket.parts):
            raise refusals.no_such_ticket(ticket.counter)
        self._db.execute("UPDATE tally SET recorded = recorded + 1")

    def _insert(self, ticket: Ticket, part: int, columns: Sequence[int]) -> None:
        # Not INSERT OR IGNORE: that would pass over columns out of range as well.
        self._db.executemany(
            "INSERT INTO opened VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(ticket.epoch, part, column, ticket.counter) for column in columns],
        )

    def _count_known(self, epoch: int, part: int, columns: Sequence[int]) -> int:
        marks = ",".join("?" * len(columns))
        query = f'SELECT count(*) FROM opened WHERE epoch = ? AND part = ? AND "column" IN ({marks})'  # noqa: S608
        (known,) = self._db.execute(query, (epoch, part, *columns)).fetchone()
        return int(known)

    # --- epochs

    def _usable(self, root: bytes, purpose: Purpose) -> EpochState:
        """The epoch with this root, if it may be opened for this purpose."""
        found = self._db.execute("SELECT epoch FROM epoch WHERE root = ?", (root,)).fetchone()
        if found is None:
            raise refusals.other_model(self.path, root)
        epoch = self._epoch(found[0])
        if epoch.status == "retired":
            raise refusals.wrong_epoch(f"epoch {epoch.epoch} is retired")
        if epoch.status == "stale" and purpose != "refresh":
            raise refusals.stale(epoch.epoch)
        return epoch

    def _epoch(self, number: int) -> EpochState:
        root, status, budget, reserve, queries = self._db.execute(
            "SELECT root, status, budget, reserve, queries FROM epoch WHERE epoch = ?", (number,)
        ).fetchone()
        parts = self._db.execute(
            "SELECT opened, unknown FROM part WHERE epoch = ? ORDER BY part", (number,)
        ).fetchall()
        begun, recorded = self._db.execute(
            "SELECT count(*), coalesce(sum(recorded), 0) FROM ticket WHERE epoch = ?", (number,)
        ).fetchone()
        return EpochState(
            epoch=number,
            root=root,
            status=status,
            budget=budget,
            reserve=reserve,
            queries=queries,
            parts=tuple(PartState(*row) for row in parts),
            begun=begun,
            recorded=recorded,
        )

    def _add(self, new: EpochState) -> None:
        (last,) = self._db.execute("SELECT max(epoch) FROM epoch").fetchone()
        if last is not None and new.epoch <= last and self._is_there(new):
            return
        if last is not None and new.epoch != last + 1:
            raise refusals.wrong_epoch(f"epoch {new.epoch} does not follow epoch {last}")
        if self._db.execute("SELECT 1 FROM epoch WHERE root = ?", (new.root,)).fetchone() is not None:
            raise refusals.wrong_epoch(f"epoch {new.epoch} has the root of an epoch before")
        self._db.execute(
            "INSERT INTO epoch VALUES (?, ?, ?, ?, ?, ?)",
            (new.epoch, new.root, new.status, new.budget, new.reserve, new.queries),
        )
        rows = [(new.epoch, part, new.budget) for part in range(len(new.parts))]
        self._db.executemany("INSERT INTO part (epoch, part, budget) VALUES (?, ?, ?)", rows)

    def _is_there(self, new: EpochState) -> bool:
        if self._db.execute("SELECT 1 FROM epoch WHERE epoch = ?", (new.epoch,)).fetchone() is None:
            return False
        return _numbers(self._epoch(new.epoch)) == _numbers(new)


def _numbers(epoch: EpochState) -> tuple[object, ...]:
    """What does not change over an epoch's life."""
    return (epoch.root, epoch.budget, epoch.reserve, epoch.queries, len(epoch.parts))


def _check_budget(epoch: EpochState, part: int, fresh: int, purpose: Purpose) -> None:
    assert 0 <= part < len(epoch.parts)
    if epoch.parts[part].used + fresh > epoch.limit(purpose):
        raise refusals.budget_passed(epoch, part, fresh, purpose)


def _make_file(path: Path) -> None:
    """An empty file that its owner alone may read, with its name on disk; one that is there stays."""
    with refusals.ledger_errors(path):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return
        sync_folder(path.parent)
    failpoint("create.file")
