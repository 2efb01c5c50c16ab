"""A small statement with relations of every kind, for both verifiers, and provers that cheat.

Two segments share tables: attention with rotated queries beside it; a norm and a linear layer. Part 0 of the
weights is not opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from assay.circuits.attention import AttentionShape, attention
from assay.circuits.linear import linear
from assay.circuits.rms_norm import rms_norm
from assay.circuits.rope import angle_tables, rope
from tiny_prover import Outcome, outcomes

from assay import _core
from assay.graph import Builder, CellType, Interval, Source, Wire
from assay.layout import Slot
from assay.profiles import Code
from assay.reference import LongLived, Segment, Statement
from assay.reference.circuit import WITNESS, decode

CODE = Code(log_columns=10, random=256, log_coset=11, cosets=3, queries=24)
Parts = list[list[tuple[str, np.ndarray, int]]]  # name, padded cells, columns


def external(b: Builder, name: str, rows: int, cols: int, bits: int = 16) -> Wire:
    """A boundary with bounds that the statement's owner vouches for."""
    wire = b.tensor(name, rows, cols, Interval.signed(bits), source=Source.BOUNDARY, type=CellType.INT64)
    return b.tensor_fact(f"{name}.given", wire, "the test gives it")


def first_circuit() -> bytes:
    b = Builder("attention")
    q, k, v = (external(b, n, r, c) for n, r, c in (("q", 12, 8), ("k", 6, 8), ("v", 6, 4)))
    shape = AttentionShape(kv_heads=2, group_size=2, window=2, score_shift=17, rate=Fraction(1, 2048))
    attention(b, q, k, v, shape)
    rope(b, "p", external(b, "x", 6, 8), angle_tables(b, 3, 8, 10000.0), heads=2)
    return b.finish()


def second_circuit() -> bytes:
    b = Builder("norm")
    rms_norm(b, "n", external(b, "y", 3, 6, 26), b.weight("gain", 1, 6), root=40, shift=37, bits=32, eps=7)
    linear(b, "l", external(b, "z", 3, 4), b.weight("w", 5, 4), shift=9)
    return b.finish()


def padded(values: np.ndarray, kind: type) -> np.ndarray:
    """Rows filled up with zeros to whole blocks of 128 cells."""
    rows, cols = values.shape
    out = np.zeros((rows, -(-cols // 128) * 128), dtype=kind)
    out[:, :cols] = values
    return out


def cells() -> dict[str, np.ndarray]:
    """Everything that no witness step fills."""
    draw = np.random.default_rng(5)

    def random(rows: int, cols: int, bits: int = 16) -> np.ndarray:
        return draw.integers(-(1 << (bits - 1)), 1 << (bits - 1), (rows, cols))

    given = {"q": random(12, 8), "k": random(6, 8), "v": random(6, 4), "x": random(6, 8)}
    given |= {"y": random(3, 6, 26), "gain": random(1, 6, 15), "z": random(3, 4), "w": random(5, 4)}
    return {**given, "unused": random(2, 300)}


@dataclass
class Committed:
    """The prover's commitment, and what each verifier knows of it."""

    name: str
    parts: Parts

    def __post_init__(self) -> None:
        self.rows = tuple(-(-sum(a.size for _, a, _ in part) // 1024) for part in self.parts)
        places = [self._places(part) for part in self.parts]
        self.slots = tuple(
            Slot(name, p, at, len(array), cols, array.itemsize)
            for p, part in enumerate(self.parts)
            for (name, array, cols), at in zip(part, places[p], strict=True)
        )
        self.arrays = [
            (height, [(at, a) for (_, a, _), at in zip(part, places[p], strict=True)])
            for p, (part, height) in enumerate(zip(self.parts, self.rows, strict=True))
        ]
        self.prover = _core.Commitment(self.name, CODE.core(), self.arrays, bytes(32))
        self.prover.commit()

    def _places(self, part: list[tuple[str, np.ndarray, int]]) -> list[int]:
        sizes = [array.size // 128 for _, array, _ in part]
        return [sum(sizes[:i]) for i in range(len(sizes))]

    @property
    def core(self) -> Any:
        slots = [tuple(s.to_list()) for s in self.slots]
        return _core.LongLived(self.name, self.prover.root, list(self.rows), slots)

    @property
    def reference(self) -> LongLived:
        return LongLived(name=self.name, root=self.prover.root, part_rows=self.rows, slots=self.slots)

    def keep_codeword(self, part: int) -> None:
        """Answers queries from the codeword as it is now, whatever happens to the cells."""
        batches: list[bytes] = []

        def sink(_: int, symbols: memoryview) -> None:
            batches.append(bytes(symbols))

        height, slots = self.arrays[part]
        _core.part_digests(CODE.core(), height, slots, part, bytes(32), sink, True)
        self.prover.set_codeword(part, np.frombuffer(b"".join(batches), dtype="u1"))


def slot(given: Mapping[str, np.ndarray], name: str, kind: type) -> tuple[str, np.ndarray, int]:
    """Cells of a tensor by its name."""
    return name, padded(given[name], kind), given[name].shape[1]


class TwoSegments:
    """The statement in both forms, an honest proof, and others."""

    def __init__(self, degree: int, bits: float = 1.0, *, hiding: bool = False) -> None:
        self.degree, self.bits, self.hiding = degree, bits, hiding
        given = cells()
        self.raw = (first_circuit(), second_circuit())
        weights, boundaries = (("unused",), ("gain", "w")), (("q", "k", "v", "x"), ("y", "z"))
        self.weights = Committed("weights", [[slot(given, n, np.int16) for n in p] for p in weights])
        self.boundaries = Committed("boundaries", [[slot(given, n, np.int64) for n in p] for p in boundaries])

    def core(self) -> Any:
        circuits = [_core.Circuit(raw) for raw in self.raw]
        return _core.Statement(
            degree=self.degree,
            code=CODE.core(),
            required_bits=self.bits,
            instance=b"a request",
            weights=self.weights.core,
            members=[self.boundaries.core],
            segments=list(zip(("first", "second"), circuits, (0, 0), strict=True)),
            hiding=self.hiding,
        )

    @cached_property
    def reference(self) -> Statement:
        """As the reference takes it."""
        names = ("first", "second")
        return Statement(
            degree=self.degree,
            hiding=self.hiding,
            code=CODE,
            required_bits=self.bits,
            instance=b"a request",
            weights=self.weights.reference,
            members=(self.boundaries.reference,),
            segments=tuple(
                Segment(name=n, circuit=decode(raw)) for n, raw in zip(names, self.raw, strict=True)
            ),
        )

    @cached_property
    def pair(self) -> tuple[Any, Statement]:
        """Both forms of the statement."""
        return self.core(), self.reference

    def prove(self, **options: Any) -> bytes:
        """A body; options as `_core.prove` takes them."""
        standing = self.weights.prover, [self.boundaries.prover]
        proof = _core.prove(self.pair[0], *standing, bytes(32), **options)
        body: bytes = proof["body"]
        return body

    def outcomes(self, body: bytes) -> tuple[Outcome, Outcome]:
        """What the two verifiers say: (code, segment, relation, round), or totals, outputs and bits."""
        return outcomes(*self.pair, body)

    def corruptible(self) -> list[tuple[str, tuple[int, int]]]:
        """Each witness tensor of the first segment with its last existing cell."""
        circuit = decode(self.raw[0])
        shapes = [(t.name, t.shape) for t in circuit.tensors if t.source == WITNESS]
        return [(name, tuple(np.argwhere(shape.mask())[-1].tolist())) for name, shape in shapes]
