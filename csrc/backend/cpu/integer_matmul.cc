#include "backend/cpu/integer_matmul.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

#include "base/cpu.h"
#include "base/parallel.h"
#include "base/result.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace assay {
namespace {

using Wide = __int128;

// The micro-kernel multiplies a panel (k-major, kPanel wide) by kTile rows (each contiguous in k): twelve
// accumulators of four doubles, enough to hide the latency of a multiply-add and few enough for 16 registers.
// A depth slice of panel and rows fits the first-level cache; kRowBlock rows of a slice fit the second.
constexpr size_t kPanel = 8;
constexpr size_t kTile = 6;
constexpr size_t kTileCells = kTile * kPanel;
constexpr size_t kDepthSlice = 224;
constexpr size_t kRowBlock = 144;  // a multiple of kPanel and of kTile, as is kColBlock
constexpr size_t kColBlock = 48;
static_assert(kRowBlock % kTileCells == 0 && kColBlock % kTileCells == 0);

size_t round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }
uint64_t magnitude(int64_t v) { return v < 0 ? -static_cast<uint64_t>(v) : static_cast<uint64_t>(v); }

// ---- Micro-kernels: c[t][u] += sum over k < n of rows[t * stride + k] * panel[k][u] ----------------------

using TileKernel = void (*)(const double* panel, const double* rows, size_t stride, size_t n, double* c);

void tile_portable(const double* panel, const double* rows, size_t stride, size_t n, double* c) {
  for (size_t t = 0; t < kTile; ++t) {
    double sum[kPanel] = {};
    for (size_t k = 0; k < n; ++k) {
      const double factor = rows[t * stride + k];
      for (size_t u = 0; u < kPanel; ++u) sum[u] += factor * panel[k * kPanel + u];
    }
    for (size_t u = 0; u < kPanel; ++u) c[t * kPanel + u] += sum[u];
  }
}

// Conversions of weights to doubles, contiguous (rows) and eight columns at a time (panels).
template <class T>
inline __attribute__((always_inline)) void convert(const T* from, size_t n, double* to) {
  for (size_t k = 0; k < n; ++k) to[k] = static_cast<double>(from[k]);
}
template <class T>
inline __attribute__((always_inline)) void convert_panel(const T* from, size_t stride, size_t n, double* to) {
  for (size_t k = 0; k < n; ++k)
    for (size_t u = 0; u < kPanel; ++u) to[k * kPanel + u] = static_cast<double>(from[k * stride + u]);
}

template <class T>
void convert_portable(const T* from, size_t n, double* to) {
  convert(from, n, to);
}
template <class T>
void convert_panel_portable(const T* from, size_t stride, size_t n, double* to) {
  convert_panel(from, stride, n, to);
}

#if defined(__x86_64__)

#define ASSAY_FMA __attribute__((target("avx2,fma")))

// Eight sums, for one row against a panel.
struct RowSums {
  __m256d low, high;
};
ASSAY_FMA inline RowSums load_sums(const double* c) { return {_mm256_loadu_pd(c), _mm256_loadu_pd(c + 4)}; }
ASSAY_FMA inline void store_sums(const RowSums& s, double* c) {
  _mm256_storeu_pd(c, s.low);
  _mm256_storeu_pd(c + 4, s.high);
}
ASSAY_FMA inline void add(const double* factor, __m256d low, __m256d high, RowSums& s) {
  const __m256d f = _mm256_broadcast_sd(factor);
  s.low = _mm256_fmadd_pd(f, low, s.low);
  s.high = _mm256_fmadd_pd(f, high, s.high);
}

