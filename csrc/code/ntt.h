// The number-theoretic transform: coefficients in their order to values in bit-reversed order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "field/goldilocks.h"

namespace assay {

// The cube root of unity 2^64, by which a point set can be shifted at no cost.
inline constexpr F kCubeRoot = F(kEpsilon);

// Which values of a transform are wanted: sorted positions, or all. Blocks without any are left out, and their
// part of the output is undefined.
class Wanted {
 public:
  Wanted() = default;  // all
  explicit Wanted(std::span<const uint32_t> sorted) : all_(false), sorted_(sorted) {}
  bool any(size_t begin, size_t end) const {
    if (all_) return true;
    const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), begin);
    return at != sorted_.end() && *at < end;
  }

 private:
  bool all_ = true;
  std::span<const uint32_t> sorted_;
};

// Transforms of size n = 2^log_n. A polynomial mod X^len - t^2 splits into its residues mod X^(len/2) - t and
// mod X^(len/2) + t; level l does that to 2^l blocks of len = n/2^l. Block b of a level has the twiddle
//
//   t = shift^(len/2) * root[b],  root[b] = w_2m^bitrev(b) over the bits of b < m = 2^l, the same for all l,
//
// with w_2m the primitive 2m-th root of unity. For shift = kCubeRoot^r the first factor is kCubeRoot^e with
// e = shift_exponent(r, len/2), so three scaled tables serve all shifts and levels.
class Ntt {
 public:
  // From a cache shared by the process.
  static std::shared_ptr<const Ntt> get(unsigned log_n);

  explicit Ntt(unsigned log_n) : log_n_(log_n) {}

  unsigned log_size() const { return log_n_; }
  size_t size() const { return size_t{1} << log_n_; }

  // values[i] = c(kCubeRoot^residue * w^bitrev(i)), i < size(), for the polynomial c with count <= size()
  // coefficients; residue < 3. Only the wanted values are sure to be there.
  void evaluate(unsigned residue, const F* coeffs, size_t count, F* values, const Wanted& wanted = {}) const;

  // kCubeRoot^(residue * 2^log_power) = kCubeRoot^(this): 2 = -1 (mod 3).
  static unsigned shift_exponent(unsigned residue, unsigned log_power) {
    return log_power % 2 == 0 ? residue : (3 - residue) % 3;
  }

  // Tables for the levels one at a time: [b] = kCubeRoot^e * root[b] * 2^64, b < n/2, for montgomery_product.
  const uint64_t* twiddles(unsigned e) const;
  // Tables for three levels at a time, in groups of four blocks: [b/4][j-1][b%4] = (kCubeRoot^e * root[4b])^j
  // for 1 <= j <= 7, b < n/8. For log_n >= 5.
  const uint64_t* twiddle_powers(unsigned e) const;

 private:
  unsigned log_n_;
  mutable std::once_flag twiddles_made_, powers_made_;
  mutable std::vector<uint64_t> twiddles_[3], powers_[3];
};

}  // namespace assay
