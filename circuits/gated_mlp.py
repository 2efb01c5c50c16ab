"""The gated activation f(gate) * up.

a = f(gate) is a polynomial of degree two (ACT.1-4), never committed; u = up, clamped (LIN.2):

    (GATE.1)  y = a u

y is committed, and defined by (GATE.1): it is exact, and needs no range check.

Bounds: |a| <= M < 2^16, so |y| <= M max|u|.
"""

from __future__ import annotations

from assay.circuits.activation import GELU_TANH, largest

from assay.graph import Builder, Interval, Poly, Wire


def gated_product(
    b: Builder, name: str, active: Poly, up: Wire, *, fraction_bits: int, kind: str = GELU_TANH
) -> Wire:
    """y of (GATE.1), `fraction_bits` more than those of up."""
    reach = largest(fraction_bits, kind) * up.bounds.magnitude
    y = b.commit(name, b.value(active * up, up.domain).bounded(Interval(-reach, reach)))
    return b.tensor_fact(
        f"{name}.bounds",
        y,
        "(ACT.2-4): the activation is G, 0 or M, since positive is 1 only where outside is; |G| <= M",
    )
