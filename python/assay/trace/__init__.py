"""What a provider keeps over the life of a commitment: the ledger of opened columns."""

from assay.trace.ledger import Ledger
from assay.trace.values import EpochState, LedgerState, PartState, Purpose, Ticket

__all__ = ["EpochState", "Ledger", "LedgerState", "PartState", "Purpose", "Ticket"]
