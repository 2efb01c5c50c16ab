"""Recording: the exact model runs through all layers, and the boundaries are committed before any challenge.

So are, of a mixture, the experts that ran. REQ/record.assay is public, and so is REQ/routing.npy, which says
what experts these were, if it is written. REQ/private holds what proving needs: tokens, salt and key, the
boundaries' cells, the leaf digests of their commitment, the ledger of its opened columns, the log of ids
(`assay.prove.log`), the experts (`assay.prove.routing`).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from assay import _core, framing
from assay.audit.challenge import FORWARD, LAYERS, Challenge
from assay.audit.header import CAP as HEADER_CAP
from assay.audit.header import RecordHeader, check_length
from assay.audit.tokens import SALT_BYTES, commit_tokens
from assay.disclosure import Disclosure, proven_layers
from assay.errors import InternalError, RequestError, StorageError
from assay.framing import FormatError, Kind
from assay.layout import Layout, boundary_layout, padded, routing_name
from assay.profiles import Code
from assay.prove.commit import Progress
from assay.prove.folder import Cells, RegisteredModel, map_file
from assay.prove.log import DEFAULT, Log, Logging, load_log, make_log
from assay.prove.opening import Transient
from assay.prove.routing import Routing, require_experts
from assay.prove.tokenizer import load_tokenizer
from assay.public import PublicModel
from assay.segments import built, circuit, embedding, embedding_weights
from assay.storage import make_folder, read_file, storage_errors, write_file, writing
from assay.trace import Ledger

PRIVATE_VERSION = 1
Boundaries = list[npt.NDArray[np.int32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One request: its public head, and the private rest. Boundaries are [T, hidden padded to blocks].

    `account` counts the columns that are opened of the boundaries: the request's ledger, or, for a recording
    that was never written, a count that ends with it. `routing` are the experts that ran: those that the
    exact model was forced to use, or its own.
    """

    header: RecordHeader
    tokens: tuple[int, ...]
    salt: bytes
    key: bytes
    boundaries: Boundaries
    leaves: npt.NDArray[np.uint8]
    account: Path | Transient
    log: Log | None = None
    routing: Routing | None = None

    def disclosure(self, challenge: Challenge) -> Disclosure:
        """What a proof for a challenge opens of the record."""
        found = Disclosure() if challenge.scope == LAYERS else Disclosure(tokens=self.tokens, salt=self.salt)
        if challenge.scope == FORWARD:
            assert self.log is not None, "a challenge to a record without a log is refused before"
            found = replace(found, log=self.log.opened(self.header.request, challenge.positions))
        if self.header.routing is not None:
            assert self.routing is not None, "a record without experts has no log of them"
            found = replace(found, experts=self.routing.opened(self.header.request, proven_layers(challenge)))
        return found

    def commitment(self, model: RegisteredModel) -> _core.Commitment:
        """The prover's side of the boundaries' commitment, restored."""
        layout = boundary_layout(model.public.config, model.public.code, self.header.tokens)
        commitment = _commitment(model.public.code, layout, self.boundaries, self.routing, self.key)
        commitment.restore(self.leaves)
        return commitment


@dataclass(frozen=True, slots=True)
class RequestFolder:
    """Paths inside REQ."""

    path: Path

    def is_free(self) -> bool:
        """Whether nothing is there, or what a record that was cut off left: no challenge is bound to that."""
        if not self.path.exists():
            return True
        if not self.path.is_dir():
            return False
        found = set(self.path.iterdir())
        left = self.private in found and (self.public_routing not in found or self.public_routing.is_file())
        return not found or (left and found <= {self.private, self.public_routing})

    @property
    def header(self) -> Path:
        return self.path / "record.assay"

    @property
    def private(self) -> Path:
        return self.path / "private"

    @property
    def secrets(self) -> Path:
        return self.private / "request.assay"

    @property
    def boundaries(self) -> Path:
        return self.private / "boundaries.cells"

    @property
    def leaves(self) -> Path:
        return self.private / "leaves"

    @property
    def ledger(self) -> Path:
        return self.private / "ledger.db"

    @property
    def log(self) -> Path:
        return self.private / "log.assay"

    @property
    def routing(self) -> Path:
        return self.private / "routing.ids"

    @property
    def public_routing(self) -> Path:
        return self.path / "routing.npy"


