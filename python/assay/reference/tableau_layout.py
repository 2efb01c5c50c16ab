"""The size of a tableau and the places in it (protocol, section 13)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from assay.reference.padded import LEFT, PAD, PRODUCT, RIGHT, Unknown

MASKS = 3
EXPANSION = 8  # symbols of a row for each of its coefficients
_MARGIN = 4  # bits beyond those required
_KAPPA = range(6, 17)


@dataclass(frozen=True)
class Layout:
    """Where pads and products lie: in slots 0 to S - 1 of rows of K = 2^kappa slots."""

    kappa: int
    queries: int
    pads: int
    products: int

    @property
    def slots(self) -> int:
        """K."""
        return 1 << self.kappa

    @property
    def message(self) -> int:
        """S."""
        return self.slots - self.queries

    @property
    def length(self) -> int:
        """N, the symbols of a row."""
        return EXPANSION * self.slots

    @property
    def pad_rows(self) -> int:
        """Rows that hold pads."""
        return -(-self.pads // self.message)

    @property
    def product_rows(self) -> int:
        """Rows that hold products, and left and right factors."""
        return -(-self.products // self.message)

    @property
    def rows(self) -> int:
        """R."""
        return self.pad_rows + 3 * self.product_rows

    @property
    def cost(self) -> int:
        """Elements that a proof spends on it."""
        return self.queries * (self.rows + MASKS) + 5 * self.slots

    def slot(self, unknown: Unknown) -> tuple[int, int]:
        """Row and slot."""
        kind, number = unknown
        row, place = divmod(number, self.message)
        first = {PAD: 0, LEFT: self.pad_rows}
        first |= {RIGHT: self.pad_rows + self.product_rows, PRODUCT: self.pad_rows + 2 * self.product_rows}
        return first[kind] + row, place


def query_bits(agree: float, length: int, queries: int) -> float:
    """-log2 of the probability that different columns are all among those that agree."""
    return -sum(math.log2((agree - q) / (length - q)) for q in range(queries))


def layout(required_bits: float, pads: int, products: int) -> Layout:
    """That of the least cost; a statement that it cannot have is refused when it is laid out."""
    every = [
        Layout(kappa, queries, pads, products)
        for kappa in _KAPPA
        for queries in [_queries(1 << kappa, required_bits + _MARGIN)]
        if queries is not None
    ]
    return min(every, key=lambda at: at.cost)  # the first of several


def _queries(slots: int, bits: float) -> int | None:
    """The least number, at least 1, that gives these bits, if half the slots are enough."""
    found, agree, length = 0.0, 5 * slots, EXPANSION * slots
    for q in range(slots // 2 + 1):
        if q > 0 and found >= bits:
            return q
        found -= math.log2((agree - q) / (length - q))
    return None
