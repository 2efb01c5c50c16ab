"""The log of a request: its tree, what is served, and files that are not what they should be."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forward_road import TOP_K, Logged, exact_logits, served_logits, write_served
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import TOKENS, VOCABULARY, Road, attempt

from assay import framing
from assay.audit import challenge, merkle
from assay.audit.header import RecordHeader
from assay.audit.log import LogEntry, OpenedEntry, log_leaves, unfit
from assay.errors import AssayError, RequestError
from assay.framing import FormatError
from assay.prove.log import Logging
from assay.prove.record import load_recording, record, record_tokens
from assay.prove.served import Served

# --- the tree


def expected_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, once more."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1
    while 2 * left < len(leaves):
        left *= 2
    return hashlib.sha256(b"\x01" + expected_root(leaves[:left]) + expected_root(leaves[left:])).digest()


@given(st.integers(1, 70), st.data())
def test_paths_lead_to_the_root_and_no_others_do(count: int, data: Any) -> None:
    leaves = [merkle.leaf_hash(bytes([i])) for i in range(count)]
    index = data.draw(st.integers(0, count - 1))
    root, path = merkle.root(leaves), merkle.path(leaves, index)
    assert root == expected_root(leaves)
    assert merkle.root_of(leaves[index], index, count, path) == root
    assert merkle.root_of(leaves[index], index, count, [*path, root]) is None
    if path:
        assert merkle.root_of(leaves[index], index, count, path[:-1]) is None
        wrong = [bytes(32), *path[1:]]
        assert merkle.root_of(leaves[index], index, count, wrong) != root
        assert merkle.root_of(leaves[index], (index + 1) % count, count, path) != root


def test_a_leaf_is_what_the_specification_says() -> None:
    entry = LogEntry((3, 1), (7, -2), bytes(32))
    text = framing.encode([b"r" * 16, 5, [3, 1], [7, -2], bytes(32)])
    assert entry.leaf(b"r" * 16, 5) == hashlib.sha256(b"\x00" + text).digest()
    assert entry.leaf(b"r" * 16, 4) != entry.leaf(b"r" * 16, 5)
    assert entry.leaf(b"s" * 16, 5) != entry.leaf(b"r" * 16, 5)


def test_an_entry_opens_at_its_place_alone(own: Logged, served: Logged) -> None:
    for logged in (own, served):
        header = logged.recording.header
        assert header.log is not None
        asked = challenge(header, scope="forward", positions=[2])
        (opened,) = logged.recording.disclosure(asked).log
        assert opened.opens(header.log, header.request, 2, header.tokens)
        assert OpenedEntry.from_dict(opened.to_dict()) == opened
        assert not opened.opens(header.log, header.request, 3, header.tokens)
        assert not opened.opens(header.log, bytes(16), 2, header.tokens)
        assert not unfit(opened.entry, header.log, VOCABULARY)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ids": (1, 2, 3, 4)}, "4 ids"),
        ({"ids": (1, 2, 3, 4, 4)}, "repeated"),
        ({"ids": (1, 2, 3, 4, VOCABULARY)}, "outside"),
        ({"ids": (1, 2, 3, 4, -1)}, "outside"),
        ({"logits": None}, "missing"),
        ({"logits": (1, 2, 3, 4)}, "4 logits"),
        ({"logits": (1, 2, 3, 4, 1 << 15)}, "16 bits"),
    ],
)
def test_entries_that_no_log_has(served: Logged, change: dict[str, Any], reason: str) -> None:
    head = served.recording.header.log
    assert head is not None
    values = {"ids": (1, 2, 3, 4, 5), "logits": (1, 2, 3, 4, 5), "salt": bytes(32), **change}
    assert reason in unfit(LogEntry(**values), head, VOCABULARY)


@pytest.mark.parametrize(
    "change",
    [
        {"ids": [1.0]},
        {"ids": [True]},
        {"ids": list(range(129))},
        {"logits": ["a"]},
        {"salt": bytes(31)},
        {"path": [bytes(31)]},
        {"path": ["a"]},
        {"path": [bytes(32)] * 14},
        {"more": 1},
    ],
)
def test_opened_entries_of_another_form(change: dict[str, Any]) -> None:
    stated = {"ids": [1], "logits": None, "salt": bytes(32), "path": [], **change}
    with pytest.raises(FormatError):
        OpenedEntry.from_dict(stated)


# --- recording


def test_the_models_own_ids_are_its_largest_logits(road: Road, own: Logged) -> None:
    logits = exact_logits(road, own.recording)
    log = own.recording.log
    assert log is not None
    for row, ids in zip(logits, log.ids, strict=True):
        expected = sorted(range(VOCABULARY), key=lambda v: (-row[v], v))[:TOP_K]
        assert ids.tolist() == expected
    assert log.logits is None
    head = own.recording.header.log
    assert head is not None
    assert (head.top_k, head.served) == (TOP_K, False)
    assert head.root == merkle.root(log_leaves(own.recording.header.request, log.entries()))


def test_logits_do_not_depend_on_the_slab(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = record_tokens(road.model, TOKENS, log=Logging(top_k=3))
    monkeypatch.setattr("assay.prove.head.SLAB", 4)
    again = record_tokens(road.model, TOKENS, log=Logging(top_k=3))
    assert recording.log is not None
    assert again.log is not None
    assert recording.log.ids.tolist() == again.log.ids.tolist()


def test_what_was_served_is_logged(road: Road, served: Logged) -> None:
    log, given = served.recording.log, served_logits()
    assert log is not None
    assert log.logits is not None
    assert log.ids.tolist() == given.ids.tolist()
    fraction = road.model.public.scales.head.logits
    assert np.abs(log.logits / 2.0**fraction - given.logits).max() <= 2.0 ** -(fraction + 1)


def test_served_logits_beyond_the_range_are_clamped() -> None:
    found = Served.of([[0, 1, 2]], [[1e9, -1e9, 0.5]]).quantised(10)
    assert found.tolist() == [[32767, -32768, 512]]


def test_a_record_without_a_log(road: Road, tmp_path: Path) -> None:
    made = record(road.model, tmp_path / "REQ", tokens=TOKENS, log=None)
    assert made.header.log is None
    assert not (tmp_path / "REQ" / "private" / "log.assay").exists()
    assert load_recording(tmp_path / "REQ", road.model).log is None


@pytest.mark.parametrize("top_k", [0, 129])
def test_numbers_of_ids_that_no_log_has(road: Road, tmp_path: Path, top_k: int) -> None:
    with pytest.raises(RequestError) as caught:
        record(road.model, tmp_path / "REQ", tokens=TOKENS, log=Logging(top_k=top_k))
    assert caught.value.code == "bad-log"
    assert not (tmp_path / "REQ").exists()


def test_damaged_logs_are_noticed(road: Road, tmp_path: Path) -> None:
    record(road.model, tmp_path / "REQ", tokens=TOKENS)
    path = tmp_path / "REQ" / "private" / "log.assay"
    assert path.stat().st_mode & 0o777 == 0o600
    whole = path.read_bytes()
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (3, 9, 40, 90, len(whole) - 1)]
    for broken in (whole[:-1], b"", whole + b"\0", *flipped):
        path.write_bytes(broken)
        with pytest.raises(RequestError) as caught:
            load_recording(tmp_path / "REQ", road.model)
        assert caught.value.code == "damaged-record"
    path.unlink()
    with pytest.raises(RequestError):
        load_recording(tmp_path / "REQ", road.model)
    path.write_bytes(whole)
    load_recording(tmp_path / "REQ", road.model)


def test_every_field_of_a_logs_head_is_checked(own: Logged) -> None:
    header = own.recording.header
    stated = header.to_dict()
    for change in (
        {"root": bytes(31)},
        {"top_k": 0},
        {"top_k": 129},
        {"top_k": True},
        {"fraction": 63},
        {"served": 1},
        {"more": 1},
    ):
        raw = {**stated, "log": {**stated["log"], **change}}
        with pytest.raises(FormatError):
            RecordHeader.from_dict(raw)
    with pytest.raises(FormatError):
        RecordHeader.from_dict({**stated, "log": []})


# --- files of served logits


def test_three_kinds_of_files(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    given = served_logits()
    arrays = {"ids": given.ids, "logits": given.logits.astype(np.float32)}
    np.savez(tmp_path / "a.npz", **arrays)
    save_file(arrays, tmp_path / "a.safetensors")
    for path in (tmp_path / "a.npz", tmp_path / "a.safetensors", write_served(tmp_path / "a.json", given)):
        found = Served.load(path)
        assert found.ids.tolist() == given.ids.tolist()
        assert np.allclose(found.logits, given.logits)


GOOD = {"ids": [[1, 2], [3, 4]], "logits": [[0.5, 0.25], [1, 2]]}


@pytest.mark.parametrize(
    "change",
    [
        {"ids": None},
        {"logits": [[0.5, 0.25]]},
        {"ids": [[1, 2], [3]]},
        {"ids": [[1, 2.5], [3, 4]]},
        {"ids": [1, 2]},
        {"ids": [[], []], "logits": [[], []]},
        {"logits": [[0.5, float("nan")], [1, 2]]},
        {"logits": [[0.5, "x"], [1, 2]]},
        {"ids": [list(range(129))] * 2, "logits": [[0.0] * 129] * 2},
        {"ids": [[1, 2], [3, 1 << 70]]},
    ],
)
def test_files_that_hold_no_served_logits(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "served.json"
    values = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    path.write_text(json.dumps(values))
    with pytest.raises(RequestError) as caught:
        Served.load(path)
    assert caught.value.code == "bad-served-logits"


def test_broken_files_of_served_logits(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", **{n: np.asarray(v) for n, v in GOOD.items()})
    whole = (tmp_path / "good.npz").read_bytes()
    np.savez(tmp_path / "objects.npz", ids=np.array([{}], dtype=object), logits=np.zeros((1, 1)))
    path = tmp_path / "served"
    for broken in (b"", b"{", b"[1]", b"\0" * 40, whole[: len(whole) // 2], b"PK", b"[" * 100_000):
        path.write_bytes(broken)
        error = attempt(lambda: Served.load(path), AssayError)
        assert isinstance(error, RequestError), broken[:10]
        assert error.code == "bad-served-logits"
    with pytest.raises(RequestError) as caught:
        Served.load(tmp_path / "objects.npz")
    assert caught.value.code == "bad-served-logits"
    with pytest.raises(RequestError) as caught:
        Served.load(tmp_path / "gone")
    assert caught.value.code == "file-not-found"


@pytest.mark.parametrize(
    "ids",
    [[[1, 2]], [[1, 2]] * 7, [[1, 1]] * 6, [[1, VOCABULARY]] * 6, [[1, -1]] * 6],
)
def test_served_logits_of_something_else(road: Road, tmp_path: Path, ids: list[list[int]]) -> None:
    given = Served.of(ids, np.zeros((len(ids), 2)))
    with pytest.raises(RequestError) as caught:
        record(road.model, tmp_path / "REQ", tokens=TOKENS, log=Logging(served=given))
    assert caught.value.code == "bad-served-logits"
    assert not (tmp_path / "REQ").exists()
