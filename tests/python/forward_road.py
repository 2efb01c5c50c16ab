"""Requests with a log, of the random model of `tiny_model`: what tests of forward passes start from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tiny_model import TOKENS, VOCABULARY, Road, proven

from assay.audit import Challenge, challenge
from assay.prove.head import SLAB, _pieces
from assay.prove.log import Logging
from assay.prove.opening import Transient
from assay.prove.prover import prove_batch
from assay.prove.record import Recording, load_recording, record
from assay.prove.served import Served

TOP_K = 5
POSITIONS = [1, 4]


@dataclass(frozen=True)
class Logged:
    """A request in a folder, a challenge to its forward pass, and the proof."""

    req: Path
    recording: Recording
    challenge: Challenge
    proof: bytes


def served_logits(seed: int = 0) -> Served:
    """What a server might have logged."""
    rng = np.random.default_rng(seed)
    ids = [rng.choice(VOCABULARY, TOP_K, replace=False) for _ in TOKENS]
    return Served.of(np.stack(ids), 3 * rng.standard_normal((len(TOKENS), TOP_K)))


def logged(road: Road, folder: Path, log: Logging) -> Logged:
    """Records with this log, and proves the forward pass at POSITIONS."""
    record(road.model, folder, tokens=TOKENS, log=log)
    recording = load_recording(folder, road.model)
    asked = challenge(folder / "record.assay", scope="forward", positions=POSITIONS)
    (folder.parent / f"{folder.name}.json").write_bytes(asked.encoded)
    proof = proven(road.model, recording, asked).data
    (folder.parent / f"{folder.name}.proof").write_bytes(proof)
    return Logged(folder, recording, asked, proof)


@pytest.fixture(scope="session")
def own(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """The exact model's own ids, and its logits there."""
    return logged(road, tmp_path_factory.mktemp("own") / "REQ", Logging(top_k=TOP_K))


@pytest.fixture(scope="session")
def served(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """Served ids and logits, and their distances."""
    return logged(road, tmp_path_factory.mktemp("served") / "REQ", Logging(served=served_logits()))


@dataclass(frozen=True)
class Batch:
    """Layers of one request, the forward passes of two others, in one proof."""

    challenges: list[Challenge]
    proof: bytes


@pytest.fixture(scope="session")
def batch(road: Road, own: Logged, served: Logged) -> Batch:
    """A mixture."""
    members = [
        (road.recording, road.challenge),
        (own.recording, own.challenge),
        (served.recording, served.challenge),
    ]
    proof = prove_batch(road.model, members, account=Transient(1 << 20)).data
    return Batch([asked for _, asked in members], proof)


def exact_logits(road: Road, recording: Recording) -> np.ndarray:
    """All logits [T, V], as integers."""
    slabs = range(0, len(TOKENS), SLAB)
    boundary = recording.boundaries[-1]
    rows = [
        np.concatenate([x for _, x in _pieces(road.model, boundary[at : at + SLAB])], axis=1) for at in slabs
    ]
    return np.concatenate(rows).astype(np.int64)


def write_served(path: Path, served: Served) -> Path:
    """As JSON."""
    path.write_text(json.dumps({"ids": served.ids.tolist(), "logits": served.logits.tolist()}))
    return path
