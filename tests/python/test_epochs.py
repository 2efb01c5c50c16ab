"""Epochs: the registration proof, refreshes, and what the ledger lets through."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from tiny_model import SMALL_CODE, TOKENS, Road, attempt, flips, register_model

import assay.epochs
import assay.layout
import assay.prove.attempt
import assay.prove.commit
import assay.prove.epochs
import assay.prove.prover
import assay.prove.refresh
import assay.prove.register
import assay.prove.unfinished
import assay.storage
from assay import _core
from assay.audit import Challenge, challenge
from assay.epochs import refresh_statement, registration_statement
from assay.errors import AssayError, InternalError, PublicFileError, StorageError, VerificationError
from assay.layout import BLOCK, chunks, weight_layout
from assay.proof import ProofFile, pack_proof
from assay.prove.folder import RegisteredModel
from assay.prove.prover import prove, prove_recording
from assay.prove.record import load_recording, record, record_tokens
from assay.prove.refresh import refresh
from assay.public import PublicModel
from assay.storage import locked_folder
from assay.trace import EpochState, Ledger
from assay.verify import verify, verify_refresh, verify_registration

TIGHT = dataclasses.replace(SMALL_CODE, random=800)  # registration, a proof, the reserve of two refreshes


class _Killed(BaseException):
    pass


@pytest.fixture
def model(road: Road, tmp_path: Path) -> RegisteredModel:
    """A registered model of the test's own."""
    shutil.copytree(road.dir, tmp_path / "DIR")
    return RegisteredModel(tmp_path / "DIR")


@pytest.fixture
def tight(road: Road, tmp_path: Path) -> RegisteredModel:
    """One whose budget is soon used up."""
    register_model(road.model_path, tmp_path / "TIGHT", code=TIGHT)
    return RegisteredModel(tmp_path / "TIGHT")


def proof_of(model: RegisteredModel) -> Path:
    return model.epoch.proof(model.public.proof)


def request(model: RegisteredModel, path: Path) -> Challenge:
    """A record at a path, and a challenge for its layer 1."""
    record(model, path, tokens=TOKENS)
    return challenge(path / "record.assay", layers=[1])


def epochs(model: RegisteredModel) -> tuple[EpochState, ...]:
    with Ledger.open(model.folder.ledger) as ledger:
        return ledger.state().epochs


def refusal(call: Any) -> str:
    with pytest.raises(AssayError) as caught:
        call()
    return caught.value.code


