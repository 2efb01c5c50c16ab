"""register, record, prove."""

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
    from assay.prove.register import Estimate
    from assay.prove.register import register as run

    _core.set_threads(threads)

    def announce(estimates: tuple[Estimate, ...], chosen: str) -> None:
        for e in estimates:
            mark = " (chosen)" if e.storage == chosen else ""
            note(f"{e.storage}: {amount(e.disk_bytes)} on disk, about {e.seconds:.0f} s{mark}")

    with progress() as report:
        done = run(source, out, profile=profile, storage=storage, progress=report, announce=announce)
    lines = [
        f"registered in {done.path}: {done.storage}, {amount(done.disk_bytes)}, {done.seconds:.1f} s",
        f"public file {done.path / 'public.assay'}",
        f"  SHA-256 {done.public.hash.hex()} (clients pin this)",
    ]
    if done.saturated:
        lines.append(f"  weights beyond their scale: {sum(done.saturated.values())}")
    emit(as_json, done.to_dict(), lines)


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


def prove(dir: Path, req: Path, challenge: Path, out: Path, *, threads: int, as_json: bool) -> None:
    """`assay prove`."""
    from assay import _core
    from assay.audit.challenge import Challenge
    from assay.prove.folder import RegisteredModel
    from assay.prove.prover import prove as run

    _core.set_threads(threads)
    asked = Challenge.load(challenge)
    proof = run(RegisteredModel(dir), req, asked, out)
    payload = {
        "proof": str(out),
        "proof_bytes": len(proof.data),
        "layers": list(asked.layers),
        "lookups": proof.lookups,
        "committed_elements": proof.committed_elements,
        "security_bits": proof.security_bits,
        "security_terms": proof.security_terms,
        "seconds": proof.seconds,
        "hiding": False,
    }
    layers = ", ".join(map(str, asked.layers))
    note("note: version 0 proofs do not hide weights or activations")
    emit(
        as_json,
        payload,
        [f"proved layers {layers}: {out}, {amount(len(proof.data))}, {proof.security_bits:.1f} bits"],
    )


def numbers(text: str, what: str) -> list[int]:
    """Integers separated by commas."""
    try:
        return [int(piece) for piece in text.split(",")]
    except ValueError as error:
        raise RequestError("bad-numbers", f"{what}: {text!r} is not integers separated by commas") from error
