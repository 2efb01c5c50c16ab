"""The exact integer model against transformers in float32, beside transformers in bfloat16.

    python benchmarks/parity.py [NAME ...]      a table of these architectures (default: all)
    python benchmarks/parity.py --write         the table of docs/parity.md

NAME is an architecture of `circuits/catalogue.py`. Real weights where a package brings them, on texts that no
scale was fitted on; else a random model of transformers, on random tokens that no scale was fitted on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from assay.circuits.catalogue import ARCHITECTURES
from shapes import SHAPES
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from assay.bench.exact import ExactModel
from assay.model import SourceModel, installed, load
from assay.quantize.calibrate import calibrate
from assay.quantize.texts import heldout

PAGE = Path(__file__).parents[1] / "docs" / "parity.md"
TOKENS = 48  # of each text
Array = npt.NDArray[np.float64]

REAL = {"gemma3": "gemma3-270m", "llama": "smollm2-135m", "bert": "all-minilm-l6-v2"}
_SMALL: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 8192,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
RANDOM: dict[str, dict[str, Any]] = {
    "gpt2": SHAPES["gpt2"],
    "llama3": {
        **_SMALL,
        "model_type": "llama",
        "rope_theta": 5e5,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "mistral": {**_SMALL, "model_type": "mistral", "sliding_window": 32},
    "mixtral": SHAPES["mixtral-tiny"],
    "olmo2": {**_SMALL, "model_type": "olmo2"},
    "qwen2": {**_SMALL, "model_type": "qwen2"},
    "qwen3": {**_SMALL, "model_type": "qwen3", "head_dim": 128},
    "qwen3_moe": SHAPES["qwen3-moe-tiny"],
}
SEQUENCES, CALIBRATED = 3, 4  # random sequences that are measured; others, on which scales are fitted


@dataclass(frozen=True, slots=True)
class Compared:
    """A model of both kinds, and the tokens it is measured on."""

    title: str
    source: SourceModel
    folder: Path
    texts: Sequence[Sequence[int]]

    def floating(self, dtype: torch.dtype) -> Any:
        """By transformers, loaded in this type: a conversion later would round RoPE's frequencies too."""
        kind = transformers.AutoModel if self.source.config.encodes else transformers.AutoModelForCausalLM
        return kind.from_pretrained(self.folder, dtype=dtype, attn_implementation="eager").eval()


# ---- models ----


@contextmanager
def model(name: str, changes: Mapping[str, Any]) -> Iterator[Compared]:
    """That of an architecture; `changes` replace sizes of a random one."""
    with tempfile.TemporaryDirectory() as folder:
        if name in REAL:
            yield _real(REAL[name], Path(folder))
        else:
            yield _random({**RANDOM[name], **changes}, Path(folder))


def _real(name: str, folder: Path) -> Compared:
    path, source = installed.find(name), load(name)
    assert path is not None
    texts = [source.encode(text)[:TOKENS] for text in heldout()]
    if path.is_dir():
        return Compared(name, source, path, texts)
    _read_gguf(path).save_pretrained(folder)
    return Compared(name, source, folder, texts)


def _read_gguf(path: Path) -> Any:
    """A model as transformers reads and names its weights."""
    parsed = dict(load_gguf_checkpoint(str(path))["config"])
    made = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(parsed.pop("model_type"), **parsed), dtype=torch.float32
    )
    state = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=made)["tensors"]
    missing, unexpected = made.load_state_dict(state, strict=False)
    if {*missing, *unexpected} - {"lm_head.weight"}:  # which is the embedding once more
        raise ValueError(f"{path}: missing {missing}, unexpected {unexpected}")
    return made


def _random(raw: Mapping[str, Any], folder: Path) -> Compared:
    config = transformers.AutoConfig.for_model(**raw)
    torch.manual_seed(7)
    made = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            _spread(name, weight)
    made.save_pretrained(folder)
    source, draw = load(folder), np.random.default_rng(7)
    ids = draw.integers(0, config.vocab_size, (CALIBRATED + SEQUENCES, TOKENS)).tolist()
    # Scales are fitted on texts; these are the numbers of sequences of tokens.
    source.encode = lambda text: ids[int(text)]  # type: ignore[method-assign]
    millions = sum(weight.numel() for weight in made.parameters()) / 1e6
    title = f"random, {config.num_hidden_layers} layers, {millions:.0f} million weights"
    return Compared(title, source, folder, ids[CALIBRATED:])


def _spread(name: str, weight: torch.Tensor) -> None:
    """So wide that each weight matters: what transformers draws leaves a layer next to no effect."""
    if weight.dim() > 1:
        weight.normal_(0.0, weight.shape[-1] ** -0.5)
    elif name.endswith("bias"):
        weight.normal_(0.0, 0.1)
    else:
        weight.uniform_(0.5, 1.5)


# ---- both models ----


@dataclass(frozen=True, slots=True)
class Values:
    """Of one text: the stream after the last layer [T, hidden]; logits [T, vocabulary], but of encoders."""

    last: Array
    logits: Array | None


