"""The segments of a member of a batch, and their circuits.

A member about layers has one segment for each. A forward pass has the embedding, all layers, the final norm
at the positions asked for, a segment for each piece of the vocabulary and, where logits were served, one
that puts the distances together:

    embedding, layer 0 ... layer L-1, final, vocabulary 0 ..., distances

and an encoding

    embedding, layer 0 ... layer L-1, pooling
"""

from __future__ import annotations

import gc
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from assay import framing
from assay.audit.challenge import FORWARD, LAYERS, Challenge
from assay.circuits import forward
from assay.circuits import layer as layers
from assay.circuits.architecture import EMBEDDED
from assay.circuits.moe import Ids
from assay.disclosure import Disclosure, proven_layers
from assay.errors import PublicFileError
from assay.graph import CircuitError
from assay.public import PublicModel

if TYPE_CHECKING:
    from assay import _core

EMBEDDING, FINAL, DISTANCES, POOLING = "embedding", "final", "distances", "pooling"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment's name, and what its circuit is built from: a layer over so many tokens, or by `build`.

    With a `routing` the layer's circuit says which experts ran, [T, K].
    """

    name: str
    public: PublicModel
    layer: tuple[int, int] | None = None
    build: Callable[[], bytes] | None = None
    routing: Ids | None = field(default=None, compare=False)

    def encoded(self) -> bytes:
        """The circuit's bytes; needs no extension."""
        if self.layer is not None:
            return circuit_bytes(self.public, *self.layer, self.routing)
        assert self.build is not None
        return built(self.build)

    def circuit(self) -> _core.Circuit:
        """The circuit."""
        kept = self.layer is not None and self.routing is None  # another request has other experts
        return circuit(self.public, *self.layer) if self.layer and kept else _decoded(self.encoded())


def segments(public: PublicModel, challenge: Challenge, disclosure: Disclosure | None) -> list[Segment]:
    """The segments that a challenge asks for, in order; with what it opens of the record."""
    tokens = challenge.record.tokens
    own = _layers(public, challenge, disclosure)
    if challenge.scope == LAYERS:
        return own
    assert disclosure is not None, "what begins at the tokens is about opened ones"
    pooling = partial(forward.pooling, public.config, public.scales, tokens)
    return [
        Segment(EMBEDDING, public, build=partial(embedding, public, disclosure.tokens)),
        *own,
        *(
            _head(public, challenge, disclosure)
            if challenge.scope == FORWARD
            else [Segment(POOLING, public, build=pooling)]
        ),
    ]


def _head(public: PublicModel, challenge: Challenge, disclosure: Disclosure) -> list[Segment]:
    """From the last boundary to the outputs."""
    config, scales, pieces = public.config, public.scales, embedding_rows(public)
    served = challenge.record.log is not None and challenge.record.log.served
    final = partial(forward.final, config, scales, challenge.record.tokens, challenge.positions)
    out = [Segment(FINAL, public, build=final)]
    for piece in range(len(pieces)):
        build = partial(forward.vocabulary, config, scales, piece, pieces, disclosure.ids, distances=served)
        out.append(Segment(vocabulary_name(piece), public, build=build))
    if served:
        out.append(Segment(DISTANCES, public, build=partial(_distances, public, disclosure, len(pieces))))
    return out


def _layers(public: PublicModel, challenge: Challenge, disclosure: Disclosure | None) -> list[Segment]:
    tokens, layers = challenge.record.tokens, proven_layers(challenge)
    routed = public.routed
    if challenge.record.routing is None or routed is None or disclosure is None:
        return [Segment(layer_name(layer), public, layer=(layer, tokens)) for layer in layers]
    pairs = zip(layers, disclosure.experts, strict=True)
    return [
        Segment(layer_name(layer), public, layer=(layer, tokens), routing=opened.experts(routed[1]))
        for layer, opened in pairs
    ]


def embedding(public: PublicModel, tokens: tuple[int, ...]) -> bytes:
    """The circuit of boundary 0."""
    return forward.embedding(public.config, public.scales, tokens, embedding_rows(public))


