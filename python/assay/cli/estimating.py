"""estimate: what recording, proving and verifying take, from a configuration alone."""

from __future__ import annotations

from typing import Any

from assay.audit.header import check_length
from assay.cli.main import say
from assay.cli.named import Named, named
from assay.cli.output import amount, emit, table
from assay.cost.estimate import Estimate, Figure, Limit, estimate
from assay.cost.model import CostModel, shipped
from assay.cost.statement import Asked, Model
from assay.errors import ModelError, RequestError
from assay.graph import CircuitError

_STORAGE = ("stored", "recompute")


def run(
    name: str,
    *,
    tokens: int,
    cores: int,
    requests: int,
    positions: int,
    served: bool,
    storage: str,
    as_json: bool,
) -> None:
    """`assay estimate`."""
    if storage not in _STORAGE:
        raise RequestError("unknown-storage", f"storage is stored or recompute, not {storage!r}")
    model, cost = named(name), shipped()
    check_length(tokens, model.config.max_position)
    if positions > tokens:
        raise RequestError("position-out-of-range", f"{positions} positions of {tokens} tokens")
    asked = Asked(tokens=tokens, positions=positions, served=served, requests=requests)
    found = _estimated(model, asked, cost, cores=cores, stored=storage == "stored")
    payload = {
        "model": model.what,
        "architecture": model.config.covers,
        "profile": model.profile.name,
        "tokens": tokens,
        "positions": positions,
        "requests": requests,
        "served": served,
        "cores": cores,
        "storage": storage,
        **found.to_dict(),
        "machine": dict(cost.machine),
        "measured": cost.date,
        "errors": {quantity: dict(error) for quantity, error in cost.errors.items()},
    }
    if as_json:
        emit(True, payload, [])
        return
    _print(payload, found, cost)


def _estimated(model: Named, asked: Asked, cost: CostModel, *, cores: int, stored: bool) -> Estimate:
    try:
        counted = Model(model.config, model.code, model.scales)
        return estimate(counted, model.profile, asked, cost, cores=cores, stored=stored)
    except CircuitError as error:
        raise ModelError(
            "no-circuit", f"no circuit covers {model.what}: {error.message}", hint=error.hint
        ) from error


def _print(payload: dict[str, Any], found: Estimate, cost: CostModel) -> None:
    each = f", {payload['requests']} requests in a proof" if payload["requests"] > 1 else ""
    title = (
        f"{payload['model']}: {payload['tokens']} tokens, {payload['positions']} positions{each}, "
        f"{payload['cores']} cores, {payload['storage']}"
    )
    rows = [_row(name, figure, cost) for name, figure in found.figures.items()]
    table(title, ["", "estimate", "error", ""], rows)
    counts = payload["counts"]
    names = {
        "lookups": "lookups",
        "cells": "committed elements",
        "weights": "weights",
        "segments": "segments",
    }
    say(", ".join(f"{counts[name]:,} {shown}" for name, shown in names.items()))
    say(f"errors: median / worst of points held back from the fit ({cost.machine['cpu']}, {cost.date})")
    if found.beyond:
        most = max(found.beyond, key=lambda name: found.beyond[name])
        say(f"extrapolation: beyond what was measured, up to {found.beyond[most]:,.0f} times ({most})")
    for limit in found.limits:
        say(_refused(limit))


def _refused(limit: Limit) -> str:
    return f"not possible as one: {limit.found:,} {limit.what}, at most {limit.most:,}"


def _row(name: str, figure: Figure, cost: CostModel) -> list[str]:
    error = cost.errors.get(figure.quantity or "")
    value = amount(figure.value) if figure.unit == "bytes" else f"{_number(figure.value)} {figure.unit}"
    shown = f"{error['median']:.0%} / {error['worst']:.0%}" if error else ""
    return [name, value, shown, "extrapolation" if figure.extrapolated else ""]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
