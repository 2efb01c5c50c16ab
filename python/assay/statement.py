"""What a proof is about, built by whoever holds the public file and a challenge; never read from a proof.

The instance is the canonical CBOR of every field that a verifier compares; it goes into the transcript before
anything else, together with code, commitments and circuit digests. Circuits are rebuilt from the public
file's configuration and scales. A segment's `distance` is reserved: [0], the computed output boundary equals
the recorded one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from assay import framing
from assay.audit.challenge import SCOPE, Challenge
from assay.circuits import gemma3
from assay.errors import ChallengeError, PublicFileError
from assay.graph import CircuitError
from assay.layout import Layout, boundary_layout
from assay.public import PublicModel

if TYPE_CHECKING:
    from assay import _core

FORMAT = 1
DISTANCE = (0,)
MOST_TOKEN_LAYERS = 1 << 15
"""Tokens times layers that one proof may cover: bounds what a verifier builds for a hostile record."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The fields, their canonical bytes, and the same as the extension takes it."""

    fields: dict[str, Any]
    instance: bytes
    core: _core.Statement


def segment_name(layer: int) -> str:
    """A layer as errors and transcripts name it."""
    return f"layer {layer}"


def build_statement(public: PublicModel, challenge: Challenge, *, hiding: bool = True) -> Statement:
    """The statement that a challenge asks for; raises `ChallengeError` if it is not about this model."""
    from assay import _core

    check_challenge(public, challenge)
    header = challenge.record
    circuits = [circuit(public, layer, header.tokens) for layer in challenge.layers]
    fields = statement_fields(public, challenge, [c.digest for c in circuits], hiding=hiding)
    instance = framing.encode(fields)
    names = [segment_name(layer) for layer in challenge.layers]
    boundaries = boundary_layout(public.config, public.code, header.tokens)
    try:
        core = _core.Statement(
            degree=public.profile.degree,
            code=public.code.core(),
            required_bits=float(public.profile.bits),
            instance=instance,
            weights=long_lived("weights", public.root, public.layout),
            boundaries=long_lived("boundaries", header.boundaries_root, boundaries),
            segments=list(zip(names, circuits, strict=True)),
            hiding=hiding,
        )
    except _core.Malformed as error:
        raise ChallengeError(
            "statement-malformed", f"no such statement can be proven: {error.args[0]}"
        ) from error
    return Statement(fields, instance, core)


def statement_fields(
    public: PublicModel, challenge: Challenge, digests: list[bytes], *, hiding: bool = True
) -> dict[str, Any]:
    """Every field that a verifier compares."""
    segments = [
        {"name": segment_name(layer), "circuit": digest, "distance": list(DISTANCE)}
        for layer, digest in zip(challenge.layers, digests, strict=True)
    ]
    return {
        "format": FORMAT,
        "hiding": hiding,
        "profile": public.profile.name,
        "public": public.hash,
        "epoch": public.epoch,
        "record": challenge.record.to_dict(),
        "record_root": challenge.record.hash,
        "nonce": challenge.nonce,
        "drawn": challenge.drawn,
        "scope": SCOPE,
        "layers": list(challenge.layers),
        "segments": segments,
    }


def check_challenge(public: PublicModel, challenge: Challenge) -> None:
    """The record that a challenge is bound to was made with this registered model."""
    header = challenge.record
    if header.tokens * len(challenge.layers) > MOST_TOKEN_LAYERS:
        raise ChallengeError(
            "challenge-too-large",
            f"{len(challenge.layers)} layers over {header.tokens} tokens are more than one proof may cover",
            hint="ask for fewer layers, in several challenges",
        )
    if header.public != public.hash:
        raise ChallengeError(
            "record-of-another-model",
            f"the record is of the public file {header.public.hex()[:16]}, not {public.hash.hex()[:16]}",
            hint="give the public file of the model that made the record",
        )
    if header.weights_root != public.root or header.num_layers != public.num_layers:
        raise ChallengeError(
            "record-mismatch", "the record names another root or number of layers than its model"
        )
    if header.tokens > public.config["max_position"]:
        raise ChallengeError("record-mismatch", "the record has more tokens than the model's context")
    if not header.follows(public.config, public.code):
        raise ChallengeError("record-mismatch", "the record's boundaries are not laid out as its model says")


def circuit(public: PublicModel, layer: int, tokens: int) -> _core.Circuit:
    """The circuit of a layer over so many tokens."""
    return _circuit(_BuildFrom(public), layer, tokens)


def circuit_bytes(public: PublicModel, layer: int, tokens: int) -> bytes:
    """The same, encoded; needs no extension."""
    try:
        return gemma3.layer(public.config, public.scales.layers[layer], layer, tokens)
    except CircuitError as error:
        raise PublicFileError(
            "public-circuit", f"the public file gives no circuit: {error.message}"
        ) from error


def circuits_digest(public: PublicModel) -> bytes:
    """Covers the circuits of all layers over one token."""
    import hashlib

    digests = (circuit(public, layer, 1).digest for layer in range(public.num_layers))
    return hashlib.sha256(b"".join(digests)).digest()


def forget_circuits() -> None:
    """Empties the cache of circuits (for measurements)."""
    _circuit.cache_clear()


@dataclass(frozen=True, slots=True, eq=False)
class _BuildFrom:
    """What a circuit depends on, as a key: the root is not part of it."""

    public: PublicModel

    def _key(self) -> bytes:
        return framing.encode([dict(self.public.config), self.public.scales.to_dict()])

    def __hash__(self) -> int:
        return hash(self._key())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BuildFrom) and self._key() == other._key()


@lru_cache(maxsize=64)
def _circuit(source: _BuildFrom, layer: int, tokens: int) -> _core.Circuit:
    from assay import _core

    return _core.Circuit(circuit_bytes(source.public, layer, tokens))


def long_lived(name: str, root: bytes, layout: Layout) -> _core.LongLived:
    """A commitment as a verifier knows it."""
    from assay import _core

    slots = [(s.name, s.part, s.first_block, s.rows, s.cols, s.cell_bytes) for s in layout.slots]
    return _core.LongLived(name, root, list(layout.parts), slots)
