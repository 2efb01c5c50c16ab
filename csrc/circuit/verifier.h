// The verifier of one segment: every relation of its circuit is reduced to claims on committed tensors.
//
//   (C.1) zero-check   0 = sum over cells of eq(rho, cell) * sum over polys k of lambda^k P_k(cell)
//   (C.2) einsum       out(rho_rows, rho_cols) = sum over (g, k) of x(rho_rows; g, k) * y(rho_cols; g, k)
//   (C.3) row product  out(rho_rows) = sum over (i, k) of eq(rho_rows, i) x[i, k] y[i, k]
//   (C.4) linear       0 = P(rho)
//   (C.5) row sum      out(rho_rows) = sum over existing (i, j) of eq(rho_rows, i) x[i, j]
//   (C.6) lookup       p(z) = 1,  q(z) = alpha - id - beta c_0(z) - beta^2 c_1(z) - ...  where leaf z exists,
//                      q(z) = 1 elsewhere, so that the absent leaves add their number to the sum
//   (C.7) total        public output = sum over existing cells of x[i, j]
//   (C.8) t = a b for the first two of a monomial's three operands; the monomial is then t c
//   (C.9) output       out(rho_rows, rho_cols) = x(rho_rows, rho_cols), all cells of out sent before rho
//   (C.10) selected    out(rho_rows, rho_cols) = sum over (i, g, k) of
//                      eq(rho_rows, i) s[i, g] x[i mod rows of x, k] y(rho_cols; g, k)
//   (C.11) t = s x for the selection and the left operand of (C.10); the final claim is then t y
#pragma once

#include "circuit/relations.h"
#include "lookup/verifier.h"

namespace assay {

template <class Channel>
class SegmentVerifier {
 public:
  static constexpr int D = Channel::degree;
  using Value = typename Channel::Value;
  using Claims = ClaimList<D, Value>;

  SegmentVerifier(Channel& channel, std::string_view segment, const Circuit& circuit,
                  std::span<const size_t> first_block, Claims& claims)
      : channel_(channel),
        segment_(segment),
        c_(circuit),
        functionals_(circuit, first_block),
        claims_(claims) {}

  // Returns the segment's share F of the lookup sum.
  Value verify(std::span<const uint32_t> table_ids, const Fingerprint<D>& fp) {
    for (const Output& o : c_.outputs) receive_output(o);
    draw_output_point();
    verify_products();
    for (const Linear& l : c_.linears) settle(linear_claim<D>(functionals_, segment_, l, rho_));
    for (const RowSum& r : c_.row_sums) settle(row_sum_claim<D>(functionals_, c_, segment_, r, rho_));
    for (const Total& t : c_.totals) receive_total(t);
    for (size_t k = 0; k < c_.outputs.size(); ++k) settle_output(k);
    Value sum{};
    for (const LookupTree& tree : lookup_trees(c_)) sum = sum + verify_lookups(tree, table_ids, fp);
    return sum;
  }

 private:
  void draw_output_point() {
    const auto [rows, cols] = output_bits(c_);
    rho_.rows = channel_.challenges("segment.rows", rows);
    rho_.cols = channel_.challenges("segment.cols", cols);
  }

  // A claim whose functional must have exactly minus the known part as its value.
  void settle(std::pair<Claim<D>, Ext<D>> claim) {
    Value zero{};
    claims_.add(std::move(claim.first), zero - claim.second);
  }
  void add(std::pair<Claim<D>, Ext<D>> claim, const Value& value) {
    claims_.add(std::move(claim.first), value - claim.second);
  }

  void receive_total(const Total& t) {
    const Where where{segment_, t.name};
    Reader bytes(channel_.receive_bytes("total", sizeof(uint64_t), where));
    const uint64_t value = bytes.u64();
    channel_.require(value < kModulus, "format.field", where, "a field element is not canonical");
    totals_.emplace_back(t.name, value);
    add(total_claim<D>(functionals_, c_, segment_, t), Value{} + Ext<D>(F(value)));
  }

