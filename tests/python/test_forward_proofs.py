"""Proofs of forward passes and batches: what is accepted, and everything that must not be."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forward_road import POSITIONS, TOP_K, Batch, Logged, exact_logits, logged, served_logits
from tiny_model import TOKENS, VOCABULARY, Road, attempt, proven, tampered

import assay.prove.estimate
import assay.prove.prover
import assay.statement
from assay import framing
from assay.audit import Challenge, challenge, merkle
from assay.audit.log import LogEntry, OpenedEntry, log_leaves
from assay.audit.tokens import commit_tokens
from assay.disclosure import Disclosure
from assay.errors import ChallengeError, RequestError, StorageError, VerificationError
from assay.proof import ProofFile, pack_proof
from assay.prove.attempt import _read
from assay.prove.log import Logging
from assay.prove.opening import Transient
from assay.prove.prover import prove, prove_batch
from assay.prove.record import record_tokens
from assay.prove.steps import reporting
from assay.statement import build_statement
from assay.trace import Ledger
from assay.verify import ForwardStatement, LayerStatement, verify


def check(road: Road, proof: bytes, asked: Challenge | list[Challenge], **options: Any) -> Any:
    return verify(proof, public=road.public, challenge=asked, **options)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises((VerificationError, ChallengeError, RequestError, StorageError)) as caught:
        call()
    return caught.value.code


def forward(found: Any) -> ForwardStatement:
    (statement,) = found.statements
    assert isinstance(statement, ForwardStatement)
    return statement


# --- what is accepted


def test_logits_are_those_of_the_exact_model(road: Road, own: Logged) -> None:
    found = check(road, own.proof, own.challenge, tokens=TOKENS)
    said = forward(found)
    exact = exact_logits(road, own.recording)
    assert said.tokens == tuple(TOKENS)
    assert said.positions == tuple(POSITIONS)
    assert said.raw_logits is not None
    assert said.logits is not None
    for i, position in enumerate(POSITIONS):
        largest = sorted(exact[position], reverse=True)[:TOP_K]
        assert list(said.raw_logits[i]) == largest == [exact[position][v] for v in said.ids[i]]
        assert list(said.logits[i]) == [x / 2.0**said.fraction for x in largest]
    assert said.distances is None
    assert found.security_bits >= 128
    assert found.members[0].scope == "forward"
    assert found.members[0].record_root == own.recording.header.hash
    assert json.dumps(found.to_dict())


def test_distances_are_those_of_real_numbers(road: Road, served: Logged) -> None:
    said = forward(check(road, served.proof, served.challenge))
    exact, given = exact_logits(road, served.recording), served_logits()
    assert said.distances is not None
    assert said.raw_logits is None
    for i, position in enumerate(POSITIONS):
        x = exact[position] / 2.0**said.fraction
        ids = list(said.ids[i])
        assert ids == given.ids[position].tolist()
        p, q = np.exp(x - x.max()), np.exp(given.logits[position] - given.logits[position].max())
        p, q = p / p.sum(), q / q.sum()
        tv = (np.abs(q - p[ids]).sum() + 1 - p[ids].sum()) / 2
        assert float(said.distances[i].tv) == pytest.approx(tv, abs=2e-3)
        largest = sorted(exact[position], reverse=True)[:TOP_K]
        expected = sum(largest) - sum(exact[position][v] for v in ids)
        assert said.distances[i].top_k == Fraction(int(expected), 1 << said.fraction)


def test_a_batch_answers_each_challenge(road: Road, batch: Batch) -> None:
    found = check(road, batch.proof, batch.challenges)
    assert [member.scope for member in found.members] == ["layers", "forward", "forward"]
    assert [type(s) for s in found.statements] == [LayerStatement] * 2 + [ForwardStatement] * 2
    assert [m.record_root for m in found.members] == [c.record.hash for c in batch.challenges]
    names = [s["name"] for m in ProofFile.from_bytes(batch.proof).statement["members"] for s in m["segments"]]
    assert names[:4] == ["1: layer 0", "1: layer 2", "2: embedding", "2: layer 0"]
    assert names[-1] == "3: distances"
    assert len(names) == len(set(names))


def test_a_batch_of_one_request_twice(road: Road, own: Logged) -> None:
    asked = [own.challenge, challenge(own.recording.header, layers=[1])]
    members = [(own.recording, one) for one in asked]
    proof = prove_batch(road.model, members, account=Transient(1 << 20)).data
    assert check(road, proof, asked).statements[1].layer == 1


def test_nothing_compared(road: Road, batch: Batch) -> None:
    found = verify(batch.proof, public=road.public, any_statement=True)
    assert not found.compared
    assert found.members == check(road, batch.proof, batch.challenges).members


def test_a_proof_in_the_other_profile_or_without_hiding(road: Road, own: Logged) -> None:
    proof = proven(road.model, own.recording, own.challenge, insecure_no_hiding=True)
    assert refused(lambda: check(road, proof.data, own.challenge)) == "statement.hiding"
    assert not check(road, proof.data, own.challenge, insecure_no_hiding=True).hiding


def test_a_drawn_challenge(road: Road, own: Logged) -> None:
    asked = challenge(own.req / "record.assay", scope="forward", num_positions=2, nonce=bytes(32))
    assert Challenge.from_bytes(asked.encoded) == asked
    assert asked.drawn
    proof = proven(road.model, own.recording, asked)
    assert forward(check(road, proof.data, asked)).positions == asked.positions


# --- challenges


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "bad-challenge"),
        ({"num_positions": 1, "positions": [0]}, "bad-challenge"),
        ({"num_positions": 0}, "position-out-of-range"),
        ({"num_positions": len(TOKENS) + 1}, "position-out-of-range"),
        ({"positions": []}, "bad-challenge"),
        ({"positions": [2, 2]}, "bad-challenge"),
        ({"positions": [len(TOKENS)]}, "position-out-of-range"),
        ({"positions": [-1]}, "position-out-of-range"),
        ({"positions": [0], "layers": [0]}, "bad-challenge"),
        ({"num_layers": 1}, "bad-challenge"),
        ({"positions": [0], "scope": "other"}, "bad-challenge"),
        ({"positions": [0], "scope": "layers"}, "bad-challenge"),
    ],
)
def test_impossible_challenges(own: Logged, arguments: dict[str, Any], code: str) -> None:
    assert refused(lambda: challenge(own.recording.header, **{"scope": "forward", **arguments})) == code


def test_a_record_without_a_log_has_no_forward_pass(road: Road) -> None:
    header = record_tokens(road.model, TOKENS).header
    assert refused(lambda: challenge(header, scope="forward", positions=[0])) == "no-log"


def test_every_field_of_a_challenge_is_checked(own: Logged) -> None:
    asked = challenge(own.recording.header, scope="forward", num_positions=2, nonce=bytes(range(32)))
    for label, make in tampered(asked.to_dict()):
        if "b'" in label:
            continue  # bytes have no place in JSON
        found = attempt(lambda make=make: Challenge.from_bytes(json.dumps(make()).encode()), ChallengeError)
        if isinstance(found, ChallengeError):
            continue
        assert found != asked, label
        assert label in ("drawn = False", "positions shorter"), label
    layers = {**asked.to_dict(), "scope": "layers"}
    assert refused(lambda: Challenge.from_bytes(json.dumps(layers).encode())) == "challenge-fields"


# --- what must not be accepted


def test_every_field_of_the_statement_is_compared(road: Road, batch: Batch) -> None:
    file = ProofFile.from_bytes(batch.proof)
    seen = set()
    for label, make in tampered(file.statement):
        proof = pack_proof(file.profile, True, framing.encode(make()), file.body)
        code = refused(lambda proof=proof: check(road, proof, batch.challenges))
        assert code.startswith(("statement.", "format.")), label
        seen.add(code)
        with pytest.raises(VerificationError):
            verify(proof, public=road.public, any_statement=True)
    names = ("record", "nonce", "scope", "layers", "tokens", "log", "segments", "public", "epoch", "drawn")
    assert {f"statement.{name}" for name in names} <= seen


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: dataclasses.replace(d, tokens=(1, *d.tokens[1:])), "statement.tokens"),
        (lambda d: dataclasses.replace(d, tokens=d.tokens[:-1]), "statement.tokens"),
        (lambda d: dataclasses.replace(d, tokens=(VOCABULARY, *d.tokens[1:])), "statement.tokens"),
        (lambda d: dataclasses.replace(d, salt=bytes(32)), "statement.tokens"),
        (lambda d: dataclasses.replace(d, log=d.log[::-1]), "statement.log"),
        (lambda d: dataclasses.replace(d, log=d.log[:1]), "statement.log"),
        (lambda d: with_entry(d, ids=(0, 1, 2, 3, 4)), "statement.log"),
        (lambda d: with_entry(d, logits=(0, 1, 2, 3, 4)), "statement.log"),
        (lambda d: with_entry(d, salt=bytes(32)), "statement.log"),
        (
            lambda d: dataclasses.replace(d, log=(OpenedEntry(d.log[0].entry, ()), *d.log[1:])),
            "statement.log",
        ),
    ],
)
def test_what_is_opened_is_what_the_record_commits_to(
    road: Road, served: Logged, change: Callable[[Disclosure], Disclosure], code: str
) -> None:
    """By the prover's own hand: fields and body agree with each other, not with the record."""
    opened = change(served.recording.disclosure(served.challenge))
    file = ProofFile.from_bytes(served.proof)
    (member,) = file.statement["members"]
    stated = {**file.statement, "members": [{**member, **opened.to_dict()}]}
    proof = pack_proof(file.profile, True, framing.encode(stated), file.body)
    assert refused(lambda: check(road, proof, served.challenge)) == code


