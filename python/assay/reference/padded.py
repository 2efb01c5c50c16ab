"""Values of a hiding proof: affine forms in pads and their products (protocol, section 13).

What the prover sends in place of x is y = x + pad, so x is the form y - pad. Verifiers add such forms, scale
them by what they know, and multiply two messages through `Messages.product`; the type checker holds them to
that, since `Padded` has no product with `Padded`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.reference.field import Ext

PAD, LEFT, RIGHT, PRODUCT = range(4)  # pi_k, X_l, Y_l, z_l
Unknown = tuple[int, int]  # one of these, its number


@dataclass(frozen=True, slots=True, eq=False)
class Padded:
    """known + sum of coefficient * unknown."""

    known: Ext
    terms: Mapping[Unknown, Ext]

    @classmethod
    def message(cls, sent: Ext, number: int) -> Padded:
        """y_k - pi_k."""
        return cls(sent, {(PAD, number): Ext.of(-1, len(sent.c))})

    def __add__(self, other: Value | int) -> Padded:
        if not isinstance(other, Padded):
            return Padded(self.known + other, self.terms)
        terms = dict(self.terms)
        for unknown, c in other.terms.items():
            terms[unknown] = terms[unknown] + c if unknown in terms else c
        return Padded(self.known + other.known, terms)

    def __radd__(self, other: Ext | int) -> Padded:
        return self + other

    def __neg__(self) -> Padded:
        return Padded(-self.known, {unknown: -c for unknown, c in self.terms.items()})

    def __sub__(self, other: Value | int) -> Padded:
        return self + -other

    def __rsub__(self, other: Ext | int) -> Padded:
        return -self + other

    def __mul__(self, factor: Ext | int) -> Padded:
        return Padded(self.known * factor, {unknown: c * factor for unknown, c in self.terms.items()})

    def __rmul__(self, factor: Ext | int) -> Padded:
        return self * factor


Value = Ext | Padded
"""A plain element where the proof does not hide, or where nothing was sent."""


def product(a: Padded, b: Padded, number: int) -> Padded:
    """x_i x_j = y_i y_j - y_i pi_j - y_j pi_i + z_l, of two messages."""
    one = Ext.of(1, len(a.known.c))
    return a * b.known + b * a.known - a.known * b.known + Padded(one - one, {(PRODUCT, number): one})
