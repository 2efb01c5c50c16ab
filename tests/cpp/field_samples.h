// Field elements near every boundary, for tests of arithmetic.
#pragma once

#include <cstdint>
#include <iterator>
#include <vector>

#include "field/extension.h"
#include "field/goldilocks.h"

namespace assay {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {  // splitmix64
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  // One in four is a value near a carry or a reduction.
  F field() {
    static constexpr uint64_t edges[] = {
        0, 1, kModulus - 1, kModulus - 2, kEpsilon, kEpsilon + 1, kModulus - kEpsilon};
    const uint64_t x = next();
    return x % 4 == 0 ? F(edges[(x >> 8) % std::size(edges)]) : F::from_u64(next());
  }
  std::vector<F> fields(size_t n) {
    std::vector<F> r(n);
    for (F& x : r) x = field();
    return r;
  }

 private:
  uint64_t state_;
};

// Values near every boundary of a reduction, and some in between; all canonical.
inline const std::vector<F>& samples() {
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

inline uint64_t remainder(u128 x) { return static_cast<uint64_t>(x % kModulus); }

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

}  // namespace assay
