"""The one tree of errors.

Every failure that a caller can meet is an `AssayError` with a stable `code` (kebab-case, part of the API), a
message for people, and, where there is something to do about it, a `hint`. The class fixes the exit code of
the command line: 1 for a rejected proof, 2 for anything wrong with arguments, files, models or disks, 3 for a
fault of our own.
"""

from __future__ import annotations

from typing import ClassVar


class AssayError(Exception):
    """Base of all errors raised on purpose; `code` is stable, `hint` says what to do next."""

    exit_code: ClassVar[int] = 2

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(code, message)
        self.code: str = code
        self.message: str = message
        self.hint: str | None = hint

    def __str__(self) -> str:
        return self.message

    def to_dict(self) -> dict[str, str | int | None]:
        """The error as one JSON object, for `--json` and for reports."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class ModelError(AssayError):
    """A model that is missing, damaged, or of a kind that is not covered."""


class QuantizationError(AssayError):
    """A float model that has no exact integer model within the declared ranges."""


class StorageError(AssayError):
    """A disk that is full, a registered model that is incomplete, or a file that cannot be written."""


class RequestError(AssayError):
    """Arguments of the caller: a prompt longer than the context, a layer or token out of range."""


class ChallengeError(AssayError):
    """A challenge that is malformed or belongs to another record."""


class PublicFileError(AssayError):
    """A public file that is malformed, of another version, or not in the pinned chain."""


class VerificationError(AssayError):
    """A proof that is rejected; `segment`, `relation` and `round` cite what failed."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        code: str,
        message: str,
        *,
        segment: str | None = None,
        relation: str | None = None,
        round: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.segment: str | None = segment
        self.relation: str | None = relation
        self.round: int | None = round

    def to_dict(self) -> dict[str, str | int | None]:
        return {**super().to_dict(), "segment": self.segment, "relation": self.relation, "round": self.round}


class InternalError(AssayError):
    """A broken invariant of Assay itself: a bug, to be reported as one."""

    exit_code: ClassVar[int] = 3
