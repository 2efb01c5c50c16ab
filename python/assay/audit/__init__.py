"""The verifier's side of the exchange: what a record says, which layers a challenge asks for."""

from assay.audit.challenge import Challenge, challenge
from assay.audit.header import RecordHeader

__all__ = ["Challenge", "RecordHeader", "challenge"]
