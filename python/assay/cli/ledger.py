"""ledger show: how many columns of each commitment were opened, and how many proofs are left."""

from __future__ import annotations

from pathlib import Path

from assay.cli.output import emit, note, table
from assay.trace import EpochState, Ledger, LedgerState

_PLACES = (Path("ledger.db"), Path("private", "ledger.db"))


def show(path: Path, *, as_json: bool) -> None:
    """`assay ledger show`."""
    file = find(path)
    with Ledger.open(file) as ledger:
        state = ledger.state()
    if as_json:
        emit(True, {"ledger": str(file), **state.to_dict()}, [])
        return
    _print(file, state)


def find(path: Path) -> Path:
    """The ledger of a registered model or a record, or the file itself."""
    if not path.is_dir():
        return path
    return next((path / place for place in _PLACES if (path / place).exists()), path / _PLACES[0])


def _print(file: Path, state: LedgerState) -> None:
    columns = ["epoch", "status", "used", "budget", "reserve", "used up", "left", "recorded"]
    table(f"{file}, counter {state.counter}", columns, [_row(epoch) for epoch in state.epochs])
    print("used, budget, reserve: columns of the fullest part; left, recorded: proofs")
    for warning in state.warnings:
        note(f"warning: {warning}")


def _row(epoch: EpochState) -> list[str]:
    return [
        str(epoch.epoch),
        epoch.status,
        f"{epoch.used:,}",
        f"{epoch.budget:,}",
        f"{epoch.reserve:,}",
        f"{100 * epoch.fraction_used:.1f} %",
        f"{epoch.openings_left:,}",
        f"{epoch.recorded:,}",
    ]
