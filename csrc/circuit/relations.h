// What both sides of a segment's proof derive from its circuit: shapes of the sumchecks, the operands whose
// values are sent, and the claims in which each relation ends.
//
// One output point (rho_rows, rho_cols) serves all relations of a segment; relations of smaller shape use a
// prefix. In a sumcheck the column variables come first, low bit first, then the row variables.
#pragma once

#include <array>

#include "circuit/functional.h"
#include "sumcheck/verifier.h"

namespace assay {

template <int D>
struct OutputPoint {
  Vec<D> rows;
  Vec<D> cols;
  std::span<const Ext<D>> rows_for(size_t n) const { return std::span(rows).first(log2_ceil(n)); }
  std::span<const Ext<D>> cols_for(size_t n) const { return std::span(cols).first(log2_ceil(n)); }
};

// Coordinates of the output point that the largest relation needs: (rows, columns).
std::pair<size_t, size_t> output_bits(const Circuit& c);

// The variables a sumcheck runs over.
struct Extent {
  size_t rows = 1;
  size_t cols = 1;
  unsigned row_bits() const { return log2_ceil(rows); }
  unsigned col_bits() const { return log2_ceil(cols); }
};

// A sumcheck's final point, cut into the coordinates of one extent.
template <int D>
struct EndPoint {
  std::span<const Ext<D>> cols;
  std::span<const Ext<D>> rows;
  EndPoint(std::span<const Ext<D>> point, const Extent& e)
      : cols(point.first(e.col_bits())), rows(point.subspan(e.col_bits(), e.row_bits())) {}
};

// The extent in which an einsum's sumcheck runs: (group, k), or (row, k) for a row product. Of a selected
// product: rows are the row of out and the group, whose bits come first and are padded.
inline Extent einsum_extent(const Circuit& c, const Einsum& e) {
  const Wire& x = c.wires[e.x];
  if (e.kind == EinsumKind::kRowDot) return {x.rows, x.cols};
  if (e.kind == EinsumKind::kSelectNT) return {size_t{c.wires[e.out].rows} << log2_ceil(e.groups), x.cols};
  return {e.groups, x.cols};
}

// A selected product's row coordinates at the end, cut into those of groups and of rows of out.
template <int D>
struct SelectedPoint {
  std::span<const Ext<D>> groups;
  std::span<const Ext<D>> rows;
  SelectedPoint(const Einsum& e, const EndPoint<D>& at)
      : groups(at.rows.first(log2_ceil(e.groups))), rows(at.rows.subspan(log2_ceil(e.groups))) {}
};

bool same_operand(const Operand& a, const Operand& b);
// The place of an operand in a list that has it.
size_t operand_index(std::span<const Operand> operands, const Operand& o);

// The distinct wire operands of a zero-check, in order of appearance: one value is sent for each.
std::vector<Operand> distinct_operands(const ZeroCheck& z);
// For each monomial of three of these, in order: its first two, by their places.
std::vector<std::pair<size_t, size_t>> cubic_products(const ZeroCheck& z);
int degree(const ZeroCheck& z);

// rho for each round of the two kinds of sumcheck.
template <int D>
SumcheckShape<D> zero_check_shape(const ZeroCheck& z, const OutputPoint<D>& rho);
template <int D>
SumcheckShape<D> einsum_shape(const Circuit& c, const Einsum& e, const OutputPoint<D>& rho);

// ---- claims ----

// An operand's value at the end of a zero-check: the claim, and the part known from the wire's constant.
template <int D>
std::pair<Claim<D>, Ext<D>> operand_claim(const Functionals<D>& f, std::string_view segment,
                                          const ZeroCheck& z, const Operand& o, const EndPoint<D>& at);

// An einsum's output at rho (value sent before its sumcheck), and its operands at the end.
template <int D>
std::pair<Claim<D>, Ext<D>> einsum_output_claim(const Functionals<D>& f, const Circuit& c,
                                                std::string_view segment, const Einsum& e,
                                                const OutputPoint<D>& rho);
template <int D>
std::pair<Claim<D>, Ext<D>> einsum_left_claim(const Functionals<D>& f, const Circuit& c,
                                              std::string_view segment, const Einsum& e,
                                              const OutputPoint<D>& rho, const EndPoint<D>& at);
template <int D>
std::pair<Claim<D>, Ext<D>> einsum_right_claim(const Functionals<D>& f, const Circuit& c,
                                               std::string_view segment, const Einsum& e,
                                               const OutputPoint<D>& rho, const EndPoint<D>& at);
// Of a selected product.
template <int D>
std::pair<Claim<D>, Ext<D>> einsum_selection_claim(const Functionals<D>& f, const Circuit& c,
                                                   std::string_view segment, const Einsum& e,
                                                   const EndPoint<D>& at);

// Relations that need no messages: the functional must have the value minus the second result.
template <int D>
std::pair<Claim<D>, Ext<D>> linear_claim(const Functionals<D>& f, std::string_view segment, const Linear& l,
                                         const OutputPoint<D>& rho);
template <int D>
std::pair<Claim<D>, Ext<D>> row_sum_claim(const Functionals<D>& f, const Circuit& c, std::string_view segment,
                                          const RowSum& r, const OutputPoint<D>& rho);

// The same for a public output; its value is minus the second result plus what the output is.
template <int D>
std::pair<Claim<D>, Ext<D>> total_claim(const Functionals<D>& f, const Circuit& c, std::string_view segment,
                                        const Total& t);

// An output's cells at rho, sent before rho was drawn; the value is theirs minus the second result.
template <int D>
std::pair<Claim<D>, Ext<D>> output_claim(const Functionals<D>& f, const Circuit& c, std::string_view segment,
                                         const Output& o, const OutputPoint<D>& rho);
template <int D>
Ext<D> output_value(std::span<const F> cells, const Wire& wire, const OutputPoint<D>& rho);

// ---- lookups ----

// alpha - fingerprint of a row of a table: id + beta c_0 + beta^2 c_1 + ...
template <int D>
struct Fingerprint {
  Ext<D> alpha;
  Vec<D> beta;  // beta, beta^2, ...
  Fingerprint(const Ext<D>& a, const Ext<D>& b) : alpha(a) {
    Ext<D> power = b;
    for (int k = 0; k < 5; ++k, power *= b) beta.push_back(power);
  }
};

template <int D>
std::shared_ptr<const LeafWeights<D>> leaf_weights(std::span<const Ext<D>> point);

// Lookups [begin, end) of a segment, whose leaves one tree adds up: consecutive ones of at most 2^15 blocks of
// leaves in all (or a single one), so that a tree's memory does not grow with its segment. Without lookups
// there is one tree of none.
inline constexpr size_t kTreeBlocks = size_t{1} << 15;
struct LookupTree {
  size_t begin = 0, end = 0;
  size_t blocks = 0;
  uint64_t lookups = 0;  // leaves that exist
};
std::vector<LookupTree> lookup_trees(const Circuit& c);

// All lookups of a tree in one claim: it has the value  q - known  where q is the claim on the leaves'
// denominators.
template <int D>
struct LookupClaim {
  Claim<D> claim;
  Ext<D> known;
};
template <int D>
LookupClaim<D> lookup_claim(const Functionals<D>& f, const Circuit& c, const LookupTree& tree,
                            std::string_view segment, std::span<const uint32_t> table_ids,
                            const Fingerprint<D>& fp, std::span<const Ext<D>> point);

// The number of leaves of a tree over so many blocks, as a power of two (at least one block).
inline unsigned log_leaves(size_t blocks) { return kLogBlock + log2_ceil(blocks); }

// Leaves of a tree that are no lookup: 1/1 each.
inline uint64_t absent_leaves(const LookupTree& tree) {
  return (uint64_t{1} << log_leaves(tree.blocks)) - tree.lookups;
}

// ---- public values ----

// sum over (i, j) of row_weight[i] col_weight[j] publics[i / divisor][j]
template <int D>
Ext<D> evaluate_public(const Public& p, uint32_t divisor, const Domain& d, const EndPoint<D>& at);

}  // namespace assay
