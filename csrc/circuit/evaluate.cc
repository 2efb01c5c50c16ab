#include "circuit/evaluate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <type_traits>

#include "backend/cpu/integer_matmul.h"
#include "base/result.h"
#include "circuit/evaluate_cells.h"
#include "circuit/evaluate_rows.h"

namespace assay {
namespace {

using namespace evaluation;  // NOLINT(google-build-using-namespace)

using Wide = __int128;

// ---- Integer functions -----------------------------------------------------------------------------------

int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
}

// floor(sqrt(v)), v >= 0: the rounded root is off by one at most.
int64_t integer_root(int64_t v) {
  int64_t root = static_cast<int64_t>(std::sqrt(static_cast<double>(v)));
  while (Wide{root} * root > v) --root;
  while (Wide{root + 1} * (root + 1) <= v) ++root;
  return root;
}

constexpr int64_t kLimit = int64_t{1} << 62;

// ---- The program -----------------------------------------------------------------------------------------

class Evaluator {
 public:
  Evaluator(const Circuit& circuit, const std::function<Cells(const Tensor&)>& external,
            const Choices& choices)
      : c_(circuit), choices_(choices) {
    for (const auto& [name, columns] : choices) require(is_marked(name), name, "no step marks it");
    std::vector<uint8_t> computed(c_.tensors.size());
    for (const Step& s : c_.program)
      for (uint32_t t : s.tensors) computed[t] = 1;
    tensors_.resize(c_.tensors.size());
    for (size_t t = 0; t < tensors_.size(); ++t)
      if (computed[t] == 0) tensors_[t] = view(c_.tensors[t], external);
  }

  Witness run() {
    for (const Step& s : c_.program) step(s);
    return {std::move(tensors_)};
  }

 private:
  static TensorData view(const Tensor& tensor, const std::function<Cells(const Tensor&)>& external) {
    require(tensor.source != Source::kWitness, tensor.name, "no step fills this witness tensor");
    const Cells cells = external(tensor);
    require(cells.data != nullptr && cells.type == tensor.type && cells.shape.rows == tensor.shape.rows &&
                cells.shape.cols == tensor.shape.cols && cells.shape.ragged == tensor.shape.ragged,
            tensor.name, "the cells given for it have another type or shape");
    return TensorData(cells);
  }

  void step(const Step& s) {
    switch (s.kind) {
      case StepKind::kDecompose:
        if (s.from_einsum) return decompose_einsum(s);
        [[fallthrough]];
      case StepKind::kAssign: return decompose_poly(s);
      case StepKind::kTableMap: return map_table(s);
      case StepKind::kRowMax: return row_maximum(s);
      case StepKind::kRowSum: return row_sum(s);
      case StepKind::kNormalise: return normalise(s);
      case StepKind::kInvSqrt:
        return map_wire(s, [&](int64_t v) { return integer_root(floor_divide(s.constant, v)); });
      case StepKind::kQuotient: return map_wire(s, [&](int64_t v) { return floor_divide(s.constant, v); });
      case StepKind::kRatio: return divide_rows(s);
      case StepKind::kTopK:
        return top_k(s);
    }
  }

  // Whether values on `seen_as` are all the existing cells of a tensor.
  static bool covers(const Domain& seen_as, const Domain& tensor) {
    return same_size(seen_as, tensor) ? seen_as.ragged == tensor.ragged : !seen_as.ragged.causal;
  }
  std::vector<Target> targets(const Step& s, const Domain& seen_as) {
    bool all_written = true;
    for (uint32_t id : s.tensors) all_written = all_written && covers(seen_as, c_.tensors[id].shape);
    std::vector<Target> list;
    for (uint32_t id : s.tensors) {
      const Tensor& t = c_.tensors[id];
      if (tensors_[id].empty())
        tensors_[id] = all_written ? TensorData::for_filling(t.type, t.shape) : TensorData(t.type, t.shape);
      list.emplace_back(t, tensors_[id], seen_as);
    }
    return list;
  }
  Target target(const Step& s, const Domain& seen_as) {
    check(s.tensors.size() == 1, "a step fills more than the one tensor it may");
    return targets(s, seen_as)[0];
  }
  LimbWriter limbs(const Step& s, const Domain& seen_as) {
    return LimbWriter(targets(s, seen_as), s.bits, s.kind == StepKind::kDecompose ? s.constant : 0);
  }
  WireReader wire(uint32_t id) const { return WireReader(c_.wires[id], c_, tensors_); }

