"""The ledger: the durable count of the columns that were opened of each long-lived commitment.

Any h distinct columns of a part are uniform; one more may tell something about its cells. A prover begins a
ticket, makes its proof, records the columns, and only then reveals them:

    with Ledger.open(model / "ledger.db") as ledger:
        ticket = ledger.begin(root=root, parts=[7], queries=216, purpose="proof")
        ...                                  # ticket.counter is part of the proof
        ledger.record(ticket, columns)       # durable when it returns; now the proof may leave

docs/spec/ledger.md has the order of steps and why a crash at each is safe. All errors are `StorageError`s.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import quote

from assay.errors import StorageError
from assay.storage import sync_folder
from assay.trace import refusals, schema
from assay.trace.failpoints import failpoint
from assay.trace.high import HighWater, Tally
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
        new = EpochState.fresh(
            epoch=epoch, root=root, parts=parts, budget=budget, queries=queries, reserve=reserve
        )
        _make_file(path)
        return cls(path)._opened_by(lambda ledger: ledger._create(new))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a ledger after a check of its pages, its counts and its high-water mark."""
        return cls(path)._opened_by(lambda ledger: ledger._check())

    @classmethod
    def require_refresh(cls, path: Path, known: Sequence[EpochState] = ()) -> Self:
        """Accepts a ledger that was restored: its epochs are stale from now on, durably, and only refreshed.

        What proofs could have opened of them counts as opened; the counter goes on from the high-water mark.
        With `known`, the epochs that there are: those that are missing here are added, stale as well, and
        all others are abandoned.
        """
        return cls(path)._opened_by(lambda ledger: ledger._require_refresh(known))

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
            page = self._claim(ticket)
            epoch = self._usable(ticket.root, ticket.purpose)
            for part in ticket.parts:
                known = self._count_known(page, part, chosen)
                _check_budget(epoch, part, len(chosen) - known, ticket.purpose)
                self._insert(page, ticket, part, chosen)

    def retire(self, epoch: int) -> None:
        """Ends an epoch: nothing more is opened of it, not even for a refresh."""
        with self._change("retire"):
            page = self._live(epoch)
            if page is None:
                raise refusals.wrong_epoch(f"there is no epoch {epoch}")
            if self._epoch(page).status != "retired":
                self._db.execute("UPDATE epoch SET status = 'retired' WHERE page = ?", (page,))

    def abandon(self, *, after: int) -> None:
        """Gives up the epochs after one, which were never finished: another may take their number."""
        with self._change("retire"):
            self._db.execute(
                "UPDATE epoch SET status = 'abandoned' WHERE epoch > ? AND status IN ('open', 'stale')",
                (after,),
            )

    def ticket(self, counter: int) -> tuple[Ticket, bool] | None:
        """The ticket of this number, and whether its columns are recorded; None if there is none."""
        with refusals.ledger_errors(self.path):
            row = self._db.execute(
                "SELECT e.epoch, e.root, t.queries, t.purpose, t.recorded"
                " FROM ticket t JOIN epoch e USING (page) WHERE t.counter = ?",
                (counter,),
            ).fetchone()
            parts = self._db.execute(
                "SELECT part FROM ticket_part WHERE counter = ? ORDER BY part", (counter,)
            ).fetchall()
        if row is None:
            return None
        epoch, root, queries, purpose, recorded = row
        return Ticket(counter, epoch, root, tuple(p for (p,) in parts), queries, purpose), bool(recorded)

    def holds(self, ticket: Ticket, columns: Sequence[int]) -> bool:
        """Whether this very ticket is recorded, and all these columns: some may have been opened before."""
        if len(columns) > ticket.queries or self.ticket(ticket.counter) != (ticket, True):
            return False
        with refusals.ledger_errors(self.path):
            page = self._page(ticket.root)
            rows = self._db.execute(
                'SELECT part, "column" FROM opened WHERE counter = ?', (ticket.counter,)
            ).fetchall()
            known = [self._count_known(page, part, columns) for part in ticket.parts]
        return {column for _, column in rows} <= set(columns) and set(known) == {len(columns)}

    def state(self) -> LedgerState:
        """All epochs with their counts, as of one moment."""
        with refusals.ledger_errors(self.path):
            self._db.execute("BEGIN")
            try:
                pages = self._db.execute("SELECT page FROM epoch ORDER BY epoch, page").fetchall()
                return LedgerState(self._tally().counter, tuple(self._epoch(page) for (page,) in pages))
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

    def _require_refresh(self, known: Sequence[EpochState]) -> None:
        self._check_form()
        with self._change("refresh", restored=True):
            tally = self._tally().up_to(self._high.read_sound() or Tally())
            self._db.execute("UPDATE tally SET counter = ?, recorded = ?", (tally.counter, tally.recorded))
            self._db.execute(
                "UPDATE part SET unknown = max(unknown, e.budget - e.reserve - opened) FROM epoch e"
                " WHERE e.page = part.page AND e.status = 'open'"
            )
            self._db.execute("UPDATE epoch SET status = 'stale' WHERE status = 'open'")
            if known:
                self._keep_only(known)

    def _keep_only(self, known: Sequence[EpochState]) -> None:
        """Abandons all epochs but these, and adds those of them that are missing, as stale."""
        marks = ",".join("?" * len(known))
        self._db.execute(
            f"UPDATE epoch SET status = 'abandoned' WHERE status = 'stale' AND root NOT IN ({marks})",  # noqa: S608
            [epoch.root for epoch in known],
        )
        for epoch in known:
            if self._page(epoch.root) is None and self._live(epoch.epoch) is None:
                lost = PartState(0, epoch.budget - epoch.reserve)
                self._insert_epoch(replace(epoch, status="stale", parts=(lost,) * len(epoch.parts)))

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
        page = self._page(ticket.root)
        self._db.execute(
            "INSERT INTO ticket (counter, page, purpose, queries) VALUES (?, ?, ?, ?)",
            (ticket.counter, page, ticket.purpose, ticket.queries),
        )
        rows = [(ticket.counter, page, part) for part in ticket.parts]
        self._db.executemany("INSERT INTO ticket_part VALUES (?, ?, ?)", rows)

    def _claim(self, ticket: Ticket) -> int:
        """Marks a ticket as recorded; it must be as it was stored. Returns its page."""
        page = self._page(ticket.root)
        claimed = self._db.execute(
            "UPDATE ticket SET recorded = 1 WHERE counter = ? AND page = ? AND purpose = ? AND queries = ?"
            " AND recorded = 0",
            (ticket.counter, page, ticket.purpose, ticket.queries),
        ).rowcount
        # All rows are fetched at once: a cursor that an error's traceback keeps would keep its snapshot too.
        stored = self._db.execute(
            "SELECT part FROM ticket_part WHERE counter = ?", (ticket.counter,)
        ).fetchall()
        wrong = page is None or self._epoch(page).epoch != ticket.epoch
        if wrong or claimed != 1 or {part for (part,) in stored} != set(ticket.parts):
            raise refusals.no_such_ticket(ticket.counter)
        assert page is not None
        self._db.execute("UPDATE tally SET recorded = recorded + 1")
        return page

    def _insert(self, page: int, ticket: Ticket, part: int, columns: Sequence[int]) -> None:
        # Not INSERT OR IGNORE: that would pass over columns out of range as well.
        self._db.executemany(
            "INSERT INTO opened VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(page, part, column, ticket.counter) for column in columns],
        )

    def _count_known(self, page: int | None, part: int, columns: Sequence[int]) -> int:
        marks = ",".join("?" * len(columns))
        query = f'SELECT count(*) FROM opened WHERE page = ? AND part = ? AND "column" IN ({marks})'  # noqa: S608
        (known,) = self._db.execute(query, (page, part, *columns)).fetchone()
        return int(known)

    # --- epochs

    def _usable(self, root: bytes, purpose: Purpose) -> EpochState:
        """The epoch with this root, if it may be opened for this purpose."""
        page = self._page(root)
        if page is None:
            raise refusals.other_model(self.path, root)
        epoch = self._epoch(page)
        if epoch.status in ("retired", "abandoned"):
            raise refusals.wrong_epoch(f"epoch {epoch.epoch} is {epoch.status}")
        if epoch.status == "stale" and purpose != "refresh":
            raise refusals.stale(epoch.epoch)
        return epoch

    def _page(self, root: bytes) -> int | None:
        """The page of the epoch with this root."""
        found = self._db.execute("SELECT page FROM epoch WHERE root = ?", (root,)).fetchone()
        return None if found is None else int(found[0])

    def _live(self, number: int) -> int | None:
        """The page of the epoch with this number that was not abandoned."""
        found = self._db.execute(
            "SELECT page FROM epoch WHERE epoch = ? AND status <> 'abandoned'", (number,)
        ).fetchone()
        return None if found is None else int(found[0])

    def _epoch(self, page: int) -> EpochState:
        number, root, status, budget, reserve, queries = self._db.execute(
            "SELECT epoch, root, status, budget, reserve, queries FROM epoch WHERE page = ?", (page,)
        ).fetchone()
        parts = self._db.execute(
            "SELECT opened, unknown FROM part WHERE page = ? ORDER BY part", (page,)
        ).fetchall()
        begun, recorded = self._db.execute(
            "SELECT count(*), coalesce(sum(recorded), 0) FROM ticket WHERE page = ?", (page,)
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
        (last,) = self._db.execute("SELECT max(epoch) FROM epoch WHERE status <> 'abandoned'").fetchone()
        if last is not None and new.epoch <= last and self._is_there(new):
            return
        if last is not None and new.epoch != last + 1:
            raise refusals.wrong_epoch(f"epoch {new.epoch} does not follow epoch {last}")
        if self._page(new.root) is not None:
            raise refusals.wrong_epoch(f"epoch {new.epoch} has the root of an epoch before")
        self._insert_epoch(new)

    def _insert_epoch(self, new: EpochState) -> None:
        (page,) = self._db.execute("SELECT coalesce(max(page) + 1, 0) FROM epoch").fetchone()
        self._db.execute(
            "INSERT INTO epoch VALUES (?, ?, ?, ?, ?, ?, ?)",
            (page, new.epoch, new.root, new.status, new.budget, new.reserve, new.queries),
        )
        rows = [(page, part, new.budget, state.unknown) for part, state in enumerate(new.parts)]
        self._db.executemany("INSERT INTO part (page, part, budget, unknown) VALUES (?, ?, ?, ?)", rows)

    def _is_there(self, new: EpochState) -> bool:
        page = self._live(new.epoch)
        return page is not None and _numbers(self._epoch(page)) == _numbers(new)


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
