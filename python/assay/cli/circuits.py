"""circuit show: a layer's relations, with their bounds and counts."""

from __future__ import annotations

from typing import Any

from assay import _core
from assay.audit.header import check_length
from assay.circuits.layer import build
from assay.cli.main import say
from assay.cli.named import named
from assay.cli.output import emit, table
from assay.errors import RequestError
from assay.graph import Builder
from assay.graph.summary import operations
from assay.quantize.scales import typical_scales


def show(name: str, *, layer: int, tokens: int, as_json: bool) -> None:
    """`assay circuit show`."""
    model = named(name)
    config, scales = model.config, model.scales or typical_scales(model.config)
    if layer >= config.num_layers:
        raise RequestError("layer-out-of-range", f"layer {layer} is not one of 0 to {config.num_layers - 1}")
    check_length(tokens, config.max_position)
    builder = build(config, scales.layers[layer], layer, tokens)
    circuit = _core.Circuit(builder.finish())
    relations = _relations(builder)
    payload = {
        "circuit": circuit.name,
        "digest": circuit.digest.hex(),
        "model": model.what,
        "layer": layer,
        "tokens": tokens,
        "lookups": circuit.lookups,
        "committed_elements": circuit.witness_cells,
        "operations": [
            {"name": o.name, "outputs": o.outputs, "lookups": o.lookups, "committed_elements": o.cells}
            for o in operations(builder)
        ],
        "relations": relations,
        "tables": [{"name": t.name, "rows": t.rows, "columns": 1 + len(t.images)} for t in builder.tables],
        "facts": [{"name": fact.name, "argument": fact.argument} for fact in builder.facts],
    }
    if as_json:
        emit(True, payload, [])
        return
    _print(payload)


def _relations(b: Builder) -> list[dict[str, Any]]:
    """Every relation: its kind, cells, and how many bits both sides together may have (63 is the limit)."""
    bits = {name: sides.magnitude.bit_length() for name, sides in b.sides().items()}
    kinds: list[tuple[str, str, int]] = [(z.name, "zero check", z.domain.cells()) for z in b.zero_checks]
    kinds += [(r.name, "linear", r.domain.cells()) for r in b.linears]
    kinds += [(e.name, "einsum", e.out.domain.cells()) for e in b.einsums]
    kinds += [(r.name, "row sum", r.out.domain.cells()) for r in b.row_sums]
    kinds += [(t.name, "total", 1) for t in b.totals]
    kinds += [(o.name, "output", o.wire.domain.cells()) for o in b.outputs]
    kinds += [(r.name, f"lookup in {b.tables[r.table].name}", r.domain.cells()) for r in b.lookups]
    return [{"name": n, "kind": kind, "cells": cells, "bits": bits[n]} for n, kind, cells in kinds]


def _print(payload: dict[str, Any]) -> None:
    rows = [[r["name"], r["kind"], f"{r['cells']:,}", str(r["bits"])] for r in payload["relations"]]
    title = f"{payload['circuit']} over {payload['tokens']} tokens, {payload['model']}"
    table(title, ["relation", "kind", "cells", "bits"], rows)
    rows = [
        [
            o["name"],
            f"{o['outputs']:,}",
            *(f"{n:,} ({n / o['outputs']:.2f})" for n in (o["lookups"], o["committed_elements"])),
        ]
        for o in payload["operations"]
    ]
    table("operations (for each output)", ["operation", "outputs", "lookups", "committed elements"], rows)
    table(
        "tables",
        ["table", "rows", "columns"],
        [[t["name"], f"{t['rows']:,}", str(t["columns"])] for t in payload["tables"]],
    )
    for fact in payload["facts"]:
        say(f"fact {fact['name']}: {fact['argument']}")
    say(f"digest {payload['digest']}")
    say(f"{payload['lookups']:,} lookups, {payload['committed_elements']:,} committed elements")
    say("bits: both sides of a relation together, as integers; the field identity needs them below 2^63")
