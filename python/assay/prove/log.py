"""Making a request's log and keeping it: REQ/private/log.assay, kind `LOG`.

Ids, served logits and salts of all positions as arrays. Whatever is wrong with the file, its root then is not
the one in the head of the record.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from assay import framing
from assay.audit import merkle
from assay.audit.header import MOST_TOKENS, RecordHeader
from assay.audit.log import MOST_IDS, SALT_BYTES, TOP_K, LogEntry, LogHead, OpenedEntry, log_leaves
from assay.errors import RequestError
from assay.framing import FormatError, Kind
from assay.prove.commit import Progress
from assay.prove.folder import RegisteredModel
from assay.prove.head import top_ids
from assay.prove.served import Served
from assay.public import PublicModel
from assay.storage import read_file

VERSION = 1
_CAP = MOST_TOKENS * (MOST_IDS * 6 + SALT_BYTES) + 256
_FIELDS: framing.Kinds = {"ids": bytes, "logits": (bytes, type(None)), "salts": bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """What to log: what was served, or else the exact model's own `top_k` ids."""

    top_k: int = TOP_K
    served: Served | None = None

    def require(self, public: PublicModel, tokens: int) -> None:
        """Refuses what this model cannot log; before the layers are run."""
        if public.encodes:
            raise RequestError("bad-log", "an encoder has no logits to log", hint="leave out the log")
        vocabulary = public.config["vocab_size"]
        if self.served is not None:
            self.served.require(tokens, vocabulary)
        elif not 1 <= self.top_k <= min(MOST_IDS, vocabulary):
            raise RequestError(
                "bad-log", f"{self.top_k} ids a position; 1 to {min(MOST_IDS, vocabulary)} are possible"
            )


DEFAULT = Logging()
"""Of a model that has logits."""


@dataclass(frozen=True, slots=True)
class Log:
    """The entries of all positions: ids [T, K], served logits [T, K] or None, salts [T, 32]."""

    ids: npt.NDArray[np.uint32]
    logits: npt.NDArray[np.int16] | None
    salts: npt.NDArray[np.uint8] = field(repr=False)

    def entries(self) -> list[LogEntry]:
        """Position by position."""
        ids, salts = self.ids.tolist(), [row.tobytes() for row in self.salts]
        logits = [None] * len(ids) if self.logits is None else [tuple(row) for row in self.logits.tolist()]
        return [LogEntry(tuple(i), x, salt) for i, x, salt in zip(ids, logits, salts, strict=True)]

    def head(self, request: bytes, public: PublicModel) -> LogHead:
        """What the record says of it."""
        return LogHead(
            root=merkle.root(log_leaves(request, self.entries())),
            top_k=self.ids.shape[1],
            fraction=public.scales.of_head.logits,
            served=self.logits is not None,
        )

    def opened(self, request: bytes, positions: Sequence[int]) -> tuple[OpenedEntry, ...]:
        """The entries of some positions, each with its way to the root."""
        entries = self.entries()
        leaves = log_leaves(request, entries)
        return tuple(OpenedEntry(entries[t], tuple(merkle.path(leaves, t))) for t in positions)

    @property
    def encoded(self) -> bytes:
        """The file."""
        values = {
            "ids": self.ids.astype("<u4").tobytes(),
            "logits": None if self.logits is None else self.logits.astype("<i2").tobytes(),
            "salts": self.salts.tobytes(),
        }
        return framing.pack(Kind.LOG, VERSION, framing.encode(values))


def make_log(
    model: RegisteredModel, boundary: npt.NDArray[np.int32], asked: Logging, progress: Progress | None
) -> Log:
    """The log of a request whose last boundary this is."""
    salts = np.frombuffer(os.urandom(SALT_BYTES * len(boundary)), np.uint8).reshape(-1, SALT_BYTES)
    if asked.served is not None:
        logits = asked.served.quantised(model.public.scales.of_head.logits)
        return Log(asked.served.ids.astype(np.uint32), logits, salts)
    return Log(top_ids(model, boundary, asked.top_k, progress), None, salts)


def load_log(path: Path, header: RecordHeader, public: PublicModel) -> Log:
    """The log kept at a path; raises `RequestError` unless it is the one that the record names."""
    assert header.log is not None
    try:
        (envelope,) = framing.unpack(read_file(path, _CAP, "log"), Kind.LOG, VERSION, [_CAP])
        log = _from_dict(framing.decode(envelope), header.tokens, header.log)
    except (FormatError, RequestError) as error:
        raise RequestError("damaged-record", f"{path}: {error.message}") from error
    if log.head(header.request, public) != header.log:
        raise RequestError("damaged-record", f"{path} is not the log that the record names")
    return log


def _from_dict(raw: Any, tokens: int, head: LogHead) -> Log:
    values = framing.fields(raw, "log", _FIELDS)
    size = tokens * head.top_k
    ids = framing.sized(values["ids"], 4 * size, "ids")
    salts = framing.sized(values["salts"], tokens * SALT_BYTES, "salts")
    logits = values["logits"]
    return Log(
        np.frombuffer(ids, "<u4").reshape(tokens, head.top_k),
        None if logits is None else _logits(logits, tokens, head.top_k),
        np.frombuffer(salts, np.uint8).reshape(tokens, SALT_BYTES),
    )


def _logits(raw: bytes, tokens: int, top_k: int) -> npt.NDArray[np.int16]:
    framing.sized(raw, 2 * tokens * top_k, "logits")
    return np.frombuffer(raw, "<i2").reshape(tokens, top_k)
