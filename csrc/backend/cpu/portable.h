// The kernels of backend/kernels.h in plain C++: the path of machines without vector instructions and the
// reference for those with them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "backend/kernels.h"

namespace assay::portable {

// A sum of up to 2^31 products of a field element and a cell of at most 32 bits: below 2^126.
struct NarrowSum {
  i128 sum = 0;

  void add(F a, int64_t cell) { sum += static_cast<i128>(a.v) * cell; }
  F reduce() const {
    const F magnitude(reduce128(static_cast<u128>(sum < 0 ? -sum : sum)));
    return sum < 0 ? -magnitude : magnitude;
  }
};

struct WideSum {
  detail::ProductSum sum;

  void add(F a, int64_t cell) { sum.add(a.v, F::from_i64(cell).v); }
  F reduce() const { return sum.reduce(); }
};

template <class T>
using CellSum = std::conditional_t<sizeof(T) <= 4, NarrowSum, WideSum>;

template <int D, class T>
struct ExtSum {
  std::array<CellSum<T>, D> c;

  void add(const Ext<D>& a, T cell) {
    for (int d = 0; d < D; ++d) c[d].add(a.c[d], cell);
  }
  Ext<D> reduce() const {
    Ext<D> r;
    for (int d = 0; d < D; ++d) r.c[d] = c[d].reduce();
    return r;
  }
};

// out[j] += sum over r of coef[r] * row(r)[j], j < cols, in column blocks whose sums stay in the L1 cache.
template <int D, class T, class Row>
void accumulate(Row row, size_t rows, size_t cols, const Ext<D>* coef, Ext<D>* out) {
  constexpr size_t kBlock = 128;
  for (size_t begin = 0; begin < cols; begin += kBlock) {
    const size_t width = std::min(kBlock, cols - begin);
    std::array<ExtSum<D, T>, kBlock> sums{};
    for (size_t r = 0; r < rows; ++r) {
      const T* cells = row(r) + begin;
      for (size_t j = 0; j < width; ++j) sums[j].add(coef[r], cells[j]);
    }
    for (size_t j = 0; j < width; ++j) out[begin + j] += sums[j].reduce();
  }
}

template <int D, class T>
void accumulate_rows(const T* cells, size_t stride, size_t rows, size_t cols, const Ext<D>* coef,
                     Ext<D>* out) {
  accumulate<D, T>([=](size_t r) { return cells + r * stride; }, rows, cols, coef, out);
}

template <int D, class T>
void accumulate_blocks(const T* cells, size_t block_len, std::span<const uint32_t> block_index,
                       const Ext<D>* coef, Ext<D>* out) {
  accumulate<D, T>([=](size_t i) { return cells + size_t{block_index[i]} * block_len; }, block_index.size(),
                   block_len, coef, out);
}

template <int D, class T>
void dot_blocks(const T* cells, size_t blocks, size_t block_len, const Ext<D>* weights, Ext<D>* out) {
  for (size_t b = 0; b < blocks; ++b, cells += block_len) {
    ExtSum<D, T> sum;
    for (size_t j = 0; j < block_len; ++j) sum.add(weights[j], cells[j]);
    out[b] = sum.reduce();
  }
}

template <int D>
void eq_table(std::span<const Ext<D>> point, Ext<D>* out) {
  out[0] = Ext<D>::one();
  for (size_t k = 0; k < point.size(); ++k) {
    const size_t half = size_t{1} << k;
    for (size_t i = 0; i < half; ++i) {
      out[half + i] = out[i] * point[k];
      out[i] -= out[half + i];
    }
  }
}

template <int D>
void eq_planes(std::span<const Ext<D>> point, Planes<D> out) {
  out.set(0, Ext<D>::one());
  for (size_t k = 0; k < point.size(); ++k) {
    const size_t half = size_t{1} << k;
    for (size_t i = 0; i < half; ++i) {
      const Ext<D> low = out.get(i);
      const Ext<D> high = low * point[k];
      out.set(half + i, high);
      out.set(i, low - high);
    }
  }
}

template <int D>
void add_multiple(const F* values, size_t n, const Ext<D>& c, Ext<D>* out) {
  for (size_t i = 0; i < n; ++i) out[i] += c * values[i];
}

template <int D>
Ext<D> inner_product(const Ext<D>* a, const Ext<D>* b, size_t n) {
  Ext<D> sum;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

template <int D>
void fraction_layer(ConstPlanes<D> p, ConstPlanes<D> q, size_t n, Planes<D> p_out, Planes<D> q_out) {
  for (size_t i = 0; i < n / 2; ++i) {
    const Ext<D> p0 = p.get(2 * i), p1 = p.get(2 * i + 1), q0 = q.get(2 * i), q1 = q.get(2 * i + 1);
    p_out.set(i, p0 * q1 + p1 * q0);
    q_out.set(i, q0 * q1);
  }
}

template <int D>
void fraction_layer_ones(ConstPlanes<D> q, size_t n, Planes<D> p_out, Planes<D> q_out) {
  for (size_t i = 0; i < n / 2; ++i) {
    const Ext<D> q0 = q.get(2 * i), q1 = q.get(2 * i + 1);
    p_out.set(i, q0 + q1);
    q_out.set(i, q0 * q1);
  }
}

template <int D>
void fold(ConstPlanes<D> a, size_t n, const Ext<D>& r, Planes<D> out) {
  for (size_t i = 0; i < n / 2; ++i) {
    const Ext<D> a0 = a.get(2 * i), a1 = a.get(2 * i + 1);
    out.set(i, a0 + r * (a1 - a0));
  }
}

// The line of elements 2i and 2i+1.
template <int D>
struct Line {
  Ext<D> zero, slope;
  Line(ConstPlanes<D> a, size_t i) : zero(a.get(2 * i)), slope(a.get(2 * i + 1) - zero) {}
};

template <int D>
RoundEnds<D> fraction_round(ConstPlanes<D> pa, ConstPlanes<D> pb, ConstPlanes<D> qa, ConstPlanes<D> qb,
                            ConstPlanes<D> eq, size_t n) {
  RoundEnds<D> sum;
  for (size_t i = 0; i < n / 2; ++i) {
    const Line<D> p0(pa, i), p1(pb, i), q0(qa, i), q1(qb, i);
    const Ext<D> e = eq.get(i);
    sum.zero += e * (p0.zero * q1.zero + p1.zero * q0.zero);
    sum.infinity += e * (p0.slope * q1.slope + p1.slope * q0.slope);
  }
  return sum;
}

template <int D>
RoundEnds<D> fraction_round_ones(ConstPlanes<D> qa, ConstPlanes<D> qb, const Ext<D>& mu, ConstPlanes<D> eq,
                                 size_t n) {
  RoundEnds<D> sum;
  for (size_t i = 0; i < n / 2; ++i) {
    const Line<D> q0(qa, i), q1(qb, i);
    const Ext<D> e = eq.get(i);
    sum.zero += e * ((q0.zero + mu) * (q1.zero + mu));
    sum.infinity += e * (q0.slope * q1.slope);
  }
  return sum;
}

// The elements of F in planes of one.
template <int K>
auto element(ConstPlanes<K> a, size_t i) {
  if constexpr (K == 1) return F(a.c[0][i]);
  else return a.get(i);
}
template <int K, class T>
void set_element(Planes<K> a, size_t i, const T& x) {
  if constexpr (K == 1) a.c[0][i] = x.v;
  else a.set(i, x);
}

template <int K>
void at_node(ConstPlanes<K> a, size_t n, Node node, Planes<K> out) {
  for (size_t i = 0; i < n / 2; ++i) {
    const auto a0 = element<K>(a, 2 * i), a1 = element<K>(a, 2 * i + 1);
    switch (node) {
      case Node::kZero: set_element<K>(out, i, a0); break;
      case Node::kOne: set_element<K>(out, i, a1); break;
      case Node::kTwo: set_element<K>(out, i, a1 + (a1 - a0)); break;
      case Node::kInfinity: set_element<K>(out, i, a1 - a0); break;
    }
  }
}

template <int K>
void split(ConstPlanes<K> a, size_t n, Planes<K> even, Planes<K> odd) {
  portable::at_node<K>(a, n, Node::kZero, even);
  portable::at_node<K>(a, n, Node::kOne, odd);
}

template <int K>
void multiply(ConstPlanes<K> a, ConstPlanes<K> b, size_t n, Planes<K> out) {
  for (size_t i = 0; i < n; ++i) set_element<K>(out, i, element<K>(a, i) * element<K>(b, i));
}

template <int K>
void add_to(ConstPlanes<K> a, size_t n, Planes<K> out) {
  for (size_t i = 0; i < n; ++i) set_element<K>(out, i, element<K>(out, i) + element<K>(a, i));
}

template <int D, int K>
void add_scaled(ConstPlanes<K> a, size_t n, const Ext<D>& r, Planes<D> out) {
  for (size_t i = 0; i < n; ++i) out.set(i, out.get(i) + r * element<K>(a, i));
}

template <int D, int K>
Ext<D> sum(ConstPlanes<K> values, size_t n) {
  Ext<D> total;
  for (size_t i = 0; i < n; ++i) total += Ext<D>(element<K>(values, i));
  return total;
}

template <int D, int K>
Ext<D> weighted_sum(ConstPlanes<D> weights, ConstPlanes<K> values, size_t n) {
  Ext<D> total;
  for (size_t i = 0; i < n; ++i) total += weights.get(i) * element<K>(values, i);
  return total;
}

template <int D>
void fold_base(ConstPlanes<1> a, size_t n, const Ext<D>& r, Planes<D> out) {
  for (size_t i = 0; i < n / 2; ++i) {
    const F a0(a.c[0][2 * i]), a1(a.c[0][2 * i + 1]);
    out.set(i, Ext<D>(a0) + r * (a1 - a0));
  }
}

}  // namespace assay::portable
