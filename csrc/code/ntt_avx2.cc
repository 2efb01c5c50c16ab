// Three levels at a time: a block of 8s elements is s transforms of size 8. Before such a transform element j
// is multiplied by t^j; the transform itself takes only shifts and sums, on values not yet reduced, because
// its roots are powers of two: w8 = -2^24. There is one reduction for each three levels.
#include "code/ntt_avx2.h"

#if defined(__x86_64__)

#include <algorithm>

#include "field/packed_avx2.h"

namespace assay::avx2 {
namespace {

static_assert(root_of_unity(2) == pow(F(2), 48));
static_assert(root_of_unity(3) == pow(F(2), 120));  // = -2^24

constexpr int kTransformBits = 60;  // 2^24 * (a difference of products, below 2^35) + less than 2^54

ASSAY_AVX2_INLINE Wide times_2_48(Wide a) { return shift_left<16>(times_2_32(a)); }
ASSAY_AVX2_INLINE Wide times_2_72(Wide a) { return shift_left<8>(times_2_64(a)); }

ASSAY_AVX2_INLINE V finish(Wide a) { return reduce<kTransformBits>(a); }

// y[k] = sum over j of x[j] * w8^(j bitrev(k)).
ASSAY_AVX2_INLINE void transform8(const Wide (&x)[8], V (&y)[8]) {
  const Wide u0 = x[0] + x[4], u1 = x[1] + x[5], u2 = x[2] + x[6], u3 = x[3] + x[7];
  const Wide p0 = u0 + u2, p1 = u1 + u3;
  y[0] = finish(p0 + p1);
  y[1] = finish(p0 - p1);
  const Wide q0 = u0 - u2, q1 = times_2_48(u1 - u3);
  y[2] = finish(q0 + q1);
  y[3] = finish(q0 - q1);
  const Wide v0 = x[0] - x[4], v1 = x[1] - x[5], v2 = times_2_48(x[2] - x[6]), v3 = x[3] - x[7];
  // w8 (v1 + 2^48 v3) = -(2^24 v1 + 2^72 v3), and w8^3 (v1 - 2^48 v3) = -(2^72 v1 + 2^24 v3).
  const Wide r0 = v0 + v2, r1 = shift_left<24>(v1) + times_2_72(v3);
  y[4] = finish(r0 - r1);
  y[5] = finish(r0 + r1);
  const Wide s0 = v0 - v2, s1 = times_2_72(v1) + shift_left<24>(v3);
  y[6] = finish(s0 - s1);
  y[7] = finish(s0 + s1);
}

ASSAY_AVX2_INLINE void transform4(const Wide (&x)[4], V (&y)[4]) {
  const Wide u0 = x[0] + x[2], u1 = x[1] + x[3], v0 = x[0] - x[2], v1 = times_2_48(x[1] - x[3]);
  y[0] = finish(u0 + u1);
  y[1] = finish(u0 - u1);
  y[2] = finish(v0 + v1);
  y[3] = finish(v0 - v1);
}

ASSAY_AVX2_INLINE void transform2(const Wide (&x)[2], V (&y)[2]) {
  y[0] = finish(x[0] + x[1]);
  y[1] = finish(x[0] - x[1]);
}

// ---- The first levels, on the coefficients ---------------------------------------------------------------

// Elements [i, i+4) of the coefficients continued by zeros.
ASSAY_AVX2_INLINE V load_padded(const uint64_t* coeffs, size_t count, size_t i) {
  if (i + 4 <= count) return load(coeffs + i);
  if (i >= count) return _mm256_setzero_si256();
  const V lane = _mm256_setr_epi64x(0, 1, 2, 3);
  const V mask = _mm256_cmpgt_epi64(splat(count - i), lane);
  return _mm256_maskload_epi64(reinterpret_cast<const long long*>(coeffs + i), mask);
}

// 2^128 = -2^32.
ASSAY_AVX2_INLINE Wide times_cube_root(Wide a, unsigned power) {
  if (power == 0) return a;
  if (power == 1) return times_2_64(a);
  const Wide b = times_2_32(a);
  return {negate(b.lo), negate(b.hi)};
}

// As many levels as leave a multiple of three, and at least one: kRadix = 2, 4 or 8. Their twiddles are powers of a
// cube root of unity, so that there is nothing to multiply.
template <size_t kRadix>
ASSAY_AVX2 void first_levels(unsigned shift, const uint64_t* coeffs, size_t count, size_t n,
                             uint64_t* values) {
  const size_t stride = n / kRadix;
  for (size_t i = 0; i < stride; i += 4) {
    Wide x[kRadix];
    V y[kRadix];
    for (size_t j = 0; j < kRadix; ++j) {
      x[j] = times_cube_root(widen(load_padded(coeffs, count, i + j * stride)), shift * j % 3);
    }
    if constexpr (kRadix == 8) transform8(x, y);
    if constexpr (kRadix == 4) transform4(x, y);
    if constexpr (kRadix == 2) transform2(x, y);
    for (size_t j = 0; j < kRadix; ++j) store(values + i + j * stride, y[j]);
  }
}

// ---- Three levels ----------------------------------------------------------------------------------------

// One block of 8*stride elements, stride a multiple of 4; twiddles[4(j-1)] = t^j.
ASSAY_AVX2 void transform_columns(const uint64_t* twiddles, size_t stride, uint64_t* values) {
  V t[8], t_hi[8];
  for (size_t j = 1; j < 8; ++j) {
    t[j] = splat(twiddles[4 * (j - 1)]);
    t_hi[j] = high_half(t[j]);
  }
  for (size_t i = 0; i < stride; i += 4) {
    Wide x[8];
    V y[8];
    x[0] = widen(load(values + i));
    for (size_t j = 1; j < 8; ++j) {
      const V v = load(values + i + j * stride);
      x[j] = product(v, high_half(v), t[j], t_hi[j]);
    }
    transform8(x, y);
    for (size_t j = 0; j < 8; ++j) store(values + i + j * stride, y[j]);
  }
}

ASSAY_AVX2_INLINE void transpose(V& a, V& b, V& c, V& d) {
  const V ab0 = _mm256_unpacklo_epi64(a, b), ab1 = _mm256_unpackhi_epi64(a, b);
  const V cd0 = _mm256_unpacklo_epi64(c, d), cd1 = _mm256_unpackhi_epi64(c, d);
  a = _mm256_permute2x128_si256(ab0, cd0, 0x20);
  b = _mm256_permute2x128_si256(ab1, cd1, 0x20);
  c = _mm256_permute2x128_si256(ab0, cd0, 0x31);
  d = _mm256_permute2x128_si256(ab1, cd1, 0x31);
}

// The last three levels of four blocks of 8, a lane for each; twiddles[4(j-1) + lane] = t^j.
ASSAY_AVX2_INLINE void transform_rows(const uint64_t* twiddles, uint64_t* values) {
  V v[8], y[8];
  for (size_t k = 0; k < 4; ++k) {
    v[k] = load(values + 8 * k);
    v[k + 4] = load(values + 8 * k + 4);
  }
  transpose(v[0], v[1], v[2], v[3]);
  transpose(v[4], v[5], v[6], v[7]);
  Wide x[8];
  x[0] = widen(v[0]);
  for (size_t j = 1; j < 8; ++j) x[j] = product(v[j], load(twiddles + 4 * (j - 1)));
  transform8(x, y);
  transpose(y[0], y[1], y[2], y[3]);
  transpose(y[4], y[5], y[6], y[7]);
  for (size_t k = 0; k < 4; ++k) {
    store(values + 8 * k, y[k]);
    store(values + 8 * k + 4, y[k + 4]);
  }
}

// Four blocks make a group of 28 twiddles.
const uint64_t* block_twiddles(const uint64_t* powers, size_t block) {
  return powers + block / 4 * 28 + block % 4;
}

// All levels of `count` blocks of 2^log_len, from number `first` on; one after the other, to stay in cache.
ASSAY_AVX2 void transform_blocks(const Ntt& ntt, unsigned residue, unsigned log_len, size_t first,
                                 size_t count, const Wanted& wanted, uint64_t* values) {
  const unsigned log_stride = log_len - 3;
  const uint64_t* powers = ntt.twiddle_powers(Ntt::shift_exponent(residue, log_stride));
  if (log_len == 3) {
    for (size_t b = 0; b < count; b += 4) transform_rows(block_twiddles(powers, first + b), values + 8 * b);
    return;
  }
  for (size_t b = 0; b < count; ++b) {
    if (!wanted.any((first + b) << log_len, (first + b + 1) << log_len)) continue;
    uint64_t* block = values + (b << log_len);
    transform_columns(block_twiddles(powers, first + b), size_t{1} << log_stride, block);
    transform_blocks(ntt, residue, log_stride, 8 * (first + b), 8, wanted, block);
  }
}

}  // namespace

void evaluate(const Ntt& ntt, unsigned residue, const F* coeffs, size_t count, F* values,
              const Wanted& wanted) {
  const uint64_t* in = reinterpret_cast<const uint64_t*>(coeffs);
  uint64_t* out = reinterpret_cast<uint64_t*>(values);
  const unsigned log_radix = (ntt.log_size() + 2) % 3 + 1;
  const unsigned log_len = ntt.log_size() - log_radix;
  const unsigned shift = Ntt::shift_exponent(residue, log_len);
  if (log_radix == 1) first_levels<2>(shift, in, count, ntt.size(), out);
  if (log_radix == 2) first_levels<4>(shift, in, count, ntt.size(), out);
  if (log_radix == 3) first_levels<8>(shift, in, count, ntt.size(), out);
  transform_blocks(ntt, residue, log_len, 0, size_t{1} << log_radix, wanted, out);
}

}  // namespace assay::avx2

#endif  // defined(__x86_64__)
