"""Whether words look uniform and independent: chi-square tests, counted with Bonferroni's correction.

Each function returns what it finds suspicious, as lines of text; nothing, if nothing is. A sample of uniform
words is called suspicious with a probability below ALPHA by each.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from fields import Words

from assay.reference.field import sub

ALPHA = 1e-6
BINS = 16
PUBLIC = ("ledger.counter", "total")


def tail(statistic: np.ndarray, freedom: int) -> np.ndarray:
    """P(chi-square >= statistic), by Wilson and Hilferty's cube root."""
    a = 2 / (9 * freedom)
    z = (np.cbrt(np.asarray(statistic, float) / freedom) - (1 - a)) / np.sqrt(a)
    return 0.5 * np.vectorize(_erfc)(z / np.sqrt(2))


def _erfc(x: float) -> float:
    import math

    return math.erfc(x)


def digits(words: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """High and low bits of words, as bins. Elements of F are uniform below p, which is as good as 2^64."""
    shift = np.uint64(64 - 4)
    yield "high bits", (words >> shift).astype(np.int64)
    yield "low bits", (words & np.uint64(BINS - 1)).astype(np.int64)


def counts(bins: np.ndarray) -> np.ndarray:
    """[places, bins]."""
    return np.stack([(bins == b).sum(axis=0) for b in range(BINS)], axis=1)


def secret(words: Words) -> Words:
    """Without what is public."""
    return {name: w for name, w in words.items() if name not in PUBLIC}


def uneven(words: Words) -> list[str]:
    """Places whose words are not spread evenly over all proofs, and fields that are not over all places."""
    found, tests = [], sum(w.shape[1] + 1 for w in secret(words).values()) * 2
    for name, w in secret(words).items():
        for kind, bins in digits(w):
            own = counts(bins)
            for table, where in ((own, "a place"), (own.sum(axis=0, keepdims=True), "all places")):
                expected = table.sum(axis=1, keepdims=True) / BINS
                p = tail(((table - expected) ** 2 / expected).sum(axis=1), BINS - 1)
                if (p < ALPHA / tests).any():
                    found.append(f"{name}: {kind} of {where}")
    return found


def repeated(words: Words) -> list[str]:
    """Words that occur twice, wherever: of 64 uniform bits none should."""
    parts = secret(words)
    every = np.concatenate([w.reshape(-1) for w in parts.values()])
    values, number = np.unique(every, return_counts=True)
    twice = set(values[number > 1].tolist())
    return [f"{name}: a word twice" for name, w in parts.items() if twice & set(w.reshape(-1).tolist())]


def related(first: Words, second: Words, names: tuple[str, ...]) -> list[str]:
    """Differences of two proofs of the same that are not uniform, or zero."""
    differences = {name: sub(first[name], second[name]) for name in names}
    found = [f"{name}: no difference" for name, d in differences.items() if not d.all()]
    return found + [f"{line} of differences" for line in uneven(differences)]


def dependent(words: Words, pairs: int = 20_000) -> list[str]:
    """Pairs of places whose parities, or high bits, agree more or less often than a coin would have it."""
    every = np.concatenate(list(secret(words).values()), axis=1)
    n, places = every.shape
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, places, (2, pairs))
    a, b = a[a != b], b[a != b]
    a, b = np.concatenate([a, np.arange(places - 1)]), np.concatenate([b, np.arange(1, places)])
    found = []
    for kind, shift in (("parities", 0), ("high bits", 63)):
        bit = (every >> np.uint64(shift) & np.uint64(1)).astype(bool)
        agree = (bit[:, a] == bit[:, b]).sum(axis=0)
        p = tail((agree - n / 2) ** 2 / (n / 4), 1)
        if (p < ALPHA / (2 * len(a))).any():
            found.append(f"{kind} of two places")
    return found


def apart(first: Words, second: Words) -> list[str]:
    """Fields in which two samples differ: all places together, and one by one if there are enough proofs."""
    found, names = [], sorted(secret(first).keys() & secret(second).keys())
    tests = sum(first[name].shape[1] + 1 for name in names) * 2
    for name in names:
        for (kind, x), (_, y) in zip(digits(first[name]), digits(second[name]), strict=True):
            own, other = counts(x), counts(y)
            tables = [(own.sum(axis=0, keepdims=True), other.sum(axis=0, keepdims=True), "all places")]
            if min(len(x), len(y)) >= 10 * BINS:
                tables.append((own, other, "a place"))
            for s, t, where in tables:
                if (tail(_homogeneity(s, t), BINS - 1) < ALPHA / tests).any():
                    found.append(f"{name}: {kind} of {where}")
    return found


def _homogeneity(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    both = s + t
    sizes = s.sum(axis=1, keepdims=True), t.sum(axis=1, keepdims=True)
    total = sizes[0] + sizes[1]
    statistic = np.zeros(len(s))
    for own, size in zip((s, t), sizes, strict=True):
        expected = np.maximum(both * size / total, 1e-9)
        statistic += ((own - expected) ** 2 / expected).sum(axis=1)
    return statistic