def with_entry(opened: Disclosure, **changed: Any) -> Disclosure:
    first, *rest = opened.log
    entry = dataclasses.replace(first.entry, **changed)
    return dataclasses.replace(opened, log=(OpenedEntry(entry, first.path), *rest))


def test_the_log_of_another_request(road: Road, served: Logged, tmp_path: Path) -> None:
    """Another request's commitment to what was served, in the place of this one's."""
    more = logged(road, tmp_path / "REQ", Logging(served=served_logits(1)))
    head = dataclasses.replace(served.recording.header, log=more.recording.header.log)
    asked = dataclasses.replace(served.challenge, record=head)
    assert refused(lambda: check(road, served.proof, asked)) == "statement.log"
    mixed = dataclasses.replace(
        served.recording.disclosure(served.challenge), log=more.recording.disclosure(more.challenge).log
    )
    with pytest.raises(VerificationError) as caught:
        build_statement(road.model.public, [asked], disclosures=[mixed])
    assert caught.value.code == "statement.log"


@pytest.mark.parametrize(
    "ids", [(1, 2, 3, 4, 4), (1, 2, 3, 4, VOCABULARY), (1, 2, 3, 4, -1), (1, 2, 3, 4), (1, 2, 3, 4, 5, 6)]
)
def test_a_committed_log_with_impossible_ids(road: Road, own: Logged, ids: tuple[int, ...]) -> None:
    """A prover who commits to them is not believed either."""
    header, recording = own.recording.header, own.recording
    assert header.log is not None
    assert recording.log is not None
    entries = recording.log.entries()
    entries[POSITIONS[0]] = LogEntry(ids, None, bytes(32))
    leaves = log_leaves(header.request, entries)
    head = dataclasses.replace(header.log, root=merkle.root(leaves))
    asked = dataclasses.replace(own.challenge, record=dataclasses.replace(header, log=head))
    log = tuple(OpenedEntry(entries[t], tuple(merkle.path(leaves, t))) for t in POSITIONS)
    opened = dataclasses.replace(recording.disclosure(own.challenge), log=log)
    with pytest.raises(VerificationError) as caught:
        build_statement(road.model.public, [asked], disclosures=[opened])
    assert caught.value.code == "statement.ids"


