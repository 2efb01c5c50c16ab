"""Fits the cost model on the points of scaling.json, and tests it on those that were held back.

    python benchmarks/scaling_fit.py

Least squares in relative error with coefficients that are not negative. Writes what `assay estimate` ships
with, python/assay/cost/coefficients.json, and prints the errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from assay.circuits.catalogue import config_of
from scaling import RESULTS, config_of_point

from assay.cost.model import FEATURES, STEPS, CostModel
from assay.cost.registration import registration_counts
from assay.cost.size import proof_bytes
from assay.cost.statement import Asked, Counts, Model
from assay.layout import weight_layout
from assay.profiles import profile_named

COEFFICIENTS = Path(__file__).parents[1] / "python" / "assay" / "cost" / "coefficients.json"
PROFILE = profile_named("provable-128")
Array = npt.NDArray[np.float64]
Point = dict[str, Any]


def fitted(rows: Array, values: Array, units: Array) -> Array:
    """c >= 0 with the least sum of squares of (rows c - values) / units [Lawson-Hanson 1974, chapter 23]."""
    scale = np.linalg.norm(rows / units[:, None], axis=0)
    a, b = rows / units[:, None] / np.where(scale, scale, 1), values / units
    free, x = np.zeros(a.shape[1], bool), np.zeros(a.shape[1])
    for _ in range(10 * a.shape[1]):
        gradient = np.where(free, -np.inf, a.T @ (b - a @ x))
        if gradient.max() <= 1e-9:
            break
        free[gradient.argmax()] = True
        while True:
            z = np.zeros_like(x)
            z[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            if (z[free] > 0).all():
                break
            below = free & (z <= 0)
            step = (x[below] / (x[below] - z[below])).min()
            x += step * (z - x)
            free &= x > 1e-12
            x[~free] = 0
        x = z
    return x / np.where(scale, scale, 1)


def counts_of(point: Point) -> Counts:
    """Of a measured point, with typical scales."""
    asked = Asked(
        tokens=point["tokens"],
        positions=point["positions"],
        served=point["served"],
        requests=point["batch"],
    )
    model = Model(config_of(config_of_point(point)), PROFILE.code)
    return model.counts(PROFILE, asked)


def _step(name: str, point: Point) -> float:
    return float(point["steps"][name])


MEASURED: dict[str, Callable[[Point], float]] = {
    "record": lambda p: p["record"]["core_s"],
    **{step: partial(_step, step.removeprefix("prove.")) for step in STEPS},
    "verify": lambda p: p["verify"]["core_s"],
    "record.memory": lambda p: p["record"]["memory"],
    "prove.memory": lambda p: p["prove"]["memory"],
}


def coefficients(points: list[Point], models: list[Point]) -> dict[str, dict[str, float]]:
    """Of all quantities, from points that are not held back.

    Proving evaluates what recording did: what a product of matrix entries takes is seen there, where less
    else is done.
    """
    own = [p for p in points if not p["held_back"]]
    shapes = [m for m in models if not m["held_back"]]
    out = {name: _fit(name, own, get) for name, get in MEASURED.items() if name != "prove.commit"}
    known = {"macs": out["record"].get("layer_macs", 0.0)}
    out["prove.commit"] = _fit("prove.commit", own, MEASURED["prove.commit"], known)
    out["register"] = _fit("register", shapes, lambda m: float(m["core_s"]))
    for name in ("record", "prove"):
        out[f"{name}.serial"] = _fit(f"{name}.serial", own, partial(_serial, name))
    out["register.serial"] = _fit("register.serial", shapes, partial(_serial, None))
    return {name: out[name] for name in FEATURES}


def _serial(step: str | None, point: Point) -> float | None:
    """What one thread does alone: the main thread has that, and its share of the rest. None: there is one."""
    spent, threads = point if step is None else point[step], point["threads"]
    if threads == 1:
        return None
    return max(0.01, (threads * spent["main_s"] - spent["core_s"]) / (threads - 1))


def _fit(
    name: str,
    points: list[Point],
    get: Callable[[Point], float | None],
    known: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, float]:
    """Coefficients of a quantity, of them some given."""
    used = [(p["features"], value) for p in points if (value := get(p)) is not None]
    columns = [column for column in FEATURES[name] if column not in known]
    rows = np.array([[f[column] for column in columns] for f, _ in used], float)
    values = np.array([value for _, value in used], float)
    rest = values - [sum(c * f[column] for column, c in known.items()) for f, _ in used]
    found = dict(zip(columns, fitted(rows, rest, values), strict=True)) | known
    return {column: float(f"{found[column]:.4g}") for column in FEATURES[name] if found[column] > 0}


def errors(model: CostModel, points: list[Point], models: list[Point]) -> dict[str, dict[str, float]]:
    """Relative errors at points that were held back."""
    held = [p for p in points if p["held_back"]]
    tests: dict[str, list[float]] = {
        "record": [model.of("record", p["features"]) / p["record"]["core_s"] for p in held],
        "prove": [model.prove(p["features"]) / p["prove"]["core_s"] for p in held],
        "verify": [model.of("verify", p["features"]) / p["verify"]["core_s"] for p in held],
        "record.memory": [model.of("record.memory", p["features"]) / p["record"]["memory"] for p in held],
        "prove.memory": [model.of("prove.memory", p["features"]) / p["prove"]["memory"] for p in held],
        "proof_bytes": [p["predicted_bytes"] / p["proof_bytes"] for p in held],
        "register": [model.of("register", m["features"]) / m["core_s"] for m in models if m["held_back"]],
    }
    return {name: _errors(ratios) for name, ratios in tests.items()}


def _errors(ratios: list[float]) -> dict[str, float]:
    off = [abs(ratio - 1) for ratio in ratios]
    return {"median": round(median(off), 4), "worst": round(max(off), 4), "points": len(off)}


def prepared(found: dict[str, Any]) -> tuple[list[Point], list[Point]]:
    """Points and registrations with their counts; of registrations every third is held back too."""
    points, models = list(found["points"].values()), list(found["models"].values())
    for point in points:
        counts = counts_of(point)
        stored = point["storage"] == "stored"
        point |= {"features": counts.features(stored=stored), "predicted_bytes": proof_bytes(counts)}
    models = [shape for shape in models if shape["storage"] == "recompute"]
    for i, shape in enumerate(models):
        layout = weight_layout(config_of(config_of_point(shape)), PROFILE.code)
        counts = registration_counts(layout, PROFILE.code, PROFILE)
        shape |= {"features": counts.features(), "held_back": i % 3 == 1}
    return points, models


def fit(found: dict[str, Any]) -> tuple[CostModel, list[Point], list[Point]]:
    """The model, and the points with their counts."""
    points, models = prepared(found)
    own = [p["features"] for p in points if not p["held_back"]]
    measured = {name: max(f[name] for f in own) for name in own[0] if name != "one"}
    parts = (found["machine"], found["date"], coefficients(points, models), measured)
    untested = CostModel(*parts, {})
    return CostModel(*parts, errors(untested, points, models)), points, models


def main() -> None:
    model, points, _ = fit(json.loads(RESULTS.read_text()))
    values = {name: getattr(model, name) for name in CostModel.__slots__}
    COEFFICIENTS.write_text(json.dumps(values, indent=1) + "\n")
    for name, error in model.errors.items():
        print(
            f"{name:14} median {error['median']:6.1%}  worst {error['worst']:6.1%}  {error['points']} points"
        )
    for point in points:
        spent = point["prove"]["core_s"]
        kept = "held back" if point["held_back"] else ""
        ratio = model.prove(point["features"]) / spent
        print(f"{kept:10} {spent:7.2f} core-seconds, predicted {ratio:5.2f} times  {point['name']}")


if __name__ == "__main__":
    main()