@contextmanager
def killed_while_writing(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    """The process dies halfway through a file of this name, or of this suffix."""
    real = assay.storage.writing

    @contextmanager
    def writing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
        with real(path, mode=mode) as file:
            if path.name == name or path.suffix == name:
                file.write(b"half")
                raise _Killed
            yield file

    with monkeypatch.context() as patch:
        for module in (assay.prove.commit, assay.prove.register, assay.prove.unfinished, assay.storage):
            patch.setattr(module, "writing", writing)
        with pytest.raises(_Killed):
            yield


# --- registration


def test_the_registration_proof_is_accepted(road: Road) -> None:
    public = road.model.public
    found = verify_registration(proof_of(road.model), public=public)
    assert (found.kind, found.epoch, found.counter) == ("registration", 0, 1)
    assert found.security_bits >= 128
    assert found.public_hash == public.hash
    file = ProofFile.from_bytes(proof_of(road.model).read_bytes())
    assert file.statement["core"] == public.core_hash
    assert file.statement["weight_range"] == [-32767, 32767]


def test_it_covers_every_weight_once(road: Road) -> None:
    big = {**road.model.public.config, "vocab_size": 5003, "intermediate_size": 384}
    big |= {"hidden_size": 640, "embed_scale": math.sqrt(640)}
    for config in (road.model.public.config, big):
        layout = weight_layout(config, SMALL_CODE)
        for most in (1, 7, 300, 1 << 20):
            pieces = chunks(layout, most)
            slots = [slot for piece in pieces for slot in piece]
            covered = [(s.part, s.first_block + i) for s in slots for i in range(s.blocks)]
            wanted = [(s.part, s.first_block + i) for s in layout.slots for i in range(s.blocks)]
            assert covered == wanted
            assert len({slot.name for slot in slots}) == len(slots)
            longest = max(slot.stride // BLOCK for slot in slots)
            assert max(sum(slot.blocks for slot in piece) for piece in pieces) <= max(most, longest)


def test_tensors_cut_into_segments(road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assay.layout, "MOST_CHUNK_BLOCKS", 200)
    register_model(road.model_path, tmp_path / "DIR")
    model = RegisteredModel(tmp_path / "DIR")
    verify_registration(proof_of(model), public=model.public)
    statement = registration_statement(model.public)
    assert len(statement.fields["segments"]) > 10
    assert "embedding.0/1" in [slot.name for piece in chunks(model.public.layout) for slot in piece]
    monkeypatch.undo()
    with pytest.raises(VerificationError) as caught:  # the verifier has its own segments
        verify_registration(proof_of(model), public=model.public)
    assert caught.value.code == "statement.segments"


@pytest.mark.parametrize("profile", ["provable-128", "provable-100"])
def test_both_profiles(road: Road, tmp_path: Path, profile: str) -> None:
    register_model(road.model_path, tmp_path / "DIR", profile=profile)
    model = RegisteredModel(tmp_path / "DIR")
    assert (
        verify_registration(proof_of(model), public=model.public).security_bits >= model.public.profile.bits
    )


def cheating(model: RegisteredModel, name: str, value: int) -> tuple[PublicModel, _core.Commitment]:
    """The public file and the commitment of weights of which one cell has another value."""
    public = model.public
    parts = [np.array(model.part_cells(part)) for part in range(len(public.layout.parts))]
    slot = next(slot for slot in public.layout.slots if slot.name == name)
    parts[slot.part][slot.first_block * BLOCK + 5] = value
    rows = zip(public.layout.parts, parts, strict=True)
    commitment = _core.Commitment(
        "weights", public.code.core(), [(height, [(0, cells)]) for height, cells in rows], os.urandom(32)
    )
    commitment.commit()
    return dataclasses.replace(public, root=commitment.root), commitment


def test_a_part_without_rows_is_no_part(road: Road) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        _core.Commitment("none", road.model.public.code.core(), [(0, [])], bytes(32))


@pytest.mark.parametrize("name", ["embedding.0", "layers.1.q_norm", "layers.2.down_proj", "final_norm"])
def test_a_weight_out_of_range_is_rejected(road: Road, name: str) -> None:
    public, commitment = cheating(road.model, name, -(1 << 15))
    statement = registration_statement(public)
    with pytest.raises(_core.NotProvable):
        _core.prove(statement.core, commitment, [], bytes(32))
    forged = _core.prove(statement.core, commitment, [], bytes(32), self_check=False)
    with pytest.raises(_core.Rejected) as caught:
        _core.verify(statement.core, forged["body"])
    assert caught.value.args[0] == "tableau.linear"


@pytest.mark.parametrize("value", [-32767, 32767])
def test_the_ends_of_the_range_are_in_it(road: Road, value: int) -> None:
    public, commitment = cheating(road.model, "layers.0.up_proj", value)
    statement = registration_statement(public)
    body = _core.prove(statement.core, commitment, [], bytes(32))["body"]
    assert _core.verify(statement.core, body)["security_bits"] >= 128


def test_a_registration_proof_of_other_weights(road: Road, other: Road) -> None:
    public = dataclasses.replace(road.model.public, proof=other.model.public.proof)
    with pytest.raises(VerificationError) as caught:
        verify_registration(proof_of(other.model), public=public)
    assert caught.value.code == "statement.core"
    with pytest.raises(VerificationError) as caught:
        verify_registration(proof_of(other.model), public=road.model.public)
    assert caught.value.code == "epoch.proof"


def test_every_field_of_the_core_is_bound(road: Road) -> None:
    """Whoever changes the public file and keeps the proof has another core."""
    for change in ({"source_digest": bytes(32)}, {"root": bytes(32)}, {"circuit_digest": bytes(32)}):
        changed = dataclasses.replace(road.model.public, **change)
        assert refusal(lambda changed=changed: verify_registration(proof_of(road.model), public=changed)) == (
            "statement.core"
        )


def test_a_broken_registration_proof(road: Road) -> None:
    """Listed under its own hash, so that not the hash but the verifier tells."""
    import hashlib

    data = proof_of(road.model).read_bytes()
    for broken in [*flips(data, 12), data[:-1], data + b"\0"]:
        public = dataclasses.replace(road.model.public, proof=hashlib.sha256(broken).digest())
        with pytest.raises(VerificationError):
            verify_registration(broken, public=public)
    file = ProofFile.from_bytes(data)
    plain = pack_proof(file.profile, False, file.statement_bytes, file.body)
    public = dataclasses.replace(road.model.public, proof=hashlib.sha256(plain).digest())
    assert refusal(lambda: verify_registration(plain, public=public)) == "statement.hiding"


def test_a_code_without_room_for_the_proofs_of_an_epoch(road: Road, tmp_path: Path) -> None:
    code = dataclasses.replace(SMALL_CODE, random=3 * SMALL_CODE.queries - 1)
    assert refusal(lambda: register_model(road.model_path, tmp_path / "DIR", code=code)) == "bad-code"


def test_a_registration_killed_after_its_columns_were_recorded(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken up with the same seed and ticket, and opens no other column."""
    with killed_while_writing(monkeypatch, ".proof"):
        register_model(road.model_path, tmp_path / "DIR", code=TIGHT)
    with Ledger.open(tmp_path / "DIR" / "ledger.db") as ledger:
        before = ledger.state()
    register_model(road.model_path, tmp_path / "DIR", code=TIGHT)
    model = RegisteredModel(tmp_path / "DIR")
    assert epochs(model) == before.epochs
    assert {part.opened for part in before.current.parts} == {TIGHT.queries}
    assert verify_registration(proof_of(model), public=model.public).counter == 1


def test_a_kept_attempt_that_is_damaged(road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_while_writing(monkeypatch, ".proof"):
        register_model(road.model_path, tmp_path / "DIR")
    path = tmp_path / "DIR" / "epochs" / "0" / "proving.assay"
    path.write_bytes(path.read_bytes()[:-3])
    assert refusal(lambda: register_model(road.model_path, tmp_path / "DIR")) == "damaged-registration"
    path.unlink()
    register_model(road.model_path, tmp_path / "DIR")
    (state,) = epochs(RegisteredModel(tmp_path / "DIR"))
    assert state.begun == 2  # the first ticket stays counted


# --- refresh


def test_a_refresh_commits_the_same_weights_anew(model: RegisteredModel) -> None:
    done = refresh(model.folder.path)
    assert (done.public.epoch, done.public.previous, done.restored) == (1, model.public.hash, False)
    assert done.public.root != model.public.root
    new = RegisteredModel(model.folder.path)
    assert new.public == done.public
    assert new.key != model.key
    found = verify_refresh(proof_of(new), public=new.public, before=model.public)
    assert (found.kind, found.epoch) == ("refresh", 1)
    assert found.security_bits >= 128
    old, now = epochs(new)
    assert {part.opened for part in now.parts} == {SMALL_CODE.queries}
    assert found.counter == old.begun + now.begun


def test_both_epochs_prove(model: RegisteredModel, tmp_path: Path) -> None:
    old = request(model, tmp_path / "old")
    refresh(model.folder.path)
    new = RegisteredModel(model.folder.path)
    fresh = request(new, tmp_path / "new")
    for name, asked, public, epoch in (("old", old, model.public, 0), ("new", fresh, new.public, 1)):
        prove(new, [(tmp_path / name, asked)], tmp_path / "proof")
        assert verify(tmp_path / "proof", public=public, challenge=asked).epoch == epoch


def test_a_refresh_in_stored_mode(road: Road, tmp_path: Path) -> None:
    register_model(road.model_path, tmp_path / "DIR", storage="stored")
    refresh(tmp_path / "DIR")
    assert RegisteredModel(tmp_path / "DIR").storage == "stored"


@pytest.mark.parametrize(
    "name", ["secret.key", "0001.digests", "leaves", "proving.assay", ".proof", "public.assay"]
)
def test_a_refresh_that_was_cut_off_resumes(
    model: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with killed_while_writing(monkeypatch, name):
        refresh(model.folder.path)
    same = RegisteredModel(model.folder.path)
    assert same.public == model.public
    asked = request(same, tmp_path / "REQ")
    proof = prove(same, [(tmp_path / "REQ", asked)], tmp_path / "proof")
    assert verify(proof.data, public=same.public, challenge=asked).epoch == 0
    done = refresh(model.folder.path)
    new = RegisteredModel(model.folder.path)
    verify_refresh(proof_of(new), public=done.public, before=model.public)
    assert [state.begun for state in epochs(new)][1] == (2 if name == "proving.assay" else 1)
    assert not new.epoch.attempt.exists()


def test_a_refresh_killed_just_before_its_end(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(assay.prove.refresh._Job, "_publish", killed)
        with pytest.raises(_Killed):
            refresh(model.folder.path)
    assert RegisteredModel(model.folder.path).public == model.public
    assert refresh(model.folder.path).public.epoch == 1


def test_a_refresh_of_other_weights_is_rejected(road: Road) -> None:
    changed, commitment = cheating(road.model, "layers.1.k_proj", 77)
    public = dataclasses.replace(changed, epoch=1, previous=road.model.public.hash, proof=b"")
    statement = refresh_statement(public, road.model.public)
    old = road.model.commitment("boundaries")
    forged = _core.prove(statement.core, commitment, [old], bytes(32), self_check=False)
    with pytest.raises(_core.Rejected) as caught:
        _core.verify(statement.core, forged["body"])
    assert caught.value.args[0] == "tableau.linear"


def test_a_refresh_of_another_model(model: RegisteredModel, other: Road) -> None:
    refresh(model.folder.path)
    new = RegisteredModel(model.folder.path).public
    moved = dataclasses.replace(new, previous=other.model.public.hash)
    for public, before, code in (
        (new, new, "epoch-backwards"),
        (dataclasses.replace(new, epoch=2), model.public, "epoch-gap"),
        (new, other.model.public, "epoch-fork"),
        (moved, other.model.public, "epoch-other-model"),
    ):
        assert refusal(lambda p=public, b=before: refresh_statement(p, b)) == code
    assert refusal(lambda: verify_registration(proof_of(RegisteredModel(model.folder.path)), public=new)) == (
        "epoch-not-first"
    )


def test_two_at_once_are_refused(model: RegisteredModel) -> None:
    with locked_folder(model.folder.path):
        assert refusal(lambda: refresh(model.folder.path)) == "folder-busy"
    assert refresh(model.folder.path).public.epoch == 1


# --- nothing unfinished survives a copy or a restore


def ledger_files(model: RegisteredModel) -> dict[Path, bytes]:
    """The database and its mark, for a backup."""
    path = model.folder.ledger
    return {file: file.read_bytes() for file in (path, path.with_name("ledger.db.high"))}


def restore(files: dict[Path, bytes]) -> None:
    for path, data in files.items():
        path.write_bytes(data)


def put_back(backup: Path, path: Path) -> None:
    shutil.rmtree(path)
    shutil.copytree(backup, path)


def counted(state: EpochState) -> set[int]:
    return {part.opened for part in state.parts}


@pytest.mark.parametrize("name", ["0001.digests", ".proof", "public.assay"])
@pytest.mark.parametrize("restored", [False, True])
def test_a_restored_refresh_begins_anew(
    model: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, restored: bool
) -> None:
    """The original goes on with its key and proves; what was restored may not open columns of the same."""
    path = model.folder.path
    with killed_while_writing(monkeypatch, name):
        refresh(path)
    shutil.copytree(path, tmp_path / "backup")
    original = refresh(path).public
    key = RegisteredModel(path).key
    put_back(tmp_path / "backup", path)
    done = refresh(path, restored=restored)
    assert done.public.epoch == 1
    assert done.public.root != original.root
    assert RegisteredModel(path).key != key
    assert [proof_of(RegisteredModel(path))] == list(RegisteredModel(path).epoch.path.glob("*.proof"))
    assert counted(epochs(model)[-1]) == {SMALL_CODE.queries}


def test_a_key_that_was_written_again_is_not_used(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that is put back over the files that are there."""
    with killed_while_writing(monkeypatch, "leaves"):
        refresh(model.folder.path)
    key = model.folder.epoch(1).key
    before = key.read_bytes()
    key.write_bytes(before)
    refresh(model.folder.path)
    assert key.read_bytes() != before


@pytest.mark.parametrize("name", ["0001.digests", ".proof", "public.assay"])
def test_a_copied_registration_begins_anew(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with killed_while_writing(monkeypatch, name):
        register_model(road.model_path, tmp_path / "DIR", code=TIGHT)
    shutil.copytree(tmp_path / "DIR", tmp_path / "COPY")
    found = []
    for folder in ("DIR", "COPY"):
        register_model(road.model_path, tmp_path / folder, code=TIGHT)
        found.append(RegisteredModel(tmp_path / folder))
        verify_registration(proof_of(found[-1]), public=found[-1].public)
        (state,) = epochs(found[-1])
        assert counted(state) == {TIGHT.queries}
    assert found[0].key != found[1].key
    assert found[0].public.root != found[1].public.root


def test_a_registration_whose_ledger_went_back_begins_anew(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_while_writing(monkeypatch, ".proof"):
        register_model(road.model_path, tmp_path / "DIR")
    mark = tmp_path / "DIR" / "ledger.db.high"
    key = tmp_path / "DIR" / "epochs" / "0" / "secret.key"
    before = key.read_bytes()
    mark.write_text("5 5\n")
    register_model(road.model_path, tmp_path / "DIR")
    assert key.read_bytes() != before


def test_a_finished_proof_that_the_ledger_does_not_know_is_not_adopted(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = ledger_files(model)
    with killed_while_writing(monkeypatch, "public.assay"):
        refresh(model.folder.path)
    (leftover,) = model.folder.epoch(1).path.glob("*.proof")
    restore(backup)
    refresh(model.folder.path)
    assert not leftover.exists()
    assert counted(epochs(model)[-1]) == {SMALL_CODE.queries}


def test_a_finished_proof_without_its_tickets_is_not_adopted(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_while_writing(monkeypatch, "public.assay"):
        refresh(model.folder.path)
    (leftover,) = model.folder.epoch(1).path.glob("*.proof")
    model.folder.epoch(1).attempt.unlink()
    refresh(model.folder.path)
    assert not leftover.exists()
    assert [state.status for state in epochs(model)] == ["open", "abandoned", "open"]


def test_tickets_that_belong_to_another_proof_now(
    model: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = ledger_files(model)
    with killed_while_writing(monkeypatch, ".proof"):
        refresh(model.folder.path)
    key = model.folder.epoch(1).key.read_bytes()
    restore(backup)
    before = epochs(model)[0].recorded
    asked = request(model, tmp_path / "REQ")
    for _ in range(3):
        prove(model, [(tmp_path / "REQ", asked)], tmp_path / "proof")
    refresh(model.folder.path)
    assert model.folder.epoch(1).key.read_bytes() != key
    old, *_, new = epochs(model)
    assert counted(new) == {SMALL_CODE.queries}
    assert old.recorded == before + 4  # three proofs, the refresh


def test_a_refresh_after_its_page_was_made_and_a_restore(
    model: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_while_writing(monkeypatch, ".proof"):
        refresh(model.folder.path)
    done = refresh(model.folder.path, restored=True)
    assert (done.restored, done.public.epoch) == (True, 1)
    assert [state.status for state in epochs(model)] == ["stale", "abandoned", "open"]
    new = RegisteredModel(model.folder.path)
    verify_refresh(proof_of(new), public=new.public, before=model.public)
    asked = request(new, tmp_path / "REQ")
    prove(new, [(tmp_path / "REQ", asked)], tmp_path / "proof")


def test_a_folder_that_is_lost_while_its_page_is_there(model: RegisteredModel) -> None:
    before = model.folder.public.read_bytes()
    first = refresh(model.folder.path).public
    model.folder.public.write_bytes(before)
    shutil.rmtree(model.folder.epoch(1).path)
    second = refresh(model.folder.path).public
    assert (second.epoch, second.previous) == (1, model.public.hash)
    assert second.root != first.root
    assert [(state.epoch, state.status) for state in epochs(model)] == [
        (0, "open"),
        (1, "abandoned"),
        (1, "open"),
    ]


@pytest.mark.parametrize("with_mark", [False, True])
def test_a_ledger_from_before_the_last_refresh(
    model: RegisteredModel, tmp_path: Path, with_mark: bool
) -> None:
    backup = ledger_files(model)
    first = refresh(model.folder.path).public
    model.folder.ledger.write_bytes(backup[model.folder.ledger])
    if with_mark:
        restore(backup)
        with pytest.raises(StorageError) as caught:
            refresh(model.folder.path)
        assert caught.value.code == "ledger-other-model"
        assert "--restored" in (caught.value.hint or "")
    done = refresh(model.folder.path, restored=with_mark)
    assert (done.restored, done.public.epoch, done.public.previous) == (True, 2, first.hash)
    assert [(state.epoch, state.status) for state in epochs(model)] == [
        (0, "stale"),
        (1, "stale"),
        (2, "open"),
    ]
    _, lost, _ = epochs(model)
    assert {part.used for part in lost.parts} == {SMALL_CODE.random - SMALL_CODE.queries}


def test_a_restore_after_a_refresh_was_cut_off_just_before_its_end(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That epoch is complete: it is published, stale, and refreshed."""

    def killed(*_: Any) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(assay.prove.refresh._Job, "_publish", killed)
        with pytest.raises(_Killed):
            refresh(model.folder.path)
    done = refresh(model.folder.path, restored=True)
    first = PublicModel.load(model.folder.epoch(1).public)
    assert (done.restored, done.public.epoch, done.public.previous) == (True, 2, first.hash)
    assert [state.status for state in epochs(model)] == ["stale", "stale", "open"]


def test_a_second_refresh_of_an_epoch_needs_the_lost_one(
    tight: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the reserve is not for ordinary refreshes, however often they are begun."""
    asked = request(tight, tmp_path / "REQ")
    prove(tight, [(tmp_path / "REQ", asked)], tmp_path / "proof")
    with killed_while_writing(monkeypatch, ".proof"):
        refresh(tight.folder.path)
    shutil.rmtree(tight.folder.epoch(1).path)
    with pytest.raises(StorageError) as caught:
        refresh(tight.folder.path)
    assert caught.value.code == "ledger-budget"
    assert "assay refresh DIR --restored" in (caught.value.hint or "")
    assert refresh(tight.folder.path, restored=True).public.epoch == 1


# --- the ledger in proofs


def test_a_proof_past_the_budget_is_refused(tight: RegisteredModel, tmp_path: Path) -> None:
    """Early, with nothing written; a refresh is still possible, and helps."""
    asked = request(tight, tmp_path / "REQ")
    prove(tight, [(tmp_path / "REQ", asked)], tmp_path / "first")
    before = epochs(tight)
    more = request(tight, tmp_path / "REQ2")
    with pytest.raises(StorageError) as caught:
        prove(tight, [(tmp_path / "REQ2", more)], tmp_path / "second")
    assert caught.value.code == "ledger-budget"
    assert "refresh" in (caught.value.hint or "")
    assert not (tmp_path / "second").exists()
    assert epochs(tight) == before
    refresh(tight.folder.path)
    new = RegisteredModel(tight.folder.path)
    fresh = request(new, tmp_path / "REQ3")
    prove(new, [(tmp_path / "REQ3", fresh)], tmp_path / "third")


def test_a_warning_from_nine_tenths_of_the_budget(
    tight: RegisteredModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from assay.cli import main

    asked = request(tight, tmp_path / "REQ")
    (tmp_path / "challenge.json").write_bytes(asked.encoded)
    words = ["prove", tight.folder.path, tmp_path / "REQ", "--challenge", tmp_path / "challenge.json"]
    assert main([*map(str, words), "--out", str(tmp_path / "proof")]) == 0
    assert "warning: epoch 0 is" in capsys.readouterr().err
    assert main(["ledger", "show", str(tight.folder.path)]) == 0
    assert "warning: epoch 0 is" in capsys.readouterr().err
    assert main(["refresh", str(tight.folder.path)]) == 0
    assert "warning: epoch 0 is" in capsys.readouterr().err


def test_more_weights_than_a_proof_can_be_about(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assay.epochs, "MOST_WEIGHTS", 1000)
    assert refusal(lambda: registration_statement(road.model.public)) == "public-too-large"


def test_the_boundaries_have_a_budget_of_their_own(tight: RegisteredModel, tmp_path: Path) -> None:
    asked = request(tight, tmp_path / "REQ")
    recording = load_recording(tmp_path / "REQ", tight)
    from assay.prove.opening import Transient

    for _ in range(TIGHT.random // TIGHT.queries):
        prove_recording(tight, recording, asked, account=Transient(1 << 20))
    code = refusal(lambda: prove_recording(tight, recording, asked, account=Transient(1 << 20)))
    assert code == "ledger-budget"


def test_a_record_cut_off_has_a_new_ledger(
    tight: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made again, its boundaries have another root."""
    with killed_while_writing(monkeypatch, "record.assay"):
        record(tight, tmp_path / "REQ", tokens=TOKENS)
    asked = request(tight, tmp_path / "REQ")
    prove(tight, [(tmp_path / "REQ", asked)], tmp_path / "proof")
    with Ledger.open(tmp_path / "REQ" / "private" / "ledger.db") as ledger:
        assert [epoch.root for epoch in ledger.state().epochs] == [asked.record.boundaries_root]


def test_a_recording_in_memory_is_counted_too(tight: RegisteredModel) -> None:
    from assay.prove.opening import Transient

    recording = record_tokens(tight, TOKENS)
    asked = challenge(recording.header, layers=[0])
    for _ in range(TIGHT.random // TIGHT.queries):
        prove_recording(tight, recording, asked, account=Transient(1 << 20))
    code = refusal(lambda: prove_recording(tight, recording, asked, account=Transient(1 << 20)))
    assert code == "ledger-budget"


def test_killed_between_recording_and_writing(
    model: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was recorded stays recorded; the next run makes the same proof, and opens no other column."""
    asked = request(model, tmp_path / "REQ")
    used = epochs(model)[0].parts[2].opened
    with killed_while_writing(monkeypatch, "proof.assay"):
        prove(model, [(tmp_path / "REQ", asked)], tmp_path / "proof.assay")
    assert not (tmp_path / "proof.assay").exists()
    before = epochs(model)
    assert before[0].parts[2].opened > used
    proof = prove(model, [(tmp_path / "REQ", asked)], tmp_path / "proof.assay")
    found = verify(tmp_path / "proof.assay", public=model.public, challenge=asked)
    assert found.counter == proof.counter == epochs(model)[0].begun
    assert epochs(model) == before
    assert not (tmp_path / "proof.assay.work").exists()


def test_every_part_that_is_opened_is_charged(
    model: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(model, tmp_path / "REQ")
    real = assay.prove.prover._Job._charges

    def fewer(*arguments: Any) -> list[Any]:
        weights, boundaries = real(*arguments)
        return [weights, dataclasses.replace(boundaries, parts=boundaries.parts[:-1])]

    monkeypatch.setattr(assay.prove.prover._Job, "_charges", fewer)
    before = epochs(model)
    with pytest.raises(InternalError, match="charged"):
        prove(model, [(tmp_path / "REQ", asked)], tmp_path / "proof")
    assert epochs(model) == before


def test_a_proof_that_cannot_be_written_costs_no_columns(model: RegisteredModel, tmp_path: Path) -> None:
    asked = request(model, tmp_path / "REQ")
    before = epochs(model)
    for out in (tmp_path / "none" / "proof", tmp_path / "REQ"):
        assert refusal(lambda out=out: prove(model, [(tmp_path / "REQ", asked)], out)) == "cannot-write"
    assert epochs(model) == before


def test_a_ledger_that_cannot_record_reveals_nothing(
    model: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(model, tmp_path / "REQ")
    full = StorageError("disk-full", "the disk is full")

    def record_nothing(*_: Any) -> None:
        raise full

    monkeypatch.setattr(Ledger, "record", record_nothing)
    with pytest.raises(StorageError) as caught:
        prove(model, [(tmp_path / "REQ", asked)], tmp_path / "proof.assay")
    assert caught.value is full
    assert not (tmp_path / "proof.assay").exists()


def test_ledgers_that_cannot_be_used(tight: RegisteredModel, other: Road, tmp_path: Path) -> None:
    asked = request(tight, tmp_path / "REQ")
    path = tight.folder.ledger
    whole = path.read_bytes()

    def proving() -> None:
        prove(tight, [(tmp_path / "REQ", asked)], tmp_path / "proof")

    path.unlink()
    assert refusal(proving) == "ledger-missing"
    assert refusal(lambda: refresh(tight.folder.path)) == "ledger-missing"
    path.write_bytes(b"no database" * 1000)
    assert refusal(proving) == "ledger-corrupt"
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(proving) == "ledger-corrupt"
    for name in ("ledger.db", "ledger.db.high"):
        shutil.copyfile(other.dir / name, tight.folder.path / name)
    assert refusal(proving) == "ledger-other-model"
    assert not (tmp_path / "proof").exists()


def test_a_restored_ledger_only_refreshes(model: RegisteredModel, tmp_path: Path) -> None:
    asked = request(model, tmp_path / "REQ")
    backup = model.folder.ledger.read_bytes()
    prove(model, [(tmp_path / "REQ", asked)], tmp_path / "proof")
    model.folder.ledger.write_bytes(backup)

    def proving() -> None:
        prove(RegisteredModel(model.folder.path), [(tmp_path / "REQ", asked)], tmp_path / "again")

    assert refusal(proving) == "ledger-rolled-back"
    done = refresh(model.folder.path)
    assert (done.restored, done.public.epoch) == (True, 1)
    assert refusal(proving) == "ledger-stale"  # its record is of the epoch before
    new = RegisteredModel(model.folder.path)
    fresh = request(new, tmp_path / "REQ2")
    proof = prove(new, [(tmp_path / "REQ2", fresh)], tmp_path / "fresh")
    verify_refresh(proof_of(new), public=new.public, before=model.public)
    first = ProofFile.from_bytes((tmp_path / "proof").read_bytes()).counter
    assert first is not None
    assert proof.counter > first


def test_a_restore_that_only_the_provider_knows_of(
    model: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database came back with its mark. A refresh that is cut off then still has its reserve."""
    asked = request(model, tmp_path / "REQ")
    with killed_while_writing(monkeypatch, ".proof"):
        refresh(model.folder.path, restored=True)
    code = refusal(lambda: prove(model, [(tmp_path / "REQ", asked)], tmp_path / "proof"))
    assert code == "ledger-stale"
    done = refresh(model.folder.path)
    assert (done.restored, done.public.epoch) == (True, 1)
    old, _ = epochs(model)
    spare = SMALL_CODE.queries  # for a refresh in the lost time, which nobody knows of
    for part in old.parts:
        assert SMALL_CODE.random - spare - SMALL_CODE.queries < part.used <= SMALL_CODE.random - spare


def test_records_of_an_earlier_version(road: Road) -> None:
    for data, read in (
        (road.public, PublicModel.from_bytes),
        (road.proof, ProofFile.from_bytes),
    ):
        old = data[:8] + bytes(4) + data[12:]
        found = attempt(lambda old=old, read=read: read(old), AssayError)
        assert isinstance(found, PublicFileError | VerificationError)
        assert found.code in ("public-version", "format.version")


def test_a_proof_that_does_not_verify_is_not_published(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prover checks an epoch's proof as a client will."""
    real = _core.prove

    def broken(*arguments: Any, **options: Any) -> dict[str, Any]:
        result = real(*arguments, **options)
        return {**result, "body": result["body"][:-1]}

    with monkeypatch.context() as patch:
        patch.setattr(_core, "prove", broken)
        assert refusal(lambda: refresh(model.folder.path)) == "damaged-registration"
    assert RegisteredModel(model.folder.path).public == model.public


def test_unprovable_weights_are_a_bug_of_ours(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unprovable(*arguments: Any, **options: Any) -> dict[str, Any]:
        raise _core.NotProvable("refresh 0", "x.same", "no")

    monkeypatch.setattr(_core, "prove", unprovable)
    with pytest.raises(InternalError) as caught:
        refresh(model.folder.path)
    assert caught.value.exit_code == 3
