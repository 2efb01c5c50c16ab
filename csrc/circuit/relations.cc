#include "circuit/relations.h"

#include <algorithm>

namespace assay {
namespace {

template <int D>
Claim<D> named(std::string_view segment, std::string_view relation) {
  return {std::string(segment), std::string(relation), {}};
}

template <int D>
Vec<D> flipped(std::span<const Ext<D>> point, uint32_t argument) {
  Vec<D> out(point.begin(), point.end());
  for (size_t b = 0; b < out.size(); ++b)
    if ((argument >> b) & 1) out[b] = Ext<D>::one() - out[b];
  return out;
}

template <int D>
CellWeights<D> vector_weights(std::span<const Ext<D>> point, size_t cols) {
  CellWeights<D> w;
  w.rows = row_weights<D>(Vec<D>(1, Ext<D>::one()));
  w.cols = ColumnWeights<D>::from_point(point, cols);
  return w;
}

template <int D>
CellWeights<D> matrix_weights(std::span<const Ext<D>> rows, std::span<const Ext<D>> cols, const Domain& d) {
  CellWeights<D> w;
  w.rows = row_weights_at<D>(rows, d.rows);
  w.cols = ColumnWeights<D>::from_point(cols, d.cols);
  return w;
}

Domain shape_of(const Wire& w) { return {w.rows, w.cols, {}}; }

}  // namespace

std::pair<size_t, size_t> output_bits(const Circuit& c) {
  size_t rows = 0, cols = 0;
  const auto need = [&](size_t r, size_t k) {
    rows = std::max<size_t>(rows, log2_ceil(r));
    cols = std::max<size_t>(cols, log2_ceil(k));
  };
  for (const ZeroCheck& z : c.zero_checks) need(z.domain.rows, z.domain.cols);
  for (const Linear& l : c.linears) need(l.domain.rows, l.domain.cols);
  for (const RowSum& r : c.row_sums) need(c.wires[r.x].rows, 1);
  for (const Output& o : c.outputs) need(c.wires[o.wire].rows, c.wires[o.wire].cols);
  for (const Einsum& e : c.einsums) {
    const Wire& out = c.wires[e.out];
    if (e.kind == EinsumKind::kRowDot)
      need(out.cols, 1);
    else
      need(out.rows, out.cols);
  }
  return {rows, cols};
}

std::vector<LookupTree> lookup_trees(const Circuit& c) {
  std::vector<LookupTree> out(1);
  for (size_t k = 0; k < c.lookups.size(); ++k) {
    const Domain& d = c.lookups[k].domain;
    if (out.back().end != out.back().begin && out.back().blocks + d.blocks() > kTreeBlocks)
      out.push_back({k, k, 0, 0});
    LookupTree& tree = out.back();
    tree.end = k + 1;
    tree.blocks += d.blocks();
    tree.lookups += d.existing_cells();
  }
  return out;
}

bool same_operand(const Operand& a, const Operand& b) {
  return a.map == b.map && a.id == b.id && a.argument == b.argument;
}

size_t operand_index(std::span<const Operand> operands, const Operand& o) {
  const auto at =
      std::find_if(operands.begin(), operands.end(), [&](const Operand& x) { return same_operand(x, o); });
  check(at != operands.end(), "an operand that is not in the list");
  return static_cast<size_t>(at - operands.begin());
}

std::vector<Operand> distinct_operands(const ZeroCheck& z) {
  std::vector<Operand> out;
  for (const Poly& p : z.polys)
    for (const Monomial& m : p)
      for (const Operand& o : m.operands)
        if (o.map != Map::kPublic &&
            std::none_of(out.begin(), out.end(), [&](const Operand& x) { return same_operand(x, o); }))
          out.push_back(o);
  return out;
}

std::vector<std::pair<size_t, size_t>> cubic_products(const ZeroCheck& z) {
  const std::vector<Operand> operands = distinct_operands(z);
  std::vector<std::pair<size_t, size_t>> out;
  for (const Poly& p : z.polys)
    for (const Monomial& m : p) {
      std::vector<size_t> sent;
      for (const Operand& o : m.operands)
        if (o.map != Map::kPublic) sent.push_back(operand_index(operands, o));
      if (sent.size() == 3) out.emplace_back(sent[0], sent[1]);
    }
  return out;
}

int degree(const ZeroCheck& z) {
  size_t d = 1;
  for (const Poly& p : z.polys)
    for (const Monomial& m : p) d = std::max(d, m.operands.size());
  return static_cast<int>(d);
}

template <int D>
SumcheckShape<D> zero_check_shape(const ZeroCheck& z, const OutputPoint<D>& rho) {
  SumcheckShape<D> s{z.name, degree(z), {}};
  for (const Ext<D>& x : rho.cols_for(z.domain.cols)) s.rho.push_back(&x);
  for (const Ext<D>& x : rho.rows_for(z.domain.rows)) s.rho.push_back(&x);
  return s;
}

template <int D>
SumcheckShape<D> einsum_shape(const Circuit& c, const Einsum& e, const OutputPoint<D>& rho) {
  const Extent extent = einsum_extent(c, e);
  SumcheckShape<D> s{e.name, 2, {}};
  s.rho.assign(extent.col_bits(), nullptr);
  const unsigned free = e.kind == EinsumKind::kRowDot     ? 0
                        : e.kind == EinsumKind::kSelectNT ? log2_ceil(e.groups)
                                                          : extent.row_bits();
  for (unsigned k = 0; k < extent.row_bits(); ++k) s.rho.push_back(k < free ? nullptr : &rho.rows[k - free]);
  return s;
}

template <int D>
std::pair<Claim<D>, Ext<D>> operand_claim(const Functionals<D>& f, std::string_view segment,
                                          const ZeroCheck& z, const Operand& o, const EndPoint<D>& at) {
  auto claim = named<D>(segment, z.name);
  Ext<D> known;
  const Domain& d = z.domain;
  if (o.map == Map::kRow) {
    known = f.add_wire(claim, o.id, Ext<D>::one(), {1, d.rows, {}}, vector_weights<D>(at.rows, d.rows));
  } else if (o.map == Map::kCol) {
    known = f.add_wire(claim, o.id, Ext<D>::one(), {1, d.cols, {}}, vector_weights<D>(at.cols, d.cols));
  } else {
    const Vec<D> cols = flipped<D>(at.cols, o.map == Map::kColXor ? o.argument : 0);
    known = f.add_wire(claim, o.id, Ext<D>::one(), d, matrix_weights<D>(at.rows, cols, d));
  }
  return {std::move(claim), known};
}

template <int D>
std::pair<Claim<D>, Ext<D>> einsum_output_claim(const Functionals<D>& f, const Circuit& c,
                                                std::string_view segment, const Einsum& e,
                                                const OutputPoint<D>& rho) {
  auto claim = named<D>(segment, e.name);
  const Domain d = shape_of(c.wires[e.out]);
  const auto weights = e.kind == EinsumKind::kRowDot
                           ? vector_weights<D>(rho.rows_for(d.cols), d.cols)
                           : matrix_weights<D>(rho.rows_for(d.rows), rho.cols_for(d.cols), d);
  const Ext<D> known = f.add_wire(claim, e.out, Ext<D>::one(), d, weights);
  return {std::move(claim), known};
}

template <int D>
std::pair<Claim<D>, Ext<D>> einsum_left_claim(const Functionals<D>& f, const Circuit& c,
                                              std::string_view segment, const Einsum& e,
                                              const OutputPoint<D>& rho, const EndPoint<D>& at) {
  auto claim = named<D>(segment, e.name);
  const Domain d = shape_of(c.wires[e.x]);
  CellWeights<D> w;
  w.cols = ColumnWeights<D>::from_point(at.cols, d.cols);
  if (e.kind == EinsumKind::kRowDot) {
    w.rows = row_weights_at<D>(at.rows, d.rows);
  } else if (e.kind == EinsumKind::kSelectNT) {
    const Vec<D> by_out = eq_vector<D>(SelectedPoint<D>(e, at).rows);
    Vec<D> rows(d.rows);
    for (uint32_t i = 0; i < c.wires[e.out].rows; ++i) rows[i % d.rows] += by_out[i];
    w.rows = row_weights<D>(std::move(rows));
  } else {
    Vec<D> rows = eq_vector<D>(rho.rows_for(d.rows));
    rows.resize(d.rows);
    const Vec<D> groups = eq_vector<D>(at.rows);
    if (e.groups > 1)
      for (uint32_t i = 0; i < d.rows; ++i) rows[i] *= groups[(i / e.members) % e.groups];
    w.rows = row_weights<D>(std::move(rows));
  }
  const Ext<D> known = f.add_wire(claim, e.x, Ext<D>::one(), d, w);
  return {std::move(claim), known};
}

template <int D>
std::pair<Claim<D>, Ext<D>> einsum_right_claim(const Functionals<D>& f, const Circuit& c,
                                               std::string_view segment, const Einsum& e,
                                               const OutputPoint<D>& rho, const EndPoint<D>& at) {
  auto claim = named<D>(segment, e.name);
  const Domain d = shape_of(c.wires[e.y]);
  CellWeights<D> w;
  if (e.kind == EinsumKind::kRowDot) {
    w = matrix_weights<D>(at.rows, at.cols, d);
  } else if (e.kind == EinsumKind::kSelectNT) {
    const size_t inner = d.rows / e.groups;
    const Vec<D> by_inner = eq_vector<D>(rho.cols_for(inner));
    const Vec<D> groups = eq_vector<D>(SelectedPoint<D>(e, at).groups);
    Vec<D> rows(d.rows);
    for (uint32_t r = 0; r < d.rows; ++r) rows[r] = groups[r / inner] * by_inner[r % inner];
    w.rows = row_weights<D>(std::move(rows));
    w.cols = ColumnWeights<D>::from_point(at.cols, d.cols);
  } else {
    // Row (r, g): r is the output column (kNT) or the summed index (kNN).
    const bool nt = e.kind == EinsumKind::kNT;
    const size_t outer = d.rows / e.groups;
    const Vec<D> by_outer = eq_vector<D>(nt ? rho.cols_for(outer) : at.cols);
    const Vec<D> groups = eq_vector<D>(at.rows);
    Vec<D> rows(by_outer.begin(), by_outer.begin() + outer);
    if (e.groups > 1) {
      rows.resize(d.rows);
      for (uint32_t i = 0; i < d.rows; ++i) rows[i] = by_outer[i / e.groups] * groups[i % e.groups];
    }
    w.rows = row_weights<D>(std::move(rows));
    w.cols = ColumnWeights<D>::from_point(nt ? at.cols : rho.cols_for(d.cols), d.cols);
  }
  const Ext<D> known = f.add_wire(claim, e.y, Ext<D>::one(), d, w);
  return {std::move(claim), known};
}

template <int D>
std::pair<Claim<D>, Ext<D>> einsum_selection_claim(const Functionals<D>& f, const Circuit& c,
                                                   std::string_view segment, const Einsum& e,
                                                   const EndPoint<D>& at) {
  auto claim = named<D>(segment, e.name);
  const Domain d = shape_of(c.wires[e.selection]);
  const SelectedPoint<D> point(e, at);
  const Ext<D> known =
      f.add_wire(claim, e.selection, Ext<D>::one(), d, matrix_weights<D>(point.rows, point.groups, d));
  return {std::move(claim), known};
}

template <int D>
std::pair<Claim<D>, Ext<D>> linear_claim(const Functionals<D>& f, std::string_view segment, const Linear& l,
                                         const OutputPoint<D>& rho) {
  auto claim = named<D>(segment, l.name);
  const auto w = matrix_weights<D>(rho.rows_for(l.domain.rows), rho.cols_for(l.domain.cols), l.domain);
  const Ext<D> known = f.add_poly(claim, l.poly, Ext<D>::one(), l.domain, w);
  return {std::move(claim), known};
}

template <int D>
std::pair<Claim<D>, Ext<D>> row_sum_claim(const Functionals<D>& f, const Circuit& c, std::string_view segment,
                                          const RowSum& r, const OutputPoint<D>& rho) {
  auto claim = named<D>(segment, r.name);
  const Domain x = shape_of(c.wires[r.x]);
  CellWeights<D> w;
  w.rows = row_weights_at<D>(rho.rows_for(x.rows), x.rows);
  w.cols = ColumnWeights<D>::ones(x.cols);
  Ext<D> known = f.add_wire(claim, r.x, Ext<D>::one(), x, w);
  known += f.add_wire(claim, r.out, -Ext<D>::one(), {1, x.rows, {}},
                      vector_weights<D>(rho.rows_for(x.rows), x.rows));
  return {std::move(claim), known};
}

template <int D>
std::pair<Claim<D>, Ext<D>> total_claim(const Functionals<D>& f, const Circuit& c, std::string_view segment,
                                        const Total& t) {
  auto claim = named<D>(segment, t.name);
  const Domain d = shape_of(c.wires[t.wire]);
  CellWeights<D> w;
  w.rows = row_weights<D>(Vec<D>(d.rows, Ext<D>::one()));
  w.cols = ColumnWeights<D>::ones(d.cols);
  const Ext<D> known = f.add_wire(claim, t.wire, Ext<D>::one(), d, w);
  return {std::move(claim), known};
}

template <int D>
std::pair<Claim<D>, Ext<D>> output_claim(const Functionals<D>& f, const Circuit& c, std::string_view segment,
                                         const Output& o, const OutputPoint<D>& rho) {
  auto claim = named<D>(segment, o.name);
  const Domain d = shape_of(c.wires[o.wire]);
  const auto w = matrix_weights<D>(rho.rows_for(d.rows), rho.cols_for(d.cols), d);
  const Ext<D> known = f.add_wire(claim, o.wire, Ext<D>::one(), d, w);
  return {std::move(claim), known};
}

template <int D>
Ext<D> output_value(std::span<const F> cells, const Wire& wire, const OutputPoint<D>& rho) {
  const Vec<D> rows = eq_vector<D>(rho.rows_for(wire.rows)), cols = eq_vector<D>(rho.cols_for(wire.cols));
  Ext<D> total;
  for (size_t i = 0; i < wire.rows; ++i) {
    Ext<D> line;
    for (size_t j = 0; j < wire.cols; ++j) line += cols[j] * cells[i * wire.cols + j];
    total += rows[i] * line;
  }
  return total;
}

template <int D>
std::shared_ptr<const LeafWeights<D>> leaf_weights(std::span<const Ext<D>> point) {
  auto w = std::make_shared<LeafWeights<D>>();
  w->low = eq_vector<D>(point.first(kLogBlock));
  w->high = eq_vector<D>(point.subspan(kLogBlock));
  w->low_prefix = prefix_sums<D>(w->low);
  return w;
}

template <int D>
LookupClaim<D> lookup_claim(const Functionals<D>& f, const Circuit& c, const LookupTree& tree,
                            std::string_view segment, std::span<const uint32_t> table_ids,
                            const Fingerprint<D>& fp, std::span<const Ext<D>> point) {
  LookupClaim<D> out{named<D>(segment, "lookup"), {}};
  Ext<D> all_exist;
  CellWeights<D> w;
  w.leaves = leaf_weights<D>(point);
  for (const Lookup& l : std::span(c.lookups).subspan(tree.begin, tree.end - tree.begin)) {
    const Ext<D> exists = indicator(l.domain, w);
    all_exist += exists;
    out.known += exists * (fp.alpha - Ext<D>(F(table_ids[l.table])));
    for (size_t k = 0; k < l.columns.size(); ++k)
      out.known += f.add_poly(out.claim, l.columns[k], -fp.beta[k], l.domain, w);
    w.leaf_base += l.domain.blocks();
  }
  out.known += Ext<D>::one() - all_exist;  // absent leaves have the denominator one
  return out;
}

template <int D>
Ext<D> evaluate_public(const Public& p, uint32_t divisor, const Domain& d, const EndPoint<D>& at) {
  const Vec<D> rows = eq_vector<D>(at.rows);
  const Vec<D> cols = eq_vector<D>(at.cols);
  Vec<D> by_row(p.rows);
  for (uint32_t i = 0; i < d.rows; ++i) by_row[i / divisor] += rows[i];
  Vec<D> summed(p.cols);
  accumulate_rows<D, int64_t>(p.values.data(), p.cols, p.rows, p.cols, by_row.data(), summed.data());
  return inner_product<D>(summed.data(), cols.data(), p.cols);
}

#define ASSAY_INSTANTIATE(D)                                                                             \
  template SumcheckShape<D> zero_check_shape<D>(const ZeroCheck&, const OutputPoint<D>&);                \
  template SumcheckShape<D> einsum_shape<D>(const Circuit&, const Einsum&, const OutputPoint<D>&);       \
  template std::pair<Claim<D>, Ext<D>> operand_claim<D>(                                                 \
      const Functionals<D>&, std::string_view, const ZeroCheck&, const Operand&, const EndPoint<D>&);    \
  template std::pair<Claim<D>, Ext<D>> einsum_output_claim<D>(                                           \
      const Functionals<D>&, const Circuit&, std::string_view, const Einsum&, const OutputPoint<D>&);    \
  template std::pair<Claim<D>, Ext<D>> einsum_left_claim<D>(const Functionals<D>&, const Circuit&,       \
                                                            std::string_view, const Einsum&,             \
                                                            const OutputPoint<D>&, const EndPoint<D>&);  \
  template std::pair<Claim<D>, Ext<D>> einsum_right_claim<D>(const Functionals<D>&, const Circuit&,      \
                                                             std::string_view, const Einsum&,            \
                                                             const OutputPoint<D>&, const EndPoint<D>&); \
  template std::pair<Claim<D>, Ext<D>> einsum_selection_claim<D>(                                        \
      const Functionals<D>&, const Circuit&, std::string_view, const Einsum&, const EndPoint<D>&);       \
  template std::pair<Claim<D>, Ext<D>> linear_claim<D>(const Functionals<D>&, std::string_view,          \
                                                       const Linear&, const OutputPoint<D>&);            \
  template std::pair<Claim<D>, Ext<D>> row_sum_claim<D>(                                                 \
      const Functionals<D>&, const Circuit&, std::string_view, const RowSum&, const OutputPoint<D>&);    \
  template std::pair<Claim<D>, Ext<D>> total_claim<D>(const Functionals<D>&, const Circuit&,             \
                                                      std::string_view, const Total&);                   \
  template std::pair<Claim<D>, Ext<D>> output_claim<D>(                                                  \
      const Functionals<D>&, const Circuit&, std::string_view, const Output&, const OutputPoint<D>&);    \
  template Ext<D> output_value<D>(std::span<const F>, const Wire&, const OutputPoint<D>&);               \
  template std::shared_ptr<const LeafWeights<D>> leaf_weights<D>(std::span<const Ext<D>>);               \
  template LookupClaim<D> lookup_claim<D>(const Functionals<D>&, const Circuit&, const LookupTree&,      \
                                          std::string_view, std::span<const uint32_t>,                   \
                                          const Fingerprint<D>&, std::span<const Ext<D>>);               \
  template Ext<D> evaluate_public<D>(const Public&, uint32_t, const Domain&, const EndPoint<D>&)
ASSAY_INSTANTIATE(2);
ASSAY_INSTANTIATE(3);
#undef ASSAY_INSTANTIATE

}  // namespace assay
