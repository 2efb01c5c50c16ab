// Products of vectors with AVX2, four elements at a time; what is left over goes to the portable twins.
#if defined(__x86_64__)

#include <algorithm>

#include "backend/cpu/avx2.h"
#include "backend/cpu/planes_avx2.h"
#include "backend/cpu/portable.h"
#include "field/packed_avx2.h"

namespace assay::avx2 {
namespace {

template <Node kNode>
ASSAY_AVX2_INLINE V line_at(V even, V odd) {
  if constexpr (kNode == Node::kZero) return even;
  if constexpr (kNode == Node::kOne) return odd;
  if constexpr (kNode == Node::kTwo) return add(odd, sub(odd, even));
  return sub(odd, even);
}

template <int K, Node kNode>
ASSAY_AVX2 void lines_at(ConstPlanes<K> a, size_t packed, Planes<K> out) {
  for (int k = 0; k < K; ++k) {
    const uint64_t* from = a.c[k];
    for (size_t i = 0; i < packed; i += 4) {
      const V v0 = load(from + 2 * i), v1 = load(from + 2 * i + 4);
      const V x = line_at<kNode>(_mm256_unpacklo_epi64(v0, v1), _mm256_unpackhi_epi64(v0, v1));
      store(out.c[k] + i, swap_middle(x));
    }
  }
}

// The elements' coordinates from position i on times one element of F for each.
template <int D>
ASSAY_AVX2_INLINE WideExt<D> scaled(const PackedExt<D>& a, V b) {
  const V b_hi = high_half(b);
  WideExt<D> r;
  for (int d = 0; d < D; ++d) r.c[d] = product(a.c[d], high_half(a.c[d]), b, b_hi);
  return r;
}

}  // namespace

template <int K>
ASSAY_AVX2 void at_node(ConstPlanes<K> a, size_t n, Node node, Planes<K> out) {
  const size_t packed = n / 8 * 4;
  switch (node) {
    case Node::kZero:
      lines_at<K, Node::kZero>(a, packed, out);
      break;
    case Node::kOne:
      lines_at<K, Node::kOne>(a, packed, out);
      break;
    case Node::kTwo:
      lines_at<K, Node::kTwo>(a, packed, out);
      break;
    case Node::kInfinity:
      lines_at<K, Node::kInfinity>(a, packed, out);
      break;
  }
  portable::at_node<K>(a.at(2 * packed), n - 2 * packed, node, out.at(packed));
}

template <int K>
ASSAY_AVX2 void split(ConstPlanes<K> a, size_t n, Planes<K> even, Planes<K> odd) {
  const size_t packed = n / 8 * 4;
  for (int k = 0; k < K; ++k) {
    for (size_t i = 0; i < packed; i += 4) {
      const V v0 = load(a.c[k] + 2 * i), v1 = load(a.c[k] + 2 * i + 4);
      store(even.c[k] + i, swap_middle(_mm256_unpacklo_epi64(v0, v1)));
      store(odd.c[k] + i, swap_middle(_mm256_unpackhi_epi64(v0, v1)));
    }
  }
  portable::split<K>(a.at(2 * packed), n - 2 * packed, even.at(packed), odd.at(packed));
}

template <int K>
ASSAY_AVX2 void multiply(ConstPlanes<K> a, ConstPlanes<K> b, size_t n, Planes<K> out) {
  const size_t packed = n / 4 * 4;
  for (size_t i = 0; i < packed; i += 4) {
    if constexpr (K == 1)
      store(out.c[0] + i, mul(load(a.c[0] + i), load(b.c[0] + i)));
    else
      store_planes(out, i, load_planes(a, i) * load_planes(b, i));
  }
  portable::multiply<K>(a.at(packed), b.at(packed), n - packed, out.at(packed));
}

template <int K>
ASSAY_AVX2 void add_to(ConstPlanes<K> a, size_t n, Planes<K> out) {
  const size_t packed = n / 4 * 4;
  for (int k = 0; k < K; ++k) {
    for (size_t i = 0; i < packed; i += 4) {
      store(out.c[k] + i, add(load(out.c[k] + i), load(a.c[k] + i)));
    }
  }
  portable::add_to<K>(a.at(packed), n - packed, out.at(packed));
}

template <int D, int K>
ASSAY_AVX2 void add_scaled(ConstPlanes<K> a, size_t n, const Ext<D>& r, Planes<D> out) {
  const size_t packed = n / 4 * 4;
  const PackedExt<D> by = splat(r);
  const Factor<D> by_factor = factor(by);
  for (size_t i = 0; i < packed; i += 4) {
    WideExt<D> value = widen(load_planes<D>(out, i));
    if constexpr (K == 1)
      value = value + scaled<D>(by, load(a.c[0] + i));
    else
      value = value + product(factor(load_planes(a, i)), by_factor);
    store_planes(out, i, reduce(value));
  }
  portable::add_scaled<D, K>(a.at(packed), n - packed, r, out.at(packed));
}

template <int D, int K>
ASSAY_AVX2 Ext<D> sum(ConstPlanes<K> values, size_t n) {
  const size_t packed = n / 4 * 4;
  Ext<D> total = portable::sum<D, K>(values.at(packed), n - packed);
  for (int k = 0; k < K; ++k) {
    for (size_t i = 0; i < packed;) {
      Wide wide{};
      for (const size_t end = std::min(packed, i + 4 * kFlushAfter); i < end; i += 4) {
        wide = wide + widen(load(values.c[k] + i));
      }
      total.c[k] += sum_lanes(wide);
    }
  }
  return total;
}

template <int D, int K>
ASSAY_AVX2 Ext<D> weighted_sum(ConstPlanes<D> weights, ConstPlanes<K> values, size_t n) {
  const size_t packed = n / 4 * 4;
  Ext<D> total = portable::weighted_sum<D, K>(weights.at(packed), values.at(packed), n - packed);
  for (size_t i = 0; i < packed;) {
    WideExt<D> wide{};
    for (const size_t end = std::min(packed, i + 4 * kFlushAfter); i < end; i += 4) {
      if constexpr (K == 1) {
        wide = wide + scaled<D>(load_planes(weights, i), load(values.c[0] + i));
      } else {
        wide = wide + product(factor(load_planes(weights, i)), factor(load_planes(values, i)));
      }
    }
    total += sum_lanes(wide);
  }
  return total;
}

template <int D>
ASSAY_AVX2 void fold_base(ConstPlanes<1> a, size_t n, const Ext<D>& r, Planes<D> out) {
  const size_t packed = n / 8 * 4;
  const PackedExt<D> point = splat(r);
  for (size_t i = 0; i < packed; i += 4) {
    const V v0 = load(a.c[0] + 2 * i), v1 = load(a.c[0] + 2 * i + 4);
    const V even = _mm256_unpacklo_epi64(v0, v1), odd = _mm256_unpackhi_epi64(v0, v1);
    WideExt<D> value = scaled<D>(point, sub(odd, even));
    value.c[0] = value.c[0] + widen(even);
    store_planes(out, i, swap_middle(reduce(value)));
  }
  portable::fold_base<D>(a.at(2 * packed), n - 2 * packed, r, out.at(packed));
}

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

}  // namespace assay::avx2

#endif  // defined(__x86_64__)
