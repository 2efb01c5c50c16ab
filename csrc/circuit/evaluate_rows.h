// Internal to the evaluator: wires and polynomials read by runs of cells, and the tensors that steps fill.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "circuit/evaluate.h"
#include "circuit/evaluate_cells.h"

namespace assay::evaluation {

[[noreturn]] inline void fail(const std::string& relation, const std::string& message) {
  throw EvaluationError{relation, message};
}
inline void require(bool ok, const std::string& relation, const char* message) {
  if (!ok) fail(relation, message);
}

// ---- Reading wires and polynomials -----------------------------------------------------------------------

// A wire over tensors that have been filled.
class WireReader {
 public:
  WireReader() = default;
  WireReader(const Wire& wire, const Circuit& circuit, const std::vector<TensorData>& tensors)
      : constant_(wire.constant), domain_{wire.rows, wire.cols, {}} {
    for (const auto& [coefficient, id] : wire.terms) {
      const std::string& name = circuit.tensors[id].name;
      require(!tensors[id].empty(), name, "read before any step fills it");
      const Domain& shape = tensors[id].shape();
      require(shape.fits(wire.rows, wire.cols), name, "seen through a wire of another size");
      terms_.push_back({coefficient, &tensors[id], RowLayout(shape, wire.cols)});
      if (!shape.ragged.causal) continue;
      require(!domain_.ragged.causal || domain_.ragged == shape.ragged, name,
              "added to a tensor with other missing cells");
      domain_.ragged = shape.ragged;
    }
  }

  const Domain& domain() const { return domain_; }

  // to[j] += scale * wire[run.row, run.begin + j].
  void add_to(int64_t* to, int64_t scale, const Run& run) const {
    add_constant(to, wrap_multiply(scale, constant_), run.size());
    for (const Term& term : terms_)
      with_cells(term.tensor->type(), term.tensor->data(), [&](const auto* cells) {
        const auto* from = cells + term.layout.start(run.row) + run.begin;
        add_scaled(to, wrap_multiply(scale, term.coefficient), from, run.size());
      });
  }
  void read(int64_t* to, const Run& run) const {
    std::fill(to, to + run.size(), 0);
    add_to(to, 1, run);
  }
  int64_t at(size_t row, size_t col) const {
    int64_t v = 0;
    read(&v, {row, col, col + 1});
    return v;
  }

  // The tensor's own cells, if the wire is nothing but a view of one; not of a split one.
  const TensorData* plain() const {
    const bool is_plain =
        constant_ == 0 && terms_.size() == 1 && terms_[0].coefficient == 1 && terms_[0].layout.parts == 1;
    return is_plain ? terms_[0].tensor : nullptr;
  }
  const int64_t* plain_row(const Run& run) const {
    const TensorData* tensor = plain();
    if (tensor == nullptr || tensor->type() != CellType::kInt64) return nullptr;
    return tensor->as<int64_t>() + terms_[0].layout.start(run.row) + run.begin;
  }

 private:
  struct Term {
    int64_t coefficient;
    const TensorData* tensor;
    RowLayout layout;
  };
  int64_t constant_ = 0;
  Domain domain_;
  std::vector<Term> terms_;
};

// An operand as a row of values over the columns of a domain.
class OperandReader {
 public:
  OperandReader(const Operand& operand, const Circuit& circuit, const std::vector<TensorData>& tensors)
      : operand_(operand) {
    if (operand.map == Map::kPublic) values_ = &circuit.publics[operand.id];
    else wire_ = WireReader(circuit.wires[operand.id], circuit, tensors);
    if (is_indexed(operand.map)) values_ = &circuit.publics[operand.argument];
  }

  bool is(const Operand& o) const {
    return o.map == operand_.map && o.argument == operand_.argument && o.id == operand_.id;
  }
  bool adds_directly() const { return operand_.map == Map::kCell || operand_.map == Map::kCol; }

  // The same for a whole row.
  int64_t row_value(size_t row) const { return wire_.at(0, row); }

  void add_to(int64_t* to, int64_t scale, const Run& run) const { wire_.add_to(to, scale, source(run)); }

