"""Which experts ran: recorded, forced, proven, hidden but for their distance or logged for everybody."""

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
from assay.circuits.catalogue import config_of
from assay.circuits.moe import DISTANCE, ROUTER, ROUTING
from test_exact_parity import relative_error
from test_llama_family import random_model, random_tokens, transformers_values
from test_statement_file import run as run_program
from tiny_model import SMALL_CODE, proven

from assay import framing
from assay.audit import Challenge, challenge, merkle
from assay.audit.header import RecordHeader
from assay.audit.routing import require_log, routing_root
from assay.cli import main
from assay.cost.size import body_parts
from assay.cost.statement import Asked, Model
from assay.errors import ChallengeError, RequestError, VerificationError
from assay.model import load
from assay.proof import ProofFile, pack_proof
from assay.prove.folder import RegisteredModel
from assay.prove.log import Logging
from assay.prove.opening import Transient
from assay.prove.prover import prove, prove_batch
from assay.prove.record import Recording, load_recording, record, record_tokens
from assay.prove.register import register
from assay.prove.routing import Routing
from assay.reference import verify as verify_by_reference
from assay.reference.disclosed import require_log as require_log_by_reference
from assay.segments import circuit
from assay.statement import build_statement
from assay.trace import Ledger
from assay.verify import ForwardStatement, LayerStatement, RoutingDistance, verify

LAYERS, EXPERTS, CHOSEN = 2, 6, 2
VERIFIERS = (verify, verify_by_reference)
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
    found = []
    for layer, ids in enumerate(routed(recording)):
        g = router_logits(model, recording, layer)
        found.append(int(np.sort(g, axis=1)[:, -CHOSEN:].sum() - np.take_along_axis(g, ids, axis=1).sum()))
    return found


def routed(recording: Recording) -> Ids:
    assert recording.routing is not None
    return recording.routing.ids


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
    assert (routed(recording) == routing.ids).all()
    assert recording.header.routing is None
    assert not (tmp_path / "REQ" / "routing.npy").exists()
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
    assert said.experts == {}
    json.dumps(said.to_dict())


def test_the_exact_models_own_choice_is_recorded(mixture: Mixture, tmp_path: Path) -> None:
    assert (routed(mixture.own) == own_routing(mixture)).all()
    record(mixture.model, tmp_path / "REQ", tokens=TOKENS)
    assert (routed(load_recording(tmp_path / "REQ", mixture.model)) == routed(mixture.own)).all()


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


@pytest.mark.parametrize("check", VERIFIERS)
@pytest.mark.parametrize("scope", ["layers", "forward"])
def test_a_routing_further_than_is_accepted_is_rejected(
    mixture: Mixture, scope: str, check: Callable[..., Any]
) -> None:
    """At that check: the proof is accepted at its distance, and if the router chose."""
    model = mixture.model
    question: dict[str, Any] = {"layers": [1, 0]} if scope == "layers" else {"positions": [1]}
    near = record_tokens(model, TOKENS, log=Logging(top_k=4), routing=Routing.of(near_routing(mixture)))
    honest = record_tokens(model, TOKENS, log=Logging(top_k=4), routing=Routing.of(own_routing(mixture)))
    first, second = distances(model, near)
    assert first > 0 == second
    fraction = model.public.scales.layers[0].sites[ROUTER]
    exactly, less = Fraction(first, 1 << fraction), Fraction(2 * first - 1, 2 << fraction)
    for recording, most in ((honest, 0), (near, exactly)):
        asked = challenge(recording.header, scope=scope, **question)
        proof = proven(model, recording, asked).data
        how = {"public": model.public.encoded, "challenge": asked}
        check(proof, **how, max_routing_distance=most)
    with pytest.raises(VerificationError) as caught:
        check(proof, **how, max_routing_distance=less)
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


@dataclass(frozen=True)
class Pretended(Routing):
    """The experts that a prover computes with, beside those that its record commits to."""

    computed: Routing

    def choices(self, layer: int) -> dict[str, list[int]]:
        return self.computed.choices(layer)


