// Four elements of F at a time. A source file is compiled for one instruction set: AVX2, or AVX-512 if it
// defines ASSAY_AVX512 before it includes this. Functions here may be called only where the processor has
// that set, and only from functions with the same target.
//
// AVX-512 is used on vectors of 256 bits: for twice the registers, unsigned comparisons and masks.
#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "field/extension.h"
#include "field/goldilocks.h"

#if defined(ASSAY_AVX512)
#define ASSAY_ISA avx512
#define ASSAY_TARGET "avx2,bmi2,avx512f,avx512vl,avx512dq,avx512bw"
#else
#define ASSAY_ISA avx2
#define ASSAY_TARGET "avx2,bmi2"
#endif
#define ASSAY_PACKED [[gnu::target(ASSAY_TARGET)]]
#define ASSAY_PACKED_INLINE [[gnu::always_inline, gnu::target(ASSAY_TARGET)]] inline

namespace assay::ASSAY_ISA {

using V = __m256i;  // four unsigned (or, where said, signed) 64-bit lanes

ASSAY_PACKED_INLINE V splat(uint64_t x) { return _mm256_set1_epi64x(static_cast<int64_t>(x)); }
ASSAY_PACKED_INLINE V load(const uint64_t* p) { return _mm256_loadu_si256(reinterpret_cast<const V*>(p)); }
ASSAY_PACKED_INLINE void store(uint64_t* p, V x) { _mm256_storeu_si256(reinterpret_cast<V*>(p), x); }

// ---- Canonical elements ----------------------------------------------------------------------------------

#if defined(ASSAY_AVX512)

// a - b mod p.
ASSAY_PACKED_INLINE V sub(V a, V b) {
  const V difference = _mm256_sub_epi64(a, b);
  const __mmask8 borrow = _mm256_cmplt_epu64_mask(a, b);
  return _mm256_mask_sub_epi64(difference, borrow, difference, splat(kEpsilon));
}
// a + b = a - (p - b), p - b in [1, p].
ASSAY_PACKED_INLINE V add(V a, V b) { return sub(a, _mm256_sub_epi64(splat(kModulus), b)); }

#else

// AVX2 compares signed lanes only: unsigned order is signed order after adding 2^63 to both sides.
inline constexpr uint64_t kFlip = uint64_t{1} << 63;

ASSAY_PACKED_INLINE V flip(V x) { return _mm256_xor_si256(x, splat(kFlip)); }

// a - b mod p from a + 2^63 and b + 2^63.
ASSAY_PACKED_INLINE V sub_flipped(V a, V b) {
  const V borrow = _mm256_cmpgt_epi64(b, a);
  return _mm256_sub_epi64(_mm256_sub_epi64(a, b), _mm256_srli_epi64(borrow, 32));
}
ASSAY_PACKED_INLINE V sub(V a, V b) { return sub_flipped(flip(a), flip(b)); }
// a + b = a - (p - b), p - b in [1, p].
ASSAY_PACKED_INLINE V add(V a, V b) {
  return sub_flipped(flip(a), _mm256_sub_epi64(splat(kModulus + kFlip), b));
}

#endif

// ---- Sums of products ------------------------------------------------------------------------------------

// The value lo + 2^32 hi of two signed lanes: linear steps take one instruction a lane and need no carries.
// A product has |lo| < 2^34 and 0 <= hi < 2^35.
struct Wide {
  V lo, hi;
};

ASSAY_PACKED_INLINE Wide operator+(Wide a, Wide b) {
  return {_mm256_add_epi64(a.lo, b.lo), _mm256_add_epi64(a.hi, b.hi)};
}
ASSAY_PACKED_INLINE Wide operator-(Wide a, Wide b) {
  return {_mm256_sub_epi64(a.lo, b.lo), _mm256_sub_epi64(a.hi, b.hi)};
}
template <int kShift>
ASSAY_PACKED_INLINE Wide shift_left(Wide a) {
  return {_mm256_slli_epi64(a.lo, kShift), _mm256_slli_epi64(a.hi, kShift)};
}

ASSAY_PACKED_INLINE V low_half(V x) { return _mm256_and_si256(x, splat(kEpsilon)); }
ASSAY_PACKED_INLINE V high_half(V x) { return _mm256_srli_epi64(x, 32); }

ASSAY_PACKED_INLINE Wide widen(V x) { return {low_half(x), high_half(x)}; }
// Of signed lanes, |x| <= 2^62: hi in [-2^30, 2^30].
ASSAY_PACKED_INLINE Wide widen_signed(V x) {
#if defined(ASSAY_AVX512)
  return {low_half(x), _mm256_srai_epi64(x, 32)};
#else
  const V flipped = flip(x);
  return {low_half(flipped), _mm256_sub_epi64(high_half(flipped), splat(uint64_t{1} << 31))};
#endif
}
ASSAY_PACKED_INLINE V negate(V x) { return _mm256_sub_epi64(_mm256_setzero_si256(), x); }
ASSAY_PACKED_INLINE Wide times_2_32(Wide a) { return {negate(a.hi), _mm256_add_epi64(a.lo, a.hi)}; }
ASSAY_PACKED_INLINE Wide times_2_64(Wide a) { return {negate(_mm256_add_epi64(a.lo, a.hi)), a.lo}; }

// a * b, where a_hi and b_hi hold the high halves in their low halves.
ASSAY_PACKED_INLINE Wide product(V a, V a_hi, V b, V b_hi) {
  const V ll = _mm256_mul_epu32(a, b);
  const V lh = _mm256_mul_epu32(a, b_hi);
  const V hl = _mm256_mul_epu32(a_hi, b);
  const V hh = _mm256_mul_epu32(a_hi, b_hi);
  // 2^64 = 2^32 - 1 and 2^96 = -1.
  const V at64 = _mm256_add_epi64(_mm256_add_epi64(high_half(lh), high_half(hl)), low_half(hh));
  const V at32 = _mm256_add_epi64(_mm256_add_epi64(low_half(lh), low_half(hl)), high_half(ll));
  const V lo = _mm256_sub_epi64(_mm256_sub_epi64(low_half(ll), high_half(hh)), at64);
  return {lo, _mm256_add_epi64(at32, at64)};
}
ASSAY_PACKED_INLINE Wide product(V a, V b) { return product(a, high_half(a), b, high_half(b)); }

// The canonical value, for |lo|, |hi| < 2^(kBits - 1), kBits <= 60.
//
// Adding k to hi with -2^32 k to lo, and j(2^32 - 1) to hi with j to lo, adds 0 and j p. It makes hi >= 0 and
// lo so negative that the value is h0 * 2^32 - n with h0 = hi mod 2^32 and n in [0, p): one borrow, and no
// further correction.
template <int kBits>
ASSAY_PACKED_INLINE V reduce(Wide x) {
  static_assert(kBits >= 33 && kBits <= 60);
  constexpr uint64_t j = uint64_t{1} << (kBits - 32);
  constexpr uint64_t k = uint64_t{1} << (kBits - 30);
  const V hi = _mm256_add_epi64(x.hi, splat(j * kEpsilon + k));
  const V carry = high_half(hi);  // times 2^64 = 2^32 - 1
#if defined(ASSAY_AVX512)
  const V n = _mm256_sub_epi64(_mm256_sub_epi64(splat((k << 32) - j), x.lo),
                               _mm256_mul_epu32(carry, splat(kEpsilon)));
  return sub(_mm256_slli_epi64(hi, 32), n);
#else
  const V n_flipped = _mm256_sub_epi64(_mm256_sub_epi64(splat((k << 32) - j + kFlip), x.lo),
                                       _mm256_mul_epu32(carry, splat(kEpsilon)));
  return sub_flipped(flip(_mm256_slli_epi64(hi, 32)), n_flipped);
#endif
}

ASSAY_PACKED_INLINE V mul(V a, V b) { return reduce<37>(product(a, b)); }

// ---- Extension elements ----------------------------------------------------------------------------------

template <int D>
struct PackedExt {
  V c[D];
};

template <int D>
struct WideExt {
  Wide c[D];
};

// An element prepared as an operand of Karatsuba products: its limbs, their pairwise sums, the high halves.
template <int D>
struct Factor {
  static constexpr int kTerms = D == 2 ? 3 : 6;
  V x[kTerms], hi[kTerms];
};

template <int D>
ASSAY_PACKED_INLINE PackedExt<D> splat(const Ext<D>& a) {
  PackedExt<D> r;
  for (int d = 0; d < D; ++d) r.c[d] = splat(a.c[d].v);
  return r;
}
template <int D>
ASSAY_PACKED_INLINE PackedExt<D> operator+(const PackedExt<D>& a, const PackedExt<D>& b) {
  PackedExt<D> r;
  for (int d = 0; d < D; ++d) r.c[d] = add(a.c[d], b.c[d]);
  return r;
}
template <int D>
ASSAY_PACKED_INLINE PackedExt<D> operator-(const PackedExt<D>& a, const PackedExt<D>& b) {
  PackedExt<D> r;
  for (int d = 0; d < D; ++d) r.c[d] = sub(a.c[d], b.c[d]);
  return r;
}
template <int D>
ASSAY_PACKED_INLINE WideExt<D> operator+(const WideExt<D>& a, const WideExt<D>& b) {
  WideExt<D> r;
  for (int d = 0; d < D; ++d) r.c[d] = a.c[d] + b.c[d];
  return r;
}
template <int D>
ASSAY_PACKED_INLINE WideExt<D> widen(const PackedExt<D>& a) {
  WideExt<D> r;
  for (int d = 0; d < D; ++d) r.c[d] = widen(a.c[d]);
  return r;
}

template <int D>
ASSAY_PACKED_INLINE Factor<D> factor(const PackedExt<D>& a) {
  Factor<D> f;
  for (int d = 0; d < D; ++d) f.x[d] = a.c[d];
  if constexpr (D == 2) {
    f.x[2] = add(a.c[0], a.c[1]);
  } else {
    f.x[3] = add(a.c[0], a.c[1]);
    f.x[4] = add(a.c[0], a.c[2]);
    f.x[5] = add(a.c[1], a.c[2]);
  }
  for (int i = 0; i < Factor<D>::kTerms; ++i) f.hi[i] = high_half(f.x[i]);
  return f;
}

// The coordinates of a product from those of its terms.
template <int D>
ASSAY_PACKED_INLINE WideExt<D> combine(const Wide (&p)[Factor<D>::kTerms]) {
  WideExt<D> r;
  if constexpr (D == 2) {
    r.c[0] = p[0] + shift_left<3>(p[1]) - p[1];
    r.c[1] = p[2] - p[0] - p[1];
  } else {
    r.c[0] = p[0] + shift_left<1>(p[5] - p[1] - p[2]);
    r.c[1] = p[3] - p[0] - p[1] + shift_left<1>(p[2]);
    r.c[2] = p[4] - p[0] - p[2] + p[1];
  }
  return r;
}

// Limbs below 2^39.
template <int D>
ASSAY_PACKED_INLINE WideExt<D> product(const Factor<D>& a, const Factor<D>& b) {
  Wide p[Factor<D>::kTerms];
  for (int i = 0; i < Factor<D>::kTerms; ++i) p[i] = product(a.x[i], a.hi[i], b.x[i], b.hi[i]);
  return combine<D>(p);
}
// a * b + c * d. Adding the terms first saves steps, but takes more registers than AVX2 has.
template <int D>
ASSAY_PACKED_INLINE WideExt<D> two_products(const Factor<D>& a, const Factor<D>& b, const Factor<D>& c,
                                            const Factor<D>& d) {
#if defined(ASSAY_AVX512)
  Wide p[Factor<D>::kTerms];
  for (int i = 0; i < Factor<D>::kTerms; ++i) {
    p[i] = product(a.x[i], a.hi[i], b.x[i], b.hi[i]) + product(c.x[i], c.hi[i], d.x[i], d.hi[i]);
  }
  return combine<D>(p);
#else
  return product(a, b) + product(c, d);
#endif
}

// For sums of up to four products.
template <int D>
ASSAY_PACKED_INLINE PackedExt<D> reduce(const WideExt<D>& a) {
  PackedExt<D> r;
  for (int d = 0; d < D; ++d) r.c[d] = reduce<42>(a.c[d]);
  return r;
}
template <int D>
ASSAY_PACKED_INLINE PackedExt<D> operator*(const PackedExt<D>& a, const PackedExt<D>& b) {
  return reduce(product(factor(a), factor(b)));
}

// The sum of the four lanes, |lo|, |hi| < 2^61.
ASSAY_PACKED_INLINE F sum_lanes(Wide x) {
  alignas(32) int64_t lo[4], hi[4];
  _mm256_store_si256(reinterpret_cast<V*>(lo), x.lo);
  _mm256_store_si256(reinterpret_cast<V*>(hi), x.hi);
  i128 sum = 0;
  for (int i = 0; i < 4; ++i) sum += lo[i] + (static_cast<i128>(hi[i]) << 32);
  const F magnitude(reduce128(static_cast<u128>(sum < 0 ? -sum : sum)));
  return sum < 0 ? -magnitude : magnitude;
}
template <int D>
ASSAY_PACKED_INLINE Ext<D> sum_lanes(const WideExt<D>& x) {
  Ext<D> r;
  for (int d = 0; d < D; ++d) r.c[d] = sum_lanes(x.c[d]);
  return r;
}

// ---- Memory ----------------------------------------------------------------------------------------------

// Four consecutive elements, in lanes of an order of their own that the store undoes.
template <int D>
ASSAY_PACKED_INLINE PackedExt<D> load_exts(const Ext<D>* p) {
  const uint64_t* w = reinterpret_cast<const uint64_t*>(p);
  const V v0 = load(w), v1 = load(w + 4);
  if constexpr (D == 2) {
    return {{_mm256_unpacklo_epi64(v0, v1), _mm256_unpackhi_epi64(v0, v1)}};
  } else {
    // Elements a b c d: v0 = a0 a1 a2 b0, v1 = b1 b2 c0 c1, v2 = c2 d0 d1 d2. Lanes in the order a d c b.
    const V v2 = load(w + 8);
    const V c0 = _mm256_blend_epi32(_mm256_blend_epi32(v0, v1, 0x30), v2, 0x0C);  // a0 d0 c0 b0
    const V c1 = _mm256_blend_epi32(_mm256_blend_epi32(v1, v0, 0x0C), v2, 0x30);  // b1 a1 d1 c1
    const V c2 = _mm256_blend_epi32(_mm256_blend_epi32(v2, v0, 0x30), v1, 0x0C);  // c2 b2 a2 d2
    return {{c0, _mm256_permute4x64_epi64(c1, 0x39), _mm256_permute4x64_epi64(c2, 0x4E)}};
  }
}
template <int D>
ASSAY_PACKED_INLINE void store_exts(Ext<D>* p, const PackedExt<D>& a) {
  uint64_t* w = reinterpret_cast<uint64_t*>(p);
  if constexpr (D == 2) {
    store(w, _mm256_unpacklo_epi64(a.c[0], a.c[1]));
    store(w + 4, _mm256_unpackhi_epi64(a.c[0], a.c[1]));
  } else {
    const V c0 = a.c[0];
    const V c1 = _mm256_permute4x64_epi64(a.c[1], 0x93);
    const V c2 = _mm256_permute4x64_epi64(a.c[2], 0x4E);
    store(w, _mm256_blend_epi32(_mm256_blend_epi32(c0, c1, 0x0C), c2, 0x30));
    store(w + 4, _mm256_blend_epi32(_mm256_blend_epi32(c1, c2, 0x0C), c0, 0x30));
    store(w + 8, _mm256_blend_epi32(_mm256_blend_epi32(c2, c0, 0x0C), c1, 0x30));
  }
}

}  // namespace assay::ASSAY_ISA

#endif  // defined(__x86_64__)