  // Operands are always resolved before targets, so that no step reads what it is about to fill.
  PolyReader poly(const Step& s) const { return PolyReader(s.poly, c_, tensors_); }

  // One loop for the steps that take a polynomial cell by cell: use(run, values).
  template <class Use>
  static void for_each_value(const Domain& domain, const PolyReader& poly, const Use& use) {
    for_each_run(domain, [&] {
      return [&, scratch = PolyReader::Scratch(poly)](const Run& run) mutable {
        std::array<int64_t, kRun> values;
        poly.read(run, scratch, values.data());
        use(run, values.data());
      };
    });
  }

  void decompose_poly(const Step& s) {
    const PolyReader values_of = poly(s);
    const LimbWriter writer = limbs(s, s.domain);
    for_each_value(s.domain, values_of, [&](const Run& run, int64_t* values) { writer.write(run, values); });
  }

  void map_table(const Step& s) {
    const Table& table = c_.tables[s.table];
    const PolyReader keys_of = poly(s);
    const std::vector<Target> images = targets(s, s.domain);
    for_each_value(s.domain, keys_of, [&](const Run& run, int64_t* keys) {
      for (size_t j = 0; j < run.size(); ++j) {
        const uint64_t row = static_cast<uint64_t>(keys[j]) - static_cast<uint64_t>(table.start);
        if (row >= table.rows) fail_key(table, images, run, j, keys[j]);
        keys[j] = static_cast<int64_t>(row);
      }
      for (size_t k = 0; k < images.size(); ++k) store_images(images[k], table.images[k], run, keys);
    });
  }
  static void store_images(const Target& to, const std::vector<int64_t>& image, const Run& all,
                           const int64_t* rows) {
    const Run run = to.existing(all);
    rows += run.begin - all.begin;
    std::array<int64_t, kRun> values;
    for (size_t j = 0; j < run.size(); ++j) values[j] = image[static_cast<size_t>(rows[j])];
    to.store(run, values.data());
  }
  [[noreturn]] static void fail_key(const Table& table, const std::vector<Target>& images, const Run& run,
                                    size_t j, int64_t key) {
    fail(images.empty() ? table.name : images[0].name(),
         cell_name(run, j) + ": " + std::to_string(key) + " is not a key of table " + table.name);
  }

  void row_maximum(const Step& s) {
    const PolyReader values_of = poly(s);
    const Target to = target(s, {1, s.domain.rows, {}});
    for_each_row(s.domain, [&](size_t row) {
      PolyReader::Scratch scratch(values_of);
      std::array<int64_t, kRun> values;
      int64_t maximum = INT64_MIN;
      for_each_part(s.domain, row, [&](const Run& run) {
        values_of.read(run, scratch, values.data());
        run_loop<Maximum>(static_cast<const int64_t*>(values.data()), run.size(), &maximum);
      });
      require(maximum != INT64_MIN, to.name(), "the maximum of a row without cells");
      to.store({0, row, row + 1}, &maximum);
    });
  }

  void row_sum(const Step& s) {
    const RowSum& relation = c_.row_sums[s.index];
    const WireReader x = wire(relation.x);
    const Target to = target(s, {1, x.domain().rows, {}});
    for_each_row(x.domain(), [&](size_t row) {
      std::array<int64_t, kRun> values;
      int64_t sum = 0;
      for_each_part(x.domain(), row, [&](const Run& run) {
        x.read(values.data(), run);
        for (size_t j = 0; j < run.size(); ++j) sum = wrap_add(sum, values[j]);
      });
      to.store({0, row, row + 1}, &sum);
    });
  }

  // The existing cells of one row, a run at a time.
  template <class Body>
  static void for_each_part(const Domain& d, size_t row, Body body) {
    for (size_t first = 0; first < d.cols; first += kRun) {
      const Run run = clip(d, {row, first, std::min<size_t>(first + kRun, d.cols)});
      if (run.size() != 0) body(run);
    }
  }

  // tensors[0] = function of the wire, which has to be positive.
  template <class F>
  void map_wire(const Step& s, const F& function) {
    const WireReader in = wire(s.index);
    const Target to = target(s, in.domain());
    require(s.constant >= 0, to.name(), "a step's constant is negative");
    for_each_run(in.domain(), [&] {
      return [&](const Run& run) {
        std::array<int64_t, kRun> values;
        in.read(values.data(), run);
        for (size_t j = 0; j < run.size(); ++j) {
          if (values[j] < 1) fail(to.name(), "a divisor of " + std::to_string(values[j]));
          values[j] = function(values[j]);
        }
        const Run existing = to.existing(run);
        to.store(existing, values.data() + (existing.begin - run.begin));
      };
    });
  }

