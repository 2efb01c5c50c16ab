"""The ledger of opened columns: budget, tickets, epochs, rollback, refusals, and a model in plain Python."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from assay.cli import main
from assay.errors import StorageError
from assay.trace import EpochState, Ledger, Purpose, Ticket, failpoints, high
from assay.trace.high import HighWater, Tally

ROOTS = [bytes([i]) * 32 for i in range(8)]
NOBODY = 65534


class QuickLedger(Ledger):
    """Waits for no disk and for no other process."""

    _synchronous: ClassVar[str] = "OFF"
    _busy_s: ClassVar[float] = 0.05


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is tested in tests/ledger; here nothing waits for it."""
    monkeypatch.setattr(high.os, "fsync", lambda descriptor: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with create(path) as made:
        yield made


def create(path: Path, epoch: int = 0, **changed: Any) -> Ledger:
    """Two parts, 100 columns, of which 10 are in reserve; proofs open 10."""
    numbers = {"parts": 2, "budget": 100, "queries": 10, "reserve": 10}
    return QuickLedger.create(path, epoch=epoch, **{"root": ROOTS[epoch], **numbers, **changed})


def begin(
    ledger: Ledger, epoch: int = 0, purpose: Purpose = "proof", parts: tuple[int, ...] = (0,)
) -> Ticket:
    return ledger.begin(root=ROOTS[epoch], parts=parts, queries=10, purpose=purpose)


def spend(ledger: Ledger, proofs: int, start: int = 0) -> None:
    """Opens columns from `start` on, ten a proof."""
    for i in range(proofs):
        first = start + 10 * i
        ledger.record(begin(ledger), range(first, first + 10))


def refused(code: str, run: Callable[[], object]) -> StorageError:
    with pytest.raises(StorageError) as caught:
        run()
    assert caught.value.code == code, caught.value
    assert caught.value.exit_code == 2
    assert caught.value.hint
    return caught.value


# --- what a proof does


def test_a_proof_is_counted(ledger: Ledger) -> None:
    ticket = begin(ledger, parts=(0, 1))
    assert ticket == Ticket(1, 0, ROOTS[0], (0, 1), 10, "proof")
    before = ledger.state()
    assert (before.counter, before.current.begun, before.current.recorded) == (1, 1, 0)
    assert before.current.used == 0
    ledger.record(ticket, range(10))
    ledger.record(begin(ledger, parts=(1,)), range(5, 15))
    after = ledger.state().current
    assert [part.used for part in after.parts] == [10, 15]
    assert (after.begun, after.recorded, after.fullest, after.openings_left) == (2, 2, 1, 7)
    assert after.fraction_used == 15 / 90
    assert after.warning is None


def test_what_is_recorded_is_there_after_reopening(path: Path) -> None:
    with create(path) as ledger:
        spend(ledger, 2)
        state = ledger.state()
    with QuickLedger.open(path) as again:
        assert again.state() == state
        assert begin(again).counter == 3


def test_begin_refuses_what_might_pass_the_budget(ledger: Ledger) -> None:
    spend(ledger, 9)
    error = refused("ledger-budget", lambda: begin(ledger))
    assert error.message == "epoch 0, part 0: 90 of 90 columns are used, 0 are left, 10 are needed"
    assert "refresh" in str(error.hint)
    assert ledger.state().counter == 9
    assert begin(ledger, parts=(1,)).counter == 10
    refused("ledger-budget", lambda: begin(ledger, parts=(1, 0)))


def test_the_reserve_is_for_a_refresh(ledger: Ledger) -> None:
    spend(ledger, 9)
    ledger.record(begin(ledger, purpose="refresh"), range(90, 100))
    assert ledger.state().current.used == 100
    refused("ledger-budget", lambda: begin(ledger, purpose="refresh"))


def test_the_second_half_of_the_reserve_is_for_a_lost_refresh(path: Path) -> None:
    with create(path, reserve=20) as ledger:
        spend(ledger, 8)
        ledger.record(begin(ledger, purpose="refresh"), range(80, 90))
        error = refused("ledger-budget", lambda: begin(ledger, purpose="refresh"))
        assert "--restored" in str(error.hint)
    with QuickLedger.require_refresh(path) as ledger:
        ledger.record(begin(ledger, purpose="refresh"), range(90, 100))
        error = refused("ledger-budget", lambda: begin(ledger, purpose="refresh"))
        assert "register" in str(error.hint)


def test_columns_opened_before_are_free(ledger: Ledger) -> None:
    spend(ledger, 8)
    for _ in range(3):
        ledger.record(begin(ledger), range(10))
    assert ledger.state().current.used == 80


def test_of_two_provers_the_second_is_refused_with_nothing_recorded(path: Path, ledger: Ledger) -> None:
    spend(ledger, 8)
    with QuickLedger.open(path) as other:
        mine, theirs = begin(ledger, parts=(1, 0)), begin(other, parts=(1, 0))
        assert mine.counter + 1 == theirs.counter
        other.record(theirs, range(80, 90))
        before = ledger.state()
        refused("ledger-budget", lambda: ledger.record(mine, range(85, 95)))
        assert ledger.state() == before
        ledger.record(mine, range(80, 90))


def test_a_ticket_is_recorded_once(path: Path, ledger: Ledger) -> None:
    ticket = begin(ledger)
    ledger.record(ticket, range(10))
    refused("ledger-ticket", lambda: ledger.record(ticket, range(10)))
    other = begin(ledger)
    for changed in (
        {"counter": 7},
        {"parts": (0, 1)},
        {"parts": (1,)},
        {"queries": 11},
        {"purpose": "refresh"},
        {"epoch": 1},
    ):
        wrong = replace(other, **changed)
        refused("ledger-ticket", lambda wrong=wrong: ledger.record(wrong, range(20, 30)))
    assert ledger.state().current.used == 10
    ledger.record(other, range(20, 30))


def test_a_refusal_that_is_kept_pins_no_old_state(path: Path, ledger: Ledger) -> None:
    """An error keeps the frames it came from: a cursor in one of them would keep its snapshot."""
    ticket = begin(ledger, parts=(0, 1))
    ledger.record(ticket, range(10))
    kept = [refused("ledger-ticket", lambda: ledger.record(ticket, range(10)))]
    kept.append(refused("ledger-other-model", lambda: begin(ledger, 5)))
    create(path, 1).close()
    assert len(ledger.state().epochs) == 2
    assert begin(ledger, 1).counter == 2
    assert len(kept) == 2


def test_a_ticket_of_another_epoch_is_not_recorded(path: Path, ledger: Ledger) -> None:
    ticket = begin(ledger)
    create(path, 1).close()
    moved = replace(ticket, root=ROOTS[1], epoch=1)
    refused("ledger-ticket", lambda: ledger.record(moved, range(10)))


def test_mistakes_of_ours_are_asserted(ledger: Ledger) -> None:
    ticket = begin(ledger)
    for columns in ([], [1, 1], list(range(11))):
        with pytest.raises(AssertionError):
            ledger.record(ticket, columns)
    for parts in ((), (0, 0), (2,), (-1,)):
        with pytest.raises(AssertionError):
            begin(ledger, parts=parts)
    process = os.fork()
    if process == 0:
        try:
            begin(ledger)
        except AssertionError:
            os._exit(17)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 17


@pytest.mark.parametrize("column", [-1, 2**28, 2**63 - 1])
def test_a_column_out_of_range_is_not_passed_over(ledger: Ledger, column: int) -> None:
    ticket = begin(ledger)
    with pytest.raises(sqlite3.IntegrityError):
        ledger.record(ticket, [1, column])
    assert ledger.state().current.used == 0


def test_the_warning_comes_at_nine_tenths(ledger: Ledger) -> None:
    spend(ledger, 8)
    assert ledger.state().warnings == ()
    ledger.record(begin(ledger), [80])
    (warning,) = ledger.state().warnings
    assert "90 % used up, 0 proofs left: refresh soon" in warning


def test_the_budget_of_the_default_profile(path: Path) -> None:
    with create(path, budget=32768, queries=194, reserve=194) as ledger:
        state = ledger.state().current
    assert state.openings_left == 167
    assert state.limit("refresh") // 194 == 168


# --- epochs


def test_epochs_follow_each_other(path: Path, ledger: Ledger) -> None:
    begin(ledger)
    create(path, 1, parts=3).close()
    assert begin(ledger, 1, parts=(2,)).counter == 2
    assert begin(ledger, 0).counter == 3
    for epoch in (0, 3, 7):
        refused("ledger-epoch", lambda epoch=epoch: create(path, epoch, root=ROOTS[5]))
    refused("ledger-epoch", lambda: create(path, 2, root=ROOTS[0]))
    refused("ledger-epoch", lambda: create(path, 1, parts=2))
    state = ledger.state()
    assert [epoch.begun for epoch in state.epochs] == [2, 1]
    assert state.current.root == ROOTS[1]


def test_an_epoch_that_is_there_stays_as_it_is(path: Path, ledger: Ledger) -> None:
    spend(ledger, 3)
    with create(path) as again:
        assert again.state() == ledger.state()


def test_a_retired_epoch_opens_nothing(path: Path, ledger: Ledger) -> None:
    ticket = begin(ledger)
    create(path, 1).close()
    for _ in range(2):
        ledger.retire(0)
    for purpose in ("proof", "refresh"):
        refused("ledger-epoch", lambda purpose=purpose: begin(ledger, purpose=purpose))
    refused("ledger-epoch", lambda: ledger.record(ticket, range(10)))
    refused("ledger-epoch", lambda: ledger.retire(2))
    assert [epoch.status for epoch in ledger.state().epochs] == ["retired", "open"]
    assert begin(ledger, 1).epoch == 1


def test_another_model(ledger: Ledger) -> None:
    error = refused("ledger-other-model", lambda: begin(ledger, 5))
    assert "--restored" in str(error.hint)


def test_an_abandoned_epoch_makes_room_for_another_of_its_number(path: Path, ledger: Ledger) -> None:
    create(path, 1).close()
    ticket = begin(ledger, 1)
    spend(ledger, 1)
    ledger.abandon(after=0)
    refused("ledger-epoch", lambda: begin(ledger, 1))
    refused("ledger-epoch", lambda: ledger.record(ticket, range(10)))
    assert ledger.state().current.epoch == 0
    refused("ledger-epoch", lambda: create(path, 1))
    create(path, 1, root=ROOTS[5]).close()
    refused("ledger-epoch", lambda: create(path, 1, root=ROOTS[6]))
    assert ledger.begin(root=ROOTS[5], parts=(0,), queries=10, purpose="proof").counter == 3
    refused("ledger-epoch", lambda: begin(ledger, 1))
    assert [(epoch.epoch, epoch.status) for epoch in ledger.state().epochs] == [
        (0, "open"),
        (1, "abandoned"),
        (1, "open"),
    ]
    QuickLedger.require_refresh(path).close()
    assert [epoch.status for epoch in ledger.state().epochs] == ["stale", "abandoned", "stale"]


def known(epoch: int, root: bytes) -> EpochState:
    return EpochState.fresh(epoch=epoch, root=root, parts=2, budget=100, queries=10, reserve=10)


def test_a_restored_ledger_is_brought_to_the_epochs_that_there_are(path: Path, ledger: Ledger) -> None:
    spend(ledger, 2)
    create(path, 1).close()
    there = [known(0, ROOTS[0]), known(1, ROOTS[5]), known(2, ROOTS[2])]
    for _ in range(2):
        QuickLedger.require_refresh(path, there).close()
        assert [(epoch.root, epoch.status) for epoch in ledger.state().epochs] == [
            (ROOTS[0], "stale"),
            (ROOTS[1], "abandoned"),
            (ROOTS[5], "stale"),
            (ROOTS[2], "stale"),
        ]
    assert [part.used for part in ledger.state().current.parts] == [90, 90]
    begin(ledger, 2, purpose="refresh")
    create(path, 3).close()


def test_what_is_held_of_a_ticket(ledger: Ledger) -> None:
    first, second = begin(ledger, parts=(0, 1)), begin(ledger, parts=(0, 1), purpose="refresh")
    assert ledger.ticket(3) is None
    assert ledger.ticket(2) == (second, False)
    assert not ledger.holds(first, range(10))
    ledger.record(first, range(10))
    ledger.record(second, range(5, 15))  # some were opened before
    for ticket, start in ((first, 0), (second, 5)):
        assert ledger.holds(ticket, range(start, start + 10))
        for other in (range(start, start + 9), range(start + 1, start + 11), range(start, start + 11)):
            assert not ledger.holds(ticket, other)
        assert not ledger.holds(replace(ticket, purpose="refresh", parts=(0,)), range(start, start + 10))
        assert not ledger.holds(replace(ticket, root=ROOTS[1]), range(start, start + 10))


# --- rollback


def copy(path: Path, to: Path) -> None:
    """A backup of the database alone, as of now."""
    source, target = sqlite3.connect(path), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.execute("PRAGMA journal_mode = WAL")
    target.close()


def test_an_older_database_is_refused(path: Path, tmp_path: Path) -> None:
    with create(path) as ledger:
        spend(ledger, 1)
        copy(path, tmp_path / "backup")
        spend(ledger, 1, start=10)
    shutil.copyfile(tmp_path / "backup", path)
    error = refused("ledger-rolled-back", lambda: QuickLedger.open(path))
    assert "assay refresh DIR --restored" in str(error.hint)
    assert "mandatory" in str(error.hint)
    refused("ledger-rolled-back", lambda: create(path, 1))


def test_a_lost_record_of_a_ticket_that_is_there_is_seen(path: Path, tmp_path: Path) -> None:
    """Same counter, fewer records: a backup from between begin and record."""
    with create(path) as ledger:
        ticket = begin(ledger)
        copy(path, tmp_path / "backup")
        ledger.record(ticket, range(10))
    shutil.copyfile(tmp_path / "backup", path)
    refused("ledger-rolled-back", lambda: QuickLedger.open(path))


def test_a_rollback_under_an_open_ledger_is_seen(path: Path, ledger: Ledger) -> None:
    ticket = begin(ledger)
    HighWater(path).path.write_text("2 0\n")
    refused("ledger-rolled-back", lambda: begin(ledger))
    refused("ledger-rolled-back", lambda: ledger.record(ticket, range(10)))
    assert ledger.state().counter == 1


def test_a_missing_or_garbled_mark(path: Path) -> None:
    with create(path) as ledger:
        begin(ledger)
    mark = HighWater(path).path
    for text in (b"", b"1\n", b"1 0", b"01 0\n", b"1 0\n\n", b"-1 0\n", b"x y\n", b"9" * 99):
        mark.write_bytes(text)
        refused("ledger-corrupt", lambda: QuickLedger.open(path))
    mark.unlink()
    refused("ledger-rolled-back", lambda: QuickLedger.open(path))
    refused("ledger-rolled-back", lambda: create(path))
    assert not mark.exists()


def test_a_deleted_database_is_not_made_anew(path: Path) -> None:
    with create(path) as ledger:
        begin(ledger)
    path.unlink()
    refused("ledger-rolled-back", lambda: create(path))


def test_a_database_ahead_of_its_mark_is_fine(path: Path) -> None:
    """As after a crash between the commit and the mark; the next ticket brings it up to date."""
    with create(path) as ledger:
        begin(ledger)
    HighWater(path).path.write_text("0 0\n")
    with QuickLedger.open(path) as ledger:
        assert begin(ledger).counter == 2
    assert HighWater(path).read() == Tally(2, 0)


def test_the_mark_never_sinks(tmp_path: Path) -> None:
    mark = HighWater(tmp_path / "x")
    for tally in (Tally(3, 2), Tally(2, 1), Tally(2, 0)):
        mark.raise_to(tally, step="begin")
        assert mark.read() == Tally(3, 2)
    assert stat.S_IMODE(mark.path.stat().st_mode) == 0o600


def test_after_a_restore_only_a_refresh_is_made(path: Path, tmp_path: Path) -> None:
    with create(path) as ledger:
        spend(ledger, 1)
        copy(path, tmp_path / "backup")
        spend(ledger, 3, start=10)
    shutil.copyfile(tmp_path / "backup", path)
    with QuickLedger.require_refresh(path) as ledger:
        refused("ledger-stale", lambda: begin(ledger))
        (warning,) = ledger.state().warnings
        assert "stale" in warning
    for reopen in (QuickLedger.open, QuickLedger.require_refresh):
        with reopen(path) as ledger:
            refused("ledger-stale", lambda ledger=ledger: begin(ledger))
            state = ledger.state().current
            assert [(part.opened, part.unknown) for part in state.parts] == [(10, 80), (0, 90)]
            assert (state.status, state.openings_left) == ("stale", 0)
    with QuickLedger.open(path) as ledger:
        ticket = begin(ledger, purpose="refresh")
        assert ticket.counter == 5, "the counters of the lost proofs are not used again"
        ledger.record(ticket, range(90, 100))
        refused("ledger-budget", lambda: begin(ledger, purpose="refresh"))
        create(path, 1).close()
        assert begin(ledger, 1).counter == 6


def test_a_proof_begun_before_the_restore_is_not_recorded_after_it(path: Path, ledger: Ledger) -> None:
    ticket = begin(ledger)
    QuickLedger.require_refresh(path).close()
    refused("ledger-stale", lambda: ledger.record(ticket, range(10)))


@pytest.mark.parametrize("text", [None, b"garbage"])
def test_a_refresh_is_possible_without_a_mark(path: Path, text: bytes | None) -> None:
    with create(path) as ledger:
        spend(ledger, 2)
    mark = HighWater(path)
    mark.path.unlink()
    if text is not None:
        mark.path.write_bytes(text)
    QuickLedger.require_refresh(path).close()
    assert mark.read() == Tally(2, 2)
    with QuickLedger.open(path) as ledger:
        assert begin(ledger, purpose="refresh").counter == 3


# --- files that are no ledger, or cannot be written


def test_a_missing_ledger(path: Path) -> None:
    refused("ledger-missing", lambda: QuickLedger.open(path))
    refused("ledger-missing", lambda: QuickLedger.require_refresh(path))
    refused("ledger-missing", lambda: QuickLedger.open(path.parent))
    with pytest.raises(StorageError, match="No such file"):
        create(path / "no" / "folder")


def test_its_files_are_the_owners_alone(path: Path, ledger: Ledger) -> None:
    begin(ledger)
    files = sorted(file.name for file in path.parent.iterdir())
    assert {"ledger.db", "ledger.db-wal", "ledger.db.high", "ledger.db.lock"} <= set(files)
    assert {stat.S_IMODE((path.parent / name).stat().st_mode) for name in files} == {0o600}


def test_hints_after_damage_name_the_restore(path: Path) -> None:
    for code, data in (("ledger-missing", None), ("ledger-corrupt", b"garbage")):
        if data is not None:
            path.write_bytes(data)
        error = refused(code, lambda: QuickLedger.open(path))
        assert "assay refresh DIR --restored" in str(error.hint)


def test_garbage(path: Path) -> None:
    for data in (b"", b"garbage", b"SQLite format 3\0" + b"\0" * 100, os.urandom(8192)):
        path.write_bytes(data)
        refused("ledger-corrupt", lambda: QuickLedger.open(path))
        if data:
            refused("ledger-corrupt", lambda: create(path))


def test_a_database_of_another_program(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (x)")
    db.close()
    for run in (QuickLedger.open, QuickLedger.require_refresh, create):
        refused("ledger-corrupt", lambda run=run: run(path))


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version = 2",
        "PRAGMA application_id = 1",
        "PRAGMA journal_mode = DELETE",
        "DROP TRIGGER opened_counts",
        "CREATE TABLE more (x)",
        "DROP TRIGGER part_update; UPDATE part SET opened = 5",
        "DROP TRIGGER opened_delete; DELETE FROM opened",
        "DROP TRIGGER tally_update; UPDATE tally SET counter = 0, recorded = 0",
    ],
)
def test_a_changed_database(path: Path, change: str) -> None:
    with create(path) as ledger:
        spend(ledger, 1)
    db = sqlite3.connect(path)
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    db.executescript(change)
    for name, sql in triggers:
        if "; " in change and name in change:
            db.execute(sql)
    db.commit()
    db.close()
    refused("ledger-corrupt", lambda: QuickLedger.open(path))


