"""The public log of a mixture's experts: which ran in each layer, committed when the request is recorded.

A record without one says nothing of them but how far they are from the routers' choice, in proofs. With one,
a proof opens the entries of its layers, and is about these experts:

    leaf of layer l = canonical CBOR of [request, l, the ids as u16, of each token in turn]
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from assay import framing
from assay.audit import merkle
from assay.circuits.moe import Ids
from assay.errors import RequestError, VerificationError
from assay.framing import FormatError

if TYPE_CHECKING:
    from assay.audit.header import RecordHeader

CAP = 256 << 20
"""Bytes of a file of ids."""
_UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    MemoryError,
    RecursionError,
    EOFError,
    SyntaxError,
    tokenize.TokenError,
)
"""What numpy raises of a head that is none: it reads it as Python."""
_FIELDS: framing.Kinds = {"ids": bytes, "path": list}
_DEEPEST = 12  # of a tree over the layers of a record


@dataclass(frozen=True, slots=True)
class OpenedRouting:
    """A layer's experts, with the way to the root."""

    ids: bytes
    path: tuple[bytes, ...]

    def to_dict(self) -> dict[str, Any]:
        """As a statement has it."""
        return {"ids": self.ids, "path": list(self.path)}

    @classmethod
    def from_dict(cls, raw: Any) -> OpenedRouting:
        """Rebuilds it; raises `FormatError`."""
        values = framing.fields(raw, "routing", _FIELDS)
        if len(values["path"]) > _DEEPEST or not all(isinstance(x, bytes) for x in values["path"]):
            raise FormatError("type", "routing: a path is a list of hashes")
        for node in values["path"]:
            framing.sized(node, merkle.HASH_BYTES, "a hash")
        return cls(values["ids"], tuple(values["path"]))

    def opens(self, root: bytes, request: bytes, layer: int, of: int) -> bool:
        """Whether these are the experts of that layer in the log of that request, over `of` layers."""
        return merkle.root_of(_leaf(request, layer, self.ids), layer, of, self.path) == root

    def experts(self, chosen: int) -> Ids:
        """The ids [T, chosen]."""
        return np.frombuffer(self.ids, "<u2").reshape(-1, chosen).astype(np.int64)


def encoded(ids: npt.NDArray[Any]) -> bytes:
    """A layer's ids [T, K] as they are logged."""
    return ids.astype("<u2").tobytes()


def routing_root(request: bytes, ids: npt.NDArray[Any]) -> bytes:
    """The root of the log of ids [layers, T, K]."""
    return merkle.root(_leaves(request, ids))


def opened_routing(request: bytes, ids: npt.NDArray[Any], layers: Sequence[int]) -> tuple[OpenedRouting, ...]:
    """The entries of some layers."""
    leaves = _leaves(request, ids)
    return tuple(OpenedRouting(encoded(ids[layer]), tuple(merkle.path(leaves, layer))) for layer in layers)


def unfit(ids: bytes, tokens: int, routed: tuple[int, int]) -> str:
    """Why ids cannot be the experts of a layer of such a model, (experts, those of a token); or nothing."""
    experts, chosen = routed
    if len(ids) != 2 * tokens * chosen:
        return f"{len(ids)} bytes instead of {tokens} times {chosen} ids"
    ordered = np.sort(np.frombuffer(ids, "<u2").reshape(tokens, chosen), axis=1)
    if ordered.max() >= experts:
        return f"an id is outside the {experts} experts"
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        return "an expert is repeated"
    return ""


def _leaves(request: bytes, ids: npt.NDArray[Any]) -> list[bytes]:
    return [_leaf(request, layer, encoded(own)) for layer, own in enumerate(ids)]


def _leaf(request: bytes, layer: int, ids: bytes) -> bytes:
    return merkle.leaf_hash(framing.encode([request, layer, ids]))


def read_routing(raw: bytes, where: str) -> npt.NDArray[np.int32]:
    """Ids [layers, T, K] of a .npy file; raises `RequestError`."""
    try:
        found = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    except _UNREADABLE as error:
        raise unfit_routing(f"{where} is no .npy file of numbers: {error}") from error
    return routing_table(found)


def routing_table(ids: Any) -> npt.NDArray[np.int32]:
    """The same of an array or lists."""
    try:
        numbers = np.asarray(ids)
    except ValueError as error:  # rows of different length
        raise unfit_routing(f"the ids are not a table: {error}") from error
    if numbers.dtype.kind not in "iu" or numbers.ndim != 3 or 0 in numbers.shape:
        raise unfit_routing(
            f"{numbers.dtype} of the shape {numbers.shape}; it is integers [layers, tokens, experts]"
        )
    if numbers.min() < 0 or numbers.max() > np.iinfo(np.int32).max:
        raise unfit_routing("an id is outside every model's experts")
    return numbers.astype("<i4")


def require_log(ids: npt.NDArray[Any], record: RecordHeader) -> None:
    """Raises `VerificationError` unless a record has a public log, and ids [layers, T, K] are it."""
    if record.routing is None:
        raise VerificationError("statement.experts", "the record does not say which experts ran")
    fits = ids.max() < 1 << 16  # what an entry of a log has room for
    if not fits or len(ids) != record.num_layers or routing_root(record.request, ids) != record.routing:
        raise VerificationError("statement.experts", "these are not the experts that the record has logged")


def unfit_routing(message: str, hint: str | None = None) -> RequestError:
    """The error of a routing that no request of the model can have."""
    return RequestError("bad-routing", f"routing: {message}", hint=hint)
