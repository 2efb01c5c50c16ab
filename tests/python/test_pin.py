"""Pins: what a client keeps of a model, and how it follows the provider's epochs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_model import Road, attempt, cuts, edits, flips

from assay.audit import challenge
from assay.cli import main
from assay.errors import AssayError, PublicFileError, RequestError, VerificationError
from assay.prove.folder import RegisteredModel
from assay.prove.prover import prove
from assay.prove.record import record
from assay.prove.refresh import refresh
from assay.public import PublicModel
from assay.verify import Pin, PinFile, pin_public, verify


@dataclasses.dataclass(frozen=True)
class Provider:
    """A registered model of three epochs, and the public files as they were."""

    dir: Path
    public: tuple[PublicModel, ...]

    def copy(self, path: Path) -> Path:
        """A client's copy of what is public, DIR/public.assay and DIR/epochs/."""
        path.mkdir(parents=True)
        for number in range(len(self.public)):
            folder = path / "epochs" / str(number)
            folder.mkdir(parents=True)
            for name in ("public.assay", f"{self.public[number].proof.hex()}.proof"):
                shutil.copyfile(self.dir / "epochs" / str(number) / name, folder / name)
        (path / "public.assay").write_bytes(self.public[-1].encoded)
        return path


@pytest.fixture(scope="module")
def provider(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Provider:
    folder = tmp_path_factory.mktemp("provider") / "DIR"
    shutil.copytree(road.dir, folder)
    files = [RegisteredModel(folder).public]
    files += [refresh(folder).public for _ in range(2)]
    return Provider(folder, tuple(files))


def refusal(call: Any) -> str:
    with pytest.raises(AssayError) as caught:
        call()
    return caught.value.code


def at(path: Path, public: PublicModel) -> Path:
    """The newest public file of a client's folder replaced."""
    (path / "public.assay").write_bytes(public.encoded)
    return path / "public.assay"


def test_pinning_verifies_the_registration(road: Road) -> None:
    made, verified = pin_public(road.dir / "public.assay", model=road.model.public.hash)
    assert (made.epoch, made.model, made.counter) == (0, road.model.public.hash, 1)
    assert [found.kind for found in verified] == ["registration"]
    assert Pin.from_bytes(made.encoded) == made


def test_the_proof_beside_the_file_or_elsewhere(road: Road, tmp_path: Path) -> None:
    public = tmp_path / "public.assay"
    public.write_bytes(road.public)
    assert refusal(lambda: pin_public(public)) == "proof-missing"
    listed = road.model.epoch.proof(road.model.public.proof)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copyfile(listed, elsewhere / listed.name)
    assert pin_public(public, proofs=elsewhere)[0].epoch == 0
    shutil.copyfile(listed, tmp_path / listed.name)
    assert pin_public(public)[0].epoch == 0


def test_following_the_chain(provider: Provider, tmp_path: Path) -> None:
    copy = provider.copy(tmp_path / "client")
    first, _ = pin_public(at(copy, provider.public[0]))
    step, verified = pin_public(at(copy, provider.public[1]), before=first)
    assert (step.epoch, [found.kind for found in verified]) == (1, ["refresh"])
    last, verified = pin_public(at(copy, provider.public[2]), before=step)
    assert (last.epoch, [found.epoch for found in verified]) == (2, [2])
    at_once, verified = pin_public(at(copy, provider.public[2]), before=first)
    assert at_once == last
    assert [found.kind for found in verified] == ["refresh", "refresh"]
    anew, verified = pin_public(at(copy, provider.public[2]))
    assert anew.chain == last.chain
    assert [found.kind for found in verified] == ["registration", "refresh", "refresh"]
    same, verified = pin_public(at(copy, provider.public[2]), before=last)
    assert (same, verified) == (last, ())


def test_a_chain_with_a_gap(provider: Provider, tmp_path: Path) -> None:
    copy = provider.copy(tmp_path / "client")
    first, _ = pin_public(at(copy, provider.public[0]))
    (copy / "epochs" / "1" / "public.assay").unlink()
    newest = at(copy, provider.public[2])
    assert refusal(lambda: pin_public(newest, before=first)) == "epoch-gap"
    assert refusal(lambda: pin_public(newest)) == "epoch-gap"
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "one.assay").write_bytes(provider.public[1].encoded)
    assert pin_public(newest, before=first, proofs=tmp_path / "more")[0].epoch == 2
    skipped = dataclasses.replace(provider.public[2], previous=provider.public[0].hash)
    assert refusal(lambda: pin_public(at(copy, skipped), before=first)) == "epoch-gap"


