// The Goldilocks prime field F, p = 2^64 - 2^32 + 1.
//
// Values are always canonical (0 <= v < p), so equal elements have equal bytes and results do not
// depend on how a computation was scheduled.
#pragma once

#include <cstdint>

namespace assay {

using u128 = unsigned __int128;
using i128 = __int128;

inline constexpr uint64_t kModulus = 0xFFFFFFFF00000001ULL;
inline constexpr uint64_t kEpsilon = 0xFFFFFFFFULL;  // 2^64 mod p

// 2^32 - 1 where the condition holds, else 0. Selection by mask: the operands are uniformly random, so
// a branch would be mispredicted half the time.
[[gnu::always_inline]] inline constexpr uint64_t epsilon_if(bool condition) {
  return kEpsilon & (0 - static_cast<uint64_t>(condition));
}

// x mod p for any 128-bit x: 2^64 = 2^32 - 1 and 2^96 = -1 (mod p).
[[gnu::always_inline]] inline constexpr uint64_t reduce128(u128 x) {
  const uint64_t lo = static_cast<uint64_t>(x);
  const uint64_t hi = static_cast<uint64_t>(x >> 64);
  const uint64_t hi_hi = hi >> 32;
  const uint64_t t = (lo - hi_hi) - epsilon_if(lo < hi_hi);
  const uint64_t u = (hi & kEpsilon) * kEpsilon;
  const uint64_t s = t + u;
  const uint64_t r = s + epsilon_if(s < u);
  return r + epsilon_if(r >= kModulus);
}

// a * b / 2^64 mod p, canonical if a * b < 2^64 * p. Cheaper than reduce128, for constants kept as
// to_montgomery(c). p^-1 = 2^32 + 1 (mod 2^64), so the multiple of p to subtract takes no product.
[[gnu::always_inline]] inline constexpr uint64_t montgomery_product(uint64_t a, uint64_t b) {
  const u128 x = static_cast<u128>(a) * b;
  const uint64_t lo = static_cast<uint64_t>(x);
  const uint64_t hi = static_cast<uint64_t>(x >> 64);
  const uint64_t m = lo + (lo << 32);
  const uint64_t q = m - (m >> 32) - (m < lo);  // m p / 2^64, rounded down
  return (hi - q) - epsilon_if(hi < q);
}
inline constexpr uint64_t to_montgomery(uint64_t a) { return reduce128(static_cast<u128>(a) << 64); }

struct F {
  uint64_t v = 0;

  constexpr F() = default;
  // Takes a canonical value; use from_u64 for an arbitrary one.
  constexpr explicit F(uint64_t canonical) : v(canonical) {}

  static constexpr F zero() { return F(0); }
  static constexpr F one() { return F(1); }
  static constexpr F from_u64(uint64_t x) { return F(x >= kModulus ? x - kModulus : x); }
  static constexpr F from_i64(int64_t x) {
    return x < 0 ? F(kModulus - static_cast<uint64_t>(-(x + 1)) - 1) : from_u64(static_cast<uint64_t>(x));
  }

  friend constexpr bool operator==(F a, F b) { return a.v == b.v; }
};

[[gnu::always_inline]] inline constexpr F operator-(F a, F b) {
  return F((a.v - b.v) - epsilon_if(a.v < b.v));
}
[[gnu::always_inline]] inline constexpr F operator+(F a, F b) {
  const uint64_t negated = kModulus - b.v;  // in [1, p]
  return F((a.v - negated) - epsilon_if(a.v < negated));
}
inline constexpr F operator-(F a) { return F(a.v == 0 ? 0 : kModulus - a.v); }
[[gnu::always_inline]] inline constexpr F operator*(F a, F b) {
  return F(reduce128(static_cast<u128>(a.v) * b.v));
}
inline constexpr F& operator+=(F& a, F b) { return a = a + b; }
inline constexpr F& operator-=(F& a, F b) { return a = a - b; }
inline constexpr F& operator*=(F& a, F b) { return a = a * b; }

inline constexpr F pow(F base, uint64_t exponent) {
  F r = F::one();
  for (; exponent != 0; exponent >>= 1) {
    if (exponent & 1) r *= base;
    base *= base;
  }
  return r;
}
// 0 maps to 0.
inline constexpr F inverse(F a) { return pow(a, kModulus - 2); }

inline constexpr F kGenerator = F(7);  // of the whole multiplicative group

// A primitive 2^log_n-th root of unity, log_n <= 32.
inline constexpr F root_of_unity(unsigned log_n) { return pow(kGenerator, (kModulus - 1) >> log_n); }

}  // namespace assay
