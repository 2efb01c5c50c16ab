// The extensions E = F[X]/(X^D - W): D = 2 with W = 7, D = 3 with W = 2 (both irreducible over F).
#pragma once

#include <array>
#include <cstddef>

#include "field/goldilocks.h"

namespace assay {

template <int D>
inline constexpr uint64_t kNonResidue = D == 2 ? 7 : 2;

template <int D>
struct Ext {
  static_assert(D == 2 || D == 3);
  static constexpr int degree = D;
  std::array<F, D> c{};

  constexpr Ext() = default;
  constexpr Ext(F base) { c[0] = base; }  // NOLINT(google-explicit-constructor): F is a subfield
  static constexpr Ext zero() { return Ext(); }
  static constexpr Ext one() { return Ext(F::one()); }
  static constexpr Ext from_i64(int64_t x) { return Ext(F::from_i64(x)); }
  constexpr bool is_zero() const { return *this == Ext(); }
  friend constexpr bool operator==(const Ext& a, const Ext& b) { return a.c == b.c; }
};

template <int D>
[[gnu::always_inline]] inline constexpr Ext<D> operator+(const Ext<D>& a, const Ext<D>& b) {
  Ext<D> r;
  for (int i = 0; i < D; ++i) r.c[i] = a.c[i] + b.c[i];
  return r;
}
template <int D>
[[gnu::always_inline]] inline constexpr Ext<D> operator-(const Ext<D>& a, const Ext<D>& b) {
  Ext<D> r;
  for (int i = 0; i < D; ++i) r.c[i] = a.c[i] - b.c[i];
  return r;
}
template <int D>
inline constexpr Ext<D> operator-(const Ext<D>& a) {
  return Ext<D>() - a;
}
template <int D>
[[gnu::always_inline]] inline constexpr Ext<D> operator*(const Ext<D>& a, F b) {
  Ext<D> r;
  for (int i = 0; i < D; ++i) r.c[i] = a.c[i] * b;
  return r;
}

namespace detail {

// A sum of up to 2^31 products of two 64-bit values, reduced once at the end.
struct ProductSum {
  u128 low = 0;
  uint64_t carries = 0;  // multiples of 2^128
  [[gnu::always_inline]] constexpr void add(uint64_t a, uint64_t b) {
    const u128 x = static_cast<u128>(a) * b;
    low += x;
    carries += low < x;
  }
  // reduce128 with one more term: 2^128 = -2^32 (mod p).
  [[gnu::always_inline]] constexpr F reduce() const {
    const uint64_t lo = static_cast<uint64_t>(low);
    const uint64_t hi = static_cast<uint64_t>(low >> 64);
    const uint64_t negative = (hi >> 32) + (carries << 32);
    const uint64_t t = (lo - negative) - epsilon_if(lo < negative);
    const uint64_t u = (hi & kEpsilon) * kEpsilon;
    const uint64_t s = t + u;
    const uint64_t r = s + epsilon_if(s < u);
    return F(r + epsilon_if(r >= kModulus));
  }
};

}  // namespace detail

// All D^2 products: sums and reductions cost more than the products that Karatsuba's way would save.
template <int D>
[[gnu::always_inline]] inline constexpr Ext<D> operator*(const Ext<D>& a, const Ext<D>& b) {
  std::array<F, D> wrapped = b.c;  // W * b, for the powers past X^(D-1)
  for (int j = 1; j < D; ++j) {
    wrapped[j] = D == 3 ? b.c[j] + b.c[j] : F(reduce128(static_cast<u128>(b.c[j].v) * kNonResidue<D>));
  }
  std::array<detail::ProductSum, D> sums{};
  for (int i = 0; i < D; ++i) {
    for (int j = 0; j < D; ++j) sums[(i + j) % D].add(a.c[i].v, (i + j < D ? b.c[j] : wrapped[j]).v);
  }
  Ext<D> r;
  for (int d = 0; d < D; ++d) r.c[d] = sums[d].reduce();
  return r;
}
template <int D>
inline constexpr Ext<D>& operator+=(Ext<D>& a, const Ext<D>& b) {
  return a = a + b;
}
template <int D>
inline constexpr Ext<D>& operator-=(Ext<D>& a, const Ext<D>& b) {
  return a = a - b;
}
template <int D>
inline constexpr Ext<D>& operator*=(Ext<D>& a, const Ext<D>& b) {
  return a = a * b;
}

// a^(p^k): coordinate i is multiplied by W^(i (p^k - 1) / D).
template <int D>
inline constexpr Ext<D> frobenius(const Ext<D>& a) {
  const F z = pow(F(kNonResidue<D>), (kModulus - 1) / D);
  Ext<D> r;
  F zi = F::one();
  for (int i = 0; i < D; ++i, zi *= z) r.c[i] = a.c[i] * zi;
  return r;
}

// By the norm: a^-1 = conj(a) / N(a), conj(a) the product of the other Frobenius images. 0 maps to 0.
template <int D>
inline constexpr Ext<D> inverse(const Ext<D>& a) {
  Ext<D> conj = frobenius(a);
  if constexpr (D == 3) conj *= frobenius(frobenius(a));
  const F norm = (a * conj).c[0];
  return conj * inverse(norm);
}

}  // namespace assay
