// Writes circuits in their canonical bytes, as assay.graph does; Circuit::decode reads them.
#pragma once

#include "circuit/circuit.h"

namespace assay::test {

class CircuitWriter {
 public:
  static std::vector<uint8_t> write(const Circuit& c) {
    CircuitWriter w;
    w.number<uint32_t>(0x43595341);
    w.number<uint32_t>(1);
    w.string(c.name);
    w.list(c.tables, [&](const Table& t) { w.table(t); });
    w.list(c.publics, [&](const Public& p) { w.publics(p); });
    w.list(c.tensors, [&](const Tensor& t) { w.tensor(t); });
    w.list(c.wires, [&](const Wire& x) { w.wire(x); });
    w.list(c.zero_checks, [&](const ZeroCheck& z) { w.zero_check(z); });
    w.list(c.linears, [&](const Linear& l) { w.linear(l); });
    w.list(c.einsums, [&](const Einsum& e) { w.einsum(e); });
    w.list(c.row_sums, [&](const RowSum& r) { w.row_sum(r); });
    w.list(c.totals, [&](const Total& t) { w.total(t); });
    w.list(c.outputs, [&](const Output& o) { w.output(o); });
    w.list(c.lookups, [&](const Lookup& l) { w.lookup(l); });
    w.list(c.program, [&](const Step& s) { w.step(s); });
    return std::move(w.bytes_);
  }

 private:
  template <class T>
  void number(T x) {
    const auto* p = reinterpret_cast<const uint8_t*>(&x);
    bytes_.insert(bytes_.end(), p, p + sizeof x);
  }
  void string(const std::string& s) {
    number(static_cast<uint16_t>(s.size()));
    bytes_.insert(bytes_.end(), s.begin(), s.end());
  }
  template <class T, class Write>
  void list(const std::vector<T>& items, Write write_item) {
    number(static_cast<uint32_t>(items.size()));
    for (const T& x : items) write_item(x);
  }
  void domain(const Domain& d) {
    number(d.rows);
    number(d.cols);
    number(static_cast<uint8_t>(d.ragged.causal));
    number(d.ragged.divisor);
    number(d.ragged.window);
  }
  void poly(const Poly& p) {
    number(static_cast<uint16_t>(p.size()));
    for (const Monomial& m : p) {
      number(m.coefficient);
      number(static_cast<uint8_t>(m.operands.size()));
      for (const Operand& o : m.operands) {
        number(static_cast<uint8_t>(o.map));
        number(o.argument);
        number(o.id);
      }
    }
  }
  void table(const Table& t) {
    string(t.name);
    number(static_cast<uint8_t>(t.is_range ? 0 : 1));
    number(t.start);
    number(t.rows);
    number(static_cast<uint8_t>(t.images.size()));
    for (const auto& image : t.images)
      for (int64_t v : image) number(v);
  }
  void publics(const Public& p) {
    string(p.name);
    number(p.rows);
    number(p.cols);
    for (int64_t v : p.values) number(v);
  }
  void tensor(const Tensor& t) {
    string(t.name);
    number(static_cast<uint8_t>(t.source));
    number(static_cast<uint8_t>(t.type));
    domain(t.shape);
  }
  void wire(const Wire& w) {
    number(w.rows);
    number(w.cols);
    number(w.constant);
    number(static_cast<uint16_t>(w.terms.size()));
    for (const auto& [coefficient, tensor] : w.terms) {
      number(coefficient);
      number(tensor);
    }
  }
  void zero_check(const ZeroCheck& z) {
    string(z.name);
    domain(z.domain);
    list(z.polys, [&](const Poly& p) { poly(p); });
  }
  void linear(const Linear& l) {
    string(l.name);
    domain(l.domain);
    poly(l.poly);
  }
  void einsum(const Einsum& e) {
    string(e.name);
    number(static_cast<uint8_t>(e.kind));
    for (uint32_t x : {e.groups, e.members, e.out, e.x, e.y}) number(x);
    if (e.kind == EinsumKind::kSelectNT) number(e.selection);
  }
  void row_sum(const RowSum& r) {
    string(r.name);
    number(r.out);
    number(r.x);
  }
  void total(const Total& t) {
    string(t.name);
    number(t.wire);
  }
  void output(const Output& o) {
    string(o.name);
    number(o.wire);
  }
  void lookup(const Lookup& l) {
    string(l.name);
    number(l.table);
    domain(l.domain);
    list(l.columns, [&](const Poly& p) { poly(p); });
  }
  void step(const Step& s) {
    number(static_cast<uint8_t>(s.kind));
    number(static_cast<uint8_t>(s.from_einsum));
    number(s.index);
    number(s.table);
    number(s.constant);
    domain(s.domain);
    poly(s.poly);
    number(static_cast<uint16_t>(s.tensors.size()));
    for (uint32_t t : s.tensors) number(t);
    number(static_cast<uint16_t>(s.bits.size()));
    for (uint8_t b : s.bits) number(b);
  }

  std::vector<uint8_t> bytes_;
};

}  // namespace assay::test
