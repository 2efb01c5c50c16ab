// The prover of sumcheck/verifier.h, for relations over a grid of rows x cols cells.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <numeric>

#include "base/parallel.h"
#include "sumcheck/verifier.h"

namespace assay {

// One relation's side of the shared sumcheck.
template <int D>
class RoundProver {
 public:
  virtual ~RoundProver() = default;
  // H(0), unused, H(2), ..., H(degree) of the current round: H(1) follows from the claim and is never sent.
  virtual Vec<D> round() = 0;
  virtual void bind(const Ext<D>& challenge) = 0;
  // What a round costs beside other relations.
  virtual size_t work() const { return 0; }
};

// An operand's values: one per cell, per row, or per column of the grid.
enum class Spread : uint8_t { kCells, kRows, kCols };

template <int D>
struct OperandTable {
  Spread spread = Spread::kCells;
  std::vector<F> base;  // before the first binding of a variable it depends on (integers of the witness)
  Vec<D> ext;           // after it, or from the start
};

// sum over monomials of coefficient * product of operand tables (by index).
template <int D>
struct ProductForm {
  struct Monomial {
    F coefficient;
    std::vector<uint32_t> operands;
  };
  std::vector<std::vector<Monomial>> polys;  // batched by powers of lambda
  Ext<D> lambda;
};

// rows x cols grid; eq factors per variable group as the relation has them.
template <int D>
class GridProver final : public RoundProver<D> {
 public:
  struct Input {
    uint32_t rows = 1;
    uint32_t cols = 1;
    int degree = 1;
    std::vector<OperandTable<D>> tables;
    ProductForm<D> form;
    Vec<D> rho_cols;  // empty: no eq factor
    Vec<D> rho_rows;
  };
  explicit GridProver(Input input);
  Vec<D> round() override;
  void bind(const Ext<D>& challenge) override;
  size_t work() const override { return size_t{in_.rows} * in_.cols * in_.tables.size(); }

  // The operands at the final point.
  Ext<D> value(size_t table) const;

 private:
  bool in_columns() const { return cols_ > 1; }
  template <class T>
  Vec<D> round_over();

  Input in_;
  uint32_t rows_, cols_;
  Vec<D> eq_cols_, eq_rows_;  // over the variables not yet bound, the current one included
};

// Runs the shared rounds; returns the point.
template <int D>
Vec<D> prove_sumchecks(ProverChannel<D>& channel, std::span<RoundProver<D>* const> provers,
                       std::span<const SumcheckShape<D>> shapes) {
  size_t rounds = 0;
  for (const auto& s : shapes) rounds = std::max(rounds, s.rho.size());
  Vec<D> point;
  std::vector<Vec<D>> h(shapes.size());
  // Relations are independent within a round, and the largest go first, to whichever thread is free; a lone
  // one is spread over the threads by its own loops.
  std::vector<size_t> order(shapes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return provers[a]->work() > provers[b]->work(); });
  const auto each = [&](size_t k, const std::function<void(size_t)>& step) {
    std::atomic<size_t> next = 0;
    parallel_for(std::min<size_t>(order.size(), static_cast<size_t>(threads())), 1, [&](size_t, size_t) {
      for (size_t at; (at = next.fetch_add(1)) < order.size();)
        if (k < shapes[order[at]].rho.size()) step(order[at]);
    });
  };
  for (size_t k = 0; k < rounds; ++k) {
    each(k, [&](size_t i) { h[i] = provers[i]->round(); });
    for (size_t i = 0; i < shapes.size(); ++i)
      for (int x = 0; k < shapes[i].rho.size() && x <= shapes[i].degree; ++x)
        if (x != 1) channel.send("sumcheck", h[i][x]);
    point.push_back(channel.challenge("sumcheck"));
    each(k, [&](size_t i) { provers[i]->bind(point.back()); });
  }
  return point;
}

extern template class GridProver<2>;
extern template class GridProver<3>;

}  // namespace assay
