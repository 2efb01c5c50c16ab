#include "code/ntt.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "base/cpu.h"
#include "code/packed_ntt.h"

namespace assay {
namespace {

// scale * root[b] * 2^64 for b < 2^(log_n-1): bit k of b contributes the primitive 2^(k+2)-th root.
std::vector<uint64_t> root_table(unsigned log_n, F scale) {
  std::vector<uint64_t> table(size_t{1} << (log_n - 1));
  table[0] = to_montgomery(scale.v);
  for (unsigned k = 0; k + 1 < log_n; ++k) {
    const size_t half = size_t{1} << k;
    const uint64_t root = to_montgomery(root_of_unity(k + 2).v);
    for (size_t b = 0; b < half; ++b) table[half + b] = montgomery_product(table[b], root);
  }
  return table;
}

std::vector<uint64_t> power_table(unsigned log_n, const uint64_t* twiddles) {
  const size_t blocks = size_t{1} << (log_n - 3);
  std::vector<uint64_t> table(7 * blocks);
  for (size_t b = 0; b < blocks; ++b) {
    uint64_t* entry = &table[b / 4 * 28 + b % 4];
    uint64_t power = 1;
    for (size_t j = 0; j < 7; ++j) entry[4 * j] = power = montgomery_product(power, twiddles[4 * b]);
  }
  return table;
}

void butterflies(F* lo, F* hi, size_t count, uint64_t twiddle) {
  for (size_t i = 0; i < count; ++i) {
    const F a = lo[i];
    const F b = F(montgomery_product(hi[i].v, twiddle));
    lo[i] = a + b;
    hi[i] = a - b;
  }
}

// Level 0, reading the coefficients that exist.
void first_level(const F* coeffs, size_t count, size_t half, uint64_t twiddle, F* values) {
  const size_t low = std::min(count, half);
  const size_t high = count - low;
  for (size_t i = 0; i < high; ++i) {
    const F a = coeffs[i];
    const F b = F(montgomery_product(coeffs[half + i].v, twiddle));
    values[i] = a + b;
    values[half + i] = a - b;
  }
  std::copy(coeffs + high, coeffs + low, values + high);
  std::copy(coeffs + high, coeffs + low, values + half + high);
  std::fill(values + low, values + half, F());
  std::fill(values + half + low, values + 2 * half, F());
}

// All further levels of one block of 2^log_len; large blocks one half after the other, to stay in cache.
void block_levels(const Ntt& ntt, unsigned residue, unsigned log_len, size_t block, const Wanted& wanted,
                  F* values) {
  if (!wanted.any(block << log_len, (block + 1) << log_len)) return;
  constexpr unsigned kLogCached = 11;
  for (; log_len > kLogCached; block *= 2) {
    const size_t half = size_t{1} << --log_len;
    butterflies(values, values + half, half, ntt.twiddles(Ntt::shift_exponent(residue, log_len))[block]);
    block_levels(ntt, residue, log_len, 2 * block + 1, wanted, values + half);
    if (!wanted.any((2 * block) << log_len, (2 * block + 1) << log_len)) return;
  }
  for (size_t blocks = 1; log_len > 0; block *= 2, blocks *= 2) {
    const size_t half = size_t{1} << --log_len;
    const uint64_t* twiddles = ntt.twiddles(Ntt::shift_exponent(residue, log_len)) + block;
    for (size_t b = 0; b < blocks; ++b) {
      butterflies(values + 2 * b * half, values + (2 * b + 1) * half, half, twiddles[b]);
    }
  }
}

void evaluate_portable(const Ntt& ntt, unsigned residue, const F* coeffs, size_t count, const Wanted& wanted,
                       F* values) {
  const unsigned log_half = ntt.log_size() - 1;
  const size_t half = size_t{1} << log_half;
  first_level(coeffs, count, half, ntt.twiddles(Ntt::shift_exponent(residue, log_half))[0], values);
  block_levels(ntt, residue, log_half, 0, wanted, values);
  block_levels(ntt, residue, log_half, 1, wanted, values + half);
}

}  // namespace

std::shared_ptr<const Ntt> Ntt::get(unsigned log_n) {
  static std::mutex mutex;
  static std::map<unsigned, std::shared_ptr<const Ntt>> cache;
  const std::lock_guard lock(mutex);
  std::shared_ptr<const Ntt>& entry = cache[log_n];
  if (!entry) entry = std::make_shared<const Ntt>(log_n);
  return entry;
}

const uint64_t* Ntt::twiddles(unsigned e) const {
  std::call_once(twiddles_made_, [this] {
    for (unsigned k = 0; k < 3; ++k) twiddles_[k] = root_table(log_n_, pow(kCubeRoot, k));
  });
  return twiddles_[e].data();
}

const uint64_t* Ntt::twiddle_powers(unsigned e) const {
  std::call_once(powers_made_, [this] {
    for (unsigned k = 0; k < 3; ++k) {
      powers_[k] = power_table(log_n_, root_table(log_n_, pow(kCubeRoot, k)).data());
    }
  });
  return powers_[e].data();
}

void Ntt::evaluate(unsigned residue, const F* coeffs, size_t count, F* values, const Wanted& wanted) const {
#if defined(__x86_64__)
  if (log_n_ >= kMinLogPackedNtt) {
    if (cpu::has_avx512()) return avx512::evaluate(*this, residue, coeffs, count, values, wanted);
    if (cpu::has_avx2()) return avx2::evaluate(*this, residue, coeffs, count, values, wanted);
  }
#endif
  evaluate_portable(*this, residue, coeffs, count, wanted, values);
}

}  // namespace assay