// Six variables rather than an array, which g++ would keep in memory.
ASSAY_FMA void tile_avx2(const double* panel, const double* rows, size_t stride, size_t n, double* c) {
  static_assert(kTile == 6 && kPanel == 8);
  RowSums s0 = load_sums(c), s1 = load_sums(c + 8), s2 = load_sums(c + 16);
  RowSums s3 = load_sums(c + 24), s4 = load_sums(c + 32), s5 = load_sums(c + 40);
  const double* upper = rows + 3 * stride;
  for (size_t k = 0; k < n; ++k) {
    const __m256d low = _mm256_loadu_pd(panel + k * kPanel);
    const __m256d high = _mm256_loadu_pd(panel + k * kPanel + 4);
    add(rows + k, low, high, s0);
    add(rows + k + stride, low, high, s1);
    add(rows + k + 2 * stride, low, high, s2);
    add(upper + k, low, high, s3);
    add(upper + k + stride, low, high, s4);
    add(upper + k + 2 * stride, low, high, s5);
  }
  store_sums(s0, c), store_sums(s1, c + 8), store_sums(s2, c + 16);
  store_sums(s3, c + 24), store_sums(s4, c + 32), store_sums(s5, c + 40);
}

template <class T>
ASSAY_FMA void convert_avx2(const T* from, size_t n, double* to) {
  convert(from, n, to);
}
// Weights are nearly always int16, and g++ converts those by a longer way.
template <>
ASSAY_FMA void convert_avx2<int16_t>(const int16_t* from, size_t n, double* to) {
  size_t k = 0;
  for (; k + 8 <= n; k += 8) {
    const __m256i v = _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + k)));
    _mm256_storeu_pd(to + k, _mm256_cvtepi32_pd(_mm256_castsi256_si128(v)));
    _mm256_storeu_pd(to + k + 4, _mm256_cvtepi32_pd(_mm256_extracti128_si256(v, 1)));
  }
  for (; k < n; ++k) to[k] = from[k];
}
template <class T>
ASSAY_FMA void convert_panel_avx2(const T* from, size_t stride, size_t n, double* to) {
  convert_panel(from, stride, n, to);
}

#undef ASSAY_FMA
#endif

template <class T>
struct Kernels {
  TileKernel tile = tile_portable;
  void (*convert)(const T*, size_t, double*) = convert_portable<T>;
  void (*convert_panel)(const T*, size_t, size_t, double*) = convert_panel_portable<T>;
};

template <class T>
Kernels<T> choose_kernels() {
#if defined(__x86_64__)
  if (cpu::has_avx2() && __builtin_cpu_supports("fma"))
    return {tile_avx2, convert_avx2<T>, convert_panel_avx2<T>};
#endif
  return {};
}

// ---- Which rows and cells belong together ----------------------------------------------------------------

struct Span {
  size_t begin = 0;
  size_t end = 0;
  size_t size() const { return end - begin; }
};

size_t rows_of_group(const IntegerProduct& p) { return p.rows / p.groups; }

// The row of x and out that is number r of group g.
size_t row_of(const IntegerProduct& p, size_t g, size_t r) {
  return (r / p.members * p.groups + g) * p.members + r % p.members;
}

// What the ranges of some rows of a group cover together, within [0, n).
Span cover(const IntegerProduct& p, const IntegerProduct::Range& range, size_t g, Span rows, size_t n) {
  if (!range) return {0, n};
  Span all{n, 0};
  for (size_t r = rows.begin; r < rows.end; ++r) {
    const auto [begin, end] = range(row_of(p, g, r));
    if (begin >= end) continue;
    all = {std::min(all.begin, begin), std::max(all.end, end)};
  }
  return all.begin < all.end ? all : Span{};
}

template <class T>
const T* right_row(const IntegerProduct& p, size_t g, size_t i) {
  return static_cast<const T*>(p.y.cells) + (i * p.groups + g) * p.y.stride;
}

// ---- The double path -------------------------------------------------------------------------------------

// Bits of x from `shift` on, those of the mask: the low ones, or all above them with the sign.
struct Digit {
  unsigned shift = 0;
  int64_t mask = -1;

  double of(int64_t v) const { return static_cast<double>((v >> shift) & mask); }
};

