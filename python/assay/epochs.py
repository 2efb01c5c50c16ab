"""What the proofs of an epoch are about: a registration (weights in range), a refresh (the same weights).

Both are about all weights of a public file, cut into segments (`layout.chunks`), over the extension of
degree 3 whatever the profile: 2^28 lookups do not fit the bits of degree 2. Either is a batch of one
member; in a refresh the commitment of the epoch before takes the place of boundaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assay import framing
from assay.circuits import refresh, registration
from assay.errors import PublicFileError
from assay.graph import CircuitError
from assay.layout import BLOCK, Layout, Slot, chunks
from assay.public import REFRESH, REGISTRATION, WEIGHT_RANGE, PublicModel
from assay.statement import FORMAT, Statement, long_lived

if TYPE_CHECKING:
    from assay import _core

DEGREE = 3
MOST_WEIGHTS = (1 << 31) - 1
"""With rows filled up to whole blocks: as many as one proof has lookups."""
_Chunks = Sequence[Sequence[Slot]]
_Circuit = Callable[[str, Iterable[tuple[str, int, int]]], bytes]


def require_provable(layout: Layout) -> None:
    """Raises `PublicFileError` for more weights than one proof can be about."""
    weights = sum(slot.blocks for slot in layout.slots) * BLOCK  # what a verifier's memory follows
    if weights > MOST_WEIGHTS:
        raise PublicFileError(
            "public-too-large", f"{weights} weights; a registration proof is about at most {MOST_WEIGHTS}"
        )


def registration_statement(public: PublicModel) -> Statement:
    """Every weight of epoch 0 is in the range that the file states."""
    require_provable(public.layout)
    pieces = chunks(public.layout)
    fields = {"scope": REGISTRATION, "weight_range": list(WEIGHT_RANGE)}
    return _statement(public, fields, pieces, registration.ranged, None)


def refresh_statement(public: PublicModel, before: PublicModel) -> Statement:
    """The weights of `public` are those of `before`, the epoch before it; raises `PublicFileError`."""
    require_successor(public, before)
    require_provable(public.layout)
    pieces = chunks(public.layout)
    fields = {"scope": REFRESH, "previous": before.hash}
    old = long_lived("boundaries", before.root, _layout(before.layout, pieces, refresh.PREVIOUS))
    return _statement(public, fields, pieces, refresh.equal, old)


def require_successor(public: PublicModel, before: PublicModel) -> None:
    """Raises `PublicFileError` unless `public` is the epoch after `before`, of the same model."""
    if public.epoch <= before.epoch:
        raise PublicFileError(
            "epoch-backwards", f"epoch {public.epoch} does not come after epoch {before.epoch}"
        )
    if public.epoch != before.epoch + 1:
        raise PublicFileError(
            "epoch-gap", f"between epoch {before.epoch} and epoch {public.epoch} public files are missing"
        )
    if public.previous != before.hash:
        raise PublicFileError(
            "epoch-fork", f"epoch {public.epoch} does not follow the public file {before.hash.hex()[:16]}"
        )
    same = replace(public, root=before.root, epoch=before.epoch, previous=before.previous, proof=before.proof)
    if same != before:
        raise PublicFileError(
            "epoch-other-model",
            f"epoch {public.epoch} is not the model of epoch {before.epoch}: more differs than the root",
        )


def _statement(
    public: PublicModel,
    own: dict[str, Any],
    pieces: _Chunks,
    build: _Circuit,
    before: _core.LongLived | None,
) -> Statement:
    from assay import _core

    circuits = [
        (f"{own['scope']} {i}", _core.Circuit(_circuit(build, f"{own['scope']}.{i}", piece)))
        for i, piece in enumerate(pieces)
    ]
    fields = {
        "format": FORMAT,
        "hiding": True,
        "profile": public.profile.name,
        "core": public.core_hash,
        "epoch": public.epoch,
        **own,
        "segments": [{"name": name, "circuit": circuit.digest} for name, circuit in circuits],
    }
    instance = framing.encode(fields)
    try:
        core = _core.Statement(
            degree=DEGREE,
            code=public.code.core(),
            required_bits=float(public.profile.bits),
            instance=instance,
            weights=long_lived("weights", public.root, _layout(public.layout, pieces)),
            members=[before],
            segments=[(name, circuit, 0) for name, circuit in circuits],
            hiding=True,
        )
    except _core.Malformed as error:
        raise PublicFileError(
            "public-unprovable", f"no proof about all weights of this file is possible: {error.args[0]}"
        ) from error
    return Statement(fields, instance, core)


def _circuit(build: _Circuit, name: str, piece: Sequence[Slot]) -> bytes:
    try:
        return build(name, [(slot.name, slot.rows, slot.cols) for slot in piece])
    except CircuitError as error:
        raise PublicFileError(
            "public-circuit", f"the public file gives no circuit: {error.message}"
        ) from error


def _layout(layout: Layout, pieces: _Chunks, prefix: str = "") -> Layout:
    """A layout with the cut slots in place of its own, their names prefixed."""
    slots = tuple(slot.renamed(prefix + slot.name) for piece in pieces for slot in piece)
    return Layout(layout.parts, slots)