def test_a_body_about_other_tokens(road: Road, own: Logged) -> None:
    """The commitment opens to other tokens; the proof was made for the right ones."""
    tokens = [1, *TOKENS[1:]]
    commitment = commit_tokens(tokens, own.recording.salt)
    header = dataclasses.replace(own.recording.header, tokens_commitment=commitment)
    asked = dataclasses.replace(own.challenge, record=header)
    opened = dataclasses.replace(own.recording.disclosure(own.challenge), tokens=tuple(tokens))
    statement = build_statement(road.model.public, [asked], disclosures=[opened])
    proof = pack_proof("provable-128", True, statement.instance, ProofFile.from_bytes(own.proof).body)
    with pytest.raises(VerificationError) as caught:
        check(road, proof, asked)
    assert not caught.value.code.startswith("statement.")


def test_tokens_that_the_verifier_expects(road: Road, own: Logged, batch: Batch) -> None:
    assert refused(lambda: check(road, own.proof, own.challenge, tokens=TOKENS[:-1])) == "statement.tokens"
    code = refused(lambda: check(road, batch.proof, batch.challenges, tokens=TOKENS))
    assert code == "no-one-forward-pass"
    code = refused(lambda: check(road, road.proof, road.challenge, tokens=TOKENS))
    assert code == "no-one-forward-pass"


