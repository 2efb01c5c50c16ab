"""Which experts ran, as a provider says: forced, proven, hidden but for their distance."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assay.circuits.moe import DISTANCE, MARKS, ROUTER
from test_exact_parity import relative_error
from test_llama_family import random_model, random_tokens, transformers_values
from tiny_model import SMALL_CODE, proven

from assay.audit import challenge
from assay.cli import main
from assay.errors import RequestError, VerificationError
from assay.model import load
from assay.prove.folder import RegisteredModel
from assay.prove.log import Logging
from assay.prove.opening import Transient
from assay.prove.prover import prove, prove_batch
from assay.prove.record import Recording, load_recording, record, record_tokens
from assay.prove.register import register
from assay.prove.routing import Routing
from assay.reference import verify as verify_by_reference
from assay.segments import circuit
from assay.verify import ForwardStatement, LayerStatement, RoutingDistance, verify

LAYERS, EXPERTS, CHOSEN = 2, 6, 2
TOKENS = random_tokens(5)
Ids = np.ndarray


@dataclass(frozen=True)
class Mixture:
    """A small Mixtral of transformers', registered, and a request recorded with its own experts."""

    floating: Any
    model: RegisteredModel
    own: Recording


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    folder = tmp_path_factory.mktemp("mixture")
    floating = random_model("mixtral", folder / "model")
    register(load(folder / "model"), folder / "DIR", code=SMALL_CODE, storage="recompute")
    model = RegisteredModel(folder / "DIR")
    return Mixture(floating, model, record_tokens(model, TOKENS, log=Logging(top_k=4)))


def router_logits(model: RegisteredModel, recording: Recording, layer: int) -> Ids:
    """g [T, E], from the recorded boundary before the layer, with the experts that were recorded."""
    given = {f"boundary.{layer}": recording.boundaries[layer], **model.layer_weights(layer)}
    choices = {} if recording.routing is None else recording.routing.choices(layer)
    name = f"{ROUTER}.y"
    cells = circuit(model.public, layer, len(TOKENS)).evaluate(given, [name], choices)[name]
    return cells[:, :EXPERTS].astype(np.int64)


def largest(g: Ids) -> Ids:
    return np.argsort(-g, axis=1, kind="stable")[:, :CHOSEN]


def distances(model: RegisteredModel, recording: Recording) -> list[int]:
    """Layer by layer, what the recorded experts' logits lack of the largest."""
    assert recording.routing is not None
    found = []
    for layer, ids in enumerate(recording.routing.ids):
        g = router_logits(model, recording, layer)
        found.append(int(np.sort(g, axis=1)[:, -CHOSEN:].sum() - np.take_along_axis(g, ids, axis=1).sum()))
    return found


def own_routing(mixture: Mixture) -> Ids:
    return np.stack([largest(router_logits(mixture.model, mixture.own, layer)) for layer in range(LAYERS)])


def near_routing(mixture: Mixture) -> Ids:
    """The model's own, but for the token of layer 0 where the first that is not chosen is nearest."""
    ids = own_routing(mixture)
    g = np.argsort(-(logits := router_logits(mixture.model, mixture.own, 0)), axis=1, kind="stable")
    ordered = np.take_along_axis(logits, g, axis=1)
    token = int(np.argmin(ordered[:, CHOSEN - 1] - ordered[:, CHOSEN]))
    ids[0, token, CHOSEN - 1] = g[token, CHOSEN]
    return ids


def far_routing(mixture: Mixture) -> Ids:
    """The experts of the smallest logits of every token, in any order."""
    logits = [router_logits(mixture.model, mixture.own, layer) for layer in range(LAYERS)]
    return np.stack([np.argsort(g, axis=1, kind="stable")[:, :CHOSEN] for g in logits])


ROUTINGS: dict[str, Callable[[Mixture], Ids]] = {
    "own": own_routing,
    "near": near_routing,
    "far": far_routing,
}


# ---- what is recorded and proven ----