  // tensors[0] = the polynomial over the wire's entry for the row, which has to be positive.
  void divide_rows(const Step& s) {
    const PolyReader values_of = poly(s);
    const WireReader divisors = wire(s.index);
    const Target to = target(s, s.domain);
    for_each_value(s.domain, values_of, [&](const Run& run, int64_t* values) {
      const int64_t divisor = divisors.at(0, run.row);
      if (divisor < 1) fail(to.name(), "a divisor of " + std::to_string(divisor));
      for (size_t j = 0; j < run.size(); ++j) values[j] = floor_divide(values[j], divisor);
      const Run existing = to.existing(run);
      to.store(existing, values + (existing.begin - run.begin));
    });
  }

  bool is_marked(const std::string& name) const {
    return std::any_of(c_.program.begin(), c_.program.end(), [&](const Step& s) {
      return s.kind == StepKind::kTopK && s.tensors.size() == 2 && c_.tensors[s.tensors[1]].name == name;
    });
  }

  // Of equal values the first is the larger.
  void top_k(const Step& s) {
    const PolyReader values_of = poly(s);
    const size_t rows = s.domain.rows, k = static_cast<size_t>(s.constant);
    const bool marked = s.tensors.size() == 2;
    Step part = s;
    part.tensors = {s.tensors[0]};
    const Target least = target(part, {1, s.domain.rows, {}});
    std::vector<uint32_t> columns(rows * k);
    for_each_row(s.domain, [&](size_t row) {
      PolyReader::Scratch scratch(values_of);
      std::vector<int64_t> values(s.domain.cols);
      for_each_part(s.domain, row, [&](const Run& run) { values_of.read(run, scratch, &values[run.begin]); });
      std::vector<uint32_t> order(values.size());
      std::iota(order.begin(), order.end(), 0u);
      std::partial_sort(order.begin(), order.begin() + s.constant, order.end(), [&](uint32_t a, uint32_t b) {
        return values[a] > values[b] || (values[a] == values[b] && a < b);
      });
      least.store({0, row, row + 1}, &values[order[k - 1]]);
      for (size_t m = 0; m < k; ++m) columns[m * rows + row] = order[m];
    });
    if (!marked) return;
    const std::string& name = c_.tensors[s.tensors[1]].name;
    if (const auto chosen = choices_.find(name); chosen != choices_.end())
      columns = columns_of(chosen->second, name, columns.size(), s.domain.cols);
    part.tensors = {s.tensors[1]};
    const Domain marks{static_cast<uint32_t>(rows * k), s.domain.cols, {}};
    const Target to = target(part, marks);
    for_each_row(marks, [&](size_t row) {
      for_each_part(marks, row, [&](const Run& run) {
        std::array<int64_t, kRun> cells{};
        if (columns[row] >= run.begin && columns[row] < run.end) cells[columns[row] - run.begin] = 1;
        to.store(run, cells.data());
      });
    });
  }

  static const std::vector<uint32_t>& columns_of(const std::vector<uint32_t>& choice, const std::string& name,
                                                 size_t count, uint32_t cols) {
    require(choice.size() == count, name, "a choice of another size");
    for (const uint32_t column : choice) require(column < cols, name, "a choice outside the row");
    return choice;
  }

  void normalise(const Step& s) {
    const Table& table = c_.tables[s.table];
    const WireReader in = wire(s.index);
    const std::vector<Target> images = targets(s, in.domain());
    require(table.images.size() >= 2, table.name, "a normalisation table needs two images");
    for (size_t i = 0; i < in.domain().rows; ++i)
      for_each_part(in.domain(), i, [&](const Run& run) {
        for (size_t j = run.begin; j < run.end; ++j) {
          const size_t row = normalising_row(table, in.at(i, j), images[0].name());
          for (size_t k = 0; k < images.size(); ++k) {
            const int64_t value = table.value(k, row);
            images[k].store({i, j, j + 1}, &value);
          }
        }
      });
  }

