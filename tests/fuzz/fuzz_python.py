"""Coverage-guided fuzzing of the files that Python reads (atheris), by the cases of surface.py.

    pip install -c constraints.txt atheris
    python tests/fuzz/fuzz_python.py [CORPUS] -max_total_time=60 -timeout=20 -rss_limit_mb=4096

An input is a byte that says which reader or which verification, then the file. A finding ends the program
with a traceback and leaves the input in crash-...
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent))

with atheris.instrument_imports(include=["assay", "cbor2"]):
    import surface

GOOD = surface.seeds()
CASES = [*surface.READERS, *(f"{surface.VERIFY} {name}" for name in surface.TRIALS)]


def _file(case: str) -> str:
    """The kind of file that a case reads."""
    return case.split()[-1]


def test_one_input(data: bytes) -> None:
    """One file to one reader, or to `assay.verify` with two good ones."""
    if not data:
        return
    case = CASES[data[0] % len(CASES)]
    if case.startswith(surface.VERIFY):
        surface.run_verify(_file(case), data[1:], GOOD)
    else:
        surface.run(case, data[1:])


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Changes values of the file, or begins anew with a good one."""
    choice = random.Random(seed)
    case = data[0] % len(CASES) if data else choice.randrange(len(CASES))
    if choice.random() < 0.1:
        return bytes(atheris.Mutate(data, max_size))
    if len(data) < 2 or choice.random() < 0.05:
        case = choice.randrange(len(CASES))
        data = bytes([case]) + GOOD[_file(CASES[case])]
    return (bytes([case]) + surface.change(_file(CASES[case]), data[1:], choice))[:max_size]


def main() -> None:
    """Runs until it is told to stop."""
    for k, case in enumerate(CASES):
        test_one_input(bytes([k]) + GOOD[_file(case)])
    atheris.Setup([*sys.argv, "-max_len=16384"], test_one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
