// Internal to the evaluator: runs of cells, and the loops over them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/cpu.h"
#include "base/parallel.h"
#include "circuit/circuit.h"

namespace assay::evaluation {

// Rows are worked on in runs of this many cells, so that a step's buffers stay in the first-level cache.
constexpr size_t kRun = 512;
constexpr size_t kGrain = 8192;  // cells, below which another thread is not worth waking

// Arithmetic modulo 2^64: intermediate values may wrap, results are known to fit.
inline int64_t wrap_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
inline int64_t wrap_multiply(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

// ---- Shapes ----------------------------------------------------------------------------------------------

struct Run {
  size_t row = 0;
  size_t begin = 0;
  size_t end = 0;
  size_t size() const { return end - begin; }
};

inline size_t row_stride(size_t cols) { return ceil_div(cols, kBlock) * kBlock; }

inline bool same_size(const Domain& a, const Domain& b) { return a.rows == b.rows && a.cols == b.cols; }

// The existing cells of a run.
inline Run clip(const Domain& d, Run run) {
  if (!d.ragged.causal) return run;
  const auto [lo, hi] = d.range(static_cast<uint32_t>(run.row));
  run.begin = std::max<size_t>(run.begin, lo);
  run.end = std::max(run.begin, std::min<size_t>(run.end, hi));
  return run;
}

// Calls make() in each thread for a body, then body(run) for runs that cover the existing cells of d.
template <class Make>
void for_each_run(const Domain& d, Make make) {
  const size_t runs = ceil_div(d.cols, kRun);
  const size_t grain = std::max<size_t>(1, kGrain / std::min<size_t>(d.cols, kRun));
  parallel_for(d.rows * runs, grain, [&](size_t begin, size_t end) {
    auto body = make();
    for (size_t i = begin; i < end; ++i) {
      const size_t first = i % runs * kRun;
      const Run run = clip(d, {i / runs, first, std::min<size_t>(first + kRun, d.cols)});
      if (run.size() != 0) body(run);
    }
  });
}

template <class Body>
void for_each_row(const Domain& d, Body body) {
  parallel_for(d.rows, std::max<size_t>(1, kGrain / d.cols), [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) body(row);
  });
}

// ---- Loops over runs of cells ----------------------------------------------------------------------------
//
// Each is written once, as plain C++, and compiled twice: for any processor and for AVX2.

#define ASSAY_LOOP static inline __attribute__((always_inline))

struct AddConstant {
  ASSAY_LOOP void run(uint64_t* to, uint64_t c, size_t n) {
    for (size_t j = 0; j < n; ++j) to[j] += c;
  }
};
struct AddScaled {
  template <class T>
  ASSAY_LOOP void run(uint64_t* to, int64_t c, const T* from, size_t n) {
    const uint64_t factor = static_cast<uint64_t>(c);
    for (size_t j = 0; j < n; ++j) to[j] += factor * static_cast<uint64_t>(int64_t{from[j]});
  }
};
// to += (from << shift), or -= if sign is all ones.
struct AddShifted {
  template <class T>
  ASSAY_LOOP void run(uint64_t* to, unsigned shift, uint64_t sign, const T* from, size_t n) {
    for (size_t j = 0; j < n; ++j)
      to[j] += ((static_cast<uint64_t>(int64_t{from[j]}) << shift) ^ sign) - sign;
  }
};
struct AddProduct {
  ASSAY_LOOP void run(uint64_t* to, uint64_t c, const int64_t* a, const int64_t* b, size_t n) {
    for (size_t j = 0; j < n; ++j)
      to[j] += c * (static_cast<uint64_t>(a[j]) * static_cast<uint64_t>(b[j]));
  }
};
struct Multiply {
  ASSAY_LOOP void run(int64_t* to, const int64_t* a, const int64_t* b, size_t n) {
    for (size_t j = 0; j < n; ++j)
      to[j] = static_cast<int64_t>(static_cast<uint64_t>(a[j]) * static_cast<uint64_t>(b[j]));
  }
};
// Stores v; zero if all of it fits.
struct Store {
  template <class T>
  ASSAY_LOOP void run(const int64_t* v, size_t n, T* to, uint64_t* misfit) {
    uint64_t any = 0;
    for (size_t j = 0; j < n; ++j) {
      to[j] = static_cast<T>(v[j]);
      any |= static_cast<uint64_t>(v[j] ^ int64_t{static_cast<T>(v[j])});
    }
    *misfit = any;
  }
};
// Stores the low `bits` bits of v and shifts them out, arithmetically: by adding 2^63 and taking 2^(63-bits)
// off again, since only logical shifts of 64-bit lanes are cheap.
struct StoreLimb {
  template <class T>
  ASSAY_LOOP void run(int64_t* v, size_t n, unsigned bits, T* to, uint64_t* misfit) {
    const uint64_t mask = (uint64_t{1} << bits) - 1;
    const uint64_t top = uint64_t{1} << 63;
    uint64_t any = 0;
    for (size_t j = 0; j < n; ++j) {
      const uint64_t u = static_cast<uint64_t>(v[j]);
      const int64_t limb = static_cast<int64_t>(u & mask);
      to[j] = static_cast<T>(limb);
      any |= static_cast<uint64_t>(limb ^ int64_t{static_cast<T>(limb)});
      v[j] = static_cast<int64_t>(((u ^ top) >> bits) - (top >> bits));
    }
    *misfit = any;
  }
};
struct Maximum {
  ASSAY_LOOP void run(const int64_t* v, size_t n, int64_t* maximum) {
    int64_t m = *maximum;
    for (size_t j = 0; j < n; ++j) m = v[j] > m ? v[j] : m;
    *maximum = m;
  }
};

#undef ASSAY_LOOP

#if defined(__x86_64__)
template <class Loop, class... Args>
__attribute__((target("avx2"))) void run_avx2(Args... args) {
  Loop::run(args...);
}
#endif

template <class Loop, class... Args>
void run_loop(Args... args) {
#if defined(__x86_64__)
  if (cpu::has_avx2()) return run_avx2<Loop>(args...);
#endif
  Loop::run(args...);
}

// Calls f with a pointer to cells of the right type.
template <class F>
auto with_cells(CellType type, const void* cells, F f) {
  switch (type) {
    case CellType::kInt16: return f(static_cast<const int16_t*>(cells));
    case CellType::kInt32: return f(static_cast<const int32_t*>(cells));
    default: return f(static_cast<const int64_t*>(cells));
  }
}
template <class F>
auto with_cells(CellType type, void* cells, F f) {
  switch (type) {
    case CellType::kInt16: return f(static_cast<int16_t*>(cells));
    case CellType::kInt32: return f(static_cast<int32_t*>(cells));
    default: return f(static_cast<int64_t*>(cells));
  }
}

inline void add_constant(int64_t* to, int64_t c, size_t n) {
  if (c != 0) run_loop<AddConstant>(reinterpret_cast<uint64_t*>(to), static_cast<uint64_t>(c), n);
}

// to[j] += c * from[j]. Coefficients are mostly powers of two, and AVX2 has no product of 64-bit lanes.
template <class T>
void add_scaled(int64_t* to, int64_t c, const T* from, size_t n) {
  if (c == 0) return;
  uint64_t* sums = reinterpret_cast<uint64_t*>(to);
  const uint64_t size = c < 0 ? -static_cast<uint64_t>(c) : static_cast<uint64_t>(c);
  if ((size & (size - 1)) != 0) return run_loop<AddScaled>(sums, c, from, n);
  const unsigned shift = static_cast<unsigned>(__builtin_ctzll(size));
  run_loop<AddShifted>(sums, shift, c < 0 ? ~uint64_t{0} : uint64_t{0}, from, n);
}

inline void add_product(int64_t* to, int64_t c, const int64_t* a, const int64_t* b, size_t n) {
  run_loop<AddProduct>(reinterpret_cast<uint64_t*>(to), static_cast<uint64_t>(c), a, b, n);
}

}  // namespace assay::evaluation