// A digit of x as doubles, each group's rows together and padded with zero rows: k-major panels when the
// right operand is transposed (its rows are then contiguous in k), plain rows when it is not (it then gives
// the panels).
class PackedLeft {
 public:
  PackedLeft(const IntegerProduct& p, Digit digit)
      : p_(p),
        digit_(digit),
        unit_(p.transposed ? kPanel : kTile),
        units_(round_up(rows_of_group(p), unit_) / unit_),
        cells_(new double[p.groups * units_ * unit_ * p.depth]) {
    parallel_for(p.groups * units_, 1, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) pack(i / units_, i % units_);
    });
  }

  unsigned shift() const { return digit_.shift; }

  // Number `unit` of group g, from depth k on; rows are p.depth apart.
  const double* at(size_t g, size_t unit, size_t k) const {
    return cells_.get() + (g * units_ + unit) * unit_ * p_.depth + k * (p_.transposed ? kPanel : 1);
  }

 private:
  void pack(size_t g, size_t unit) {
    double* to = cells_.get() + (g * units_ + unit) * unit_ * p_.depth;
    const size_t row_step = p_.transposed ? 1 : p_.depth;
    const size_t depth_step = p_.transposed ? kPanel : 1;
    for (size_t u = 0; u < unit_; ++u) {
      const size_t r = unit * unit_ + u;
      const int64_t* from = r < rows_of_group(p_) ? p_.x + row_of(p_, g, r) * p_.depth : nullptr;
      for (size_t k = 0; k < p_.depth; ++k)
        to[u * row_step + k * depth_step] = from != nullptr ? digit_.of(from[k]) : 0.0;
    }
  }

  const IntegerProduct& p_;
  Digit digit_;
  size_t unit_;
  size_t units_;
  std::unique_ptr<double[]> cells_;
};

// One thread's work on one block of the result at a time: the products of all digits of x.
template <class T>
class BlockProduct {
 public:
  BlockProduct(const IntegerProduct& p, std::span<const PackedLeft> digits, const ProductSink& sink)
      : p_(p),
        digits_(digits),
        sink_(sink),
        kernels_(choose_kernels<T>()),
        sums_(digits.size() * kBlockSums) {}

  void run(size_t g, Span rows, Span cols) {
    const Span wanted = cover(p_, p_.out_range, g, rows, p_.cols);
    if (wanted.begin >= cols.end || wanted.end <= cols.begin) return;
    for (size_t d = 0; d < digits_.size(); ++d)
      std::fill_n(sums_.data() + d * kBlockSums, round_up(rows.size(), kTileCells) * kColBlock, 0.0);
    const Span depth = cover(p_, p_.x_range, g, rows, p_.depth);
    for (size_t k = depth.begin; k < depth.end; k += kDepthSlice) {
      const Span slice{k, std::min(k + kDepthSlice, depth.end)};
      if (p_.transposed)
        add_transposed(g, rows, cols, slice);
      else
        add_plain(g, rows, cols, slice);
    }
    for (size_t r = rows.begin; r < rows.end; ++r) deliver(g, r, rows.begin, cols);
  }

 private:
  // Panels from x, rows from y.
  void add_transposed(size_t g, Span rows, Span cols, Span depth) {
    for (size_t j = cols.begin; j < cols.end; j += kTile) {
      for (size_t t = 0; t < kTile; ++t) {
        double* to = right_ + t * kDepthSlice;
        if (j + t < cols.end)
          kernels_.convert(right_row<T>(p_, g, j + t) + depth.begin, depth.size(), to);
        else
          std::fill(to, to + depth.size(), 0.0);
      }
      const size_t tile = (j - cols.begin) / kTile;
      for (size_t d = 0; d < digits_.size(); ++d)
        for (size_t r = rows.begin; r < rows.end; r += kPanel)
          kernels_.tile(digits_[d].at(g, r / kPanel, depth.begin), right_, kDepthSlice, depth.size(),
                        tile_sums(d, (r - rows.begin) / kPanel, tile));
    }
  }

