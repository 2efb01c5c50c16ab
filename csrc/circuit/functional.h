// From operands of relations to terms of claims: shared by prover and verifier, so that both read the same
// cells with the same weights.
#pragma once

#include <array>
#include <span>

#include "commit/claim.h"

namespace assay {

template <int D>
using RowWeights = std::shared_ptr<const Vec<D>>;
template <int D>
using ColWeights = std::shared_ptr<const ColumnWeights<D>>;

template <int D>
RowWeights<D> row_weights(Vec<D> w) {
  return std::make_shared<const Vec<D>>(std::move(w));
}
template <int D>
RowWeights<D> row_weights_at(std::span<const Ext<D>> point, size_t rows) {
  Vec<D> w = eq_vector<D>(point);
  w.resize(rows);
  return row_weights<D>(std::move(w));
}

// The weight of each cell of a domain, in one of the two forms that terms have.
template <int D>
struct CellWeights {
  RowWeights<D> rows;
  ColWeights<D> cols;
  std::shared_ptr<const LeafWeights<D>> leaves;
  size_t leaf_base = 0;
};

template <int D>
class Functionals {
 public:
  // first_block[t]: where tensor t of the circuit lies in the stack.
  Functionals(const Circuit& circuit, std::span<const size_t> first_block)
      : circuit_(circuit), first_block_(first_block) {}

  // Adds coefficient * sum over the domain of weight * wire[i, j] to the claim; returns the part of that sum
  // which the wire's constant makes up (a number everybody knows).
  Ext<D> add_wire(Claim<D>& claim, uint32_t wire, const Ext<D>& coefficient, const Domain& domain,
                  const CellWeights<D>& weights) const;
  // The same for a polynomial of degree one. Weights are those of rows and columns where an operand is
  // indexed.
  Ext<D> add_poly(Claim<D>& claim, const Poly& poly, const Ext<D>& coefficient, const Domain& domain,
                  const CellWeights<D>& weights) const;

 private:
  // coefficient * sum over the domain of weight * tensor[i, j], the tensor's rows split.
  void add_split(Claim<D>& claim, uint32_t tensor, const Ext<D>& coefficient, const Domain& domain,
                 const CellWeights<D>& weights) const;
  Ext<D> add_indexed(Claim<D>& claim, const Operand& o, const Ext<D>& coefficient, const Domain& domain,
                     const CellWeights<D>& weights) const;
  // coefficient * sum over j of cols[j] * wire[row, j], and coefficient * wire[row, col]; without the constant.
  void add_row(Claim<D>& claim, const Wire& wire, uint32_t row, const Ext<D>& coefficient,
               const ColWeights<D>& cols) const;
  void add_cell(Claim<D>& claim, const Wire& wire, uint32_t row, uint32_t col,
                const Ext<D>& coefficient) const;
  const ColWeights<D>& unit(size_t place) const;

  const Circuit& circuit_;
  std::span<const size_t> first_block_;
  mutable std::array<ColWeights<D>, kBlock> units_;  // shared by all cells at one place of their blocks
};

// sum over the existing cells of row i of the weights, for every row
template <int D>
Vec<D> row_totals(const Domain& domain, const CellWeights<D>& weights);
// and over all rows: the multilinear extension of the indicator of the existing cells
template <int D>
Ext<D> indicator(const Domain& domain, const CellWeights<D>& weights);

}  // namespace assay
