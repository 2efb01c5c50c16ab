"""The exact integer model, run by the compiled evaluator, against transformers in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assay.circuits import gemma3

from assay import _core
from assay.model import SourceModel, load
from assay.prove.embedding import scaled_embedding
from assay.quantize.calibrate import calibrate, site_maxima, weight_maxima
from assay.quantize.quantize import quantize_weight
from assay.quantize.scales import ModelScales, derive_scales
from assay.quantize.texts import heldout

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

BLOCK = 128
IntArray = np.ndarray[Any, np.dtype[Any]]


def random_gemma(folder: Path, window: int) -> Any:
    """A tiny random Gemma 3 with two query heads, saved to a folder."""
    config = transformers.Gemma3TextConfig(
        vocab_size=96,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=128,
        sliding_window=window,
        sliding_window_pattern=2,
        query_pre_attn_scalar=128,
        max_position_embeddings=1024,
        attn_implementation="eager",
    )
    torch.manual_seed(7)
    model = transformers.Gemma3ForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(0.0, 0.3 if "norm" in name else 0.1)
    model.save_pretrained(folder)
    return model


def transformers_boundaries(model: Any, tokens: list[int]) -> list[IntArray]:
    """Residuals before the first layer and after each, [T, hidden]."""
    found: list[IntArray] = []

    def record(_module: Any, _inputs: Any, out: Any) -> None:
        value = out[0] if isinstance(out, tuple) else out
        found.append(value.detach().double().numpy().reshape(len(tokens), -1))

    hooks = [model.model.embed_tokens.register_forward_hook(record)]
    hooks += [layer.register_forward_hook(record) for layer in model.model.layers]
    with torch.no_grad():
        model(torch.tensor([tokens]))
    for hook in hooks:
        hook.remove()
    return found


def padded(values: IntArray) -> IntArray:
    """Rows padded with zeros to whole blocks of 128 cells."""
    missing = -values.shape[1] % BLOCK
    return np.ascontiguousarray(np.pad(values, ((0, 0), (0, missing))))


def exact_boundaries(source: SourceModel, scales: ModelScales, tokens: list[int]) -> list[IntArray]:
    """Boundaries 0 to L of the exact model, as real numbers."""
    config, hidden = source.config, source.config.hidden_size
    rows = np.concatenate([source.rows("embedding", t, t + 1) for t in tokens])
    f = scales.weight("embedding")
    embedded = padded(np.rint(np.ldexp(rows.astype(np.float64), f)).astype(np.int16))
    cells = [scaled_embedding(embedded, hidden, f, scales.boundary(0))]
    for layer in range(config.num_layers):
        circuit = _core.Circuit(gemma3.layer(config, scales.layers[layer], layer, len(tokens)))
        names = [n for n in source.tensor_names() if n.startswith(f"layers.{layer}.")]
        externals = {n: padded(quantize_weight(source, n, scales)) for n in names}
        name = f"boundary.{layer + 1}"
        externals[f"boundary.{layer}"] = cells[-1]
        cells.append(circuit.evaluate(externals, [name])[name])
    return [np.ldexp(c[:, :hidden].astype(np.float64), -scales.boundary(i)) for i, c in enumerate(cells)]


def relative_error(found: IntArray, expected: IntArray) -> float:
    """The median over tokens of |found - expected| / |expected|."""
    return float(np.median(np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)))


def random_tokens(count: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(5).integers(0, 96, count)]


@pytest.mark.parametrize(("length", "window"), [(1, 8), (32, 8), (600, 512)])
def test_tiny_model(tmp_path: Path, length: int, window: int) -> None:
    model = random_gemma(tmp_path, window)
    source = load(tmp_path)
    tokens = random_tokens(length)
    scales = derive_scales(source.config, _maxima(source, tokens), weight_maxima(source))
    expected = transformers_boundaries(model, tokens)
    found = exact_boundaries(source, scales, tokens)
    assert len(found) == len(expected) == 4
    errors = [relative_error(a, b) for a, b in zip(found, expected, strict=True)]
    assert max(errors) < 2e-3, errors


def _maxima(source: SourceModel, tokens: list[int]) -> dict[str, float]:
    """Calibration statistics over tokens, for a model without a tokenizer."""
    source.encode = lambda _text: tokens  # type: ignore[method-assign]
    return site_maxima(source, ["tokens"])


def test_a_window_one_wider_differs(tmp_path: Path) -> None:
    """The parity above would not see a mask that nothing depends on."""
    tokens = random_tokens(9)
    found = []
    for window in (8, 9):
        random_gemma(tmp_path / str(window), window)
        source = load(tmp_path / str(window))
        scales = derive_scales(source.config, _maxima(source, tokens), weight_maxima(source))
        found.append(exact_boundaries(source, scales, tokens)[1])
    difference = np.abs(found[0] - found[1]).max(axis=1)
    assert (difference[:8] == 0).all()
    assert difference[8] > 0


@pytest.mark.full_size
def test_gemma_270m_beyond_its_window() -> None:
    """T = 600 with a window of 512: the exact model stays within a tenth of bfloat16's 2^-8 of float32."""
    from assay.model.float_model import FloatModel

    source = load(None)
    tokens = [t for text in heldout() for t in source.encode(text)][:600]
    assert len(tokens) == 600
    expected = FloatModel(source).forward(tokens)
    found = exact_boundaries(source, calibrate(source), tokens)
    errors = [relative_error(a, b.astype(np.float64)) for a, b in zip(found, expected, strict=True)]
    assert max(errors) < 4e-3, errors
