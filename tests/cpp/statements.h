// Small circuits with cells, commitments to them, and statements about them, for tests of the whole protocol.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <random>

#include "check.h"
#include "circuit_bytes.h"
#include "system/prover.h"
#include "system/verifier.h"

namespace assay::test {

using Random = std::mt19937_64;

inline Domain full(uint32_t rows, uint32_t cols) { return {rows, cols, {}}; }
inline Domain causal(uint32_t rows, uint32_t cols, uint32_t divisor, uint32_t window) {
  return {rows, cols, {true, divisor, window}};
}
inline Operand cell(uint32_t wire) { return {Map::kCell, 0, wire}; }
inline Operand row(uint32_t wire) { return {Map::kRow, 0, wire}; }
inline Operand col(uint32_t wire) { return {Map::kCol, 0, wire}; }
inline Operand swapped(uint32_t wire, uint32_t distance) { return {Map::kColXor, distance, wire}; }
inline Operand gathered(uint32_t wire, uint32_t index) { return {Map::kGather, index, wire}; }
inline Operand picked(uint32_t wire, uint32_t index) { return {Map::kPick, index, wire}; }
inline Operand publics(uint32_t id, uint32_t divisor) { return {Map::kPublic, divisor, id}; }

// Cells of weights and boundaries by tensor name; several circuits may share them.
using CellMap = std::map<std::string, TensorData>;

// A circuit in the making.
class Sketch {
 public:
  Circuit circuit;

  Sketch(std::string name, CellMap& cells) : cells_(cells) { circuit.name = std::move(name); }

  uint32_t tensor(const std::string& name, Domain shape, CellType type = CellType::kInt64,
                  Source source = Source::kWitness) {
    circuit.tensors.push_back({name, source, type, shape});
    return static_cast<uint32_t>(circuit.tensors.size() - 1);
  }
  // Weights and boundaries: random cells in [-limit, limit], unless the cells are known already.
  uint32_t given(const std::string& name, uint32_t rows, uint32_t cols, int64_t limit,
                 Source source = Source::kBoundary) {
    const CellType type = source == Source::kWeight ? CellType::kInt16 : CellType::kInt32;
    if (!cells_.contains(name)) {
      TensorData data(type, full(rows, cols));
      std::uniform_int_distribution<int64_t> cell_value(-limit, limit);
      for (uint32_t i = 0; i < rows; ++i)
        for (uint32_t j = 0; j < cols; ++j) data.set(i, j, cell_value(random_));
      cells_.emplace(name, std::move(data));
    }
    return tensor(name, full(rows, cols), type, source);
  }
  uint32_t weight(const std::string& name, uint32_t rows, uint32_t cols, int64_t limit) {
    return given(name, rows, cols, limit, Source::kWeight);
  }
  uint32_t wire(uint32_t rows, uint32_t cols, std::vector<std::pair<int64_t, uint32_t>> terms,
                int64_t constant = 0) {
    circuit.wires.push_back({rows, cols, constant, std::move(terms)});
    return static_cast<uint32_t>(circuit.wires.size() - 1);
  }
  uint32_t wire_of(uint32_t t) {
    const Domain shape = circuit.tensors[t].shape;
    return wire(shape.rows, shape.cols, {{1, t}});
  }
  // A witness copy of a wire on part of its cells; no relation ties it to the wire.
  uint32_t copy(const std::string& name, Domain shape, uint32_t of) {
    const uint32_t t = tensor(name, shape, CellType::kInt32);
    step(StepKind::kAssign, shape, {{1, {cell(of)}}}, {t});
    return t;
  }
  uint32_t range(const std::string& name, int64_t start, uint32_t rows) {
    circuit.tables.push_back({name, true, start, rows, {}});
    return static_cast<uint32_t>(circuit.tables.size() - 1);
  }
  uint32_t function(const std::string& name, int64_t start, std::vector<std::vector<int64_t>> images) {
    const auto rows = static_cast<uint32_t>(images[0].size());
    circuit.tables.push_back({name, false, start, rows, std::move(images)});
    return static_cast<uint32_t>(circuit.tables.size() - 1);
  }
  uint32_t public_values(const std::string& name, uint32_t rows, uint32_t cols, int64_t limit) {
    Public p{name, rows, cols, std::vector<int64_t>(size_t{rows} * cols)};
    std::uniform_int_distribution<int64_t> value(-limit, limit);
    for (int64_t& v : p.values) v = value(random_);
    circuit.publics.push_back(std::move(p));
    return static_cast<uint32_t>(circuit.publics.size() - 1);
  }
  uint32_t index_list(const std::string& name, uint32_t rows, uint32_t cols, std::vector<int64_t> values) {
    circuit.publics.push_back({name, rows, cols, std::move(values)});
    return static_cast<uint32_t>(circuit.publics.size() - 1);
  }
  Step& step(StepKind kind, Domain domain, Poly poly, std::vector<uint32_t> tensors) {
    Step s;
    s.kind = kind;
    s.domain = domain;
    s.poly = std::move(poly);
    s.tensors = std::move(tensors);
    circuit.program.push_back(std::move(s));
    return circuit.program.back();
  }
  // tensor = poly, as a step and as one polynomial of a zero-check or a linear relation: poly - tensor.
  Poly assign(Domain domain, Poly poly, uint32_t t) {
    step(StepKind::kAssign, domain, poly, {t});
    poly.push_back({-1, {cell(wire_of(t))}});
    return poly;
  }
  void lookup(const std::string& name, uint32_t table, Domain domain, std::vector<Poly> columns) {
    circuit.lookups.push_back({name, table, domain, std::move(columns)});
  }
  // A lookup in a range for each existing cell of a tensor.
  void in_range(const std::string& name, uint32_t table, uint32_t t) {
    lookup(name, table, circuit.tensors[t].shape, {{{1, {cell(wire_of(t))}}}});
  }
  uint32_t einsum(const std::string& name, EinsumKind kind, uint32_t groups, uint32_t members, uint32_t out,
                  uint32_t x, uint32_t y) {
    circuit.einsums.push_back({name, kind, groups, members, out, x, y});
    return static_cast<uint32_t>(circuit.einsums.size() - 1);
  }
  // Limbs of an einsum's value + constant.
  void fill_from_einsum(uint32_t einsum_index, int64_t constant, std::vector<uint32_t> tensors,
                        std::vector<uint8_t> bits) {
    const Wire& out = circuit.wires[circuit.einsums[einsum_index].out];
    Step& s = step(StepKind::kDecompose, full(out.rows, out.cols), {}, std::move(tensors));
    s.from_einsum = true;
    s.index = einsum_index;
    s.constant = constant;
    s.bits = std::move(bits);
  }