@pytest.mark.parametrize("name", ROUTINGS)
def test_a_routing_is_forced_and_its_distance_proven(tmp_path: Path, mixture: Mixture, name: str) -> None:
    """Of both scopes, by files, for both verifiers."""
    model = mixture.model
    routing = Routing.of(ROUTINGS[name](mixture)[:, :, ::-1])
    record(model, tmp_path / "REQ", tokens=TOKENS, log=Logging(top_k=4), routing=routing)
    recording = load_recording(tmp_path / "REQ", model)
    assert recording.routing is not None
    assert (recording.routing.ids == routing.ids).all()
    expected = distances(model, recording)
    assert (expected == [0, 0]) == (name == "own")
    same = [(a == b).all() for a, b in zip(recording.boundaries, mixture.own.boundaries, strict=True)]
    assert all(same) if name == "own" else same == [True, False, False]
    fractions = [model.public.scales.layers[layer].sites[ROUTER] for layer in range(LAYERS)]
    stated = [RoutingDistance(raw=d, fraction=f) for d, f in zip(expected, fractions, strict=True)]
    public = model.public.encoded

    asked = challenge(recording.header, layers=[0, 1])
    proof = proven(model, recording, asked).data
    found = verify(proof, public=public, challenge=asked).statements
    assert all(isinstance(s, LayerStatement) for s in found)
    assert [s.routing_distance for s in found] == stated
    assert all(DISTANCE not in s.saturated for s in found)
    totals = verify_by_reference(proof, public=public, challenge=asked).body.totals
    assert [t[DISTANCE] for t in totals] == expected

    asked = challenge(recording.header, scope="forward", positions=[1, 4])
    proof = proven(model, recording, asked).data
    (said,) = verify(proof, public=public, challenge=asked).statements
    assert isinstance(said, ForwardStatement)
    assert said.routing_distances == {f"layer {i}": d for i, d in enumerate(stated)}
    totals = verify_by_reference(proof, public=public, challenge=asked).body.totals
    assert [t[DISTANCE] for t in totals if DISTANCE in t] == expected
    json.dumps(said.to_dict())


def test_a_distance_is_in_units_of_the_routers_logits(mixture: Mixture) -> None:
    assert RoutingDistance(raw=48, fraction=5).to_dict() == {"raw": 48, "fraction": 5, "logits": 1.5}
    assert RoutingDistance(raw=3, fraction=-2).logits == 12.0
    floating = transformers_routing(mixture)[1][0]
    fraction = mixture.model.public.scales.layers[0].sites[ROUTER]
    exact = router_logits(mixture.model, mixture.own, 0) * 2.0**-fraction
    assert np.abs(exact - floating).max() < 5e-3 * np.abs(floating).max()


def test_a_batch_has_each_members_own_routing(mixture: Mixture, tmp_path: Path) -> None:
    """One member with a routing, one without, and a record that is read again."""
    model = mixture.model
    far = Routing.of(far_routing(mixture))
    record(model, tmp_path / "A", tokens=TOKENS)
    record(model, tmp_path / "B", tokens=TOKENS, routing=far)
    asked = [challenge(tmp_path / name / "record.assay", layers=[1]) for name in "AB"]
    pairs = [(tmp_path / name, one) for name, one in zip("AB", asked, strict=True)]
    prove(model, pairs, tmp_path / "proof.assay")
    found = verify(tmp_path / "proof.assay", public=model.public.encoded, challenge=asked).statements
    expected = distances(model, load_recording(tmp_path / "B", model))
    raw = [s.routing_distance.raw for s in found if isinstance(s, LayerStatement) and s.routing_distance]
    assert raw == [0, expected[1]]


def test_a_model_without_experts_has_no_distance(road: Any) -> None:
    found = verify(road.proof, public=road.public, challenge=road.challenge).statements
    assert all(s.routing_distance is None for s in found)
    assert found[0].to_dict()["routing_distance"] is None


