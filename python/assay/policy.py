"""What a verifier may ask of a verified statement beyond its being true."""

from __future__ import annotations

import math
from fractions import Fraction

from assay.errors import RequestError


def routing_limit(most: float | Fraction) -> Fraction:
    """The largest routing distance that is accepted of a layer, in units of its router's logits, summed over
    tokens; exactly as given. Raises `RequestError` unless it is finite and not negative."""
    exact = isinstance(most, int | Fraction)  # may be too large for a float to hold
    if not (exact or math.isfinite(most)) or most < 0:
        raise RequestError("bad-distance", f"a routing distance is a finite number from 0 on, not {most}")
    return Fraction(most)
