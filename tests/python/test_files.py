"""Files: what is written is read again, and every other byte is refused with a coded error."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from importlib.resources import files
from typing import Any

import cbor2
import pytest
from assay.circuits.gemma3 import Gemma3
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import SMALL_CODE, Road, attempt, cuts, flips, tampered

from assay import framing
from assay.audit import Challenge, RecordHeader, challenge
from assay.audit.challenge import draw
from assay.errors import ChallengeError, PublicFileError, RequestError, VerificationError
from assay.framing import FormatError, Kind
from assay.layout import BLOCK, boundary_layout, weight_layout
from assay.model import load
from assay.profiles import PROFILES
from assay.proof import ProofFile
from assay.public import PublicModel


def envelope_of(data: bytes, kind: Kind) -> Any:
    (raw,) = framing.unpack(data, kind, 3, [1 << 24])
    return framing.decode(raw)


# --- framing


@given(st.binary(max_size=200))
def test_random_bytes_are_no_envelope(raw: bytes) -> None:
    try:
        value = framing.decode(raw)
    except FormatError:
        return
    assert framing.encode(value) == raw


@given(st.binary(max_size=60), st.sampled_from(list(Kind)))
def test_random_bytes_are_no_file(raw: bytes, kind: Kind) -> None:
    for data in (raw, b"ASSAY" + kind.value + raw):
        try:
            sections = framing.unpack(data, kind, 0, [100])
        except FormatError:
            continue
        assert framing.pack(kind, 0, *sections) == data


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.binary()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_envelopes_are_read_again(value: Any) -> None:
    assert framing.decode(framing.encode(value)) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "type"),
        (b"\x18\x05", "canonical"),  # 5 in two bytes
        (b"\xa2\x61b\x00\x61a\x00", "canonical"),  # keys out of order
        (b"\xa2\x61a\x00\x61a\x00", "canonical"),  # a key twice
        (b"\x9f\x00\xff", "truncated"),  # indefinite length
        (b"\xc2\x41\x01", "type"),  # a tag
        (b"\xf9\x7e\x00", "type"),  # NaN
        (b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00", "canonical"),  # 1.0 in eight bytes
        (b"\xa1\x00\x00", "type"),  # a key that is no text
        (b"\x61\xff", "type"),  # not UTF-8
        (b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", "truncated"),
        (b"\x81" * 40 + b"\x00", "depth"),
        (b"\x00\x00", "trailing"),
    ],
)
def test_other_encodings_are_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        framing.decode(raw)
    assert caught.value.reason == reason


def test_frames_are_refused_by_kind_version_size_and_end() -> None:
    data = framing.pack(Kind.PUBLIC, 0, b"abc")
    assert framing.unpack(data, Kind.PUBLIC, 0, [3]) == [b"abc"]
    for changed, kind, version, cap, reason in [
        (data, Kind.PROOF, 0, 3, "kind"),
        (b"GGUF" + data, Kind.PUBLIC, 0, 3, "kind"),
        (data, Kind.PUBLIC, 1, 3, "version"),
        (data, Kind.PUBLIC, 0, 2, "size"),
        (data + b"\0", Kind.PUBLIC, 0, 3, "trailing"),
        (data[:-1], Kind.PUBLIC, 0, 3, "truncated"),
        (data[:10], Kind.PUBLIC, 0, 3, "truncated"),
        (data[:15], Kind.PUBLIC, 0, 3, "truncated"),
    ]:
        with pytest.raises(FormatError) as caught:
            framing.unpack(changed, kind, version, [cap])
        assert caught.value.reason == reason


# --- layouts


def test_layout_follows_the_configuration(road: Road) -> None:
    config = load(road.model_path).config
    assert isinstance(config, Gemma3)
    layout = weight_layout(config, SMALL_CODE)
    assert layout == weight_layout(config.to_dict(), SMALL_CODE)
    shapes = {
        name: shape if len(shape) == 2 else (1, *shape) for name, shape in config.tensor_shapes().items()
    }
    found = {slot.name: (slot.rows, slot.cols) for slot in layout.slots}
    assert found == {name.replace("embedding", "embedding.0"): shape for name, shape in shapes.items()}
    assert [slot.part for slot in layout.slots] == sorted(slot.part for slot in layout.slots)


def test_slots_fill_parts_without_overlap() -> None:
    config = json.loads((files("assay.cli") / "gemma3_270m.json").read_text())["config"]
    code = PROFILES["provable-128"].code
    layout = weight_layout(config, code)
    assert max(layout.parts) <= 512
    for part, rows in enumerate(layout.parts):
        at = 0
        for slot in layout.of_part(part):
            assert slot.first_block == at
            at += slot.blocks
        assert (rows - 1) * code.row_blocks < at <= rows * code.row_blocks
    cells = sum(slot.rows * slot.cols for slot in layout.slots)
    assert cells == 268_098_176
    assert sum(s.blocks for s in layout.slots) * BLOCK == cells
    embedding = [slot.rows for slot in layout.slots if slot.name.startswith("embedding.")]
    assert sum(embedding) == 262144
    assert len(set(embedding[:-1])) == 1


@pytest.mark.parametrize(
    ("tokens", "together", "rows"), [(1, 19, 1), (64, 19, 6), (256, 6, 8), (1024, 1, 5), (8192, 1, 40)]
)
def test_as_many_boundaries_in_a_part_as_fit_eight_rows(tokens: int, together: int, rows: int) -> None:
    config = json.loads((files("assay.cli") / "gemma3_270m.json").read_text())["config"]
    layout = boundary_layout(config, PROFILES["provable-128"].code, tokens)
    assert [slot.name for slot in layout.slots] == [f"boundary.{i}" for i in range(19)]
    assert [slot.part for slot in layout.slots] == [i // together for i in range(19)]
    assert layout.parts[0] == rows == max(layout.parts)
    for part in range(len(layout.parts)):
        slots = layout.of_part(part)
        assert [slot.first_block for slot in slots] == [i * slots[0].blocks for i in range(len(slots))]


# --- public file


def test_public_file_is_read_again(road: Road) -> None:
    public = PublicModel.from_bytes(road.public)
    assert public.encoded == road.public
    assert public.hash == hashlib.sha256(road.public).digest()
    assert (road.dir / "public.assay").read_bytes() == road.public


def test_every_field_of_a_public_file_is_checked(road: Road) -> None:
    """Edits are refused, or give a public file of another hash: one that nobody pinned."""
    envelope = envelope_of(road.public, Kind.PUBLIC)
    refused = 0
    for label, make in tampered(envelope):
        data = framing.pack(Kind.PUBLIC, 3, framing.encode(make()))
        found = attempt(lambda data=data: PublicModel.from_bytes(data).hash, PublicFileError)
        assert found != road.model.public.hash, label
        if isinstance(found, PublicFileError):
            assert found.code.startswith("public-"), label
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "field",
    ["format", "parts", "slots", "previous", "hiding", "weight_range"],
)
def test_derived_and_fixed_fields_have_one_value(road: Road, field: str) -> None:
    envelope = envelope_of(road.public, Kind.PUBLIC)
    for _, make in tampered(envelope[field], field):
        with pytest.raises(PublicFileError):
            PublicModel.from_bytes(framing.pack(Kind.PUBLIC, 3, framing.encode({**envelope, field: make()})))


def test_broken_public_files(road: Road) -> None:
    for data in [*cuts(road.public), os.urandom(100), b"", road.proof, road.recording.header.encoded]:
        with pytest.raises(PublicFileError):
            PublicModel.from_bytes(data)


def test_flipped_bits_of_a_public_file_change_its_hash(road: Road) -> None:
    for data in flips(road.public, 60):
        found = attempt(lambda data=data: PublicModel.from_bytes(data).hash, PublicFileError)
        assert found != road.model.public.hash


# --- record


def test_record_is_read_again(road: Road) -> None:
    header = road.recording.header
    assert RecordHeader.from_bytes(header.encoded) == header
    assert (road.req / "record.assay").read_bytes() == header.encoded


def test_every_field_of_a_record_is_checked(road: Road) -> None:
    header = road.recording.header
    for label, make in tampered(header.to_dict()):
        data = framing.pack(Kind.RECORD, 3, framing.encode(make()))
        found = attempt(lambda data=data: RecordHeader.from_bytes(data).hash, RequestError)
        assert found != header.hash, label
        if isinstance(found, RequestError):
            assert found.code.startswith("record-"), label


def test_broken_records(road: Road) -> None:
    data = road.recording.header.encoded
    for broken in [*cuts(data), os.urandom(64), road.public, road.proof]:
        with pytest.raises(ChallengeError):
            RecordHeader.from_bytes(broken, ChallengeError)


# --- challenge


def test_challenge_is_read_again(road: Road) -> None:
    asked = challenge(road.recording.header, num_layers=2, nonce=bytes(32))
    assert Challenge.from_bytes(asked.encoded) == asked
    assert asked.drawn
    assert not road.challenge.drawn


def test_drawn_layers_are_known_answers() -> None:
    assert draw(bytes(32), bytes(32), 3, 18) == expected_draw(bytes(32), bytes(32), 3, 18)
    for i in range(50):
        root, nonce = hashlib.sha256(bytes([i])).digest(), hashlib.sha256(bytes([i, 1])).digest()
        for count, of in ((1, 1), (2, 3), (18, 18), (5, 62)):
            assert draw(root, nonce, count, of) == expected_draw(root, nonce, count, of)


def expected_draw(root: bytes, nonce: bytes, count: int, of: int) -> tuple[int, ...]:
    """The rule once more, over one long stream."""
    stream = hashlib.shake_128(b"assay challenge 1: layers" + root + nonce).digest(1 << 14)
    words = [int.from_bytes(stream[i : i + 4], "little") for i in range(0, len(stream), 4)]
    found: list[int] = []
    for word in words:
        if word < 2**32 // of * of and word % of not in found:
            found.append(word % of)
        if len(found) == count:
            break
    return tuple(sorted(found))


def test_draws_are_even_and_distinct() -> None:
    counts: Counter[int] = Counter()
    for i in range(3000):
        layers = draw(bytes(32), i.to_bytes(32, "little"), 2, 6)
        assert len(set(layers)) == 2
        counts.update(layers)
    assert all(abs(counts[layer] - 1000) < 150 for layer in range(6))  # over five standard deviations


def test_draws_depend_on_root_and_nonce() -> None:
    other = bytes(31) + b"\1"
    base = draw(bytes(32), bytes(32), 10, 1000)
    assert base != draw(other, bytes(32), 10, 1000)
    assert base != draw(bytes(32), other, 10, 1000)


def test_every_field_of_a_challenge_is_checked(road: Road) -> None:
    asked = challenge(road.recording.header, num_layers=2, nonce=bytes(range(32)))
    stated = asked.to_dict()
    for label, make in tampered(stated):
        if "b'" in label:
            continue  # bytes have no place in JSON
        found = attempt(lambda make=make: Challenge.from_bytes(json.dumps(make()).encode()), ChallengeError)
        if isinstance(found, ChallengeError):
            continue
        assert found != asked, label
        assert label in ("drawn = False", "layers shorter"), label  # other challenges of the verifier's own


def test_a_drawn_challenge_names_no_other_layers(road: Road) -> None:
    asked = challenge(road.recording.header, num_layers=2, nonce=bytes(32))
    for layers in ([0], [0, 1], [0, 2], [1, 2], [0, 1, 2]):
        stated = {**asked.to_dict(), "layers": layers}
        if layers == list(asked.layers):
            continue
        right = layers == list(draw(asked.record.hash, asked.nonce, len(layers), 3))
        if right:
            assert Challenge.from_bytes(json.dumps(stated).encode()).layers == tuple(layers)
            continue
        with pytest.raises(ChallengeError, match="follow"):
            Challenge.from_bytes(json.dumps(stated).encode())


def test_broken_challenges(road: Road) -> None:
    stated = road.challenge.to_dict()
    text = json.dumps(stated)
    twice = text[:-1] + ', "version": 1}'
    not_base64 = json.dumps({**stated, "record": "?" + stated["record"]})
    wrong_kind = json.dumps({**stated, "record": base64.b64encode(road.public).decode()})
    for broken in ["", "[]", "{}", "null", text[:-1], twice, not_base64, wrong_kind, "[" * 100_000]:
        with pytest.raises(ChallengeError):
            Challenge.from_bytes(broken.encode())
    for raw in (road.proof, os.urandom(50), b"\xff\xfe"):
        with pytest.raises(ChallengeError):
            Challenge.from_bytes(raw)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"num_layers": 1, "layers": [0]},
        {"num_layers": 0},
        {"num_layers": 4},
        {"layers": []},
        {"layers": [1, 1]},
        {"layers": [3]},
        {"layers": [-1]},
        {"num_layers": 1, "nonce": b"short"},
    ],
)
def test_impossible_challenges(road: Road, arguments: dict[str, Any]) -> None:
    with pytest.raises(ChallengeError):
        challenge(road.recording.header, **arguments)


# --- proof files


def test_proof_file_is_taken_apart(road: Road) -> None:
    file = road.file
    assert file.profile == "provable-128"
    assert file.hiding is True
    assert framing.encode(file.statement) == file.statement_bytes


def test_broken_proof_files(road: Road) -> None:
    shorter = road.proof[: len(road.proof) // 2]
    for broken in [*cuts(shorter, 10), b"", os.urandom(200), road.public, road.recording.header.encoded]:
        with pytest.raises(VerificationError) as caught:
            ProofFile.from_bytes(broken)
        assert caught.value.code.startswith("format.")


@pytest.mark.parametrize(
    ("head", "statement"),
    [
        ({"profile": "provable-128"}, {}),
        ({"profile": 1, "hiding": False}, {}),
        ({"profile": "provable-128", "hiding": 0}, {}),
        ({"profile": "provable-128", "hiding": False, "more": 1}, {}),
        ({"profile": "provable-128", "hiding": False}, []),
        ({"profile": "provable-128", "hiding": False}, 7),
    ],
)
def test_envelopes_of_proof_files(head: Any, statement: Any) -> None:
    data = framing.pack(Kind.PROOF, 3, framing.encode(head), framing.encode(statement), b"")
    with pytest.raises(VerificationError, match="proof"):
        ProofFile.from_bytes(data)


def test_tags_in_a_statement_are_refused() -> None:
    head = framing.encode({"profile": "provable-128", "hiding": True})
    tagged = cbor2.dumps({"n": 1 << 80})
    with pytest.raises(VerificationError) as caught:
        ProofFile.from_bytes(framing.pack(Kind.PROOF, 3, head, tagged, b""))
    assert caught.value.code == "format.type"


def test_an_embedding_of_too_many_parts_is_refused_before_it_is_laid_out(road: Road) -> None:
    """A few kilobytes could otherwise ask for minutes of work."""
    envelope = envelope_of(road.public, Kind.PUBLIC)
    config = {**envelope["config"], "vocab_size": 1 << 24}
    code = {**envelope["code"], "log_columns": 7, "random": 16, "log_coset": 8, "queries": 16}
    data = framing.pack(Kind.PUBLIC, 3, framing.encode({**envelope, "config": config, "code": code}))
    with pytest.raises(PublicFileError, match="embedding's parts"):
        PublicModel.from_bytes(data)