  // The values on a run; written to `buffer` unless they lie in memory as they are.
  const int64_t* row(const Run& run, int64_t* buffer) const {
    if (operand_.map == Map::kPublic)
      return values_->values.data() + run.row / operand_.argument * values_->cols + run.begin;
    if (operand_.map == Map::kColXor) {
      read_exchanged(run, buffer);
      return buffer;
    }
    if (is_indexed(operand_.map)) {
      read_indexed(run, buffer);
      return buffer;
    }
    if (const int64_t* cells = wire_.plain_row(source(run))) return cells;
    wire_.read(buffer, source(run));
    return buffer;
  }

 private:
  Run source(const Run& run) const {
    return operand_.map == Map::kCol ? Run{0, run.begin, run.end} : run;
  }

  // The domain is full and a power of two wide: a run holds both halves of each exchange, or is moved whole.
  void read_exchanged(const Run& run, int64_t* buffer) const {
    const size_t bit = operand_.argument;
    if (bit >= kRun) return wire_.read(buffer, {run.row, run.begin ^ bit, (run.begin ^ bit) + run.size()});
    std::array<int64_t, kRun> cells;
    wire_.read(cells.data(), run);
    for (size_t j = 0; j < run.size(); ++j) buffer[j] = cells[j ^ bit];
  }

  void read_indexed(const Run& run, int64_t* buffer) const {
    std::fill(buffer, buffer + run.size(), 0);
    if (operand_.map == Map::kGather) {
      const int64_t row = values_->values[run.row];
      if (row >= 0) wire_.add_to(buffer, 1, {static_cast<size_t>(row), run.begin, run.end});
      return;
    }
    const int64_t* columns = values_->values.data() + run.row * values_->cols;
    for (size_t j = run.begin; j < run.end; ++j)
      if (columns[j] >= 0) buffer[j - run.begin] = wire_.at(run.row, static_cast<size_t>(columns[j]));
  }

  Operand operand_;
  WireReader wire_;
  const Public* values_ = nullptr;  // of public operands; the indices of indexed ones
};

// A polynomial prepared for reading by rows: operands that depend on the row alone become part of the
// coefficient, sums are added straight from their tensors, and only factors of products are laid out first.
class PolyReader {
 public:
  PolyReader(const Poly& poly, const Circuit& circuit, const std::vector<TensorData>& tensors) {
    for (const Monomial& m : poly) {
      Term term{m.coefficient, {}, {}};
      for (const Operand& o : m.operands) {
        std::vector<size_t>& list = o.map == Map::kRow ? term.by_row : term.factors;
        list.push_back(reader_for(o, circuit, tensors));
      }
      terms_.push_back(std::move(term));
    }
    laid_out_.resize(readers_.size());
    for (const Term& t : terms_)
      for (size_t f : t.factors)
        if (t.factors.size() > 1 || !readers_[f].adds_directly()) laid_out_[f] = 1;
  }

  // One thread's buffers.
  struct Scratch {
    explicit Scratch(const PolyReader& poly)
        : cells(poly.readers_.size() * kRun), rows(poly.readers_.size()) {}
    std::vector<int64_t> cells;
    std::vector<const int64_t*> rows;
    std::array<int64_t, kRun> product;
  };

  // to[j] = the polynomial at (run.row, run.begin + j).
  void read(const Run& run, Scratch& scratch, int64_t* to) const {
    for (size_t r = 0; r < readers_.size(); ++r)
      if (laid_out_[r] != 0) scratch.rows[r] = readers_[r].row(run, scratch.cells.data() + r * kRun);
    std::fill(to, to + run.size(), 0);
    for (const Term& t : terms_) add_term(t, run, scratch, to);
  }

 private:
  struct Term {
    int64_t coefficient;
    std::vector<size_t> by_row;
    std::vector<size_t> factors;
  };

  size_t reader_for(const Operand& o, const Circuit& circuit, const std::vector<TensorData>& tensors) {
    for (size_t r = 0; r < readers_.size(); ++r)
      if (readers_[r].is(o)) return r;
    readers_.emplace_back(o, circuit, tensors);
    return readers_.size() - 1;
  }