  // Before rho: who knew it could send other cells that agree at rho.
  void receive_output(const Output& o) {
    const Where where{segment_, o.name};
    const Wire& wire = c_.wires[o.wire];
    const size_t n = size_t{wire.rows} * wire.cols;
    Reader bytes(channel_.receive_bytes("output", n * sizeof(uint64_t), where));
    std::vector<F>& cells = outputs_.emplace_back(o.name, std::vector<F>()).second;
    for (size_t k = 0; k < n; ++k) {
      const uint64_t value = bytes.u64();
      channel_.require(value < kModulus, "format.field", where, "a field element is not canonical");
      cells.push_back(F(value));
    }
  }
  void settle_output(size_t k) {
    const Output& o = c_.outputs[k];
    const Ext<D> value = output_value<D>(outputs_[k].second, c_.wires[o.wire], rho_);
    add(output_claim<D>(functionals_, c_, segment_, o, rho_), Value{} + value);
  }

  void verify_products() {
    std::vector<SumcheckShape<D>> shapes;
    std::vector<Value> sums;
    for (const Einsum& e : c_.einsums) {
      shapes.push_back(einsum_shape<D>(c_, e, rho_));
      sums.push_back(channel_.receive("einsum.output", Where{segment_, e.name}));
      add(einsum_output_claim<D>(functionals_, c_, segment_, e, rho_), sums.back());
    }
    const Ext<D> lambda = channel_.challenge("zero.lambda");
    for (const ZeroCheck& z : c_.zero_checks) {
      shapes.push_back(zero_check_shape<D>(z, rho_));
      sums.push_back(Value{});
    }
    const auto end = verify_sumchecks<Channel>(channel_, segment_, shapes, std::move(sums));
    for (size_t i = 0; i < c_.einsums.size(); ++i) end_einsum(c_.einsums[i], end.point, end.claims[i]);
    for (size_t i = 0; i < c_.zero_checks.size(); ++i)
      end_zero_check(c_.zero_checks[i], lambda, end.point, end.claims[c_.einsums.size() + i]);
  }

  void end_einsum(const Einsum& e, std::span<const Ext<D>> point, const Value& sum) {
    const Where where{segment_, e.name};
    const EndPoint<D> at(point, einsum_extent(c_, e));
    const Value x = channel_.receive("einsum.left", where);
    const Value y = channel_.receive("einsum.right", where);
    if (e.kind == EinsumKind::kSelectNT) return end_selected(e, at, x, y, sum);
    channel_.require_zero(sum - channel_.product(x, y), "sumcheck.einsum", where,
                          "the product does not match its operands");
    add(einsum_left_claim<D>(functionals_, c_, segment_, e, rho_, at), x);
    add(einsum_right_claim<D>(functionals_, c_, segment_, e, rho_, at), y);
  }

  // (C.10), (C.11)
  void end_selected(const Einsum& e, const EndPoint<D>& at, const Value& x, const Value& y,
                    const Value& sum) {
    const Where where{segment_, e.name};
    const Value s = channel_.receive("einsum.selection", where);
    const Value t = channel_.receive("einsum.product", where);
    channel_.require_zero(channel_.product(s, x) - t, "sumcheck.product", where,
                          "the product of a row and its selection is wrong");
    channel_.require_zero(sum - channel_.product(t, y), "sumcheck.einsum", where,
                          "the product does not match its operands");
    add(einsum_left_claim<D>(functionals_, c_, segment_, e, rho_, at), x);
    add(einsum_right_claim<D>(functionals_, c_, segment_, e, rho_, at), y);
    add(einsum_selection_claim<D>(functionals_, c_, segment_, e, at), s);
  }