def test_damaged_pages(path: Path) -> None:
    with create(path) as ledger:
        spend(ledger, 9)
    data = bytearray(path.read_bytes())
    seen = 0
    for start in range(0, len(data), 4096):
        damaged = bytes(data[:start]) + b"\xa5" * 4096 + bytes(data[start + 4096 :])
        path.write_bytes(damaged)
        refused("ledger-corrupt", lambda: QuickLedger.open(path))
        seen += 1
    path.write_bytes(data[:8192])
    refused("ledger-corrupt", lambda: QuickLedger.open(path))
    assert seen > 8


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM opened",
        "UPDATE opened SET counter = 2",
        "DELETE FROM ticket",
        "UPDATE ticket SET recorded = 0",
        "DELETE FROM ticket_part",
        "DELETE FROM part",
        "UPDATE part SET opened = 0",
        "UPDATE part SET budget = 1000",
        "DELETE FROM epoch",
        "UPDATE epoch SET budget = 1000",
        "UPDATE epoch SET root = zeroblob(32)",
        "INSERT INTO epoch VALUES (1, 0, randomblob(32), 'open', 100, 10, 10)",
        "UPDATE epoch SET status = 'none'",
        "UPDATE tally SET counter = 0",
        "DELETE FROM tally",
        "INSERT INTO opened VALUES (0, 0, 55, 9)",
        "INSERT INTO opened VALUES (0, 1, 55, 1)",
        "INSERT INTO opened VALUES (1, 0, 55, 1)",
        "INSERT INTO part VALUES (0, 2, 10, 11, 0)",
        "INSERT INTO tally VALUES (1, 0, 0)",
    ],
)
def test_the_database_itself_refuses(path: Path, ledger: Ledger, statement: str) -> None:
    spend(ledger, 1)
    db = sqlite3.connect(path)
    db.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(statement)
    db.close()