@pytest.mark.parametrize("scope", ["layers", "forward"])
def test_another_routing_than_was_recorded(mixture: Mixture, scope: str) -> None:
    """Of equal outputs or not: an honest prover refuses, a cheat is caught where its experts are selected."""
    model, near = mixture.model, Routing.of(near_routing(mixture))
    recording = record_tokens(model, TOKENS, log=Logging(top_k=4), routing=near)
    question: dict[str, Any] = {"layers": [0]} if scope == "layers" else {"positions": [1]}
    asked = challenge(recording.header, scope=scope, **question)
    for other in (own_routing(mixture), far_routing(mixture), near.ids[:, :, ::-1]):
        cheating = replace(recording, routing=Pretended(near.ids, Routing.of(other)))
        with pytest.raises(RequestError) as refused:
            proven(model, cheating, asked)
        assert refused.value.code == "not-provable"
        assert f"layers.0.{ROUTING}: the recorded boundary" in refused.value.message
        proof = proven(model, cheating, asked, self_check=False, insecure_no_hiding=True).data
        for check in VERIFIERS:
            with pytest.raises(VerificationError) as caught:
                check(proof, public=model.public.encoded, challenge=asked, insecure_no_hiding=True)
            assert caught.value.segment == "layer 0"
            assert str(caught.value.relation).startswith("experts_")
        proof = proven(model, cheating, asked, self_check=False).data
        with pytest.raises(VerificationError) as caught:
            verify(proof, public=model.public.encoded, challenge=asked)
        assert caught.value.code == "tableau.linear"


@pytest.mark.parametrize("scope", ["layers", "forward"])
def test_experts_of_another_record(mixture: Mixture, scope: str) -> None:
    """A proof that holds, of a record with other experts, under a challenge to this one."""
    model = mixture.model
    question: dict[str, Any] = {"layers": [0]} if scope == "layers" else {"positions": [1]}
    far = record_tokens(model, TOKENS, log=Logging(top_k=4), routing=Routing.of(far_routing(mixture)))
    asked = challenge(mixture.own.header, scope=scope, **question)
    header = replace(mixture.own.header, boundaries_root=far.header.boundaries_root)
    other = replace(asked, record=header)
    proof = ProofFile.from_bytes(
        proven(model, replace(far, header=header, log=mixture.own.log, salt=mixture.own.salt), other).data
    )
    verify(pack(proof, proof.statement), public=model.public.encoded, challenge=other)
    (member,) = proof.statement["members"]
    own = {"record": asked.record.to_dict(), "record_root": asked.record.hash}
    stated = {**proof.statement, "members": [{**member, **own}]}
    for check in VERIFIERS:
        with pytest.raises(VerificationError) as caught:
            check(pack(proof, stated), public=model.public.encoded, challenge=asked)
        assert not caught.value.code.startswith("statement.")


def pack(file: ProofFile, statement: Any) -> bytes:
    return pack_proof(file.profile, file.hiding, framing.encode(statement), file.body)


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
    assert (routed(recording) == ids).all()
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


def hostile(head: str) -> bytes:
    """With any text as its head."""
    text = head.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)


GOOD = np.broadcast_to(np.arange(CHOSEN), (LAYERS, len(TOKENS), CHOSEN))


def changed(at: tuple[int, ...], value: int) -> Ids:
    ids = GOOD.copy()
    ids[at] = value
    return ids


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no .npy file"),
    "cut": (npy(GOOD)[:-3], "no .npy file"),
    "pickled": (npy(np.array([{}], dtype=object)), "no .npy file"),
    "a head that is none": (hostile("("), "no .npy file"),
    "no shape": (hostile("{'descr': '<i4', 'fortran_order': False, 'shape': (True, 1, 1)}"), "no .npy file"),
    "no key": (hostile("{[]: 1}"), "no .npy file"),
    "indented": (hostile("  {\n 'descr'"), "no .npy file"),
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


