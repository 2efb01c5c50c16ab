"""prove: a proof for one challenge, or for several in a batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.output import amount, emit, note, progress
from assay.cli.provider import ledger_warnings

if TYPE_CHECKING:
    from assay.prove.estimate import Estimate
    from assay.prove.prover import Proof
    from assay.verify import Verified

_STREAM = tuple(
    f"{name}.saturated" for name in ("residual_out", "output_norm", "embedding", "embedding_norm")
)


def prove(
    dir: Path,
    asked: list[tuple[Path, Path]],
    out: Path,
    *,
    work: Path | None,
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
    pairs = [(request, Challenge.load(path)) for request, path in asked]
    said: list[Estimate] = []

    def announce(estimate: Estimate) -> None:
        said.append(estimate)
        note(
            f"about {estimate.seconds:.0f} s, {amount(estimate.memory_bytes)} of memory, "
            f"{amount(estimate.disk_bytes)} of disk while it lasts"
        )

    with progress() as report:
        proof = run(
            RegisteredModel(dir),
            pairs,
            out,
            insecure_no_hiding=insecure_no_hiding,
            work=work,
            progress=report,
            announce=announce,
        )
    warnings = [*_saturated(proof.verified), *ledger_warnings(dir)]
    challenges = [challenge for _, challenge in pairs]
    payload = {
        "proof": str(out),
        "members": [{"scope": c.scope, **c.asked} for c in challenges],
        **_figures(proof),
        "estimate": said[0].to_dict(),
        "warnings": warnings,
    }
    described = "; ".join(challenge.described for challenge in challenges)
    mark = "" if proof.hiding else " INSECURE: not hiding"
    size = amount(len(proof.data))
    emit(as_json, payload, [f"proved {described}: {out}, {size}, {proof.security_bits:.1f} bits{mark}"])


def _figures(proof: Proof) -> dict[str, object]:
    if not proof.hiding:
        note("INSECURE: this proof does not hide; whoever reads it may learn weights and activations")
    return {
        "proof_bytes": len(proof.data),
        "lookups": proof.lookups,
        "committed_elements": proof.committed_elements,
        "security_bits": proof.security_bits,
        "security_terms": proof.security_terms,
        "seconds": proof.seconds,
        "counter": proof.counter,
        "hiding": proof.hiding,
        "insecure": not proof.hiding,
    }


def _saturated(verified: Verified | None) -> list[str]:
    """Where the residual stream passed its range: the exact model then is not near the float model."""
    assert verified is not None, "a proof that is written was looked at"
    found = [f"{name}: {count} cells of the residual stream saturated" for name, count in _clamped(verified)]
    for warning in found:
        note(f"warning: {warning}")
    return found


def _clamped(verified: Verified) -> Iterator[tuple[str, int]]:
    from assay.segments import layer_name
    from assay.verify import LayerStatement

    for statement in verified.statements:
        if isinstance(statement, LayerStatement):
            segments = {layer_name(statement.layer): statement.saturated}
        else:
            segments = statement.saturated
        for name, totals in segments.items():
            if count := sum(totals.get(clamp, 0) for clamp in _STREAM):
                yield name, count
