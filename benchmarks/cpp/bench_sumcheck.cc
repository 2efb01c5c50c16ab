// ns of processor time a cell of a zero-check: all rounds of a sumcheck over rows x cols cells, by the form
// of the relation.   usage: bench_sumcheck [rows] [cols] [threads]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "base/math.h"
#include "base/parallel.h"
#include "sumcheck/prover.h"

namespace {

using namespace assay;

uint64_t next_random() {
  static uint64_t state = 1;
  state = state * 6364136223846793005 + 1442695040888963407;
  return state ^ (state >> 29);
}

template <int D>
Ext<D> draw() {
  Ext<D> x;
  for (F& c : x.c) c = F::from_u64(next_random());
  return x;
}

struct Form {
  const char* name;
  std::vector<Spread> operands;
  std::vector<ProductForm<3>::Monomial> monomials;
};

template <int D>
GridProver<D> prover(const Form& form, uint32_t rows, uint32_t cols) {
  typename GridProver<D>::Input in;
  in.rows = rows;
  in.cols = cols;
  in.degree = 3;
  in.claim = Ext<D>::zero();
  for (const Spread spread : form.operands) {
    const size_t n =
        spread == Spread::kRows ? even(rows) : even(cols) * (spread == Spread::kCells ? rows : 1);
    OperandTable<D> t{spread, Buffer<uint64_t>(n), {}, 1};
    for (size_t i = 0; i < n; ++i) t.base.data()[i] = F::from_i64(static_cast<int32_t>(next_random())).v;
    in.tables.push_back(std::move(t));
  }
  auto& poly = in.form.polys.emplace_back();
  for (const auto& m : form.monomials) poly.push_back({m.coefficient, m.operands});
  for (unsigned k = 0; k < log2_ceil(rows); ++k) in.rho_rows.push_back(draw<D>());
  for (unsigned k = 0; k < log2_ceil(cols); ++k) in.rho_cols.push_back(draw<D>());
  return GridProver<D>(std::move(in));
}

template <int D>
void run(const Form& form, uint32_t rows, uint32_t cols) {
  double best = 1e300;
  for (int k = 0; k < 9; ++k) {
    GridProver<D> p = prover<D>(form, rows, cols);
    const std::clock_t start = std::clock();
    for (unsigned round = 0; round < log2_ceil(rows) + log2_ceil(cols); ++round) {
      (void)p.round();
      p.bind(draw<D>());
    }
    best = std::min(best, static_cast<double>(std::clock() - start));
  }
  std::printf("%-34s D = %d %8.1f ns/cell\n", form.name, D, best * (1e9 / CLOCKS_PER_SEC) / rows / cols);
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int k, int otherwise) { return argc > k ? std::atoi(argv[k]) : otherwise; };
  const auto rows = static_cast<uint32_t>(number(1, 64)), cols = static_cast<uint32_t>(number(2, 2048));
  set_threads(number(3, 1));
  constexpr Spread kCells = Spread::kCells, kRows = Spread::kRows, kCols = Spread::kCols;
  const F one = F::one();
  // Of a linear part only the sum has a table.
  const Form forms[] = {
      {"clamp: x y + linear", {kCells, kCells, kCells}, {{-one, {0, 1}}, {-one, {2}}}},
      {"norm: x row col + linear", {kCells, kRows, kCols, kCells}, {{one, {0, 1, 2}}, {-one, {3}}}},
      {"division: x row + linear", {kCells, kRows, kCells}, {{one, {0, 1}}, {-one, {2}}}},
      {"gate: (x y + z w) v + linear",
       {kCells, kCells, kCells, kCells, kCells, kCells},
       {{one, {0, 1, 4}}, {one, {2, 3, 4}}, {one, {5}}}},
  };
  for (const Form& form : forms) {
    run<2>(form, rows, cols);
    run<3>(form, rows, cols);
  }
  return 0;
}
