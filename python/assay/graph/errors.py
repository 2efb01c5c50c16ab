"""Errors of circuit construction."""

from __future__ import annotations

from assay.errors import AssayError


class CircuitError(AssayError):
    """A circuit that is malformed, or whose integer identities do not follow from those in the field."""
