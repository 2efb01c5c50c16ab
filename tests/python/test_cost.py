"""What things cost: counts against real circuits and proofs, and `assay estimate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from assay.circuits.catalogue import config_of
from assay.circuits.llama import Llama
from forward_road import TOP_K, Logged
from tiny_model import CONFIG, Road

from assay.audit.challenge import FORWARD
from assay.cli import main
from assay.cost.estimate import Figure, estimate
from assay.cost.model import FEATURES, STEPS, shipped
from assay.cost.registration import registration_counts, registration_disk
from assay.cost.size import body_parts, proof_bytes
from assay.cost.statement import Asked, Counts, Model
from assay.profiles import profile_named
from assay.proof import ProofFile
from assay.prove.estimate import estimate_proof
from assay.statement import build_statement

PROFILE = profile_named("provable-128")
LARGE = Llama(
    vocab_size=128256,
    hidden_size=16384,
    num_layers=126,
    max_position=8192,
    tied_embeddings=False,
    num_heads=128,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=53248,
    rms_norm_eps=1e-5,
    rope_theta=500000.0,
)
SMALL = replace(
    LARGE, vocab_size=4096, hidden_size=256, num_layers=4, num_heads=4, num_kv_heads=2, intermediate_size=768
)
Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with --json; returns its exit code and its object."""

    def call(*words: str | Path) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main([*map(str, words), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def counts_of(road: Road, asked: Asked) -> Counts:
    public = road.model.public
    return Model(config_of(public.config), public.code, public.scales).counts(public.profile, asked)


def asked_of(logged: Logged) -> Asked:
    record, positions = logged.recording.header, logged.challenge.positions
    assert record.log is not None
    return Asked(
        tokens=record.tokens, positions=len(positions), served=record.log.served, ids=record.log.top_k
    )


@pytest.mark.parametrize("name", ["own", "served"])
def test_counts_of_a_forward_pass_are_those_of_its_circuits(
    road: Road,
    name: str,
    request: pytest.FixtureRequest,
) -> None:
    logged = request.getfixturevalue(name)
    challenge = logged.challenge
    assert challenge.scope == FORWARD
    disclosure = logged.recording.disclosure(challenge)
    statement = build_statement(road.model.public, [challenge], disclosures=[disclosure])
    counts = counts_of(road, asked_of(logged))
    assert counts.total("lookups") == sum(c.lookups for c in statement.circuits)
    assert counts.total("cells") == sum(c.witness_cells for c in statement.circuits)
    assert counts.segments == len(statement.circuits)


def test_counts_of_layers_are_those_of_their_circuits(road: Road) -> None:
    challenge = road.challenge
    statement = build_statement(road.model.public, [challenge])
    counts = counts_of(road, Asked(tokens=challenge.record.tokens, layers=challenge.layers))
    assert counts.total("lookups") == sum(c.lookups for c in statement.circuits)
    assert counts.total("cells") == sum(c.witness_cells for c in statement.circuits)
    assert [c.others for c in counts.commitments] == [len(road.model.public.layout.parts) - 2, 0, 0]


@pytest.mark.parametrize("name", ["own", "served"])
def test_the_size_of_a_forward_proof(
    road: Road,
    name: str,
    request: pytest.FixtureRequest,
) -> None:
    logged = request.getfixturevalue(name)
    predicted = proof_bytes(counts_of(road, asked_of(logged)))
    assert abs(predicted / len(logged.proof) - 1) < 0.01


def test_the_size_of_a_proof_about_layers(road: Road) -> None:
    asked = Asked(tokens=road.challenge.record.tokens, layers=road.challenge.layers)
    assert abs(proof_bytes(counts_of(road, asked)) / len(road.proof) - 1) < 0.01


def test_all_but_the_siblings_of_a_proof_is_exact(road: Road, own: Logged) -> None:
    parts = body_parts(counts_of(road, asked_of(own)))
    siblings = len(ProofFile.from_bytes(own.proof).body) - (sum(parts.values()) - parts["siblings"])
    assert siblings % 32 == 0
    assert abs(siblings / parts["siblings"] - 1) < 0.1


def test_the_disk_of_a_registration(road: Road) -> None:
    public = road.model.public
    counts = registration_counts(public.layout, public.code, public.profile)
    found = sum(file.stat().st_size for file in road.dir.rglob("*") if file.is_file())
    assert 0.97 < registration_disk(counts, stored=False) / found <= 1
    stored = registration_disk(counts, stored=True) - registration_disk(counts, stored=False)
    assert stored == sum(public.layout.parts) * public.code.length * 8


def test_typical_scales_cost_about_what_calibrated_ones_do(road: Road) -> None:
    public, asked = road.model.public, Asked(tokens=6, positions=2, ids=TOP_K)
    typical = Model(config_of(public.config), public.code).counts(public.profile, asked)
    assert abs(typical.total("cells") / counts_of(road, asked).total("cells") - 1) < 0.05


def test_layers_that_do_the_same_are_built_once(road: Road) -> None:
    assert Model(SMALL, PROFILE.code).like == [0, 0, 0, 0]
    assert Model(config_of(road.model.public.config), PROFILE.code).like == [0, 0, 2]


@pytest.mark.parametrize("field", ["tokens", "positions", "requests"])
def test_more_of_anything_costs_more(field: str) -> None:
    model, cost, before = Model(SMALL, PROFILE.code), shipped(), None
    for number in (8, 16, 32):
        asked = replace(Asked(tokens=64, positions=4), **{field: number})
        features = model.counts(PROFILE, asked).features()
        found = [cost.prove(features), cost.of("verify", features), cost.of("prove.memory", features)]
        if before:
            assert all(a >= b for a, b in zip(found, before, strict=True))
            assert found[0] > before[0]
        before = found


def test_more_cores_are_faster_and_cost_as_much() -> None:
    model, found = Model(SMALL, PROFILE.code), []
    for cores in (1, 2, 16):
        told = estimate(model, PROFILE, Asked(tokens=64), shipped(), cores=cores, stored=False)
        found.append((told.figures["proving"].value, told.figures["proving, time"].value))
    assert len({core for core, _ in found}) == 1
    assert found[0][0] == found[0][1] > found[1][1] > found[2][1] > 0


def test_a_model_of_four_hundred_billion_weights_is_extrapolated_and_passes_limits() -> None:
    told = estimate(Model(LARGE, PROFILE.code), PROFILE, Asked(tokens=64), shipped(), cores=64, stored=False)
    assert {limit.what for limit in told.limits} >= {"weights in a registration", "lookups in a proof"}
    assert told.figures["proving"].extrapolated
    assert told.beyond["weights"] > 1000


def test_coefficients_are_what_the_features_say() -> None:
    cost = shipped()
    assert cost.coefficients.keys() == FEATURES.keys()
    for quantity, own_ones in cost.coefficients.items():
        assert own_ones.keys() <= set(FEATURES[quantity])
        assert all(c > 0 for c in own_ones.values())
    assert set(STEPS) <= FEATURES.keys()
    assert cost.errors["prove"]["median"] <= 0.15
    assert cost.errors["prove"]["worst"] <= 0.4


def test_a_prover_says_what_the_model_says(road: Road) -> None:
    statement = build_statement(road.model.public, [road.challenge])
    counts = counts_of(road, Asked(tokens=road.challenge.record.tokens, layers=road.challenge.layers))
    told = estimate_proof(statement, road.model)
    assert told.disk_bytes == counts.work_bytes
    assert told.memory_bytes > shipped().of("prove.memory", counts.features())


# ---- the command ----


def write_config(folder: Path, **changes: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    return folder / "config.json"


def test_estimate_of_a_configuration(tmp_path: Path, run: Run) -> None:
    code, told = run("estimate", write_config(tmp_path), "--tokens", 32, "--cores", 4, "--batch", 3)
    assert code == 0
    assert told["requests"] == 3
    assert {"proving", "recording", "verifying", "proof", "registering"} <= told["figures"].keys()
    assert told["figures"]["audits an epoch"]["value"] == 3 * 149
    assert told["structures"]["layers"]["segments"] == 9
    assert told["limits"] == []
    assert (
        run("estimate", tmp_path, "--tokens", 32, "--cores", 4, "--batch", 3)[1]["counts"] == told["counts"]
    )


def test_estimate_of_a_registered_model(road: Road, run: Run) -> None:
    code, told = run("estimate", road.dir, "--tokens", 6, "--positions", 2, "--no-served")
    assert code == 0
    assert told["counts"]["lookups"] == counts_of(road, Asked(tokens=6, positions=2, served=False)).total(
        "lookups"
    )


def test_estimate_as_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", str(write_config(tmp_path)), "--tokens", "32", "--cores", "8"]) == 0
    shown = capsys.readouterr().out
    for words in ("proving, time", "8 cores", "proofs an epoch", "audits an epoch", "held back"):
        assert words in shown


@pytest.mark.parametrize(
    ("changes", "options", "code"),
    [
        ({"model_type": "mamba", "architectures": ["MambaForCausalLM"]}, [], "unknown-architecture"),
        ({"rope_scaling": {"rope_type": "llama3"}}, [], "unsupported-config"),
        ({"hidden_size": "wide"}, [], "bad-config"),
        ({}, ["--tokens", "100000"], "prompt-too-long"),
        ({}, ["--tokens", "4", "--positions", "5"], "position-out-of-range"),
        ({}, ["--storage", "cloud"], "unknown-storage"),
        ({}, ["--cores", "0"], "usage"),
    ],
)
def test_estimate_refuses(
    tmp_path: Path, run: Run, changes: dict[str, Any], options: list[str], code: str
) -> None:
    exit_code, told = run("estimate", write_config(tmp_path, **changes), *options)
    assert exit_code == 2
    assert told["error"]["code"] == code


def test_a_figure_without_a_fitted_quantity_is_never_an_extrapolation() -> None:
    told = estimate(Model(LARGE, PROFILE.code), PROFILE, Asked(tokens=64), shipped(), cores=64, stored=True)
    exact = [figure for figure in told.figures.values() if figure.quantity is None]
    assert exact
    assert not any(figure.extrapolated for figure in exact)
    assert isinstance(exact[0], Figure)
