"""Leaves out the verifier's checks one by one, and demands that a test fails each time.

    cmake --preset mutation && cmake --build --preset mutation
    python tests/mutation/run.py build/mutation

A check is a call of require() or require_zero() with a code, in the folders of the verifier; it is found in
the sources, so that none can be forgotten, and known by its code and its place. In the same way each kind of
message is left out of the transcript, on both sides. A mutant that no test notices is a survivor, and so is a
check that no test reaches. The list of survivors must be empty.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("circuit", "commit", "lookup", "sumcheck", "system", "transcript", "zk")
TESTS = (
    "test_hiding",
    "test_files",
    "test_arguments",
    "test_absorbed",
    "test_forward",
    "test_transcript",
    "test_protocol",
)
TIMEOUT = 600  # seconds for one test program; one that hangs has noticed, too

# The call, its arguments up to the code, the code. Tests of circuits as bytes have messages and no codes.
_CHECK = re.compile(r'\brequire(?:_zero)?\((?P<before>[^;{}]*?)"(?P<code>[a-z]+(?:\.[a-z]+)+)"')
_MESSAGE = re.compile(r'\breceive(?:_public|_bytes)?\(\s*"(?P<label>[a-z.]+)"')


def mutants() -> list[str]:
    """All that the sources of the verifier have, by the names of csrc/transcript/mutation.h."""
    checks = []
    labels = {"instance"}
    thrown = 0
    for folder in FOLDERS:
        for path in sorted((ROOT / "csrc" / folder).glob("*")):
            if path.suffix not in {".h", ".cc"}:
                continue
            text = re.sub(r"//[^\n]*", "", path.read_text())
            file = str(path.relative_to(ROOT))
            for found in _CHECK.finditer(text):
                line = text.count("\n", 0, found.start()) + 1
                checks.append(f"check {found['code']} {file}:{line}")
            thrown += text.count("Rejected{")
            labels.update(found["label"] for found in _MESSAGE.finditer(text))
    if thrown != 1:
        sys.exit(f"a proof is rejected at {thrown} places; require() should be the only one")
    return checks + [f"message {label}" for label in sorted(labels)]


def reached(build: Path, scratch: Path) -> dict[str, set[str]]:
    """What each test program reaches, nothing left out. All of them must pass."""
    out = {}
    for test in TESTS:
        record = scratch / test
        environment = os.environ | {"ASSAY_RECORD_REACHED": str(record)}
        done = subprocess.run([build / test], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{test} fails with all checks in place:\n{done.stderr}")
        out[test] = set(record.read_text().splitlines()) if record.exists() else set()
    return out


def noticed(build: Path, test: str, mutant: str) -> str | None:
    """The first test of a program that fails, or None."""
    environment = os.environ | {"ASSAY_LEAVE_OUT": mutant}
    with subprocess.Popen(
        [build / test], env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stderr is not None
        watch = threading.Timer(TIMEOUT, run.kill)
        watch.start()
        try:
            for line in run.stderr:
                if line.startswith("FAILED "):
                    run.kill()
                    return line.removeprefix("FAILED ").strip()
            return None if run.wait() == 0 else "(ended badly)"
        finally:
            watch.cancel()


def judge(build: Path, reach: dict[str, set[str]], mutant: str) -> str | None:
    """Which test notices a mutant, or None."""
    for test in TESTS:
        if mutant in reach[test] and (name := noticed(build, test, mutant)) is not None:
            return f"{test}: {name}"
    return None


def main(build: Path) -> int:
    start = time.monotonic()
    found = mutants()
    with tempfile.TemporaryDirectory() as scratch:
        reach = reached(build, Path(scratch))
    unknown = sorted(set().union(*reach.values()).difference(found))
    strangers = [u for u in unknown if " csrc/" in u]  # tests have checks and messages of their own
    survivors = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, by in zip(found, pool.map(lambda m: judge(build, reach, m), found), strict=True):
            print(f"{mutant:<64} {by or 'SURVIVES'}", flush=True)
            if by is None:
                survivors.append(mutant)
    minutes = (time.monotonic() - start) / 60
    checks = sum(m.startswith("check ") for m in found)
    messages = len(found) - checks
    print(f"{checks} checks, {messages} kinds of messages, {len(survivors)} survivors, {minutes:.1f} minutes")
    for stranger in strangers:
        print(f"reached by a test, and not found in the sources: {stranger}")
    return 1 if survivors or strangers else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/mutation/run.py BUILD_FOLDER")
    sys.exit(main(Path(sys.argv[1]).resolve()))
