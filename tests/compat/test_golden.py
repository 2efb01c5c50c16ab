"""Golden files stay readable, hiding or not; those of earlier versions are refused by theirs."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay import framing, reference
from assay.audit import Challenge
from assay.audit.routing import routing_root
from assay.cli import main
from assay.errors import AssayError, VerificationError
from assay.proof import ProofFile, pack_proof
from assay.verify import ForwardStatement, LayerStatement, verify

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "v5"
OLD = ["v0", "v1", "v2"]
PROFILES = ["provable-128", "provable-100"]
LAYER = {"proof.assay": True, "proof-not-hiding.assay": False}
PROOFS = {
    "proof.assay": ["challenge.json"],
    "proof-not-hiding.assay": ["challenge.json"],
    "forward.assay": ["forward.json"],
    "batch.assay": ["challenge.json", "distances.json"],
}
LAYER_TERMS = 9
HIDING_TERMS = LAYER_TERMS + 4


def files(profile: str, version: str = "v5") -> dict[str, Path]:
    folder = HERE / version / profile
    return {"public": folder / "public.assay", "challenge": folder / "challenge.json"}


def given(profile: str, name: str) -> dict[str, Any]:
    """What a proof is verified with."""
    folder = FOLDER / profile
    return {
        "public": folder / "public.assay",
        "challenge": [folder / challenge for challenge in PROOFS[name]],
        "insecure_no_hiding": not LAYER.get(name, True),
    }


@pytest.mark.parametrize("name", PROOFS)
@pytest.mark.parametrize("profile", PROFILES)
def test_both_verifiers_accept(profile: str, name: str) -> None:
    proof, how, hides = FOLDER / profile / name, given(profile, name), LAYER.get(name, True)
    core, plain = verify(proof, **how), reference.verify(proof, **how)
    assert core.profile == plain.fields["profile"] == profile
    assert core.hiding == plain.fields["hiding"] == hides
    assert core.counter == plain.body.counter > 0
    assert [m.scope for m in core.members] == [m["scope"] for m in plain.fields["members"]]
    assert list(core.security_terms) == list(plain.body.security_terms)
    assert len(core.security_terms) == (HIDING_TERMS if hides else LAYER_TERMS)
    assert plain.body.security_terms == pytest.approx(core.security_terms, abs=1e-9)
    assert plain.body.security_bits == pytest.approx(core.security_bits, abs=1e-9)
    assert core.security_bits >= float(profile[-3:])
    found = iter(zip(segments(plain.fields), plain.body.totals, plain.body.outputs, strict=True))
    for statement in core.statements:
        if isinstance(statement, LayerStatement):
            check_layer(statement, *next(found))
        else:
            check_forward(statement, [next(found) for _ in statement.circuit_digests])
    assert next(found, None) is None


def segments(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [segment for member in fields["members"] for segment in member["segments"]]


def check_layer(said: LayerStatement, segment: Any, totals: Any, outputs: Any) -> None:
    """A layer as the two verifiers read it."""
    assert said.layer == 0
    assert (said.circuit_digest, said.saturated, outputs) == (segment["circuit"], totals, {})


def check_forward(said: ForwardStatement, found: list[Any]) -> None:
    """The same of a forward pass; the random model's vocabulary is one piece."""
    assert list(said.circuit_digests.values()) == [segment["circuit"] for segment, _, _ in found]
    assert [totals for _, totals, _ in found if any(totals.values())] == list(said.saturated.values())
    outputs = {name: values for _, _, sent in found for name, values in sent.items()}
    assert said.tokens == (2, 7, 1)
    assert said.positions == (0, 2)
    if said.raw_logits is not None:
        assert outputs == {"logits": [x for row in said.raw_logits for x in row]}
    else:
        assert said.distances is not None
        assert outputs["tv"] == [int(d.tv * 2**19) for d in said.distances]
        assert outputs["top_k"] == [int(d.top_k * 2**said.fraction) for d in said.distances]


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


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("profile", PROFILES)
def test_earlier_versions_are_refused(profile: str, version: str) -> None:
    """Present files with an old proof, and each file of an earlier version for itself, by its version."""
    old = files(profile, version)
    assert agreed(HERE / version / profile / "proof.assay", files(profile))[1] == "format.version"
    # A challenge has had the same version since its record has had one of its own.
    challenge = "record-version" if version == "v2" else "challenge-version"
    for name, code in (("public", "public-version"), ("challenge", challenge)):
        found = agreed(FOLDER / profile / "proof.assay", {**files(profile), name: old[name]})
        assert found[1] == code