def _distances(public: PublicModel, disclosure: Disclosure, pieces: int) -> bytes:
    fraction = public.scales.of_head.logits
    logits = [opened.entry.logits or () for opened in disclosure.log]
    served = [forward.served_distribution(values, fraction) for values in logits]
    return forward.distances(public.config, public.scales, pieces, served)


def embedding_weights(public: PublicModel) -> list[str]:
    """The tensors that boundary 0 comes from."""
    names = (slot.name for slot in public.layout.slots)
    return [name for name in names if name.startswith("embedding.") or name in EMBEDDED]


def embedding_rows(public: PublicModel) -> list[int]:
    """Rows of each piece of the embedding."""
    return [slot.rows for slot in public.layout.slots if slot.name.startswith("embedding.")]


def layer_name(layer: int) -> str:
    """A layer as errors and transcripts name it."""
    return f"layer {layer}"


def vocabulary_name(piece: int) -> str:
    """A piece of the vocabulary, the same."""
    return f"vocabulary {piece}"


def built(build: Callable[[], bytes]) -> bytes:
    """A circuit's bytes; raises `PublicFileError` if the public file's scales give none."""
    try:
        with _uncollected():
            return build()
    except CircuitError as error:
        raise PublicFileError(
            "public-circuit", f"the public file gives no circuit: {error.message}"
        ) from error
    except struct.error as error:  # a size that has no place in the format
        raise PublicFileError("public-circuit", f"the public file gives no circuit: {error}") from error


def _decoded(raw: bytes) -> _core.Circuit:
    """The circuit of these bytes; raises `PublicFileError` if it is larger than any that is decoded."""
    from assay import _core

    try:
        return _core.Circuit(raw)
    except _core.Malformed as error:
        raise PublicFileError(
            "public-circuit", f"the public file gives no circuit: {error.args[0]}"
        ) from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: what a circuit is built from has no cycles, and each pass walks it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def circuit_bytes(public: PublicModel, layer: int, tokens: int, routing: Ids | None = None) -> bytes:
    """The circuit of a layer over so many tokens, encoded; needs no extension."""
    return built(partial(layers.layer, public.config, public.scales.layers[layer], layer, tokens, routing))


def circuit(public: PublicModel, layer: int, tokens: int) -> _core.Circuit:
    """The circuit of a layer over so many tokens."""
    return _circuit(_BuildFrom(public), layer, tokens)


def circuits_digest(public: PublicModel) -> bytes:
    """Covers the circuits of all layers over one token, and those around them.

    Of a mixture also those that say which experts ran, the first ones.
    """
    import hashlib

    numbers, routed = range(public.num_layers), public.routed
    around = [circuit.digest for circuit in _around(public)]
    layers = [circuit(public, layer, 1).digest for layer in numbers]
    if routed is not None:
        ids = np.arange(routed[1], dtype=np.int64).reshape(1, -1)
        layers += [_decoded(circuit_bytes(public, layer, 1, ids)).digest for layer in numbers]
    return hashlib.sha256(b"".join([*layers, *around])).digest()


def _around(public: PublicModel) -> list[_core.Circuit]:
    """Embedding, final norm and vocabulary over one token and one id, with and without distances; pooling."""

    if public.encodes:
        pooling = partial(forward.pooling, public.config, public.scales, 1)
        return [_decoded(built(build)) for build in (partial(embedding, public, (0,)), pooling)]
    config, scales, rows = public.config, public.scales, embedding_rows(public)
    vocabulary = partial(forward.vocabulary, config, scales, 0, rows, [[0]])
    served = [forward.served_distribution([0], scales.of_head.logits)]
    builds: list[Callable[[], bytes]] = [
        partial(embedding, public, (0,)),
        partial(forward.final, config, scales, 1, (0,)),
        partial(vocabulary, distances=False),
        partial(vocabulary, distances=True),
        partial(forward.distances, config, scales, len(rows), served),
    ]
    return [_decoded(built(build)) for build in builds]


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

    return _decoded(circuit_bytes(source.public, layer, tokens))
