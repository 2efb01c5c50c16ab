// Chooses between the portable and the AVX2 kernels at run time.
#include "backend/kernels.h"

#include <stdexcept>

#include "backend/cpu/portable.h"
#include "base/cpu.h"

#if defined(__x86_64__)
#include "backend/cpu/avx2.h"
#define ASSAY_DISPATCH(...) return cpu::has_avx2() ? avx2::__VA_ARGS__ : portable::__VA_ARGS__
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
RoundEnds<D> fraction_round_ones(ConstPlanes<D> qa, ConstPlanes<D> qb, const Ext<D>& lambda,
                                 ConstPlanes<D> eq, size_t n) {
  require_even(n);
  ASSAY_DISPATCH(fraction_round_ones<D>(qa, qb, lambda, eq, n));
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

}  // namespace assay
