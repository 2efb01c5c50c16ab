"""For every relation of the operations of other families than Gemma 3 a prover that breaks just it.

`FORGERIES` is the one place to add to, as in test_head_relations.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cheating import HIDDEN, Case, Entry, breaks, carried, forgery, relations
from operation_cases import (
    activated_case,
    attention_case,
    bias_case,
    embedding_case,
    gate_case,
    layer_norm_case,
    normed_embedding_case,
    pooling_case,
)

from assay.reference.circuit import check

CASES: dict[str, Callable[[], Case]] = {
    "gate": gate_case,
    "activated": activated_case,
    "bias": bias_case,
    "layer norm": layer_norm_case,
    "embedding": embedding_case,
    "normed embedding": normed_embedding_case,
    "attention": attention_case,
    "pooling": pooling_case,
}


def layer_norm(name: str) -> tuple[Entry, ...]:
    """Of a layer norm, but for the range of its mean, which only another x breaks."""
    m = f"{name}.mean"
    return (
        (f"{name}.sum", (f"{name}.sum", 0, 0, 12)),
        # off by one, by its limbs or by what they are taken from
        (f"{m}.remainder.r", (m, 0, 0, 1)),
        (f"{m}.remainder.r", (m, 0, 1, -1)),
        (m, (m, 0, 0, 1), (f"{m}.limb0", 0, 0, 0), (f"{m}.limb1", 0, 0, 0)),
        (f"{m}.remainder", (f"{m}.remainder.r", 0, 0, -1)),
        carried(f"{m}.limb0", f"{m}.limb1"),
        (f"{name}.centred", (f"{name}.centred", 1, 2, 1)),
        (f"{name}.squares", (f"{name}.squares", 0, 0, -1)),
        (name, (f"{name}.r0", 1, 2, 1)),
        carried(f"{name}.r0", f"{name}.r1"),
        carried(f"{name}.r1", f"{name}.r2"),
        carried(f"{name}.r2", f"{name}.y0", bits=5),
        carried(f"{name}.y0", f"{name}.y1"),
        ((f"{name}.y0", f"{name}.y1"), (f"{name}.y0", 0, 0, -1 << 30), (f"{name}.y1", 0, 0, 1 << 14)),
    )


FORGERIES: dict[str, tuple[Entry, ...]] = {
    "gate": (
        ("gate", ("gate.r0", 0, 4, 1)),
        carried("gate.r0", "gate.lo", bits=3, cell=(0, 5)),
        ("gate.silu", ("gate.silu.value", 0, 5, 1)),
        ("gate.clamp", ("gate.clamp.positive", 0, 7, 1)),
        ("gate.clamp", ("gate.clamp.outside", 0, 6, -1), ("gate.clamp.positive", 0, 6, -1)),
        ("mlp", ("mlp", 0, 6, 1)),
    ),
    "activated": (
        ("fc.product", ("fc.product", 2, 3, 1)),
        ("fc", ("fc.r0", 1, 2, 1)),
        carried("fc.r0", "fc.lo", bits=14),
        ("fc.gelu_erf", ("fc.gelu_erf.value", 1, 1, -1)),
        ("fc.clamp", ("fc.clamp.positive", 0, 0, 1)),
        ("fc.active", ("fc.active", 2, 0, 1)),
    ),
    "bias": (
        ("l.product", ("l.product", 1, 2, 1 << 7)),
        ("l", ("l.r0", 1, 2, 1)),
        carried("l.r0", "l.y0", bits=9),
        carried("l.y0", "l.y1"),
        (("l.y0", "l.y1"), ("l.y0", 0, 0, -1 << 30), ("l.y1", 0, 0, 1 << 14)),
    ),
    "layer norm": (*layer_norm("n"), ("n.mean.limb1", ("x", 0, 0, 1 << 28))),
    "embedding": (
        ("embedding", ("embedding.r0", 1, 3, 1)),
        carried("embedding.r0", "embedding.y0", bits=2),
        (("embedding", "embedding.y0"), ("embedding.y0", 0, 0, 1 << 20)),
        ("embedding.out", ("boundary.0", 2, 5, 1)),
    ),
    "normed embedding": (
        ("embedding", ("embedding", 1, 3, 1)),
        *layer_norm("embedding_norm"),
        (("embedding", "embedding_norm.mean.limb1"), ("embedding", 0, 0, 1 << 22)),
        ("embedding_norm.out", ("boundary.0", 2, 5, 1)),
    ),
    "attention": (
        ("scores.products", ("scores.products", 0, 2, 1 << 10)),
        ("scores", ("scores.r0", 0, 2, 1)),
        carried("scores.r0", "scores.lo0", bits=17),
        carried("scores.lo0", "scores.hi", up=False, cell=(8, 2)),
        ("scores.clamp", ("scores.clamp.outside", 0, 2, 1)),
        ("scores.saturate", ("scores.y", 0, 2, 1)),
        ("softmax.exp", ("softmax.exp.e", 0, 2, 1)),
        ("softmax.attained", ("softmax.max", 0, 0, 1)),
        ("softmax.zeros", ("softmax.zeros", 0, 1, 1)),
        ("softmax.sum", ("softmax.sum", 0, 1, 1)),
        ("softmax.scaled", ("softmax.scaled", 1, 2, 1)),
        ("softmax.probability", ("softmax.probability.r0", 0, 2, 1)),
        carried("softmax.probability.r0", "softmax.probability.r1"),
        carried("softmax.probability.r1", "softmax.probability.p", bits=12),
        ("attention", ("attention", 0, 3, 1)),
    ),
    "pooling": (
        ("residual_in", ("residual_in.limb0", 0, 2, 1)),
        carried("residual_in.limb0", "residual_in.limb1"),
        ("residual_in.limb1", ("boundary.6", 4, 6, 1 << 26)),
        ("pooled.sum", ("pooled.sum", 0, 6, 1)),
    ),
}


@pytest.mark.parametrize("operation", CASES)
@pytest.mark.parametrize("degree", [2, 3])
def test_an_honest_proof_is_accepted_by_both_verifiers(operation: str, degree: int) -> None:
    honest = CASES[operation]()
    case = Case(honest.raw, honest.externals, degree)
    for hiding in (False, True):
        found = case.both_accept(hiding=hiding)
        assert found["security_bits"] >= 1
        sums = {"pooled": case["pooled.sum"][0].tolist()} if operation == "pooling" else {}
        assert found["outputs"] == [sums]


@pytest.mark.parametrize("operation", CASES)
def test_every_relation_has_a_cheating_prover(operation: str) -> None:
    """Those of an inverse root and of a reciprocal are in test_head_relations and in test_relations."""
    broken = {name for entry in FORGERIES[operation] for name in breaks(entry)}
    shared = (".inverse.", "softmax.inverse", "softmax.remainder", "softmax.below", "softmax.probability.p")
    assert broken == {name for name in relations(CASES[operation]()) if not any(s in name for s in shared)}


@pytest.mark.parametrize(
    ("operation", "entry"),
    [
        pytest.param(operation, entry, id=f"{operation}: {'+'.join(breaks(entry))}")
        for operation, entries in FORGERIES.items()
        for entry in entries
    ],
)
def test_a_forgery_is_caught_at_its_relation(operation: str, entry: Entry) -> None:
    case = CASES[operation]()
    forged = forgery(case, entry)
    cells = case.forged(forged)
    assert tuple(check(case.raw, cells)) == forged.breaks
    assert case.verdict(cells) == case.caught_at(list(forged.breaks))
    assert case.verdict(cells, hiding=True) == HIDDEN