def record(
    model: RegisteredModel,
    out: Path,
    *,
    prompt: str | None = None,
    tokens: Sequence[int] | None = None,
    replaced: Mapping[str, Cells] | None = None,
    log: Logging | None = DEFAULT,
    routing: Routing | None = None,
    public_routing: bool = False,
    progress: Progress | None = None,
) -> Recording:
    """Records a request in the folder `out`, which must hold nothing but the rest of one that was cut off.

    Without a `log` it can be asked for layers alone. Of an encoder none is made unless told to: then it is
    refused. With a `routing` the exact model runs with these experts instead of its router's own. With a
    `public_routing` it is logged publicly which experts ran, and proofs say so.
    """
    if (prompt is None) == (tokens is None):
        raise RequestError("no-prompt", "give a prompt, or token ids: one of the two")
    folder = RequestFolder(out)
    if not folder.is_free():
        raise RequestError("request-exists", f"{out} is there already", hint="give another folder for --out")
    if log is DEFAULT and model.public.encodes:
        log = None
    ids = encode(model, prompt) if prompt is not None else list(tokens or ())
    recording = record_tokens(
        model,
        ids,
        replaced=replaced,
        log=log,
        routing=routing,
        public_routing=public_routing,
        progress=progress,
    )
    _write(recording, folder, model.public.code)
    return replace(recording, account=folder.ledger)


def encode(model: RegisteredModel, prompt: str) -> list[int]:
    """Token ids of a prompt, by the registered tokenizer."""
    return load_tokenizer(model.folder.tokenizer, model.public.tokenizer_digest).encode(prompt)


def decode(model: RegisteredModel, tokens: Sequence[int]) -> str:
    """The text of token ids."""
    return load_tokenizer(model.folder.tokenizer, model.public.tokenizer_digest).decode(tokens)


def record_tokens(
    model: RegisteredModel,
    tokens: Sequence[int],
    *,
    replaced: Mapping[str, Cells] | None = None,
    log: Logging | None = None,
    routing: Routing | None = None,
    public_routing: bool = False,
    progress: Progress | None = None,
) -> Recording:
    """Records a request in memory; with `replaced` weights in place of registered ones, to show cheating."""
    check_tokens(model, tokens)
    if log is not None:
        log.require(model.public, len(tokens))
    if routing is not None:
        routing.require(model.public, len(tokens))
    if public_routing:
        require_experts(model.public)
    boundaries, ran = run_layers(model, tokens, replaced or {}, routing, progress)
    request, key, salt = os.urandom(16), os.urandom(32), os.urandom(SALT_BYTES)
    logged = None if log is None else make_log(model, boundaries[-1], log, progress)
    layout = boundary_layout(model.public.config, model.public.code, len(tokens))
    commitment = _commitment(model.public.code, layout, boundaries, ran, key)
    commitment.commit()
    header = RecordHeader(
        request=request,
        created=int(time.time()),
        public=model.public.hash,
        weights_root=model.public.root,
        num_layers=model.public.num_layers,
        tokens=len(tokens),
        tokens_commitment=commit_tokens(tokens, salt),
        boundaries_root=commitment.root,
        parts=layout.parts,
        slots=tuple(tuple(slot.to_list()) for slot in layout.slots),
        log=None if logged is None else logged.head(request, model.public),
        routing=ran.root(request) if ran is not None and public_routing else None,
    )
    return Recording(
        header=header,
        tokens=tuple(tokens),
        salt=salt,
        key=key,
        boundaries=boundaries,
        leaves=commitment.leaves(),
        account=Transient(model.public.code.random),
        log=logged,
        routing=ran,
    )


def check_tokens(model: RegisteredModel, tokens: Sequence[int]) -> None:
    """Refuses what the model cannot take."""
    if not tokens:
        raise RequestError("prompt-empty", "there are no tokens to record")
    check_length(len(tokens), model.public.config["max_position"])
    vocabulary = model.public.config["vocab_size"]
    for token in tokens:
        if not 0 <= token < vocabulary:
            raise RequestError(
                "token-out-of-range", f"token {token} is outside the vocabulary of {vocabulary}"
            )


