// Kernels on vectors of E with AVX2, four elements at a time; what is left over goes to the portable twins.
#if defined(__x86_64__)

#include <algorithm>

#include "backend/cpu/avx2.h"
#include "backend/cpu/planes_avx2.h"
#include "backend/cpu/portable.h"
#include "field/packed_avx2.h"

namespace assay::avx2 {

template <int D>
ASSAY_AVX2 void eq_table(std::span<const Ext<D>> point, Ext<D>* out) {
  portable::eq_table<D>(point.first(std::min<size_t>(point.size(), 2)), out);
  for (size_t k = 2; k < point.size(); ++k) {
    const size_t half = size_t{1} << k;
    const Factor<D> r = factor(splat(point[k]));
    for (size_t i = 0; i < half; i += 4) {
      const PackedExt<D> low = load_exts(out + i);
      const PackedExt<D> high = reduce(product(factor(low), r));
      store_exts(out + half + i, high);
      store_exts(out + i, low - high);
    }
  }
}

template <int D>
ASSAY_AVX2 void eq_planes(std::span<const Ext<D>> point, Planes<D> out) {
  portable::eq_planes<D>(point.first(std::min<size_t>(point.size(), 2)), out);
  for (size_t k = 2; k < point.size(); ++k) {
    const size_t half = size_t{1} << k;
    const Factor<D> r = factor(splat(point[k]));
    for (size_t i = 0; i < half; i += 4) {
      const PackedExt<D> low = load_planes<D>(out, i);
      const PackedExt<D> high = reduce(product(factor(low), r));
      store_planes(out, half + i, high);
      store_planes(out, i, low - high);
    }
  }
}

template <int D>
ASSAY_AVX2 Ext<D> inner_product(const Ext<D>* a, const Ext<D>* b, size_t n) {
  const size_t packed = n / 4 * 4;
  Ext<D> sum;
  for (size_t i = 0; i < packed;) {
    WideExt<D> wide{};
    for (const size_t end = std::min(packed, i + 4 * kFlushAfter); i < end; i += 4) {
      wide = wide + product(factor(load_exts(a + i)), factor(load_exts(b + i)));
    }
    sum += sum_lanes(wide);
  }
  return sum + portable::inner_product<D>(a + packed, b + packed, n - packed);
}

template <int D>
ASSAY_AVX2 void add_multiple(const F* values, size_t n, const Ext<D>& c, Ext<D>* out) {
  const size_t packed = n / 4 * 4;
  const PackedExt<D> factor = splat(c);
  for (size_t i = 0; i < packed; i += 4) {
    V v = load(reinterpret_cast<const uint64_t*>(values + i));
    if constexpr (D == 3) v = _mm256_permute4x64_epi64(v, 0x6C);  // the order of load_exts
    if constexpr (D == 2) v = _mm256_permute4x64_epi64(v, 0xD8);
    PackedExt<D> sum = load_exts(out + i);
    for (int d = 0; d < D; ++d) sum.c[d] = add(sum.c[d], mul(v, factor.c[d]));
    store_exts(out + i, sum);
  }
  portable::add_multiple<D>(values + packed, n - packed, c, out + packed);
}

template <int D>
ASSAY_AVX2 void fraction_layer(ConstPlanes<D> p, ConstPlanes<D> q, size_t n, Planes<D> p_out,
                               Planes<D> q_out) {
  const size_t packed = n / 8 * 4;
  for (size_t i = 0; i < packed; i += 4) {
    const Pairs<D> ps = load_pairs(p, i), qs = load_pairs(q, i);
    const Factor<D> q0 = factor(qs.even), q1 = factor(qs.odd);
    const PackedExt<D> p_sum = reduce(product(factor(ps.even), q1) + product(factor(ps.odd), q0));
    store_planes(q_out, i, swap_middle(reduce(product(q0, q1))));
    store_planes(p_out, i, swap_middle(p_sum));
  }
  portable::fraction_layer<D>(p.at(2 * packed), q.at(2 * packed), n - 2 * packed, p_out.at(packed),
                              q_out.at(packed));
}

template <int D>
ASSAY_AVX2 void fraction_layer_ones(ConstPlanes<D> q, size_t n, Planes<D> p_out, Planes<D> q_out) {
  const size_t packed = n / 8 * 4;
  for (size_t i = 0; i < packed; i += 4) {
    const Pairs<D> qs = load_pairs(q, i);
    store_planes(q_out, i, swap_middle(qs.even * qs.odd));
    store_planes(p_out, i, swap_middle(qs.even + qs.odd));
  }
  portable::fraction_layer_ones<D>(q.at(2 * packed), n - 2 * packed, p_out.at(packed), q_out.at(packed));
}

template <int D>
ASSAY_AVX2 void fold(ConstPlanes<D> a, size_t n, const Ext<D>& r, Planes<D> out) {
  const size_t packed = n / 8 * 4;
  const Factor<D> point = factor(splat(r));
  for (size_t i = 0; i < packed; i += 4) {
    const Pairs<D> as = load_pairs(a, i);
    const WideExt<D> value = product(factor(as.odd - as.even), point) + widen(as.even);
    store_planes(out, i, swap_middle(reduce(value)));
  }
  portable::fold<D>(a.at(2 * packed), n - 2 * packed, r, out.at(packed));
}

template <int D>
ASSAY_AVX2 RoundEnds<D> fraction_round(ConstPlanes<D> pa, ConstPlanes<D> pb, ConstPlanes<D> qa,
                                       ConstPlanes<D> qb, ConstPlanes<D> eq, size_t n) {
  const size_t packed = n / 8 * 4;
  RoundEnds<D> sum = portable::fraction_round<D>(pa.at(2 * packed), pb.at(2 * packed), qa.at(2 * packed),
                                                 qb.at(2 * packed), eq.at(packed), n - 2 * packed);
  for (size_t i = 0; i < packed;) {
    WideExt<D> zero{}, infinity{};
    for (const size_t end = std::min(packed, i + 4 * kFlushAfter); i < end; i += 4) {
      const Pairs<D> p0 = load_pairs(pa, i), p1 = load_pairs(pb, i);
      const Pairs<D> q0 = load_pairs(qa, i), q1 = load_pairs(qb, i);
      const Factor<D> e = factor(swap_middle(load_planes(eq, i)));
      const PackedExt<D> at_zero =
          reduce(product(factor(p0.even), factor(q1.even)) + product(factor(p1.even), factor(q0.even)));
      zero = zero + product(e, factor(at_zero));
      const PackedExt<D> at_infinity = reduce(product(factor(p0.odd - p0.even), factor(q1.odd - q1.even)) +
                                              product(factor(p1.odd - p1.even), factor(q0.odd - q0.even)));
      infinity = infinity + product(e, factor(at_infinity));
    }
    sum.zero += sum_lanes(zero);
    sum.infinity += sum_lanes(infinity);
  }
  return sum;
}

template <int D>
ASSAY_AVX2 RoundEnds<D> fraction_round_ones(ConstPlanes<D> qa, ConstPlanes<D> qb, const Ext<D>& mu,
                                            ConstPlanes<D> eq, size_t n) {
  const size_t packed = n / 8 * 4;
  RoundEnds<D> sum = portable::fraction_round_ones<D>(qa.at(2 * packed), qb.at(2 * packed), mu, eq.at(packed),
                                                      n - 2 * packed);
  const PackedExt<D> shift = splat(mu);
  for (size_t i = 0; i < packed;) {
    WideExt<D> zero{}, infinity{};
    for (const size_t end = std::min(packed, i + 4 * kFlushAfter); i < end; i += 4) {
      const Pairs<D> q0 = load_pairs(qa, i), q1 = load_pairs(qb, i);
      const Factor<D> e = factor(swap_middle(load_planes(eq, i)));
      zero = zero + product(e, factor((q0.even + shift) * (q1.even + shift)));
      infinity = infinity + product(e, factor((q0.odd - q0.even) * (q1.odd - q1.even)));
    }
    sum.zero += sum_lanes(zero);
    sum.infinity += sum_lanes(infinity);
  }
  return sum;
}

#define ASSAY_INSTANTIATE(D)                                                                               \
  template void eq_table(std::span<const Ext<D>>, Ext<D>*);                                                \
  template void eq_planes(std::span<const Ext<D>>, Planes<D>);                                             \
  template Ext<D> inner_product(const Ext<D>*, const Ext<D>*, size_t);                                     \
  template void add_multiple(const F*, size_t, const Ext<D>&, Ext<D>*);                                    \
  template void fraction_layer(ConstPlanes<D>, ConstPlanes<D>, size_t, Planes<D>, Planes<D>);              \
  template void fraction_layer_ones(ConstPlanes<D>, size_t, Planes<D>, Planes<D>);                         \
  template void fold(ConstPlanes<D>, size_t, const Ext<D>&, Planes<D>);                                    \
  template RoundEnds<D> fraction_round(ConstPlanes<D>, ConstPlanes<D>, ConstPlanes<D>, ConstPlanes<D>,     \
                                       ConstPlanes<D>, size_t);                                            \
  template RoundEnds<D> fraction_round_ones(ConstPlanes<D>, ConstPlanes<D>, const Ext<D>&, ConstPlanes<D>, \
                                            size_t);

ASSAY_INSTANTIATE(2)
ASSAY_INSTANTIATE(3)

}  // namespace assay::avx2

#endif  // defined(__x86_64__)
