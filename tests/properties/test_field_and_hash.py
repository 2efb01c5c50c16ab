"""Field laws and known answers of the compiled building blocks, with plain Python integers as the oracle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay import _core

T = _core.testing
P = 2**64 - 2**32 + 1
EDGES = (0, 1, 2, 7, 2**32 - 2, 2**32 - 1, 2**32, 2**32 + 1, 2**63, P - 2**32, P - 2, P - 1)
NON_RESIDUE = {2: 7, 3: 2}

elements = st.sampled_from(EDGES) | st.integers(0, P - 1)
extensions = st.sampled_from([2, 3]).flatmap(
    lambda degree: st.tuples(*[st.lists(elements, min_size=degree, max_size=degree) for _ in range(3)])
)


@pytest.fixture(autouse=True, params=["dispatched", "without AVX-512", "portable"])
def paths(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test on the accelerated and on the portable paths."""
    _core.forbid_avx512(request.param == "without AVX-512")
    _core.force_portable(request.param == "portable")
    yield
    _core.forbid_avx512(False)
    _core.force_portable(False)


def multiply(a: list[int], b: list[int]) -> list[int]:
    """a * b in F[X]/(X^D - W), schoolbook."""
    degree = len(a)
    out = [0] * degree
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            factor = NON_RESIDUE[degree] if i + j >= degree else 1
            out[(i + j) % degree] += factor * x * y
    return [c % P for c in out]


@given(elements, elements)
def test_base_field_is_the_integers_mod_p(a: int, b: int) -> None:
    assert T.add(a, b) == (a + b) % P
    assert T.sub(a, b) == (a - b) % P
    assert T.mul(a, b) == a * b % P


@given(elements)
def test_inverse(a: int) -> None:
    assert T.mul(a, T.inverse(a)) == (1 if a else 0)


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_integers(a: int) -> None:
    assert T.from_i64(a) == a % P


def test_non_canonical_elements_are_refused() -> None:
    with pytest.raises(ValueError, match="canonical"):
        T.add(P, 0)


@given(extensions)
def test_extension_laws(abc: tuple[list[int], list[int], list[int]]) -> None:
    a, b, c = abc
    mul = lambda x, y: T.extension("mul", x, y)  # noqa: E731
    add = lambda x, y: T.extension("add", x, y)  # noqa: E731
    assert mul(a, b) == multiply(a, b) == mul(b, a)
    assert mul(mul(a, b), c) == mul(a, mul(b, c))
    assert mul(a, add(b, c)) == add(mul(a, b), mul(a, c))
    assert T.extension("sub", add(a, b), b) == a


@given(extensions)
def test_extension_inverse(abc: tuple[list[int], list[int], list[int]]) -> None:
    a = abc[0]
    one = [1] + [0] * (len(a) - 1)
    assert T.extension("mul", a, T.extension_inverse(a)) == (one if any(a) else [0] * len(a))


@given(st.integers(2, 6), st.integers(1, 5), st.data())
def test_codewords_are_evaluations(log_coset: int, cosets: int, data: st.DataObject) -> None:
    """codeword[k n + i] = c(2^(64 (k mod 3)) 7^(k div 3) w^bitrev(i)), w of order n = 2^log_coset."""
    n = 1 << log_coset
    count = data.draw(st.integers(1, n))
    coefficients = data.draw(st.lists(elements, min_size=count, max_size=count))
    root = pow(7, (P - 1) // n, P)
    expected = []
    for k in range(cosets):
        shift = pow(2, 64 * (k % 3), P) * pow(7, k // 3, P) % P
        for i in range(n):
            x = shift * pow(root, int(f"{i:0{log_coset}b}"[::-1], 2), P) % P
            expected.append(sum(c * pow(x, e, P) for e, c in enumerate(coefficients)) % P)
    assert T.encode(count, log_coset, cosets, coefficients) == expected


@given(st.lists(st.lists(elements, min_size=3, max_size=3), max_size=5))
def test_eq_is_the_indicator_polynomial(point: list[list[int]]) -> None:
    table = T.eq_vector(point)
    assert len(table) == 1 << len(point)
    for i, found in enumerate(table):
        expected = [1, 0, 0]
        for k, x in enumerate(point):
            factor = x if i >> k & 1 else [(1 - x[0]) % P, -x[1] % P, -x[2] % P]
            expected = multiply(expected, factor)
        assert found == expected


@given(st.binary(max_size=400), st.integers(0, 400))
def test_hashes_agree_with_hashlib(data: bytes, length: int) -> None:
    assert T.sha256(data) == hashlib.sha256(data).digest()
    assert T.shake128(data, length) == hashlib.shake_128(data).digest(length)
