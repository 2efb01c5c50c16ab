"""register, refresh, record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.output import amount, emit, note, progress
from assay.errors import RequestError

if TYPE_CHECKING:
    from assay.prove.log import Logging


def register(
    model: str, out: Path, *, profile: str, storage: str | None, threads: int, as_json: bool
) -> None:
    """`assay register`."""
    from assay import _core
    from assay.model import load
    from assay.profiles import profile_named

    profile_named(profile)
    source = load(model)
    from assay.prove.folder import RegisteredModel
    from assay.prove.register import Estimate
    from assay.prove.register import register as run

    _core.set_threads(threads)

    def announce(estimates: tuple[Estimate, ...], chosen: str) -> None:
        for e in estimates:
            mark = " (chosen)" if e.storage == chosen else ""
            note(
                f"{e.storage}: {amount(e.disk_bytes)} on disk, {amount(e.memory_bytes)} of memory, about "
                f"{e.seconds:.0f} s, {e.proof_seconds:.0f} s of it for the registration proof{mark}"
            )

    with progress() as report:
        done = run(source, out, profile=profile, storage=storage, progress=report, announce=announce)
    lines = [
        f"registered in {done.path}: {done.storage}, {amount(done.disk_bytes)}, {done.seconds:.1f} s",
        f"public file {done.path / 'public.assay'}",
        f"  SHA-256 {done.public.hash.hex()} (clients pin this)",
        f"registration proof {RegisteredModel(done.path).epoch.proof(done.public.proof)}",
    ]
    if done.saturated:
        lines.append(f"  weights beyond their scale: {sum(done.saturated.values())}")
    emit(as_json, done.to_dict(), lines)


def refresh(dir: Path, *, restored: bool, threads: int, as_json: bool) -> None:
    """`assay refresh`."""
    from assay import _core
    from assay.prove.folder import RegisteredModel
    from assay.prove.refresh import refresh as run

    _core.set_threads(threads)

    def announce(seconds: float, disk: int) -> None:
        note(f"{amount(disk)} more on disk, about {seconds:.0f} s")

    with progress() as report:
        done = run(dir, restored=restored, progress=report, announce=announce)
    if done.restored:
        note("warning: the ledger was restored: all epochs before are stale, nothing more is proven in them")
    folder = RegisteredModel(dir).epoch
    lines = [
        f"epoch {done.public.epoch} of {dir}: {done.seconds:.1f} s",
        f"public file {dir / 'public.assay'}",
        f"  SHA-256 {done.public.hash.hex()} (clients follow it with `assay pin`)",
        f"refresh proof {folder.proof(done.public.proof)}",
    ]
    warnings = ledger_warnings(dir)
    emit(as_json, {**done.to_dict(), "warnings": warnings}, lines)


def ledger_warnings(dir: Path) -> list[str]:
    """What the ledger of a registered model warns of, also said on standard error."""
    from assay.prove.folder import Folder
    from assay.trace import Ledger

    with Ledger.open(Folder(dir).ledger) as ledger:
        warnings = list(ledger.state().warnings)
    for warning in warnings:
        note(f"warning: {warning}")
    return warnings


def record(
    dir: Path,
    out: Path,
    *,
    prompt: str | None,
    tokens: str | None,
    served: Path | None,
    routing: Path | None,
    public_routing: bool,
    top_k: int | None,
    log: bool,
    threads: int,
    as_json: bool,
) -> None:
    """`assay record`."""
    from assay import _core
    from assay.prove.folder import RegisteredModel
    from assay.prove.record import record as run
    from assay.prove.routing import Routing

    ids = None if tokens is None else numbers(tokens, "tokens")
    logging = _logging(served, top_k, log)
    routed = None if routing is None else Routing.load(routing)
    _core.set_threads(threads)
    model = RegisteredModel(dir)
    with progress() as report:
        recording = run(
            model,
            out,
            prompt=prompt,
            tokens=ids,
            log=logging,
            routing=routed,
            public_routing=public_routing,
            progress=report,
        )
    head = recording.header
    payload = {
        "record": str(out / "record.assay"),
        "record_root": head.hash.hex(),
        "request": head.request.hex(),
        "tokens": head.tokens,
        "log": None if head.log is None else {"top_k": head.log.top_k, "served": head.log.served},
        "routing": routed is not None,
        "public_routing": str(out / "routing.npy") if public_routing else None,
    }
    lines = [f"recorded {head.tokens} tokens in {out}", f"record root {head.hash.hex()}"]
    if head.log is None and not model.public.encodes:
        lines.append("without a log: forward passes cannot be asked for")
    if public_routing:
        lines.append(f"which experts ran, for everybody: {out / 'routing.npy'}")
    emit(as_json, payload, lines)


def _logging(served: Path | None, top_k: int | None, log: bool) -> Logging | None:
    """What to log, of the options."""
    from assay.prove.log import DEFAULT, Logging
    from assay.prove.served import Served

    if not log:
        if served is not None or top_k is not None:
            raise RequestError("bad-log", "--no-log excludes --served and --top-k")
        return None
    if served is None:
        return DEFAULT if top_k is None else Logging(top_k=top_k)
    found = Served.load(served)
    if top_k not in (None, found.ids.shape[1]):
        raise RequestError("bad-log", f"{served} has {found.ids.shape[1]} ids a position, not {top_k}")
    return Logging(top_k=found.ids.shape[1], served=found)


def numbers(text: str, what: str) -> list[int]:
    """Integers separated by commas."""
    try:
        return [int(piece) for piece in text.split(",")]
    except ValueError as error:
        raise RequestError("bad-numbers", f"{what}: {text!r} is not integers separated by commas") from error
