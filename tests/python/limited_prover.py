"""Proves under a limit on address space, by one thread.

Arguments: DIR, REQ, challenge, proof, how many bytes may still be mapped, whether all weights are at first.

Prints the bytes that it did map at most, or the code of the error, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from assay import _core
from assay.audit import Challenge
from assay.errors import StorageError
from assay.prove.folder import RegisteredModel
from assay.prove.prover import prove


def address_space(field: str) -> int:
    """Bytes of this process: `VmSize` now, `VmPeak` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    folder, req, asked, out, room, mapped = sys.argv[1:]
    model = RegisteredModel(Path(folder))
    challenge = Challenge.load(Path(asked))
    _core.set_threads(1)
    started = address_space("VmSize")
    if int(room):
        resource.setrlimit(resource.RLIMIT_AS, (started + int(room), resource.RLIM_INFINITY))
    try:
        parts = range(len(model.public.layout.parts)) if int(mapped) else ()
        held = [model.part_cells(part) for part in parts]
        prove(model, [(Path(req), challenge)], Path(out))
        assert len(held) == len(parts)
    except StorageError as error:
        print(json.dumps({"error": error.code}))
    else:
        print(json.dumps({"used": address_space("VmPeak") - started}))


if __name__ == "__main__":
    main()
