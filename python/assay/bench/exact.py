"""The exact model of a float model that nobody registered: what parity is measured on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from assay import _core
from assay.circuits import forward
from assay.circuits import layer as layers
from assay.circuits.architecture import EMBEDDED
from assay.circuits.scales import ModelScales
from assay.circuits.vocabulary import LogitScale
from assay.model.source import SourceModel
from assay.prove.head import whole_piece
from assay.quantize.quantize import quantize_tensor, quantize_weight

_BLOCK = 128
Array = npt.NDArray[np.float64]
Cells = npt.NDArray[np.generic]


class ExactModel:
    """Circuits evaluated on quantised weights, which are kept once they were needed.

    The tables of the vocabulary are taken in pieces of `piece_rows` rows.
    """

    def __init__(self, source: SourceModel, scales: ModelScales, *, piece_rows: int = 1 << 16) -> None:
        self.source, self.scales = source, scales
        whole, rest = divmod(source.config.vocab_size, piece_rows)
        self.pieces: list[int] = [piece_rows] * whole + ([rest] if rest else [])
        self._cells: dict[str, Cells] = {}

    def boundaries(self, tokens: Sequence[int]) -> list[Array]:
        """Boundaries 0 to L as real numbers, [T, hidden] each."""
        config, hidden = self.source.config, self.source.config.hidden_size
        given = {f"embedding.{p}": self.piece("embedding", p) for p in range(len(self.pieces))}
        given |= {name: self._weight(name) for name in config.outside_shapes() if name in EMBEDDED}
        circuit = _core.Circuit(forward.embedding(config, self.scales, tokens, self.pieces))
        cells = [circuit.evaluate(given, ["boundary.0"])["boundary.0"]]
        for layer in range(config.num_layers):
            circuit = _core.Circuit(layers.layer(config, self.scales.layers[layer], layer, len(tokens)))
            names = [n for n in self.source.tensor_names() if n.startswith(f"layers.{layer}.")]
            name = f"boundary.{layer + 1}"
            given = {f"boundary.{layer}": cells[-1], **{n: self._weight(n) for n in names}}
            cells.append(circuit.evaluate(given, [name])[name])
        reals = (c[:, :hidden].astype(np.float64) for c in cells)
        return [np.ldexp(x, -self.scales.boundary(i)) for i, x in enumerate(reals)]

    def head_input(self, last: Array) -> Cells:
        """What the head multiplies, [n, hidden padded], of rows [n, hidden] of the last boundary."""
        config = self.source.config
        cells = np.rint(np.ldexp(last, self.scales.boundary(config.num_layers))).astype(np.int32)
        given = {f"boundary.{config.num_layers}": padded(cells)}
        given |= {name: self._weight(name) for name in config.outside_shapes() if name not in EMBEDDED}
        circuit = _core.Circuit(forward.final(config, self.scales, len(last), range(len(last))))
        return circuit.evaluate(given, ["head.input"])["head.input"]

    def logits(self, last: Array) -> Array:
        """All logits [n, vocabulary] as real numbers, of rows [n, hidden] of the last boundary."""
        config, head, fraction = self.source.config, self.head_input(last), self.scales.of_head.logits
        scale = LogitScale(self.scales.logits_shift, fraction, config.logit_cap)
        found = []
        for p, rows in enumerate(self.pieces):
            name = f"{config.head}.{p}"
            circuit, wanted = whole_piece(name, len(last), rows, config.hidden_size, scale)
            given = {"head.input": head, name: self.piece(config.head, p)}
            found.append(circuit.evaluate(given, [wanted])[wanted][:, :rows].astype(np.float64))
        return np.ldexp(np.concatenate(found, axis=1), -fraction)

    def piece(self, table: str, index: int) -> Cells:
        """A piece of a quantised table, rows padded."""
        name, start = f"{table}.{index}", sum(self.pieces[:index])
        if name not in self._cells:
            values = self.source.rows(table, start, start + self.pieces[index])
            self._cells[name] = padded(quantize_tensor(table, values, self.scales.weight(table)))
        return self._cells[name]

    def _weight(self, name: str) -> Cells:
        if name not in self._cells:
            self._cells[name] = padded(quantize_weight(self.source, name, self.scales))
        return self._cells[name]


def padded(values: Cells) -> Cells:
    """Rows padded with zeros to whole blocks of 128 cells."""
    return np.ascontiguousarray(np.pad(values, ((0, 0), (0, -values.shape[1] % _BLOCK))))
