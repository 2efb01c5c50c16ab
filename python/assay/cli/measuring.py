"""bench layer, bench forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.cli.output import emit, table


def layer(
    dir: Path,
    *,
    tokens: int,
    layer: int,
    profile: str | None,
    threads: int,
    runs: int,
    model: str | None,
    as_json: bool,
) -> None:
    """`assay bench layer`."""
    from assay.bench.layer import measure

    figures = measure(
        dir, tokens=tokens, layer=layer, profile=profile, threads=threads, runs=runs, model=model
    )
    _show(figures, f"layer {layer}, {tokens} tokens", as_json=as_json)


def forward(
    dir: Path,
    *,
    tokens: int,
    positions: int,
    profile: str | None,
    threads: int,
    runs: int,
    batch: int,
    served: bool,
    model: str,
    as_json: bool,
) -> None:
    """`assay bench forward`."""
    from assay.bench.forward import measure

    figures = measure(
        dir,
        tokens=tokens,
        positions=positions,
        profile=profile,
        threads=threads,
        runs=runs,
        batch=batch,
        served=served,
        model=model,
    )
    _show(figures, f"forward pass, {tokens} tokens, {positions} positions", as_json=as_json)


def _show(figures: dict[str, Any], title: str, *, as_json: bool) -> None:
    if as_json:
        emit(True, figures, [])
        return
    table(
        title, ["", ""], [[n, _shown(value)] for n, value in figures.items() if not isinstance(value, dict)]
    )
    for name, values in figures.items():
        if isinstance(values, dict):
            table(name, ["", ""], [[key, _shown(value)] for key, value in values.items()])


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
