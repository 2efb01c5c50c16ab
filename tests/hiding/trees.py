"""Merkle trees of a prover in plain Python."""

from __future__ import annotations

from assay.reference.codewords import INNER_TAG, sha256


class Tree:
    """All levels over these leaves (protocol, section 12)."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.levels = [leaves]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            above = [sha256(below[i] + below[i + 1] + INNER_TAG) for i in range(0, len(below) - 1, 2)]
            self.levels.append(above + below[len(above) * 2 :])

    @property
    def root(self) -> bytes:
        """The last level."""
        return self.levels[-1][0]

    def opening(self, indices: list[int]) -> bytes:
        """The digests that cannot be computed from these leaves, in their order."""
        out, known = b"", sorted(indices)
        for level in self.levels[:-1]:
            siblings = [i ^ 1 for i in known if i ^ 1 not in known and i ^ 1 < len(level)]
            out += b"".join(level[i] for i in siblings)
            known = sorted({i // 2 for i in known})
        return out
