// Polynomials over E and their values on the subgroup of order 2^log_n: value i is the one at w^i.
#pragma once

#include <algorithm>

#include "code/ntt.h"
#include "poly/multilinear.h"

namespace assay {

inline size_t reversed_bits(size_t i, unsigned bits) {
  size_t r = 0;
  for (unsigned k = 0; k < bits; ++k) r |= ((i >> k) & 1) << (bits - 1 - k);
  return r;
}

// values_on(c, log_n): at most 2^log_n coefficients.
template <int D>
Vec<D> values_on(std::span<const Ext<D>> coefficients, unsigned log_n) {
  const auto ntt = Ntt::get(log_n);
  Vec<D> out(ntt->size());
  std::vector<F> plane(coefficients.size()), values(out.size());
  for (int d = 0; d < D; ++d) {
    for (size_t i = 0; i < plane.size(); ++i) plane[i] = coefficients[i].c[d];
    ntt->evaluate(0, plane.data(), plane.size(), values.data());
    for (size_t i = 0; i < out.size(); ++i) out[i].c[d] = values[reversed_bits(i, log_n)];
  }
  return out;
}

// The coefficients of the polynomial of degree below values.size() = 2^log_n with these values.
template <int D>
Vec<D> interpolate(std::span<const Ext<D>> values, unsigned log_n) {
  // Coefficient k is sum over i of values[i] w^(-ik) / n.
  Vec<D> out = values_on<D>(values, log_n);
  std::reverse(out.begin() + 1, out.end());
  const F scale = inverse(F(out.size()));
  for (Ext<D>& x : out) x = x * scale;
  return out;
}

}  // namespace assay
