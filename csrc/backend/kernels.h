// The hot loops, behind an interface narrow enough for another device to implement.
//
// All functions are single-threaded, allocate nothing and give canonical field elements, so the result does
// not depend on the instruction set. T is int16_t, int32_t or int64_t (|cell| < 2^62), D is 2 or 3. Outputs
// do not overlap inputs unless it says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "field/extension.h"
#include "field/goldilocks.h"

namespace assay {

// ---- Small integers against vectors of E -----------------------------------------------------------------

// out[j] += sum over r < rows of coef[r] * cells[r*stride + j], j < cols.
template <int D, class T>
void accumulate_rows(const T* cells, size_t stride, size_t rows, size_t cols, const Ext<D>* coef,
                     Ext<D>* out);

// out[b] = sum over j < block_len of weights[j] * cells[b*block_len + j], b < blocks.
template <int D, class T>
void dot_blocks(const T* cells, size_t blocks, size_t block_len, const Ext<D>* weights, Ext<D>* out);

// out[j] += sum over i of coef[i] * cells[block_index[i]*block_len + j], j < block_len; coef has as many
// elements as block_index.
template <int D, class T>
void accumulate_blocks(const T* cells, size_t block_len, std::span<const uint32_t> block_index,
                       const Ext<D>* coef, Ext<D>* out);

// ---- Vectors of E ----------------------------------------------------------------------------------------

// out[i] = product over k of (bit k of i ? point[k] : 1 - point[k]), i < 2^point.size().
template <int D>
void eq_table(std::span<const Ext<D>> point, Ext<D>* out);

template <int D>
Ext<D> inner_product(const Ext<D>* a, const Ext<D>* b, size_t n);

// out[i] += c * values[i], i < n.
template <int D>
void add_multiple(const F* values, size_t n, const Ext<D>& c, Ext<D>* out);

// ---- Vectors of E by coordinate planes -------------------------------------------------------------------

// Element i of a vector is (c[0][i], ..., c[D-1][i]), each a canonical field element.
template <int D>
struct Planes {
  uint64_t* c[D] = {};

  Planes at(size_t offset) const {
    Planes r = *this;
    for (uint64_t*& p : r.c) p += offset;
    return r;
  }
  Ext<D> get(size_t i) const {
    Ext<D> r;
    for (int d = 0; d < D; ++d) r.c[d] = F(c[d][i]);
    return r;
  }
  void set(size_t i, const Ext<D>& x) const {
    for (int d = 0; d < D; ++d) c[d][i] = x.c[d].v;
  }
};

template <int D>
struct ConstPlanes {
  const uint64_t* c[D] = {};

  ConstPlanes() = default;
  ConstPlanes(const Planes<D>& p) {  // NOLINT(google-explicit-constructor): a view is a const view
    for (int d = 0; d < D; ++d) c[d] = p.c[d];
  }
  ConstPlanes at(size_t offset) const {
    ConstPlanes r = *this;
    for (const uint64_t*& p : r.c) p += offset;
    return r;
  }
  Ext<D> get(size_t i) const {
    Ext<D> r;
    for (int d = 0; d < D; ++d) r.c[d] = F(c[d][i]);
    return r;
  }
};

// As eq_table, into planes of 2^point.size() elements.
template <int D>
void eq_planes(std::span<const Ext<D>> point, Planes<D> out);

// ---- Fractional sums (LogUp-GKR); every n is even, else std::invalid_argument -------------------------

// One layer of the tree of fractions p/q: for i < n/2,
//   p_out[i] = p[2i]*q[2i+1] + p[2i+1]*q[2i],  q_out[i] = q[2i]*q[2i+1].
// An output may be the corresponding input's own storage.
template <int D>
void fraction_layer(ConstPlanes<D> p, ConstPlanes<D> q, size_t n, Planes<D> p_out, Planes<D> q_out);

// The same with all numerators 1: p_out[i] = q[2i] + q[2i+1].
template <int D>
void fraction_layer_ones(ConstPlanes<D> q, size_t n, Planes<D> p_out, Planes<D> q_out);

// out[i] = a[2i] + r*(a[2i+1] - a[2i]), i < n/2. out may be a itself.
template <int D>
void fold(ConstPlanes<D> a, size_t n, const Ext<D>& r, Planes<D> out);

// H(0) and the coefficient of X^2 of a quadratic round polynomial H.
template <int D>
struct RoundEnds {
  Ext<D> zero;
  Ext<D> infinity;
};

// Each array a of length n stands for the lines a(X) = a[2i] + X*(a[2i+1] - a[2i]), i < n/2, and
//   H(X) = sum over i of eq[i] * (pa(X)*qb(X) + pb(X)*qa(X)).
// To carry p + lambda*q in one claim pass pb + lambda*qb as pb.
template <int D>
RoundEnds<D> fraction_round(ConstPlanes<D> pa, ConstPlanes<D> pb, ConstPlanes<D> qa, ConstPlanes<D> qb,
                            ConstPlanes<D> eq, size_t n);

// H(X) = sum over i of eq[i] * (qa(X) + mu) * (qb(X) + mu). Where all numerators are 1, the sum of
// qa + qb + lambda*qa*qb is lambda times this with mu = 1/lambda, less lambda*mu^2 for each weight.
template <int D>
RoundEnds<D> fraction_round_ones(ConstPlanes<D> qa, ConstPlanes<D> qb, const Ext<D>& mu, ConstPlanes<D> eq,
                                 size_t n);

// ---- Products of vectors, by planes ----------------------------------------------------------------------
//
// K is the number of planes: 1 for vectors of F, D for vectors of E.

// Where lines a(X) = a[2i] + X*(a[2i+1] - a[2i]) are read; at infinity, their slopes.
enum class Node : uint8_t { kZero, kOne, kTwo, kInfinity };

// out[i] = the line of elements 2i and 2i+1 at the node, i < n/2; n is even, else std::invalid_argument.
template <int K>
void at_node(ConstPlanes<K> a, size_t n, Node node, Planes<K> out);

// even[i] = a[2i], odd[i] = a[2i+1], i < n/2.
template <int K>
void split(ConstPlanes<K> a, size_t n, Planes<K> even, Planes<K> odd);

// out[i] = a[i] * b[i], i < n. out may be a or b.
template <int K>
void multiply(ConstPlanes<K> a, ConstPlanes<K> b, size_t n, Planes<K> out);

// out[i] += a[i], i < n.
template <int K>
void add_to(ConstPlanes<K> a, size_t n, Planes<K> out);

// out[i] += r * a[i], i < n.
template <int D, int K>
void add_scaled(ConstPlanes<K> a, size_t n, const Ext<D>& r, Planes<D> out);

// sum over i < n of values[i].
template <int D, int K>
Ext<D> sum(ConstPlanes<K> values, size_t n);

// sum over i < n of weights[i] * values[i].
template <int D, int K>
Ext<D> weighted_sum(ConstPlanes<D> weights, ConstPlanes<K> values, size_t n);

// As fold, of a vector of F: out[i] = a[2i] + r*(a[2i+1] - a[2i]), i < n/2.
template <int D>
void fold_base(ConstPlanes<1> a, size_t n, const Ext<D>& r, Planes<D> out);

}  // namespace assay