def run_layers(
    model: RegisteredModel,
    tokens: Sequence[int],
    replaced: Mapping[str, Cells],
    routing: Routing | None = None,
    progress: Progress | None = None,
) -> tuple[Boundaries, Routing | None]:
    """Boundaries 0 to L of the exact model, with its own experts or those given, and these."""
    public = model.public
    boundaries: Boundaries = [_embedded(model, tokens)]
    seats: list[npt.NDArray[np.int16]] = []
    for layer, relations in enumerate(_circuits(public, len(tokens))):
        weights = {**model.layer_weights(layer), **_of_layer(replaced, layer)}
        name, chosen = f"boundary.{layer + 1}", routing_name(layer)
        wanted = [name] if public.routed is None else [name, chosen]
        choices = {} if routing is None else routing.choices(layer)
        try:
            values = relations.evaluate({f"boundary.{layer}": boundaries[-1], **weights}, wanted, choices)
        except _core.EvaluationError as error:
            raise InternalError("no-witness", f"layer {layer}, {error.args[0]}: {error.args[1]}") from error
        boundaries.append(values[name])
        if chosen in wanted:
            seats.append(values[chosen])
        if progress is not None:
            progress("layers", layer + 1, public.num_layers)
    return boundaries, Routing.seated(seats, len(tokens)) if seats else None


def _embedded(model: RegisteredModel, tokens: Sequence[int]) -> npt.NDArray[np.int32]:
    """Boundary 0."""
    public = model.public
    relations = _core.Circuit(built(partial(embedding, public, tuple(tokens))))
    given = {name: model.weight(name) for name in embedding_weights(public)}
    try:
        return relations.evaluate(given, ["boundary.0"])["boundary.0"]
    except _core.EvaluationError as error:
        raise InternalError("no-witness", f"embedding, {error.args[0]}: {error.args[1]}") from error


def _circuits(public: PublicModel, tokens: int) -> Iterator[_core.Circuit]:
    """The circuits of all layers; each is built while the one before it is evaluated."""
    with ThreadPoolExecutor(max_workers=1) as ahead:
        upcoming = ahead.submit(circuit, public, 0, tokens)
        for layer in range(public.num_layers):
            ready = upcoming.result()
            if layer + 1 < public.num_layers:
                upcoming = ahead.submit(circuit, public, layer + 1, tokens)
            yield ready


def _of_layer(replaced: Mapping[str, Cells], layer: int) -> dict[str, Cells]:
    return {name: cells for name, cells in replaced.items() if name.startswith(f"layers.{layer}.")}


def _commitment(
    code: Code, layout: Layout, boundaries: Boundaries, routing: Routing | None, key: bytes
) -> _core.Commitment:
    """To the boundaries, then to the experts that ran."""
    choices = layout.slots[len(boundaries) :]
    seats = [] if routing is None else [routing.seats(i, slot) for i, slot in enumerate(choices)]
    placed: list[list[tuple[int, npt.NDArray[Any]]]] = [[] for _ in layout.parts]
    tensors: list[npt.NDArray[Any]] = [*boundaries, *seats]
    for slot, cells in zip(layout.slots, tensors, strict=True):
        placed[slot.part].append((slot.first_block, cells))
    parts = list(zip(layout.parts, placed, strict=True))
    return _core.Commitment("boundaries", code.core(), parts, key)


# ---- files ----


def _write(recording: Recording, folder: RequestFolder, code: Code) -> None:
    """The private files first, the public head last: a folder that has it is complete."""
    make_folder(folder.path)
    make_folder(folder.private, mode=0o700)
    secrets = {
        "tokens": list(recording.tokens),
        "salt": recording.salt,
        "key": recording.key,
        "boundaries": cells_digest(recording.boundaries),
    }
    if recording.routing is not None:
        secrets["routing"] = recording.routing.digest
        write_file(folder.routing, recording.routing.encoded, mode=0o600)
    else:
        folder.routing.unlink(missing_ok=True)
    if recording.routing is not None and recording.header.routing is not None:
        write_file(folder.public_routing, recording.routing.file)
    else:
        folder.public_routing.unlink(missing_ok=True)
    data = framing.pack(Kind.PRIVATE, PRIVATE_VERSION, framing.encode(secrets))
    write_file(folder.secrets, data, mode=0o600)
    with storage_errors(folder.boundaries), writing(folder.boundaries, mode=0o600) as file:
        for cells in recording.boundaries:
            file.write(np.ascontiguousarray(cells, "<i4").data)
    with storage_errors(folder.leaves), writing(folder.leaves, mode=0o600) as file:
        file.write(recording.leaves.data)
    if recording.log is not None:
        write_file(folder.log, recording.log.encoded, mode=0o600)
    else:
        folder.log.unlink(missing_ok=True)
    for left in folder.private.glob(f"{folder.ledger.name}*"):  # of a record that was cut off
        left.unlink()
    Ledger.create(
        folder.ledger,
        epoch=0,
        root=recording.header.boundaries_root,
        parts=len(recording.header.parts),
        budget=code.random,
        queries=code.queries,
        reserve=0,
    ).close()
    write_file(folder.header, recording.header.encoded)


