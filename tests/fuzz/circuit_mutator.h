// Changes circuits field by field, so that most of what is tried is well formed as bytes, and a part of it
// also as a circuit.
#pragma once

#include "circuit/circuit.h"
#include "fuzzing.h"

namespace assay::fuzz {

// Calls visit.dimension / id / value / kind for every number of a circuit.
template <class Visit>
class FieldWalk {
 public:
  FieldWalk(Circuit& c, Visit& visit) : visit_(visit) {
    for (Table& t : c.tables) table(t);
    for (Public& p : c.publics) publics(p);
    for (Tensor& t : c.tensors) tensor(t);
    for (Wire& w : c.wires) wire(w);
    for (ZeroCheck& z : c.zero_checks) {
      domain(z.domain);
      for (Poly& p : z.polys) poly(p);
    }
    for (Linear& l : c.linears) {
      domain(l.domain);
      poly(l.poly);
    }
    for (Einsum& e : c.einsums) einsum(e);
    for (RowSum& r : c.row_sums) ids(r.out, r.x);
    for (Total& t : c.totals) ids(t.wire);
    for (Output& o : c.outputs) ids(o.wire);
    for (Lookup& l : c.lookups) {
      ids(l.table);
      domain(l.domain);
      for (Poly& p : l.columns) poly(p);
    }
    for (Step& s : c.program) step(s);
  }

 private:
  template <class... T>
  void ids(T&... id) {
    (visit_.id(id), ...);
  }
  template <class E>
  void kind(E& e, uint8_t count) {
    visit_.kind(reinterpret_cast<uint8_t&>(e), count);
  }
  void domain(Domain& d) {
    visit_.dimension(d.rows);
    visit_.dimension(d.cols);
    visit_.ragged(d.ragged);
  }
  void table(Table& t) {
    visit_.value(t.start);
    visit_.dimension(t.rows);
    for (auto& image : t.images)
      for (int64_t& v : image) visit_.value(v);
  }
  void publics(Public& p) {
    visit_.dimension(p.rows);
    visit_.dimension(p.cols);
    for (int64_t& v : p.values) visit_.value(v);
  }
  void tensor(Tensor& t) {
    kind(t.source, 3);
    kind(t.type, 3);
    domain(t.shape);
  }
  void wire(Wire& w) {
    visit_.dimension(w.rows);
    visit_.dimension(w.cols);
    visit_.value(w.constant);
    for (auto& [coefficient, id] : w.terms) {
      visit_.value(coefficient);
      visit_.id(id);
    }
  }
  void poly(Poly& p) {
    for (Monomial& m : p) {
      visit_.value(m.coefficient);
      for (Operand& o : m.operands) {
        kind(o.map, 7);
        visit_.dimension(o.argument);
        visit_.id(o.id);
      }
    }
  }
  void einsum(Einsum& e) {
    kind(e.kind, 4);
    visit_.dimension(e.groups);
    visit_.dimension(e.members);
    ids(e.out, e.x, e.y, e.selection);
  }
  void step(Step& s) {
    kind(s.kind, 10);
    ids(s.index, s.table);
    visit_.value(s.constant);
    domain(s.domain);
    poly(s.poly);
    for (uint32_t& t : s.tensors) visit_.id(t);
    for (uint8_t& b : s.bits) visit_.kind(b, 70);
  }

  Visit& visit_;
};

struct Fields {
  std::vector<uint32_t*> dimensions, identifiers;
  std::vector<int64_t*> values;
  std::vector<std::pair<uint8_t*, uint8_t>> kinds;
  std::vector<Ragged*> ragged_rows;

  explicit Fields(Circuit& c) { FieldWalk<Fields>(c, *this); }
  void dimension(uint32_t& x) { dimensions.push_back(&x); }
  void id(uint32_t& x) { identifiers.push_back(&x); }
  void value(int64_t& x) { values.push_back(&x); }
  void kind(uint8_t& x, uint8_t count) { kinds.emplace_back(&x, count); }
  void ragged(Ragged& r) { ragged_rows.push_back(&r); }
};

class CircuitMutator {
 public:
  CircuitMutator(Circuit& circuit, Choice& choice) : c_(circuit), choice_(choice) {}

  void change() {
    switch (choice_.below(8)) {
      case 0: resize_everywhere(); break;
      case 1: return edit_lists();
      case 2: change_value(); break;
      case 3: change_kind(); break;
      case 4: change_ragged(); break;
      case 5: change_dimension(); break;
      case 6: change_polys(); break;
      default: change_id(); break;
    }
    if (!choice_.one_in(8)) fit_values();
  }

