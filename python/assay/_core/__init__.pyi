"""
Assay's compiled core: fields, hashes, commitments, circuits, prover and verifier.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
from . import testing
__all__: list[str] = ['Circuit', 'CodeParams', 'Commitment', 'EvaluationError', 'File', 'LongLived', 'Malformed', 'NotProvable', 'Rejected', 'Statement', 'combine_parts', 'forbid_avx512', 'force_portable', 'merkle_root', 'part_digests', 'processor', 'prove', 'set_threads', 'testing', 'threads', 'verify']
class Rejected(Exception):
    """
    A proof was rejected: args are (code, segment, relation, round, message).
    """
class Malformed(Exception):
    """
    A circuit or statement is not well-formed: args are (message,).
    """
class NotProvable(Exception):
    """
    The statement does not hold: args are (segment, relation, message).
    """
class EvaluationError(Exception):
    """
    A value fits no tensor: args are (relation, message).
    """
class Circuit:
    """
    A decoded circuit.
    """
    def __init__(self, data: bytes) -> None:
        ...
    def evaluate(self, externals: dict[str, numpy.ndarray], wanted: collections.abc.Sequence[str] = [], choices: collections.abc.Mapping[str, collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]] = {}) -> dict[str, numpy.ndarray]:
        """
        Compute the witness. externals: tensor name -> array of (rows, columns padded to 128). choices: marks of a top-k step -> column of the m-th of row i at m rows + i, in the place of the largest.
        """
    @property
    def digest(self) -> bytes:
        ...
    @property
    def lookups(self) -> int:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def witness_cells(self) -> int:
        ...
class CodeParams:
    """
    The code of all commitments; see docs/spec/commitment.md.
    """
    def __init__(self, *, log_columns: typing.SupportsInt | typing.SupportsIndex, random: typing.SupportsInt | typing.SupportsIndex, log_coset: typing.SupportsInt | typing.SupportsIndex, cosets: typing.SupportsInt | typing.SupportsIndex, queries: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def invalid_reason(self) -> str:
        """
        Why these parameters cannot be used, or an empty string.
        """
    @property
    def cosets(self) -> int:
        ...
    @property
    def length(self) -> int:
        ...
    @property
    def log_columns(self) -> int:
        ...
    @property
    def log_coset(self) -> int:
        ...
    @property
    def queries(self) -> int:
        ...
    @property
    def random(self) -> int:
        ...
class File:
    """
    A file of so many bytes, mapped only while it is used.
    """
    def __init__(self, path: str, bytes: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
class _ProverCommitment:
    pass
class Commitment:
    """
    The prover's side of a commitment.
    """
    def __init__(self, name: str, code: CodeParams, parts: collections.abc.Sequence[tuple[typing.SupportsInt | typing.SupportsIndex, collections.abc.Sequence[tuple[typing.SupportsInt | typing.SupportsIndex, File | numpy.ndarray]]]], key: bytes) -> None:
        """
        parts: a list of (rows, [(first block, cells), ...]); those of a file are int16.
        """
    def commit(self) -> None:
        """
        Encode and hash all parts.
        """
    def leaves(self) -> numpy.typing.NDArray[numpy.uint8]:
        ...
    def restore(self, leaves: numpy.ndarray, digests: collections.abc.Sequence[File | numpy.ndarray] = []) -> None:
        """
        Take over the leaf digests of an earlier commit, and optionally the digests of each part.
        """
    def set_codeword(self, part: typing.SupportsInt | typing.SupportsIndex, columns: File | numpy.ndarray) -> None:
        """
        Answer queries of a part from a stored codeword.
        """
    @property
    def _prover(self) -> _ProverCommitment:
        ...
    @property
    def root(self) -> bytes:
        ...
class LongLived:
    """
    What a verifier knows of a long-lived commitment.
    """
    def __init__(self, name: str, root: bytes, part_rows: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], slots: collections.abc.Sequence[tuple[str, typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex]], partial: bool = False) -> None:
        """
        slots: (name, part, first block, rows, columns, bytes of a cell). Of partial boundaries those without a slot are the proof's own.
        """
class Statement:
    """
    A batch of members over the same weights. A member is the commitment to its recorded boundaries, or None; a segment is (name, circuit, number of its member).
    """
    def __init__(self, *, degree: typing.SupportsInt | typing.SupportsIndex, code: CodeParams, required_bits: typing.SupportsFloat | typing.SupportsIndex, instance: bytes, weights: LongLived, members: collections.abc.Sequence[LongLived | None], segments: collections.abc.Sequence[tuple[str, Circuit, typing.SupportsInt | typing.SupportsIndex]], hiding: bool = True) -> None:
        ...
    def opened_parts(self) -> list[list[int]]:
        """
        The parts of the weights, and of each recorded member's boundaries, that a proof opens.
        """
    @property
    def instance(self) -> bytes:
        """
        What the transcript absorbs of it.
        """
def combine_parts(parts: collections.abc.Sequence[numpy.ndarray]) -> numpy.typing.NDArray[numpy.uint8]:
    """
    The leaves over the digests of all parts.
    """
def forbid_avx512(forbidden: bool) -> None:
    """
    Use AVX2 where there is AVX-512 (they give the same bytes).
    """
def force_portable(portable: bool) -> None:
    """
    Use the portable code paths only (they give the same bytes).
    """
def merkle_root(leaves: numpy.ndarray) -> bytes:
    ...
def part_digests(code: CodeParams, rows: typing.SupportsInt | typing.SupportsIndex, slots: collections.abc.Sequence[tuple[typing.SupportsInt | typing.SupportsIndex, File | numpy.ndarray]], part_index: typing.SupportsInt | typing.SupportsIndex, key: bytes, sink: typing.Any = None, want_codeword: bool = False) -> numpy.typing.NDArray[numpy.uint8]:
    """
    The digest of every column of one part, as (columns, 32). sink(rows_done, symbols or None) is called after each batch of 8 rows; the symbols, wanted for storing, come column by column and live during the call.
    """
def processor() -> dict[str, bool]:
    """
    Which accelerated paths this process uses.
    """
def prove(statement: Statement, weights: typing.Any, boundaries: collections.abc.Sequence[typing.Any], seed: bytes, *, counter: typing.SupportsInt | typing.SupportsIndex = 0, on_columns: collections.abc.Callable[[list[int]], None] | None = None, self_check: bool = True, evaluate_with: collections.abc.Mapping[str, numpy.ndarray] = {}, corrupt: collections.abc.Mapping[str, collections.abc.Sequence[tuple[typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex]]] = {}, advice: collections.abc.Sequence[collections.abc.Mapping[str, typing.Annotated[numpy.typing.ArrayLike, numpy.int64]]] = [], work: str | None = None, progress: collections.abc.Callable[[str, int, int], None] | None = None, corrupt_segment: typing.SupportsInt | typing.SupportsIndex = 0, choices: collections.abc.Sequence[collections.abc.Mapping[str, collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]]] = []) -> dict[str, typing.Any]:
    """
    Prove a statement; returns the proof's body, seconds by step and counts. on_columns gets the columns of the long-lived commitments before anything of them is revealed; what it raises ends the proof. choices are those of Circuit.evaluate, for each segment. Only to show that the verifier rejects, with self_check off: evaluate_with replaces weights while the witness is computed, corrupt adds to cells of one segment's witness, {tensor: [(row, column, what to add)]}, and to "multiplicities".
    """
def set_threads(threads: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Number of threads for all later calls; 0 means one per available processor.
    """
def threads() -> int:
    """
    The number of threads in use.
    """
def verify(statement: Statement, body: bytes) -> dict[str, typing.Any]:
    """
    Check a proof's body against a statement; raises Rejected.
    """
