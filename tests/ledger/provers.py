"""The test's side: runs provers, kills them, and checks what they left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import prover
from prover import QUERIES, add_epoch, root_of

from assay.trace import Ledger

HERE = Path(__file__).resolve().parent


class Provers:
    """A server of forked provers (`prover.py`); with a shim, on the disk that loses unsynced writes."""

    def __init__(self, *, shim: Path | None = None, folder: Path | None = None, shadow: Path | None = None):
        lossy = {"LD_PRELOAD": str(shim), "UNSYNCED_FOLDER": str(folder), "UNSYNCED_SHADOW": str(shadow)}
        self._server = subprocess.Popen(
            [sys.executable, prover.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **(lossy if shim else {})},
        )

    def start(self, job: str, **arguments: Any) -> int:
        """The process number of a prover that does this job."""
        return self._ask({"job": job, **arguments})

    def wait(self, process: int) -> int:
        """How it ended: an exit code, or minus a signal."""
        return self._ask({"wait": process})

    def kill(self, process: int) -> int:
        os.kill(process, signal.SIGKILL)
        return self.wait(process)

    def run(self, job: str, **arguments: Any) -> int:
        return self.wait(self.start(job, **arguments))

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=10)

    def _ask(self, what: dict[str, Any]) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(what) + "\n")
        return int(self._server.stdout.readline())


class World:
    """What was revealed so far, over all processes, and may never be lost or repeated."""

    def __init__(self, ledger: Path) -> None:
        self.ledger = ledger
        self.counters: set[int] = set()

    def see(self, revealed: Path) -> int:
        """Checks a file of a process that has ended; returns the number of its proofs."""
        proofs = read(revealed)
        for proof in proofs:
            assert proof["counter"] not in self.counters, "a counter is used twice"
            self.counters.add(proof["counter"])
        assert losses(self.ledger, proofs) == 0, "revealed, and not in the ledger"
        return len(proofs)

    def check(self) -> None:
        """The ledger opens; no budget is passed; its counter is not below one that was seen."""
        with Ledger.open(self.ledger) as ledger:
            state = ledger.state()
        assert state.counter >= max(self.counters, default=0)
        for epoch in state.epochs:
            for part in epoch.parts:
                assert part.opened <= epoch.budget - epoch.reserve

    def prove_again(self) -> None:
        """A later proof works, under a counter of its own."""
        with Ledger.open(self.ledger) as ledger:
            epoch = ledger.state().current
            purpose: Any = "proof" if epoch.status == "open" else "refresh"
            if epoch.status == "retired":
                return
            ticket = ledger.begin(root=root_of(epoch.epoch), parts=[0], queries=QUERIES, purpose=purpose)
            assert ticket.counter > max(self.counters, default=0)
            self.counters.add(ticket.counter)
            ledger.record(ticket, range(QUERIES))


def read(revealed: Path) -> list[dict[str, Any]]:
    """The proofs in a file; a line that was cut off did not leave."""
    if not revealed.exists():
        return []
    return [
        json.loads(line) for line in revealed.read_bytes().splitlines(keepends=True) if line[-1:] == b"\n"
    ]


def losses(ledger: Path, proofs: list[dict[str, Any]]) -> int:
    """Revealed columns that the database lacks or has no recorded ticket for; in SQL of its own."""
    if not proofs:
        return 0
    lost = 0
    db = sqlite3.connect(ledger)
    try:
        for proof in proofs:
            found = _columns(db, proof["counter"], proof["epoch"])
            for part in proof["parts"]:
                lost += len(set(proof["columns"]) - found.get(part, set()))
    finally:
        db.close()
    return lost


def _columns(db: sqlite3.Connection, counter: int, epoch: int) -> dict[int, set[int]]:
    """Columns by part, if this ticket is recorded (a column may have been opened by a ticket before)."""
    try:
        found = db.execute(
            'SELECT o.part, o."column" FROM opened o JOIN epoch e USING (page) WHERE e.epoch = ? AND EXISTS'
            " (SELECT 1 FROM ticket t WHERE t.counter = ? AND t.page = o.page AND t.recorded = 1)",
            (epoch, counter),
        ).fetchall()
    except sqlite3.DatabaseError:  # no table at all
        return {}
    parts: dict[int, set[int]] = {}
    for part, column in found:
        parts.setdefault(part, set()).add(column)
    return parts


def compile_shim(folder: Path) -> Path:
    """`unsynced.c` as a library."""
    compiler = next(c for c in (os.environ.get("CC"), "cc", "gcc", "clang", "g++") if c and shutil.which(c))
    shim = folder / "unsynced.so"
    command = [compiler, "-x", "c", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(shim), str(HERE / "unsynced.c")], check=True)
    return shim


def recover(ledger: Path, stop: str, *, budget: int) -> None:
    """What the provider does after a crash at a failpoint: the same command again."""
    if stop.startswith("refresh."):
        Ledger.require_refresh(ledger).close()
    else:
        add_epoch(ledger, 0, budget=budget).close()


class LossyDisk:
    """A folder and its shadow: what a power failure would leave."""

    def __init__(self, base: Path) -> None:
        self.folder, self.shadow = base / "folder", base / "shadow"
        self.clear()

    def clear(self) -> None:
        for path in (self.folder, self.shadow):
            shutil.rmtree(path, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._clear_shadow()

    def fail(self) -> None:
        """The power fails: synced content under synced names is all that stays."""
        left = self._left()
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for name, data in left.items():
            (self.folder / name).write_bytes(data)
        shutil.rmtree(self.shadow)
        self._clear_shadow()

    def _left(self) -> dict[str, bytes]:
        names = self.shadow / "names"
        lines = names.read_text().splitlines() if names.exists() else []
        found = [line.split(" ", 1) for line in lines]
        return {name: self._content(self.shadow / "data" / inode) for inode, name in found}

    @staticmethod
    def _content(data: Path) -> bytes:
        return data.read_bytes() if data.exists() else b""

    def _clear_shadow(self) -> None:
        (self.shadow / "data").mkdir(parents=True)
        (self.shadow / "hold").mkdir()