  void add_term(const Term& t, const Run& run, Scratch& scratch, int64_t* to) const {
    int64_t c = t.coefficient;
    for (size_t r : t.by_row) c = wrap_multiply(c, readers_[r].row_value(run.row));
    const auto& rows = scratch.rows;
    const auto& f = t.factors;
    switch (f.size()) {
      case 0: return add_constant(to, c, run.size());
      case 1:
        if (laid_out_[f[0]] != 0) return add_scaled(to, c, rows[f[0]], run.size());
        return readers_[f[0]].add_to(to, c, run);
      case 2: return add_product(to, c, rows[f[0]], rows[f[1]], run.size());
      default:
        run_loop<Multiply>(scratch.product.data(), rows[f[0]], rows[f[1]], run.size());
        return add_product(to, c, scratch.product.data(), rows[f[2]], run.size());
    }
  }

  std::vector<OperandReader> readers_;
  std::vector<Term> terms_;
  std::vector<uint8_t> laid_out_;  // vector<bool> is slower to ask
};

// ---- Writing tensors -------------------------------------------------------------------------------------

inline const char* type_name(CellType type) {
  constexpr const char* kNames[] = {"int16", "int32", "int64"};
  return kNames[static_cast<size_t>(type)];
}

inline std::string cell_name(const Run& run, size_t j) {
  return "cell (" + std::to_string(run.row) + ", " + std::to_string(run.begin + j) + ")";
}

// A tensor that a step fills, seen with the shape of the step's values.
class Target {
 public:
  Target(const Tensor& tensor, TensorData& data, const Domain& seen_as)
      : name_(tensor.name),
        type_(data.type()),
        cells_(data.mutable_data()),
        layout_(tensor.shape, seen_as.cols) {
    require(tensor.shape.fits(seen_as.rows, seen_as.cols), name_, "a step's values do not have its size");
    if (same_size(tensor.shape, seen_as)) ragged_ = tensor.shape;
  }

  const std::string& name() const { return name_; }
  Run existing(const Run& run) const { return clip(ragged_, run); }

  void store(const Run& run, const int64_t* values) const {
    uint64_t misfit = 0;
    at(run, [&](auto* to) { run_loop<Store>(values, run.size(), to, &misfit); });
    if (misfit != 0) report(run, values);
  }
  // Stores the low bits of the values and shifts them out.
  void store_limb(const Run& run, unsigned bits, int64_t* values) const {
    uint64_t misfit = 0;
    at(run, [&](auto* to) { run_loop<StoreLimb>(values, run.size(), bits, to, &misfit); });
    if (misfit != 0)
      fail(name_, "row " + std::to_string(run.row) + ": a limb of " + std::to_string(bits) +
                      " bits does not fit " + type_name(type_));
  }

 private:
  template <class F>
  void at(const Run& run, F f) const {
    const size_t offset = layout_.start(run.row) + run.begin;
    with_cells(type_, cells_, [&](auto* cells) { f(cells + offset); });
  }

  [[noreturn]] void report(const Run& run, const int64_t* values) const {
    const int64_t limit = int64_t{1} << (8 * cell_size(type_) - 1);
    size_t j = 0;
    while (j + 1 < run.size() && values[j] >= -limit && values[j] < limit) ++j;
    fail(name_, cell_name(run, j) + ": " + std::to_string(values[j]) + " does not fit " + type_name(type_));
  }

  const std::string& name_;
  CellType type_;
  void* cells_;
  RowLayout layout_;
  Domain ragged_;
};

// The limbs of a value, low first; the last takes the signed rest. A single tensor takes the value itself.
class LimbWriter {
 public:
  LimbWriter(std::vector<Target> targets, std::vector<uint8_t> bits, int64_t constant)
      : targets_(std::move(targets)), bits_(std::move(bits)), constant_(constant) {}

  // Overwrites the values.
  void write(Run run, int64_t* values) const {
    const size_t first = run.begin;
    for (const Target& t : targets_) run = t.existing(run);
    if (run.size() == 0) return;
    values += run.begin - first;
    add_constant(values, constant_, run.size());
    for (size_t k = 0; k + 1 < targets_.size(); ++k) targets_[k].store_limb(run, bits_[k], values);
    targets_.back().store(run, values);
  }

 private:
  std::vector<Target> targets_;
  std::vector<uint8_t> bits_;
  int64_t constant_;
};

}  // namespace assay::evaluation
