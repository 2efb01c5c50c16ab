"""Register, record, challenge, prove, verify: the whole road, and everything that must not get through it."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from tiny_model import (
    CALIBRATIONS,
    SMALL_CODE,
    TOKENS,
    Road,
    cuts,
    flips,
    proven,
    register_model,
    tampered,
    write_model,
)

import assay.prove.commit
import assay.prove.register as registering
import assay.prove.unfinished
import assay.statement
import assay.storage
from assay import framing
from assay.audit import Challenge, RecordHeader, challenge
from assay.audit.tokens import commit_tokens
from assay.errors import (
    ChallengeError,
    PublicFileError,
    RequestError,
    StorageError,
    VerificationError,
)
from assay.framing import Kind
from assay.model import load
from assay.proof import pack_proof
from assay.prove.folder import RegisteredModel
from assay.prove.prover import prove
from assay.prove.record import load_recording, record, record_tokens
from assay.public import PublicModel
from assay.segments import circuits_digest
from assay.statement import build_statement
from assay.verify import verify


def check(road: Road, proof: bytes, asked: Challenge | None = None, public: bytes | None = None) -> Any:
    return verify(proof, public=public or road.public, challenge=asked or road.challenge)


def rejection(road: Road, proof: bytes, asked: Challenge | None = None) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        check(road, proof, asked)
    assert caught.value.exit_code == 1
    return caught.value


# --- what is accepted


def test_the_road_is_accepted(road: Road) -> None:
    found = verify(road.proof_path, public=road.dir / "public.assay", challenge=road.challenge_path)
    assert [s.layer for s in found.statements] == [0, 2]
    assert {s.tokens for s in found.statements} == {len(TOKENS)}
    assert {s.distance for s in found.statements} == {(0,)}
    assert found.compared
    assert found.hiding
    assert found.epoch == 0
    assert found.counter == 2  # the registration proof was the first
    assert found.ledger_went_back is None
    assert found.profile == "provable-128"
    assert found.security_bits >= 128
    total = -np.log2(sum(2.0**-bits for bits in found.security_terms.values()))
    assert found.security_bits == pytest.approx(total, abs=1e-6)
    assert [m.record_root for m in found.members] == [road.recording.header.hash]
    assert found.public_hash == road.model.public.hash
    assert json.dumps(found.to_dict())


def test_two_proofs_of_one_challenge_differ(road: Road) -> None:
    again = proven(road.model, road.recording, road.challenge).data
    assert again != road.proof
    assert check(road, again).compared


def test_a_drawn_challenge_is_answered(road: Road) -> None:
    asked = challenge(road.req / "record.assay", num_layers=1)
    proof = proven(road.model, road.recording, asked)
    assert tuple(s.layer for s in check(road, proof.data, asked).statements) == asked.layers
    assert proof.lookups > 0
    assert proof.committed_elements > 0


def test_provable_100(road: Road, tmp_path: Path) -> None:
    register_model(road.model_path, tmp_path / "DIR", profile="provable-100")
    model = RegisteredModel(tmp_path / "DIR")
    recording = record_tokens(model, TOKENS)
    asked = challenge(recording.header, layers=[1])
    proof = proven(model, recording, asked).data
    found = verify(proof, public=model.public, challenge=asked)
    assert found.profile == "provable-100"
    assert 100 <= found.security_bits < 128
    with pytest.raises(ChallengeError):  # the challenge is bound to a record of the other profile's model
        check(road, proof, asked)


def test_too_few_queries_are_not_provable(road: Road, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="too large for the bits") as caught:
        register_model(road.model_path, tmp_path / "DIR", code=dataclasses.replace(SMALL_CODE, queries=150))
    assert caught.value.code == "not-provable"
    assert not (tmp_path / "DIR" / "public.assay").exists()


def test_both_storage_modes_prove_from_one_root(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same secret key the root is the same; the codeword on disk answers the queries."""
    (tmp_path / "DIR" / "epochs" / "0").mkdir(parents=True)
    key = (road.dir / "epochs" / "0" / "secret.key").read_bytes()
    (tmp_path / "DIR" / "epochs" / "0" / "secret.key").write_bytes(key)
    monkeypatch.setattr(assay.prove.unfinished, "_is_as_begun", lambda epoch: epoch.key.is_file())
    stored = register_model(road.model_path, tmp_path / "DIR", storage="stored")
    assert stored.public.core_hash == road.model.public.core_hash
    assert stored.public.proof != road.model.public.proof  # its pads are fresh
    model = RegisteredModel(tmp_path / "DIR")
    assert (model.storage, road.model.storage) == ("stored", "recompute")
    recording = record_tokens(model, TOKENS)
    asked = challenge(recording.header, layers=[0, 2])
    proof = proven(model, recording, asked).data
    assert verify(proof, public=model.public, challenge=asked).compared