  // Panels from y, rows from x.
  void add_plain(size_t g, Span rows, Span cols, Span depth) {
    for (size_t j = cols.begin; j < cols.end; j += kPanel) {
      load_panel(g, j, std::min(kPanel, cols.end - j), depth);
      const size_t tile = (j - cols.begin) / kPanel;
      for (size_t d = 0; d < digits_.size(); ++d)
        for (size_t r = rows.begin; r < rows.end; r += kTile)
          kernels_.tile(right_, digits_[d].at(g, r / kTile, depth.begin), p_.depth, depth.size(),
                        tile_sums(d, (r - rows.begin) / kTile, tile));
    }
  }

  void load_panel(size_t g, size_t j, size_t width, Span depth) {
    const T* from = right_row<T>(p_, g, depth.begin) + j;
    const size_t stride = p_.groups * p_.y.stride;
    if (width == kPanel) return kernels_.convert_panel(from, stride, depth.size(), right_);
    std::fill(right_, right_ + depth.size() * kPanel, 0.0);
    for (size_t k = 0; k < depth.size(); ++k)
      for (size_t u = 0; u < width; ++u) right_[k * kPanel + u] = static_cast<double>(from[k * stride + u]);
  }

  double* tile_sums(size_t digit, size_t row_tile, size_t col_tile) {
    const size_t tile = row_tile * (kColBlock / (p_.transposed ? kTile : kPanel)) + col_tile;
    return sums_.data() + digit * kBlockSums + tile * kTileCells;
  }

  void deliver(size_t g, size_t r, size_t first, Span cols) {
    const size_t i = r - first;
    uint64_t sums[kColBlock] = {};  // modulo 2^64: only the sum of all digits is known to fit
    for (size_t d = 0; d < digits_.size(); ++d) {
      const unsigned shift = digits_[d].shift();
      if (p_.transposed) {
        const double* from = tile_sums(d, i / kPanel, 0) + i % kPanel;
        for (size_t j = 0; j < cols.size(); ++j) sums[j] += whole(from[j * kPanel]) << shift;
      } else {
        const double* from = tile_sums(d, i / kTile, 0) + i % kTile * kPanel;
        for (size_t j = 0; j < cols.size(); ++j)
          sums[j] += whole(from[j / kPanel * kTileCells + j % kPanel]) << shift;
      }
    }
    int64_t values[kColBlock];
    std::memcpy(values, sums, sizeof values);
    sink_(row_of(p_, g, r), cols.begin, values, cols.size());
  }
  static uint64_t whole(double v) { return static_cast<uint64_t>(static_cast<int64_t>(v)); }

  static constexpr size_t kBlockSums = kRowBlock * kColBlock;

  const IntegerProduct& p_;
  const std::span<const PackedLeft> digits_;
  const ProductSink& sink_;
  const Kernels<T> kernels_;
  alignas(64) double right_[kDepthSlice * kPanel];
  std::vector<double> sums_;  // of a digit after the other
};

template <class T>
void multiply_doubles(const IntegerProduct& p, std::span<const Digit> digits, const ProductSink& sink) {
  std::vector<PackedLeft> left;
  for (const Digit& digit : digits) left.emplace_back(p, digit);
  const size_t group_rows = rows_of_group(p);
  const size_t row_blocks = round_up(group_rows, kRowBlock) / kRowBlock;
  const size_t col_blocks = round_up(p.cols, kColBlock) / kColBlock;
  parallel_for(p.groups * row_blocks * col_blocks, 1, [&](size_t begin, size_t end) {
    const auto block = std::make_unique<BlockProduct<T>>(p, left, sink);
    for (size_t i = begin; i < end; ++i) {
      const size_t r = i / col_blocks % row_blocks * kRowBlock;
      const size_t j = i % col_blocks * kColBlock;
      block->run(i / col_blocks / row_blocks, {r, std::min(r + kRowBlock, group_rows)},
                 {j, std::min(j + kColBlock, p.cols)});
    }
  });
}