# ---- what a client accepts ----


VERIFIERS = (verify, verify_by_reference)


@pytest.mark.parametrize("check", VERIFIERS)
@pytest.mark.parametrize("scope", ["layers", "forward"])
def test_a_routing_further_than_is_accepted_is_rejected(
    mixture: Mixture, scope: str, check: Callable[..., Any]
) -> None:
    """At that check: the proof is accepted without it, at its distance, and if the router chose."""
    model = mixture.model
    question: dict[str, Any] = {"layers": [1, 0]} if scope == "layers" else {"positions": [1]}
    near = record_tokens(model, TOKENS, log=Logging(top_k=4), routing=Routing.of(near_routing(mixture)))
    honest = record_tokens(model, TOKENS, log=Logging(top_k=4), routing=Routing.of(own_routing(mixture)))
    first, second = distances(model, near)
    assert first > 0 == second
    fraction = model.public.scales.layers[0].sites[ROUTER]
    exactly, less = Fraction(first, 1 << fraction), Fraction(2 * first - 1, 2 << fraction)
    for recording, limits in ((near, (None, exactly, 1e9)), (honest, (None, 0, 0.5))):
        asked = challenge(recording.header, scope=scope, **question)
        proof = proven(model, recording, asked).data
        for most in limits:
            check(proof, public=model.public.encoded, challenge=asked, max_routing_distance=most)
        for most in (0, less) if recording is near else ():
            with pytest.raises(VerificationError) as caught:
                check(proof, public=model.public.encoded, challenge=asked, max_routing_distance=most)
            assert (caught.value.code, caught.value.segment) == ("statement.routing", "layer 0")


@pytest.mark.parametrize("check", VERIFIERS)
def test_of_a_batch_the_member_at_fault_is_named(mixture: Mixture, check: Callable[..., Any]) -> None:
    model = mixture.model
    far = Routing.of(far_routing(mixture))
    recordings = [record_tokens(model, TOKENS, routing=routing) for routing in (None, far)]
    asked = [challenge(recording.header, layers=[1]) for recording in recordings]
    pairs = list(zip(recordings, asked, strict=True))
    proof = prove_batch(model, pairs, account=Transient(1 << 20)).data
    with pytest.raises(VerificationError) as caught:
        check(proof, public=model.public.encoded, challenge=asked, max_routing_distance=0)
    assert (caught.value.code, caught.value.segment) == ("statement.routing", "2: layer 1")


@pytest.mark.parametrize("check", VERIFIERS)
def test_a_model_without_experts_is_within_any_distance(road: Any, check: Callable[..., Any]) -> None:
    check(road.proof, public=road.public, challenge=road.challenge, max_routing_distance=0)
    for no_distance in (-1, float("nan"), float("inf")):
        with pytest.raises(RequestError) as caught:
            check(road.proof, public=road.public, challenge=road.challenge, max_routing_distance=no_distance)
        assert caught.value.code == "bad-distance"


# ---- transformers' experts ----


def transformers_routing(mixture: Mixture) -> tuple[Ids, Ids]:
    """Experts and router logits that the float model has."""
    torch = pytest.importorskip("torch")
    found = []
    gates = [layer.mlp.gate for layer in mixture.floating.model.layers]
    weights = [gate.weight.detach() for gate in gates]
    hooks = [gate.register_forward_pre_hook(lambda _, x: found.append(x[0].detach())) for gate in gates]
    with torch.no_grad():
        mixture.floating(torch.tensor([TOKENS]))
    for hook in hooks:
        hook.remove()
    logits = np.stack(
        [(h.reshape(len(TOKENS), -1) @ w.T).numpy() for h, w in zip(found, weights, strict=True)]
    )
    return np.argsort(-logits, axis=2, kind="stable")[:, :, :CHOSEN], logits


