"""Verification: from a proof, a public file and a challenge to what was proven, or to an error."""

from assay.verify.verifier import LayerStatement, Verified, verify

__all__ = ["LayerStatement", "Verified", "verify"]
