"""A Hugging Face folder: config.json, safetensors (one file or indexed shards), tokenizer.json."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from assay.circuits.architecture import Architecture
from assay.circuits.scales import is_gain
from assay.errors import ModelError
from assay.model.checkpoints import Place, checkpoint_of
from assay.model.safetensors_file import SafetensorsFile, load_json
from assay.model.source import FloatArray, SourceModel
from assay.model.tokenizer import JsonTokenizer

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"


class HuggingFaceModel(SourceModel):
    """A folder under canonical tensor names."""

    def __init__(self, path: Path) -> None:
        config_file = path / "config.json"
        if not config_file.is_file():
            raise ModelError("unknown-model-format", f"{path} holds no config.json")
        raw = load_json(config_file.read_bytes(), str(config_file))
        self._checkpoint = checkpoint_of(raw)
        super().__init__(path, self._checkpoint.config(raw))
        self._shards = _open_shards(path, self._checkpoint.ignores)
        self._stored = self._checkpoint.stored(self.config, _names(self._shards))
        self._holder = _match_tensors(path, self._shards, self._stored, self.config)

    def _read(self, name: str, start: int, stop: int) -> FloatArray:
        place, shape = self._stored[name], self.shape(name)
        if place.stack > 1:
            return self._of_stack(place, shape[0] // place.stack, start, stop)
        shard = self._holder[place.name]
        start, stop = place.rows(shape[0], start, stop)
        if place.transposed:
            values = shard.rows(place.name, 0, shape[1])[:, start:stop].T
        else:
            values = shard.rows(place.name, start, stop)
        return values + np.float32(self._checkpoint.gain_offset) if is_gain(name) else values

    def _of_stack(self, place: Place, rows: int, start: int, stop: int) -> FloatArray:
        """Rows of tensors that lie one below the other, of so many rows each."""
        parts = []
        for index in range(start // rows, -(-stop // rows)):
            name = place.names[index]
            first, last = max(start - index * rows, 0), min(stop - index * rows, rows)
            parts.append(self._holder[name].rows(name, first, last))
        return np.concatenate(parts)

    def _load_tokenizer(self) -> JsonTokenizer:
        file = self.path / "tokenizer.json"
        if not file.is_file():
            raise ModelError(
                "missing-tokenizer",
                f"{self.path} holds no tokenizer.json",
                hint="save the model's fast tokenizer beside its weights",
            )
        return JsonTokenizer(file)

    def _digest_parts(self) -> list[tuple[str, Path]]:
        names = ["config.json", *(shard.path.name for shard in self._shards)]
        names += [name for name in (_INDEX, "tokenizer.json") if (self.path / name).is_file()]
        return [(name, self.path / name) for name in names]


def _names(shards: list[SafetensorsFile]) -> list[str]:
    """Of all stored tensors but those that are ignored."""
    return [name for shard in shards for name in shard.tensors]


def _open_shards(path: Path, ignores: Callable[[str], bool]) -> list[SafetensorsFile]:
    """The weight files; with an index, exactly those that it names, each holding exactly what it says."""
    single, index_file = path / _WEIGHTS, path / _INDEX
    if not index_file.is_file():
        if not single.is_file():
            raise ModelError("missing-shard", f"{path} holds neither {_WEIGHTS} nor {_INDEX}")
        return [SafetensorsFile(single, ignores)]
    weight_map = load_json(index_file.read_bytes(), str(index_file)).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ModelError("malformed-json", f"{index_file}: no weight_map from tensor to file")
    shards = []
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name or not (path / name).is_file():
            raise ModelError(
                "missing-shard",
                f"{path}: the index names {name!r}, which is not in the folder",
                hint="the download is incomplete; get the missing file",
            )
        shards.append(SafetensorsFile(path / name, ignores))
        promised = {tensor for tensor, file in weight_map.items() if file == name and not ignores(tensor)}
        for tensor in sorted(promised - shards[-1].tensors.keys()):
            raise ModelError(
                "missing-tensor", f"{path / name}: tensor {tensor!r} is in the index, not in the file"
            )
        for tensor in sorted(shards[-1].tensors.keys() - promised):
            code = "duplicate-tensor" if tensor in weight_map else "unknown-tensor"
            raise ModelError(
                code, f"{path / name}: tensor {tensor!r} is in the file, not in the index's list of it"
            )
    return shards


def _match_tensors(
    path: Path, shards: list[SafetensorsFile], stored: dict[str, Place], config: Architecture
) -> dict[str, SafetensorsFile]:
    """Stored name to shard; every tensor of the config is there in its shape, and no other."""
    holder = {name: shard for shard in shards for name in shard.tensors}
    for unknown in sorted(holder.keys() - {name for place in stored.values() for name in place.names}):
        raise ModelError(
            "unknown-tensor",
            f"{path}: tensor {unknown!r} is no part of a {config.title} model of {config.num_layers} layers",
            hint="the head is tied to the embedding; drop the copy" if unknown == "lm_head.weight" else None,
        )
    for canonical, shape in config.tensor_shapes().items():
        expected = stored[canonical].shape(shape)
        for name in stored[canonical].names:
            if name not in holder:
                raise ModelError("missing-tensor", f"{path}: tensor {name!r} is missing")
            if holder[name].tensors[name].shape != expected:
                found = holder[name].tensors[name].shape
                raise ModelError("bad-shape", f"{path}: tensor {name!r} is {found}, config says {expected}")
    return holder