  // The row (up, down, ...) whose factors bring v into [2^28, 2^30): 2^28 <= floor(v up / down) < 2^30.
  static size_t normalising_row(const Table& table, int64_t v, const std::string& relation) {
    if (v < 1 || v >= kLimit) fail(relation, std::to_string(v) + " is outside [1, 2^62)");
    for (size_t row = 0; row < table.rows; ++row) {
      if (table.images[0][row] < 1 || table.images[1][row] < 1) continue;
      const Wide scaled = Wide{v} * table.images[0][row] / table.images[1][row];
      if (scaled >> 28 >= 1 && scaled >> 30 == 0) return row;
    }
    fail(relation, "table " + table.name + " has no row for " + std::to_string(v));
  }

  // ---- Einsums ----

  void decompose_einsum(const Step& s) {
    const Einsum& e = c_.einsums[s.index];
    const Domain out = out_domain(s, c_.wires[e.out]);
    const WireReader x = wire(e.x);
    const WireReader y = wire(e.y);
    const LimbWriter writer = limbs(s, out);
    if (e.kind == EinsumKind::kRowDot) return dot_rows(e, x, y, writer);
    try {
      if (e.kind == EinsumKind::kSelectNT) return multiply_selected(e, wire(e.selection), x, y, writer);
      multiply(e, x, y, out, writer);
    } catch (const std::overflow_error& error) {
      fail(e.name, error.what());
    }
  }

  // The cells of an einsum's result that are wanted.
  Domain out_domain(const Step& s, const Wire& out) const {
    const Domain& shape = c_.tensors[s.tensors[0]].shape;
    const Domain seen{out.rows, out.cols, {}};
    return same_size(shape, seen) ? shape : seen;
  }

  static IntegerProduct::Range range_of(const Domain& d) {
    if (!d.ragged.causal) return {};
    return [d](size_t row) -> std::pair<size_t, size_t> { return d.range(static_cast<uint32_t>(row)); };
  }

  // A wire as the right side of a product: the tensor's own cells where it is nothing but one.
  class MatrixCells {
   public:
    explicit MatrixCells(const WireReader& from) {
      all_.stride = row_stride(from.domain().cols);
      if (const TensorData* plain = from.plain()) {
        all_.cells = plain->data();
        all_.cell_bytes = static_cast<unsigned>(cell_size(plain->type()));
        return;
      }
      laid_out_ = lay_out(from, all_.stride);
      all_.cells = laid_out_.get();
      all_.cell_bytes = 8;
    }
    IntegerMatrix from_row(size_t row) const {
      IntegerMatrix m = all_;
      m.cells = static_cast<const char*>(all_.cells) + row * all_.stride * all_.cell_bytes;
      return m;
    }

   private:
    IntegerMatrix all_;
    std::unique_ptr<int64_t[]> laid_out_;
  };

  static void multiply(const Einsum& e, const WireReader& x, const WireReader& y, const Domain& out,
                       const LimbWriter& writer) {
    const auto x_cells = lay_out(x, x.domain().cols);
    const MatrixCells y_cells(y);
    IntegerProduct p;
    p.transposed = e.kind == EinsumKind::kNT;
    p.groups = e.groups;
    p.members = e.members;
    p.rows = x.domain().rows;
    p.depth = x.domain().cols;
    p.cols = out.cols;
    p.x = x_cells.get();
    p.y = y_cells.from_row(0);
    p.x_range = range_of(x.domain());
    p.out_range = range_of(out);
    multiply_integers(p, [&](size_t row, size_t col, int64_t* values, size_t n) {
      writer.write({row, col, col + n}, values);
    });
  }

  // Group by group, with the rows that select it; their shares are added up.
  static void multiply_selected(const Einsum& e, const WireReader& selection, const WireReader& x,
                                const WireReader& y, const LimbWriter& writer) {
    const size_t count = selection.domain().rows, inner = y.domain().rows / e.groups;
    const size_t depth = x.domain().cols;
    const auto chosen = lay_out(selection, e.groups);
    const auto x_cells = lay_out(x, depth);
    const MatrixCells y_cells(y);
    std::vector<int64_t> out(count * inner);
    for (size_t g = 0; g < e.groups; ++g) {
      std::vector<size_t> rows;
      for (size_t i = 0; i < count; ++i)
        if (chosen[i * e.groups + g] != 0) rows.push_back(i);
      if (rows.empty()) continue;
      std::vector<int64_t> taken;
      for (const size_t i : rows) {
        const int64_t* from = x_cells.get() + i % x.domain().rows * depth;
        taken.insert(taken.end(), from, from + depth);
      }
      IntegerProduct p;
      p.rows = rows.size();
      p.depth = depth;
      p.cols = inner;
      p.x = taken.data();
      p.y = y_cells.from_row(g * inner);
      multiply_integers(p, [&](size_t row, size_t col, int64_t* values, size_t n) {
        add_scaled(&out[rows[row] * inner + col], chosen[rows[row] * e.groups + g], values, n);
      });
    }
    for_each_row({static_cast<uint32_t>(count), static_cast<uint32_t>(inner), {}},
                 [&](size_t row) { writer.write({row, 0, inner}, &out[row * inner]); });
  }