@pytest.mark.parametrize("given", [{"routing": Routing.of(GOOD)}, {"public_routing": True}])
def test_a_model_without_experts_refuses_a_routing(tmp_path: Path, road: Any, given: Any) -> None:
    with pytest.raises(RequestError) as caught:
        record(road.model, tmp_path / "REQ", tokens=TOKENS, **given)
    assert caught.value.code == "bad-routing"
    assert "no experts" in caught.value.message
    assert not (tmp_path / "REQ").exists()


def test_a_log_of_experts_of_a_model_without(road: Any) -> None:
    header = replace(road.recording.header, routing=bytes(32))
    with pytest.raises(ChallengeError) as caught:
        verify(road.proof, public=road.public, challenge=replace(road.challenge, record=header))
    assert caught.value.code == "record-mismatch"


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


# ---- a public log ----


@dataclass(frozen=True)
class Public:
    """A record that says which experts ran, and proofs of both scopes."""

    req: Path
    recording: Recording
    challenges: dict[str, Challenge]
    proofs: dict[str, bytes]


@pytest.fixture(scope="module")
def public(mixture: Mixture, tmp_path_factory: pytest.TempPathFactory) -> Public:
    req, model = tmp_path_factory.mktemp("public") / "REQ", mixture.model
    near = Routing.of(near_routing(mixture))
    record(model, req, tokens=TOKENS, log=Logging(top_k=4), routing=near, public_routing=True)
    recording = load_recording(req, model)
    challenges = {
        "layers": challenge(recording.header, layers=[1]),
        "forward": challenge(recording.header, scope="forward", positions=[1, 4]),
    }
    proofs = {scope: proven(model, recording, asked).data for scope, asked in challenges.items()}
    return Public(req, recording, challenges, proofs)


def test_a_public_log_says_which_experts_ran(mixture: Mixture, public: Public) -> None:
    """To everybody at once, and again in proofs."""
    ids = np.load(public.req / "routing.npy")
    assert (ids == near_routing(mixture)).all()
    header = public.recording.header
    assert header.routing == routing_root(header.request, ids)
    rows = [tuple(tuple(row) for row in layer.tolist()) for layer in ids]
    model, (layer,) = mixture.model.public.encoded, said(mixture, public, "layers")
    assert isinstance(layer, LayerStatement)
    assert layer.experts == rows[1]
    (forward,) = said(mixture, public, "forward")
    assert isinstance(forward, ForwardStatement)
    assert forward.experts == {"layer 0": rows[0], "layer 1": rows[1]}
    json.dumps([layer.to_dict(), forward.to_dict()])
    for scope, asked in public.challenges.items():
        found = verify_by_reference(public.proofs[scope], public=model, challenge=asked)
        opened = found.fields["members"][0]["experts"]
        expected = ids[1:] if scope == "layers" else ids
        assert [entry["ids"] for entry in opened] == [e.astype("<u2").tobytes() for e in expected]


def said(mixture: Mixture, public: Public, scope: str) -> Any:
    asked = public.challenges[scope]
    return verify(public.proofs[scope], public=mixture.model.public.encoded, challenge=asked).statements


@pytest.mark.parametrize("check", VERIFIERS)
@pytest.mark.parametrize("scope", ["layers", "forward"])
def test_a_file_that_is_not_the_public_log(
    mixture: Mixture, public: Public, scope: str, check: Callable[..., Any]
) -> None:
    """Not of the layers that are proven, nor of the others; and a record that has none."""
    how = {"public": mixture.model.public.encoded, "challenge": public.challenges[scope]}
    ids = routed(public.recording)
    check(public.proofs[scope], **how, routing=ids)
    check(public.proofs[scope], **how, routing=ids.tolist())
    wrong = [ids[:1], ids[:, :-1], ids[:, :, :1], ids[:, :, ::-1], np.concatenate([ids, ids[:1]])]
    for layer, more in ((0, 1), (1, 1), (0, 1 << 16)):
        wrong.append(ids.copy())
        wrong[-1][layer, 2, 0] += more
    for given in wrong:
        with pytest.raises(VerificationError) as caught:
            check(public.proofs[scope], **how, routing=given)
        assert caught.value.code == "statement.experts"
    with pytest.raises(RequestError) as bad:
        check(public.proofs[scope], **how, routing=[0.5])
    assert bad.value.code == "bad-routing"
    hidden = challenge(mixture.own.header, layers=[1])
    proof = proven(mixture.model, mixture.own, hidden).data
    with pytest.raises(VerificationError) as caught:
        check(proof, public=how["public"], challenge=hidden, routing=own_routing(mixture))
    assert caught.value.code == "statement.experts"


