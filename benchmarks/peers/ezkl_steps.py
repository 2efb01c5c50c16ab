"""ezkl: export, calibrate, set up, witness, prove, verify, each in a process of its own.

Settings are ezkl's own defaults (inputs and outputs public, weights fixed in the circuit) as its
calibration for "resources" completes them, on the very input that is proven. The SRS is made here, of the
size that the calibration chose: its secret is known to this machine, so it is for tests only.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import ezkl
import torch
from benchmarks.peers import models
from benchmarks.peers.measure import Clock
from torch import nn


def export(folder: Path, *, kind: str, sizes: dict[str, int]) -> dict[str, Any]:
    """The model as ONNX and its input; the settings, calibrated; the circuit; the SRS."""
    module, x = models.linear(**sizes) if kind == "linear" else models.decoder(models.Decoder(**sizes))
    _export(module, x, folder)
    clock = Clock()
    model, data, settings = (str(folder / name) for name in ("model.onnx", "input.json", "settings.json"))
    with clock("calibrate"):
        _done(ezkl.gen_settings(model=model, output=settings))
        _done(ezkl.calibrate_settings(data=data, model=model, settings=settings, target="resources"))
        _done(
            ezkl.compile_circuit(
                model=model, compiled_circuit=str(folder / "circuit"), settings_path=settings
            )
        )
    chosen = json.loads((folder / "settings.json").read_text())
    rows = chosen["run_args"]["logrows"]
    with clock("srs"):
        _done(ezkl.gen_srs(str(folder / "srs"), rows))
    shown = ("input_scale", "param_scale", "param_visibility", "input_visibility", "output_visibility")
    return {**clock.figures, "logrows": rows, "settings": {name: chosen["run_args"][name] for name in shown}}


def setup(folder: Path) -> dict[str, Any]:
    """The keys."""
    clock = Clock()
    with clock("setup"):
        _done(
            ezkl.setup(
                model=_in(folder, "circuit"),
                vk_path=_in(folder, "vk"),
                pk_path=_in(folder, "pk"),
                srs_path=_in(folder, "srs"),
            )
        )
    return {**clock.figures, "pk_bytes": _size(folder, "pk"), "vk_bytes": _size(folder, "vk")}


def witness(folder: Path) -> dict[str, Any]:
    """The witness, and how far its output is from the float model's."""
    clock = Clock()
    with clock("witness"):
        _done(
            ezkl.gen_witness(
                data=_in(folder, "input.json"),
                model=_in(folder, "circuit"),
                output=_in(folder, "witness.json"),
            )
        )
    made = json.loads((folder / "witness.json").read_text())["pretty_elements"]["rescaled_outputs"][0]
    found = torch.tensor([float(value) for value in made])
    expected = torch.tensor(json.loads((folder / "input.json").read_text())["output_data"][0])
    error = (found - expected).norm() / expected.norm()
    return {**clock.figures, "relative_error": float(error)}


def prove(folder: Path) -> dict[str, Any]:
    """A proof from a witness; reading the proving key is part of it, as in every use of ezkl."""
    clock = Clock()
    with clock("prove"):
        _done(
            ezkl.prove(
                witness=_in(folder, "witness.json"),
                model=_in(folder, "circuit"),
                pk_path=_in(folder, "pk"),
                proof_path=_in(folder, "proof.json"),
                srs_path=_in(folder, "srs"),
            )
        )
    proof = json.loads((folder / "proof.json").read_text())["hex_proof"]
    return {**clock.figures, "proof_bytes": (len(proof) - 2) // 2}


def verify(folder: Path) -> dict[str, Any]:
    """A verdict."""
    clock = Clock()
    with clock("verify"):
        accepted = _done(
            ezkl.verify(
                proof_path=_in(folder, "proof.json"),
                settings_path=_in(folder, "settings.json"),
                vk_path=_in(folder, "vk"),
                srs_path=_in(folder, "srs"),
            )
        )
    if accepted is not True:
        raise RuntimeError("ezkl rejects its own proof")
    return clock.figures


def _export(module: nn.Module, x: torch.Tensor, folder: Path) -> None:
    with torch.no_grad():
        y = module.eval()(x)
    torch.onnx.export(
        module,
        (x,),
        str(folder / "model.onnx"),
        dynamo=False,
        opset_version=14,
        input_names=["x"],
        output_names=["y"],
    )
    values = {name: [tensor.flatten().tolist()] for name, tensor in (("input_data", x), ("output_data", y))}
    (folder / "input.json").write_text(json.dumps(values))


def _done(result: Any) -> Any:
    """What a call gives, now or later."""
    if not inspect.isawaitable(result):
        return result
    import asyncio

    async def wait() -> Any:
        return await result

    return asyncio.run(wait())


def _in(folder: Path, name: str) -> str:
    return str(folder / name)


def _size(folder: Path, name: str) -> int:
    return (folder / name).stat().st_size
