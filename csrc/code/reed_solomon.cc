#include "code/reed_solomon.h"

#include <algorithm>
#include <stdexcept>

#include "code/ntt.h"

namespace assay {
namespace {

constexpr unsigned kMaxLogCoset = 24;
constexpr unsigned kMaxCosets = 64;

size_t bit_reverse(size_t i, unsigned bits) {
  size_t r = 0;
  for (unsigned k = 0; k < bits; ++k) r |= ((i >> k) & 1) << (bits - 1 - k);
  return r;
}

// The coefficients of c(7^power * X).
std::vector<F> twist(const F* coeffs, size_t count, unsigned power) {
  const F step = pow(kGenerator, power);
  std::vector<F> twisted(count);
  F factor = F::one();
  for (size_t i = 0; i < count; ++i, factor *= step) twisted[i] = coeffs[i] * factor;
  return twisted;
}

}  // namespace

ReedSolomon::ReedSolomon(size_t degree_bound, unsigned log_coset, unsigned cosets)
    : degree_bound_(degree_bound), log_coset_(log_coset), cosets_(cosets) {
  if (log_coset < 2 || log_coset > kMaxLogCoset) throw std::invalid_argument("ReedSolomon: log_coset");
  if (cosets < 1 || cosets > kMaxCosets) throw std::invalid_argument("ReedSolomon: cosets");
  if (degree_bound < 1 || degree_bound > size_t{1} << log_coset) {
    throw std::invalid_argument("ReedSolomon: degree_bound");
  }
  transform_ = Ntt::get(log_coset);
}

F ReedSolomon::point(size_t j) const {
  if (j >= length()) throw std::out_of_range("ReedSolomon: column");
  const size_t k = j >> log_coset_;
  const size_t i = j - (k << log_coset_);
  const F shift = pow(kCubeRoot, k % 3) * pow(kGenerator, k / 3);
  return shift * pow(root_of_unity(log_coset_), bit_reverse(i, log_coset_));
}

void ReedSolomon::encode_coset(unsigned k, const F* coeffs, size_t count, F* out, const Wanted& wanted) const {
  if (k < 3) return transform_->evaluate(k, coeffs, count, out, wanted);
  const std::vector<F> twisted = twist(coeffs, count, k / 3);
  transform_->evaluate(k % 3, twisted.data(), count, out, wanted);
}

void ReedSolomon::encode(const F* coeffs, F* codeword) const {
  for (unsigned k = 0; k < cosets_; ++k) {
    encode_coset(k, coeffs, degree_bound_, codeword + (size_t{k} << log_coset_), {});
  }
}

void ReedSolomon::encode_columns(std::span<const F> coeffs, std::span<const uint32_t> columns,
                                 std::span<F> scratch, F* symbols) const {
  if (coeffs.size() > degree_bound_) throw std::invalid_argument("ReedSolomon: too many coefficients");
  if (!std::is_sorted(columns.begin(), columns.end())) throw std::invalid_argument("ReedSolomon: unsorted");
  if (!columns.empty() && columns.back() >= length()) throw std::out_of_range("ReedSolomon: column");
  if (scratch.size() != scratch_size()) throw std::invalid_argument("ReedSolomon: scratch");
  std::vector<uint32_t> positions;
  for (size_t q = 0; q < columns.size();) {
    const unsigned k = columns[q] >> log_coset_;
    positions.clear();
    for (size_t r = q; r < columns.size() && columns[r] >> log_coset_ == k; ++r)
      positions.push_back(columns[r] - (k << log_coset_));
    encode_coset(k, coeffs.data(), coeffs.size(), scratch.data(), Wanted(positions));
    for (const uint32_t i : positions) symbols[q++] = scratch[i];
  }
}

template <int D>
std::vector<Ext<D>> ReedSolomon::encode_at(std::span<const Ext<D>> coeffs,
                                           std::span<const uint32_t> columns) const {
  std::vector<uint32_t> sorted(columns.begin(), columns.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<F> plane(coeffs.size()), values(sorted.size()), scratch(scratch_size());
  std::vector<Ext<D>> symbols(columns.size());
  for (int d = 0; d < D; ++d) {
    std::transform(coeffs.begin(), coeffs.end(), plane.begin(), [d](const Ext<D>& x) { return x.c[d]; });
    encode_columns(plane, sorted, scratch, values.data());
    for (size_t q = 0; q < columns.size(); ++q) {
      const auto at = std::lower_bound(sorted.begin(), sorted.end(), columns[q]);
      symbols[q].c[d] = values[static_cast<size_t>(at - sorted.begin())];
    }
  }
  return symbols;
}

template std::vector<Ext<2>> ReedSolomon::encode_at(std::span<const Ext<2>>, std::span<const uint32_t>) const;
template std::vector<Ext<3>> ReedSolomon::encode_at(std::span<const Ext<3>>, std::span<const uint32_t>) const;

}  // namespace assay
