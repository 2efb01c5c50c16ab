"""`public.assay`: all that a client pins of a registered model. One per epoch, immutable.

Clients pin the SHA-256 of the file of epoch 0. Everything that can be derived is derived again when a file is
read (the layout of the commitment), or compared with what the verifier builds itself (circuits, in a
statement).

A file names the proof that its commitment is good: of epoch 0 the registration proof, that every weight is
in range; of a later one the refresh proof, that the weights are those of the epoch before. The proof is
about the file without that name, the *core*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from assay import framing
from assay.circuits.architecture import LARGEST_DIMENSION, Architecture
from assay.circuits.catalogue import config_of
from assay.circuits.scales import ModelScales
from assay.errors import AssayError, ModelError, PublicFileError
from assay.framing import FormatError, Kind
from assay.layout import MOST_PARTS, Layout, table_parts, weight_layout
from assay.profiles import PROFILES, Code, Profile
from assay.storage import read_file

VERSION = 3
CAP = 16 << 20
WEIGHT_RANGE = (-(1 << 15) + 1, (1 << 15) - 1)
MOST_EPOCHS = 1 << 20
_ENVELOPE: framing.Kinds = {
    "format": int,
    "profile": str,
    "code": dict,
    "config": dict,
    "scales": dict,
    "weight_range": list,
    "tokenizer_digest": bytes,
    "source_digest": bytes,
    "parts": list,
    "slots": list,
    "circuit_digest": bytes,
    "root": bytes,
    "epoch": int,
    "previous": (bytes, type(None)),
    "hiding": bool,
    "proof": dict,
}
_PROOF: framing.Kinds = {"kind": str, "hash": bytes}
REGISTRATION, REFRESH = "registration", "refresh"


@dataclass(frozen=True, kw_only=True)
class PublicModel:
    """A registered model as clients see it.

    `scales` and `config` are the dictionaries of ModelScales and of the model's configuration.
    `circuit_digest` covers the circuits of all layers, and of those around them, over one token: two programs
    that agree on it build the same circuits. `previous` is the hash of the public file of the epoch before,
    None in epoch 0. `proof` is the SHA-256 of the epoch's proof file, empty before there is one.
    """

    profile: Profile
    code: Code
    config: Mapping[str, Any]
    scales: ModelScales
    tokenizer_digest: bytes
    source_digest: bytes
    circuit_digest: bytes
    root: bytes
    epoch: int = 0
    previous: bytes | None = None
    proof: bytes = b""

    @property
    def num_layers(self) -> int:
        """Its layers."""
        return int(self.config["num_layers"])

    @property
    def encodes(self) -> bool:
        """Whether the model gives vectors; else logits."""
        return config_of(self.config).encodes

    @property
    def routed(self) -> tuple[int, int] | None:
        """Experts of a layer, and how many of them a token has; None of a model without."""
        return config_of(self.config).routed

    @cached_property
    def layout(self) -> Layout:
        """Parts and slots of the weights' commitment."""
        return weight_layout(self.config, self.code)

    @property
    def proof_kind(self) -> str:
        """What the epoch's proof is about."""
        return REFRESH if self.epoch else REGISTRATION

    @cached_property
    def core_hash(self) -> bytes:
        """SHA-256 of the envelope without `proof`: what the epoch's proof is about."""
        return hashlib.sha256(framing.encode(self._core())).digest()

    @cached_property
    def encoded(self) -> bytes:
        """The file."""
        assert len(self.proof) == 32, "a public file names its proof"
        return framing.pack(Kind.PUBLIC, VERSION, framing.encode(self.to_dict()))

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 of the file: what clients pin."""
        return hashlib.sha256(self.encoded).digest()

    def to_dict(self) -> dict[str, Any]:
        """The envelope."""
        return {**self._core(), "proof": {"kind": self.proof_kind, "hash": self.proof}}

    def _core(self) -> dict[str, Any]:
        return {
            "format": VERSION,
            "profile": self.profile.name,
            "code": self.code.to_dict(),
            "config": dict(self.config),
            "scales": self.scales.to_dict(),
            "weight_range": list(WEIGHT_RANGE),
            "tokenizer_digest": self.tokenizer_digest,
            "source_digest": self.source_digest,
            "parts": list(self.layout.parts),
            "slots": [slot.to_list() for slot in self.layout.slots],
            "circuit_digest": self.circuit_digest,
            "root": self.root,
            "epoch": self.epoch,
            "previous": self.previous,
            "hiding": True,
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicModel:
        """Reads a file; raises `PublicFileError` unless it is exactly one that this program would write."""
        try:
            (envelope,) = framing.unpack(data, Kind.PUBLIC, VERSION, [CAP])
            public = cls._from_dict(framing.decode(envelope))
            if public.encoded != data:
                raise FormatError(
                    "layout", "parts, slots or fixed fields are not those of this configuration"
                )
        except FormatError as error:
            raise PublicFileError(f"public-{error.reason}", f"public file: {error.message}") from error
        except (AssayError, TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
            raise PublicFileError("public-fields", f"public file: {error}") from error
        return public

    @classmethod
    def load(cls, path: Path) -> PublicModel:
        """Reads the file at a path."""
        return cls.from_bytes(read_file(path, CAP + 64, "public file"))

    @classmethod
    def _from_dict(cls, raw: Any) -> PublicModel:
        values = framing.fields(raw, "envelope", _ENVELOPE)
        if values["profile"] not in PROFILES:
            raise FormatError("profile", f"the profile {values['profile']!r} is not known")
        code = _code(values["code"])
        model = _checked_config(values["config"])
        framing.ranged(table_parts(model, code), 1, MOST_PARTS, "the number of the embedding's parts")
        epoch = framing.ranged(values["epoch"], 0, MOST_EPOCHS, "epoch")
        previous = values["previous"]
        if (previous is None) != (epoch == 0):
            raise FormatError("epoch", "epoch 0, and no other, has no epoch before it")
        if previous is not None:
            framing.sized(previous, 32, "previous")
        proof = framing.fields(values["proof"], "proof", _PROOF)
        return cls(
            profile=PROFILES[values["profile"]],
            code=code,
            config=values["config"],
            scales=_scales(values["scales"], model),
            epoch=epoch,
            previous=previous,
            proof=framing.sized(proof["hash"], 32, "the proof's hash"),
            **{
                name: framing.sized(values[name], 32, name)
                for name in ("tokenizer_digest", "source_digest", "circuit_digest", "root")
            },
        )


def _code(raw: Any) -> Code:
    values = framing.fields(raw, "code", {field.name: int for field in fields(Code)})
    for name, value in values.items():
        framing.ranged(value, 0, 1 << 24, name)
    code = Code(**values)
    if reason := code.invalid_reason():
        raise FormatError("code", reason)
    return code


def _scales(raw: Any, config: Architecture) -> ModelScales:
    scales = ModelScales.from_dict(raw)
    shapes = config.layer_shapes()
    outside = {*config.tables(), *config.outside_shapes()}
    fitting = len(scales.layers) == config.num_layers and set(scales.weights) == outside
    fitting = fitting and (scales.head is None) == config.encodes
    if not fitting or any(set(layer.weights) != set(shapes) for layer in scales.layers):
        raise FormatError("scales", "the scales are not those of the configuration's layers")
    for bits in scales.weights.values():
        if type(bits) is not int:
            raise FormatError("scales", "fraction bits are integers")
        framing.ranged(bits, -62, 62, "fraction bits")
    return scales


def _checked_config(raw: dict[str, Any]) -> Architecture:
    """A configuration that circuits and layouts can be built from, with sizes capped."""
    try:
        config = config_of(raw)
    except ModelError as error:
        reason = "architecture" if error.code == "unknown-architecture" else "range"
        raise FormatError(reason, error.message) from error
    for rows, cols in map(_sizes, config.tensor_shapes().values()):
        framing.ranged(cols, 1, LARGEST_DIMENSION, "the columns of a tensor")
        framing.ranged(rows, 1, LARGEST_DIMENSION, "the rows of a tensor")
        framing.ranged(rows * cols, 1, 1 << 40, "the size of a tensor")
    return config


def _sizes(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[0], shape[-1]) if len(shape) == 2 else (1, shape[0])
