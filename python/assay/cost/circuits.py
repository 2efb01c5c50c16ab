"""What one circuit costs, counted from its relations (protocol, sections 4 and 7 to 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, replace

from assay.graph import Builder, Domain
from assay.graph.expression import BLOCK, Map, Monomial
from assay.graph.records import Einsum, EinsumKind, Source, Table, ZeroCheck

LOG_BLOCK = 7
_TREE_BLOCKS = 1 << 15  # of lookups that share a tree


def log2c(n: int) -> int:
    """The least k with 2^k >= n."""
    return max(n - 1, 0).bit_length()


def blocks_of(shape: Domain) -> int:
    """Blocks of 128 cells of a tensor."""
    return shape.rows * -(-shape.cols // BLOCK)


@dataclass(frozen=True, slots=True)
class Messages:
    """What a proof sends in zero knowledge: padded elements, their products, bytes in the clear."""

    elements: int = 0
    products: int = 0
    clear: int = 0

    def __add__(self, other: Messages) -> Messages:
        return Messages(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, count: int) -> Messages:
        return Messages(*(count * n for n in astuple(self)))


def tree(blocks: int) -> Messages:
    """A fraction tree over so many blocks of leaves."""
    layers = LOG_BLOCK + log2c(blocks)
    return Messages(layers * layers + 3 * layers + 4, 2 + 3 * layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitCounts:
    """A circuit in numbers.

    `cells` are its witness cells that exist, `blocks` and `bytes` what it commits with padding, with the
    boundaries that it is the first to name. `leaves` are those of its lookup trees, each filled up to a power
    of two, `tree` those of the largest. `macs` are products of its einsums, `operands` the cells that these
    read, `checked` the cells of zero-checks times what is read there.
    """

    lookups: int = 0
    leaves: int = 0
    tree: int = 0
    cells: int = 0
    blocks: int = 0
    bytes: int = 0
    macs: int = 0
    operands: int = 0
    checked: int = 0
    relations: int = 0
    messages: Messages = Messages()


def count(b: Builder, own: Callable[[str], bool]) -> CircuitCounts:
    """Of a circuit; `own` says of a boundary whether it is committed with this segment."""
    committed = [
        t for t in b.tensors if t.source is Source.WITNESS or (t.source is Source.BOUNDARY and own(t.name))
    ]
    messages = sum(map(_einsum, b.einsums), _in_the_clear(b))
    messages = sum(map(_zero_check, b.zero_checks), messages)
    looked_up = lookups(blocks_of(lookup.domain) for lookup in b.lookups)
    return replace(
        looked_up,
        lookups=sum(lookup.domain.cells() for lookup in b.lookups),
        cells=sum(t.shape.cells() for t in committed if t.source is Source.WITNESS),
        blocks=sum(blocks_of(t.shape) for t in committed),
        bytes=sum(blocks_of(t.shape) * BLOCK * (2 << t.type) for t in committed),
        macs=sum(map(_macs, b.einsums)),
        operands=sum(wire.rows * wire.cols for e in b.einsums for wire in (e.x, e.y)),
        checked=sum(z.domain.rows * z.domain.cols * len(_sent(z)) for z in b.zero_checks),
        relations=sum(
            len(each) for each in (b.zero_checks, b.linears, b.einsums, b.row_sums, b.outputs, b.lookups)
        ),
        messages=messages + looked_up.messages,
    )


def lookups(blocks: Iterable[int]) -> CircuitCounts:
    """Of nothing but lookups on domains of so many blocks each, all of whose cells exist."""
    each = list(blocks)
    trees = list(_trees(each))
    sizes = [BLOCK << log2c(n) for n in trees]
    messages = sum(map(tree, trees), Messages())
    return CircuitCounts(
        lookups=sum(each) * BLOCK, leaves=sum(sizes), tree=max(sizes, default=0), messages=messages
    )


def table_blocks(tables: set[Table]) -> int:
    """Blocks of the rows of all tables."""
    return sum(-(-table.rows // BLOCK) for table in tables)


def _trees(domains: list[int]) -> Iterator[int]:
    """Blocks of each tree of a segment: consecutive lookups share one as long as they fit."""
    blocks = 0
    for more in domains:
        if blocks and blocks + more > _TREE_BLOCKS:
            yield blocks
            blocks = 0
        blocks += more
    yield blocks


def _in_the_clear(b: Builder) -> Messages:
    return Messages(clear=8 * (len(b.totals) + sum(o.wire.rows * o.wire.cols for o in b.outputs)))


def _einsum(e: Einsum) -> Messages:
    if e.kind is EinsumKind.SELECT_NT:
        return Messages(5 + 2 * (log2c(e.out.rows) + log2c(e.groups) + log2c(e.x.cols)), 2)
    rows = e.x.rows if e.kind is EinsumKind.ROW_DOT else e.groups
    return Messages(3 + 2 * (log2c(rows) + log2c(e.x.cols)), 1)


def _macs(e: Einsum) -> int:
    if e.kind is EinsumKind.SELECT_NT:
        return e.out.rows * e.x.cols * (e.y.rows // e.groups)
    if e.kind is EinsumKind.NT:
        return e.x.rows * e.x.cols * (e.y.rows // e.groups)
    return e.x.domain.cells() * (e.y.cols if e.kind is EinsumKind.NN else 1)


def _zero_check(z: ZeroCheck) -> Messages:
    monomials = [m for poly in z.polys for m in poly.monomials]
    degree = max([1, *(len(m.operands) for m in monomials)])
    sent = [_committed(m) for m in monomials]
    triples, pairs = (sum(n >= least for n in sent) for least in (3, 2))
    rounds = log2c(z.domain.rows) + log2c(z.domain.cols)
    return Messages(degree * rounds + len(_sent(z)) + triples, triples + pairs)


def _sent(z: ZeroCheck) -> set[tuple[object, ...]]:
    """The distinct operands whose values the prover sends."""
    return {o.key for p in z.polys for m in p.monomials for o in m.operands if o.map is not Map.PUBLIC}


def _committed(m: Monomial) -> int:
    return sum(o.map is not Map.PUBLIC for o in m.operands)
