// From operands of relations to terms of claims: shared by prover and verifier, so that both read the same
// cells with the same weights.
#pragma once

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
  // The same for a polynomial of degree one.
  Ext<D> add_poly(Claim<D>& claim, const Poly& poly, const Ext<D>& coefficient, const Domain& domain,
                  const CellWeights<D>& weights) const;

 private:
  const Circuit& circuit_;
  std::span<const size_t> first_block_;
};

// sum over the existing cells of row i of the weights, for every row
template <int D>
Vec<D> row_totals(const Domain& domain, const CellWeights<D>& weights);
// and over all rows: the multilinear extension of the indicator of the existing cells
template <int D>
Ext<D> indicator(const Domain& domain, const CellWeights<D>& weights);

}  // namespace assay
