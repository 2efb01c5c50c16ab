"""The segments of a member of a batch, and their circuits.

A member about layers has one segment for each. A forward pass has the embedding, all layers, the final norm
at the positions asked for, a segment for each piece of the vocabulary and, where logits were served, one
that puts the distances together:

    embedding, layer 0 ... layer L-1, final, vocabulary 0 ..., distances
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from assay import framing
from assay.audit.challenge import FORWARD, Challenge
from assay.circuits import forward, gemma3
from assay.disclosure import Disclosure
from assay.errors import PublicFileError
from assay.graph import CircuitError
from assay.public import PublicModel

if TYPE_CHECKING:
    from assay import _core

EMBEDDING, FINAL, DISTANCES = "embedding", "final", "distances"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment's name, and what its circuit is built from: a layer over so many tokens, or by `build`."""

    name: str
    public: PublicModel
    layer: tuple[int, int] | None = None
    build: Callable[[], bytes] | None = None

    def encoded(self) -> bytes:
        """The circuit's bytes; needs no extension."""
        if self.layer is not None:
            return circuit_bytes(self.public, *self.layer)
        assert self.build is not None
        return built(self.build)

    def circuit(self) -> _core.Circuit:
        """The circuit."""
        from assay import _core

        return circuit(self.public, *self.layer) if self.layer else _core.Circuit(self.encoded())


def segments(public: PublicModel, challenge: Challenge, disclosure: Disclosure | None) -> list[Segment]:
    """The segments that a challenge asks for, in order; of a forward pass with what it opens."""
    tokens = challenge.record.tokens
    if challenge.scope != FORWARD:
        return [_layer(public, layer, tokens) for layer in challenge.layers]
    assert disclosure is not None, "a forward pass is about opened tokens"
    return [
        Segment(EMBEDDING, public, build=partial(_embedding, public, disclosure.tokens)),
        *(_layer(public, layer, tokens) for layer in range(public.num_layers)),
        *_head(public, challenge, disclosure),
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


def _layer(public: PublicModel, layer: int, tokens: int) -> Segment:
    return Segment(layer_name(layer), public, layer=(layer, tokens))


def _embedding(public: PublicModel, tokens: tuple[int, ...]) -> bytes:
    return forward.embedding(public.config, public.scales, tokens, embedding_rows(public))


def _distances(public: PublicModel, disclosure: Disclosure, pieces: int) -> bytes:
    fraction = public.scales.head.logits
    logits = [opened.entry.logits or () for opened in disclosure.log]
    served = [forward.served_distribution(values, fraction) for values in logits]
    return forward.distances(public.config, public.scales, pieces, served)


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
        return build()
    except CircuitError as error:
        raise PublicFileError(
            "public-circuit", f"the public file gives no circuit: {error.message}"
        ) from error


def circuit_bytes(public: PublicModel, layer: int, tokens: int) -> bytes:
    """The circuit of a layer over so many tokens, encoded; needs no extension."""
    return built(partial(gemma3.layer, public.config, public.scales.layers[layer], layer, tokens))


def circuit(public: PublicModel, layer: int, tokens: int) -> _core.Circuit:
    """The circuit of a layer over so many tokens."""
    return _circuit(_BuildFrom(public), layer, tokens)


def circuits_digest(public: PublicModel) -> bytes:
    """Covers the circuits of all layers over one token, and those around them."""
    import hashlib

    around = [circuit.digest for circuit in _around(public)]
    layers = [circuit(public, layer, 1).digest for layer in range(public.num_layers)]
    return hashlib.sha256(b"".join([*layers, *around])).digest()


def _around(public: PublicModel) -> list[_core.Circuit]:
    """Embedding, final norm and vocabulary over one token and one id, with and without distances."""
    from assay import _core

    config, scales, rows = public.config, public.scales, embedding_rows(public)
    vocabulary = partial(forward.vocabulary, config, scales, 0, rows, [[0]])
    served = [forward.served_distribution([0], scales.head.logits)]
    builds: list[Callable[[], bytes]] = [
        partial(_embedding, public, (0,)),
        partial(forward.final, config, scales, 1, (0,)),
        partial(vocabulary, distances=False),
        partial(vocabulary, distances=True),
        partial(forward.distances, config, scales, len(rows), served),
    ]
    return [_core.Circuit(built(build)) for build in builds]


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
