// Sums of small integers times elements of E with AVX2.
//
// The one multiplication of signed lanes is 32 by 32 bits. So each coordinate of a coefficient is cut into
// signed pieces, narrow enough that many products add up in 64 bits, and the pieces meet again in one
// reduction at the end; a cell of 64 bits is cut into two limbs.
#if defined(__x86_64__)

#include <algorithm>
#include <array>

#include "backend/cpu/avx2.h"
#include "backend/cpu/portable.h"
#include "field/packed_avx2.h"

namespace assay::avx2 {
namespace {

// Products have at most 46 bits for int16_t (31 + 15) and 52 for the others (21 + 31): sums stay within 2^62.
template <class T>
struct Cut {
  static constexpr int kPieces = sizeof(T) == 2 ? 2 : 3;
  static constexpr int kPieceBits = sizeof(T) == 2 ? 32 : 22;
  static constexpr int kLimbs = sizeof(T) == 8 ? 2 : 1;
  static constexpr size_t kMaxTerms = sizeof(T) == 2 ? size_t{1} << 16 : size_t{1} << 10;
};

// sum of piece[i] * 2^(bits i) = x (mod p), |piece[i]| <= 2^(bits-1), and not 2^31.
template <class T>
std::array<int64_t, Cut<T>::kPieces> pieces(F x) {
  constexpr int bits = Cut<T>::kPieceBits;
  // (p-1)/2 itself goes to the negative side: its upper half would round up to 2^31.
  int64_t rest = static_cast<int64_t>(x.v >= kModulus / 2 ? x.v - kModulus : x.v);
  std::array<int64_t, Cut<T>::kPieces> r;
  for (int64_t& piece : r) {
    piece = static_cast<int64_t>(static_cast<uint64_t>(rest) << (64 - bits)) >> (64 - bits);
    rest = (rest - piece) >> bits;
  }
  return r;
}

// Four cells as signed lanes; of limb 0 only the low half of a lane counts.
ASSAY_AVX2_INLINE V load_cells(const int16_t* p) {
  return _mm256_cvtepi16_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
ASSAY_AVX2_INLINE V load_cells(const int32_t* p) {
  return _mm256_cvtepi32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
ASSAY_AVX2_INLINE V load_cells(const int64_t* p) { return load(reinterpret_cast<const uint64_t*>(p)); }
ASSAY_AVX2_INLINE V high_limb(V cells) {
  return high_half(_mm256_add_epi64(cells, splat(uint64_t{1} << 31)));
}

// The coordinates of four coefficients (or of one, four times) in pieces.
template <int D, class T>
struct Coefs {
  V piece[D][Cut<T>::kPieces];
};

// Sums of four columns or blocks: for each limb of the cells, pieces as in the coefficients.
template <int D, class T>
struct Sums {
  Coefs<D, T> limb[Cut<T>::kLimbs];
};

template <int D, class T>
ASSAY_AVX2_INLINE void add_products(V cells, const Coefs<D, T>& coefs, Coefs<D, T>& sums) {
  for (int d = 0; d < D; ++d) {
    for (int i = 0; i < Cut<T>::kPieces; ++i) {
      sums.piece[d][i] = _mm256_add_epi64(sums.piece[d][i], _mm256_mul_epi32(cells, coefs.piece[d][i]));
    }
  }
}

template <class T>
ASSAY_AVX2_INLINE Wide join_pieces(const V (&sums)[Cut<T>::kPieces]) {
  if constexpr (Cut<T>::kPieces == 2) {
    return widen_signed(sums[0]) + times_2_32(widen_signed(sums[1]));
  } else {
    return widen_signed(sums[0]) + shift_left<22>(widen_signed(sums[1])) +
           shift_left<12>(times_2_32(widen_signed(sums[2])));
  }
}

template <int D, class T>
ASSAY_AVX2_INLINE PackedExt<D> reduce(const Sums<D, T>& sums) {
  PackedExt<D> r;
  for (int d = 0; d < D; ++d) {
    Wide wide = join_pieces<T>(sums.limb[0].piece[d]);
    if constexpr (Cut<T>::kLimbs == 2) wide = wide + times_2_32(join_pieces<T>(sums.limb[1].piece[d]));
    r.c[d] = avx2::reduce<58>(wide);
  }
  return r;
}

// out[lane] += x, lane < count <= 4.
template <int D>
ASSAY_AVX2_INLINE void add_to(const PackedExt<D>& x, size_t count, Ext<D>* out) {
  alignas(32) uint64_t lanes[D][4];
  for (int d = 0; d < D; ++d) store(lanes[d], x.c[d]);
  for (size_t lane = 0; lane < count; ++lane) {
    for (int d = 0; d < D; ++d) out[lane].c[d] += F(lanes[d][lane]);
  }
}

// ---- Columns ---------------------------------------------------------------------------------------------

// Columns summed at once: their sums take at most 24 KB and stay in the L1 cache.
template <class T>
constexpr size_t kGroups = sizeof(T) == 2   ? 128
                           : sizeof(T) == 4 ? 64
                                            : 32;  // of four columns

constexpr size_t kRowsAtOnce = 8;  // for each load and store of a sum

template <int D, class T>
struct Rows {
  std::array<const T*, kRowsAtOnce> cells;
  Coefs<D, T> coefs[kRowsAtOnce];
};

template <int D, class T>
ASSAY_AVX2_INLINE Coefs<D, T> splat_pieces(const Ext<D>& x) {
  Coefs<D, T> r;
  for (int d = 0; d < D; ++d) {
    const auto cut = pieces<T>(x.c[d]);
    for (int i = 0; i < Cut<T>::kPieces; ++i) r.piece[d][i] = _mm256_set1_epi64x(cut[i]);
  }
  return r;
}

// Not unrolled: the compiler would reorder the sums and run out of registers.
template <int kLimb, int D, class T>
ASSAY_AVX2_INLINE void add_rows(const Rows<D, T>& rows, size_t j, Sums<D, T>& sums) {
  Coefs<D, T> local = sums.limb[kLimb];
#pragma GCC unroll 1
  for (size_t k = 0; k < kRowsAtOnce; ++k) {
    const V cells = load_cells(rows.cells[k] + j);
    add_products<D, T>(kLimb == 0 ? cells : high_limb(cells), rows.coefs[k], local);
  }
  sums.limb[kLimb] = local;
}

// out[j] += sum over r in [begin, end) of coef[r] * row(r)[j] for 4*groups columns, end - begin <= kMaxTerms.
template <int D, class T, class Row>
ASSAY_AVX2 void accumulate_columns(Row row, size_t begin, size_t end, size_t groups, const Ext<D>* coef,
                                   Ext<D>* out) {
  Sums<D, T> sums[kGroups<T>];
  std::fill(sums, sums + groups, Sums<D, T>{});
  Rows<D, T> rows;
  for (size_t r = begin; r < end; r += kRowsAtOnce) {
    for (size_t k = 0; k < kRowsAtOnce; ++k) {
      const bool present = r + k < end;
      rows.cells[k] = row(present ? r + k : r);
      rows.coefs[k] = splat_pieces<D, T>(present ? coef[r + k] : Ext<D>());
    }
    for (size_t g = 0; g < groups; ++g) {
      add_rows<0>(rows, 4 * g, sums[g]);
      if constexpr (Cut<T>::kLimbs == 2) add_rows<1>(rows, 4 * g, sums[g]);
    }
  }
  for (size_t g = 0; g < groups; ++g) add_to(reduce<D, T>(sums[g]), 4, out + 4 * g);
}

template <class T>
struct StridedRows {
  const T* cells;
  size_t stride;
  const T* operator()(size_t r) const { return cells + r * stride; }
};

template <class T>
struct ListedRows {
  const T* cells;
  size_t stride;
  const uint32_t* index;
  const T* operator()(size_t i) const { return cells + index[i] * stride; }
};

template <int D, class T, class Row>
ASSAY_AVX2 void accumulate(Row row, size_t rows, size_t cols, const Ext<D>* coef, Ext<D>* out) {
  const size_t packed = cols / 4 * 4;
  for (size_t j = 0; j < packed; j += 4 * kGroups<T>) {
    Row block = row;
    block.cells += j;
    const size_t groups = std::min(kGroups<T>, (packed - j) / 4);
    for (size_t r = 0; r < rows; r += Cut<T>::kMaxTerms) {
      accumulate_columns<D, T>(block, r, std::min(rows, r + Cut<T>::kMaxTerms), groups, coef, out + j);
    }
  }
  row.cells += packed;
  portable::accumulate<D, T>(row, rows, cols - packed, coef, out + packed);
}

// ---- Blocks ----------------------------------------------------------------------------------------------

constexpr size_t kWeightGroups = 64;  // weights cut at once, of four each: at most 18 KB

template <int D, class T>
ASSAY_AVX2_INLINE void cut_weights(const Ext<D>* weights, size_t groups, Coefs<D, T>* out) {
  for (size_t g = 0; g < groups; ++g, weights += 4) {
    for (int d = 0; d < D; ++d) {
      std::array<int64_t, Cut<T>::kPieces> cut[4];
      for (int lane = 0; lane < 4; ++lane) cut[lane] = pieces<T>(weights[lane].c[d]);
      for (int i = 0; i < Cut<T>::kPieces; ++i) {
        out[g].piece[d][i] = _mm256_setr_epi64x(cut[0][i], cut[1][i], cut[2][i], cut[3][i]);
      }
    }
  }
}

template <int D, class T>
ASSAY_AVX2_INLINE Sums<D, T> block_sums(const T* cells, size_t groups, const Coefs<D, T>* weights) {
  Sums<D, T> sums{};
  for (size_t g = 0; g < groups; ++g) add_products<D, T>(load_cells(cells + 4 * g), weights[g], sums.limb[0]);
  if constexpr (Cut<T>::kLimbs == 2) {
    for (size_t g = 0; g < groups; ++g) {
      add_products<D, T>(high_limb(load_cells(cells + 4 * g)), weights[g], sums.limb[1]);
    }
  }
  return sums;
}

// Lane b is the sum of the lanes of x[b].
ASSAY_AVX2_INLINE V sums_of_lanes(V x0, V x1, V x2, V x3) {
  const V x01 = _mm256_add_epi64(_mm256_unpacklo_epi64(x0, x1), _mm256_unpackhi_epi64(x0, x1));
  const V x23 = _mm256_add_epi64(_mm256_unpacklo_epi64(x2, x3), _mm256_unpackhi_epi64(x2, x3));
  return _mm256_add_epi64(_mm256_permute2x128_si256(x01, x23, 0x20),
                          _mm256_permute2x128_si256(x01, x23, 0x31));
}

// Four blocks of 4*groups cells at once, groups <= kWeightGroups.
template <int D, class T>
ASSAY_AVX2 PackedExt<D> dot_four(const std::array<const T*, 4>& cells, size_t groups,
                                 const Coefs<D, T>* weights) {
  Sums<D, T> block[4];
  for (int b = 0; b < 4; ++b) block[b] = block_sums<D, T>(cells[b], groups, weights);
  Sums<D, T> sums;
  for (int limb = 0; limb < Cut<T>::kLimbs; ++limb) {
    for (int d = 0; d < D; ++d) {
      for (int i = 0; i < Cut<T>::kPieces; ++i) {
        sums.limb[limb].piece[d][i] =
            sums_of_lanes(block[0].limb[limb].piece[d][i], block[1].limb[limb].piece[d][i],
                          block[2].limb[limb].piece[d][i], block[3].limb[limb].piece[d][i]);
      }
    }
  }
  return reduce<D, T>(sums);
}

// out[b] += the part of the dot products that these weights, in pieces, make.
template <int D, class T>
ASSAY_AVX2 void dot_part(const T* cells, size_t blocks, size_t block_len, size_t groups,
                         const Coefs<D, T>* weights, Ext<D>* out) {
  for (size_t b = 0; b < blocks; b += 4) {
    std::array<const T*, 4> block;
    for (size_t k = 0; k < 4; ++k) block[k] = cells + std::min(b + k, blocks - 1) * block_len;
    add_to(dot_four<D, T>(block, groups, weights), std::min<size_t>(4, blocks - b), out + b);
  }
}

}  // namespace

template <int D, class T>
ASSAY_AVX2 void accumulate_rows(const T* cells, size_t stride, size_t rows, size_t cols, const Ext<D>* coef,
                                Ext<D>* out) {
  accumulate<D, T>(StridedRows<T>{cells, stride}, rows, cols, coef, out);
}

template <int D, class T>
ASSAY_AVX2 void accumulate_blocks(const T* cells, size_t block_len, std::span<const uint32_t> block_index,
                                  const Ext<D>* coef, Ext<D>* out) {
  accumulate<D, T>(ListedRows<T>{cells, block_len, block_index.data()}, block_index.size(), block_len, coef,
                   out);
}

template <int D, class T>
ASSAY_AVX2 void dot_blocks(const T* cells, size_t blocks, size_t block_len, const Ext<D>* weights,
                           Ext<D>* out) {
  const size_t packed = block_len / 4 * 4;
  std::fill(out, out + blocks, Ext<D>());
  Coefs<D, T> cut[kWeightGroups];
  for (size_t j = 0; j < packed; j += 4 * kWeightGroups) {
    const size_t groups = std::min(kWeightGroups, (packed - j) / 4);
    cut_weights<D, T>(weights + j, groups, cut);
    dot_part<D, T>(cells + j, blocks, block_len, groups, cut, out);
  }
  for (size_t b = 0; packed < block_len && b < blocks; ++b) {
    Ext<D> tail;
    portable::dot_blocks<D, T>(cells + b * block_len + packed, 1, block_len - packed, weights + packed,
                               &tail);
    out[b] += tail;
  }
}

#define ASSAY_INSTANTIATE(D, T)                                                            \
  template void accumulate_rows(const T*, size_t, size_t, size_t, const Ext<D>*, Ext<D>*); \
  template void dot_blocks(const T*, size_t, size_t, const Ext<D>*, Ext<D>*);              \
  template void accumulate_blocks(const T*, size_t, std::span<const uint32_t>, const Ext<D>*, Ext<D>*);

ASSAY_INSTANTIATE(2, int16_t)
ASSAY_INSTANTIATE(2, int32_t)
ASSAY_INSTANTIATE(2, int64_t)
ASSAY_INSTANTIATE(3, int16_t)
ASSAY_INSTANTIATE(3, int32_t)
ASSAY_INSTANTIATE(3, int64_t)

}  // namespace assay::avx2

#endif  // defined(__x86_64__)