def test_a_busy_ledger(path: Path, ledger: Ledger) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    refused("ledger-busy", lambda: begin(ledger))
    db.close()
    assert begin(ledger).counter == 1


def as_nobody(run: Callable[[], object]) -> str:
    """The code of the error that a process meets which may not write everywhere."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        code = "nothing"
        try:
            if os.getuid() == 0:
                os.setuid(NOBODY)
            run()
        except StorageError as error:
            code = error.code
        except BaseException as error:
            code = repr(error)
        finally:
            os.write(writer, code.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(process, 0)
    with open(reader, "rb") as answer:
        return answer.read().decode()


def test_a_read_only_folder_and_a_read_only_file() -> None:
    folder = Path(tempfile.mkdtemp())
    path = folder / "ledger.db"
    try:
        create(path).close()
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)
        assert as_nobody(lambda: QuickLedger.open(path)) == "ledger-read-only"
        assert as_nobody(lambda: create(folder / "other.db")) == "ledger-read-only"
        folder.chmod(0o777)
        assert as_nobody(lambda: begin(QuickLedger.open(path))) == "ledger-read-only"
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.EROFS, "ledger-read-only"), (errno.ENOSPC, "disk-full"), (errno.EIO, "cannot-write")],
)
def test_a_mark_that_cannot_be_written(
    path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    """The counter is used up, and no ticket is handed out."""

    def broken(source: object, target: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(high.os, "replace", broken)
        with pytest.raises(StorageError) as caught:
            begin(ledger)
    assert caught.value.code == code
    assert begin(ledger).counter == 2


def test_a_full_disk(path: Path) -> None:
    """Nothing of a record that does not fit is kept; it goes through when there is room."""
    with create(path, budget=9000, queries=5000) as ledger:
        ticket = ledger.begin(root=ROOTS[0], parts=(0,), queries=5000, purpose="proof")
        (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
        ledger._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageError) as caught:
            ledger.record(ticket, range(5000))
        assert caught.value.code == "disk-full"
        assert ledger.state().current.used == 0
        ledger._db.execute("PRAGMA max_page_count = 100000")
        ledger.record(ticket, range(5000))
        assert ledger.state().current.used == 5000


# --- failpoints


def test_failpoints_do_nothing_of_themselves(path: Path) -> None:
    assert failpoints.hook is None
    assert len(set(failpoints.FAILPOINTS)) == len(failpoints.FAILPOINTS)


def test_every_failpoint_is_listed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[str] = []
    monkeypatch.setattr(failpoints, "hook", reached.append)
    with create(path) as ledger:
        spend(ledger, 1)
        ledger.retire(0)
    assert set(reached) <= set(failpoints.FAILPOINTS)
    proof = [name for name in reached if name.startswith(("begin", "record"))]
    assert proof == [name for name in failpoints.FAILPOINTS if name.startswith(("begin", "record"))]


# --- the command


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_ledger_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, record = tmp_path / "DIR", tmp_path / "REQ"
    (record / "private").mkdir(parents=True)
    model.mkdir()
    with create(model / "ledger.db") as ledger:
        spend(ledger, 9)
    create(record / "private" / "ledger.db", root=ROOTS[3]).close()
    for place, file in ((model, model / "ledger.db"), (record, record / "private" / "ledger.db")):
        for asked in (place, file):
            code, answer = run(capsys, "ledger", "show", asked)
            assert (code, answer["ledger"]) == (0, str(file))
    (epoch,) = run(capsys, "ledger", "show", model)[1]["epochs"]
    assert (epoch["root"], epoch["status"], epoch["openings_left"]) == (ROOTS[0].hex(), "open", 0)
    assert epoch["parts"] == [
        {"opened": 90, "unknown": 0, "used": 90},
        {"opened": 0, "unknown": 0, "used": 0},
    ]
    assert main(["ledger", "show", str(model)]) == 0
    said = capsys.readouterr()
    assert "100.0 %" in said.out
    assert "refresh soon" in said.err


def test_ledger_show_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_bytes(b"garbage")
    for path, expected in ((tmp_path, "ledger-missing"), (tmp_path / "x", "ledger-corrupt")):
        code, answer = run(capsys, "ledger", "show", path)
        assert (code, answer["error"]["code"]) == (2, expected)
        assert answer["error"]["hint"]


# --- against a model in plain Python


class Model:
    """An epoch as one would write it down."""

    def __init__(self, budget: int, reserve: int, parts: int) -> None:
        self.budget, self.reserve = budget, reserve
        self.columns: list[set[int]] = [set() for _ in range(parts)]
        self.unknown = [0] * parts
        self.status = "open"

    def refusal(self, purpose: str) -> str | None:
        if self.status == "retired":
            return "ledger-epoch"
        return "ledger-stale" if self.status == "stale" and purpose == "proof" else None

    def fits(self, part: int, columns: set[int], more: int, purpose: str) -> bool:
        limit = self.budget - (self.reserve if purpose == "proof" else 0)
        return len(self.columns[part] | columns) + self.unknown[part] + more <= limit


class LedgerMachine(RuleBasedStateMachine):
    """Any sequence of calls: the ledger and the model agree on results, refusals and counts."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "ledger.db"
        self.epochs: list[Model] = []
        self.counter = 0
        self.recorded: set[int] = set()
        self.add_epoch(12, 3, 2)
        self.ledger: Ledger = QuickLedger.open(self.path)

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    def add_epoch(self, budget: int, reserve: int, parts: int) -> None:
        epoch = len(self.epochs)
        create(self.path, epoch, budget=budget, reserve=reserve, parts=parts, queries=3).close()
        self.epochs.append(Model(budget, reserve, parts))

    @precondition(lambda self: len(self.epochs) < len(ROOTS))
    @rule(budget=st.integers(3, 15), reserve=st.integers(0, 3), parts=st.integers(1, 3))
    def next_epoch(self, budget: int, reserve: int, parts: int) -> None:
        self.add_epoch(budget, reserve, parts)

    @rule(target=tickets, data=st.data(), purpose=st.sampled_from(["proof", "proof", "refresh"]))
    def begin(self, data: st.DataObject, purpose: Purpose) -> Ticket | None:
        epoch = data.draw(st.integers(0, len(self.epochs) - 1))
        model = self.epochs[epoch]
        numbers = st.lists(st.integers(0, len(model.columns) - 1), min_size=1, unique=True)
        parts = data.draw(numbers)
        queries = data.draw(st.integers(1, 4))
        expected = model.refusal(purpose)
        if expected is None and not all(model.fits(part, set(), queries, purpose) for part in parts):
            expected = "ledger-budget"
        call = {"root": ROOTS[epoch], "parts": parts, "queries": queries, "purpose": purpose}
        if expected is not None:
            refused(expected, lambda: self.ledger.begin(**call))
            return None
        ticket = self.ledger.begin(**call)
        self.counter += 1
        assert ticket.counter == self.counter
        return ticket

    @rule(ticket=tickets, data=st.data())
    def record(self, ticket: Ticket | None, data: st.DataObject) -> None:
        if ticket is None:
            return
        numbers = st.lists(st.integers(0, 20), min_size=1, max_size=ticket.queries, unique=True)
        columns = data.draw(numbers)
        model = self.epochs[ticket.epoch]
        expected = "ledger-ticket" if ticket.counter in self.recorded else model.refusal(ticket.purpose)
        fits = all(model.fits(part, set(columns), 0, ticket.purpose) for part in ticket.parts)
        if expected is None and not fits:
            expected = "ledger-budget"
        if expected is not None:
            refused(expected, lambda: self.ledger.record(ticket, columns))
            return
        self.ledger.record(ticket, columns)
        self.recorded.add(ticket.counter)
        for part in ticket.parts:
            model.columns[part] |= set(columns)

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        epoch = data.draw(st.integers(0, len(self.epochs) - 1))
        self.ledger.retire(epoch)
        self.epochs[epoch].status = "retired"

    @rule()
    def restore(self) -> None:
        QuickLedger.require_refresh(self.path).close()
        for model in self.epochs:
            if model.status == "open":
                model.status = "stale"
                lost = [model.budget - model.reserve - len(columns) for columns in model.columns]
                model.unknown = [max(0, count) for count in lost]

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = QuickLedger.open(self.path)

    @invariant()
    def counts_agree(self) -> None:
        state = self.ledger.state()
        assert state.counter == self.counter
        assert sum(epoch.recorded for epoch in state.epochs) == len(self.recorded)
        for epoch, model in zip(state.epochs, self.epochs, strict=True):
            assert epoch.status == model.status
            assert [part.opened for part in epoch.parts] == [len(columns) for columns in model.columns]
            assert [part.unknown for part in epoch.parts] == model.unknown
            assert all(part.used <= epoch.budget for part in epoch.parts)
            if epoch.status == "open":
                fits = epoch.openings_left * epoch.queries + epoch.used <= epoch.budget - epoch.reserve
                assert fits or epoch.openings_left == 0


TestLedgerAgainstItsModel = LedgerMachine.TestCase
TestLedgerAgainstItsModel.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
