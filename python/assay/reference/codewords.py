"""What the opening and the tableau share: points of a code, codewords there, leaves under a root."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from assay.profiles import Code
from assay.reference.field import Array, P, Residues, add, mul, total
from assay.reference.transcript import Messages, Where

INNER_TAG = b"\x03"
SALT, DIGEST = 16, 32
_STEP = 512  # coefficients taken together


def code_point(code: Code, j: int) -> int:
    """The point at which symbol j of a codeword is evaluated."""
    n = 1 << code.log_coset
    coset, i = divmod(j, n)
    reversed_bits = int(format(i, f"0{code.log_coset}b")[::-1], 2)
    root = pow(7, (P - 1) // n, P)
    return pow(2, 64 * (coset % 3), P) * pow(7, coset // 3, P) * pow(root, reversed_bits, P) % P


def evaluate_row(u: Array, points: list[int]) -> Array:
    """sum over k of u_k x^k at each point: Horner's rule, `_STEP` coefficients at a time."""
    degree = u.x.shape[-1]
    powers = np.array([list(_powers(x)) for x in points], np.uint64)
    coefficients = u.padded(-(-u.shape[0] // _STEP) * _STEP).x.reshape(-1, _STEP, degree)
    result: Residues = np.zeros((len(points), degree), np.uint64)
    for piece in coefficients[::-1]:
        added = total(mul(powers[:, :_STEP, None], piece[None]), 1)
        result = add(mul(result, powers[:, _STEP:]), added)
    return Array(result)


def _powers(x: int) -> Iterator[int]:
    """x^0 to x^_STEP."""
    return accumulate(range(_STEP), lambda power, _: power * x % P, initial=1)


def climb(m: Messages, leaves: dict[int, bytes], width: int, where: Where) -> bytes:
    """From leaves to the root; digests that cannot be computed are read as they are needed."""
    level = leaves
    while width > 1:
        above: dict[int, bytes] = {}
        for i in sorted(level):
            if i // 2 in above:
                continue
            sibling = i ^ 1
            if sibling >= width:
                above[i // 2] = level[i]
                continue
            other = level[sibling] if sibling in level else m.take(DIGEST, where)
            pair = level[i] + other if i % 2 == 0 else other + level[i]
            above[i // 2] = sha256(pair + INNER_TAG)
        level, width = above, -(-width // 2)
    return level[0]


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()
