"""The protocol again in plain Python: slow, readable, sharing no code with the extension.

    verify(proof, public=, challenge=)     a proof file, as `assay.verify`
    verify_body(statement, body)           the prover's messages against a statement

Read `verifier` first, beside docs/spec/protocol.md: equation numbers are the same. `circuit` reads circuits
and checks their relations cell by cell on a witness.
"""

from assay.reference.files import Verified, verify
from assay.reference.statement import LongLived, MalformedError, Segment, Statement
from assay.reference.verifier import Accepted, verify_body

__all__ = [
    "Accepted",
    "LongLived",
    "MalformedError",
    "Segment",
    "Statement",
    "Verified",
    "verify",
    "verify_body",
]