def cells_digest(boundaries: Boundaries) -> bytes:
    """SHA-256 over all boundaries, so that a damaged file is noticed before it is proven from."""
    digest = hashlib.sha256()
    for cells in boundaries:
        digest.update(np.ascontiguousarray(cells, "<i4").data)
    return digest.digest()


def load_recording(path: Path, model: RegisteredModel) -> Recording:
    """A request's record; checks that it was made with this registered model, in any of its epochs."""
    folder = RequestFolder(path)
    header = RecordHeader.from_bytes(read_file(folder.header, HEADER_CAP + 64, "record"))
    model = model.at(header.public)
    if not header.follows(model.public.config, model.public.code):
        raise RequestError(
            "damaged-record", f"{folder.header}: the boundaries are not laid out as the model says"
        )
    secrets = _secrets(folder.secrets)
    tokens = secrets["tokens"]
    if len(tokens) != header.tokens or commit_tokens(tokens, secrets["salt"]) != header.tokens_commitment:
        raise RequestError("damaged-record", f"{folder.secrets} and {folder.header} are not of one request")
    stride = padded(model.public.config["hidden_size"])
    shape = (header.num_layers + 1, header.tokens, stride)
    try:
        cells = map_file(folder.boundaries, np.dtype("<i4"), shape[0] * shape[1] * shape[2]).reshape(shape)
        leaves = map_file(folder.leaves, np.dtype("u1"), model.public.code.length * 32)
    except StorageError as error:
        raise RequestError("damaged-record", error.message) from error
    if cells_digest(list(cells)) != secrets["boundaries"]:
        raise RequestError("damaged-record", f"{folder.boundaries} is damaged")
    return Recording(
        header=header,
        tokens=tuple(secrets["tokens"]),
        salt=secrets["salt"],
        key=secrets["key"],
        boundaries=list(cells),
        leaves=leaves,
        account=folder.ledger,
        log=None if header.log is None else load_log(folder.log, header, model.public),
        routing=_routing(folder.routing, secrets["routing"], model.public, header),
    )


def _routing(path: Path, digest: bytes | None, public: PublicModel, header: RecordHeader) -> Routing | None:
    if (digest is None) != (public.routed is None):
        raise RequestError("damaged-record", f"{path.parent} does not go with the model: experts")
    if digest is None:
        return None
    try:
        routing = Routing.stored(path, digest, public, header.tokens)
    except RequestError as error:
        raise RequestError("damaged-record", error.message) from error
    if header.routing not in (None, routing.root(header.request)):
        raise RequestError("damaged-record", f"{path} has other experts than the record's log")
    return routing


def _secrets(path: Path) -> dict[str, Any]:
    try:
        data = read_file(path, HEADER_CAP, "private part of the record")
        (envelope,) = framing.unpack(data, Kind.PRIVATE, PRIVATE_VERSION, [HEADER_CAP])
        kinds: framing.Kinds = {"tokens": list, "salt": bytes, "key": bytes, "boundaries": bytes}
        found = framing.decode(envelope)
        if isinstance(found, dict) and "routing" in found:
            kinds = {**kinds, "routing": bytes}
        values = {"routing": None, **framing.fields(found, "secrets", kinds)}
        framing.sized(values["key"], 32, "key")
        framing.sized(values["salt"], SALT_BYTES, "salt")
        if not all(type(t) is int and 0 <= t < 1 << 32 for t in values["tokens"]):
            raise FormatError("type", "tokens are numbers of 32 bits")
    except FormatError as error:
        raise RequestError("damaged-record", f"{path}: {error.message}") from error
    return values
