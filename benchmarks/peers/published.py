"""What others publish for GPT-2: their figures, on their machines, which were not measured here."""

from __future__ import annotations

from dataclasses import dataclass

HEADER = (
    "system",
    "tokens",
    "prove s",
    "verify s",
    "proof",
    "machine",
    "hides the weights",
    "what the verifier learns",
)
NOT_TOLD = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Figures as their source has them; `second_hand` if that is not the system's authors."""

    system: str
    source: str
    tokens: str
    prove: str
    verify: str = NOT_TOLD
    proof: str = NOT_TOLD
    machine: str
    hides: str
    learns: str
    second_hand: bool = False
    token_seconds: float | None = None
    """By the clock, where the number of tokens is known."""
    cores: int | None = None

    @property
    def title(self) -> str:
        """The system, and whose figures these are."""
        return f"{self.system}, published{' (second-hand)' * self.second_hand}: {self.source}"

    @property
    def core_seconds(self) -> float | None:
        """Seconds for a token, times all cores of the machine."""
        if self.token_seconds is None or self.cores is None:
            return None
        return self.token_seconds * self.cores


GPT2 = (
    Published(
        system="zkGPT",
        source="USENIX Security 2025",
        tokens=NOT_TOLD,
        prove="below 25",
        machine="a server with 200 GB or more",
        hides="yes",
        learns="the output, and that committed weights gave it",
    ),
    Published(
        system="zkGPT, run again by others",
        source="not checked",
        tokens="32",
        prove="64",
        verify="5.8",
        proof="88 KB",
        machine="not told",
        hides="yes",
        learns="the same",
        second_hand=True,
        token_seconds=64 / 32,
    ),
    Published(
        system="Jolt Atlas",
        source="its repository",
        tokens="16",
        prove="14.9",
        verify="1.04",
        proof="2.5 MiB",
        machine="Apple M3, taken as 8 cores",
        hides="no; with its option BlindFold, in 1.8 times the time",
        learns="the weights, which it needs",
        token_seconds=14.9 / 16,
        cores=8,
    ),
    Published(
        system="DeepProve",
        source="Lagrange",
        tokens="174 a minute",
        prove="60",
        verify="1 to 3.7 (second-hand)",
        machine="16 cores",
        hides="no (code of July 2025)",
        learns="what its messages show of weights and activations in the clear",
        token_seconds=60 / 174,
        cores=16,
    ),
)
