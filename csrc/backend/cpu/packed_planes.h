// Vectors by planes, four elements at a time.
#pragma once

#if defined(__x86_64__)

#include <cstddef>

#include "backend/kernels.h"
#include "field/packed.h"

namespace assay::ASSAY_ISA {

// Products summed before the lanes are added up: 2^20 * 2^39 < 2^61.
inline constexpr size_t kFlushAfter = size_t{1} << 20;

// Elements in memory order, from position i on.
template <int D>
ASSAY_PACKED_INLINE PackedExt<D> load_planes(ConstPlanes<D> a, size_t i) {
  PackedExt<D> r;
  for (int d = 0; d < D; ++d) r.c[d] = load(a.c[d] + i);
  return r;
}
template <int D>
ASSAY_PACKED_INLINE void store_planes(Planes<D> a, size_t i, const PackedExt<D>& x) {
  for (int d = 0; d < D; ++d) store(a.c[d] + i, x.c[d]);
}

// Separating even from odd elements leaves lanes in the order 0 2 1 3. This takes them there, and back.
ASSAY_PACKED_INLINE V swap_middle(V x) { return _mm256_permute4x64_epi64(x, 0xD8); }
template <int D>
ASSAY_PACKED_INLINE PackedExt<D> swap_middle(PackedExt<D> x) {
  for (int d = 0; d < D; ++d) x.c[d] = swap_middle(x.c[d]);
  return x;
}

// Elements 2i, 2i+2, 2i+4, 2i+6 and their successors, lanes with the middle swapped.
template <int D>
struct Pairs {
  PackedExt<D> even, odd;
};
template <int D>
ASSAY_PACKED_INLINE Pairs<D> load_pairs(ConstPlanes<D> a, size_t i) {
  Pairs<D> r;
  for (int d = 0; d < D; ++d) {
    const V v0 = load(a.c[d] + 2 * i), v1 = load(a.c[d] + 2 * i + 4);
    r.even.c[d] = _mm256_unpacklo_epi64(v0, v1);
    r.odd.c[d] = _mm256_unpackhi_epi64(v0, v1);
  }
  return r;
}

}  // namespace assay::ASSAY_ISA

#endif  // defined(__x86_64__)