def test_an_epoch_that_goes_backwards(provider: Provider, tmp_path: Path) -> None:
    copy = provider.copy(tmp_path / "client")
    last, _ = pin_public(copy / "public.assay")
    assert refusal(lambda: pin_public(at(copy, provider.public[1]), before=last)) == "epoch-backwards"


def test_a_fork(provider: Provider, tmp_path: Path) -> None:
    """Another epoch 1 on the same epoch 0."""
    copy = provider.copy(tmp_path / "client")
    second, _ = pin_public(at(copy, provider.public[1]))
    forked = dataclasses.replace(provider.public[1], root=bytes(32))
    assert refusal(lambda: pin_public(at(copy, forked), before=second)) == "pin-fork"
    on_top = dataclasses.replace(provider.public[2], previous=forked.hash)
    (copy / "epochs" / "1" / "public.assay").write_bytes(forked.encoded)
    assert refusal(lambda: pin_public(at(copy, on_top), before=second)) == "pin-fork"


def test_a_chain_of_another_model(provider: Provider, other: Road, tmp_path: Path) -> None:
    copy = provider.copy(tmp_path / "client")
    foreign, _ = pin_public(other.dir / "public.assay")
    assert refusal(lambda: pin_public(copy / "public.assay", before=foreign)) == "pin-fork"
    wanted = other.model.public.hash
    assert refusal(lambda: pin_public(copy / "public.assay", model=wanted)) == "public-not-pinned"


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_proof_that_is_not_the_one_listed(provider: Provider, tmp_path: Path, epoch: int) -> None:
    copy = provider.copy(tmp_path / "client")
    path = copy / "epochs" / str(epoch) / f"{provider.public[epoch].proof.hex()}.proof"
    whole = path.read_bytes()
    for broken in (whole[:-1], *flips(whole, 2)):
        path.write_bytes(broken)
        with pytest.raises(VerificationError) as caught:
            pin_public(copy / "public.assay")
        assert caught.value.code == "epoch.proof"
    path.unlink()
    assert refusal(lambda: pin_public(copy / "public.assay")) == "proof-missing"


def test_a_refresh_proof_of_another_epoch(provider: Provider, tmp_path: Path) -> None:
    """Listed, but about other commitments."""
    copy = provider.copy(tmp_path / "client")
    first, _ = pin_public(at(copy, provider.public[0]))
    wrong = dataclasses.replace(provider.public[1], proof=provider.public[2].proof)
    with pytest.raises(VerificationError) as caught:
        pin_public(at(copy, wrong), before=first)
    assert caught.value.code.startswith("statement.")
    same = dataclasses.replace(provider.public[1], proof=provider.public[0].proof)
    with pytest.raises(VerificationError):
        pin_public(at(copy, same), before=first)


# --- verifying with a pin


@pytest.fixture
def pinned(road: Road, tmp_path: Path) -> Path:
    made, _ = pin_public(road.dir / "public.assay")
    PinFile.of(tmp_path / "model.pin").write(made)
    return tmp_path / "model.pin"


def test_a_pin_learns_the_highest_counter(road: Road, pinned: Path) -> None:
    found = verify(road.proof, public=road.public, challenge=road.challenge, pin=pinned)
    assert found.ledger_went_back is False
    assert PinFile.of(pinned).read().counter == found.counter
    again = verify(road.proof, public=road.public, challenge=road.challenge, pin=pinned)
    assert again.ledger_went_back is False  # it is the same proof


