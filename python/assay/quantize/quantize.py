"""Weights as int16 with a power-of-two scale.

A weight w becomes round(w * 2^f), ties to even, in [-(2^15 - 1), 2^15 - 1]: -2^15 is left out, since a norm
whose gain it is could have rows without a witness. Products with powers of two and rounding are exact in
float64, so the result is the same on every machine.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import numpy.typing as npt

from assay.circuits.scales import ModelScales, is_gain
from assay.errors import QuantizationError
from assay.model.source import FloatArray, SourceModel

LARGEST = (1 << 15) - 1


def quantize_tensor(
    name: str, values: npt.NDArray[np.floating], fraction_bits: int, *, saturated: Counter[str] | None = None
) -> npt.NDArray[np.int16]:
    """round(values * 2^fraction_bits) as int16, same shape; cells that saturate are counted under `name`."""
    scaled = np.rint(np.ldexp(np.asarray(values, dtype=np.float64), fraction_bits))
    if not np.isfinite(scaled).all():
        raise QuantizationError("non-finite-weights", f"{name} holds NaN or infinity")
    clipped = np.clip(scaled, -LARGEST, LARGEST)
    if saturated is not None and (count := int((clipped != scaled).sum())):
        saturated[name] += count
    return clipped.astype(np.int16)


def fold_gain(values: FloatArray) -> npt.NDArray[np.float64]:
    """A norm's gain [n] times sqrt(n), as [1, n]: the factor that the circuit's inverse root leaves out."""
    gain = np.asarray(values, dtype=np.float64).reshape(1, -1)
    return gain * math.sqrt(gain.shape[1])


def quantize_weight(
    source: SourceModel, name: str, scales: ModelScales, *, saturated: Counter[str] | None = None
) -> npt.NDArray[np.int16]:
    """A tensor of the model by its canonical name: [out, in], or [1, n] for a gain or bias."""
    values = source.tensor(name)
    folded = fold_gain(values) if is_gain(name) else np.atleast_2d(values)
    return quantize_tensor(name, folded, scales.weight(name), saturated=saturated)
