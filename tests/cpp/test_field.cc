// Field laws on edge and random values, against arithmetic with the remainder of 128-bit integers.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "check.h"
#include "field/extension.h"
#include "field/goldilocks.h"
#include "field_samples.h"

namespace assay {
namespace {

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

}  // namespace
}  // namespace assay

ASSAY_TEST_MAIN
