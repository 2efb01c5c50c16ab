#include "circuit/functional.h"

#include <algorithm>

#include "base/result.h"

namespace assay {
namespace {

template <int D>
Vec<D> row_totals_of_leaves(const Domain& domain, const CellWeights<D>& w) {
  Vec<D> out(domain.rows);
  const size_t row_blocks = domain.row_blocks();
  for (uint32_t i = 0; i < domain.rows; ++i) {
    const auto [lo, hi] = domain.range(i);
    for (size_t jb = lo / kBlock; jb * kBlock < hi; ++jb) {
      const size_t start = jb * kBlock;
      const size_t from = lo > start ? lo - start : 0;
      const size_t to = std::min<size_t>(hi - start, kBlock);
      const auto& prefix = w.leaves->low_prefix;
      out[i] += w.leaves->high[w.leaf_base + i * row_blocks + jb] * (prefix[to] - prefix[from]);
    }
  }
  return out;
}

// The same for a domain without missing cells: products for each column of blocks, not for each row.
template <int D>
Ext<D> total_of_full(const Domain& domain, const CellWeights<D>& w) {
  const size_t row_blocks = domain.row_blocks();
  Ext<D> total, rows;
  if (!w.leaves)
    for (const Ext<D>& r : *w.rows) rows += r;
  for (size_t jb = 0; jb < row_blocks; ++jb) {
    const size_t cells = std::min<size_t>(domain.cols - jb * kBlock, kBlock);
    if (w.leaves) {
      Ext<D> high;
      for (size_t i = 0; i < domain.rows; ++i) high += w.leaves->high[w.leaf_base + i * row_blocks + jb];
      total += high * w.leaves->low_prefix[cells];
    } else {
      Ext<D> low;
      for (size_t j = 0; j < cells; ++j) low += w.cols->low_of(jb)[j];
      total += rows * w.cols->high[jb] * low;
    }
  }
  return total;
}

// sum over the rows in which cell j exists of the weight of (i, j), for every column j
template <int D>
Vec<D> column_totals(const Domain& domain, const CellWeights<D>& w) {
  Vec<D> out(domain.cols);
  if (!w.leaves) {
    check(!domain.ragged.causal, "column operands need a full domain");
    Ext<D> rows;
    for (const Ext<D>& r : *w.rows) rows += r;
    for (uint32_t j = 0; j < domain.cols; ++j) out[j] = rows * w.cols->at(j);
    return out;
  }
  const size_t row_blocks = domain.row_blocks();
  for (uint32_t i = 0; i < domain.rows; ++i) {
    const auto [lo, hi] = domain.range(i);
    for (uint32_t j = lo; j < hi; ++j)
      out[j] += w.leaves->high[w.leaf_base + i * row_blocks + j / kBlock] * w.leaves->low[j % kBlock];
  }
  return out;
}

}  // namespace

template <int D>
Vec<D> row_totals(const Domain& domain, const CellWeights<D>& w) {
  if (w.leaves) return row_totals_of_leaves(domain, w);
  Vec<D> cells(domain.cols);
  for (uint32_t j = 0; j < domain.cols; ++j) cells[j] = w.cols->at(j);
  const Vec<D> prefix = prefix_sums<D>(cells);
  Vec<D> out(domain.rows);
  for (uint32_t i = 0; i < domain.rows; ++i) {
    const auto [lo, hi] = domain.range(i);
    if (lo < hi) out[i] = (*w.rows)[i] * (prefix[hi] - prefix[lo]);
  }
  return out;
}

template <int D>
Ext<D> indicator(const Domain& domain, const CellWeights<D>& weights) {
  if (!domain.ragged.causal) return total_of_full(domain, weights);
  Ext<D> total;
  for (const Ext<D>& x : row_totals(domain, weights)) total += x;
  return total;
}

template <int D>
Ext<D> Functionals<D>::add_wire(Claim<D>& claim, uint32_t wire, const Ext<D>& coefficient,
                                const Domain& domain, const CellWeights<D>& weights) const {
  const Wire& w = circuit_.wires[wire];
  for (const auto& [c, t] : w.terms) {
    const Tensor& tensor = circuit_.tensors[t];
    if (tensor.shape.parts(domain.cols) > 1) {
      add_split(claim, t, coefficient * F::from_i64(c), domain, weights);
      continue;
    }
    Term<D> term;
    term.first_block = first_block_[t];
    term.coefficient = coefficient * F::from_i64(c);
    term.view = domain;
    term.also = tensor.shape.ragged;  // not causal where the view reshapes (checked by Circuit::decode)
    term.rows = weights.rows;
    term.cols = weights.cols;
    term.leaves = weights.leaves;
    term.leaf_base = weights.leaf_base;
    claim.terms.push_back(std::move(term));
  }
  if (w.constant == 0) return Ext<D>::zero();
  return coefficient * F::from_i64(w.constant) * indicator(domain, weights);
}

// One term for each place of a part in its block; the rows of their view are the tensor's blocks.
template <int D>
void Functionals<D>::add_split(Claim<D>& claim, uint32_t tensor, const Ext<D>& coefficient,
                               const Domain& domain, const CellWeights<D>& weights) const {
  const Domain& shape = circuit_.tensors[tensor].shape;
  const size_t parts = shape.parts(domain.cols), in_block = kBlock / domain.cols;
  const size_t row_blocks = shape.row_blocks();
  const Vec<D>& low = weights.leaves ? weights.leaves->low : weights.cols->low_of(0);
  const auto row_weight = [&](size_t i) {
    return weights.leaves ? weights.leaves->high[weights.leaf_base + i]
                          : (*weights.rows)[i] * weights.cols->high[0];
  };
  for (size_t place = 0; place < std::min(in_block, parts); ++place) {
    Vec<D> blocks(shape.rows * row_blocks), cells(kBlock);
    for (size_t i = 0; i < shape.rows; ++i)
      for (size_t part = place; part < parts; part += in_block)
        blocks[i * row_blocks + part / in_block] = row_weight(i * parts + part);
    std::copy_n(low.begin(), domain.cols, cells.begin() + place * domain.cols);
    Term<D> term;
    term.first_block = first_block_[tensor];
    term.coefficient = coefficient;
    term.view = {static_cast<uint32_t>(blocks.size()), kBlock, {}};
    term.rows = row_weights<D>(std::move(blocks));
    term.cols = ColumnWeights<D>::from_cells(std::move(cells));
    claim.terms.push_back(std::move(term));
  }
}

// Terms start at the row's own first block, so that the rows nobody asks for cost nothing.
template <int D>
void Functionals<D>::add_row(Claim<D>& claim, const Wire& wire, uint32_t row, const Ext<D>& coefficient,
                             const ColWeights<D>& cols) const {
  const Domain view{1, wire.cols, {}};
  const auto once = row_weights<D>(Vec<D>(1, Ext<D>::one()));
  for (const auto& [c, t] : wire.terms) {
    Term<D> term;
    term.first_block = first_block_[t] + row * view.row_blocks();
    term.coefficient = coefficient * F::from_i64(c);
    term.view = view;
    term.rows = once;
    term.cols = cols;
    claim.terms.push_back(std::move(term));
  }
}

template <int D>
const ColWeights<D>& Functionals<D>::unit(size_t place) const {
  if (!units_[place]) {
    Vec<D> cells(kBlock);
    cells[place] = Ext<D>::one();
    units_[place] = ColumnWeights<D>::from_cells(std::move(cells));
  }
  return units_[place];
}

template <int D>
void Functionals<D>::add_cell(Claim<D>& claim, const Wire& wire, uint32_t row, uint32_t col,
                              const Ext<D>& coefficient) const {
  const size_t block = row * ceil_div(wire.cols, kBlock) + col / kBlock;
  const auto once = row_weights<D>(Vec<D>(1, Ext<D>::one()));
  for (const auto& [c, t] : wire.terms) {
    Term<D> term;
    term.first_block = first_block_[t] + block;
    term.coefficient = coefficient * F::from_i64(c);
    term.view = {1, static_cast<uint32_t>(col % kBlock) + 1, {}};
    term.rows = once;
    term.cols = unit(col % kBlock);
    claim.terms.push_back(std::move(term));
  }
}

template <int D>
Ext<D> Functionals<D>::add_indexed(Claim<D>& claim, const Operand& o, const Ext<D>& coefficient,
                                   const Domain& domain, const CellWeights<D>& weights) const {
  check(!weights.leaves, "indexed operands are read by linear relations alone");
  const Wire& wire = circuit_.wires[o.id];
  const std::vector<int64_t>& index = circuit_.publics[o.argument].values;
  Ext<D> read;  // the sum of the weights of all cells that are read
  Ext<D> line;
  for (uint32_t j = 0; j < domain.cols; ++j) line += weights.cols->at(j);
  for (uint32_t i = 0; i < domain.rows; ++i) {
    const Ext<D> row = coefficient * (*weights.rows)[i];
    if (o.map == Map::kGather) {
      if (index[i] < 0) continue;
      add_row(claim, wire, static_cast<uint32_t>(index[i]), row, weights.cols);
      read += row * line;
      continue;
    }
    for (uint32_t j = 0; j < domain.cols; ++j) {
      const int64_t at = index[size_t{i} * domain.cols + j];
      if (at < 0) continue;
      const Ext<D> weight = row * weights.cols->at(j);
      add_cell(claim, wire, i, static_cast<uint32_t>(at), weight);
      read += weight;
    }
  }
  return read * F::from_i64(wire.constant);
}

template <int D>
Ext<D> Functionals<D>::add_poly(Claim<D>& claim, const Poly& poly, const Ext<D>& coefficient,
                                const Domain& domain, const CellWeights<D>& weights) const {
  Ext<D> known;
  for (const Monomial& m : poly) {
    const Ext<D> c = coefficient * F::from_i64(m.coefficient);
    if (m.operands.empty()) {
      known += c * indicator(domain, weights);
      continue;
    }
    const Operand& o = m.operands[0];
    if (o.map == Map::kCell) {
      known += add_wire(claim, o.id, c, domain, weights);
      continue;
    }
    if (is_indexed(o.map)) {
      known += add_indexed(claim, o, c, domain, weights);
      continue;
    }
    check(o.map == Map::kRow || o.map == Map::kCol, "an index map that claims do not have");
    const bool by_row = o.map == Map::kRow;
    CellWeights<D> of_vector;
    of_vector.rows = row_weights<D>(Vec<D>(1, Ext<D>::one()));
    of_vector.cols =
        ColumnWeights<D>::from_cells(by_row ? row_totals(domain, weights) : column_totals(domain, weights));
    const Domain vector{1, by_row ? domain.rows : domain.cols, {}};
    known += add_wire(claim, o.id, c, vector, of_vector);
  }
  return known;
}

#define ASSAY_INSTANTIATE(D)                                           \
  template class Functionals<D>;                                       \
  template Vec<D> row_totals<D>(const Domain&, const CellWeights<D>&); \
  template Ext<D> indicator<D>(const Domain&, const CellWeights<D>&)
ASSAY_INSTANTIATE(2);
ASSAY_INSTANTIATE(3);
#undef ASSAY_INSTANTIATE

}  // namespace assay
