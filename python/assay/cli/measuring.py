"""bench layer."""

from __future__ import annotations

from pathlib import Path

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
    if as_json:
        emit(True, figures, [])
        return
    rows = [[name, _shown(value)] for name, value in figures.items() if not isinstance(value, dict)]
    table(f"layer {layer}, {tokens} tokens", ["", ""], rows)
    for name in ("steps", "security_terms"):
        table(name, ["", ""], [[key, _shown(value)] for key, value in figures[name].items()])


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
