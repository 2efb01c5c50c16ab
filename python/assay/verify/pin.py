"""Pins: what a client keeps of a model, from the registration proof on through every refresh.

A pin is a small file of the client's own. It is made from a public file and the proofs beside it, once these
are verified, and follows the provider's epochs by their refresh proofs:

    chain      SHA-256 of the public file of every epoch from 0 to the current one
    counter    the highest ledger counter of a proof verified so far
    proofs     the counters of the last proofs verified, with the proofs' SHA-256

A counter that is not above all earlier ones of other proofs means that the provider's ledger went back, as it
does when it is restored from a backup: then more columns may have been opened than it knows of.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from assay import framing
from assay.errors import AssayError, PublicFileError, RequestError
from assay.framing import FormatError
from assay.public import CAP as PUBLIC_CAP
from assay.public import PublicModel
from assay.storage import read_file, storage_errors, write_file
from assay.verify.epochs import VerifiedEpoch, verify_refresh, verify_registration

KIND = "assay pin"
VERSION = 1
MOST_PROOFS = 1 << 12
_CAP = 16 << 20
_MOST_FILES = 1 << 12
_DIGITS = 20  # of a counter
_FIELDS: framing.Kinds = {"kind": str, "version": int, "chain": list, "counter": int, "proofs": dict}


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A verified chain of public files; `proofs` maps counters to proofs, the highest last."""

    chain: tuple[bytes, ...]
    counter: int = 0
    proofs: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The current epoch."""
        return len(self.chain) - 1

    @property
    def model(self) -> bytes:
        """The hash of the public file of epoch 0."""
        return self.chain[0]

    @property
    def encoded(self) -> bytes:
        """The file, JSON."""
        values = {
            "kind": KIND,
            "version": VERSION,
            "chain": [digest.hex() for digest in self.chain],
            "counter": self.counter,
            "proofs": {str(counter): digest.hex() for counter, digest in self.proofs.items()},
        }
        return (json.dumps(values, indent=1) + "\n").encode()

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "model": self.model.hex(),
            "epoch": self.epoch,
            "public_hash": self.chain[-1].hex(),
            "counter": self.counter,
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Pin:
        """Reads a file; raises `RequestError`."""
        try:
            return _checked(framing.fields(_json(data), "pin", _FIELDS))
        except FormatError as error:
            raise RequestError(f"pin-{error.reason}", f"pin: {error.message}") from error

    def require(self, public: PublicModel) -> None:
        """Raises `PublicFileError` unless the public file is one of the chain."""
        if public.epoch > self.epoch:
            raise PublicFileError(
                "pin-behind",
                f"the public file is of epoch {public.epoch}, the pin has followed to epoch {self.epoch}",
                hint="assay pin PUBLIC --pin FILE follows it by the refresh proofs",
            )
        if public.hash != self.chain[public.epoch]:
            raise PublicFileError(
                "pin-fork", f"this is not the public file of epoch {public.epoch} that was pinned"
            )

    def followed_by(self, later: Pin) -> Pin:
        """The later chain, with the counters of both."""
        both = self
        for counter, proof in later.proofs.items():
            both, _ = both.noted(counter, proof)
        return replace(both, chain=later.chain)

    def noted(self, counter: int, proof: bytes) -> tuple[Pin, bool]:
        """The pin after a proof was verified, and whether the ledger went back."""
        if self.proofs.get(counter) == proof:
            return self, False
        went_back = counter <= self.counter
        if went_back and counter in self.proofs:
            return self, True  # two proofs of one counter: the first one stays
        known = sorted({**self.proofs, counter: proof}.items())[-MOST_PROOFS:]
        return replace(self, counter=max(self.counter, counter), proofs=dict(known)), went_back


@dataclass(frozen=True, slots=True)
class PinFile:
    """A pin on disk; changes are made under a lock, each by a rename."""

    path: Path

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> PinFile:
        """At a path."""
        return cls(Path(path))

    def read(self) -> Pin:
        """The pin as it is now."""
        return Pin.from_bytes(read_file(self.path, _CAP, "pin"))

    def write(self, pin: Pin) -> None:
        """Makes the file, or replaces it."""
        write_file(self.path, pin.encoded)

    def make(self, pin: Pin, before: Pin | None) -> None:
        """Writes a pin that was verified, unless the file has become another than `before` since."""
        with self._locked():
            found = self.read() if self.path.exists() else None
            if found is not None and (before is None or found.chain != before.chain):
                raise RequestError("pin-changed", f"{self.path} is another pin by now", hint="run it again")
            self.write(pin if found is None else found.followed_by(pin))

    def note(self, counter: int, proof: bytes) -> bool:
        """Notes a verified proof; returns whether the provider's ledger went back."""
        with self._locked():
            before = self.read()
            after, went_back = before.noted(counter, proof)
            if after != before:
                self.write(after)
        return went_back

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time; the lock is on the folder, since the file is replaced."""
        with storage_errors(self.path):
            descriptor = os.open(self.path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


# ---- making a pin, and following the chain ----


def pin_public(
    public: str | os.PathLike[str],
    *,
    proofs: str | os.PathLike[str] | None = None,
    before: Pin | None = None,
    model: bytes | None = None,
) -> tuple[Pin, tuple[VerifiedEpoch, ...]]:
    """Verifies a public file's chain, from epoch 0 or from where the pin `before` stands, and pins it.

    Proofs and earlier public files are looked for beside the public file, in `epochs/` there, and in
    `proofs`. `model` is the hash that the public file of epoch 0 must have. Returns the pin, and what was
    verified for it.
    """
    places = [Path(public).absolute().parent, *([Path(proofs)] if proofs is not None else [])]
    known = _Files(places)
    newest = PublicModel.load(Path(public))
    chain = _back(newest, known, before)
    result = before or Pin(chain=(chain[0].hash,))
    if model not in (None, result.model):
        raise PublicFileError("public-not-pinned", "epoch 0 is not the public file that was asked for")
    verified = []
    if before is None:
        verified.append(verify_registration(known.proof(chain[0]), public=chain[0]))
    for old, new in pairwise(chain):
        verified.append(verify_refresh(known.proof(new), public=new, before=old))
        result = replace(result, chain=(*result.chain, new.hash))
    for found in verified:
        result, _ = result.noted(found.counter, found.proof_hash)
    return result, tuple(verified)


def _back(newest: PublicModel, known: _Files, before: Pin | None) -> list[PublicModel]:
    """The public files from epoch 0, or the pinned one, up to `newest`, each naming the one before it."""
    if before is not None and newest.epoch < before.epoch:
        raise PublicFileError(
            "epoch-backwards", f"the public file is of epoch {newest.epoch}, the pin is at {before.epoch}"
        )
    chain = [newest]
    while chain[0].epoch > (0 if before is None else before.epoch):
        first = chain[0]
        chain.insert(0, known.public(first.previous or b"", first.epoch - 1))
    if before is not None and chain[0].hash != before.chain[chain[0].epoch]:
        raise PublicFileError(
            "pin-fork", f"epoch {chain[0].epoch} is not the public file that was pinned: the chain forks"
        )
    return chain


class _Files:
    """Public files and proofs in some folders, their `epochs/` and folders below these, by their hashes."""

    def __init__(self, places: Iterable[Path]) -> None:
        self.folders = [folder for place in places for folder in _folders(place)]

    def public(self, digest: bytes, epoch: int) -> PublicModel:
        """The public file with this hash; it has to be of this epoch."""
        for path in self._files("*.assay"):
            try:
                if not path.is_file() or path.stat().st_size > PUBLIC_CAP + 64:
                    continue
                found = PublicModel.load(path)
            except (AssayError, OSError):
                continue  # a file of another kind, or none of ours
            if found.hash == digest:
                if found.epoch != epoch:
                    raise PublicFileError(
                        "epoch-gap", f"{path} is of epoch {found.epoch}, epoch {epoch} is needed"
                    )
                return found
        raise PublicFileError(
            "epoch-gap",
            f"the public file of epoch {epoch}, {digest.hex()[:16]}, is missing: the chain has a gap",
            hint="get it from the provider, and name its folder with --proofs",
        )

    def proof(self, public: PublicModel) -> Path:
        """The file of the proof that a public file lists."""
        name = f"{public.proof.hex()}.proof"
        for folder in self.folders:
            if (folder / name).is_file():
                return folder / name
        raise PublicFileError(
            "proof-missing",
            f"the {public.proof_kind} proof of epoch {public.epoch} is missing: {name}",
            hint="get it from the provider, and name its folder with --proofs",
        )

    def _files(self, pattern: str) -> Iterator[Path]:
        count = 0
        for folder in self.folders:
            for path in sorted(folder.glob(pattern)):
                count += 1
                if count <= _MOST_FILES:
                    yield path


def _folders(place: Path) -> Iterator[Path]:
    yield place
    for parent in (place / "epochs", place):
        if parent.is_dir():
            yield from sorted(path for path in parent.iterdir() if path.is_dir() and path.name.isdecimal())


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError("json", f"not JSON: {error}") from error


def _checked(values: dict[str, Any]) -> Pin:
    if values["kind"] != KIND or values["version"] != VERSION:
        raise FormatError("version", "another kind or version than this program knows")
    framing.ranged(values["counter"], 0, (1 << 64) - 1, "counter")
    if not values["chain"] or len(values["proofs"]) > MOST_PROOFS:
        raise FormatError("range", "no epoch, or too many proofs")
    counters = {}
    for name, digest in values["proofs"].items():
        counters[_counter(name, values["counter"])] = _digest(digest)
    chain = tuple(_digest(digest) for digest in values["chain"])
    return Pin(chain=chain, counter=values["counter"], proofs=counters)


def _counter(name: str, highest: int) -> int:
    if len(name) > _DIGITS or not name.isdecimal() or str(int(name)) != name or int(name) > highest:
        raise FormatError("range", "a counter is not a number up to the highest")
    return int(name)


def _digest(text: Any) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except (TypeError, ValueError) as error:
        raise FormatError("type", "not a hexadecimal hash") from error
    return framing.sized(raw, 32, "a hash")
