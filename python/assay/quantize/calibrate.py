"""Calibration: the largest magnitudes that the float model shows on the texts shipped with the package.

Widths come from bounds, and scales are powers of two with a factor of two to spare, so that a few short
texts are enough; values beyond a scale saturate by a defined clamp.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.errors import QuantizationError
from assay.model.float_model import FloatModel
from assay.model.source import FloatArray, SourceModel
from assay.quantize.scales import ModelScales, derive_scales
from assay.quantize.texts import calibration

_ROWS_AT_A_TIME = 1 << 14


def calibrate(source: SourceModel, texts: Sequence[str] | None = None) -> ModelScales:
    """Scales of the exact model, from `texts` (default: the calibration texts of the package)."""
    return derive_scales(source.config, site_maxima(source, texts), weight_maxima(source))


def site_maxima(source: SourceModel, texts: Sequence[str] | None = None) -> dict[str, float]:
    """Largest magnitude at every site of the float model, by name, over all texts.

    `x.above` is the largest value of x.out: an activation is as good as 0 below 0.
    """
    maxima: dict[str, float] = {}

    def observe(site: str, values: FloatArray) -> None:
        maxima[site] = max(maxima.get(site, 0.0), largest_magnitude(site, values))
        if site.endswith(".out"):
            above = site.removesuffix("out") + "above"
            maxima[above] = max(maxima.get(above, 0.0), float(values.max(initial=0.0)))

    model = FloatModel(source)
    for text in calibration() if texts is None else texts:
        last = model.forward(source.encode(text), observer=observe)[-1]
        if not source.config.encodes:
            model.observe_head(last, observe)
    return maxima


def weight_maxima(source: SourceModel) -> dict[str, float]:
    """Largest magnitude of every tensor, by canonical name, read a slab at a time."""
    return {name: _tensor_maximum(source, name) for name in source.tensor_names()}


def _tensor_maximum(source: SourceModel, name: str) -> float:
    rows = source.shape(name)[0]
    starts = range(0, rows, _ROWS_AT_A_TIME)
    return max(
        largest_magnitude(name, source.rows(name, start, min(start + _ROWS_AT_A_TIME, rows)))
        for start in starts
    )


def largest_magnitude(name: str, values: FloatArray) -> float:
    """max |v|, 0 of an empty array; raises `QuantizationError` on NaN and infinity."""
    largest = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(largest):
        raise QuantizationError(
            "non-finite-statistics", f"{name}: the float model gives NaN or infinity here"
        )
    return largest
