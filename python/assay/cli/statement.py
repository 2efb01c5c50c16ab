"""statement: a client's statement as a file for `assay-verify`."""

from __future__ import annotations

from pathlib import Path

from assay.cli.output import amount, emit


def statement(public: Path, challenge: Path, out: Path, *, insecure_no_hiding: bool, as_json: bool) -> None:
    """`assay statement`."""
    from assay.audit.challenge import Challenge
    from assay.public import PublicModel
    from assay.storage import write_file
    from assay.verify.bundle import statement_file

    asked = Challenge.load(challenge)
    data = statement_file(PublicModel.load(public), asked, hiding=not insecure_no_hiding)
    write_file(out, data)
    payload = {
        "statement": str(out),
        "layers": list(asked.layers),
        "hiding": not insecure_no_hiding,
        "bytes": len(data),
    }
    layers = ", ".join(map(str, asked.layers))
    emit(as_json, payload, [f"layers {layers}: {out}, {amount(len(data))}", f"  assay-verify {out} PROOF"])
