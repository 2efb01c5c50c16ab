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
        source="the authors' full version of USENIX Security 2025, Table 3",
        tokens="32 (its products' shape)",
        prove="21.8",
        verify="0.35",
        proof="101 KB",
        machine="Xeon 6126, 16 cores; 200 GB of memory",
        hides="yes, it says",
        learns="the output before the head's matrix, which it leaves out",
        token_seconds=21.8 / 32,
        cores=16,
    ),
    Published(
        system="zkGPT, run again by others",
        source="quoted from the evaluation of Spain (OSDI 2026), a figure that we did not see",
        tokens="32",
        prove="64",
        verify="5.8",
        proof="88 KB",
        machine="one thread of a Xeon 8592+; verified on a 2.1 GHz Opteron",
        hides="yes, it says",
        learns="the same",
        second_hand=True,
        token_seconds=64 / 32,
        cores=1,
    ),
    Published(
        system="Jolt Atlas",
        source="its repository's README, May 2026",
        tokens="16",
        prove="14.9",
        verify="1.04",
        proof="2.45 MiB (pull request 239)",
        machine="Apple M3, cores not told, taken as 8",
        hides="no; its option BlindFold (1.8 times the time) hides activations",
        learns="the weights, which it needs",
        token_seconds=14.9 / 16,
        cores=8,
    ),
    Published(
        system="DeepProve",
        source="its repository's README, May 2026",
        tokens="512",
        prove="458",
        verify="1.33",
        proof="10.7 MiB",
        machine="EPYC 9254, 24 cores; 504 GB of memory",
        hides="no (code of July 2025, and others' reports)",
        learns="what its messages show of weights and activations in the clear",
        token_seconds=458 / 512,
        cores=24,
    ),
    Published(
        system="DeepProve",
        source="ePrint 2026/1112, quoted by others",
        tokens="512",
        prove="176 (174 tokens a minute)",
        verify="1.2",
        machine="Ryzen 7950X3D, 16 cores; 128 GB of memory",
        hides="no",
        learns="the same",
        second_hand=True,
        token_seconds=60 / 174,
        cores=16,
    ),
)