  void end_zero_check(const ZeroCheck& z, const Ext<D>& lambda, std::span<const Ext<D>> point,
                      const Value& sum) {
    const Where where{segment_, z.name};
    const EndPoint<D> at(point, Extent{z.domain.rows, z.domain.cols});
    const std::vector<Operand> operands = distinct_operands(z);
    std::vector<Value> values;
    for (const Operand& o : operands) {
      values.push_back(channel_.receive("zero.operand", where));
      add(operand_claim<D>(functionals_, segment_, z, o, at), values.back());
    }
    const std::vector<Value> products = receive_products(z, values, where);
    Value total{};
    Ext<D> power = Ext<D>::one();
    size_t used = 0;
    for (const Poly& p : z.polys) {
      for (const Monomial& m : p) {
        std::vector<Value> factors = sent_factors(m, operands, values);
        if (factors.size() == 3) factors = {products[used++], factors[2]};
        total =
            total + product(factors) * (known_factor(m, z.domain, at) * power * F::from_i64(m.coefficient));
      }
      power *= lambda;
    }
    channel_.require_zero(sum - total, "sumcheck.zero", where, "the relation does not hold");
  }

  // (C.8)
  std::vector<Value> receive_products(const ZeroCheck& z, std::span<const Value> values, const Where& where) {
    std::vector<Value> out;
    for (const auto& [a, b] : cubic_products(z)) {
      out.push_back(channel_.receive("zero.product", where));
      channel_.require_zero(channel_.product(values[a], values[b]) - out.back(), "sumcheck.product", where,
                            "a product of two operands is wrong");
    }
    return out;
  }

  std::vector<Value> sent_factors(const Monomial& m, std::span<const Operand> operands,
                                  std::span<const Value> values) {
    std::vector<Value> out;
    for (const Operand& o : m.operands)
      if (o.map != Map::kPublic) out.push_back(values[operand_index(operands, o)]);
    return out;
  }

  // Of at most two messages; of none, one.
  Value product(const std::vector<Value>& factors) {
    if (factors.empty()) return Value{} + Ext<D>::one();
    return factors.size() == 1 ? factors[0] : channel_.product(factors[0], factors[1]);
  }

  // The public operands of a monomial at the end point; without any operand, the indicator of the domain.
  Ext<D> known_factor(const Monomial& m, const Domain& d, const EndPoint<D>& at) {
    if (m.operands.empty()) {
      CellWeights<D> w;
      w.rows = row_weights_at<D>(at.rows, d.rows);
      w.cols = ColumnWeights<D>::from_point(at.cols, d.cols);
      return indicator(d, w);
    }
    Ext<D> known = Ext<D>::one();
    for (const Operand& o : m.operands)
      if (o.map == Map::kPublic) known *= evaluate_public<D>(c_.publics[o.id], o.argument, d, at);
    return known;
  }

  Value verify_lookups(const LookupTree& of, std::span<const uint32_t> table_ids, const Fingerprint<D>& fp) {
    const Where where{segment_, "lookup"};
    const auto tree = verify_fraction_tree<Channel>(channel_, where, log_leaves(of.blocks));
    auto leaves = lookup_claim<D>(functionals_, c_, of, segment_, table_ids, fp, tree.point);
    channel_.require_zero(tree.p - Ext<D>::one(), "lookup.numerator", where, "a leaf's numerator is not one");
    claims_.add(std::move(leaves.claim), tree.q - leaves.known);
    return tree.fraction - Ext<D>(F(absent_leaves(of)));
  }

 public:
  // The public outputs, in the order of the circuit.
  const std::vector<std::pair<std::string, uint64_t>>& totals() const { return totals_; }
  const std::vector<std::pair<std::string, std::vector<F>>>& outputs() const { return outputs_; }

 private:
  Channel& channel_;
  std::string segment_;
  const Circuit& c_;
  Functionals<D> functionals_;
  Claims& claims_;
  OutputPoint<D> rho_;
  std::vector<std::pair<std::string, uint64_t>> totals_;
  std::vector<std::pair<std::string, std::vector<F>>> outputs_;
};

}  // namespace assay
