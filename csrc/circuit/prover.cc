#include "circuit/prover.h"

#include <algorithm>
#include <deque>
#include <numeric>

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

// values[j] (+)= scale * wire[row, j]
void add_wire_row(const Witness& w, const Wire& wire, int64_t scale, uint32_t row,
                  std::span<int64_t> values) {
  for (int64_t& v : values) v += scale * wire.constant;
  for (const auto& [coefficient, t] : wire.terms) {
    const int64_t c = scale * coefficient;
    const size_t start = RowLayout(w.tensors[t].shape(), wire.cols).start(row);
    with_cells(w.tensors[t], [&](const auto* cells) {
      const auto* line = cells + start;
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

// Canonical, for |x| < 2^63.
uint64_t canonical(int64_t x) {
  return static_cast<uint64_t>(x) + (kModulus & (0 - static_cast<uint64_t>(x < 0)));
}

// line[j] += coefficient * operand[row, j], the operand read cell by cell, or none
void add_scaled_row(const Circuit& c, const Witness& w, const Monomial& m, F coefficient, uint32_t row,
                    std::span<int64_t> values, uint64_t* line) {
  std::fill(values.begin(), values.end(), m.operands.empty() ? 1 : 0);
  if (!m.operands.empty()) add_wire_row(w, c.wires[m.operands[0].id], 1, row, values);
  const bool plus = coefficient == F::one(), minus = coefficient == -F::one();
  for (size_t j = 0; j < values.size(); ++j) {
    const F x(canonical(values[j])), sum(line[j]);
    line[j] = (plus ? sum + x : minus ? sum - x : sum + coefficient * x).v;
  }
}

// Lines of even(cols) words for a sumcheck, filled row by row.
template <class Fill>
Buffer<uint64_t> lines(uint32_t rows, uint32_t cols, Fill fill) {
  const size_t stride = even(cols);
  Buffer<uint64_t> out(rows * stride);
  parallel_for(rows, ceil_div(4096, stride), [&](size_t begin, size_t end) {
    std::vector<int64_t> values(cols);
    for (size_t i = begin; i < end; ++i) {
      uint64_t* line = out.data() + i * stride;
      fill(static_cast<uint32_t>(i), std::span(values), line);
      if (stride != cols) line[cols] = 0;
    }
  });
  return out;
}

Buffer<uint64_t> wire_lines(const Witness& w, const Wire& wire, uint32_t exchange = 0) {
  return lines(wire.rows, wire.cols, [&](uint32_t i, std::span<int64_t> values, uint64_t* line) {
    std::fill(values.begin(), values.end(), 0);
    add_wire_row(w, wire, 1, i, values);
    if (exchange == 0)
      for (size_t j = 0; j < values.size(); ++j) line[j] = canonical(values[j]);
    else
      for (size_t j = 0; j < values.size(); ++j) line[j] = canonical(values[j ^ exchange]);
  });
}

template <int D>
OperandTable<D> operand_table(const Circuit& c, const Witness& w, const Operand& o, const Domain& d) {
  if (o.map == Map::kPublic) {
    const Public& p = c.publics[o.id];
    const auto rows = static_cast<uint32_t>(ceil_div(d.rows, o.argument));
    return {Spread::kCells,
            lines(rows, d.cols,
                  [&](uint32_t i, std::span<int64_t>, uint64_t* line) {
                    const int64_t* values = p.values.data() + size_t{i} * p.cols;
                    for (size_t j = 0; j < d.cols; ++j) line[j] = canonical(values[j]);
                  }),
            {},
            o.argument};
  }
  const Spread spread = o.map == Map::kRow   ? Spread::kRows
                        : o.map == Map::kCol ? Spread::kCols
                                             : Spread::kCells;
  return {spread, wire_lines(w, c.wires[o.id], o.map == Map::kColXor ? o.argument : 0), {}, 1};
}

// Of one polynomial: all that is linear in operands read cell by cell, times `scale`.
template <int D>
OperandTable<D> linear_table(const Circuit& c, const Witness& w, const std::vector<Monomial>& linear, F scale,
                             const Domain& d) {
  std::vector<F> coefficients;
  for (const Monomial& m : linear) coefficients.push_back(scale * F::from_i64(m.coefficient));
  return {Spread::kCells,
          lines(d.rows, d.cols,
                [&](uint32_t i, std::span<int64_t> values, uint64_t* line) {
                  std::fill(line, line + d.cols, 0);
                  for (size_t k = 0; k < linear.size(); ++k)
                    add_scaled_row(c, w, linear[k], coefficients[k], i, values, line);
                }),
          {},
          1};
}

// out[j] += sum over rows i = first + k step of weights[k] * wire[i, j], for `count` rows.
template <int D>
void combine_rows(const Witness& w, const Wire& wire, size_t first, size_t step, size_t count,
                  const Vec<D>& weights, Vec<D>& out) {
  for (const auto& [coefficient, t] : wire.terms) {
    const RowLayout layout(w.tensors[t].shape(), wire.cols);
    const size_t period = layout.parts / std::gcd(layout.parts, step);  // rows of one place in their lines
    const size_t stride = period * step / layout.parts * layout.stride;
    for (size_t r = 0; r < std::min(period, count); ++r) {
      Vec<D> scaled;
      for (size_t k = r; k < count; k += period) scaled.push_back(weights[k] * F::from_i64(coefficient));
      const size_t start = layout.start(first + r * step);
      with_cells(w.tensors[t], [&]<class T>(const T* cells) {
        parallel_for(ceil_div(wire.cols, kBlock), 1, [&](size_t begin, size_t end) {
          const size_t from = begin * kBlock, to = std::min<size_t>(end * kBlock, wire.cols);
          accumulate_rows<D, T>(cells + start + from, stride, scaled.size(), to - from, scaled.data(),
                                out.data() + from);
        });
      });
    }
  }
  if (wire.constant == 0) return;
  Ext<D> total;
  for (const Ext<D>& x : weights) total += x;
  for (Ext<D>& x : out) x += total * F::from_i64(wire.constant);
}

// out[i] += sum over j of weights[j] * wire[i, j]
template <int D>
void combine_cols(const Witness& w, const Wire& wire, Vec<D> weights, Vec<D>& out) {
  weights.resize(wire.cols);
  Ext<D> constant;
  for (const Ext<D>& x : weights) constant += x;
  constant = constant * F::from_i64(wire.constant);
  weights.resize(ceil_div(wire.cols, kBlock) * kBlock);
  for (const auto& [coefficient, t] : wire.terms) {
    const RowLayout layout(w.tensors[t].shape(), wire.cols);
    const size_t parts = layout.parts, stride = layout.stride;
    with_cells(w.tensors[t], [&]<class T>(const T* cells) {
      Vec<D> sums(wire.rows);
      parallel_for(wire.rows / parts, 16, [&](size_t begin, size_t end) {
        if (parts == 1)
          dot_blocks<D, T>(cells + begin * stride, end - begin, stride, weights.data(), sums.data() + begin);
        for (size_t i = begin; parts > 1 && i < end; ++i)
          dot_blocks<D, T>(cells + i * stride, parts, wire.cols, weights.data(), sums.data() + i * parts);
      });
      for (size_t i = 0; i < sums.size(); ++i) out[i] += sums[i] * F::from_i64(coefficient);
    });
  }
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

// a[g, k] = sum over i of eq(rho, i) s[i, g] x[i mod rows of x, k], by the entries of s that are not zero.
template <int D>
Vec<D> bind_selected(const Circuit& c, const Witness& w, const Einsum& e, const Vec<D>& by_row) {
  const Wire& x = c.wires[e.x];
  const std::vector<F> selection = wire_values(w, c.wires[e.selection]);
  Vec<D> out(size_t{e.groups} * x.cols);
  parallel_for(e.groups, 1, [&](size_t begin, size_t end) {
    Vec<D> line(x.cols);
    for (size_t g = begin; g < end; ++g) {
      std::fill(line.begin(), line.end(), Ext<D>::zero());
      for (size_t i = 0; i < by_row.size(); ++i) {
        const F s = selection[i * e.groups + g];
        if (!(s == F::zero())) combine_rows<D>(w, x, i % x.rows, 1, 1, {by_row[i] * s}, line);
      }
      std::copy(line.begin(), line.end(), out.begin() + static_cast<std::ptrdiff_t>(g * x.cols));
    }
  });
  return out;
}

// y[g, k] = sum over j of eq(rho, j) y[g J + j, k].
template <int D>
Vec<D> bind_stacked(const Witness& w, const Einsum& e, const Wire& y, const OutputPoint<D>& rho) {
  const size_t inner = y.rows / e.groups;
  const Vec<D> weights = truncated_eq<D>(rho.cols_for(inner), inner);
  Vec<D> out;
  for (size_t g = 0; g < e.groups; ++g) {
    Vec<D> line(y.cols);
    combine_rows<D>(w, y, g * inner, 1, inner, weights, line);
    out.insert(out.end(), line.begin(), line.end());
  }
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
GridProver<D> SegmentProver<D>::einsum_prover(const Einsum& e, const Ext<D>& out) const {
  const Wire &x = c_.wires[e.x], &y = c_.wires[e.y];
  const Extent extent = einsum_extent(c_, e);
  typename GridProver<D>::Input in;
  in.rows = static_cast<uint32_t>(extent.rows);
  in.cols = static_cast<uint32_t>(extent.cols);
  in.degree = 2;
  in.claim = out;
  const auto add = [&](Buffer<uint64_t> base, Vec<D> ext) {
    in.tables.push_back({Spread::kCells, std::move(base), std::move(ext)});
  };
  if (e.kind == EinsumKind::kRowDot) {
    add(wire_lines(witness_, x), {});
    if (e.y != e.x) add(wire_lines(witness_, y), {});
    const auto rho = rho_.rows_for(x.rows);
    in.rho_rows.assign(rho.begin(), rho.end());
  } else {
    add({}, bind_left<D>(witness_, e, x, rho_.rows_for(x.rows)));
    add({}, bind_right<D>(witness_, e, y, rho_));
  }
  in.form.polys = {{{F::one(), {0, in.tables.size() == 1 ? 0U : 1U}}}};
  return GridProver<D>(std::move(in));
}

template <int D>
SelectionProver<D> SegmentProver<D>::selection_prover(const Einsum& e, const Ext<D>& out) const {
  const Wire &x = c_.wires[e.x], &s = c_.wires[e.selection];
  const auto grid = [](uint32_t rows, uint32_t cols, Vec<D> left, Vec<D> right, const Ext<D>& claim) {
    typename GridProver<D>::Input in;
    in.rows = rows;
    in.cols = cols;
    in.degree = 2;
    in.claim = claim;
    in.tables.push_back({Spread::kCells, {}, std::move(left)});
    in.tables.push_back({Spread::kCells, {}, std::move(right)});
    in.form.polys = {{{F::one(), {0, 1}}}};
    return in;
  };
  const auto rho = rho_.rows_for(s.rows);
  GridProver<D> groups(grid(e.groups, x.cols, bind_selected<D>(c_, witness_, e, truncated_eq<D>(rho, s.rows)),
                            bind_stacked<D>(witness_, e, c_.wires[e.y], rho_), out));
  const unsigned depth = log2_ceil(x.cols);
  const auto rows = [=, this, &x, &s](std::span<const Ext<D>> point, const Ext<D>& claim) {
    Vec<D> left(s.rows), by_row(x.rows), right(s.rows);
    combine_cols<D>(witness_, s, eq_vector<D>(point.subspan(depth)), left);
    combine_cols<D>(witness_, x, eq_vector<D>(point.first(depth)), by_row);
    for (size_t i = 0; i < right.size(); ++i) right[i] = by_row[i % x.rows];
    auto in = grid(s.rows, 1, std::move(left), std::move(right), claim);
    in.rho_rows.assign(rho.begin(), rho.end());
    return GridProver<D>(std::move(in));
  };
  return SelectionProver<D>(std::move(groups), depth + log2_ceil(e.groups), rows);
}

namespace {

// How a zero-check is proven: products of operands that have tables, and all that is linear in cells as one
// more table for each polynomial.
struct ZeroCheckPlan {
  std::vector<Operand> tabled;
  struct Part {
    std::vector<Monomial> products, linear;
    F scale = F::one();  // of the linear table, so that it can be added to products
  };
  std::vector<Part> polys;

  explicit ZeroCheckPlan(const ZeroCheck& z) {
    for (const Poly& p : z.polys) {
      Part& part = polys.emplace_back();
      for (const Monomial& m : p) {
        const bool linear = m.operands.empty() || (m.operands.size() == 1 && m.operands[0].map == Map::kCell);
        (linear ? part.linear : part.products).push_back(m);
        for (const Operand& o : m.operands)
          if (!linear && !is_tabled(o)) tabled.push_back(o);
      }
      const auto cells_alone = [](const Monomial& m) {
        return !(F::from_i64(m.coefficient) == F::zero()) &&
               std::all_of(m.operands.begin(), m.operands.end(),
                           [](const Operand& o) { return o.map != Map::kRow && o.map != Map::kCol; });
      };
      const auto beside = std::find_if(part.products.begin(), part.products.end(), cells_alone);
      if (beside != part.products.end()) part.scale = F::from_i64(beside->coefficient);
    }
  }
  bool is_tabled(const Operand& o) const {
    return std::any_of(tabled.begin(), tabled.end(), [&](const Operand& t) { return same_operand(t, o); });
  }
};

}  // namespace

template <int D>
GridProver<D> SegmentProver<D>::zero_check_prover(const ZeroCheck& z, const Ext<D>& lambda) const {
  typename GridProver<D>::Input in;
  in.rows = z.domain.rows;
  in.cols = z.domain.cols;
  in.degree = degree(z);
  in.form.lambda = lambda;
  in.claim = Ext<D>::zero();
  const auto cols = rho_.cols_for(in.cols), rows = rho_.rows_for(in.rows);
  in.rho_cols.assign(cols.begin(), cols.end());
  in.rho_rows.assign(rows.begin(), rows.end());
  const ZeroCheckPlan plan(z);
  for (const Operand& o : plan.tabled) in.tables.push_back(operand_table<D>(c_, witness_, o, z.domain));
  for (const auto& part : plan.polys) {
    auto& poly = in.form.polys.emplace_back();
    for (const Monomial& m : part.products) {
      auto& out = poly.emplace_back();
      out.coefficient = F::from_i64(m.coefficient);
      for (const Operand& o : m.operands)
        out.operands.push_back(static_cast<uint32_t>(operand_index(plan.tabled, o)));
    }
    if (part.linear.empty()) continue;
    poly.push_back({part.scale, {static_cast<uint32_t>(in.tables.size())}});
    in.tables.push_back(linear_table<D>(c_, witness_, part.linear, inverse(part.scale), z.domain));
  }
  return GridProver<D>(std::move(in));
}

// The operands of a zero-check at the end of its sumcheck, in the order the verifier expects them.
template <int D>
Vec<D> SegmentProver<D>::operand_values(const ZeroCheck& z, const GridProver<D>& prover,
                                        const EndPoint<D>& at) const {
  const ZeroCheckPlan plan(z);
  Vec<D> values;
  for (const Operand& o : distinct_operands(z)) {
    if (plan.is_tabled(o)) {
      values.push_back(prover.value(operand_index(plan.tabled, o)));
      continue;
    }
    const Wire& wire = c_.wires[o.id];
    Vec<D> line(wire.cols);
    combine_rows<D>(witness_, wire, 0, 1, wire.rows, truncated_eq<D>(at.rows, wire.rows), line);
    const Vec<D> cols = eq_vector<D>(at.cols);
    values.push_back(inner_product<D>(line.data(), cols.data(), line.size()));
  }
  return values;
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
  std::deque<SelectionProver<D>> selections;
  std::vector<RoundProver<D>*> pointers;
  for (const Einsum& e : c_.einsums) {
    shapes.push_back(einsum_shape<D>(c_, e, rho_));
    const Ext<D> out = einsum_output(e);
    if (e.kind == EinsumKind::kSelectNT)
      pointers.push_back(&selections.emplace_back(selection_prover(e, out)));
    else
      pointers.push_back(&provers.emplace_back(einsum_prover(e, out)));
    channel_.send("einsum.output", out);
    add(einsum_output_claim<D>(functionals_, c_, segment_, e, rho_), out);
  }
  const Ext<D> lambda = channel_.challenge("zero.lambda");
  for (const ZeroCheck& z : c_.zero_checks) {
    shapes.push_back(zero_check_shape<D>(z, rho_));
    pointers.push_back(&provers.emplace_back(zero_check_prover(z, lambda)));
  }
  const Vec<D> point = prove_sumchecks<D>(channel_, pointers, shapes);

  auto prover = provers.cbegin();
  auto selection = selections.cbegin();
  for (const Einsum& e : c_.einsums) {
    const EndPoint<D> at(point, einsum_extent(c_, e));
    if (e.kind == EinsumKind::kSelectNT)
      end_selected(e, at, *selection++);
    else
      end_einsum(e, at, *prover++);
  }
  for (const ZeroCheck& z : c_.zero_checks) {
    const EndPoint<D> at(point, Extent{z.domain.rows, z.domain.cols});
    const std::vector<Operand> operands = distinct_operands(z);
    const Vec<D> values = operand_values(z, *prover++, at);
    for (size_t k = 0; k < operands.size(); ++k) {
      channel_.send("zero.operand", values[k]);
      add(operand_claim<D>(functionals_, segment_, z, operands[k], at), values[k]);
    }
    for (const auto& [a, b] : cubic_products(z)) channel_.send("zero.product", values[a] * values[b]);
  }
}

template <int D>
void SegmentProver<D>::end_einsum(const Einsum& e, const EndPoint<D>& at, const GridProver<D>& prover) {
  const bool square = e.kind == EinsumKind::kRowDot && e.x == e.y;
  const Ext<D> x = prover.value(0), y = prover.value(square ? 0 : 1);
  channel_.send("einsum.left", x);
  channel_.send("einsum.right", y);
  add(einsum_left_claim<D>(functionals_, c_, segment_, e, rho_, at), x);
  add(einsum_right_claim<D>(functionals_, c_, segment_, e, rho_, at), y);
}

template <int D>
void SegmentProver<D>::end_selected(const Einsum& e, const EndPoint<D>& at,
                                    const SelectionProver<D>& prover) {
  const Ext<D> x = prover.left(), y = prover.right(), s = prover.selection();
  channel_.send("einsum.left", x);
  channel_.send("einsum.right", y);
  channel_.send("einsum.selection", s);
  channel_.send("einsum.product", s * x);
  add(einsum_left_claim<D>(functionals_, c_, segment_, e, rho_, at), x);
  add(einsum_right_claim<D>(functionals_, c_, segment_, e, rho_, at), y);
  add(einsum_selection_claim<D>(functionals_, c_, segment_, e, at), s);
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
      Buffer<uint64_t> values(l.domain.cols);
      for (size_t i = begin; i < end; ++i) {
        const Planes<D> q = all.at(base + i * stride);
        const auto [lo, hi] = l.domain.range(static_cast<uint32_t>(i));
        const auto fill = [&](size_t from, size_t to, const Ext<D>& x) {
          for (int d = 0; d < D; ++d) std::fill(q.c[d] + from, q.c[d] + to, x.c[d].v);
        };
        fill(0, lo, Ext<D>::one());
        fill(lo, hi, start);
        fill(hi, stride, Ext<D>::one());
        for (size_t k = 0; k < l.columns.size(); ++k) {
          linear_poly_row(c_, witness_, l.columns[k], static_cast<uint32_t>(i), column);
          for (size_t j = lo; j < hi; ++j) values.data()[j] = canonical(column[j]);
          Planes<1> plane;
          plane.c[0] = values.data() + lo;
          add_scaled<D, 1>(plane, hi - lo, -fp.beta[k], q.at(lo));
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