@pytest.mark.parametrize("count", range(1, 10))
def test_both_verifiers_hash_the_same_log(mixture: Mixture, count: int) -> None:
    ids = np.random.default_rng(count).integers(0, 1 << 16, (count, 3, 2))
    header = replace(mixture.own.header, num_layers=count)
    header = replace(header, routing=routing_root(header.request, ids))
    require_log(ids, header)
    require_log_by_reference(ids, header)


def test_two_members_about_one_record(mixture: Mixture, public: Public) -> None:
    """Layers and a forward pass, or two forward passes, each reading the same experts."""
    recording, asked = public.recording, public.challenges
    other = challenge(recording.header, scope="forward", positions=[0])
    for challenges in ([asked["layers"], asked["forward"]], [asked["forward"], other]):
        pairs = [(recording, one) for one in challenges]
        proof = prove_batch(mixture.model, pairs, account=Transient(1 << 20)).data
        how = {"public": mixture.model.public.encoded, "challenge": challenges}
        for check in VERIFIERS:
            check(proof, **how, routing=routed(recording))
            with pytest.raises(VerificationError) as caught:
                check(proof, **{**how, "challenge": challenges[::-1]})
            assert caught.value.code.startswith("statement.")


@pytest.mark.parametrize("check", VERIFIERS)
@pytest.mark.parametrize("scope", ["layers", "forward"])
def test_a_proof_that_opens_other_experts(
    mixture: Mixture, public: Public, scope: str, check: Callable[..., Any]
) -> None:
    """Than the log of its record has; or too many, too few, none."""
    file = ProofFile.from_bytes(public.proofs[scope])
    (member,) = file.statement["members"]
    first, *rest = member["experts"]
    last = {**first, "ids": first["ids"][:-2] + bytes([5, 0])}
    cases = {
        "statement.experts": [
            [last, *rest],
            [{**first, "path": [bytes(32), *first["path"][1:]]}, *rest],
            [{**first, "path": []}, *rest],
            [first, *rest, first],
            rest,
        ],
        "format.type": [[{**first, "path": [0]}, *rest], [{**first, "ids": [0, 1]}, *rest], {}],
    }
    for code, opened in ((code, each) for code, several in cases.items() for each in several):
        stated = {**file.statement, "members": [{**member, "experts": opened}]}
        with pytest.raises(VerificationError) as caught:
            check(pack(file, stated), public=mixture.model.public.encoded, challenge=public.challenges[scope])
        assert caught.value.code == code
    without = {name: value for name, value in member.items() if name != "experts"}
    stated = {**file.statement, "members": [without]}
    with pytest.raises(VerificationError) as caught:
        check(pack(file, stated), public=mixture.model.public.encoded, challenge=public.challenges[scope])
    assert caught.value.code.startswith("format.")


