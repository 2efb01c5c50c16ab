"""Hash trees over lists, as in RFC 6962 with SHA-256: a byte in front keeps leaves and nodes apart.

A tree of n leaves has the largest power of two below n of them on its left side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over the hashes of at least one leaf."""
    if len(leaves) == 1:
        return leaves[0]
    left = _left_of(len(leaves))
    return _node(root(leaves[:left]), root(leaves[left:]))


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The neighbours on the way from leaf `index` to the root, the lowest first."""
    if len(leaves) == 1:
        return []
    left = _left_of(len(leaves))
    if index < left:
        return [*path(leaves[:left], index), root(leaves[left:])]
    return [*path(leaves[left:], index - left), root(leaves[:left])]


def root_of(leaf: bytes, index: int, count: int, way: Sequence[bytes]) -> bytes | None:
    """The root that a leaf and its path give; None if the path has another length than its place has."""
    if count == 1:
        return leaf if not way else None
    if not way:
        return None
    left = _left_of(count)
    if index < left:
        below = root_of(leaf, index, left, way[:-1])
        return None if below is None else _node(below, way[-1])
    below = root_of(leaf, index - left, count - left, way[:-1])
    return None if below is None else _node(way[-1], below)


def _left_of(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