 private:
  CellMap& cells_;
  Random random_{7};
};

inline CodeParams tiny_code(uint32_t log_columns = 7, uint32_t queries = 24) {
  return {log_columns, 1U << (log_columns - 1), log_columns + 1, 3, queries};
}

// Prover's commitment to the cells of one source, one part, and what a verifier knows of it.
struct Committed {
  LongLived shape;
  std::unique_ptr<ProverCommitment> prover;
};

inline Committed commit_cells(const std::string& name, const CodeParams& code, Source source,
                              const std::vector<std::shared_ptr<const Circuit>>& circuits,
                              const CellMap& cells, uint8_t key_byte) {
  Committed out{{name, {}, {}, {}}, nullptr};
  PartCells part{};
  size_t at = 0;
  for (const auto& c : circuits)
    for (const Tensor& t : c->tensors) {
      const auto known = [&](const Slot& s) { return s.name == t.name; };
      if (t.source != source || std::any_of(out.shape.slots.begin(), out.shape.slots.end(), known)) continue;
      out.shape.slots.push_back({t.name, 0, at, t.shape.rows, t.shape.cols, t.type});
      part.slots.push_back({at, t.shape.blocks(), t.type, cells.at(t.name).data()});
      at += t.shape.blocks();
    }
  part.rows = static_cast<uint32_t>(std::max<size_t>(1, ceil_div(at, code.row_blocks())));
  out.shape.part_rows = {part.rows};
  PrgKey key{};
  key[0] = key_byte;
  out.prover = std::make_unique<ProverCommitment>(name, code, std::vector<PartCells>{std::move(part)}, key);
  out.prover->commit(ReedSolomon(code.message(), code.log_coset, code.cosets));
  out.shape.root = out.prover->root();
  return out;
}

// A statement with the cells and commitments to prove it.
struct Setup {
  CellMap cells;
  std::vector<std::shared_ptr<const Circuit>> circuits;
  Committed weights, boundaries;
  Statement statement;

