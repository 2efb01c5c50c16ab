// The prover of sumcheck/verifier.h, for relations over a grid of rows x cols cells.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>

#include "base/buffer.h"
#include "base/parallel.h"
#include "poly/planes.h"
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

// Integers of the witness in `base`, or elements of E in `ext`. Of cells, `base` has lines of even(cols)
// words, canonical; a line serves `repeats` rows of the grid.
template <int D>
struct OperandTable {
  Spread spread = Spread::kCells;
  Buffer<uint64_t> base;
  Vec<D> ext;
  uint32_t repeats = 1;
};
inline constexpr size_t even(size_t n) { return n + (n & 1); }

// sum over monomials of coefficient * product of operand tables (by index). A monomial has one operand or
// more, of them one by cells.
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
//
// Lines of the grid are worked on block by block: a block is bound at the last challenge and read at the
// nodes of the next round while it is in the cache. Factors that a whole line or all lines share are left out
// of the blocks: those by rows multiply a line's sums, those by columns its weights. Short lines are laid end
// to end
// (`flat`), where every operand has a value for each cell.
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
    std::optional<Ext<D>> claim;  // the sum, where it is known: it saves a node of the first round
  };
  explicit GridProver(Input input);
  Vec<D> round() override;
  void bind(const Ext<D>& challenge) override;
  size_t work() const override { return size_t{rows_} * cols_ * tables_.size(); }

  // The operands at the final point.
  Ext<D> value(size_t table) const;

 private:
  struct Table {
    Spread spread;
    uint32_t repeats;
    size_t stride = 0;      // of `ext`, in elements
    Buffer<uint64_t> base;  // until the first binding
    PlaneBuffer<D> ext;
    PlaneBuffer<D> next;  // flat: takes turns with `ext`
    Vec<D> rows;          // by rows, in place of the others
    bool own_lines() const { return spread == Spread::kCells && repeats == 1; }
  };
  // Terms that share their factors by rows and by columns.
  struct Group {
    Ext<D> scale;
    std::vector<uint32_t> rows, cols;
    std::vector<std::vector<uint32_t>> terms;  // operands by cells
    size_t degree = 0;                         // in the variables of a line
    size_t degree_of(const std::vector<uint32_t>& term) const { return term.size() + cols.size(); }
  };
  // A round polynomial at the nodes.
  struct Ends {
    std::array<Ext<D>, 4> at;
    Ext<D>& operator[](Node node) { return at[static_cast<size_t>(node)]; }
  };
  using Nodes = std::vector<Node>;
  // Of a group at a node: none where all weights are one.
  using Weights = std::vector<std::array<ConstPlanes<D>, 4>>;
  static constexpr size_t kMostTables = 16;

  bool in_columns() const { return cols_ > 1; }
  bool weighted() const { return in_columns() ? weighted_cols_ : weighted_rows_; }
  size_t degree_now() const;
  Nodes nodes() const;

  void add_polys(const ProductForm<D>& form);
  void take(OperandTable<D> from);
  void lift(Table& t);
  template <int K>
  ConstPlanes<K> line(Table& t, size_t i);
  void fold_line(Table& t, size_t i, size_t begin, size_t end, Planes<D> out);
  void fold_shared();
  void flatten(size_t cols);
  void flatten_table(Table& t, size_t lines, size_t cols);

  Ends round_lines();
  template <int K>
  void line_sums(size_t i, const Nodes& nodes, const Weights& weights, std::span<Ends> sums);
  Ends round_flat();
  PlaneBuffer<D> flat_weights() const;
  template <int K>
  void block_sums(const std::vector<ConstPlanes<K>>& tables, size_t pairs, const Nodes& nodes,
                  const Weights& weights, size_t at, std::span<Ends> sums) const;
  void settle();
  Vec<D> polynomial(Ends& h);

  std::vector<Table> tables_;
  std::vector<Group> groups_;
  Vec<D> rho_cols_, rho_rows_;          // of the variables not yet bound, the current one included
  Vec<D> inverse_cols_, inverse_rows_;  // their inverses
  bool weighted_cols_, weighted_rows_;
  size_t rows_, cols_;  // not yet bound, the pending challenge included
  size_t degree_;
  bool flat_ = false;
  size_t flat_size_ = 0;
  bool base_ = true;  // tables are still integers
  std::optional<Ext<D>> claim_;
  std::optional<Ext<D>> pending_;  // a challenge that the tables are not yet bound at
  std::array<Ext<D>, 4> coefficients_;
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