// ---- The integer paths -----------------------------------------------------------------------------------

int64_t narrow(uint64_t v) { return static_cast<int64_t>(v); }
int64_t narrow(Wide v) {
  if (v != static_cast<int64_t>(v)) throw std::overflow_error("a product of matrices does not fit 64 bits");
  return static_cast<int64_t>(v);
}

// Sum is uint64_t (modulo 2^64, for results known to fit) or Wide.
template <class T, class Sum>
void row_product(const IntegerProduct& p, size_t g, size_t row, Span cols, Span depth, Sum* sums) {
  const int64_t* x = p.x + row * p.depth;
  const auto product = [](int64_t a, T b) { return static_cast<Sum>(a) * static_cast<Sum>(int64_t{b}); };
  std::fill(sums, sums + cols.size(), Sum{0});
  if (p.transposed) {
    for (size_t j = cols.begin; j < cols.end; ++j) {
      const T* y = right_row<T>(p, g, j);
      for (size_t k = depth.begin; k < depth.end; ++k) sums[j - cols.begin] += product(x[k], y[k]);
    }
  } else {
    for (size_t k = depth.begin; k < depth.end; ++k) {
      const T* y = right_row<T>(p, g, k);
      for (size_t j = cols.begin; j < cols.end; ++j) sums[j - cols.begin] += product(x[k], y[j]);
    }
  }
}

template <class T, class Sum>
void multiply_exactly(const IntegerProduct& p, const ProductSink& sink) {
  const size_t group_rows = rows_of_group(p);
  const size_t col_blocks = round_up(p.cols, kColBlock) / kColBlock;
  parallel_for(p.rows * col_blocks, 1, [&](size_t begin, size_t end) {
    Sum sums[kColBlock];
    int64_t values[kColBlock];
    for (size_t i = begin; i < end; ++i) {
      const size_t g = i / col_blocks / group_rows;
      const size_t r = i / col_blocks % group_rows;
      const size_t j = i % col_blocks * kColBlock;
      const Span cols{j, std::min(j + kColBlock, p.cols)};
      const Span wanted = cover(p, p.out_range, g, {r, r + 1}, p.cols);
      if (wanted.begin >= cols.end || wanted.end <= cols.begin) continue;
      row_product<T>(p, g, row_of(p, g, r), cols, cover(p, p.x_range, g, {r, r + 1}, p.depth), sums);
      for (size_t c = 0; c < cols.size(); ++c) values[c] = narrow(sums[c]);
      sink(row_of(p, g, r), j, values, cols.size());
    }
  });
}

// ---- Which path ------------------------------------------------------------------------------------------

using Bound = unsigned __int128;

// Above the sum of magnitudes of any row of x.
Bound left_bound(const IntegerProduct& p) {
  std::atomic<uint64_t> largest = 0;
  std::atomic<uint64_t> heaviest = 0;
  const auto raise = [](std::atomic<uint64_t>& to, uint64_t v) {
    uint64_t seen = to.load();
    while (seen < v && !to.compare_exchange_weak(seen, v)) {
    }
  };
  parallel_for(p.rows, std::max<size_t>(1, 65536 / p.depth), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      uint64_t any = 0;
      uint64_t sum = 0;
      for (size_t k = 0; k < p.depth; ++k) {
        any |= magnitude(p.x[i * p.depth + k]);
        sum += magnitude(p.x[i * p.depth + k]);
      }
      raise(largest, any);
      raise(heaviest, sum);
    }
  });
  // `largest` is below twice the true maximum. The sums are right unless they may have passed 2^64.
  const Bound product = Bound{largest} * p.depth;
  return product < (Bound{1} << 64) ? Bound{heaviest} : product;
}