def test_challenges_in_another_order_or_number(road: Road, batch: Batch, own: Logged) -> None:
    first, second, third = batch.challenges
    for asked in ([second, first, third], [first, second], [first, second, third, third]):
        code = refused(lambda asked=asked: check(road, batch.proof, asked))
        assert code.startswith("statement."), code
    assert refused(lambda: check(road, batch.proof, second)) == "statement.members"
    assert refused(lambda: check(road, own.proof, [second, road.challenge])) == "statement.members"
    assert refused(lambda: check(road, batch.proof, [])) == "no-challenge"
    assert refused(lambda: check(road, road.proof, own.challenge)) == "statement.scope"
    assert refused(lambda: check(road, own.proof, road.challenge)).startswith("statement.")


def test_errors_name_the_member(road: Road, own: Logged) -> None:
    weights = {"layers.1.down_proj": road.model.weight("layers.1.down_proj").copy()}
    weights["layers.1.down_proj"][3, 5] += 500
    asked = [road.challenge, own.challenge]
    members = [(road.recording, asked[0]), (own.recording, asked[1])]
    forged = prove_batch(
        road.model,
        members,
        account=Transient(1 << 20),
        insecure_no_hiding=True,
        self_check=False,
        evaluate_with=weights,
    )
    with pytest.raises(VerificationError) as caught:
        check(road, forged.data, asked, insecure_no_hiding=True)
    assert caught.value.segment == "2: layer 1"
    assert "down_proj" in (caught.value.relation or "")


def test_advice_that_is_not_the_maximum(road: Road, served: Logged) -> None:
    """A larger maximum is not attained; a smaller one has keys outside its table."""
    for largest in (32767, -32768):
        advice = {name: np.full((1, 2), largest, np.int32) for name in ("head.max", "head.threshold")}
        code = refused(
            lambda advice=advice: proven(road.model, served.recording, served.challenge, advice=[advice])
        )
        assert code == "not-provable"


def test_another_threshold_only_makes_the_distance_larger(road: Road, served: Logged) -> None:
    honest = forward(check(road, served.proof, served.challenge)).distances
    exact = exact_logits(road, served.recording)[POSITIONS]
    advice = {
        "head.max": exact.max(axis=1).reshape(1, -1).astype(np.int32),
        "head.threshold": np.zeros((1, 2), np.int32),
    }
    proof = proven(road.model, served.recording, served.challenge, advice=[advice]).data
    found = forward(check(road, proof, served.challenge)).distances
    assert honest is not None
    assert found is not None
    assert all(a.top_k >= b.top_k and a.tv == b.tv for a, b in zip(found, honest, strict=True))