def exact_values(exact: ExactModel, tokens: Sequence[int]) -> Values:
    last = exact.boundaries(tokens)[-1]
    return Values(last, None if exact.source.config.encodes else exact.logits(last))


def float_values(floating: Any, tokens: Sequence[int]) -> Values:
    """`last` is what the last layer puts out: of transformers' hidden states the last is normed."""
    found: list[Any] = []

    def note(_module: Any, _inputs: Any, out: Any) -> None:
        found.append(out[0] if isinstance(out, tuple) else out)

    hook = _layers(floating)[-1].register_forward_hook(note)
    with torch.no_grad():
        out = floating(torch.tensor([list(tokens)]))
    hook.remove()
    logits = getattr(out, "logits", None)
    return Values(_rows(found[0], tokens), None if logits is None else _rows(logits, tokens))


def _layers(floating: Any) -> Any:
    for owner, name in (("model", "layers"), ("transformer", "h"), ("encoder", "layer")):
        if hasattr(floating, owner):
            return getattr(getattr(floating, owner), name)
    raise ValueError(f"where are the layers of {type(floating).__name__}?")


def _rows(value: torch.Tensor, tokens: Sequence[int]) -> Array:
    rows: Array = value.detach().double().numpy().reshape(len(tokens), -1)
    return rows


# ---- errors ----


def relative_l2(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """The median over all tokens of |found - expected| / |expected|."""
    pairs = zip(found, expected, strict=True)
    errors = [np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1) for a, b in pairs]
    return float(np.median(np.concatenate(errors)))


def total_variation(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """The mean over all tokens of half the sum of |p - q| over the whole vocabulary."""
    pairs = zip(found, expected, strict=True)
    found_tv = [np.abs(_softmax(a) - _softmax(b)).sum(axis=1) / 2 for a, b in pairs]
    return float(np.mean(np.concatenate(found_tv)))


def one_minus_cosine(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """The largest over the texts, of the means of the rows."""
    means = [(a.mean(axis=0), b.mean(axis=0)) for a, b in zip(found, expected, strict=True)]
    return max(float(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in means)


def _softmax(logits: Array) -> Array:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def measure(name: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Errors of an architecture's model, each a pair: the exact model's, bfloat16's."""
    with model(name, changes or {}) as one:
        scales = calibrate(one.source, None if name in REAL else [str(i) for i in range(CALIBRATED)])
        exact = ExactModel(one.source, scales)
        found = [[exact_values(exact, tokens) for tokens in one.texts]]
        for dtype in (torch.bfloat16, torch.float32):
            floating = one.floating(dtype)
            found.append([float_values(floating, tokens) for tokens in one.texts])
        *others, expected = ([v.last for v in values] for values in found)
        row: dict[str, Any] = {
            "title": ARCHITECTURES[name].title,
            "model": one.title,
            "tokens": f"{len(one.texts)}, {sum(map(len, one.texts))}",
            "last": tuple(relative_l2(values, expected) for values in others),
        }
        if one.source.config.encodes:
            return {**row, "cosine": tuple(one_minus_cosine(values, expected) for values in others)}
        *others, expected = ([v.logits for v in values if v.logits is not None] for values in found)
        row["logits"] = tuple(relative_l2(values, expected) for values in others)
        return {**row, "tv": tuple(total_variation(values, expected) for values in others)}


# ---- output ----

COLUMNS = {
    "title": "architecture",
    "model": "model",
    "tokens": "texts, tokens",
    "last": "last layer, relative L2",
    "logits": "logits, relative L2",
    "tv": "total variation",
    "cosine": "vector, 1 - cosine",
}
HEAD = f"| {' | '.join(COLUMNS.values())} |\n| {' | '.join('---' for _ in COLUMNS)} |"


def table_row(found: Mapping[str, Any]) -> str:
    """As Markdown."""
    return f"| {' | '.join(_cell(found.get(key, '')) for key in COLUMNS)} |"


def _cell(value: Any) -> str:
    return " / ".join(f"{x:.2g}" for x in value) if isinstance(value, tuple) else str(value)


def page(text: str, rows: Sequence[str]) -> str:
    """The page's text with these rows as its one table."""
    lines = text.splitlines()
    table = [i for i, line in enumerate(lines) if line.startswith("|")]
    return "\n".join([*lines[: table[0]], HEAD, *rows, *lines[table[-1] + 1 :]]) + "\n"


def main() -> None:
    """Prints a row as soon as it is measured; with --write, fills the page's table too."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ARCHITECTURES))
    p.add_argument("--write", action="store_true", help="the table into docs/parity.md too")
    a = p.parse_args()
    if unknown := set(a.names) - set(ARCHITECTURES):
        sys.exit(f"no architecture {', '.join(sorted(unknown))}; there are {', '.join(ARCHITECTURES)}")
    if a.write and a.names:
        sys.exit("the page has all architectures: leave the names out")
    rows = []
    print(HEAD, flush=True)
    for name in a.names or ARCHITECTURES:
        rows.append(table_row(measure(name)))
        print(rows[-1], flush=True)
    if a.write:
        PAGE.write_text(page(PAGE.read_text(), rows))


if __name__ == "__main__":
    main()
