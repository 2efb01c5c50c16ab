// Claims: statements "a linear functional of committed cells has this value".
//
// Every relation ends in claims. The cells of all opened commitments form one stack of blocks (128 cells
// each); a functional is a sum of terms, each over one tensor, with weights
//     coefficient * row_weight[i] * column_weight[j]        on the existing cells (i, j) of a view, or
//     coefficient * leaf_high[base + block] * low[j mod 128]  for a column of the lookup tree.
// Cells that do not exist get no weight at all: they cannot be read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "circuit/circuit.h"
#include "poly/multilinear.h"

namespace assay {

// Weights along a row, factored as high[j / 128] * low[j mod 128] (one low vector), or given cell by cell
// (a low vector for each block, high all ones).
template <int D>
struct ColumnWeights {
  std::vector<Vec<D>> low;  // one, or one per block
  Vec<D> high;

  const Vec<D>& low_of(size_t block) const { return low.size() == 1 ? low[0] : low[block]; }
  Ext<D> at(size_t j) const { return high[j / kBlock] * low_of(j / kBlock)[j % kBlock]; }

  // eq(point, j): the tensor's multilinear extension at a point.
  static std::shared_ptr<const ColumnWeights> from_point(std::span<const Ext<D>> point, size_t cols) {
    auto w = std::make_shared<ColumnWeights>();
    const size_t split = std::min<size_t>(point.size(), kLogBlock);
    w->low.push_back(eq_vector<D>(point.first(split)));
    w->low[0].resize(kBlock);
    w->high = eq_vector<D>(point.subspan(split));
    w->high.resize(ceil_div(cols, kBlock));
    return w;
  }
  static std::shared_ptr<const ColumnWeights> ones(size_t cols) {
    auto w = std::make_shared<ColumnWeights>();
    w->low.push_back(Vec<D>(kBlock, Ext<D>::one()));
    w->high.assign(ceil_div(cols, kBlock), Ext<D>::one());
    return w;
  }
  static std::shared_ptr<const ColumnWeights> from_cells(Vec<D> cells) {
    auto w = std::make_shared<ColumnWeights>();
    const size_t blocks = ceil_div(cells.size(), kBlock);
    cells.resize(blocks * kBlock);
    for (size_t b = 0; b < blocks; ++b)
      w->low.emplace_back(cells.begin() + b * kBlock, cells.begin() + (b + 1) * kBlock);
    w->high.assign(blocks, Ext<D>::one());
    return w;
  }
};

// The weights of the leaves of the lookup tree at its final point.
template <int D>
struct LeafWeights {
  Vec<D> low;         // 128
  Vec<D> high;        // by block of leaves
  Vec<D> low_prefix;  // prefix sums of low
};

template <int D>
struct Term {
  size_t first_block = 0;  // of the tensor, in the stack
  Ext<D> coefficient;
  Domain view;           // shape the tensor is seen with; its ragged rows restrict the cells read
  Ragged also;           // and so do these (the tensor's own)
  std::shared_ptr<const Vec<D>> rows;  // weights of the rows
  std::shared_ptr<const ColumnWeights<D>> cols;
  std::shared_ptr<const LeafWeights<D>> leaves;  // instead of rows and cols
  size_t leaf_base = 0;                          // first block of leaves

  std::pair<uint32_t, uint32_t> range(uint32_t row) const {
    const auto [a, b] = view.range(row);
    const auto [c, d] = also.range(row, view.cols);
    return {std::max(a, c), std::min(b, d)};
  }
};

template <int D>
struct Claim {
  std::string segment;
  std::string relation;
  std::vector<Term<D>> terms;
};

// Claims with their values; Value is the channel's (a plain element, or an affine form in pads).
template <int D, class Value>
struct ClaimList {
  std::vector<Claim<D>> claims;
  std::vector<Value> values;

  void add(Claim<D> claim, Value value) {
    claims.push_back(std::move(claim));
    values.push_back(std::move(value));
  }
};

// All claims combined with powers of a challenge, grouped by the weights inside a block:
//     sum over groups g, entries (b, c) of g, and j in [g.lo, g.hi) of c * g.low[j] * cell[b][j].
template <int D>
struct CombinedFunctional {
  struct Run {  // consecutive entries that lie in one tensor
    size_t first_block;
    size_t begin;
    size_t end;
  };
  struct Group {
    Vec<D> low;  // zero outside the range that exists
    std::vector<uint32_t> blocks;
    Vec<D> coefficients;
    std::vector<Run> runs;
  };
  std::vector<Group> groups;

  static CombinedFunctional combine(std::span<const Claim<D>> claims, const Ext<D>& gamma);

  // The weight of each block once the columns are bound.
  Vec<D> block_weights(std::span<const Ext<D>> column_point, size_t blocks) const;
};

// The extension of all claims combined, at a point: the same weights, added up without being kept.
template <int D>
Ext<D> evaluate_claims(std::span<const Claim<D>> claims, const Ext<D>& gamma,
                       std::span<const Ext<D>> column_point, std::span<const Ext<D>> block_point);

extern template Ext<2> evaluate_claims(std::span<const Claim<2>>, const Ext<2>&, std::span<const Ext<2>>,
                                       std::span<const Ext<2>>);
extern template Ext<3> evaluate_claims(std::span<const Claim<3>>, const Ext<3>&, std::span<const Ext<3>>,
                                       std::span<const Ext<3>>);
extern template struct CombinedFunctional<2>;
extern template struct CombinedFunctional<3>;

}  // namespace assay