template <class T>
uint64_t right_maximum(const IntegerProduct& p) {
  const size_t rows = (p.transposed ? p.cols : p.depth) * p.groups;
  const size_t cols = p.transposed ? p.depth : p.cols;
  std::atomic<uint64_t> largest = 0;
  parallel_for(rows, std::max<size_t>(1, 65536 / cols), [&](size_t begin, size_t end) {
    uint64_t local = 0;
    for (size_t i = begin; i < end; ++i) {
      const T* row = static_cast<const T*>(p.y.cells) + i * p.y.stride;
      for (size_t j = 0; j < cols; ++j) local = std::max(local, magnitude(row[j]));
    }
    uint64_t seen = largest.load();
    while (seen < local && !largest.compare_exchange_weak(seen, local)) {
    }
  });
  return largest;
}

constexpr Bound kDoubleLimit = Bound{1} << 53;

// Where to cut x into two digits whose products with y are exact in doubles; 0 if nowhere.
unsigned cut_for(const IntegerProduct& p, Bound left, Bound right) {
  unsigned cut = 0;
  while (cut < 52 && (Bound{p.depth} << (cut + 1)) * right < kDoubleLimit) ++cut;
  const Bound above = (left >> cut) + p.depth;  // rounding down may add one to each magnitude
  return cut != 0 && above < kDoubleLimit && above * right < kDoubleLimit ? cut : 0;
}

struct Route {
  ProductPath path;
  unsigned cut = 0;  // of kTwoDoubles
};

template <class T>
Route route_for(const IntegerProduct& p) {
  const Bound left = left_bound(p);
  // What int16 can hold is nearly always small enough: a pass over the weights saved.
  if (sizeof(T) == 2 && left << 15 < kDoubleLimit) return {ProductPath::kDouble};
  const Bound right = right_maximum<T>(p);
  if (right != 0 && left >= (Bound{1} << 126) / right)
    throw std::overflow_error("the operands of a product of matrices are too large");
  const Bound bound = left * right;
  if (bound < kDoubleLimit) return {ProductPath::kDouble};
  if (bound >= Bound{1} << 63) return {ProductPath::kInt128};
  const unsigned cut = cut_for(p, left, right);
  return cut != 0 ? Route{ProductPath::kTwoDoubles, cut} : Route{ProductPath::kInt64};
}

template <class T>
void multiply(const IntegerProduct& p, const ProductSink& sink) {
  const auto [path, cut] = route_for<T>(p);
  switch (path) {
    case ProductPath::kDouble:
      return multiply_doubles<T>(p, std::array{Digit{}}, sink);
    case ProductPath::kTwoDoubles:
      return multiply_doubles<T>(p, std::array{Digit{0, (int64_t{1} << cut) - 1}, Digit{cut, -1}}, sink);
    case ProductPath::kInt64:
      return multiply_exactly<T, uint64_t>(p, sink);
    case ProductPath::kInt128:
      return multiply_exactly<T, Wide>(p, sink);
  }
}

void check_shape(const IntegerProduct& p) {
  check(p.groups >= 1 && p.members >= 1 && p.rows % (p.groups * p.members) == 0 && p.depth >= 1,
        "multiply_integers: groups do not fit");
  check(p.y.cell_bytes == 2 || p.y.cell_bytes == 4 || p.y.cell_bytes == 8, "multiply_integers: cell size");
}

}  // namespace

ProductPath product_path(const IntegerProduct& p) {
  check_shape(p);
  if (p.y.cell_bytes == 2) return route_for<int16_t>(p).path;
  return p.y.cell_bytes == 4 ? route_for<int32_t>(p).path : route_for<int64_t>(p).path;
}

void multiply_integers(const IntegerProduct& p, const ProductSink& sink) {
  check_shape(p);
  if (p.rows == 0 || p.cols == 0) return;
  if (p.y.cell_bytes == 2) return multiply<int16_t>(p, sink);
  if (p.y.cell_bytes == 4) return multiply<int32_t>(p, sink);
  return multiply<int64_t>(p, sink);
}

}  // namespace assay
