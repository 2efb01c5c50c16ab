"""A registered model may be larger than what the process can map: weights are mapped by segment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import CONFIG, SMALL_CODE, register_model, tensors, write_model

from assay import _core
from assay.audit import challenge
from assay.prove.folder import RegisteredModel, mapped_later
from assay.prove.log import Logging
from assay.prove.record import record
from assay.verify import verify

SHAPE = {"hidden_size": 256, "intermediate_size": 4096, "num_hidden_layers": 8}
PROVER = Path(__file__).with_name("limited_prover.py")


def run(folder: Path, name: str, *, room: int, mapped: bool) -> dict[str, int | str]:
    places = [folder / "DIR", folder / "REQ", folder / "challenge.json", folder / f"{name}.assay"]
    arguments = [*map(str, places), str(room), str(int(mapped))]
    done = subprocess.run(
        [sys.executable, str(PROVER), *arguments],
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},  # an arena takes address space, used or not
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, int | str] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_forward_pass_of_a_model_that_does_not_fit(tmp_path: Path) -> None:
    """Beside what proving takes there is room for half of the weights, and for no more."""
    config = {**CONFIG, **SHAPE}
    register_model(write_model(tmp_path / "model", changed=tensors(0, config), **SHAPE), tmp_path / "DIR")
    model = RegisteredModel(tmp_path / "DIR")
    record(model, tmp_path / "REQ", tokens=[2, 7], log=Logging(top_k=3))
    asked = challenge(tmp_path / "REQ" / "record.assay", scope="forward", positions=[1])
    (tmp_path / "challenge.json").write_bytes(asked.encoded)
    sizes = [model.folder.cells(part).stat().st_size for part in range(len(model.public.layout.parts))]
    weights = sum(sizes)
    assert max(sizes) < weights // 6

    free = run(tmp_path, "free", room=0, mapped=False)
    room = int(free["used"]) + weights // 2
    limited = run(tmp_path, "limited", room=room, mapped=False)
    assert int(limited["used"]) < room
    assert run(tmp_path, "mapped", room=room, mapped=True) == {"error": "memory-too-small"}

    proof = (tmp_path / "limited.assay").read_bytes()
    assert verify(proof, public=model.public, challenge=asked).compared


def test_a_file_changed_meanwhile_is_no_assertion(tmp_path: Path) -> None:
    path = tmp_path / "cells"
    np.arange(1 << 12, dtype="<i2").tofile(path)
    commitment = _core.Commitment(
        "c", SMALL_CODE.core(), [(1, [(0, mapped_later(path, 1 << 13))])], bytes(32)
    )
    commitment.commit()
    array = [(1, [(0, np.arange(1 << 12, dtype="<i2"))])]
    other = _core.Commitment("c", SMALL_CODE.core(), array, bytes(32))
    other.commit()
    assert commitment.root == other.root
    os.truncate(path, 100)
    with pytest.raises(OSError, match="cells"):
        commitment.commit()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        commitment.commit()
