"""A small proof, made and checked and broken: what `doctor` tries."""

from __future__ import annotations

import os

import numpy as np

from assay import _core
from assay.errors import InternalError
from assay.graph import Builder, Interval

_ROWS, _COLS = 4, 128
_CODE = {"log_columns": 8, "random": 256, "log_coset": 9, "cosets": 2, "queries": 194}


def run() -> None:
    """Raises unless a true statement is accepted and a changed proof is rejected."""
    circuit = _core.Circuit(_circuit())
    cells = np.arange(_ROWS * _COLS, dtype=np.int32).reshape(_ROWS, _COLS)
    weights = np.zeros((1, _COLS), np.int16)
    code = _core.CodeParams(**_CODE)
    committed, known = _commit(code, "boundaries", "x", cells)
    registered, root = _commit(code, "weights", "w", weights)
    statement = _core.Statement(
        degree=3,
        code=code,
        required_bits=60.0,
        instance=b"doctor",
        weights=root,
        members=[known],
        segments=[("doctor", circuit, 0)],
        hiding=True,
    )
    body = _core.prove(statement, registered, [committed], os.urandom(32))["body"]
    _core.verify(statement, body)
    broken = bytearray(body)
    broken[len(body) // 2] ^= 1
    try:
        _core.verify(statement, bytes(broken))
    except _core.Rejected:
        return
    raise InternalError("core-unsound", "the core accepted a changed proof")


def _circuit() -> bytes:
    b = Builder("doctor")
    x = b.boundary("x", _ROWS, _COLS, 16)
    w = b.weight("w", 1, _COLS)
    b.in_range("x.range", x, Interval.signed(16))
    b.in_range("sum.range", b.commit("sum", b.product_nt(x, w)), Interval.signed(16))
    return b.finish()


def _commit(
    code: _core.CodeParams, name: str, slot: str, cells: np.ndarray
) -> tuple[_core.Commitment, _core.LongLived]:
    rows = -(-cells.size // (1 << _CODE["log_columns"]))
    commitment = _core.Commitment(name, code, [(rows, [(0, cells)])], os.urandom(32))
    commitment.commit()
    place = (slot, 0, 0, cells.shape[0], cells.shape[1], cells.itemsize)
    return commitment, _core.LongLived(name, commitment.root, [rows], [place])
