"""Verification: from a proof, a public file and a challenge to what was proven, or to an error."""

from assay.verify.epochs import VerifiedEpoch, verify_refresh, verify_registration
from assay.verify.pin import Pin, PinFile, pin_public
from assay.verify.verified import (
    Distances,
    EncodeStatement,
    Experts,
    ForwardStatement,
    LayerStatement,
    RoutingDistance,
    Verified,
    VerifiedMember,
)
from assay.verify.verifier import verify

__all__ = [
    "Distances",
    "EncodeStatement",
    "Experts",
    "ForwardStatement",
    "LayerStatement",
    "Pin",
    "PinFile",
    "RoutingDistance",
    "Verified",
    "VerifiedEpoch",
    "VerifiedMember",
    "pin_public",
    "verify",
    "verify_refresh",
    "verify_registration",
]
