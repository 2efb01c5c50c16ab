// Nanoseconds of processor time for a unit of work of each hot kernel on one thread: the least of several
// runs. With the argument --portable or --avx2, on that path instead of the best.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "backend/kernels.h"
#include "base/cpu.h"
#include "code/reed_solomon.h"

namespace assay {
namespace {

constexpr int kRuns = 15;

uint64_t next_random() {
  static uint64_t state = 1;
  state = state * 6364136223846793005 + 1442695040888963407;
  return state ^ (state >> 29);
}

template <int D>
std::vector<Ext<D>> random_exts(size_t n) {
  std::vector<Ext<D>> r(n);
  for (Ext<D>& x : r) {
    for (F& c : x.c) c = F::from_u64(next_random());
  }
  return r;
}

template <class T>
std::vector<T> random_cells(size_t n) {
  std::vector<T> r(n);
  for (T& x : r) x = static_cast<T>(static_cast<int64_t>(next_random()) / 4);
  return r;
}

// Least processor time of a run, over its units: the machine may be shared.
template <class Body>
double nanoseconds(double units, Body body) {
  double best = 1e300;
  for (int run = 0; run < kRuns; ++run) {
    const std::clock_t start = std::clock();
    body();
    best = std::min(best, static_cast<double>(std::clock() - start));
  }
  return best * (1e9 / CLOCKS_PER_SEC) / units;
}

void report(const char* what, int degree, double time, const char* unit) {
  if (degree == 0) {
    std::printf("%-44s %10.2f ns/%s\n", what, time, unit);
  } else {
    std::printf("%-38s D = %d %10.2f ns/%s\n", what, degree, time, unit);
  }
}

void bench_code() {
  const ReedSolomon code(163840, 18, 2);
  std::vector<F> coeffs(code.degree_bound());
  for (F& c : coeffs) c = F::from_u64(next_random());
  std::vector<F> codeword(code.length());
  const double row = nanoseconds(1, [&] { code.encode(coeffs.data(), codeword.data()); });
  report("encode, 163840 -> 524288", 0, row, "row");
  report("encode, of 36*2^17 butterflies", 0, row / (36 << 17), "butterfly");
}

template <int D>
void bench_encode_at() {
  const ReedSolomon code(163840, 18, 2);
  const std::vector<Ext<D>> coeffs = random_exts<D>(code.degree_bound());
  std::vector<uint32_t> columns(216);
  for (uint32_t& j : columns) j = static_cast<uint32_t>(next_random() % code.length());
  report("encode_at, 216 columns", D, nanoseconds(1, [&] { (void)code.encode_at<D>(coeffs, columns); }),
         "call");
}

template <int D, class T>
void bench_cells(const char* rows_name, const char* dots_name, const char* blocks_name) {
  constexpr size_t kRows = 256, kCols = 8192, kBlock = 128, kBlocks = kRows * kCols / kBlock;
  const std::vector<T> cells = random_cells<T>(kRows * kCols);
  const std::vector<Ext<D>> coef = random_exts<D>(kBlocks);
  std::vector<Ext<D>> out(std::max(kCols, kBlocks));
  std::vector<uint32_t> index(kBlocks);
  for (size_t i = 0; i < kBlocks; ++i) index[i] = static_cast<uint32_t>(i);
  const double units = kRows * kCols;
  report(
      rows_name, D,
      nanoseconds(units,
                  [&] { accumulate_rows<D, T>(cells.data(), kCols, kRows, kCols, coef.data(), out.data()); }),
      "cell");
  report(
      dots_name, D,
      nanoseconds(units, [&] { dot_blocks<D, T>(cells.data(), kBlocks, kBlock, coef.data(), out.data()); }),
      "cell");
  report(blocks_name, D,
         nanoseconds(units,
                     [&] { accumulate_blocks<D, T>(cells.data(), kBlock, index, coef.data(), out.data()); }),
         "cell");
}

template <int D>
void bench_cell_types() {
  bench_cells<D, int16_t>("accumulate_rows int16", "dot_blocks int16", "accumulate_blocks int16");
  bench_cells<D, int32_t>("accumulate_rows int32", "dot_blocks int32", "accumulate_blocks int32");
  bench_cells<D, int64_t>("accumulate_rows int64", "dot_blocks int64", "accumulate_blocks int64");
}

template <int D>
class PlaneVector {
 public:
  explicit PlaneVector(size_t n) : n_(n), storage_(D * n) {
    for (uint64_t& x : storage_) x = F::from_u64(next_random()).v;
  }
  Planes<D> view() {
    Planes<D> p;
    for (int d = 0; d < D; ++d) p.c[d] = storage_.data() + d * n_;
    return p;
  }

 private:
  size_t n_;
  std::vector<uint64_t> storage_;
};

template <int D>
void bench_products() {
  constexpr size_t n = 1 << 16;
  const std::vector<Ext<D>> a = random_exts<D>(n), b = random_exts<D>(n);
  volatile uint64_t sink = 0;
  report("product, scalar", D,
         nanoseconds(n,
                     [&] {
                       Ext<D> x = a[0];
                       for (size_t i = 0; i < n; ++i) x += a[i] * b[i];
                       for (const F c : x.c) sink = sink + c.v;
                     }),
         "product");
  report("inner_product", D, nanoseconds(n, [&] { sink = inner_product<D>(a.data(), b.data(), n).c[0].v; }),
         "product");
  std::vector<Ext<D>> table(n);
  const std::span<const Ext<D>> point(a.data(), 16);
  report("eq_table", D, nanoseconds(n, [&] { eq_table<D>(point, table.data()); }), "entry");
  PlaneVector<D> planes(n);
  report("eq_planes", D, nanoseconds(n, [&] { eq_planes<D>(point, planes.view()); }), "entry");
}

template <int D>
void bench_fractions() {
  constexpr size_t n = 1 << 16;
  PlaneVector<D> pa(n), pb(n), qa(n), qb(n), eq(n / 2), p_out(n / 2), q_out(n / 2);
  const Ext<D> r = random_exts<D>(1)[0];
  volatile uint64_t sink = 0;
  const double pairs = n / 2;
  report("fraction_layer", D,
         nanoseconds(pairs, [&] { fraction_layer<D>(pa.view(), qa.view(), n, p_out.view(), q_out.view()); }),
         "pair");
  report("fraction_layer_ones", D,
         nanoseconds(pairs, [&] { fraction_layer_ones<D>(qa.view(), n, p_out.view(), q_out.view()); }),
         "pair");
  report("fold", D, nanoseconds(pairs, [&] { fold<D>(pa.view(), n, r, p_out.view()); }), "pair");
  report("fraction_round", D,
         nanoseconds(
             pairs,
             [&] {
               sink = fraction_round<D>(pa.view(), pb.view(), qa.view(), qb.view(), eq.view(), n).zero.c[0].v;
             }),
         "pair");
  report(
      "fraction_round_ones", D,
      nanoseconds(pairs,
                  [&] { sink = fraction_round_ones<D>(qa.view(), qb.view(), r, eq.view(), n).zero.c[0].v; }),
      "pair");
}

template <int D>
void bench_degree() {
  bench_encode_at<D>();
  bench_cell_types<D>();
  bench_products<D>();
  bench_fractions<D>();
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--portable") == 0) assay::cpu::force_portable(true);
  if (argc > 1 && std::strcmp(argv[1], "--avx2") == 0) assay::cpu::forbid_avx512(true);
  assay::bench_code();
  assay::bench_degree<2>();
  assay::bench_degree<3>();
  return 0;
}
