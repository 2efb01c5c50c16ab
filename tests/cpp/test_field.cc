// Field laws on edge and random values, against arithmetic with the remainder of 128-bit integers; packed
// arithmetic against scalar.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "check.h"
#include "field/extension.h"
#include "field/goldilocks.h"
#include "field/packed_avx2.h"

namespace assay {
namespace {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {  // splitmix64
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// Values near every boundary of a reduction, and some in between; all canonical.
const std::vector<F>& samples() {
  static const std::vector<F> all = [] {
    std::vector<F> r;
    for (const uint64_t center : {uint64_t{0}, uint64_t{1} << 31, kEpsilon, kModulus / 2, uint64_t{1} << 63,
                                  kModulus - kEpsilon, kModulus - (uint64_t{1} << 31), kModulus - 1}) {
      for (int64_t offset = -2; offset <= 2; ++offset) {
        const uint64_t x = center + static_cast<uint64_t>(offset);
        if (x < kModulus) r.push_back(F(x));
      }
    }
    Random random(1);
    for (int i = 0; i < 30; ++i) r.push_back(F::from_u64(random.next()));
    return r;
  }();
  return all;
}

uint64_t remainder(u128 x) { return static_cast<uint64_t>(x % kModulus); }

template <int D>
std::vector<Ext<D>> ext_samples(size_t n) {
  Random random(2);
  std::vector<Ext<D>> r(n);
  for (Ext<D>& x : r) {
    for (F& c : x.c) c = samples()[random.next() % samples().size()];
  }
  return r;
}

template <class Body>
void for_degrees(Body body) {
  body.template operator()<2>();
  body.template operator()<3>();
}

// Schoolbook, one reduction after each step.
template <int D>
Ext<D> slow_product(const Ext<D>& a, const Ext<D>& b) {
  Ext<D> r;
  for (int i = 0; i < D; ++i) {
    for (int j = 0; j < D; ++j) {
      uint64_t x = remainder(static_cast<u128>(a.c[i].v) * b.c[j].v);
      if (i + j >= D) x = remainder(static_cast<u128>(x) * kNonResidue<D>);
      F& c = r.c[(i + j) % D];
      c = F(remainder(static_cast<u128>(c.v) + x));
    }
  }
  return r;
}

TEST(base_operations_match_the_remainder) {
  for (const F a : samples()) {
    CHECK_EQ((-a).v, remainder(static_cast<u128>(kModulus) - a.v));
    for (const F b : samples()) {
      CHECK_EQ((a + b).v, remainder(static_cast<u128>(a.v) + b.v));
      CHECK_EQ((a - b).v, remainder(static_cast<u128>(a.v) + kModulus - b.v));
      CHECK_EQ((a * b).v, remainder(static_cast<u128>(a.v) * b.v));
      CHECK_EQ(montgomery_product(a.v, to_montgomery(b.v)), (a * b).v);
    }
  }
}

TEST(reduction_takes_any_128_bits) {
  Random random(3);
  const uint64_t edges[] = {
      0, 1, kEpsilon - 1, kEpsilon, kEpsilon + 1, kModulus - 1, kModulus, kModulus + 1, ~uint64_t{0}};
  for (const uint64_t hi : edges) {
    for (const uint64_t lo : edges) {
      const u128 x = static_cast<u128>(hi) << 64 | lo;
      CHECK_EQ(reduce128(x), remainder(x));
    }
  }
  for (int i = 0; i < 10000; ++i) {
    const u128 x = static_cast<u128>(random.next()) << 64 | random.next();
    CHECK_EQ(reduce128(x), remainder(x));
  }
}

TEST(conversions) {
  CHECK_EQ(F::from_u64(~uint64_t{0}).v, kEpsilon - 1);
  CHECK_EQ(F::from_u64(kModulus).v, 0u);
  CHECK_EQ(F::from_i64(-1).v, kModulus - 1);
  CHECK_EQ(F::from_i64(INT64_MIN), -F(uint64_t{1} << 63));
  CHECK_EQ(F::from_i64(INT64_MAX).v, uint64_t{INT64_MAX});
}

TEST(product_sum_carries) {
  const uint64_t edges[] = {0, 1, kEpsilon, kModulus - 1, ~uint64_t{0}};
  for (const uint64_t a : edges) {
    for (const uint64_t b : edges) {
      detail::ProductSum sum;
      uint64_t want = 0;
      for (int i = 0; i < 1000; ++i) {
        sum.add(a, b);
        want = remainder(static_cast<u128>(a) * b % kModulus + want);
        CHECK_EQ(sum.reduce().v, want);
      }
    }
  }
  detail::ProductSum most;
  most.low = ~u128{0};
  most.carries = (uint64_t{1} << 31) - 1;
  CHECK_EQ(most.reduce(), F(remainder(most.low)) - F(most.carries << 32));
}

TEST(powers_inverses_roots) {
  for (const F a : samples()) CHECK_EQ(a * inverse(a), a == F() ? F() : F::one());
  CHECK_EQ(pow(F(3), 0), F::one());
  CHECK_EQ(pow(F(3), 5), F(243));
  for (unsigned log_n = 1; log_n <= 32; ++log_n) {
    CHECK_EQ(pow(root_of_unity(log_n), uint64_t{1} << (log_n - 1)), -F::one());
    CHECK_EQ(root_of_unity(log_n) * root_of_unity(log_n), root_of_unity(log_n - 1));
  }
  // 7 generates: its order divides no (p-1)/q.
  for (const uint64_t q : {2, 3, 5, 17, 257, 65537}) CHECK(pow(kGenerator, (kModulus - 1) / q) != F::one());
}

TEST(extension_products_match_schoolbook) {
  for_degrees([]<int D>() {
    const std::vector<Ext<D>> xs = ext_samples<D>(100);
    for (const Ext<D>& a : xs) {
      for (const Ext<D>& b : xs) CHECK_EQ(a * b, slow_product(a, b));
      CHECK_EQ(a * xs[0].c[0], a * Ext<D>(xs[0].c[0]));
    }
  });
}

TEST(extension_laws) {
  for_degrees([]<int D>() {
    const std::vector<Ext<D>> xs = ext_samples<D>(60);
    for (size_t i = 0; i + 2 < xs.size(); ++i) {
      const Ext<D> a = xs[i], b = xs[i + 1], c = xs[i + 2];
      CHECK_EQ((a * b) * c, a * (b * c));
      CHECK_EQ(a * (b + c), a * b + a * c);
      CHECK_EQ(a - b + b, a);
      CHECK_EQ(-a + a, Ext<D>::zero());
      CHECK_EQ(frobenius(a * b), frobenius(a) * frobenius(b));
      CHECK_EQ(a * inverse(a), a.is_zero() ? Ext<D>::zero() : Ext<D>::one());
    }
    Ext<D> x;
    x.c[1] = F::one();
    Ext<D> power = Ext<D>::one();
    for (int d = 0; d < D; ++d) power *= x;
    CHECK_EQ(power, Ext<D>(F(kNonResidue<D>)));
    // Irreducible: W is not a D-th power, and D is prime.
    CHECK(pow(F(kNonResidue<D>), (kModulus - 1) / D) != F::one());
  });
}

TEST(arithmetic_at_compile_time) {
  static_assert(F(kModulus - 1) * F(kModulus - 1) == F::one());
  static_assert(inverse(F(7)) * F(7) == F::one());
  static_assert(Ext<3>(F(5)) * inverse(Ext<3>(F(5))) == Ext<3>::one());
  static_assert(Ext<2>(F(5)) * inverse(Ext<2>(F(5))) == Ext<2>::one());
}

#if defined(__x86_64__)

// All pairs of samples, four at a time.
struct Pairs {
  std::vector<uint64_t> a, b;
  Pairs() {
    for (const F x : samples()) {
      for (const F y : samples()) {
        a.push_back(x.v);
        b.push_back(y.v);
      }
    }
    while (a.size() % 4 != 0) {
      a.push_back(0);
      b.push_back(0);
    }
  }
};

ASSAY_AVX2 void packed_operations(const Pairs& in, std::vector<uint64_t> (&out)[4]) {
  for (size_t i = 0; i < in.a.size(); i += 4) {
    const avx2::V a = avx2::load(&in.a[i]), b = avx2::load(&in.b[i]);
    avx2::store(&out[0][i], avx2::add(a, b));
    avx2::store(&out[1][i], avx2::sub(a, b));
    avx2::store(&out[2][i], avx2::mul(a, b));
    avx2::store(&out[3][i], avx2::reduce<37>(avx2::widen(a) - avx2::widen(b)));
  }
}

TEST(packed_operations_match_scalar) {
  if (!cpu::has_avx2()) return;
  const Pairs in;
  std::vector<uint64_t> out[4];
  for (std::vector<uint64_t>& v : out) v.resize(in.a.size());
  packed_operations(in, out);
  for (size_t i = 0; i < in.a.size(); ++i) {
    const F a(in.a[i]), b(in.b[i]);
    CHECK_EQ(out[0][i], (a + b).v);
    CHECK_EQ(out[1][i], (a - b).v);
    CHECK_EQ(out[2][i], (a * b).v);
    CHECK_EQ(out[3][i], (a - b).v);
  }
}

// Multiplication of 64-bit values that need not be canonical.
ASSAY_AVX2 void packed_product(const uint64_t* a, const uint64_t* b, uint64_t* out) {
  avx2::store(out, avx2::mul(avx2::load(a), avx2::load(b)));
}

TEST(packed_product_takes_any_64_bits) {
  if (!cpu::has_avx2()) return;
  const uint64_t edges[] = {0,           1, kEpsilon, kEpsilon + 1, kModulus - 1, kModulus, ~uint64_t{0} - 1,
                            ~uint64_t{0}};
  for (const uint64_t x : edges) {
    for (const uint64_t y : edges) {
      const uint64_t a[4] = {x, y, x, y}, b[4] = {y, x, x, y};
      uint64_t out[4];
      packed_product(a, b, out);
      for (int i = 0; i < 4; ++i) CHECK_EQ(out[i], remainder(static_cast<u128>(a[i]) * b[i]));
    }
  }
}

template <int kBits>
ASSAY_AVX2 uint64_t packed_reduce(int64_t lo, int64_t hi) {
  uint64_t out[4];
  avx2::store(out, avx2::reduce<kBits>(avx2::Wide{_mm256_set1_epi64x(lo), _mm256_set1_epi64x(hi)}));
  CHECK(std::count(out, out + 4, out[0]) == 4);
  return out[0];
}

// Every combination of values near the bounds and near the carries between the halves.
template <int kBits>
void check_reduce() {
  constexpr int64_t bound = (int64_t{1} << (kBits - 1)) - 1;
  std::vector<int64_t> values;
  for (const int64_t center : {int64_t{0}, int64_t{1} << 31, int64_t{1} << 32, bound / 2, bound}) {
    for (int64_t offset = -3; offset <= 3; ++offset) {
      const int64_t x = std::clamp(center + offset, -bound, bound);
      values.push_back(x);
      values.push_back(-x);
    }
  }
  for (const int64_t lo : values) {
    for (const int64_t hi : values) {
      const F want = F::from_i64(lo) + F::from_i64(hi) * F(uint64_t{1} << 32);
      CHECK_EQ(packed_reduce<kBits>(lo, hi), want.v);
    }
  }
}

TEST(packed_reduction_within_its_bounds) {
  if (!cpu::has_avx2()) return;
  check_reduce<37>();
  check_reduce<42>();
  check_reduce<58>();
  check_reduce<60>();
}

template <int D>
ASSAY_AVX2 void packed_extension(const std::vector<Ext<D>>& a, const std::vector<Ext<D>>& b,
                                 std::vector<Ext<D>>& out) {
  for (size_t i = 0; i < a.size(); i += 4) {
    const avx2::PackedExt<D> x = avx2::load_exts(&a[i]), y = avx2::load_exts(&b[i]);
    avx2::store_exts(&out[i], x * y - (x + y));
  }
}

TEST(packed_extension_matches_scalar) {
  if (!cpu::has_avx2()) return;
  for_degrees([]<int D>() {
    const std::vector<Ext<D>> a = ext_samples<D>(4000);
    std::vector<Ext<D>> b(a.rbegin(), a.rend()), out(a.size());
    packed_extension<D>(a, b, out);
    for (size_t i = 0; i < a.size(); ++i) CHECK_EQ(out[i], a[i] * b[i] - (a[i] + b[i]));
  });
}

#endif  // defined(__x86_64__)

}  // namespace
}  // namespace assay

ASSAY_TEST_MAIN
