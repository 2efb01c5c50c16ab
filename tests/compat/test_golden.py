"""Files of format version 1 stay readable, hiding or not; those of version 0 are refused by their version."""

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

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "v1"
PROFILES = ["provable-128", "provable-100"]
PROOFS = {"proof.assay": True, "proof-not-hiding.assay": False}


def files(profile: str, version: str = "v1") -> dict[str, Path]:
    folder = HERE / version / profile
    return {"public": folder / "public.assay", "challenge": folder / "challenge.json"}


@pytest.mark.parametrize("name", PROOFS)
@pytest.mark.parametrize("profile", PROFILES)
def test_both_verifiers_accept(profile: str, name: str) -> None:
    proof, how = FOLDER / profile / name, {"insecure_no_hiding": not PROOFS[name]}
    core = verify(proof, **files(profile), **how)
    plain = reference.verify(proof, **files(profile), **how)
    assert core.profile == plain.fields["profile"] == profile
    assert core.hiding == plain.fields["hiding"] == PROOFS[name]
    assert core.counter == plain.body.counter > 0
    assert [s.layer for s in core.statements] == plain.fields["layers"] == [0]
    assert [s.saturated for s in core.statements] == list(plain.body.totals)
    assert [s.circuit_digest for s in core.statements] == [s["circuit"] for s in plain.fields["segments"]]
    assert list(core.security_terms) == list(plain.body.security_terms)
    assert len(core.security_terms) == (13 if PROOFS[name] else 9)
    assert plain.body.security_terms == pytest.approx(core.security_terms, abs=1e-9)
    assert plain.body.security_bits == pytest.approx(core.security_bits, abs=1e-9)
    assert core.security_bits >= float(profile[-3:])


def outcome(check: Any, proof: bytes | Path, given: dict[str, Any]) -> tuple[Any, ...]:
    try:
        check(proof, **given)
    except AssayError as error:
        return (
            type(error),
            error.code,
            getattr(error, "segment", None),
            getattr(error, "relation", None),
            getattr(error, "round", None),
        )
    return ("accepted",)


def agreed(proof: bytes | Path, given: dict[str, Any]) -> tuple[Any, ...]:
    """What both verifiers say."""
    found = outcome(verify, proof, given)
    assert found == outcome(reference.verify, proof, given)
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_a_proof_that_does_not_hide_is_refused_unless_permitted(profile: str) -> None:
    found = agreed(FOLDER / profile / "proof-not-hiding.assay", files(profile))
    assert found[1] == "statement.hiding"
    permitted = {**files(profile), "insecure_no_hiding": True}
    assert agreed(FOLDER / profile / "proof.assay", permitted) == ("accepted",)


@pytest.mark.parametrize("profile", PROFILES)
def test_version_0_is_refused(profile: str) -> None:
    """The proof with files of version 1, and each file of version 0 for itself."""
    old = HERE / "v0" / profile
    assert agreed(old / "proof.assay", files(profile))[1] == "format.version"
    for name in files(profile):
        found = agreed(FOLDER / profile / "proof.assay", {**files(profile), name: files(profile, "v0")[name]})
        assert found != ("accepted",), name


@pytest.mark.parametrize("name", PROOFS)
def test_changed_files_are_refused_alike(name: str) -> None:
    """Bits of head and statement, of the public file and of the challenge; a few of the body."""
    draw = random.Random(0)
    given = {what: path.read_bytes() for what, path in files("provable-128").items()}
    given["proof"] = (FOLDER / "provable-128" / name).read_bytes()
    places = (("proof", 30, 1600), ("public", 15, None), ("challenge", 15, None), ("proof", 4, None))
    for what, count, end in places:
        for _ in range(count):
            changed = bytearray(given[what])
            changed[draw.randrange(end or len(changed))] ^= 1 << draw.randrange(8)
            edited = {**given, what: bytes(changed)}
            proof = edited.pop("proof")
            found = agreed(proof, {**edited, "insecure_no_hiding": True})
            assert found != ("accepted",)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"--{name}={path}" for name, path in files("provable-100").items()]
    proof = str(FOLDER / "provable-100" / "proof.assay")
    assert main(["verify", proof, *given, "--reference", "--json"]) == 0
    assert '"verdict": "accepted"' in capsys.readouterr().out
    assert main(["verify", proof, given[0], "--reference", "--any-statement", "--json"]) == 2
    capsys.readouterr()
    open_proof = str(FOLDER / "provable-100" / "proof-not-hiding.assay")
    assert main(["verify", open_proof, *given, "--reference", "--json"]) == 1
    assert "statement.hiding" in capsys.readouterr().out
    assert main(["verify", open_proof, *given, "--reference", "--insecure-no-hiding", "--json"]) == 0


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
