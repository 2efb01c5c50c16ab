"""Provers are killed at every failpoint and at random times: nothing revealed is missing from the ledger."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prover import OUT_OF_BUDGET, add_epoch
from provers import Provers, World, read, recover

from assay.trace.failpoints import FAILPOINTS

BUDGET = 400


@pytest.fixture(scope="module")
def provers() -> Iterator[Provers]:
    server = Provers()
    yield server
    server.close()


@pytest.mark.parametrize("stop", [*FAILPOINTS, "revealed"])
def test_a_prover_killed_at_a_failpoint(provers: Provers, quick_path: Path, stop: str) -> None:
    ledger, revealed = quick_path / "ledger.db", quick_path / "revealed"
    first = 0 if stop.startswith("create") else 2
    code = provers.run(
        "life", path=str(ledger), revealed=str(revealed), stop=stop, first=first, budget=BUDGET
    )
    assert code == -signal.SIGKILL, f"{stop} is never reached"
    recover(ledger, stop, budget=BUDGET)
    world = World(ledger)
    assert world.see(revealed) == first + (stop.split(".")[0] in ("revealed", "refresh", "retire"))
    world.check()
    world.prove_again()


def test_a_life_without_a_kill(provers: Provers, quick_path: Path) -> None:
    ledger, revealed = quick_path / "ledger.db", quick_path / "revealed"
    assert provers.run("life", path=str(ledger), revealed=str(revealed), stop="", first=1, budget=BUDGET) == 0
    assert len(read(revealed)) == 2


class Race:
    """Two provers at one ledger; one of them is killed now and then, and another takes its place."""

    def __init__(self, provers: Provers, folder: Path, seed: int) -> None:
        self.provers, self.folder, self.rng = provers, folder, random.Random(seed)
        self.ledger = folder / "ledger.db"
        self.world = World(self.ledger)
        self.epoch = self.started = self.proofs = 0
        add_epoch(self.ledger, 0, budget=BUDGET).close()
        self.running: list[tuple[int, int, Path]] = [self._start(), self._start()]

    def kill(self) -> None:
        """Lets both work for a while, then kills one."""
        time.sleep(self.rng.uniform(0, 0.05))
        process, epoch, revealed = self.running.pop(self.rng.randrange(2))
        code = self.provers.kill(process)
        assert code in (-signal.SIGKILL, OUT_OF_BUDGET)
        self.proofs += self.world.see(revealed)
        if code == OUT_OF_BUDGET and epoch == self.epoch:
            self._next_epoch()
        self.running.append(self._start())

    def end(self) -> None:
        for process, _, revealed in self.running:
            self.provers.kill(process)
            self.proofs += self.world.see(revealed)
        self.world.check()

    def _next_epoch(self) -> None:
        """The budget is spent: the other prover still runs while the next epoch is added."""
        self.world.check()
        self.epoch += 1
        add_epoch(self.ledger, self.epoch, budget=BUDGET).close()

    def _start(self) -> tuple[int, int, Path]:
        """Process number, epoch, file of what it reveals."""
        self.started += 1
        revealed = self.folder / f"revealed.{self.started}"
        seed = self.rng.randrange(2**32)
        arguments = {"path": str(self.ledger), "epoch": self.epoch, "revealed": str(revealed), "seed": seed}
        return self.provers.start("loop", **arguments), self.epoch, revealed


def kill_often(provers: Provers, folder: Path, *, kills: int, seed: int) -> Race:
    race = Race(provers, folder, seed)
    for _ in range(kills):
        race.kill()
    race.end()
    print(f"{kills} kills, {race.proofs} proofs revealed, {race.epoch + 1} epochs")
    assert race.proofs > kills / 10
    return race


def test_two_provers_killed_50_times(provers: Provers, quick_path: Path) -> None:
    kill_often(provers, quick_path, kills=50, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["quick_path", "tmp_path"])
def test_two_provers_killed_1000_times(provers: Provers, where: str, request: pytest.FixtureRequest) -> None:
    """In memory most kills fall between the steps of a prover, on a disk most fall into a sync."""
    race = kill_often(provers, request.getfixturevalue(where), kills=1000, seed=2)
    assert race.epoch > 0, "no budget was ever spent"
