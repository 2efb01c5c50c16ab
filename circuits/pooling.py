"""Pooling: the sum of the rows of the last boundary, as a public output.

    (POOL.1)  pooled[j] = sum over t of x[t, j]
    (POOL.2)  the cells of pooled are public outputs

A client divides by T for the mean. The other operand of the product (POOL.1) is a row of ones, a wire of no
tensor.

Bounds: |pooled| <= T max|x|. x is ranged by whoever reads it (RES.1).
"""

from __future__ import annotations

from assay.graph import Builder, Wire
from assay.graph.expression import uniform


def pooled(b: Builder, x: Wire) -> Wire:
    """The output "pooled" [1, n] of x [T, n]."""
    out = b.commit("pooled.sum", b.product_nn(uniform(1, x.rows, 1), x))
    b.output("pooled", out)
    return out