def test_a_pin_notes_a_proof_that_holds_and_says_too_little(road: Road, pinned: Path) -> None:
    how: dict[str, Any] = {"public": road.public, "challenge": road.challenge, "pin": pinned}
    with pytest.raises(VerificationError) as caught:
        verify(road.proof, **how, require_served=True)
    assert caught.value.code == "statement.served"
    noted = PinFile.of(pinned).read().proofs
    assert verify(road.proof, **how).counter in noted


def test_a_ledger_that_went_back(road: Road, tmp_path: Path) -> None:
    """The whole folder is restored, so that the provider's own machine cannot tell; the client can."""
    shutil.copytree(road.dir, tmp_path / "DIR")
    shutil.copytree(tmp_path / "DIR", tmp_path / "backup")
    made, _ = pin_public(tmp_path / "DIR" / "public.assay")
    PinFile.of(tmp_path / "model.pin").write(made)
    answers = []
    for name in ("one", "two"):
        model = RegisteredModel(tmp_path / "DIR")
        record(model, tmp_path / name, tokens=[1, 2])
        asked = challenge(tmp_path / name / "record.assay", layers=[0])
        proof = prove(model, [(tmp_path / name, asked)], tmp_path / f"{name}.proof")
        answers.append(verify(proof.data, public=model.public, challenge=asked, pin=tmp_path / "model.pin"))
        shutil.rmtree(tmp_path / "DIR")
        shutil.copytree(tmp_path / "backup", tmp_path / "DIR")
    assert answers[0].counter == answers[1].counter
    assert [answer.ledger_went_back for answer in answers] == [False, True]
    assert answers[1].to_dict()["ledger_went_back"] is True


def test_counters_of_a_pin() -> None:
    pin, back = Pin(chain=(bytes(32),)).noted(5, b"five")
    assert not back
    for counter, proof, expected in ((5, b"five", False), (5, b"other", True), (4, b"four", True)):
        after, back = pin.noted(counter, proof)
        assert back is expected
        assert after.counter == 5
    after, back = pin.noted(6, b"six")
    assert (after.counter, back) == (6, False)
    assert after.noted(5, b"five")[1] is False


def test_a_pin_that_another_process_changes_meanwhile(tmp_path: Path) -> None:
    file = PinFile.of(tmp_path / "model.pin")
    before = Pin(chain=(b"0" * 32,)).noted(5, b"5" * 32)[0]
    followed = dataclasses.replace(before, chain=(*before.chain, b"1" * 32))
    file.make(before, None)
    assert not file.note(7, b"7" * 32)
    file.make(followed, before)
    assert (file.read().chain, sorted(file.read().proofs), file.read().counter) == (followed.chain, [5, 7], 7)
    for made, since in ((before, None), (followed, before)):
        assert refusal(lambda made=made, since=since: file.make(made, since)) == "pin-changed"


def test_a_public_file_outside_the_pin(road: Road, other: Road, provider: Provider, pinned: Path) -> None:
    def checking(public: PublicModel) -> None:
        verify(road.proof, public=public, challenge=road.challenge, pin=pinned)

    assert refusal(lambda: checking(other.model.public)) == "pin-fork"
    assert refusal(lambda: checking(provider.public[1])) == "pin-behind"
    before = pinned.read_bytes()
    with pytest.raises(VerificationError):
        verify(road.proof[:-1], public=road.public, challenge=road.challenge, pin=pinned)
    assert pinned.read_bytes() == before


def test_every_field_of_a_pin_is_checked(pinned: Path) -> None:
    values = json.loads(pinned.read_bytes())
    good = Pin.from_bytes(pinned.read_bytes())
    for name, value in values.items():
        for changed in [*(x for x in edits(value) if not isinstance(x, bytes)), None]:
            data = json.dumps({**values, name: changed}).encode()
            found = attempt(lambda data=data: Pin.from_bytes(data), RequestError)
            assert found != good, (name, changed)
        rest = {other: v for other, v in values.items() if other != name}
        assert refusal(lambda rest=rest: Pin.from_bytes(json.dumps(rest).encode())) == "pin-fields"
    for proofs in (
        {"9" * 5000: "00" * 32},
        {"x": "00" * 32},
        {"01": "00" * 32},
        {"1": "00"},
        {"9": "00" * 32},
        {"1": 3},
    ):
        data = json.dumps({**values, "proofs": proofs}).encode()
        assert refusal(lambda data=data: Pin.from_bytes(data)).startswith("pin-")
    for data in [*cuts(pinned.read_bytes(), 10)[:-2], b"[]", b"\xff", b"[" * 100000]:
        with pytest.raises(RequestError):
            Pin.from_bytes(data)


