"""The power fails: what was not synced is gone, on a disk simulated by `unsynced.c`."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prover import add_epoch
from provers import LossyDisk, Provers, World, compile_shim, losses, read, recover

from assay.trace.failpoints import FAILPOINTS

BUDGET = 3000


@dataclass(frozen=True, slots=True)
class Bench:
    disk: LossyDisk
    provers: Provers

    @property
    def ledger(self) -> Path:
        return self.disk.folder / "ledger.db"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    base = tmp_path_factory.mktemp("power").resolve()
    disk = LossyDisk(base)
    provers = Provers(shim=compile_shim(base), folder=disk.folder, shadow=disk.shadow)
    yield Bench(disk, provers)
    provers.close()


@pytest.fixture
def bench(machine: Bench) -> Bench:
    machine.disk.clear()
    return machine


def live(bench: Bench, revealed: Path, stop: str, *, first: int, careless: bool = False) -> None:
    """A ledger's life up to a failpoint; there the power fails."""
    arguments = {"path": str(bench.ledger), "revealed": str(revealed), "stop": stop, "budget": BUDGET}
    assert bench.provers.run("life", **arguments, first=first, careless=careless) == -signal.SIGKILL
    bench.disk.fail()


@pytest.mark.parametrize("stop", [*FAILPOINTS, "revealed"])
def test_the_power_fails_at_a_failpoint(bench: Bench, tmp_path: Path, stop: str) -> None:
    first = 0 if stop.startswith("create") else 2
    live(bench, tmp_path / "revealed", stop, first=first)
    recover(bench.ledger, stop, budget=BUDGET)
    world = World(bench.ledger)
    assert world.see(tmp_path / "revealed") >= first
    world.check()
    world.prove_again()


def test_the_simulated_disk_loses_what_is_not_synced(bench: Bench, tmp_path: Path) -> None:
    """The same life with SQLite's syncs switched off does lose columns that were revealed."""
    live(bench, tmp_path / "revealed", "revealed", first=2, careless=True)
    assert losses(bench.ledger, read(tmp_path / "revealed")) > 0


def test_the_power_fails_30_times(bench: Bench, tmp_path: Path) -> None:
    """Two provers, all of the machine lost at random times."""
    rng = random.Random(3)
    add_epoch(bench.ledger, 0, budget=BUDGET).close()
    world, proofs = World(bench.ledger), 0
    for turn in range(30):
        assert bench.provers.run("settle", folder=str(bench.disk.folder)) == 0
        files = [tmp_path / f"revealed.{turn}.{i}" for i in range(2)]
        running = [
            bench.provers.start(
                "loop", path=str(bench.ledger), epoch=0, revealed=str(file), seed=rng.randrange(2**32)
            )
            for file in files
        ]
        time.sleep(rng.uniform(0.01, 0.08))
        for process in running:
            bench.provers.kill(process)
        bench.disk.fail()
        world.check()
        proofs += sum(world.see(file) for file in files)
    assert proofs > 3
