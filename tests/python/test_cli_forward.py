"""The command line on forward passes and batches."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forward_road import POSITIONS, TOP_K, Batch, Logged, served_logits, write_served
from test_cli import FIGURES, Run, refusal, run
from tiny_model import TOKENS, Road

from assay.cli import main
from assay.cli.proving import _clamped
from assay.cli.verdicts import member_lines
from assay.verify import ForwardStatement, LayerStatement, verify

__all__ = ["run"]
LIST = ",".join(map(str, TOKENS))


def verify_words(road: Road, logged: Logged, *more: str | Path) -> list[str | Path]:
    proof, asked = (logged.req.with_name(f"{logged.req.name}.{end}") for end in ("proof", "json"))
    return ["verify", proof, "--public", road.dir / "public.assay", "--challenge", asked, *more]


# --- what is done


@pytest.mark.parametrize("served", [False, True])
def test_from_a_record_to_a_verdict(run: Run, road: Road, tmp_path: Path, served: bool) -> None:
    req, asked, proof = tmp_path / "REQ", tmp_path / "c.json", tmp_path / "proof.assay"
    file = write_served(tmp_path / "served.json", served_logits())
    more = ["--served", file] if served else ["--top-k", "7"]
    code, made = run("record", road.dir, "--tokens", LIST, "--out", req, *more)
    assert (code, made["log"]) == (0, {"top_k": TOP_K if served else 7, "served": served})
    words = ["challenge", req / "record.assay", "--scope", "forward", "--num-positions", "2"]
    code, drawn = run(*words, "--out", asked)
    assert (code, drawn["scope"], len(drawn["positions"])) == (0, "forward", 2)
    code, proved = run("prove", road.dir, req, "--challenge", asked, "--out", proof)
    assert code == 0
    assert proved["members"] == [{"scope": "forward", "positions": drawn["positions"]}]
    assert proved["estimate"].keys() == {"seconds", "memory_bytes", "disk_bytes"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["REQ", "c.json", "proof.assay", "served.json"]
    words = ["verify", proof, "--public", road.dir / "public.assay", "--challenge", asked]
    code, answer = run(*words, "--tokens", LIST)
    assert (code, answer["verdict"]) == (0, "accepted")
    (member,) = answer["members"]
    (said,) = member["statements"]
    assert (said["tokens"], said["positions"]) == (TOKENS, drawn["positions"])
    assert set(said) >= ({"tv", "top_k", "served_logits"} if served else {"logits", "raw_logits"})
    assert refusal(run, *words, "--tokens", "1,2", exit_code=1) == "statement.tokens"
    assert refusal(run, *words, "--tokens", "x") == "bad-numbers"
    for verifier in ([], ["--reference"]):
        assert refusal(run, *words, "--tokens", "1,2", *verifier, exit_code=1) == "statement.tokens"
        if not served:
            refused = refusal(run, *words, "--require-served", *verifier, exit_code=1)
            assert refused == "statement.served"
            continue
        code, answer = run(*words, "--tokens", LIST, "--require-served", *verifier)
        assert (code, answer["verdict"]) == (0, "accepted")


def test_a_batch(run: Run, road: Road, own: Logged, served: Logged, tmp_path: Path) -> None:
    proof = tmp_path / "proof.assay"
    own_c, served_c = (logged.req.with_name("REQ.json") for logged in (own, served))
    words = ["prove", road.dir, own.req, "--challenge", own_c, "--out", proof]
    also = ["--also", served.req, served_c, "--also", road.req, road.challenge_path]
    code, proved = run(*words, *also, "--work", tmp_path / "work")
    assert code == 0, proved
    assert [member["scope"] for member in proved["members"]] == ["forward", "forward", "layers"]
    public = ["--public", road.dir / "public.assay"]
    challenges = ["--challenge", own_c, "--challenge", served_c, "--challenge", road.challenge_path]
    code, answer = run("verify", proof, *public, *challenges)
    assert (code, len(answer["members"])) == (0, 3)
    assert refusal(run, "verify", proof, *public, *challenges[2:], exit_code=1) == "statement.members"
    swapped = [*challenges[2:4], *challenges[:2], *challenges[4:]]
    assert refusal(run, "verify", proof, *public, *swapped, exit_code=1).startswith("statement.")
    for words_missing in ([*words, "--also", served.req], [*words, "--also"]):
        code, answer = run(*words_missing)
        assert code == 2, answer


def test_what_is_said_to_people(
    road: Road, own: Logged, served: Logged, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(map(str, verify_words(road, own)))) == 0
    shown = capsys.readouterr().out
    assert "forward pass over 6 tokens" in shown
    assert f"position {POSITIONS[0]}: exact logits of" in shown
    assert main(list(map(str, verify_words(road, served)))) == 0
    shown = capsys.readouterr().out
    assert "total variation" in shown
    assert "top-5 distance at most" in shown


def test_the_program_and_the_reference_say_the_same(
    run: Run, road: Road, own: Logged, served: Logged, batch: Batch, tmp_path: Path
) -> None:
    program = shutil.which("assay-verify", path=str(Path(sys.executable).parent))
    assert program is not None
    public = ["--public", road.dir / "public.assay"]
    for logged in (own, served):
        words = verify_words(road, logged)
        code, answer = run(*words, "--reference")
        assert (code, answer["verdict"]) == (0, "accepted")
        statement = tmp_path / "statement"
        challenge = ["--challenge", words[-1]]
        assert refusal(run, "statement", *public, *challenge, "--out", statement) == "no-disclosure"
        code, made = run("statement", *public, *challenge, "--proof", words[1], "--out", statement)
        assert (code, made["members"][0]["positions"]) == (0, POSITIONS)
        done = subprocess.run([program, statement, words[1]], capture_output=True, text=True, check=False)
        said = json.loads(done.stdout)
        assert (done.returncode, said["verdict"]) == (0, "accepted")
        names = [segment["name"] for segment in said["segments"]]
        assert said["members"] == [{"scope": "forward", "segments": names}]
    names = []
    for i, asked in enumerate(batch.challenges):
        (tmp_path / f"{i}.json").write_bytes(asked.encoded)
        names += ["--challenge", tmp_path / f"{i}.json"]
    (tmp_path / "proof").write_bytes(batch.proof)
    code, answer = run("verify", tmp_path / "proof", *public, *names, "--reference")
    assert (code, len(answer["members"])) == (0, 3)
    for more, code in (("--require-served", "statement.served"), ("--tokens=1", "no-one-forward-pass")):
        for verifier in ([], ["--reference"]):
            exit_code = 1 if code.startswith("statement") else 2
            words = ["verify", tmp_path / "proof", *public, *names, more, *verifier]
            assert refusal(run, *words, exit_code=exit_code) == code
    run("statement", *public, *names, "--proof", tmp_path / "proof", "--out", tmp_path / "statement")
    words = [program, tmp_path / "statement", tmp_path / "proof"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    scopes = [(m["scope"], m["segments"][0]) for m in json.loads(done.stdout)["members"]]
    assert scopes == [("layers", "1: layer 0"), ("forward", "2: embedding"), ("forward", "3: embedding")]


def test_inspecting(run: Run, road: Road, own: Logged, batch: Batch, tmp_path: Path) -> None:
    code, answer = run("inspect", own.req / "private" / "log.assay")
    assert (code, answer["kind"]) == (0, "log")
    code, answer = run("inspect", own.req)
    assert (code, answer["log"]["top_k"]) == (0, TOP_K)
    code, answer = run("inspect", own.req.with_name("REQ.json"))
    assert (code, answer["scope"], answer["positions"]) == (0, "forward", POSITIONS)
    (tmp_path / "proof").write_bytes(batch.proof)
    code, answer = run("inspect", tmp_path / "proof", "--public", road.dir / "public.assay")
    assert code == 0
    assert answer["security_bits"] >= 128
    assert len(answer["statement"]["members"]) == 3


def test_layers_that_saturate_are_named(road: Road, own: Logged, batch: Batch) -> None:
    found = verify(batch.proof, public=road.public, challenge=batch.challenges)
    assert list(_clamped(found)) == []
    layer, _, forward, _ = found.statements
    assert isinstance(layer, LayerStatement)
    assert isinstance(forward, ForwardStatement)
    import dataclasses

    members = (
        dataclasses.replace(
            found.members[0],
            statements=(
                dataclasses.replace(layer, saturated={"residual_out.saturated": 3, "x.saturated": 9}),
            ),
        ),
        dataclasses.replace(
            found.members[1],
            statements=(dataclasses.replace(forward, saturated={"embedding": {"embedding.saturated": 2}}),),
        ),
    )
    changed = dataclasses.replace(found, members=members)
    assert list(_clamped(changed)) == [("layer 0", 3), ("embedding", 2)]
    assert "2 cells saturated" in "".join(member_lines(members[1]))


def test_bench_forward_prints_every_figure(run: Run, road: Road) -> None:
    words = ["bench", "forward", road.dir, "--tokens", "4", "--num-positions", "2", "--batch", "2"]
    code, answer = run(*words, "--model", road.model_path)
    assert code == 0, answer
    more = {"tokens_per_s", "inference_s", "ratio_to_inference", "breakdown"}
    more |= {"marginal_s", "marginal_cpu_s", "one_s", "one_cpu_s"}
    of_layers = {"relative_l2", "relative_l2_bf16"}
    assert answer.keys() >= (FIGURES - of_layers) | more
    assert not answer.keys() & of_layers
    rows: dict[str, Any] = dict(answer["breakdown"])
    total = rows.pop("total")
    assert sum(rows.values()) == pytest.approx(total, rel=0.05)
    assert answer["tokens_per_s"] == pytest.approx(4 / answer["prove_s"])
    assert answer["ratio_to_inference"] == pytest.approx(answer["prove_s"] / answer["inference_s"])
    assert refusal(run, *words[:3], "--tokens", "2", "--num-positions", "3") == "position-out-of-range"


# --- bad input


def test_positions_out_of_range(run: Run, road: Road, own: Logged, tmp_path: Path) -> None:
    words = ["challenge", own.req / "record.assay", "--scope", "forward", "--out", tmp_path / "c.json"]
    for more, code in (
        (["--positions", "6"], "position-out-of-range"),
        (["--positions=-1"], "position-out-of-range"),
        (["--num-positions", "7"], "position-out-of-range"),
        (["--positions", "1,1"], "bad-challenge"),
        (["--positions", "x"], "bad-numbers"),
        ([], "bad-challenge"),
        (["--num-layers", "1"], "bad-challenge"),
        (["--num-positions", "1", "--scope", "sampler"], "bad-challenge"),
    ):
        assert refusal(run, *words, *more) == code
    assert not (tmp_path / "c.json").exists()


def test_logs_that_cannot_be_made(run: Run, road: Road, tmp_path: Path) -> None:
    words = ["record", road.dir, "--tokens", LIST, "--out", tmp_path / "REQ"]
    served = write_served(tmp_path / "served.json", served_logits())
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    for more, code in (
        (["--top-k", "129"], "bad-log"),
        (["--no-log", "--served", served], "bad-log"),
        (["--no-log", "--top-k", "3"], "bad-log"),
        (["--served", served, "--top-k", "3"], "bad-log"),
        (["--served", junk], "bad-served-logits"),
        (["--served", tmp_path / "gone"], "file-not-found"),
    ):
        assert refusal(run, *words, *more) == code
    short = ["record", road.dir, "--tokens", "1,2", "--out", tmp_path / "REQ", "--served", served]
    assert refusal(run, *short) == "bad-served-logits"
    assert not (tmp_path / "REQ").exists()
    code, made = run(*words, "--no-log")
    assert (code, made["log"]) == (0, None)
    asked = ["challenge", tmp_path / "REQ" / "record.assay", "--scope", "forward", "--positions", "0"]
    assert refusal(run, *asked, "--out", tmp_path / "c.json") == "no-log"


def test_a_log_that_is_damaged_or_gone(run: Run, road: Road, tmp_path: Path) -> None:
    req, asked = tmp_path / "REQ", tmp_path / "c.json"
    run("record", road.dir, "--tokens", LIST, "--out", req)
    run("challenge", req / "record.assay", "--scope", "forward", "--positions", "0", "--out", asked)
    words = ["prove", road.dir, req, "--challenge", asked, "--out", tmp_path / "p"]
    path = req / "private" / "log.assay"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert refusal(run, *words) == "damaged-record"
    path.unlink()
    assert refusal(run, *words) == "damaged-record"


def test_a_work_folder_of_something_else(run: Run, road: Road, own: Logged, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine").write_text("mine")
    asked = own.req.with_name("REQ.json")
    words = ["prove", road.dir, own.req, "--challenge", asked, "--out", tmp_path / "p"]
    assert refusal(run, *words, "--work", tmp_path / "work") == "work-not-ours"
    assert refusal(run, *words, "--also", own.req, road.challenge_path) == "challenge-of-another-record"
