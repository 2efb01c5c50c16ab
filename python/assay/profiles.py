"""Profiles: how many bits a proof has, and the code that gives them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from assay.errors import RequestError

if TYPE_CHECKING:
    from assay import _core


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A row of 2^log_columns cells and `random` secret symbols, on cosets * 2^log_coset points."""

    log_columns: int = 17
    random: int = 1 << 15
    log_coset: int = 18
    cosets: int = 2
    queries: int

    @property
    def row_blocks(self) -> int:
        """Blocks of 128 cells in a row."""
        return (1 << self.log_columns) // 128

    @property
    def length(self) -> int:
        """Columns of a codeword."""
        return self.cosets << self.log_coset

    @property
    def message(self) -> int:
        """Coefficients of a row: its cells and its random symbols."""
        return (1 << self.log_columns) + self.random

    def invalid_reason(self) -> str:
        """Why these parameters cannot be used, or nothing; the extension checks the same."""
        if not 7 <= self.log_columns <= 24:
            return "log_columns is not in 7..24"
        if not 2 <= self.log_coset <= 24:
            return "log_coset is not in 2..24"
        if not 1 <= self.cosets <= 16:
            return "cosets is not in 1..16"
        if not 0 <= self.random <= 1 << self.log_columns:
            return "more random than message coefficients"
        if self.message > 1 << self.log_coset:
            return "a row does not fit a coset"
        if 2 * self.message > self.length:
            return "the rate is above 1/2"
        if self.random < self.queries:
            return "fewer random symbols than queries: one opening would tell of the cells"
        if not 1 <= self.queries <= self.length // 2:
            return "queries is not in 1..length/2"
        return ""

    def core(self) -> _core.CodeParams:
        """As the extension takes it."""
        from assay import _core

        return _core.CodeParams(**asdict(self))

    def to_dict(self) -> dict[str, int]:
        """All fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Degree of the extension, bits that every proof must reach, queries at the default rate of 5/16."""

    name: str
    degree: int
    bits: int
    queries: int

    @property
    def code(self) -> Code:
        """The default code: rate 5/16."""
        return Code(queries=self.queries)


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(name="provable-128", degree=3, bits=128, queries=216),
        Profile(name="provable-100", degree=2, bits=100, queries=170),
    )
}
DEFAULT = "provable-128"


def profile_named(name: str) -> Profile:
    """A profile by its name."""
    if name not in PROFILES:
        raise RequestError(
            "unknown-profile", f"there is no profile {name!r}", hint=f"profiles: {', '.join(PROFILES)}"
        )
    return PROFILES[name]