def test_the_experts_of_transformers(mixture: Mixture) -> None:
    ids, _ = transformers_routing(mixture)
    recording = record_tokens(mixture.model, TOKENS, routing=Routing.of(ids))
    expected, _ = transformers_values(mixture.floating, TOKENS)
    hidden = expected[0].shape[1]
    for layer, floating in enumerate(expected):
        scales = mixture.model.public.scales
        exact = recording.boundaries[layer][:, :hidden] * 2.0 ** -scales.boundary(layer)
        assert relative_error(exact, floating) < 2e-3
    for layer, distance in enumerate(distances(mixture.model, recording)):
        fraction = mixture.model.public.scales.layers[layer].sites[ROUTER]
        assert 0 <= distance * 2.0**-fraction < 0.02 * len(TOKENS)


# ---- provers that cheat ----


def test_another_routing_than_was_recorded(mixture: Mixture) -> None:
    """The recorded boundary binds it: an honest prover refuses, a cheat is caught at that boundary."""
    model, near = mixture.model, Routing.of(near_routing(mixture))
    recording = record_tokens(model, TOKENS, routing=near)
    asked = challenge(recording.header, layers=[0])
    for other in (None, Routing.of(far_routing(mixture))):
        cheating = replace(recording, routing=other)
        with pytest.raises(RequestError) as refused:
            proven(model, cheating, asked)
        assert refused.value.code == "not-provable"
        assert "the recorded boundary" in refused.value.message
        options = {"self_check": False, "insecure_no_hiding": True}
        proof = proven(model, cheating, asked, **options).data
        with pytest.raises(VerificationError) as caught:
            verify(proof, public=model.public.encoded, challenge=asked, insecure_no_hiding=True)
        assert caught.value.segment == "layer 0"
        assert str(caught.value.relation).startswith("residual_out")


def test_an_expert_twice_cannot_be_proven(mixture: Mixture) -> None:
    """Recorded past the checks: no relation but the one on distinct experts is broken."""
    model, ids = mixture.model, own_routing(mixture).astype(np.int32)
    ids[0, 2] = ids[0, 2, 0]

    class Unchecked(Routing):
        def require(self, *_: object) -> None:
            pass

    with pytest.raises(RequestError):
        record_tokens(model, TOKENS, routing=Routing.of(ids))
    recording = record_tokens(model, TOKENS, routing=Unchecked.of(ids))
    asked = challenge(recording.header, layers=[0])
    with pytest.raises(RequestError) as refused:
        proven(model, recording, asked)
    assert refused.value.code == "not-provable"
    proof = proven(model, recording, asked, self_check=False, insecure_no_hiding=True).data
    with pytest.raises(VerificationError) as caught:
        verify(proof, public=model.public.encoded, challenge=asked, insecure_no_hiding=True)
    assert (caught.value.segment, caught.value.relation) == ("layer 0", "experts_distinct.bits")


# ---- what is refused ----