  // `describe` gives the circuits, one a segment; boundaries that a program fills are computed in order.
  // `mutate` may change their bytes before they are read.
  using Describe = std::function<std::vector<Sketch>(CellMap&)>;
  using Mutate = std::function<void(std::vector<uint8_t>&)>;
  Setup(int degree, const Describe& describe, const CodeParams& code = tiny_code(),
        const Mutate& mutate = {}) {
    for (Sketch& s : describe(cells)) {
      auto bytes = CircuitWriter::write(s.circuit);
      if (mutate) mutate(bytes);
      circuits.push_back(std::make_shared<Circuit>(Circuit::decode(bytes)));
    }
    for (const auto& c : circuits) fill_boundaries(*c);
    weights = commit_cells("weights", code, Source::kWeight, circuits, cells, 1);
    boundaries = commit_cells("boundaries", code, Source::kBoundary, circuits, cells, 2);
    statement.degree = degree;
    statement.hiding = false;  // so that the verifier names what fails
    statement.code = code;
    statement.required_bits = 1;
    statement.instance = {1, 2, 3, 4};
    statement.weights = weights.shape;
    statement.members = {{boundaries.shape}};
    for (size_t k = 0; k < circuits.size(); ++k)
      statement.segments.push_back({"segment " + std::to_string(k), circuits[k]});
  }

  std::vector<uint8_t> prove(const ProveOptions& options = {}) const { return prove(statement, options); }
  // The same statement, proven in zero knowledge.
  Statement hidden() const {
    Statement s = statement;
    s.hiding = true;
    return s;
  }
  // A prover with a statement of its own, which may lie.
  std::vector<uint8_t> prove(const Statement& told, const ProveOptions& options) const {
    PrgKey seed{};
    seed[0] = 99;
    const Plan plan(told);
    const ProverCommitment* const recorded[] = {boundaries.prover.get()};
    return prove_body(plan, *weights.prover, recorded, seed, options).body;
  }

 private:
  void fill_boundaries(const Circuit& c) {
    Witness w = evaluate(c, [&](const Tensor& t) {
      const TensorData& d = cells.at(t.name);
      return Cells{d.type(), d.data(), d.shape()};
    });
    for (size_t t = 0; t < c.tensors.size(); ++t)
      if (c.tensors[t].source == Source::kBoundary && !cells.contains(c.tensors[t].name))
        cells.emplace(c.tensors[t].name, std::move(w.tensors[t]));
  }
};

// What the verifier says: all empty where it accepts.
struct Verdict {
  std::string code, segment, relation;
  int round = -1;
};

inline Verdict verdict(const Statement& statement, std::span<const uint8_t> body) {
  try {
    const Plan plan(statement);
    (void)verify_body(plan, body);
    return {};
  } catch (const Rejected& e) {
    return {e.code, e.segment, e.relation, e.round};
  } catch (const Malformed& e) {
    return {"malformed", "", e.message};
  }
}

inline void expect(const std::string& what, const Verdict& got, const std::string& code,
                   const std::string& relation) {
  if (got.code == code && got.relation == relation) return;
  fail(
      what.c_str(), 0,
      ("got '" + got.code + "' of '" + got.relation + "', not '" + code + "' of '" + relation + "'").c_str());
}
inline void expect_accepted(const std::string& what, const Verdict& got) { expect(what, got, "", ""); }

// Adds `delta` to one cell of a named tensor.
struct Change {
  std::string tensor;
  size_t row = 0, col = 0;
  int64_t delta = 1;
};

inline void apply(const Circuit& c, Witness& w, const std::vector<Change>& changes) {
  for (const Change& x : changes)
    for (size_t t = 0; t < c.tensors.size(); ++t)
      if (c.tensors[t].name == x.tensor)
        w.tensors[t].set(x.row, x.col, w.tensors[t].at(x.row, x.col) + x.delta);
}

// A prover that changes cells of segment `segment` after it computed them.
inline ProveOptions cheating(const Setup& setup, std::vector<Change> changes, size_t segment = 0) {
  ProveOptions o;
  o.self_check = false;
  o.corrupt = [&setup, segment, changes = std::move(changes)](size_t s, Witness& w) {
    if (s == segment) apply(*setup.circuits[s], w, changes);
  };
  return o;
}

}  // namespace assay::test
