"""Rotary position embedding of queries and keys.

Row (t, h) of x [T * heads, n] is a head's vector at position t; element j is paired with j xor n/2. With
public tables C[t, j] = round(2^13 cos) and S[t, j] = -+round(2^13 sin), the sign minus for j < n/2, of
t theta^(-2j / n) (in Llama 3.1 slower where that turns seldom, see `Stretch`):

    (ROPE.1)  y[(t,h), j] = x[(t,h), j] C[t, j] + x[(t,h), j ^ n/2] S[t, j]

so y has 13 fraction bits more than x: it is exact, and needs no limbs.

Bounds: |y| <= max|x| max(|C| + |S|), about max|x| 2^13.5. Lengths: a pair (x, x') turns into a vector of
length at most (2^13 + 1) |(x, x')|, since C^2 + S^2 <= (2^13 + 1)^2; a row of y is then at most 2^13 + 1
times as long as the row of x.
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt

import numpy as np
import numpy.typing as npt
from assay.circuits.fixed_point import Stretch, rotary

from assay.graph import Builder, Interval, PublicTable, Wire, term

ANGLE_BITS = 13


@lru_cache(maxsize=4)
def angles(
    positions: int, head_dim: int, theta: float, stretch: Stretch | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """C and S of (ROPE.1), [positions, head_dim]."""
    cos, sin = rotary(positions, head_dim, theta, ANGLE_BITS, stretch)
    tables = np.hstack([cos, cos]), np.hstack([-sin, sin])
    for table in tables:
        table.setflags(write=False)  # shared
    return tables


def angle_tables(
    b: Builder, positions: int, head_dim: int, theta: float, stretch: Stretch | None = None
) -> tuple[PublicTable, PublicTable]:
    """C and S as public values of the circuit."""
    cos, sin = angles(positions, head_dim, theta, stretch)
    return b.public("rope.cos", cos), b.public("rope.sin", sin)


def rope(b: Builder, name: str, x: Wire, tables: tuple[PublicTable, PublicTable], *, heads: int) -> Wire:
    """y [T * heads, n] of (ROPE.1), stored as x is."""
    cos, sin = tables
    turned = term(x, cos.every(heads)) + term(x.swap(x.cols // 2), sin.every(heads))
    reach = x.bounds.magnitude * int((np.abs(cos.values) + np.abs(sin.values)).max())
    y = b.commit(name, b.value(turned, x.domain).bounded(Interval(-reach, reach)), shape=x.stored)
    b.tensor_fact(f"{name}.bounds", y, "(ROPE.1): |y| <= max|x| max(|C| + |S|)")
    length = x.length or isqrt(x.cols * x.bounds.magnitude**2) + 1
    return b.wire_fact(
        f"{name}.length",
        y,
        y.bounds,
        "(ROPE.1): a pair is turned and scaled by at most 2^13 + 1",
        length=length * ((1 << ANGLE_BITS) + 1),
    )
