// The Reed-Solomon code: a polynomial given by its coefficients, evaluated on a few cosets of a subgroup of
// order n = 2^log_coset.
//
// Symbol k*n + i, 0 <= k < cosets, 0 <= i < n, is the value at
//
//   point(k*n + i) = shift(k) * w^bitrev(i)
//
//   w        = 7^((p-1)/n), a primitive n-th root of unity
//   bitrev   reverses the log_coset bits of i, so that the transform needs no permutation
//   shift(k) = 2^(64 (k mod 3)) * 7^floor(k/3);  2^64 = 2^32 - 1 is a cube root of unity
//
// All points are distinct and not zero. With three cosets they are the subgroup of order 3n, and the twiddles
// of the first transform levels are powers of two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "field/extension.h"
#include "field/goldilocks.h"

namespace assay {

class Ntt;
class Wanted;

class ReedSolomon {
 public:
  // Polynomials of degree < degree_bound, 1 <= degree_bound <= 2^log_coset, 2 <= log_coset <= 24,
  // 1 <= cosets <= 64. Throws std::invalid_argument otherwise.
  ReedSolomon(size_t degree_bound, unsigned log_coset, unsigned cosets);

  size_t length() const { return static_cast<size_t>(cosets_) << log_coset_; }
  size_t degree_bound() const { return degree_bound_; }
  F point(size_t j) const;

  // codeword[j] = c(point(j)) for c with degree_bound() coefficients; codeword holds length() symbols and
  // does not overlap coeffs. Safe to call from many threads.
  void encode(const F* coeffs, F* codeword) const;

  // symbols[q] = c(point(columns[q])), for less than half the work of encode where columns are few. columns are
  // sorted and each < length(). `scratch` holds 2^log_coset elements.
  void encode_columns(std::span<const F> coeffs, std::span<const uint32_t> columns, std::span<F> scratch,
                      F* symbols) const;
  size_t scratch_size() const { return size_t{1} << log_coset_; }

  // The same for a codeword over E; the columns in any order, repeats allowed. coeffs holds at most
  // degree_bound() coefficients.
  template <int D>
  std::vector<Ext<D>> encode_at(std::span<const Ext<D>> coeffs, std::span<const uint32_t> columns) const;

 private:
  void encode_coset(unsigned k, const F* coeffs, size_t count, F* out, const Wanted& wanted) const;

  size_t degree_bound_;
  unsigned log_coset_;
  unsigned cosets_;
  std::shared_ptr<const Ntt> transform_;
};

}  // namespace assay
