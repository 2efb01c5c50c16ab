"""Statement files, and the program `assay-verify` on them: the verdicts of `assay verify`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_model import Road

from assay import framing
from assay.audit.challenge import Challenge
from assay.cli import main
from assay.errors import ChallengeError
from assay.framing import Kind
from assay.public import PublicModel
from assay.verify.bundle import VERSION, statement_file

GOLDEN = Path(__file__).resolve().parents[1] / "compat" / "v5"


def program() -> str:
    """The program that this package installs beside its interpreter."""
    found = shutil.which("assay-verify", path=str(Path(sys.executable).parent))
    assert found is not None, "assay-verify is not installed"
    return found


def run(statement: Path, proof: Path) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([program(), statement, proof], capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("hiding", [True, False])
@pytest.mark.parametrize("profile", ["provable-100", "provable-128"])
def test_golden_proofs(profile: str, hiding: bool, tmp_path: Path) -> None:
    folder = GOLDEN / profile
    public, challenge = PublicModel.load(folder / "public.assay"), Challenge.load(folder / "challenge.json")
    statement = tmp_path / "statement"
    statement.write_bytes(statement_file(public, [challenge], hiding=hiding))
    proofs = {True: folder / "proof.assay", False: folder / "proof-not-hiding.assay"}
    code, found = run(statement, proofs[hiding])
    assert (code, found["verdict"], found["hiding"]) == (0, "accepted", hiding)
    assert found["security_bits"] >= public.profile.bits
    code, found = run(statement, proofs[not hiding])
    assert (code, found["code"]) == (1, "statement.head")
    changed = tmp_path / "changed"
    changed.write_bytes(proofs[hiding].read_bytes()[:-1] + b"\0")
    assert run(statement, changed)[0] == 1


def test_the_program_says_what_assay_verify_says(
    road: Road, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public, out = road.dir / "public.assay", tmp_path / "statement"
    options = ["--public", str(public), "--challenge", str(road.challenge_path)]
    assert main(["statement", *options, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == out.stat().st_size
    assert main(["verify", str(road.proof_path), *options, "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    code, theirs = run(out, road.proof_path)
    assert (code, theirs["counter"], theirs["proof_bytes"]) == (0, ours["counter"], ours["proof_bytes"])
    assert theirs["security_terms"] == pytest.approx(ours["security_terms"], abs=1e-5)
    assert [s["totals"] for s in theirs["segments"]] == [
        s["saturated"] for s in ours["members"][0]["statements"]
    ]
    assert [s["circuit_digest"] for s in theirs["segments"]] == [
        s["circuit_digest"] for s in ours["members"][0]["statements"]
    ]


def test_a_file_has_the_parts_that_the_specification_names(road: Road) -> None:
    public = PublicModel.from_bytes(road.public)
    data = statement_file(public, [road.challenge])
    head, instance, circuits = framing.unpack(data, Kind.STATEMENT, VERSION, [256, 1 << 24, 1 << 30])
    assert framing.decode(head) == {"profile": public.profile.name, "hiding": True}
    assert road.file.statement_bytes in instance
    assert len(circuits) > 8 * len(road.challenge.layers)


def test_a_challenge_to_another_model_is_refused(road: Road, other: Road) -> None:
    with pytest.raises(ChallengeError):
        statement_file(PublicModel.from_bytes(other.public), [road.challenge])
