"""What measurements share: processes of their own, memory while a block runs, the machine's name."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from assay.errors import AssayError, InternalError
from assay.profiles import profile_named
from assay.public import PublicModel


def with_profile(public: PublicModel, name: str | None) -> PublicModel:
    """The same commitment under another profile: the extension and the number of queries differ."""
    if name is None or name == public.profile.name:
        return public
    profile = profile_named(name)
    code = dataclasses.replace(public.code, queries=profile.queries)
    return dataclasses.replace(public, profile=profile, code=code)


def verifying(public: PublicModel, proof: bytes, challenges: Sequence[bytes], runs: int) -> dict[str, Any]:
    """The times of a proof's verification, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "public.assay").write_bytes(public.encoded)
        (folder / "proof.assay").write_bytes(proof)
        for i, challenge in enumerate(challenges):
            (folder / f"challenge-{i}.json").write_bytes(challenge)
        times: list[float] = elsewhere("verify_times", folder=name, runs=runs + 1)
    return {"verify_s": median(times[1:]), "verify_cold_s": times[0]}


@contextmanager
def memory() -> Iterator[dict[str, int]]:
    """The largest anonymous and file-mapped memory of this process while the block runs, in bytes."""
    peaks = {"RssAnon": 0, "RssFile": 0}
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.003):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in peaks:
                    peaks[name] = max(peaks[name], int(rest.split()[0]) << 10)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield peaks
    finally:
        stop.set()
        sampler.join()


def elsewhere(task: str, **arguments: Any) -> Any:
    """Runs one of assay.bench.tasks in a process of its own: its memory and its caches are not this one's."""
    code = "from assay.bench.tasks import main; main()"
    request = json.dumps({"task": task, "arguments": arguments})
    done = subprocess.run(
        [sys.executable, "-c", code], input=request, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise InternalError("bench-failed", f"{task}: {done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if error := answer.get("error"):
        raise AssayError(error["code"], error["message"], hint=error["hint"])
    return answer["result"]


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"
