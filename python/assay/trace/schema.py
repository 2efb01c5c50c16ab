"""The ledger's tables. What must never happen is refused by the database itself, whoever writes to it."""

from __future__ import annotations

import sqlite3
from functools import cache

APPLICATION_ID = 0x41534C47  # "ASLG"
VERSION = 1
# Columns are below 2^28: the longest code has 16 cosets of 2^24 symbols.
TABLES = """
CREATE TABLE tally (
  id INTEGER PRIMARY KEY CHECK (id = 0),
  counter INTEGER NOT NULL CHECK (counter >= 0),
  recorded INTEGER NOT NULL CHECK (recorded BETWEEN 0 AND counter)
) STRICT;

CREATE TABLE epoch (
  page INTEGER PRIMARY KEY CHECK (page >= 0),
  epoch INTEGER NOT NULL CHECK (epoch >= 0),
  root BLOB NOT NULL UNIQUE CHECK (length(root) = 32),
  status TEXT NOT NULL CHECK (status IN ('open', 'stale', 'retired', 'abandoned')),
  budget INTEGER NOT NULL CHECK (budget > 0),
  reserve INTEGER NOT NULL CHECK (reserve BETWEEN 0 AND budget),
  queries INTEGER NOT NULL CHECK (queries BETWEEN 1 AND budget)
) STRICT;

CREATE UNIQUE INDEX epoch_once ON epoch (epoch) WHERE status <> 'abandoned';

CREATE TABLE part (
  page INTEGER NOT NULL REFERENCES epoch,
  part INTEGER NOT NULL CHECK (part >= 0),
  budget INTEGER NOT NULL,
  opened INTEGER NOT NULL DEFAULT 0 CHECK (opened >= 0),
  unknown INTEGER NOT NULL DEFAULT 0 CHECK (unknown >= 0),
  PRIMARY KEY (page, part),
  CHECK (opened + unknown <= budget)
) STRICT, WITHOUT ROWID;

CREATE TABLE ticket (
  counter INTEGER PRIMARY KEY CHECK (counter > 0),
  page INTEGER NOT NULL REFERENCES epoch,
  purpose TEXT NOT NULL CHECK (purpose IN ('proof', 'refresh')),
  queries INTEGER NOT NULL CHECK (queries > 0),
  recorded INTEGER NOT NULL DEFAULT 0 CHECK (recorded IN (0, 1)),
  UNIQUE (counter, page)
) STRICT;

CREATE TABLE ticket_part (
  counter INTEGER NOT NULL,
  page INTEGER NOT NULL,
  part INTEGER NOT NULL,
  PRIMARY KEY (counter, page, part),
  FOREIGN KEY (counter, page) REFERENCES ticket (counter, page),
  FOREIGN KEY (page, part) REFERENCES part
) STRICT, WITHOUT ROWID;

CREATE TABLE opened (
  page INTEGER NOT NULL,
  part INTEGER NOT NULL,
  "column" INTEGER NOT NULL CHECK ("column" BETWEEN 0 AND 268435455),
  counter INTEGER NOT NULL,
  PRIMARY KEY (page, part, "column"),
  FOREIGN KEY (counter, page, part) REFERENCES ticket_part
) STRICT, WITHOUT ROWID;

CREATE TRIGGER opened_counts AFTER INSERT ON opened BEGIN
  UPDATE part SET opened = opened + 1 WHERE page = new.page AND part = new.part;
END;
"""

# Nothing is taken back: (table, what is forbidden, unless).
_NEVER = (
    ("opened", "DELETE", "1"),
    ("opened", "UPDATE", "1"),
    ("ticket_part", "DELETE", "1"),
    ("ticket_part", "UPDATE", "1"),
    ("ticket", "DELETE", "1"),
    (
        "ticket",
        "UPDATE",
        "new.recorded <= old.recorded OR (new.counter, new.page, new.purpose, new.queries)"
        " IS NOT (old.counter, old.page, old.purpose, old.queries)",
    ),
    ("part", "DELETE", "1"),
    (
        "part",
        "UPDATE",
        "new.opened < old.opened OR new.unknown < old.unknown"
        " OR (new.page, new.part, new.budget) IS NOT (old.page, old.part, old.budget)",
    ),
    ("epoch", "DELETE", "1"),
    (
        "epoch",
        "UPDATE",
        "(new.page, new.epoch, new.root, new.budget, new.reserve, new.queries)"
        " IS NOT (old.page, old.epoch, old.root, old.budget, old.reserve, old.queries)"
        " OR old.status IN ('retired', 'abandoned') OR new.status = 'open'",
    ),
    ("tally", "DELETE", "1"),
    ("tally", "UPDATE", "new.counter < old.counter OR new.recorded < old.recorded"),
)

TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table} WHEN {when} BEGIN\n"
    f"  SELECT RAISE(ABORT, '{table}: nothing is taken back');\nEND;\n"
    for table, verb, when in _NEVER
)


def create(db: sqlite3.Connection) -> None:
    """Makes the tables; inside the caller's transaction."""
    for statement in _statements(TABLES + TRIGGERS):
        db.execute(statement)
    db.execute("INSERT INTO tally VALUES (0, 0, 0)")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")


def is_empty(db: sqlite3.Connection) -> bool:
    """No table and no mark of another program: a file that creation has not got to yet."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (objects,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(application == 0 and objects == 0)


def fault(db: sqlite3.Connection) -> str | None:
    """What is wrong with this database, if anything: its kind, version, pages, tables or counts."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        return "it is a database of another program, or empty"
    if version != VERSION:
        return f"its version is {version}, this program knows {VERSION}"
    (journal,) = db.execute("PRAGMA journal_mode").fetchone()
    if journal != "wal":
        return f"its journal mode is {journal} instead of wal"
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        return str(verdict)
    if _layout(db) != _expected():
        return "its tables are not those of a ledger"
    return _wrong_count(db)


def _wrong_count(db: sqlite3.Connection) -> str | None:
    """The running counts against the rows themselves, and the tally against the tickets."""
    parts = db.execute(
        "SELECT e.epoch, p.part FROM part p JOIN epoch e USING (page) WHERE p.opened <>"
        " (SELECT count(*) FROM opened o WHERE o.page = p.page AND o.part = p.part)"
    ).fetchone()
    if parts is not None:
        return f"epoch {parts[0]}, part {parts[1]}: the count is not that of the columns"
    behind = db.execute(
        "SELECT counter < (SELECT coalesce(max(counter), 0) FROM ticket)"
        " OR recorded < (SELECT coalesce(sum(recorded), 0) FROM ticket) FROM tally"
    ).fetchone()
    return "the counter is behind the tickets" if behind is None or behind[0] else None


def _layout(db: sqlite3.Connection) -> list[tuple[str, str, str | None]]:
    return list(db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name"))


@cache
def _expected() -> list[tuple[str, str, str | None]]:
    db = sqlite3.connect(":memory:")
    try:
        create(db)
        return _layout(db)
    finally:
        db.close()


def _statements(script: str) -> list[str]:
    """A script's statements; those of triggers have semicolons inside."""
    found, begun = [], ""
    for line in script.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            found.append(begun)
            begun = ""
    return found
