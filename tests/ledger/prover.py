"""Provers without a model: they begin, record and reveal, and are killed on the way.

Run as a program, this is a small server (starting Python for each of a thousand kills would take long): for
every line on standard input, a JSON object with the name of a job, it forks a process that does the job and
answers with its number; for {"wait": PID} it answers with how that process ended (negative: the signal).
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.errors import StorageError
from assay.storage import sync_folder
from assay.trace import Ledger, Ticket, failpoints
from assay.trace.high import HighWater

PARTS = 2
QUERIES = 8
RESERVE = 8
LENGTH = 4096
PROVING_S = 0.004
OUT_OF_BUDGET = 3


class CarelessLedger(Ledger):
    """Says that a commit is durable when it is not."""

    _synchronous = "OFF"


def root_of(epoch: int) -> bytes:
    return bytes([epoch % 256]) * 32


def add_epoch(path: Path, epoch: int, *, budget: int, kind: type[Ledger] = Ledger) -> Ledger:
    return kind.create(
        path,
        epoch=epoch,
        root=root_of(epoch),
        parts=PARTS,
        budget=budget,
        queries=QUERIES,
        reserve=RESERVE,
    )


def prove(ledger: Ledger, epoch: int, revealed: Path, rng: random.Random) -> None:
    """One proof, revealed."""
    parts = rng.choice([[0], [1], [0, 1]])
    ticket = ledger.begin(root=root_of(epoch), parts=parts, queries=QUERIES, purpose="proof")
    time.sleep(rng.uniform(0, PROVING_S))
    columns = rng.sample(range(LENGTH), QUERIES)
    ledger.record(ticket, columns)
    reveal(revealed, ticket, columns)


def reveal(path: Path, ticket: Ticket, columns: list[int]) -> None:
    """The proof leaves: what is in this file is known to the world."""
    line = {
        "counter": ticket.counter,
        "epoch": ticket.epoch,
        "parts": list(ticket.parts),
        "columns": columns,
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.fsync(descriptor)
    os.close(descriptor)


def loop(*, path: str, epoch: int, revealed: str, seed: int) -> int:
    """Proves until the budget is spent."""
    rng = random.Random(seed)
    try:
        with Ledger.open(Path(path)) as ledger:
            while True:
                prove(ledger, epoch, Path(revealed), rng)
    except StorageError as error:
        if error.code != "ledger-budget":
            raise
        return OUT_OF_BUDGET


def life(*, path: str, revealed: str, stop: str, first: int, budget: int, careless: bool = False) -> int:
    """All that can happen to a ledger, once; the process kills itself at the failpoint `stop`.

    `first`: proofs before failpoints count. The point `revealed` is right after the reveal.
    """
    kind = CarelessLedger if careless else Ledger
    rng = random.Random(first)

    def hook(name: str) -> None:
        if name == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    if first:
        with add_epoch(Path(path), 0, budget=budget, kind=kind) as ledger:
            for _ in range(first):
                prove(ledger, 0, Path(revealed), rng)
    failpoints.hook = hook
    with add_epoch(Path(path), 0, budget=budget, kind=kind) as ledger:
        prove(ledger, 0, Path(revealed), rng)
        hook("revealed")
    lose_mark(Path(path))
    with kind.require_refresh(Path(path)) as ledger:
        ledger.retire(0)
    return 0


def lose_mark(ledger: Path) -> None:
    """As after a restore of the database alone."""
    HighWater(ledger).path.unlink()
    sync_folder(ledger.parent)


def settle(*, folder: str) -> int:
    """Syncs a folder and its files."""
    for path in Path(folder).iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(Path(folder))
    return 0


JOBS: dict[str, Callable[..., int]] = {job.__name__: job for job in (loop, life, settle)}


def serve() -> None:
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if "wait" in asked:
            print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
            continue
        child = os.fork()
        if child == 0:
            _run(asked)
        print(child, flush=True)


def _run(asked: dict[str, Any]) -> None:
    code = 1
    try:
        code = JOBS[asked.pop("job")](**asked)
    except BaseException as error:
        print(f"prover: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve()