def test_the_exact_model_is_deterministic(road: Road) -> None:
    first, second = (record_tokens(road.model, TOKENS) for _ in range(2))
    for a, b in zip(first.boundaries, second.boundaries, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.header.boundaries_root != second.header.boundaries_root  # fresh randomness
    assert first.header.tokens_commitment == commit_tokens(TOKENS, first.salt)


def test_boundary_0_is_the_scaled_embedding(road: Road) -> None:
    public = road.model.public
    f_e, f_0 = public.scales.weight("embedding"), public.scales.boundary(0)
    rows = road.model.weight("embedding.0")[TOKENS]
    expected = rows.astype(np.float64) * np.sqrt(128) * 2.0 ** (f_0 - f_e)
    assert np.abs(road.recording.boundaries[0] - expected).max() <= 1.0
    source = load(road.model_path).tensor("embedding")[TOKENS]
    assert np.abs(rows - source * 2.0**f_e).max() <= 0.5


def test_the_circuit_digest_is_that_of_the_circuits(road: Road) -> None:
    assert circuits_digest(road.model.public) == road.model.public.circuit_digest


def test_any_statement_compares_nothing(road: Road) -> None:
    found = verify(road.proof, public=road.public, any_statement=True)
    assert not found.compared
    assert found.members[0].nonce == road.challenge.nonce
    with pytest.raises(RequestError) as caught:
        verify(road.proof, public=road.public)
    assert caught.value.code == "no-challenge"
    with pytest.raises(RequestError):
        verify(road.proof, public=road.public, challenge=road.challenge, any_statement=True)


# --- what is rejected


def test_every_field_of_the_statement_is_compared(road: Road) -> None:
    """The statement in the file is edited, field by field; with and without a challenge to compare with."""
    file = road.file
    seen = set()
    for label, make in tampered(file.statement):
        proof = pack_proof(file.profile, file.hiding, framing.encode(make()), file.body)
        code = rejection(road, proof).code
        assert code.startswith(("statement.", "format.")), label
        seen.add(code)
        with pytest.raises(VerificationError):
            verify(proof, public=road.public, any_statement=True)
    assert {f"statement.{name}" for name in file.statement} <= seen


def test_a_replaced_statement_breaks_the_transcript(road: Road) -> None:
    """The body of one challenge under the honest statement of another: nothing but the transcript tells."""
    for asked in (
        challenge(road.recording.header, layers=[0, 2]),  # another nonce
        challenge(road.recording.header, layers=[0, 1]),
        challenge(road.recording.header, layers=[0]),
    ):
        statement = build_statement(road.model.public, [asked])
        proof = pack_proof("provable-128", True, statement.instance, road.file.body)
        assert not rejection(road, proof, asked).code.startswith("statement.")


def test_head_and_framing(road: Road) -> None:
    file = road.file
    for profile, hiding, code in (
        ("provable-100", True, "statement.profile"),
        ("provable-128", False, "statement.hiding"),
    ):
        proof = pack_proof(profile, hiding, file.statement_bytes, file.body)
        assert rejection(road, proof).code == code
    for version in (0, 1, 2, 4):
        changed = road.proof[:8] + version.to_bytes(4, "little") + road.proof[12:]
        assert rejection(road, changed).code == "format.version"
    for wrong in (
        road.public,
        road.recording.header.encoded,
        (road.dir / "epochs" / "0" / "secret.key").read_bytes(),
    ):
        assert rejection(road, wrong).code == "format.kind"


def test_truncated_bodies_and_bytes_after_them(road: Road) -> None:
    file = road.file
    for body in cuts(file.body, 12)[8:]:
        code = rejection(road, pack_proof(file.profile, file.hiding, file.statement_bytes, body)).code
        assert code.startswith("format.") or "." in code
    for data in cuts(road.proof, 12):
        assert rejection(road, data).code.startswith("format.")


def test_flipped_bits_and_garbage(road: Road) -> None:
    for data in flips(road.proof, 40):
        rejection(road, data)
    for data in (b"", b"ASSAYPRF", os.urandom(1 << 16), b"ASSAYPRF" + os.urandom(1 << 12)):
        assert rejection(road, data).code.startswith("format.")


def test_a_proof_of_another_model(road: Road, other: Road) -> None:
    assert other.model.public.hash != road.model.public.hash
    assert rejection(road, other.proof).code.startswith("statement.")
    with pytest.raises(ChallengeError) as caught:  # the challenge itself is about another model
        check(road, other.proof, other.challenge)
    assert caught.value.code == "record-of-another-model"
    with pytest.raises(VerificationError):
        verify(other.proof, public=road.public, any_statement=True)


def test_a_record_of_another_model_cannot_be_proven(road: Road, other: Road) -> None:
    with pytest.raises(RequestError, match="another registered model"):
        load_recording(other.req, road.model)
    with pytest.raises(RequestError, match="another registered model"):
        proven(road.model, other.recording, other.challenge)


def test_a_replayed_proof_of_another_request(road: Road) -> None:
    recording = record_tokens(road.model, TOKENS)
    asked = challenge(recording.header, layers=[0, 2], nonce=road.challenge.nonce)
    assert rejection(road, road.proof, asked).code == "statement.record"


def test_a_proof_for_other_layers(road: Road) -> None:
    asked = challenge(road.recording.header, layers=[1, 2], nonce=road.challenge.nonce)
    assert rejection(road, road.proof, asked).code in ("statement.layers", "statement.segments")


# --- the record, after the challenge


def test_a_record_changed_after_the_challenge(road: Road) -> None:
    """The prover records anew once it knows the layers: its own tool refuses, and so does the verifier."""
    recording = record_tokens(road.model, [1, 2, 3, 4, 5, 6])
    with pytest.raises(ChallengeError) as caught:
        proven(road.model, recording, road.challenge)
    assert caught.value.code == "challenge-of-another-record"
    moved = dataclasses.replace(road.challenge, record=recording.header)
    proof = proven(road.model, recording, moved).data
    assert rejection(road, proof).code == "statement.record"


@pytest.mark.parametrize("field", ["boundaries_root", "tokens_commitment", "request", "created"])
def test_every_field_of_the_record_is_bound(road: Road, field: str) -> None:
    """A record changed in one field is another record: its challenge is not answered by the proof at hand."""
    header = road.recording.header
    value = getattr(header, field)
    changed = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    moved = dataclasses.replace(header, **{field: changed})
    asked = dataclasses.replace(road.challenge, record=moved)
    assert rejection(road, road.proof, asked).code == "statement.record"
    statement = build_statement(road.model.public, [asked])
    rejection(road, pack_proof("provable-128", True, statement.instance, road.file.body), asked)


@pytest.mark.parametrize(
    "change",
    [
        {"public": bytes(32)},
        {"weights_root": bytes(32)},
        {"num_layers": 4},
        {"tokens": 7},
        {"parts": (1, 1, 1)},
        {"slots": ()},
        {"tokens": 513},
    ],
)
def test_records_that_are_not_of_the_model(road: Road, change: dict[str, Any]) -> None:
    asked = dataclasses.replace(road.challenge, record=dataclasses.replace(road.recording.header, **change))
    with pytest.raises(ChallengeError) as caught:
        check(road, road.proof, asked)
    assert caught.value.exit_code == 2


def test_more_than_one_proof_may_cover(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assay.statement, "MOST_TOKEN_LAYERS", 2 * len(TOKENS) - 1)
    with pytest.raises(ChallengeError) as caught:
        check(road, road.proof)
    assert caught.value.code == "challenge-too-large"
    with pytest.raises(VerificationError):
        verify(road.proof, public=road.public, any_statement=True)


def test_another_public_file(road: Road) -> None:
    for change in ({"root": bytes(32)}, {"source_digest": bytes(32)}, {"circuit_digest": bytes(32)}):
        changed = dataclasses.replace(road.model.public, **change)
        with pytest.raises(ChallengeError):
            verify(road.proof, public=changed, challenge=road.challenge)
        header = dataclasses.replace(road.recording.header, public=changed.hash, weights_root=changed.root)
        asked = dataclasses.replace(road.challenge, record=header)
        with pytest.raises(VerificationError):
            verify(road.proof, public=changed, challenge=asked)
    with pytest.raises(PublicFileError):
        verify(road.proof, public=road.proof, challenge=road.challenge)


def test_damaged_private_files(road: Road, tmp_path: Path) -> None:
    recording = record(road.model, tmp_path / "REQ", tokens=TOKENS)
    asked = challenge(recording.header, layers=[0])
    for name in ("boundaries.cells", "leaves", "request.assay"):
        path = tmp_path / "REQ" / "private" / name
        whole = path.read_bytes()
        for broken in (whole[:-1], b"", whole + b"\0"):
            path.write_bytes(broken)
            with pytest.raises(RequestError):
                prove(road.model, [(tmp_path / "REQ", asked)], tmp_path / "proof.assay")
        if name != "request.assay":
            path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
            with pytest.raises(RequestError):
                prove(road.model, [(tmp_path / "REQ", asked)], tmp_path / "proof.assay")
        path.write_bytes(whole)
    prove(road.model, [(tmp_path / "REQ", asked)], tmp_path / "proof.assay")
    assert not stat.S_IMODE((tmp_path / "REQ" / "private").stat().st_mode) & 0o077


# --- a cheating prover


def changed_weight(model: RegisteredModel) -> dict[str, Any]:
    name = "layers.0.down_proj"
    cells = model.weight(name).copy()
    cells[3, 5] += 500
    return {name: cells}


def swapped_layer(model: RegisteredModel) -> dict[str, Any]:
    own = model.layer_weights(0)
    return {name: model.weight(name.replace("layers.0.", "layers.1.")).copy() for name in own}


def coarse_weights(model: RegisteredModel) -> dict[str, Any]:
    weights = {n: c for n, c in model.layer_weights(0).items() if n.endswith("_proj")}
    return {n: (np.rint(c / 4096.0) * 4096).clip(-28672, 28672).astype(np.int16) for n, c in weights.items()}


@pytest.mark.parametrize(
    ("forge", "relation"),
    [(changed_weight, "down_proj"), (swapped_layer, ""), (coarse_weights, "q_proj")],
)
def test_forgeries_are_rejected_by_name(
    road: Road, forge: Callable[[RegisteredModel], dict[str, Any]], relation: str
) -> None:
    weights = forge(road.model)
    recording = record_tokens(road.model, TOKENS, replaced=weights)
    asked = challenge(recording.header, layers=[0])
    with pytest.raises(RequestError) as refused:  # with its self-checks on, the prover refuses
        proven(road.model, recording, asked)
    assert refused.value.code == "not-provable"
    forged = {"self_check": False, "evaluate_with": weights}
    hiding = proven(road.model, recording, asked, **forged)
    assert rejection(road, hiding.data, asked).code == "tableau.linear"
    proof = proven(road.model, recording, asked, insecure_no_hiding=True, **forged)
    with pytest.raises(VerificationError) as caught:
        verify(proof.data, public=road.public, challenge=asked, insecure_no_hiding=True)
    error = caught.value
    assert error.segment == "layer 0"
    assert error.relation
    assert relation in error.relation


# --- registering


def test_the_registered_folder(road: Road) -> None:
    epoch = road.dir / "epochs" / "0"
    assert stat.S_IMODE((epoch / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((road.dir / "ledger.db").stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in road.dir.rglob("*.cells")} == {0o600}
    assert (epoch / "public.assay").read_bytes() == road.public
    assert [path.stem for path in epoch.glob("*.proof")] == [road.model.public.proof.hex()]
    assert not (epoch / "proving.assay").exists()
    assert not (road.dir / "registering.json").exists()
    assert not list(road.dir.rglob("*.tmp"))
    with pytest.raises(StorageError) as caught:
        register_model(road.model_path, road.dir)
    assert caught.value.code == "already-registered"


class _Killed(BaseException):
    pass


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> Iterator[None]:
    """Writing a file of this name fails halfway."""
    real = assay.storage.writing

    @contextmanager
    def writing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
        with real(path, mode=mode) as file:
            if path.name == name or path.suffix == Path(name).suffix == ".proof":
                file.write(b"half")
                raise error
            yield file

    with monkeypatch.context() as patch:
        for module in (registering, assay.prove.commit, assay.prove.unfinished, assay.storage):
            patch.setattr(module, "writing", writing)
        yield


def written(folder: Path) -> dict[str, int]:
    """When the files of the first two parts were written."""
    paths = [*folder.glob("weights/000[01].*"), *folder.glob("epochs/0/000[01].*")]
    return {path.name: path.stat().st_mtime_ns for path in paths}


@pytest.mark.parametrize(
    ("name", "storage"),
    [
        ("secret.key", "recompute"),
        ("tokenizer.json", "recompute"),
        ("registering.json", "recompute"),
        ("0002.cells", "recompute"),
        ("0002.digests", "recompute"),
        ("0002.digests", "stored"),
        ("0002.columns", "stored"),
        ("leaves", "stored"),
        ("proving.assay", "recompute"),
        ("HASH.proof", "recompute"),
        ("public.assay", "recompute"),
    ],
)
def test_a_registration_that_was_cut_off_resumes(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, storage: str
) -> None:
    folder = tmp_path / "DIR"
    with failing(monkeypatch, name, _Killed()), pytest.raises(_Killed):
        register_model(road.model_path, folder, storage=storage)
    with pytest.raises(StorageError) as caught:
        RegisteredModel(folder)
    assert caught.value.code in ("registration-incomplete", "not-registered")
    before = written(folder)
    CALIBRATIONS.clear()
    done = register_model(road.model_path, folder, storage=None if before else storage)
    assert done.storage == storage
    assert bool(CALIBRATIONS) == (name in ("secret.key", "registering.json"))
    after = written(folder)
    assert all(after[n] == at for n, at in before.items())
    model = RegisteredModel(folder)
    recording = record_tokens(model, TOKENS)
    asked = challenge(recording.header, layers=[1])
    assert verify(proven(model, recording, asked).data, public=model.public, challenge=asked).compared


def test_a_full_disk_says_how_much_is_missing_and_resumes(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "DIR"
    full = OSError(errno.ENOSPC, "No space left on device")
    with failing(monkeypatch, "0002.digests", full), pytest.raises(StorageError) as caught:
        register_model(road.model_path, folder)
    assert caught.value.code == "disk-full"
    assert caught.value.exit_code == 2
    assert "MB" in caught.value.message
    assert "resumes" in (caught.value.hint or "")
    assert register_model(road.model_path, folder).public.root


def test_too_little_space_is_told_at_once(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "free_disk", lambda path: 1000)
    with pytest.raises(StorageError) as caught:
        register_model(road.model_path, tmp_path / "DIR")
    assert caught.value.code == "disk-full"
    assert not list((tmp_path / "DIR" / "weights").iterdir())


def test_another_registration_in_the_same_folder(
    road: Road, other: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "DIR"
    with failing(monkeypatch, "0001.cells", _Killed()), pytest.raises(_Killed):
        register_model(road.model_path, folder)
    for model, options in (
        (other.model_path, {}),
        (road.model_path, {"profile": "provable-100"}),
        (road.model_path, {"storage": "stored"}),
    ):
        with pytest.raises(StorageError) as caught:
            register_model(model, folder, **options)
        assert caught.value.code == "other-registration"
    (folder / "registering.json").write_text("{}")
    with pytest.raises(StorageError) as caught:
        register_model(road.model_path, folder)
    assert caught.value.code == "damaged-registration"


def test_a_folder_of_something_else(road: Road, tmp_path: Path) -> None:
    for place in ("DIR/weights", "REQ"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "mine.txt").write_text("mine")
        with pytest.raises(StorageError) as caught:
            register_model(road.model_path, tmp_path / place.split("/")[0])
        assert caught.value.code == "folder-not-empty"
        assert sorted(p.name for p in (tmp_path / place).iterdir()) == ["mine.txt"]


def test_a_damaged_registration_does_not_prove(road: Road, tmp_path: Path) -> None:
    register_model(road.model_path, tmp_path / "DIR")
    weights = tmp_path / "DIR"
    model = RegisteredModel(tmp_path / "DIR")
    recording = record_tokens(model, TOKENS)
    asked = challenge(recording.header, layers=[0])
    for name in ("epochs/0/leaves", "epochs/0/0001.digests", "weights/0001.cells"):
        whole = (weights / name).read_bytes()
        (weights / name).write_bytes(whole[:-1])
        with pytest.raises(StorageError) as caught:
            proven(RegisteredModel(tmp_path / "DIR"), recording, asked)
        assert caught.value.code == "damaged-registration"
        (weights / name).write_bytes(whole)
    flipped = (weights / "epochs/0/leaves").read_bytes()
    (weights / "epochs/0/leaves").write_bytes(bytes([flipped[0] ^ 1]) + flipped[1:])
    with pytest.raises(StorageError, match="root"):
        proven(RegisteredModel(tmp_path / "DIR"), recording, asked)


def test_impossible_codes(road: Road, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        register_model(road.model_path, tmp_path / "DIR", code=dataclasses.replace(SMALL_CODE, log_coset=9))
    assert caught.value.code == "bad-code"


# --- separate processes


def test_four_processes_with_files_between_them(tmp_path: Path) -> None:
    """The default code and profile; the verifying processes see a folder without model and secrets."""
    write_model(tmp_path / "model")
    client = tmp_path / "client"
    client.mkdir()

    def run(*words: str, cwd: Path = tmp_path) -> dict[str, Any]:
        command = [sys.executable, "-m", "assay.cli", *words, "--json"]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    run("register", "model", "--out", "DIR")
    run("record", "DIR", "--prompt", "a b c d", "--out", "REQ")
    for name in ("DIR/public.assay", "REQ/record.assay"):
        (client / Path(name).name).write_bytes((tmp_path / name).read_bytes())
    drawn = run("challenge", "record.assay", "--num-layers", "2", "--out", "challenge.json", cwd=client)
    (tmp_path / "challenge.json").write_bytes((client / "challenge.json").read_bytes())
    run("prove", "DIR", "REQ", "--challenge", "challenge.json", "--out", "proof.assay")
    (client / "proof.assay").write_bytes((tmp_path / "proof.assay").read_bytes())
    answer = run(
        "verify", "proof.assay", "--public", "public.assay", "--challenge", "challenge.json", cwd=client
    )
    assert answer["verdict"] == "accepted"
    assert [s["layer"] for s in answer["members"][0]["statements"]] == drawn["layers"]
    assert answer["security_bits"] >= 128


def test_verifying_loads_no_model_library(road: Road) -> None:
    code = (
        "import sys, assay; "
        f"assay.verify({str(road.proof_path)!r}, public={str(road.dir / 'public.assay')!r}, "
        f"challenge={str(road.challenge_path)!r}); "
        "names = ('torch', 'transformers', 'gguf', 'tokenizers', 'safetensors', 'assay.prove', "
        "'assay.model', 'assay.quantize'); "
        "print([n for n in names if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_frames_of_private_files(road: Road) -> None:
    data = (road.req / "private" / "request.assay").read_bytes()
    assert framing.kind_of(data) is Kind.PRIVATE
    assert isinstance(RecordHeader.from_bytes(road.recording.header.encoded), RecordHeader)
    assert isinstance(PublicModel.load(road.dir / "public.assay"), PublicModel)
