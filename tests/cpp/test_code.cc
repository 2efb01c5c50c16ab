// The Reed-Solomon code against evaluation by Horner's rule at the documented points.
#include <algorithm>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "code/ntt.h"
#include "code/reed_solomon.h"
#include "field_samples.h"
#include "paths.h"

namespace assay {
namespace {

F horner(const std::vector<F>& coeffs, F x) {
  F r;
  for (size_t i = coeffs.size(); i-- > 0;) r = r * x + coeffs[i];
  return r;
}

std::vector<F> encode(const ReedSolomon& code, const std::vector<F>& coeffs) {
  std::vector<F> codeword(code.length());
  code.encode(coeffs.data(), codeword.data());
  return codeword;
}

void check_all_paths(const ReedSolomon& code, const std::vector<F>& coeffs, const std::vector<F>& codeword) {
  on_all_paths([&] { CHECK(encode(code, coeffs) == codeword); });
}

// Some codes of every size from 4 up, with few and with all coefficients.
template <class Body>
void for_codes(unsigned max_log, Body body) {
  for (unsigned log_coset = 2; log_coset <= max_log; ++log_coset) {
    const size_t n = size_t{1} << log_coset;
    for (const size_t degree_bound : {size_t{1}, n / 4 + 1, n / 2, n / 2 + 1, n / 4 * 3, n - 1, n}) {
      for (const unsigned cosets : {1u, 3u, 5u}) body(ReedSolomon(degree_bound, log_coset, cosets));
    }
  }
}

TEST(points_follow_the_formula) {
  const ReedSolomon code(3, 3, 7);
  const F w = pow(F(7), (kModulus - 1) / 8);
  const uint64_t reversed[8] = {0, 4, 2, 6, 1, 5, 3, 7};
  const F shift[7] = {F(1), F(kEpsilon),        F(kEpsilon) * F(kEpsilon),
                      F(7), F(7) * F(kEpsilon), F(7) * F(kEpsilon) * F(kEpsilon),
                      F(49)};
  for (size_t j = 0; j < code.length(); ++j) CHECK_EQ(code.point(j), shift[j / 8] * pow(w, reversed[j % 8]));
  CHECK_EQ(pow(kCubeRoot, 3), F::one());
  CHECK_EQ(kCubeRoot, pow(F(2), 64));
  CHECK_THROWS(std::out_of_range, code.point(code.length()));
}

TEST(points_are_distinct_and_nonzero) {
  const ReedSolomon code(1, 7, 64);
  std::set<uint64_t> seen = {0};
  for (size_t j = 0; j < code.length(); ++j) CHECK(seen.insert(code.point(j).v).second);
}

TEST(encode_evaluates) {
  Random random(1);
  for_codes(6, [&](const ReedSolomon& code) {
    const std::vector<F> coeffs = random.fields(code.degree_bound());
    const std::vector<F> codeword = encode(code, coeffs);
    for (size_t j = 0; j < code.length(); ++j) CHECK_EQ(codeword[j], horner(coeffs, code.point(j)));
  });
}

TEST(paths_agree) {
  Random random(2);
  for_codes(14, [&](const ReedSolomon& code) {
    const std::vector<F> coeffs = random.fields(code.degree_bound());
    check_all_paths(code, coeffs, encode(code, coeffs));
  });
}

TEST(encode_extreme_coefficients) {
  const size_t n = 256;
  const ReedSolomon code(n, 8, 3);
  for (const uint64_t value : {uint64_t{0}, uint64_t{1}, kModulus - 1, kEpsilon, kEpsilon + 1}) {
    const std::vector<F> coeffs(n, F(value));
    const std::vector<F> codeword = encode(code, coeffs);
    check_all_paths(code, coeffs, codeword);
    for (size_t j = 0; j < code.length(); j += 37) CHECK_EQ(codeword[j], horner(coeffs, code.point(j)));
  }
}

TEST(encode_at_default_size) {
  const ReedSolomon code(163840, 18, 2);
  CHECK_EQ(code.length(), 524288u);
  Random random(3);
  const std::vector<F> coeffs = random.fields(code.degree_bound());
  const std::vector<F> codeword = encode(code, coeffs);
  check_all_paths(code, coeffs, codeword);
  for (const size_t j :
       {size_t{0}, size_t{1}, size_t{262143}, size_t{262144}, size_t{400000}, size_t{524287}}) {
    CHECK_EQ(codeword[j], horner(coeffs, code.point(j)));
  }
}

TEST(encode_is_linear) {
  Random random(4);
  const ReedSolomon code(3000, 12, 3);
  const std::vector<F> a = random.fields(code.degree_bound());
  const std::vector<F> b = random.fields(code.degree_bound());
  const F s = random.field();
  std::vector<F> sum(a.size());
  for (size_t i = 0; i < a.size(); ++i) sum[i] = a[i] + s * b[i];
  const std::vector<F> ca = encode(code, a), cb = encode(code, b), csum = encode(code, sum);
  for (size_t j = 0; j < code.length(); ++j) CHECK_EQ(csum[j], ca[j] + s * cb[j]);
}

template <int D>
void check_encode_at(const ReedSolomon& code, Random& random, size_t coefficients) {
  std::vector<Ext<D>> coeffs(coefficients);
  for (Ext<D>& x : coeffs) {
    for (F& c : x.c) c = random.field();
  }
  std::vector<uint32_t> columns = {0, 0, static_cast<uint32_t>(code.length() - 1)};
  for (int i = 0; i < 20; ++i) columns.push_back(static_cast<uint32_t>(random.next() % code.length()));
  const std::vector<Ext<D>> symbols = code.encode_at<D>(coeffs, columns);
  CHECK_EQ(symbols.size(), columns.size());
  for (size_t q = 0; q < columns.size(); ++q) {
    for (int d = 0; d < D; ++d) {
      std::vector<F> plane;
      for (const Ext<D>& x : coeffs) plane.push_back(x.c[d]);
      CHECK_EQ(symbols[q].c[d], horner(plane, code.point(columns[q])));
    }
  }
}

TEST(encode_at_picks_columns) {
  Random random(5);
  for_codes(6, [&](const ReedSolomon& code) {
    check_encode_at<2>(code, random, code.degree_bound());
    check_encode_at<3>(code, random, code.degree_bound());
    check_encode_at<3>(code, random, code.degree_bound() / 2);
  });
  const ReedSolomon code(10, 4, 3);
  const std::vector<uint32_t> none, outside = {48};
  const std::vector<Ext<3>> coeffs(10), many(11);
  CHECK(code.encode_at<3>(coeffs, none).empty());
  CHECK_THROWS(std::out_of_range, code.encode_at<3>(coeffs, outside));
  CHECK_THROWS(std::invalid_argument, code.encode_at<3>(many, none));
}

TEST(impossible_codes_are_refused) {
  CHECK_THROWS(std::invalid_argument, ReedSolomon(0, 4, 3));
  CHECK_THROWS(std::invalid_argument, ReedSolomon(17, 4, 3));
  CHECK_THROWS(std::invalid_argument, ReedSolomon(2, 1, 3));
  CHECK_THROWS(std::invalid_argument, ReedSolomon(2, 25, 3));
  CHECK_THROWS(std::invalid_argument, ReedSolomon(2, 4, 0));
  CHECK_THROWS(std::invalid_argument, ReedSolomon(2, 4, 65));
}

}  // namespace
}  // namespace assay

ASSAY_TEST_MAIN