# --- on the command line


def run(*words: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_pin_commands(
    provider: Provider, road: Road, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = provider.copy(tmp_path / "client")
    file = tmp_path / "model.pin"
    public = at(copy, provider.public[0])
    code, answer = run("pin", public, "--out", file, "--public-hash", "00" * 32, capsys=capsys)
    assert (code, answer["error"]["code"]) == (2, "public-not-pinned")
    assert not file.exists()
    code, answer = run("pin", public, "--out", file, capsys=capsys)
    assert (code, answer["epoch"], answer["verified"][0]["kind"]) == (0, 0, "registration")
    code, answer = run("pin", public, "--out", file, capsys=capsys)
    assert (code, answer["error"]["code"]) == (2, "pin-exists")
    newest = at(copy, provider.public[2])
    code, answer = run("pin", newest, "--pin", file, "--public-hash", "00" * 32, capsys=capsys)
    assert (code, answer["error"]["code"]) == (2, "public-not-pinned")
    (tmp_path / "another.pin").write_text("mine")
    code, answer = run("pin", newest, "--pin", file, "--out", tmp_path / "another.pin", capsys=capsys)
    assert (code, answer["error"]["code"]) == (2, "pin-exists")
    assert (tmp_path / "another.pin").read_text() == "mine"
    code, answer = run("pin", newest, "--pin", file, capsys=capsys)
    assert (code, answer["epoch"], len(answer["verified"])) == (0, 2, 2)
    code, answer = run("pin", public, capsys=capsys)
    assert (code, answer["error"]["code"]) == (2, "no-pin")
    code, answer = run("pin", public, "--out", file, "--public-hash", "zz", capsys=capsys)
    assert code == 2
    old = copy / "epochs" / "0" / "public.assay"
    words = ["verify", road.proof_path, "--public", old, "--challenge", road.challenge_path, "--pin", file]
    code, answer = run(*words, capsys=capsys)
    assert code == 0
    assert answer["ledger_went_back"] is True  # the refreshes of the provider came later
    assert main(list(map(str, words))) == 0
    assert "went back" not in capsys.readouterr().err  # the same proof again
    code, answer = run("inspect", file, capsys=capsys)
    assert (code, answer["kind"], answer["epoch"]) == (0, "pin", 2)


def test_without_the_proving_side(road: Road, tmp_path: Path) -> None:
    code = (
        "import sys; from assay.verify import pin_public, PinFile; "
        f"made, _ = pin_public({str(road.dir / 'public.assay')!r}); "
        f"PinFile.of({str(tmp_path / 'model.pin')!r}).write(made); "
        "names = ('torch', 'transformers', 'gguf', 'tokenizers', 'safetensors', 'assay.prove', "
        "'assay.model', 'assay.quantize', 'assay.trace'); "
        "print([n for n in names if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_refresh_and_ledger_commands(road: Road, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(road.dir, tmp_path / "DIR")
    code, answer = run("refresh", tmp_path / "DIR", capsys=capsys)
    assert (code, answer["epoch"], answer["restored"]) == (0, 1, False)
    code, answer = run("inspect", tmp_path / "DIR", capsys=capsys)
    assert (code, answer["epoch"], answer["hiding"]) == (0, 1, True)
    assert answer["budget_left"] > 0
    assert answer["security_bits"] >= 128
    (proof,) = (tmp_path / "DIR" / "epochs" / "1").glob("*.proof")
    code, of_refresh = run("inspect", proof, capsys=capsys)
    assert (code, of_refresh["security_bits"]) == (0, answer["security_bits"])
    code, answer = run("refresh", tmp_path, capsys=capsys)
    assert (code, answer["error"]["code"]) == (2, "not-registered")


def test_inspecting_proofs_counts_their_bits(
    road: Road, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = run("inspect", road.proof_path, "--public", road.dir / "public.assay", capsys=capsys)
    assert code == 0
    assert answer["security_bits"] >= 128
    assert answer["security_terms"]
    assert (answer["hiding"], answer["profile"], answer["epoch"]) == (True, "provable-128", 0)
    assert answer["counter"] == 2
    registration = road.model.epoch.proof(road.model.public.proof)
    code, answer = run("inspect", registration, capsys=capsys)
    assert code == 0
    assert answer["security_bits"] >= 128
    lonely = tmp_path / "proof.assay"
    shutil.copyfile(road.proof_path, lonely)
    code, answer = run("inspect", lonely, capsys=capsys)
    assert (code, answer["security_bits"]) == (0, None)


def test_proofs_that_do_not_hide(road: Road, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(road.dir, tmp_path / "DIR")
    model = RegisteredModel(tmp_path / "DIR")
    record(model, tmp_path / "REQ", tokens=[3, 4])
    asked = tmp_path / "challenge.json"
    asked.write_bytes(challenge(tmp_path / "REQ" / "record.assay", layers=[1]).encoded)
    out = tmp_path / "proof.assay"
    words = ["prove", tmp_path / "DIR", tmp_path / "REQ", "--challenge", asked, "--out", out]
    code, answer = run(*words, "--insecure-no-hiding", capsys=capsys)
    assert (code, answer["hiding"], answer["insecure"]) == (0, False, True)
    words = ["verify", out, "--public", tmp_path / "DIR" / "public.assay", "--challenge", asked]
    for reference in ([], ["--reference"]):
        code, answer = run(*words, *reference, capsys=capsys)
        assert (code, answer["error"]["code"]) == (1, "statement.hiding")
        assert "--insecure-no-hiding" in answer["error"]["hint"]
    code, answer = run(*words, "--insecure-no-hiding", capsys=capsys)
    assert (code, answer["hiding"], answer["insecure"]) == (0, False, True)
    assert main([*map(str, words), "--insecure-no-hiding"]) == 0
    shown = capsys.readouterr()
    assert "INSECURE" in shown.out
    assert "INSECURE" in shown.err
    honest = ["verify", road.proof_path, "--public", road.dir / "public.assay"]
    honest += ["--challenge", road.challenge_path, "--insecure-no-hiding"]  # permits, does not demand
    assert run(*honest, capsys=capsys)[0] == 0


def test_a_head_that_lies_about_hiding(road: Road) -> None:
    """A hiding body under a head and statement that say it does not hide, and the reverse."""
    from assay.proof import pack_proof
    from assay.statement import build_statement

    statement = build_statement(road.model.public, [road.challenge], hiding=False)
    lying = pack_proof("provable-128", False, statement.instance, road.file.body)
    with pytest.raises(VerificationError):
        verify(lying, public=road.public, challenge=road.challenge, insecure_no_hiding=True)
    assert hashlib.sha256(lying).digest() != hashlib.sha256(road.proof).digest()


def test_public_files_of_an_epoch_are_consistent(provider: Provider) -> None:
    second = provider.public[1]
    for change in ({"epoch": 0}, {"previous": None}):
        broken = dataclasses.replace(second, **change)
        with pytest.raises(PublicFileError):
            PublicModel.from_bytes(broken.encoded)


def test_the_reference_verifier_accepts_the_same_file(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verify", road.proof_path, "--public", road.dir / "public.assay"]
    words += ["--challenge", road.challenge_path, "--reference"]
    code, answer = run(*words, capsys=capsys)
    assert (code, answer["verdict"], answer["hiding"], answer["counter"]) == (0, "accepted", True, 2)
    code, answer = run(*words, "--pin", "model.pin", capsys=capsys)
    assert (code, answer["error"]["code"]) == (2, "pin-and-reference")
