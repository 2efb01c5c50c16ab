"""The canonical bytes of a circuit (csrc/circuit/circuit.cc reads them).

Little-endian; lists and names are preceded by their length. Sections: name, tables, publics, tensors, wires,
zero-checks, linear relations, einsums, row sums, totals, outputs, lookups; then the witness program. The
digest of a circuit is the SHA-256 of the part before the program: everything the verifier relies on.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from assay.graph.expression import MAX_DEGREE, Domain, IntArray, Operand, Poly, PublicTable, Wire, WireKey
from assay.graph.records import Einsum, Linear, Lookup, Output, RowSum, Step, Table, Tensor, Total, ZeroCheck

if TYPE_CHECKING:
    from assay.graph.builder import Builder

MAGIC = 0x43595341  # "ASYC"
VERSION = 1

T = TypeVar("T")

_U16, _U32, _DOMAIN = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<IIBII")
_MONOMIALS = [struct.Struct("<qB" + "BII" * operands) for operands in range(MAX_DEGREE + 1)]


def _string(text: str) -> bytes:
    raw = text.encode()
    return _U16.pack(len(raw)) + raw


def _listed(items: Sequence[T], write: Callable[[T], bytes]) -> bytes:
    return _U32.pack(len(items)) + b"".join(map(write, items))


def _integers(values: IntArray) -> memoryview:
    return np.ascontiguousarray(values, dtype="<i8").data


def _domain(d: Domain) -> bytes:
    r = d.ragged
    return _DOMAIN.pack(d.rows, d.cols, r.causal, r.divisor, r.window)


def _table(t: Table) -> list[bytes | memoryview]:
    head = _string(t.name) + struct.pack("<BqIB", 1 if t.images else 0, t.start, t.rows, len(t.images))
    return [head, *map(_integers, t.images)]


def _public(p: PublicTable) -> list[bytes | memoryview]:
    rows, cols = p.values.shape
    return [_string(p.name) + struct.pack("<II", rows, cols), _integers(p.values)]


def _tensor(t: Tensor) -> bytes:
    return _string(t.name) + struct.pack("<BB", t.source, t.type) + _domain(t.shape)


def _wire(key: WireKey) -> bytes:
    rows, cols, constant, terms = key
    return struct.pack(
        "<IIqH" + "qI" * len(terms), rows, cols, constant, len(terms), *chain.from_iterable(terms)
    )


class _Encoder:
    """Writes relations; numbers wires as they are met."""

    def __init__(self, builder: Builder) -> None:
        self._b = builder

    def _id(self, wire: Wire) -> int:
        return self._b.wire_id(wire)

    def _operand(self, o: Operand) -> tuple[int, int, int]:
        ident = self._id(o.wire) if o.wire is not None else o.public_table.id
        return o.map, o.argument, ident

    def _poly(self, p: Poly) -> bytes:
        out = [_U16.pack(len(p.monomials))]
        for m in p.monomials:
            operands = chain.from_iterable(map(self._operand, m.operands))
            out.append(_MONOMIALS[len(m.operands)].pack(m.coefficient, len(m.operands), *operands))
        return b"".join(out)

    def zero_check(self, z: ZeroCheck) -> bytes:
        full = Domain(z.domain.rows, z.domain.cols)  # missing cells read 0 (Builder.zero)
        return _string(z.name) + _domain(full) + _listed(z.polys, self._poly)

    def linear(self, r: Linear) -> bytes:
        return _string(r.name) + _domain(r.domain) + self._poly(r.poly)

    def einsum(self, e: Einsum) -> bytes:
        ids = [self._id(w) for w in (e.out, *e.inputs)]
        return _string(e.name) + struct.pack(f"<BII{len(ids)}I", e.kind, e.groups, e.members, *ids)

    def row_sum(self, r: RowSum) -> bytes:
        return _string(r.name) + struct.pack("<II", self._id(r.out), self._id(r.x))

    def named_wire(self, r: Total | Output) -> bytes:
        return _string(r.name) + struct.pack("<I", self._id(r.wire))

    def lookup(self, r: Lookup) -> bytes:
        head = _string(r.name) + struct.pack("<I", r.table)
        return head + _domain(r.domain) + _listed(r.columns, self._poly)

    def step(self, s: Step) -> bytes:
        head = struct.pack("<BBIIq", s.kind, int(s.from_einsum), s.index, s.table, s.constant)
        tensors = struct.pack(f"<H{len(s.tensors)}I", len(s.tensors), *s.tensors)
        bits = struct.pack(f"<H{len(s.bits)}B", len(s.bits), *s.bits)
        return head + _domain(s.domain) + self._poly(s.poly) + tensors + bits


def _split(builder: Builder) -> tuple[list[bytes | memoryview], bytes]:
    """The part under the digest, in pieces, and the program."""
    e = _Encoder(builder)
    relations = [
        _listed(builder.zero_checks, e.zero_check),
        _listed(builder.linears, e.linear),
        _listed(builder.einsums, e.einsum),
        _listed(builder.row_sums, e.row_sum),
        _listed(builder.totals, e.named_wire),
        _listed(builder.outputs, e.named_wire),
        _listed(builder.lookups, e.lookup),
    ]
    program = _listed(builder.program, e.step)  # may name wires of its own, so before the wires are written
    head = [
        struct.pack("<II", MAGIC, VERSION) + _string(builder.name),
        struct.pack("<I", len(builder.tables)),
        *chain.from_iterable(map(_table, builder.tables)),
        struct.pack("<I", len(builder.publics)),
        *chain.from_iterable(map(_public, builder.publics)),
        _listed(builder.tensors, _tensor),
        _listed(list(builder.wires), _wire),
    ]
    return head + relations, program


def encode(builder: Builder) -> bytes:
    """The canonical bytes of a circuit."""
    relations, program = _split(builder)
    return b"".join([*relations, program])


def digest(builder: Builder) -> bytes:
    """SHA-256 of the relations: what a statement names."""
    return hashlib.sha256(b"".join(_split(builder)[0])).digest()