IMPOSSIBLE = {
    "above": lambda ids: ids[:-2] + bytes([EXPERTS, 0]),
    "far above": lambda ids: ids[:-2] + b"\xff\xff",
    "repeated": lambda ids: ids[:-4] + 2 * ids[-2:],
    "short": lambda ids: ids[:-2],
    "odd": lambda ids: ids[:-1],
    "long": lambda ids: ids + ids[:4],
    "none": lambda ids: b"",
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_committed_log_of_impossible_experts(mixture: Mixture, public: Public, name: str) -> None:
    """Who commits to them is not believed either."""
    header, file = public.recording.header, ProofFile.from_bytes(public.proofs["layers"])
    ids = IMPOSSIBLE[name](routed(public.recording)[1].astype("<u2").tobytes())
    leaves = [bytes(32), merkle.leaf_hash(framing.encode([header.request, 1, ids]))]
    asked = replace(public.challenges["layers"], record=replace(header, routing=merkle.root(leaves)))
    (member,) = file.statement["members"]
    opened = [{"ids": ids, "path": merkle.path(leaves, 1)}]
    stated = {**file.statement, "members": [{**member, "experts": opened}]}
    for check in VERIFIERS:
        with pytest.raises(VerificationError) as caught:
            check(pack(file, stated), public=mixture.model.public.encoded, challenge=asked)
        assert caught.value.code == "statement.experts"


def test_a_log_of_other_experts_than_ran(mixture: Mixture) -> None:
    """Committed to beside those that ran: no proof of any layer where it lies holds."""
    model, ran = mixture.model, Routing.of(near_routing(mixture))
    logged = Routing.of(own_routing(mixture))
    recording = record_tokens(model, TOKENS, log=Logging(top_k=4), routing=ran)
    header = replace(recording.header, routing=logged.root(recording.header.request))

    class Lying(Routing):
        def opened(self, request: bytes, layers: Any) -> Any:
            return logged.opened(request, layers)

    lying = replace(recording, header=header, routing=Lying(ran.ids))
    for question in ({"layers": [0]}, {"scope": "forward", "positions": [1]}):
        asked = challenge(header, **question)
        with pytest.raises(RequestError) as refused:
            proven(model, lying, asked)
        assert refused.value.code == "not-provable"
        proof = proven(model, lying, asked, self_check=False, insecure_no_hiding=True).data
        for check in VERIFIERS:
            with pytest.raises(VerificationError) as caught:
                check(proof, public=model.public.encoded, challenge=asked, insecure_no_hiding=True)
            assert caught.value.code == "opening.reduction"
    # Layer 1 has no other experts in the log than ran.
    asked = challenge(header, layers=[1])
    proof = proven(model, lying, asked).data
    verify(proof, public=model.public.encoded, challenge=asked, routing=logged.ids)


def test_a_public_log_is_written_before_the_head(mixture: Mixture, tmp_path: Path) -> None:
    """What a run that was cut off has left is replaced; a file that lies there alone is somebody's."""
    model, req = mixture.model, tmp_path / "REQ"
    req.mkdir()
    (req / "routing.npy").write_bytes(b"cut off")
    with pytest.raises(RequestError) as caught:
        record(model, req, tokens=TOKENS)
    assert caught.value.code == "request-exists"
    assert (req / "routing.npy").read_bytes() == b"cut off"
    (req / "private").mkdir()
    record(model, req, tokens=TOKENS)
    assert not (req / "routing.npy").exists()
    with pytest.raises(RequestError) as caught:
        record(model, req, tokens=TOKENS, public_routing=True)
    assert caught.value.code == "request-exists"
    path = req / "record.assay"
    header = RecordHeader.from_bytes(path.read_bytes())
    path.write_bytes(replace(header, routing=bytes(32)).encoded)
    with pytest.raises(RequestError) as caught:
        load_recording(req, model)
    assert caught.value.code == "damaged-record"


def test_forward_passes_are_counted_where_experts_lie(mixture: Mixture, tmp_path: Path) -> None:
    """Of the record's commitment they open the parts with the experts, and nothing else."""
    model, req = mixture.model, tmp_path / "REQ"
    record(model, req, tokens=TOKENS, log=Logging(top_k=4))
    header = load_recording(req, model).header
    asked = challenge(req / "record.assay", scope="forward", positions=[0])
    prove(model, [(req, asked)], tmp_path / "proof.assay")
    routing = {slot[1] for slot in header.slots if str(slot[0]).endswith(ROUTING)}
    assert routing < set(range(len(header.parts)))
    with Ledger.open(req / "private" / "ledger.db") as ledger:
        parts = ledger.state().current.parts
    assert {part for part, state in enumerate(parts) if state.opened} == routing


# ---- what it costs ----


@pytest.mark.parametrize("scope", ["layers", "forward"])
def test_the_estimate_of_a_mixture(mixture: Mixture, public: Public, scope: str) -> None:
    """Counts of the layers' own circuits, and all of the proof's size but the siblings of its paths."""
    model, asked = mixture.model.public, public.challenges[scope]
    hidden = challenge(mixture.own.header, scope=scope, **asked.asked)
    statement = build_statement(model, [hidden], disclosures=[mixture.own.disclosure(hidden)])
    how: Any = {"layers": asked.layers} if scope == "layers" else {"positions": 2, "served": False, "ids": 4}
    counts = Model(config_of(model.config), model.code, model.scales).counts(
        model.profile, Asked(tokens=len(TOKENS), **how)
    )
    pairs = zip(statement.members[0].segments, statement.circuits, strict=True)
    own = [circuit for segment, circuit in pairs if segment.layer is not None]
    assert counts.total("lookups", "layers") == sum(c.lookups for c in own)
    assert counts.total("cells", "layers") == sum(c.witness_cells for c in own)
    parts = body_parts(counts)
    body = ProofFile.from_bytes(proven(mixture.model, mixture.own, hidden).data).body
    siblings = len(body) - (sum(parts.values()) - parts["siblings"])
    assert siblings % 32 == 0
    assert abs(siblings / parts["siblings"] - 1) < 0.1


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
        assert "experts" not in lines
        largest_distance = max(s["routing_distance"]["logits"] for s in statements)
        run(*check, *verifier, "--max-routing-distance", largest_distance)
        for most, code, exit_code in ((0, "statement.routing", 1), (-1, "bad-distance", 2)):
            words = [*check, *verifier, "--max-routing-distance", most, "--json"]
            assert main([*map(str, words)]) == exit_code
            assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_a_public_log_on_the_command_line(
    tmp_path: Path, mixture: Mixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """record --public-routing, verify --routing, and what a statement file needs."""
    folder, out = mixture.model.folder.path, tmp_path

    def run(*args: object, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*map(str, args), "--json"]) == code
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    words = ",".join(map(str, TOKENS))
    answer = run("record", folder, "--out", out / "REQ", "--tokens", words, "--public-routing")
    assert answer["public_routing"] == str(out / "REQ/routing.npy")
    head = run("inspect", out / "REQ/record.assay")
    ids = np.load(out / "REQ/routing.npy")
    assert head["routing"] == routing_root(bytes.fromhex(head["request"]), ids).hex()
    run("challenge", out / "REQ/record.assay", "--layers", "1", "--out", out / "c.json")
    run("prove", folder, out / "REQ", "--challenge", out / "c.json", "--out", out / "p.assay")
    given = ["--public", folder / "public.assay", "--challenge", out / "c.json"]
    np.save(out / "other.npy", (ids + 1) % EXPERTS)
    for verifier in ([], ["--reference"]):
        check = ["verify", out / "p.assay", *given, *verifier, "--routing"]
        run(*check, out / "REQ/routing.npy")
        answer = run(*check, out / "other.npy", code=1)
        assert answer["error"]["code"] == "statement.experts"
        assert run(*check, out / "none.npy", code=2)["error"]["code"] == "file-not-found"
    (statement,) = run("verify", out / "p.assay", *given)["members"][0]["statements"]
    assert statement["experts"] == ids[1].tolist()
    assert main([*map(str, ["verify", out / "p.assay", *given])]) == 0
    first = " ".join(map(str, ids[1, 0]))
    assert f"layer 1: experts of each token {first}, " in capsys.readouterr().out
    write = ["statement", *given, "--out", out / "statement"]
    assert run(*write, code=2)["error"]["code"] == "no-disclosure"
    run(*write, "--proof", out / "p.assay")
    code, said = run_program(out / "statement", out / "p.assay")
    assert (code, said["verdict"]) == (0, "accepted")