# --- limits


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("MOST_MEMBERS", 2),
        ("MOST_SEGMENTS", 10),
        ("MOST_TOKEN_LAYERS", 8 * len(TOKENS) - 1),
        ("MOST_LOGITS", 4 * VOCABULARY - 1),
        ("STATEMENT_CAP", 1000),
    ],
)
def test_more_than_one_proof_may_cover(
    road: Road, batch: Batch, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(assay.statement, limit, value)
    assert refused(lambda: check(road, batch.proof, batch.challenges)) == "challenge-too-large"
    with pytest.raises(VerificationError):
        verify(batch.proof, public=road.public, any_statement=True)


def test_layers_of_one_record_twice(road: Road) -> None:
    asked = [road.challenge, challenge(road.recording.header, layers=[1])]
    assert refused(lambda: build_statement(road.model.public, asked)) == "record-repeated"


def test_a_log_of_another_model(road: Road, own: Logged) -> None:
    header = own.recording.header
    assert header.log is not None
    for change in ({"fraction": header.log.fraction + 1}, {"top_k": 128}):
        log = dataclasses.replace(header.log, **change)
        public = dataclasses.replace(
            road.model.public, config={**road.model.public.config, "vocab_size": 100}
        )
        asked = dataclasses.replace(own.challenge, record=dataclasses.replace(header, log=log))
        model = road.model.public if "fraction" in change else public
        found = dataclasses.replace(asked, record=dataclasses.replace(asked.record, public=model.hash))
        assert refused(lambda found=found, model=model: build_statement(model, [found])) == "record-mismatch"


def test_members_of_several_epochs(road: Road, other: Road, own: Logged) -> None:
    members = [(own.recording, own.challenge), (other.recording, other.challenge)]
    assert refused(lambda: prove_batch(road.model, members)) == "batch-of-several-epochs"


# --- a proof that was cut off


class _Killed(BaseException):
    pass


def opened(ledger: Path) -> list[Any]:
    with Ledger.open(ledger) as book:
        return [dataclasses.asdict(epoch) for epoch in book.state().epochs]


@pytest.fixture
def kept(road: Road, tmp_path: Path) -> tuple[list[tuple[Path, Challenge]], Path]:
    """Two fresh requests with challenges, and where the proof goes."""
    asked = []
    for name, scope in (("A", {"layers": [0]}), ("B", {"scope": "forward", "positions": [1]})):
        assay.prove.record.record(road.model, tmp_path / name, tokens=TOKENS)
        asked.append((tmp_path / name, challenge(tmp_path / name / "record.assay", **scope)))
    return asked, tmp_path / "proof.assay"


def test_a_proof_that_was_cut_off_is_the_same_byte_for_byte(
    road: Road, kept: tuple[list[tuple[Path, Challenge]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, out = kept
    made = []

    def killed(path: Path, data: bytes) -> None:
        made.append(data)
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(assay.prove.prover, "write_file", killed)
        with pytest.raises(_Killed):
            prove(road.model, asked, out)
    work = out.with_name("proof.assay.work")
    assert (work / "proving.assay").stat().st_mode & 0o777 == 0o600
    assert work.stat().st_mode & 0o777 == 0o700
    before = [opened(road.dir / "ledger.db"), opened(asked[0][0] / "private" / "ledger.db")]
    done = prove(road.model, asked, out)
    assert done.data == made[0] == out.read_bytes()
    assert [opened(road.dir / "ledger.db"), opened(asked[0][0] / "private" / "ledger.db")] == before
    assert not work.exists()
    assert done.verified is not None
    assert check(road, done.data, [c for _, c in asked]).members == done.verified.members


def test_progress_ends_every_step() -> None:
    told: list[tuple[str, float, float]] = []
    with reporting(lambda *said: told.append(said), commit="witness") as report:
        assert report is not None
        told_of = [("commit", 0, 2), ("commit", 1, 2), ("prove", 0, 2), ("prove", 1, 2), ("reduce", 0, 1)]
        for said in told_of:
            report(*said)
    ends = [(step, done) for step, done, of in told if done == of]
    assert ends == [("witness", 2), ("prove", 2), ("reduce", 1)]
    with reporting(None) as report:
        assert report is None


def test_a_proof_cut_off_in_each_step(
    road: Road, kept: tuple[list[tuple[Path, Challenge]], Path], tmp_path: Path
) -> None:
    """It goes on with the same ticket from wherever it was."""
    asked, out = kept
    steps: list[tuple[str, int]] = []

    def stop_at(wanted: int) -> Callable[[str, float, float], None]:
        seen = []

        def report(step: str, done: float, of: float) -> None:
            seen.append((step, int(done)))
            if len(seen) == wanted:
                raise RuntimeError("cut off")
            steps[:] = seen

        return report

    counters = set()
    for wanted in (1, 3, 9):
        with pytest.raises(RuntimeError, match="cut off"):
            prove(road.model, asked, out, work=tmp_path / "W", progress=stop_at(wanted))
        counters.add(_read(tmp_path / "W" / "proving.assay")["counters"][0])
    done = prove(road.model, asked, out, work=tmp_path / "W", progress=stop_at(1 << 20))
    assert list(dict.fromkeys(step for step, _ in steps)) == [
        "commit",
        "prove",
        "reduce",
        "combine",
        "constraints",
        "columns",
    ]
    assert steps[-1][1] == sum(step == "columns" for step, _ in steps) - 1 > 10
    assert counters == {done.counter}
    assert not (tmp_path / "W").exists()


def test_work_of_another_proof(
    road: Road, kept: tuple[list[tuple[Path, Challenge]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, out = kept

    def killed(path: Path, data: bytes) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(assay.prove.prover, "write_file", killed)
        with pytest.raises(_Killed):
            prove(road.model, asked, out)
    assert refused(lambda: prove(road.model, asked[:1], out)) == "work-of-another-proof"
    damaged = out.with_name("proof.assay.work") / "proving.assay"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert refused(lambda: prove(road.model, asked, out)) == "damaged-registration"
    damaged.unlink()
    assert prove(road.model, asked, out).data == out.read_bytes()


def test_a_ledger_that_went_back_begins_the_proof_anew(
    road: Road, kept: tuple[list[tuple[Path, Challenge]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept does not go with the ledger: other columns under another seed."""
    asked, out = kept

    def killed(path: Path, data: bytes) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(assay.prove.prover, "write_file", killed)
        with pytest.raises(_Killed):
            prove(road.model, asked, out)
    path = out.with_name("proof.assay.work") / "proving.assay"
    values = _read(path)
    values["counters"] = [values["counters"][0] + 1000, *values["counters"][1:]]
    path.write_bytes(framing.pack(framing.Kind.ATTEMPT, 1, framing.encode(values)))
    assert prove(road.model, asked, out).counter != values["counters"][0]
    assert out.exists()


def test_a_folder_with_other_things_is_not_used(
    road: Road, kept: tuple[list[tuple[Path, Challenge]], Path], tmp_path: Path
) -> None:
    asked, out = kept
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for work in (tmp_path / "mine", tmp_path / "file"):
        assert refused(lambda work=work: prove(road.model, asked, out, work=work)) == "work-not-ours"
    assert (tmp_path / "mine" / "file").read_text() == "mine"


def test_too_little_room_is_refused_before_anything_is_opened(
    road: Road, kept: tuple[list[tuple[Path, Challenge]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, out = kept
    before, said = opened(road.dir / "ledger.db"), list[Any]()
    for name, code in (("free_disk", "disk-full"), ("free_memory", "memory-too-small")):
        with monkeypatch.context() as patch:
            patch.setattr(assay.prove.estimate, name, lambda *_: 1000)
            assert refused(lambda: prove(road.model, asked, out, announce=said.append)) == code
    assert all(estimate.seconds > 0 for estimate in said)
    assert opened(road.dir / "ledger.db") == before
    assert not out.with_name("proof.assay.work").exists()


def test_what_does_not_hold_leaves_no_work(
    road: Road, kept: tuple[list[tuple[Path, Challenge]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, out = kept

    def unprovable(*arguments: Any, **options: Any) -> dict[str, Any]:
        raise assay.prove.prover._core.NotProvable("1: layer 0", "x", "no")

    monkeypatch.setattr(assay.prove.prover._core, "prove", unprovable)
    assert refused(lambda: prove(road.model, asked, out)) == "not-provable"
    assert not out.with_name("proof.assay.work").exists()


# --- separate processes


def test_verifying_loads_no_model_library(road: Road, own: Logged, tmp_path: Path) -> None:
    (tmp_path / "proof").write_bytes(own.proof)
    (tmp_path / "challenge").write_bytes(own.challenge.encoded)
    code = (
        "import sys, assay; "
        f"assay.verify({str(tmp_path / 'proof')!r}, public={str(road.dir / 'public.assay')!r}, "
        f"challenge=[{str(tmp_path / 'challenge')!r}]); "
        "names = ('torch', 'transformers', 'safetensors', 'assay.prove', 'assay.model', 'assay.quantize'); "
        "print([n for n in names if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
