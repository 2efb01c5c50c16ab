#include "circuit/prover.h"

#include <deque>

#include "base/parallel.h"
#include "base/result.h"

namespace assay {
namespace {

template <class Use>
void with_cells(const TensorData& t, Use use) {
  switch (t.type()) {
    case CellType::kInt16:
      use(t.as<int16_t>());
      break;
    case CellType::kInt32:
      use(t.as<int32_t>());
      break;
    case CellType::kInt64:
      use(t.as<int64_t>());
      break;
  }
}

size_t padded(uint32_t cols) { return ceil_div(cols, kBlock) * kBlock; }

// values[j] (+)= scale * wire[row, j]
void add_wire_row(const Witness& w, const Wire& wire, int64_t scale, uint32_t row,
                  std::span<int64_t> values) {
  for (int64_t& v : values) v += scale * wire.constant;
  for (const auto& [coefficient, t] : wire.terms) {
    const int64_t c = scale * coefficient;
    with_cells(w.tensors[t], [&](const auto* cells) {
      const auto* line = cells + size_t{row} * padded(wire.cols);
      for (size_t j = 0; j < values.size(); ++j) values[j] += c * line[j];
    });
  }
}

// wire[0, j]: cell j of each tensor, also of one that the wire reshapes
int64_t vector_cell(const Witness& w, const Wire& wire, uint32_t j) {
  int64_t value = wire.constant;
  for (const auto& [coefficient, t] : wire.terms)
    with_cells(w.tensors[t], [&, c = coefficient](const auto* cells) { value += c * cells[j]; });
  return value;
}

std::vector<F> wire_values(const Witness& w, const Wire& wire) {
  std::vector<F> out(size_t{wire.rows} * wire.cols);
  parallel_for(wire.rows, 8, [&](size_t begin, size_t end) {
    std::vector<int64_t> line(wire.cols);
    for (size_t i = begin; i < end; ++i) {
      std::fill(line.begin(), line.end(), 0);
      add_wire_row(w, wire, 1, static_cast<uint32_t>(i), line);
      for (size_t j = 0; j < line.size(); ++j) out[i * wire.cols + j] = F::from_i64(line[j]);
    }
  });
  return out;
}

std::vector<F> exchanged(std::vector<F> values, uint32_t cols, uint32_t argument) {
  std::vector<F> out(values.size());
  for (size_t k = 0; k < out.size(); ++k) out[k] = values[(k / cols) * cols + ((k % cols) ^ argument)];
  return out;
}

template <int D>
OperandTable<D> operand_table(const Circuit& c, const Witness& w, const Operand& o, const Domain& d) {
  if (o.map == Map::kPublic) {
    const Public& p = c.publics[o.id];
    std::vector<F> values(size_t{d.rows} * d.cols);
    for (size_t i = 0; i < d.rows; ++i)
      for (size_t j = 0; j < d.cols; ++j)
        values[i * d.cols + j] = F::from_i64(p.values[i / o.argument * p.cols + j]);
    return {Spread::kCells, std::move(values), {}};
  }
  std::vector<F> values = wire_values(w, c.wires[o.id]);
  if (o.map == Map::kRow) return {Spread::kRows, std::move(values), {}};
  if (o.map == Map::kCol) return {Spread::kCols, std::move(values), {}};
  if (o.map == Map::kColXor) values = exchanged(std::move(values), d.cols, o.argument);
  return {Spread::kCells, std::move(values), {}};
}

// out[j] += sum over rows i = first + k step of weights[k] * wire[i, j], for `count` rows.
template <int D>
void combine_rows(const Witness& w, const Wire& wire, size_t first, size_t step, size_t count,
                  const Vec<D>& weights, Vec<D>& out) {
  const size_t stride = padded(wire.cols);
  for (const auto& [coefficient, t] : wire.terms) {
    Vec<D> scaled(count);
    for (size_t k = 0; k < count; ++k) scaled[k] = weights[k] * F::from_i64(coefficient);
    with_cells(w.tensors[t], [&]<class T>(const T* cells) {
      parallel_for(ceil_div(wire.cols, kBlock), 1, [&](size_t begin, size_t end) {
        const size_t from = begin * kBlock, to = std::min<size_t>(end * kBlock, wire.cols);
        accumulate_rows<D, T>(cells + first * stride + from, step * stride, count, to - from, scaled.data(),
                              out.data() + from);
      });
    });
  }
  if (wire.constant == 0) return;
  Ext<D> total;
  for (const Ext<D>& x : weights) total += x;
  for (Ext<D>& x : out) x += total * F::from_i64(wire.constant);
}

// out[i] += sum over j of weights[j] * wire[i, j]
template <int D>
void combine_cols(const Witness& w, const Wire& wire, Vec<D> weights, Vec<D>& out) {
  const size_t stride = padded(wire.cols);
  weights.resize(wire.cols);
  Ext<D> constant;
  for (const Ext<D>& x : weights) constant += x;
  constant = constant * F::from_i64(wire.constant);
  weights.resize(stride);
  for (const auto& [coefficient, t] : wire.terms)
    with_cells(w.tensors[t], [&]<class T>(const T* cells) {
      Vec<D> part(wire.rows);
      parallel_for(wire.rows, 16, [&](size_t begin, size_t end) {
        dot_blocks<D, T>(cells + begin * stride, end - begin, stride, weights.data(), part.data() + begin);
      });
      for (size_t i = 0; i < part.size(); ++i) out[i] += part[i] * F::from_i64(coefficient);
    });
  for (Ext<D>& x : out) x += constant;
}

template <int D>
Vec<D> truncated_eq(std::span<const Ext<D>> point, size_t n) {
  Vec<D> w = eq_vector<D>(point);
  w.resize(n);
  return w;
}

// The left operand of an einsum bound at rho: x[g, k] = sum over (a, m) of eq(rho, (a, g, m)) x[(a, g, m),
// k].
template <int D>
Vec<D> bind_left(const Witness& w, const Einsum& e, const Wire& x, std::span<const Ext<D>> rho) {
  const Vec<D> weights = truncated_eq<D>(rho, x.rows);
  const size_t run = size_t{e.groups} * e.members, outer = x.rows / run;
  Vec<D> out;
  for (size_t g = 0; g < e.groups; ++g) {
    Vec<D> line(x.cols);
    for (size_t m = 0; m < e.members; ++m) {
      const size_t first = g * e.members + m;
      if (run == 1) {
        combine_rows<D>(w, x, 0, 1, x.rows, weights, line);
        continue;
      }
      Vec<D> picked(outer);
      for (size_t a = 0; a < outer; ++a) picked[a] = weights[a * run + first];
      combine_rows<D>(w, x, first, run, outer, picked, line);
    }
    out.insert(out.end(), line.begin(), line.end());
  }
  return out;
}

// The right operand: y[g, k], from rows (j, g) (kNT) or (k, g) (kNN).
template <int D>
Vec<D> bind_right(const Witness& w, const Einsum& e, const Wire& y, const OutputPoint<D>& rho) {
  const size_t outer = y.rows / e.groups;
  if (e.kind == EinsumKind::kNT) {
    const Vec<D> weights = truncated_eq<D>(rho.cols_for(outer), outer);
    Vec<D> out;
    for (size_t g = 0; g < e.groups; ++g) {
      Vec<D> line(y.cols);
      combine_rows<D>(w, y, g, e.groups, outer, weights, line);
      out.insert(out.end(), line.begin(), line.end());
    }
    return out;
  }
  Vec<D> rows(y.rows);
  combine_cols<D>(w, y, eq_vector<D>(rho.cols_for(y.cols)), rows);
  Vec<D> out(y.rows);
  for (size_t k = 0; k < outer; ++k)
    for (size_t g = 0; g < e.groups; ++g) out[g * outer + k] = rows[k * e.groups + g];
  return out;
}

}  // namespace

void linear_poly_row(const Circuit& c, const Witness& w, const Poly& poly, uint32_t row,
                     std::span<int64_t> values) {
  std::fill(values.begin(), values.end(), 0);
  for (const Monomial& m : poly) {
    if (m.operands.empty()) {
      for (int64_t& v : values) v += m.coefficient;
      continue;
    }
    const Operand& o = m.operands[0];
    const Wire& wire = c.wires[o.id];
    if (o.map == Map::kRow) {
      const int64_t value = m.coefficient * vector_cell(w, wire, row);
      for (int64_t& v : values) v += value;
    } else {
      add_wire_row(w, wire, m.coefficient, o.map == Map::kCell ? row : 0, values);
    }
  }
}

template <int D>
GridProver<D> SegmentProver<D>::einsum_prover(const Einsum& e) const {
  const Wire &x = c_.wires[e.x], &y = c_.wires[e.y];
  const Extent extent = einsum_extent(c_, e);
  typename GridProver<D>::Input in;
  in.rows = extent.rows;
  in.cols = extent.cols;
  in.degree = 2;
  in.form.polys = {{{F::one(), {0, 1}}}};
  if (e.kind == EinsumKind::kRowDot) {
    in.tables = {{Spread::kCells, wire_values(witness_, x), {}},
                 {Spread::kCells, wire_values(witness_, y), {}}};
    const auto rho = rho_.rows_for(x.rows);
    in.rho_rows.assign(rho.begin(), rho.end());
  } else {
    in.tables = {{Spread::kCells, {}, bind_left<D>(witness_, e, x, rho_.rows_for(x.rows))},
                 {Spread::kCells, {}, bind_right<D>(witness_, e, y, rho_)}};
  }
  return GridProver<D>(std::move(in));
}

template <int D>
GridProver<D> SegmentProver<D>::zero_check_prover(const ZeroCheck& z, const Ext<D>& lambda) const {
  typename GridProver<D>::Input in;
  in.rows = z.domain.rows;
  in.cols = z.domain.cols;
  in.degree = degree(z);
  in.form.lambda = lambda;
  const auto cols = rho_.cols_for(in.cols), rows = rho_.rows_for(in.rows);
  in.rho_cols.assign(cols.begin(), cols.end());
  in.rho_rows.assign(rows.begin(), rows.end());
  // The operands whose values are sent come first, in the order the verifier expects them.
  std::vector<Operand> operands = distinct_operands(z);
  for (const Poly& p : z.polys)
    for (const Monomial& m : p)
      for (const Operand& o : m.operands)
        if (o.map == Map::kPublic) operands.push_back(o);
  for (const Operand& o : operands) in.tables.push_back(operand_table<D>(c_, witness_, o, z.domain));
  for (const Poly& p : z.polys) {
    auto& poly = in.form.polys.emplace_back();
    for (const Monomial& m : p) {
      auto& out = poly.emplace_back();
      out.coefficient = F::from_i64(m.coefficient);
      for (const Operand& o : m.operands)
        out.operands.push_back(static_cast<uint32_t>(operand_index(operands, o)));
    }
  }
  return GridProver<D>(std::move(in));
}

// The extension of the committed output at rho, from its own cells.
template <int D>
Ext<D> SegmentProver<D>::einsum_output(const Einsum& e) const {
  const Wire& out = c_.wires[e.out];
  const bool dot = e.kind == EinsumKind::kRowDot;
  Vec<D> line(out.cols);
  const Vec<D> rows = dot ? Vec<D>(1, Ext<D>::one()) : truncated_eq<D>(rho_.rows_for(out.rows), out.rows);
  combine_rows<D>(witness_, out, 0, 1, out.rows, rows, line);
  const Vec<D> cols = eq_vector<D>(dot ? rho_.rows_for(out.cols) : rho_.cols_for(out.cols));
  return inner_product<D>(line.data(), cols.data(), line.size());
}

template <int D>
void SegmentProver<D>::prove_products() {
  std::vector<SumcheckShape<D>> shapes;
  std::deque<GridProver<D>> provers;
  for (const Einsum& e : c_.einsums) {
    shapes.push_back(einsum_shape<D>(c_, e, rho_));
    provers.push_back(einsum_prover(e));
    const Ext<D> out = einsum_output(e);
    channel_.send("einsum.output", out);
    add(einsum_output_claim<D>(functionals_, c_, segment_, e, rho_), out);
  }
  const Ext<D> lambda = channel_.challenge("zero.lambda");
  for (const ZeroCheck& z : c_.zero_checks) {
    shapes.push_back(zero_check_shape<D>(z, rho_));
    provers.push_back(zero_check_prover(z, lambda));
  }
  std::vector<RoundProver<D>*> pointers;
  for (auto& p : provers) pointers.push_back(&p);
  const Vec<D> point = prove_sumchecks<D>(channel_, pointers, shapes);

  for (size_t i = 0; i < c_.einsums.size(); ++i) {
    const Einsum& e = c_.einsums[i];
    const EndPoint<D> at(point, einsum_extent(c_, e));
    const Ext<D> x = provers[i].value(0), y = provers[i].value(1);
    channel_.send("einsum.left", x);
    channel_.send("einsum.right", y);
    add(einsum_left_claim<D>(functionals_, c_, segment_, e, rho_, at), x);
    add(einsum_right_claim<D>(functionals_, c_, segment_, e, rho_, at), y);
  }
  for (size_t i = 0; i < c_.zero_checks.size(); ++i) {
    const ZeroCheck& z = c_.zero_checks[i];
    const EndPoint<D> at(point, Extent{z.domain.rows, z.domain.cols});
    const std::vector<Operand> operands = distinct_operands(z);
    Vec<D> values;
    for (size_t k = 0; k < operands.size(); ++k) {
      values.push_back(provers[c_.einsums.size() + i].value(k));
      channel_.send("zero.operand", values.back());
      add(operand_claim<D>(functionals_, segment_, z, operands[k], at), values.back());
    }
    for (const auto& [a, b] : cubic_products(z)) channel_.send("zero.product", values[a] * values[b]);
  }
}

template <int D>
void SegmentProver<D>::send_total(const Total& t) {
  F sum;
  for (const F x : wire_values(witness_, c_.wires[t.wire])) sum += x;
  channel_.send_bytes("total", {reinterpret_cast<const uint8_t*>(&sum.v), sizeof sum.v});
  add(total_claim<D>(functionals_, c_, segment_, t), Ext<D>(sum));
}

template <int D>
void SegmentProver<D>::send_output(const Output& o) {
  const std::vector<F>& cells = outputs_.emplace_back(wire_values(witness_, c_.wires[o.wire]));
  channel_.send_bytes("output", {reinterpret_cast<const uint8_t*>(cells.data()), cells.size() * sizeof(F)});
}

template <int D>
Fractions<D> SegmentProver<D>::leaves(const LookupTree& of, std::span<const uint32_t> table_ids,
                                      const Fingerprint<D>& fp) const {
  Fractions<D> out{{}, PlaneBuffer<D>(std::max<size_t>(of.blocks, 1) * kBlock)};
  const Planes<D> all = out.q.view();
  if (of.blocks == 0)
    for (size_t j = 0; j < kBlock; ++j) all.set(j, Ext<D>::one());
  size_t base = 0;
  for (const Lookup& l : std::span(c_.lookups).subspan(of.begin, of.end - of.begin)) {
    const Ext<D> start = fp.alpha - Ext<D>(F(table_ids[l.table]));
    const size_t stride = l.domain.row_blocks() * kBlock;
    parallel_for(l.domain.rows, 4, [&](size_t begin, size_t end) {
      std::vector<int64_t> column(l.domain.cols);
      for (size_t i = begin; i < end; ++i) {
        const Planes<D> q = all.at(base + i * stride);
        const auto [lo, hi] = l.domain.range(static_cast<uint32_t>(i));
        for (size_t j = 0; j < stride; ++j) q.set(j, j < lo || j >= hi ? Ext<D>::one() : start);
        for (size_t k = 0; k < l.columns.size(); ++k) {
          linear_poly_row(c_, witness_, l.columns[k], static_cast<uint32_t>(i), column);
          for (size_t j = lo; j < hi; ++j) q.set(j, q.get(j) - fp.beta[k] * F::from_i64(column[j]));
        }
      }
    });
    base += l.domain.blocks() * kBlock;
  }
  return out;
}

template <int D>
Ext<D> SegmentProver<D>::prove_lookups(const LookupTree& of, std::span<const uint32_t> table_ids,
                                       const Fingerprint<D>& fp) {
  const auto tree = prove_fraction_tree<D>(channel_, leaves(of, table_ids, fp), log_leaves(of.blocks));
  auto claim = lookup_claim<D>(functionals_, c_, of, segment_, table_ids, fp, tree.point);
  claims_.add(std::move(claim.claim), tree.q - claim.known);
  return tree.fraction - Ext<D>(F(absent_leaves(of)));
}

template <int D>
Ext<D> SegmentProver<D>::prove(std::span<const uint32_t> table_ids, const Fingerprint<D>& fp,
                               const std::function<void(const char*)>& lap) {
  for (const Output& o : c_.outputs) send_output(o);
  const auto [rows, cols] = output_bits(c_);
  rho_.rows = channel_.challenges("segment.rows", rows);
  rho_.cols = channel_.challenges("segment.cols", cols);
  prove_products();
  lap("products");
  for (const Linear& l : c_.linears) add(linear_claim<D>(functionals_, segment_, l, rho_), Ext<D>::zero());
  for (const RowSum& r : c_.row_sums)
    add(row_sum_claim<D>(functionals_, c_, segment_, r, rho_), Ext<D>::zero());
  for (const Total& t : c_.totals) send_total(t);
  for (size_t k = 0; k < c_.outputs.size(); ++k)
    add(output_claim<D>(functionals_, c_, segment_, c_.outputs[k], rho_),
        output_value<D>(outputs_[k], c_.wires[c_.outputs[k].wire], rho_));
  Ext<D> fraction;
  for (const LookupTree& tree : lookup_trees(c_)) fraction += prove_lookups(tree, table_ids, fp);
  lap("lookups");
  return fraction;
}

template class SegmentProver<2>;
template class SegmentProver<3>;

}  // namespace assay
