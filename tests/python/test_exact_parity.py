"""The exact integer model, run by the compiled evaluator, against transformers in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assay.circuits import forward

from assay import _core
from assay.bench.exact import ExactModel
from assay.model import SourceModel, load
from assay.quantize.calibrate import calibrate, site_maxima, weight_maxima
from assay.quantize.quantize import quantize_weight
from assay.quantize.scales import ModelScales, derive_scales
from assay.quantize.texts import heldout

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

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


def exact_model(source: SourceModel, scales: ModelScales) -> ExactModel:
    """With the vocabulary in two pieces."""
    return ExactModel(source, scales, piece_rows=-(-source.config.vocab_size // 2))


def exact_boundaries(source: SourceModel, scales: ModelScales, tokens: list[int]) -> list[IntArray]:
    """Boundaries 0 to L of the exact model, as real numbers."""
    return exact_model(source, scales).boundaries(tokens)


def exact_head(source: SourceModel, scales: ModelScales, last: IntArray) -> IntArray:
    """The final norm's output [T, hidden padded] of the exact model, from its last boundary [T, hidden]."""
    return exact_model(source, scales).head_input(last)


def exact_logits(source: SourceModel, scales: ModelScales, last: IntArray, ids: list[list[int]]) -> IntArray:
    """Logits at ids [T][K] of the exact model, as real numbers, from its last boundary [T, hidden]."""
    exact, total = exact_model(source, scales), np.zeros((len(last), len(ids[0])))
    head = exact.head_input(last)
    for p in range(len(exact.pieces)):
        raw = forward.vocabulary(source.config, scales, p, exact.pieces, ids, distances=False)
        given = {"head.input": head, f"embedding.{p}": exact.piece("embedding", p)}
        total += _core.Circuit(raw).evaluate(given, ["logits"])["logits"][:, : len(ids[0])]
    return np.ldexp(total, -scales.head.logits)


def softmax(logits: IntArray) -> IntArray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


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


def test_tiny_models_logits(tmp_path: Path) -> None:
    """The whole distribution of a tiny model: every id is named."""
    model = random_gemma(tmp_path, 8)
    source = load(tmp_path)
    tokens = random_tokens(20)
    scales = derive_scales(source.config, _maxima(source, tokens), weight_maxima(source))
    last = exact_boundaries(source, scales, tokens)[-1]
    found = softmax(exact_logits(source, scales, last, [list(range(96))] * len(tokens)))
    with torch.no_grad():
        expected = softmax(model(torch.tensor([tokens])).logits[0].double().numpy())
    assert (np.abs(found - expected).sum(axis=1) / 2).mean() < 3e-3


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


@pytest.mark.full_size
def test_gemma_270m_distributions_on_texts_not_seen() -> None:
    """Total variation between the exact model and float32, over the whole vocabulary, on average."""
    from assay.model.float_model import FloatModel

    source = load(None)
    scales, model, variations = calibrate(source), FloatModel(source), []
    table = quantize_weight(source, "embedding", scales).astype(np.float64).T
    for text in heldout()[:3]:
        tokens = source.encode(text)[:48]
        last = exact_boundaries(source, scales, tokens)[-1]
        expected = softmax(model.logits(model.forward(tokens)[-1]).astype(np.float64))
        h = exact_head(source, scales, last).astype(np.float64)
        x = np.clip(np.floor(h @ table / 2.0**scales.logits_shift + 0.5), -(1 << 15), (1 << 15) - 1)
        named = [[int(v) for v in np.argsort(-row)[:4]] for row in x]
        exact = exact_logits(source, scales, last, named)
        picked = np.take_along_axis(x, np.array(named), axis=1)
        assert (exact == np.ldexp(picked, -scales.head.logits)).all()
        variations += list(np.abs(softmax(np.ldexp(x, -scales.head.logits)) - expected).sum(axis=1) / 2)
    assert np.mean(variations) < 3e-3, np.mean(variations)
