// Multilinear helpers: tables of eq(point, .), and round polynomials as messages.
#pragma once

#include <span>
#include <vector>

#include "backend/kernels.h"
#include "field/extension.h"

namespace assay {

template <int D>
using Vec = std::vector<Ext<D>>;

// eq(point, i) for all i < 2^n, bit 0 of i belongs to point[0].
template <int D>
Vec<D> eq_vector(std::span<const Ext<D>> point) {
  Vec<D> out(size_t{1} << point.size());
  eq_table<D>(point, out.data());
  return out;
}
template <int D>
Vec<D> eq_vector(const Vec<D>& point) {
  return eq_vector<D>(std::span<const Ext<D>>(point));
}

template <int D>
Ext<D> eq(std::span<const Ext<D>> a, std::span<const Ext<D>> b) {
  Ext<D> r = Ext<D>::one();
  for (size_t i = 0; i < a.size(); ++i) {
    const Ext<D> ab = a[i] * b[i];
    r *= Ext<D>::one() - a[i] - b[i] + ab + ab;
  }
  return r;
}

// sum of weights[0..i) for i = 0..n
template <int D>
Vec<D> prefix_sums(std::span<const Ext<D>> weights) {
  Vec<D> out(weights.size() + 1);
  for (size_t i = 0; i < weights.size(); ++i) out[i + 1] = out[i] + weights[i];
  return out;
}

// The Lagrange coefficients at x for the nodes 0, 1, ..., degree (degree <= 3).
template <int D>
Vec<D> lagrange(const Ext<D>& x, int degree) {
  // Of node i: 1 / product over j != i of (i - j) = (-1)^(degree - i) / (i! (degree - i)!).
  static const F half = inverse(F(2)), sixth = inverse(F(6));
  static const F scales[4][4] = {{F(1)}, {-F(1), F(1)}, {half, -F(1), half}, {-sixth, half, -half, sixth}};
  Vec<D> out(degree + 1);
  for (int i = 0; i <= degree; ++i) {
    Ext<D> numerator = Ext<D>::one();
    for (int j = 0; j <= degree; ++j)
      if (j != i) numerator *= x - Ext<D>::from_i64(j);
    out[i] = numerator * scales[degree][i];
  }
  return out;
}

}  // namespace assay