def npy(values: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


GOOD = np.broadcast_to(np.arange(CHOSEN), (LAYERS, len(TOKENS), CHOSEN))


def changed(at: tuple[int, ...], value: int) -> Ids:
    ids = GOOD.copy()
    ids[at] = value
    return ids


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no .npy file"),
    "cut": (npy(GOOD)[:-3], "no .npy file"),
    "pickled": (npy(np.array([{}], dtype=object)), "no .npy file"),
    "floats": (npy(GOOD.astype(np.float64)), "integers"),
    "bools": (npy(GOOD.astype(bool)), "integers"),
    "flat": (npy(GOOD[0]), "integers [layers, tokens, experts]"),
    "no cells": (npy(GOOD[:0]), "shape"),
    "layers": (npy(GOOD[:1]), "shape"),
    "tokens": (npy(GOOD[:, :-1]), "shape"),
    "experts": (npy(GOOD[:, :, :1]), "shape"),
    "below": (npy(changed((0, 1, 1), -1)), "outside"),
    "above": (npy(changed((1, 4, 0), EXPERTS)), "outside the 6 experts"),
    "far above": (npy(GOOD.astype(np.uint64) + np.uint64(1 << 63)), "outside"),
    "twice": (npy(changed((1, 3, 1), 0)), "repeated in layer 1 at position 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_routing_that_is_none_is_refused(tmp_path: Path, mixture: Mixture, name: str) -> None:
    raw, said = BAD[name]
    (tmp_path / "routing.npy").write_bytes(raw)

    def attempt() -> None:
        routing = Routing.load(tmp_path / "routing.npy")
        record(mixture.model, tmp_path / "REQ", tokens=TOKENS, routing=routing)

    with pytest.raises(RequestError) as caught:
        attempt()
    assert caught.value.code == "bad-routing"
    assert said in caught.value.message
    assert not (tmp_path / "REQ").exists()


def test_a_table_of_rows_of_different_length_is_refused() -> None:
    with pytest.raises(RequestError, match="table"):
        Routing.of([[[0, 1], [0]]])


def test_a_model_without_experts_refuses_a_routing(tmp_path: Path, road: Any) -> None:
    with pytest.raises(RequestError) as caught:
        record(road.model, tmp_path / "REQ", tokens=TOKENS, routing=Routing.of(GOOD))
    assert caught.value.code == "bad-routing"
    assert "no experts" in caught.value.message


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_routing_of_a_record_is_noticed(tmp_path: Path, mixture: Mixture, damage: str) -> None:
    record(mixture.model, tmp_path / "REQ", tokens=TOKENS, routing=Routing.of(GOOD))
    path = tmp_path / "REQ" / "private" / "routing.ids"
    assert path.stat().st_mode & 0o777 == 0o600
    raw = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(raw[:-4] if damage == "cut" else raw[:-4] + b"\x03\0\0\0")
    with pytest.raises(RequestError) as caught:
        load_recording(tmp_path / "REQ", mixture.model)
    assert caught.value.code == "damaged-record"


# ---- the command line ----


def test_the_command_line(tmp_path: Path, mixture: Mixture, capsys: pytest.CaptureFixture[str]) -> None:
    """record --routing, challenge, prove, verify; as lines and as JSON."""
    folder, out = mixture.model.folder.path, tmp_path
    np.save(out / "routing.npy", far_routing(mixture))
    words = [str(t) for t in TOKENS]

    def run(*args: object) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*map(str, args), "--json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    said = run(
        "record", folder, "--out", out / "REQ", "--tokens", ",".join(words), "--routing", out / "routing.npy"
    )
    assert said["routing"] is True
    run("challenge", out / "REQ/record.assay", "--layers", "0,1", "--out", out / "c.json")
    run("prove", folder, out / "REQ", "--challenge", out / "c.json", "--out", out / "p.assay")
    check = ["verify", out / "p.assay", "--public", folder / "public.assay", "--challenge", out / "c.json"]
    statements = run(*check)["members"][0]["statements"]
    expected = distances(mixture.model, load_recording(out / "REQ", mixture.model))
    assert [s["routing_distance"]["raw"] for s in statements] == expected
    by_reference = run(*check, "--reference")["routing_distances"]
    assert list(by_reference.values()) == [s["routing_distance"] for s in statements]
    for verifier in ([], ["--reference"]):
        assert main([*map(str, check), *verifier]) == 0
        lines = capsys.readouterr().out
        for layer, s in enumerate(statements):
            distance = s["routing_distance"]["logits"]
            assert f"layer {layer}: routing distance at most {distance:.6g}" in lines
        assert MARKS not in lines
        largest_distance = max(s["routing_distance"]["logits"] for s in statements)
        run(*check, *verifier, "--max-routing-distance", largest_distance)
        for most, code, exit_code in ((0, "statement.routing", 1), (-1, "bad-distance", 2)):
            words = [*check, *verifier, "--max-routing-distance", most, "--json"]
            assert main([*map(str, words)]) == exit_code
            assert json.loads(capsys.readouterr().out)["error"]["code"] == code
