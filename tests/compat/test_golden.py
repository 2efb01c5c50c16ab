"""Files of format version 0 stay readable: both verifiers accept them, and read the same from them."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay import reference
from assay.cli import main
from assay.errors import AssayError
from assay.verify import verify

FOLDER = Path(__file__).resolve().parent / "v0"
PROFILES = ["provable-128", "provable-100"]


def files(profile: str) -> dict[str, Path]:
    folder = FOLDER / profile
    return {"public": folder / "public.assay", "challenge": folder / "challenge.json"}


@pytest.mark.parametrize("profile", PROFILES)
def test_both_verifiers_accept(profile: str) -> None:
    proof = FOLDER / profile / "proof.assay"
    core, plain = verify(proof, **files(profile)), reference.verify(proof, **files(profile))
    assert core.profile == profile
    assert plain.fields["profile"] == profile
    assert [s.layer for s in core.statements] == plain.fields["layers"] == [0]
    assert [s.saturated for s in core.statements] == list(plain.body.totals)
    assert [s.circuit_digest for s in core.statements] == [s["circuit"] for s in plain.fields["segments"]]
    assert list(core.security_terms) == list(plain.body.security_terms)
    assert plain.body.security_terms == pytest.approx(core.security_terms, abs=1e-9)
    assert plain.body.security_bits == pytest.approx(core.security_bits, abs=1e-9)
    assert core.security_bits >= float(profile[-3:])


def outcome(check: Any, proof: bytes, given: dict[str, bytes]) -> tuple[Any, ...]:
    try:
        check(proof, **given)
    except AssayError as error:
        return type(error), error.code, getattr(error, "segment", None), getattr(error, "relation", None)
    return ("accepted",)


def test_changed_files_are_refused_alike() -> None:
    """Bits of head and statement, of the public file and of the challenge; a few of the body."""
    draw = random.Random(0)
    given = {name: path.read_bytes() for name, path in files("provable-128").items()}
    given["proof"] = (FOLDER / "provable-128" / "proof.assay").read_bytes()
    places = (("proof", 40, 1600), ("public", 25, None), ("challenge", 25, None), ("proof", 4, None))
    for name, count, end in places:
        for _ in range(count):
            changed = bytearray(given[name])
            changed[draw.randrange(end or len(changed))] ^= 1 << draw.randrange(8)
            edited = {**given, name: bytes(changed)}
            proof = edited.pop("proof")
            found = outcome(verify, proof, edited)
            assert found == outcome(reference.verify, proof, edited)
            assert found != ("accepted",)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"--{name}={path}" for name, path in files("provable-100").items()]
    proof = str(FOLDER / "provable-100" / "proof.assay")
    assert main(["verify", proof, *given, "--reference", "--json"]) == 0
    assert '"verdict": "accepted"' in capsys.readouterr().out
    assert main(["verify", proof, given[0], "--reference", "--any-statement", "--json"]) == 2


def test_the_reference_runs_without_the_extension() -> None:
    folder = FOLDER / "provable-100"
    code = (
        "import sys; sys.modules['assay._core'] = None; import assay.reference as r; "
        f"f = {str(folder)!r}; "
        "r.verify(f + '/proof.assay', public=f + '/public.assay', challenge=f + '/challenge.json'); "
        "print([n for n in ('torch', 'transformers', 'assay.prove', 'assay.verify') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
