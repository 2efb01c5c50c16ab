"""Everything that `assay estimate` says of a model and a statement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from assay.cost.model import FEATURES, STEPS, CostModel, Features
from assay.cost.registration import (
    column_bytes,
    registration_counts,
    registration_disk,
    registration_memory,
)
from assay.cost.size import proof_bytes
from assay.cost.statement import DIGEST_BYTES, Asked, Counts, Model
from assay.epochs import MOST_WEIGHTS
from assay.layout import MOST_PARTS
from assay.profiles import Profile
from assay.proof import BODY_CAP
from assay.statement import MOST_LOGITS, MOST_MEMBERS, MOST_SEGMENTS, MOST_TOKEN_LAYERS

RESERVED_PROOFS = 2
"""Openings of an epoch that are kept for refreshes (`assay.prove.epochs`)."""
MOST_LOOKUPS, MOST_BLOCKS = (1 << 31) - 1, 1 << 31
_DISK_BYTES_PER_SECOND = 400 << 20


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit, the quantity whose error it has, whether counts go beyond those measured."""

    value: float
    unit: str
    quantity: str | None = None
    extrapolated: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """What one proof may have at most, and what it would have."""

    what: str
    found: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Figures by name; `limits` are those that the statement or the registration does not keep."""

    figures: Mapping[str, Figure]
    limits: tuple[Limit, ...]
    counts: Counts
    beyond: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        features = {name: int(value) for name, value in self.counts.features().items() if name != "one"}
        return {
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "limits": [asdict(limit) for limit in self.limits],
            "counts": features,
            "structures": self.counts.structures(),
            "beyond": {name: round(times, 2) for name, times in self.beyond.items()},
        }


def estimate(
    model: Model, profile: Profile, asked: Asked, cost: CostModel, *, cores: int, stored: bool
) -> Estimate:
    """Of one proof about what is asked, and of the registration before it."""
    counts = model.counts(profile, asked)
    registration = registration_counts(model.layout, model.code, profile)
    found = _Figures(cost, cores)
    features = counts.features(stored=stored)
    found.timed("recording", "record", cost.of("record", features), features)
    found.timed("proving", "prove", cost.prove(features), features)
    found.add("verifying", cost.of("verify", features), "s, one core", "verify", features)
    for name in ("record", "prove"):
        value = cost.of(f"{name}.memory", features)
        found.add(f"memory, {_NOUNS[name]}", value, "bytes", f"{name}.memory", features)
    found.add("disk while proving", counts.work_bytes, "bytes")
    found.add("disk of a record", _record_bytes(features, model.code.length), "bytes")
    found.add("proof", proof_bytes(counts), "bytes", "proof_bytes")
    own = registration.features()
    found.timed("registering", "register", cost.of("register", own), own)
    found.add("memory, registering", registration_memory(registration), "bytes")
    found.add("disk, registered", registration_disk(registration, stored=stored), "bytes")
    if stored:
        found.add("of it codewords", column_bytes(registration), "bytes")
        found.add("writing them", column_bytes(registration) / _DISK_BYTES_PER_SECOND, "s at 420 MB/s")
    proofs = model.code.random // model.code.queries - RESERVED_PROOFS
    found.add("proofs an epoch", proofs, "proofs")
    found.add("audits an epoch", proofs * asked.requests, "requests")
    return Estimate(
        figures=found.figures,
        limits=tuple(limit for limit in _limits(model, asked, counts) if limit.found > limit.most),
        counts=counts,
        beyond=cost.beyond(features),
    )


_NOUNS = {"record": "recording", "prove": "proving"}


class _Figures:
    """Figures as they come."""

    def __init__(self, cost: CostModel, cores: int) -> None:
        self.cost, self.cores, self.figures = cost, cores, dict[str, Figure]()

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        quantity: str | None = None,
        features: Features | None = None,
    ) -> None:
        beyond = self.cost.beyond(features) if features else {}
        used = {c for q in _fitted(quantity) for c in self.cost.coefficients[q]} if quantity else set()
        self.figures[name] = Figure(value, unit, quantity, not used.isdisjoint(beyond))

    def timed(self, name: str, quantity: str, core: float, features: Features) -> None:
        """Of all cores together, and by the clock."""
        self.add(name, core, "core-seconds", quantity, features)
        seconds = self.cost.seconds(quantity, core, features, self.cores)
        self.add(f"{name}, time", seconds, f"s, {self.cores} cores", quantity, features)


def _fitted(quantity: str | None) -> tuple[str, ...]:
    """The fitted sums that a quantity is made of."""
    if quantity == "prove":
        return STEPS
    return (quantity,) if quantity is not None and quantity in FEATURES else ()


def _record_bytes(features: Features, length: int) -> float:
    return features["boundary_bytes"] + length * DIGEST_BYTES


def _limits(model: Model, asked: Asked, counts: Counts) -> Iterator[Limit]:
    """What statements, registrations and files may be at most."""
    layers = model.whole.num_layers if asked.layers is None else len(asked.layers)
    logits = asked.positions * model.whole.vocab_size if asked.layers is None else 0
    body = counts.stack_rows * counts.code.queries * 8
    yield Limit("weights in a registration", sum(s.blocks for s in model.layout.slots) * 128, MOST_WEIGHTS)
    yield Limit("parts of the weights", len(model.layout.parts), MOST_PARTS)
    yield Limit("requests in a proof", asked.requests, MOST_MEMBERS)
    yield Limit("segments in a proof", counts.segments, MOST_SEGMENTS)
    yield Limit("tokens times layers in a proof", asked.requests * asked.tokens * layers, MOST_TOKEN_LAYERS)
    yield Limit("positions times vocabulary in a proof", asked.requests * logits, MOST_LOGITS)
    yield Limit("lookups in a proof", counts.total("lookups"), MOST_LOOKUPS)
    yield Limit("blocks in a proof", counts.stack_rows * counts.code.row_blocks, MOST_BLOCKS)
    yield Limit("bytes of columns in a proof", body, BODY_CAP)