  // A wire's values, absent cells zero.
  static std::unique_ptr<int64_t[]> lay_out(const WireReader& from, size_t stride) {
    const Domain& d = from.domain();
    auto cells = std::make_unique_for_overwrite<int64_t[]>(d.rows * stride);
    for_each_row(d, [&](size_t row) {
      int64_t* to = cells.get() + row * stride;
      std::fill(to, to + stride, 0);
      for_each_part(d, row, [&](const Run& run) { from.add_to(to + run.begin, 1, run); });
    });
    return cells;
  }

  static void dot_rows(const Einsum& e, const WireReader& x, const WireReader& y, const LimbWriter& writer) {
    for_each_row(x.domain(), [&](size_t row) {
      std::array<int64_t, kRun> a;
      std::array<int64_t, kRun> b;
      Wide sum = 0;
      for_each_part(x.domain(), row, [&](const Run& part) {
        const Run run = clip(y.domain(), part);
        x.read(a.data(), run);
        y.read(b.data(), run);
        for (size_t j = 0; j < run.size(); ++j) sum += Wide{a[j]} * b[j];
      });
      if (sum != static_cast<int64_t>(sum))
        fail(e.name, "row " + std::to_string(row) + " does not fit 64 bits");
      int64_t value = static_cast<int64_t>(sum);
      writer.write({0, row, row + 1}, &value);
    });
  }

  const Circuit& c_;
  const Choices& choices_;
  std::vector<TensorData> tensors_;
};

}  // namespace

// ---- TensorData ------------------------------------------------------------------------------------------

void TensorData::allocate() {
  constexpr size_t kLine = 64;
  owned_.reset(std::malloc(cells() * cell_size(type_) + kLine));
  if (owned_ == nullptr) throw std::bad_alloc();
  const uintptr_t address = reinterpret_cast<uintptr_t>(owned_.get());
  data_ = static_cast<char*>(owned_.get()) + (kLine - address % kLine);
}

void TensorData::zero_absent_cells() {
  const size_t size = cell_size(type_);
  for (uint32_t row = 0; row < shape_.rows; ++row) {
    const auto [lo, hi] = shape_.range(row);
    const size_t end = std::max(lo, hi);
    char* cells_of_row = static_cast<char*>(mutable_data()) + row * stride() * size;
    std::memset(cells_of_row, 0, lo * size);
    std::memset(cells_of_row + end * size, 0, (stride() - end) * size);
  }
}

TensorData::TensorData(CellType type, Domain shape) : type_(type), shape_(shape) {
  allocate();
  std::memset(mutable_data(), 0, cells() * cell_size(type));
}

TensorData TensorData::for_filling(CellType type, Domain shape) {
  TensorData data;
  data.type_ = type;
  data.shape_ = shape;
  data.allocate();
  data.zero_absent_cells();
  return data;
}

TensorData::TensorData(const Cells& external)
    : type_(external.type), shape_(external.shape), data_(external.data) {}

void TensorData::Free::operator()(void* memory) const { std::free(memory); }

void* TensorData::mutable_data() {
  check(owned_ != nullptr, "TensorData: a view cannot be written to");
  return const_cast<void*>(data_);
}

void TensorData::check_cell(size_t row, size_t col) const {
  check(row < shape_.rows && col < stride(), "TensorData: no such cell");
}

int64_t TensorData::at(size_t row, size_t col) const {
  check_cell(row, col);
  return with_cells(type_, data_, [&](const auto* cells) -> int64_t { return cells[row * stride() + col]; });
}

void TensorData::set(size_t row, size_t col, int64_t value) {
  check_cell(row, col);
  with_cells(type_, mutable_data(), [&](auto* cells) {
    using T = std::remove_pointer_t<decltype(cells)>;
    check(value == static_cast<T>(value), "TensorData: the value does not fit the cell");
    cells[row * stride() + col] = static_cast<T>(value);
  });
}

Witness evaluate(const Circuit& circuit, const std::function<Cells(const Tensor&)>& external,
                 const Choices& choices) {
  return Evaluator(circuit, external, choices).run();
}

}  // namespace assay
