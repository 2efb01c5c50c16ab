// Chooses between the portable, the AVX2 and the AVX-512 kernels at run time.
#include "backend/kernels.h"

#include <stdexcept>

#include "backend/cpu/portable.h"
#include "base/cpu.h"

#if defined(__x86_64__)
namespace assay::avx2 {
#include "backend/cpu/packed_kernels.inc"
}
namespace assay::avx512 {
#include "backend/cpu/packed_kernels.inc"
}
#define ASSAY_DISPATCH(...) \
  return cpu::has_avx512() ? avx512::__VA_ARGS__ : cpu::has_avx2() ? avx2::__VA_ARGS__ : portable::__VA_ARGS__
#else
#define ASSAY_DISPATCH(...) return portable::__VA_ARGS__
#endif

namespace assay {
namespace {

void require_even(size_t n) {
  if (n % 2 != 0) throw std::invalid_argument("pairs of elements: odd size");
}

}  // namespace

template <int D, class T>
void accumulate_rows(const T* cells, size_t stride, size_t rows, size_t cols, const Ext<D>* coef,
                     Ext<D>* out) {
  ASSAY_DISPATCH(accumulate_rows<D, T>(cells, stride, rows, cols, coef, out));
}

template <int D, class T>
void dot_blocks(const T* cells, size_t blocks, size_t block_len, const Ext<D>* weights, Ext<D>* out) {
  ASSAY_DISPATCH(dot_blocks<D, T>(cells, blocks, block_len, weights, out));
}

template <int D, class T>
void accumulate_blocks(const T* cells, size_t block_len, std::span<const uint32_t> block_index,
                       const Ext<D>* coef, Ext<D>* out) {
  ASSAY_DISPATCH(accumulate_blocks<D, T>(cells, block_len, block_index, coef, out));
}

template <int D>
void eq_table(std::span<const Ext<D>> point, Ext<D>* out) {
  ASSAY_DISPATCH(eq_table<D>(point, out));
}

template <int D>
Ext<D> inner_product(const Ext<D>* a, const Ext<D>* b, size_t n) {
  ASSAY_DISPATCH(inner_product<D>(a, b, n));
}

template <int D>
void add_multiple(const F* values, size_t n, const Ext<D>& c, Ext<D>* out) {
  ASSAY_DISPATCH(add_multiple<D>(values, n, c, out));
}

template <int D>
void eq_planes(std::span<const Ext<D>> point, Planes<D> out) {
  ASSAY_DISPATCH(eq_planes<D>(point, out));
}

template <int D>
void fraction_layer(ConstPlanes<D> p, ConstPlanes<D> q, size_t n, Planes<D> p_out, Planes<D> q_out) {
  require_even(n);
  ASSAY_DISPATCH(fraction_layer<D>(p, q, n, p_out, q_out));
}

template <int D>
void fraction_layer_ones(ConstPlanes<D> q, size_t n, Planes<D> p_out, Planes<D> q_out) {
  require_even(n);
  ASSAY_DISPATCH(fraction_layer_ones<D>(q, n, p_out, q_out));
}

template <int D>
void fold(ConstPlanes<D> a, size_t n, const Ext<D>& r, Planes<D> out) {
  require_even(n);
  ASSAY_DISPATCH(fold<D>(a, n, r, out));
}

template <int D>
RoundEnds<D> fraction_round(ConstPlanes<D> pa, ConstPlanes<D> pb, ConstPlanes<D> qa, ConstPlanes<D> qb,
                            ConstPlanes<D> eq, size_t n) {
  require_even(n);
  ASSAY_DISPATCH(fraction_round<D>(pa, pb, qa, qb, eq, n));
}

template <int D>
RoundEnds<D> fraction_round_ones(ConstPlanes<D> qa, ConstPlanes<D> qb, const Ext<D>& mu, ConstPlanes<D> eq,
                                 size_t n) {
  require_even(n);
  ASSAY_DISPATCH(fraction_round_ones<D>(qa, qb, mu, eq, n));
}

template <int K>
void at_node(ConstPlanes<K> a, size_t n, Node node, Planes<K> out) {
  require_even(n);
  ASSAY_DISPATCH(at_node<K>(a, n, node, out));
}

template <int K>
void split(ConstPlanes<K> a, size_t n, Planes<K> even, Planes<K> odd) {
  require_even(n);
  ASSAY_DISPATCH(split<K>(a, n, even, odd));
}

template <int K>
void multiply(ConstPlanes<K> a, ConstPlanes<K> b, size_t n, Planes<K> out) {
  ASSAY_DISPATCH(multiply<K>(a, b, n, out));
}

template <int K>
void add_to(ConstPlanes<K> a, size_t n, Planes<K> out) {
  ASSAY_DISPATCH(add_to<K>(a, n, out));
}

template <int D, int K>
void add_scaled(ConstPlanes<K> a, size_t n, const Ext<D>& r, Planes<D> out) {
  ASSAY_DISPATCH(add_scaled<D, K>(a, n, r, out));
}

template <int D, int K>
Ext<D> sum(ConstPlanes<K> values, size_t n) {
  ASSAY_DISPATCH(sum<D, K>(values, n));
}

template <int D, int K>
Ext<D> weighted_sum(ConstPlanes<D> weights, ConstPlanes<K> values, size_t n) {
  ASSAY_DISPATCH(weighted_sum<D, K>(weights, values, n));
}

template <int D>
void fold_base(ConstPlanes<1> a, size_t n, const Ext<D>& r, Planes<D> out) {
  require_even(n);
  ASSAY_DISPATCH(fold_base<D>(a, n, r, out));
}

#define ASSAY_INSTANTIATE_CELLS(D, T)                                                      \
  template void accumulate_rows(const T*, size_t, size_t, size_t, const Ext<D>*, Ext<D>*); \
  template void dot_blocks(const T*, size_t, size_t, const Ext<D>*, Ext<D>*);              \
  template void accumulate_blocks(const T*, size_t, std::span<const uint32_t>, const Ext<D>*, Ext<D>*);

#define ASSAY_INSTANTIATE(D)                                                                               \
  ASSAY_INSTANTIATE_CELLS(D, int16_t)                                                                      \
  ASSAY_INSTANTIATE_CELLS(D, int32_t)                                                                      \
  ASSAY_INSTANTIATE_CELLS(D, int64_t)                                                                      \
  template void eq_table(std::span<const Ext<D>>, Ext<D>*);                                                \
  template Ext<D> inner_product(const Ext<D>*, const Ext<D>*, size_t);                                     \
  template void add_multiple(const F*, size_t, const Ext<D>&, Ext<D>*);                                    \
  template void eq_planes(std::span<const Ext<D>>, Planes<D>);                                             \
  template void fraction_layer(ConstPlanes<D>, ConstPlanes<D>, size_t, Planes<D>, Planes<D>);              \
  template void fraction_layer_ones(ConstPlanes<D>, size_t, Planes<D>, Planes<D>);                         \
  template void fold(ConstPlanes<D>, size_t, const Ext<D>&, Planes<D>);                                    \
  template RoundEnds<D> fraction_round(ConstPlanes<D>, ConstPlanes<D>, ConstPlanes<D>, ConstPlanes<D>,     \
                                       ConstPlanes<D>, size_t);                                            \
  template RoundEnds<D> fraction_round_ones(ConstPlanes<D>, ConstPlanes<D>, const Ext<D>&, ConstPlanes<D>, \
                                            size_t);

ASSAY_INSTANTIATE(2)
ASSAY_INSTANTIATE(3)

#define ASSAY_INSTANTIATE_PLANES(K)                                          \
  template void at_node(ConstPlanes<K>, size_t, Node, Planes<K>);            \
  template void split(ConstPlanes<K>, size_t, Planes<K>, Planes<K>);         \
  template void multiply(ConstPlanes<K>, ConstPlanes<K>, size_t, Planes<K>); \
  template void add_to(ConstPlanes<K>, size_t, Planes<K>);

#define ASSAY_INSTANTIATE_SUMS(D)                                                   \
  template void add_scaled<D, 1>(ConstPlanes<1>, size_t, const Ext<D>&, Planes<D>); \
  template void add_scaled<D, D>(ConstPlanes<D>, size_t, const Ext<D>&, Planes<D>); \
  template Ext<D> sum<D, 1>(ConstPlanes<1>, size_t);                                \
  template Ext<D> sum<D, D>(ConstPlanes<D>, size_t);                                \
  template Ext<D> weighted_sum<D, 1>(ConstPlanes<D>, ConstPlanes<1>, size_t);       \
  template Ext<D> weighted_sum<D, D>(ConstPlanes<D>, ConstPlanes<D>, size_t);       \
  template void fold_base(ConstPlanes<1>, size_t, const Ext<D>&, Planes<D>);

ASSAY_INSTANTIATE_PLANES(1)
ASSAY_INSTANTIATE_PLANES(2)
ASSAY_INSTANTIATE_PLANES(3)
ASSAY_INSTANTIATE_SUMS(2)
ASSAY_INSTANTIATE_SUMS(3)

}  // namespace assay
