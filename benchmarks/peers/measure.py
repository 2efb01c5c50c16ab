"""Steps in processes of their own: wall and processor time, memory at its peak, the machine's load.

A step is a function of a module of this package, `step(folder, **arguments) -> dict`, that times what it
measures with `Clock`. The process prints the dict, with its peak memory, as the last line of its output.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LEAST_FREE = 1 << 30  # bytes of memory below which a step is stopped
ROOT = Path(__file__).resolve().parents[2]


class StepFailedError(Exception):
    """A step that ended without figures."""


class Clock:
    """Seconds by the clock (`wall`) and of all threads (`cpu`) of named parts of a step."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        self.figures[name] = {part: round(seconds, 4) for part, seconds in spent.items()}


def run_step(module: str, name: str, folder: Path, **arguments: Any) -> dict[str, Any]:
    """A step's figures, with `rss` (bytes) and `load` (before it began)."""
    load = os.getloadavg()[0]
    request = json.dumps({"folder": str(folder), **arguments})
    command = [sys.executable, "-m", "benchmarks.peers.measure", module, name, request]
    log = folder / f"{name}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, text=True)
        _guard(process)
        out, _ = process.communicate()
    if process.returncode != 0 or not out.strip():
        raise StepFailedError(f"{module}.{name}: exit {process.returncode}; see {log}")
    figures: dict[str, Any] = json.loads(out.splitlines()[-1])
    return {**figures, "load": round(load, 1)}


def _guard(process: subprocess.Popen[str]) -> None:
    """Waits for a process; stops it before the machine runs out of memory."""
    while process.poll() is None:
        if available() < LEAST_FREE:
            process.kill()
            process.wait()
            raise StepFailedError("stopped: less than 1 GiB of memory was left")
        time.sleep(0.05)


def available() -> int:
    """Bytes of memory that the machine can give."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def machine() -> dict[str, Any]:
    """What all steps run on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": names[0] if names else "unknown", "cores": os.cpu_count(), "memory": memory}


def main() -> None:
    """The process of one step."""
    module, name, request = sys.argv[1:]
    arguments = json.loads(request)
    folder = Path(arguments.pop("folder"))
    step = getattr(importlib.import_module(f"benchmarks.peers.{module}"), name)
    figures = step(folder, **arguments)
    figures["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
