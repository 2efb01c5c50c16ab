"""register, refresh, record, prove."""

from __future__ import annotations

from pathlib import Path

from assay.cli.output import amount, emit, note, progress
from assay.errors import RequestError


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
    dir: Path, out: Path, *, prompt: str | None, tokens: str | None, threads: int, as_json: bool
) -> None:
    """`assay record`."""
    from assay import _core
    from assay.prove.folder import RegisteredModel
    from assay.prove.record import record as run

    ids = None if tokens is None else numbers(tokens, "tokens")
    _core.set_threads(threads)
    recording = run(RegisteredModel(dir), out, prompt=prompt, tokens=ids)
    head = recording.header
    payload = {
        "record": str(out / "record.assay"),
        "record_root": head.hash.hex(),
        "request": head.request.hex(),
        "tokens": head.tokens,
    }
    emit(as_json, payload, [f"recorded {head.tokens} tokens in {out}", f"record root {head.hash.hex()}"])


def prove(
    dir: Path,
    req: Path,
    challenge: Path,
    out: Path,
    *,
    insecure_no_hiding: bool,
    threads: int,
    as_json: bool,
) -> None:
    """`assay prove`."""
    from assay import _core
    from assay.audit.challenge import Challenge
    from assay.prove.folder import RegisteredModel
    from assay.prove.prover import prove as run

    _core.set_threads(threads)
    asked = Challenge.load(challenge)
    proof = run(RegisteredModel(dir), req, asked, out, insecure_no_hiding=insecure_no_hiding)
    if not proof.hiding:
        note("INSECURE: this proof does not hide; whoever reads it may learn weights and activations")
    payload = {
        "proof": str(out),
        "proof_bytes": len(proof.data),
        "layers": list(asked.layers),
        "lookups": proof.lookups,
        "committed_elements": proof.committed_elements,
        "security_bits": proof.security_bits,
        "security_terms": proof.security_terms,
        "seconds": proof.seconds,
        "counter": proof.counter,
        "hiding": proof.hiding,
        "insecure": not proof.hiding,
        "warnings": ledger_warnings(dir),
    }
    layers = ", ".join(map(str, asked.layers))
    mark = "" if proof.hiding else " INSECURE: not hiding"
    emit(
        as_json,
        payload,
        [f"proved layers {layers}: {out}, {amount(len(proof.data))}, {proof.security_bits:.1f} bits{mark}"],
    )


def numbers(text: str, what: str) -> list[int]:
    """Integers separated by commas."""
    try:
        return [int(piece) for piece in text.split(",")]
    except ValueError as error:
        raise RequestError("bad-numbers", f"{what}: {text!r} is not integers separated by commas") from error