@pytest.mark.parametrize("version", ["v3", "v4"])
@pytest.mark.parametrize("profile", PROFILES)
def test_challenges_to_earlier_records_are_refused(profile: str, version: str) -> None:
    """Proofs and public files have kept their version since."""
    assert agreed(HERE / version / profile / "proof.assay", files(profile, version))[1] == "record-version"


def test_a_mixture_says_which_experts_ran() -> None:
    """Both scopes, both verifiers; the public log beside them is the one that the record names."""
    folder = FOLDER / "mixture"
    routing = np.load(folder / "routing.npy")
    for name, asked in (("proof.assay", "challenge.json"), ("forward.assay", "forward.json")):
        how: dict[str, Any] = {"public": folder / "public.assay", "challenge": folder / asked}
        assert agreed(folder / name, {**how, "routing": routing}) == ("accepted",)
        assert agreed(folder / name, {**how, "routing": routing[:, :, ::-1]})[1] == "statement.experts"
        (said,) = verify(folder / name, **how).statements
        assert isinstance(said, LayerStatement | ForwardStatement)
        experts = [said.experts] if isinstance(said, LayerStatement) else list(said.experts.values())
        assert experts == [tuple(map(tuple, layer)) for layer in routing.tolist()][: len(experts)]
    header = Challenge.load(folder / "challenge.json").record
    assert header.routing == routing_root(header.request, routing)


@pytest.mark.parametrize("name", PROOFS)
def test_changed_files_are_refused_alike(name: str) -> None:
    """Bits of head and statement, of the public file and of the challenges; a few of the body."""
    draw, how = random.Random(0), given("provable-128", name)
    challenges = [path.read_bytes() for path in how["challenge"]]
    proof, public = (FOLDER / "provable-128" / name).read_bytes(), how["public"].read_bytes()
    some, end = (15, 1600) if name in LAYER else (6, 3000)  # a layer is soon verified
    for _ in range(2 * some):
        assert agreed(flipped(draw, proof, end), how) != ("accepted",)
    for _ in range(some):
        assert agreed(proof, {**how, "public": flipped(draw, public)}) != ("accepted",)
    for number in range(some):
        changed = list(challenges)
        at = number % len(changed)
        changed[at] = flipped(draw, changed[at])
        assert agreed(proof, {**how, "challenge": changed}) != ("accepted",)
    for _ in range(4):
        assert agreed(flipped(draw, proof), how) != ("accepted",)


def flipped(draw: random.Random, data: bytes, end: int | None = None) -> bytes:
    """A bit of the first `end` bytes."""
    out = bytearray(data)
    out[draw.randrange(end or len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)


def test_challenges_of_a_batch_come_in_its_order() -> None:
    how = given("provable-100", "batch.assay")
    proof = FOLDER / "provable-100" / "batch.assay"
    for asked in (how["challenge"][::-1], how["challenge"][:1], [*how["challenge"], how["challenge"][1]]):
        assert agreed(proof, {**how, "challenge": asked}) != ("accepted",)


@pytest.mark.parametrize(
    ("field", "code"),
    [("tokens", "tokens"), ("salt", "tokens"), ("ids", "log"), ("path", "log"), ("positions", "positions")],
)
def test_what_a_forward_pass_opens_is_checked(field: str, code: str) -> None:
    """Each part of it against the record, by both alike."""
    how = given("provable-100", "forward.assay")
    file = ProofFile.from_bytes((FOLDER / "provable-100" / "forward.assay").read_bytes())
    fields = copy.deepcopy(file.statement)
    (member,) = fields["members"]
    if field in ("ids", "path"):
        opened = member["log"][1][field]
        opened[0] = opened[0] + 1 if field == "ids" else bytes(32)
    elif field == "salt":
        member["salt"] = bytes(32)
    else:
        member[field][0] += 1
    data = pack_proof(file.profile, True, framing.encode(fields), file.body)
    assert agreed(data, how)[:2] == (VerificationError, f"statement.{code}")


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
