// The kernels of backend/kernels.h with AVX2; they may be called only where the processor has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/kernels.h"
#include "field/packed_avx2.h"

namespace assay::avx2 {

template <int D, class T>
ASSAY_AVX2 void accumulate_rows(const T* cells, size_t stride, size_t rows, size_t cols, const Ext<D>* coef,
                                Ext<D>* out);
template <int D, class T>
ASSAY_AVX2 void dot_blocks(const T* cells, size_t blocks, size_t block_len, const Ext<D>* weights,
                           Ext<D>* out);
template <int D, class T>
ASSAY_AVX2 void accumulate_blocks(const T* cells, size_t block_len, std::span<const uint32_t> block_index,
                                  const Ext<D>* coef, Ext<D>* out);

template <int D>
ASSAY_AVX2 void eq_table(std::span<const Ext<D>> point, Ext<D>* out);
template <int D>
ASSAY_AVX2 Ext<D> inner_product(const Ext<D>* a, const Ext<D>* b, size_t n);
template <int D>
ASSAY_AVX2 void add_multiple(const F* values, size_t n, const Ext<D>& c, Ext<D>* out);
template <int D>
ASSAY_AVX2 void eq_planes(std::span<const Ext<D>> point, Planes<D> out);

template <int D>
ASSAY_AVX2 void fraction_layer(ConstPlanes<D> p, ConstPlanes<D> q, size_t n, Planes<D> p_out,
                               Planes<D> q_out);
template <int D>
ASSAY_AVX2 void fraction_layer_ones(ConstPlanes<D> q, size_t n, Planes<D> p_out, Planes<D> q_out);
template <int D>
ASSAY_AVX2 void fold(ConstPlanes<D> a, size_t n, const Ext<D>& r, Planes<D> out);
template <int D>
ASSAY_AVX2 RoundEnds<D> fraction_round(ConstPlanes<D> pa, ConstPlanes<D> pb, ConstPlanes<D> qa,
                                       ConstPlanes<D> qb, ConstPlanes<D> eq, size_t n);
template <int D>
ASSAY_AVX2 RoundEnds<D> fraction_round_ones(ConstPlanes<D> qa, ConstPlanes<D> qb, const Ext<D>& mu,
                                            ConstPlanes<D> eq, size_t n);

template <int K>
ASSAY_AVX2 void at_node(ConstPlanes<K> a, size_t n, Node node, Planes<K> out);
template <int K>
ASSAY_AVX2 void split(ConstPlanes<K> a, size_t n, Planes<K> even, Planes<K> odd);
template <int K>
ASSAY_AVX2 void multiply(ConstPlanes<K> a, ConstPlanes<K> b, size_t n, Planes<K> out);
template <int K>
ASSAY_AVX2 void add_to(ConstPlanes<K> a, size_t n, Planes<K> out);
template <int D, int K>
ASSAY_AVX2 void add_scaled(ConstPlanes<K> a, size_t n, const Ext<D>& r, Planes<D> out);
template <int D, int K>
ASSAY_AVX2 Ext<D> sum(ConstPlanes<K> values, size_t n);
template <int D, int K>
ASSAY_AVX2 Ext<D> weighted_sum(ConstPlanes<D> weights, ConstPlanes<K> values, size_t n);
template <int D>
ASSAY_AVX2 void fold_base(ConstPlanes<1> a, size_t n, const Ext<D>& r, Planes<D> out);

}  // namespace assay::avx2
