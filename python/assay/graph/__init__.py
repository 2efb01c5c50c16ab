"""Circuits: the relations between named integer tensors that make up one segment.

`Builder` makes a circuit, `Wire` and `Poly` are the expressions it is written in, `finish` checks that
every integer identity follows from its field identity and returns the canonical bytes.
"""

from assay.graph.builder import Accumulator, Builder, Limb
from assay.graph.encoding import digest
from assay.graph.errors import CircuitError
from assay.graph.expression import FULL, Domain, Operand, Poly, PublicTable, Ragged, Wire, is_part, term
from assay.graph.interval import Interval
from assay.graph.records import CellType, Source, Table

__all__ = [
    "FULL",
    "Accumulator",
    "Builder",
    "CellType",
    "CircuitError",
    "Domain",
    "Interval",
    "Limb",
    "Operand",
    "Poly",
    "PublicTable",
    "Ragged",
    "Source",
    "Table",
    "Wire",
    "digest",
    "is_part",
    "term",
]