 private:
  uint32_t dimension() {
    constexpr uint32_t kEdges[] = {0,   1,   127,      128,          129,          255,       256,
                                   257, 640, 1U << 12, 1U << 22, (1U << 24), (1U << 24) + 1, ~0U};
    return choice_.one_in(6) ? choice_.of(kEdges) : static_cast<uint32_t>(1 + choice_.below(8));
  }
  template <class T>
  T* any(const std::vector<T*>& all) {
    return all.empty() ? nullptr : all[choice_.below(all.size())];
  }

  // One size becomes another wherever it occurs: shapes go on fitting.
  void resize_everywhere() {
    const Fields f(c_);
    const uint32_t* some = any(f.dimensions);
    if (some == nullptr) return;
    const uint32_t from = *some, to = dimension();
    for (uint32_t* x : f.dimensions)
      if (*x == from) *x = to;
  }
  void change_dimension() {
    if (uint32_t* x = any(Fields(c_).dimensions)) *x = dimension();
  }
  void change_id() {
    if (uint32_t* x = any(Fields(c_).identifiers))
      *x = choice_.one_in(16) ? ~0U : static_cast<uint32_t>(choice_.below(c_.wires.size() + 1));
  }
  int64_t near(int64_t x) { return static_cast<int64_t>(static_cast<uint64_t>(x) + choice_.below(9) - 4); }
  void change_value() {
    constexpr int64_t kEdges[] = {0, 1, -1, int64_t{1} << 61, (int64_t{1} << 62) - 1, int64_t{1} << 62,
                                  -(int64_t{1} << 62), INT64_MAX, INT64_MIN};
    if (int64_t* x = any(Fields(c_).values))
      *x = choice_.one_in(2) ? choice_.of(kEdges) : near(*x);
  }
  void change_kind() {
    const Fields f(c_);
    if (f.kinds.empty()) return;
    const auto& [x, count] = f.kinds[choice_.below(f.kinds.size())];
    *x = static_cast<uint8_t>(choice_.below(count + choice_.one_in(16)));
  }
  void change_ragged() {
    Ragged* r = any(Fields(c_).ragged_rows);
    if (r == nullptr) return;
    r->causal = !choice_.one_in(3);
    r->divisor = r->causal ? dimension() : 1;
    r->window = r->causal && choice_.one_in(2) ? dimension() : 0;
  }

  // Tables and public values get as many values as their sizes say.
  void fit_values() {
    constexpr size_t kMost = 512;
    for (Table& t : c_.tables)
      for (auto& image : t.images)
        if (t.rows <= kMost) image.resize(t.rows);
    for (Public& p : c_.publics)
      if (uint64_t{p.rows} * p.cols <= kMost) p.values.resize(size_t{p.rows} * p.cols);
  }

  template <class T>
  void edit(std::vector<T>& list) {
    const size_t at = choice_.below(list.size());
    if (list.empty()) return;
    switch (choice_.below(3)) {
      case 0: list.push_back(T(list[at])); break;
      case 1: list.erase(list.begin() + static_cast<std::ptrdiff_t>(at)); break;
      default: std::swap(list[at], list[choice_.below(list.size())]); break;
    }
  }
  void edit_lists() {
    switch (choice_.below(12)) {
      case 0: return edit(c_.tables);
      case 1: return edit(c_.publics);
      case 2: return edit(c_.tensors);
      case 3: return edit(c_.wires);
      case 4: return edit(c_.zero_checks);
      case 5: return edit(c_.linears);
      case 6: return edit(c_.einsums);
      case 7: return edit(c_.row_sums);
      case 8: return edit(c_.totals);
      case 9: return edit(c_.lookups);
      case 10: return edit(c_.program);
      default: edit_terms(); break;
    }
  }
  void edit_terms() {
    if (c_.wires.empty()) return;
    Wire& w = c_.wires[choice_.below(c_.wires.size())];
    if (w.terms.empty()) w.terms.emplace_back(1, 0);
    else edit(w.terms);
  }

  std::vector<Poly*> polys() {
    std::vector<Poly*> out;
    for (ZeroCheck& z : c_.zero_checks)
      for (Poly& p : z.polys) out.push_back(&p);
    for (Linear& l : c_.linears) out.push_back(&l.poly);
    for (Lookup& l : c_.lookups)
      for (Poly& p : l.columns) out.push_back(&p);
    return out;
  }
  // Monomials and operands come, go, and move between polynomials.
  void change_polys() {
    const auto all = polys();
    Poly* p = any(all);
    if (p == nullptr) return;
    const Poly& other = *any(all);
    if (choice_.one_in(2) && !other.empty()) p->push_back(Monomial(other[choice_.below(other.size())]));
    else edit(*p);
    if (!p->empty() && choice_.one_in(2)) edit((*p)[choice_.below(p->size())].operands);
  }

  Circuit& c_;
  Choice& choice_;
};

}  // namespace assay::fuzz
