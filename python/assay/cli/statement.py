"""statement: a client's statement as a file for `assay-verify`."""

from __future__ import annotations

from pathlib import Path

from assay.cli.output import amount, emit


def statement(
    public: Path,
    challenges: list[Path],
    out: Path,
    *,
    proof: Path | None,
    insecure_no_hiding: bool,
    as_json: bool,
) -> None:
    """`assay statement`."""
    from assay.audit.challenge import Challenge
    from assay.proof import ProofFile
    from assay.public import PublicModel
    from assay.source import read_proof
    from assay.storage import write_file
    from assay.verify.bundle import statement_file
    from assay.verify.compare import stated_disclosures

    asked = [Challenge.load(path) for path in challenges]
    stated = None if proof is None else ProofFile.from_bytes(read_proof(proof)).statement
    opened = None if stated is None else stated_disclosures(stated, asked)
    hiding = not insecure_no_hiding
    data = statement_file(PublicModel.load(public), asked, hiding=hiding, disclosures=opened)
    write_file(out, data)
    payload = {
        "statement": str(out),
        "members": [{"scope": one.scope, **one.asked} for one in asked],
        "hiding": hiding,
        "bytes": len(data),
    }
    described = "; ".join(one.described for one in asked)
    emit(as_json, payload, [f"{described}: {out}, {amount(len(data))}", f"  assay-verify {out} PROOF"])
