// The witness evaluator against naive code: every step, wire views, ragged rows, paths and thread counts.
#include "circuit/evaluate.h"

#include <cmath>
#include <map>
#include <random>
#include <stdexcept>

#include "backend/cpu/integer_matmul.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "check.h"

using namespace assay;

namespace {

using Wide = __int128;
using Random = std::mt19937_64;

int64_t draw(Random& random, int64_t limit) {
  return std::uniform_int_distribution<int64_t>(-limit, limit)(random);
}

// Builds a circuit and the cells of its external tensors.
struct Builder {
  Circuit circuit;
  std::map<std::string, TensorData> externals;
  Random random{7};

  uint32_t tensor(const std::string& name, Domain shape, CellType type = CellType::kInt32,
                  Source source = Source::kWitness) {
    circuit.tensors.push_back({name, source, type, shape});
    return static_cast<uint32_t>(circuit.tensors.size() - 1);
  }
  // A boundary tensor with random cells in [-limit, limit], or [1, limit] if positive.
  uint32_t input(const std::string& name, Domain shape, CellType type, int64_t limit, bool positive = false) {
    TensorData data(type, shape);
    for (uint32_t i = 0; i < shape.rows; ++i) {
      const auto [lo, hi] = shape.range(i);
      for (uint32_t j = lo; j < hi; ++j) {
        const int64_t v = draw(random, limit);
        data.set(i, j, positive ? (v < 0 ? -v : v + (v == 0)) : v);
      }
    }
    externals.emplace(name, std::move(data));
    return tensor(name, shape, type, Source::kBoundary);
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
  Step& step(StepKind kind, Domain domain, Poly poly, std::vector<uint32_t> tensors) {
    Step s;
    s.kind = kind;
    s.domain = domain;
    s.poly = std::move(poly);
    s.tensors = std::move(tensors);
    circuit.program.push_back(std::move(s));
    return circuit.program.back();
  }
  Witness run(const Choices& choices = {}) const {
    const auto external = [&](const Tensor& t) {
      const auto it = externals.find(t.name);
      if (it == externals.end()) return Cells{};
      return Cells{it->second.type(), it->second.data(), it->second.shape()};
    };
    return evaluate(circuit, external, choices);
  }
};

Operand cell(uint32_t wire) { return {Map::kCell, 0, wire}; }
Domain full(uint32_t rows, uint32_t cols) { return {rows, cols, {}}; }
Domain causal(uint32_t rows, uint32_t cols, uint32_t divisor, uint32_t window) {
  return {rows, cols, {true, divisor, window}};
}

// ---- Naive reading ----

int64_t wire_at(const Circuit& c, const Witness& w, uint32_t id, size_t i, size_t j) {
  const Wire& wire = c.wires[id];
  Wide v = wire.constant;
  for (const auto& [coefficient, t] : wire.terms) {
    const Domain& shape = w.tensors[t].shape();
    const bool same = shape.rows == wire.rows && shape.cols == wire.cols;
    const size_t linear = i * wire.cols + j;
    v += Wide{coefficient} *
         (same ? w.tensors[t].at(i, j) : w.tensors[t].at(linear / shape.cols, linear % shape.cols));
  }
  return static_cast<int64_t>(v);
}
int64_t operand_at(const Circuit& c, const Witness& w, const Operand& o, size_t i, size_t j) {
  switch (o.map) {
    case Map::kCell:
      return wire_at(c, w, o.id, i, j);
    case Map::kRow:
      return wire_at(c, w, o.id, 0, i);
    case Map::kCol:
      return wire_at(c, w, o.id, 0, j);
    case Map::kColXor:
      return wire_at(c, w, o.id, i, j ^ o.argument);
    default:
      return c.publics[o.id].values[i / o.argument * c.publics[o.id].cols + j];
  }
}
int64_t poly_at(const Circuit& c, const Witness& w, const Poly& p, size_t i, size_t j) {
  Wide sum = 0;
  for (const Monomial& m : p) {
    Wide term = m.coefficient;
    for (const Operand& o : m.operands) term *= operand_at(c, w, o, i, j);
    sum += term;
  }
  return static_cast<int64_t>(sum);
}
bool exists(const Domain& d, size_t i, size_t j) {
  const auto [lo, hi] = d.range(static_cast<uint32_t>(i));
  return j >= lo && j < hi;
}
// Limbs put together again, and whether all but the last are in range.
Wide joined(const Witness& w, const Step& s, size_t i, size_t j, bool* in_range) {
  Wide v = 0;
  unsigned shift = 0;
  for (size_t k = 0; k < s.tensors.size(); ++k) {
    const int64_t limb = w.tensors[s.tensors[k]].at(i, j);
    if (k + 1 < s.tensors.size() && (limb < 0 || limb >= (int64_t{1} << s.bits[k]))) *in_range = false;
    v += Wide{limb} << shift;
    shift += s.bits[k];
  }
  return v;
}

bool equal(const Witness& a, const Witness& b) {
  for (size_t t = 0; t < a.tensors.size(); ++t) {
    const TensorData &x = a.tensors[t], &y = b.tensors[t];
    if (x.cells() != y.cells() || std::memcmp(x.data(), y.data(), x.cells() * cell_size(x.type())) != 0)
      return false;
  }
  return true;
}

// Runs it on every path and number of threads; all have to agree.
Witness run_everywhere(const Builder& b) {
  set_threads(1);
  Witness reference = b.run();
  set_threads(2);
  CHECK(equal(reference, b.run()));
  cpu::force_portable(true);
  CHECK(equal(reference, b.run()));
  cpu::force_portable(false);
  set_threads(0);
  return reference;
}

template <class F>
std::string relation_of_error(F f) {
  try {
    f();
  } catch (const EvaluationError& e) {
    return e.relation;
  }
  return "";
}

}  // namespace

// ---- Polynomials -----------------------------------------------------------------------------------------

static void check_polynomial(Domain d) {
  Builder b;
  const bool exchange = !d.ragged.causal && (d.cols & (d.cols - 1)) == 0;
  const uint32_t x = b.input("x", d, CellType::kInt16, 30000);
  const uint32_t y = b.input("y", d, CellType::kInt32, 1 << 17);
  const uint32_t z = b.input("z", d, CellType::kInt64, 1 << 13);
  const uint32_t row = b.input("row", full(1, d.rows), CellType::kInt32, 3);
  const uint32_t col = b.input("col", full(1, d.cols), CellType::kInt16, 5);
  b.circuit.publics.push_back({"angles", static_cast<uint32_t>(ceil_div(d.rows, 2)), d.cols, {}});
  for (size_t i = 0; i < ceil_div(d.rows, 2) * d.cols; ++i)
    b.circuit.publics[0].values.push_back(draw(b.random, 100));

  const uint32_t mixed = b.wire(d.rows, d.cols, {{1, x}, {-3, y}, {65536, z}}, -17);
  const uint32_t plain = b.wire_of(z);
  const Operand by_row{Map::kRow, 0, b.wire(1, d.rows, {{2, row}}, 1)};
  const Operand by_col{Map::kCol, 0, b.wire_of(col)};
  const Operand angle{Map::kPublic, 2, 0};
  Poly p = {{5, {}},
            {-1, {cell(mixed)}},
            {3, {cell(plain), by_row}},
            {7, {by_col}},
            {-2, {angle}},
            {1, {cell(mixed), angle}},
            {-4, {cell(plain), by_col, angle}},
            {1, {by_row, by_row}},
            {1, {cell(mixed), cell(plain), by_row}}};
  if (exchange)
    for (uint32_t bit = 1; bit < d.cols; bit *= 2) p.push_back({3, {{Map::kColXor, bit, mixed}, angle}});

  const uint32_t low = b.tensor("low", d, CellType::kInt16);
  const uint32_t middle = b.tensor("middle", d, CellType::kInt32);
  const uint32_t high = b.tensor("high", d, CellType::kInt64);
  const uint32_t whole = b.tensor("whole", d, CellType::kInt64);
  b.step(StepKind::kDecompose, d, p, {low, middle, high}).bits = {11, 16, 20};
  b.circuit.program[0].constant = 1 << 10;
  b.step(StepKind::kAssign, d, p, {whole});

  const Witness w = run_everywhere(b);
  bool right = true;
  for (size_t i = 0; i < d.rows; ++i)
    for (size_t j = 0; j < w.tensors[whole].stride(); ++j) {
      const bool here = j < d.cols && exists(d, i, j);
      const int64_t v = here ? poly_at(b.circuit, w, p, i, j) : 0;
      right = right && w.tensors[whole].at(i, j) == v;
      right = right && joined(w, b.circuit.program[0], i, j, &right) == (here ? v + 1024 : 0);
    }
  CHECK(right);
}

TEST(polynomials_on_full_domains) {
  for (uint32_t cols : {1U, 2U, 3U, 64U, 100U, 128U, 512U, 640U, 1024U, 1030U})
    check_polynomial(full(3, cols));
  check_polynomial(full(40, 256));
}

TEST(polynomials_on_ragged_domains) {
  check_polynomial(causal(70, 70, 1, 0));
  check_polynomial(causal(70, 70, 1, 16));
  check_polynomial(causal(12, 3, 4, 2));
  check_polynomial(causal(1200, 600, 2, 100));
  check_polynomial(causal(9, 4, 1, 3));  // rows whose window lies beyond the columns have no cells
}

TEST(decomposition_of_extremes) {
  Builder b;
  const Domain d = full(1, 8);
  const uint32_t x = b.input("x", d, CellType::kInt64, 1);
  const int64_t values[] = {0, -1, 1, (int64_t{1} << 62) - 1, -(int64_t{1} << 62), 4095, 4096, -4097};
  for (size_t j = 0; j < 8; ++j) b.externals.at("x").set(0, j, values[j]);
  const uint32_t wire = b.wire_of(x);
  for (unsigned bits : {1U, 12U, 31U, 40U, 62U, 63U}) {
    const std::string name = std::to_string(bits);
    const uint32_t low = b.tensor("low" + name, d, CellType::kInt64);
    const uint32_t high = b.tensor("high" + name, d, CellType::kInt64);
    b.step(StepKind::kDecompose, d, {{1, {cell(wire)}}}, {low, high}).bits = {static_cast<uint8_t>(bits), 1};
  }
  const Witness w = run_everywhere(b);
  for (const Step& s : b.circuit.program) {
    bool right = true;
    for (size_t j = 0; j < 8; ++j) right = right && joined(w, s, 0, j, &right) == values[j];
    CHECK(right);
  }
}

TEST(views_with_another_shape) {
  Builder b;
  const uint32_t x = b.input("x", full(6, 256), CellType::kInt32, 1000);
  const uint32_t out = b.tensor("out", full(2, 768), CellType::kInt32);
  const uint32_t seen = b.wire(12, 128, {{1, x}}, 3);
  b.step(StepKind::kAssign, full(12, 128), {{2, {cell(seen)}}}, {out});
  const Witness w = run_everywhere(b);
  bool right = true;
  for (size_t k = 0; k < 6 * 256; ++k)
    right = right && w.tensors[out].at(k / 768, k % 768) == 2 * (w.tensors[x].at(k / 256, k % 256) + 3);
  CHECK(right);
}

TEST(split_views) {
  Builder b;
  const uint32_t x = b.input("x", full(3, 320), CellType::kInt16, 1000);
  const uint32_t out = b.tensor("out", full(5, 192), CellType::kInt64);
  const uint32_t seen = b.wire(15, 64, {{1, x}}, 3);
  b.step(StepKind::kAssign, full(15, 64), {{2, {cell(seen)}}, {1, {{Map::kColXor, 32, seen}}}}, {out});
  const Witness w = run_everywhere(b);
  const auto x_at = [&](size_t k) { return w.tensors[x].at(k / 320, k % 320) + 3; };
  bool right = true;
  for (size_t k = 0; k < 3 * 320; ++k)
    right = right && w.tensors[out].at(k / 192, k % 192) == 2 * x_at(k) + x_at(k ^ 32);
  CHECK(right);
  CHECK_EQ(w.tensors[out].at(4, 192), 0);  // beside the last part
}

// ---- The other steps -------------------------------------------------------------------------------------

TEST(tables) {
  Builder b;
  const Domain d = causal(50, 50, 1, 20);
  Table t{"square", false, -100, 201, {{}, {}}};
  for (int64_t key = -100; key <= 100; ++key) {
    t.images[0].push_back(key * key);
    t.images[1].push_back(-key);
  }
  b.circuit.tables.push_back(t);
  const uint32_t x = b.input("x", d, CellType::kInt16, 50);
  const uint32_t square = b.tensor("square", d, CellType::kInt16);
  const uint32_t minus = b.tensor("minus", d, CellType::kInt64);
  b.step(StepKind::kTableMap, d, {{2, {cell(b.wire_of(x))}}}, {square, minus});
  const Witness w = run_everywhere(b);
  bool right = true;
  for (size_t i = 0; i < 50; ++i)
    for (size_t j = 0; j < 128; ++j) {
      const int64_t key = 2 * w.tensors[x].at(i, j);
      right = right && w.tensors[square].at(i, j) == key * key && w.tensors[minus].at(i, j) == -key;
    }
  CHECK(right);

  b.externals.at("x").set(30, 25, 51);
  CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "square");
}

TEST(row_maxima_and_sums) {
  for (const Domain d : {full(5, 700), causal(130, 130, 1, 9), causal(8, 4, 2, 0)}) {
    Builder b;
    const uint32_t x = b.input("x", d, CellType::kInt32, 1 << 30);
    const uint32_t wire = b.wire(d.rows, d.cols, {{-3, x}}, 12345);
    const uint32_t maximum = b.tensor("maximum", full(1, d.rows), CellType::kInt64);
    const uint32_t sum = b.tensor("sum", full(1, d.rows), CellType::kInt64);
    b.circuit.row_sums.push_back({"sum", b.wire_of(sum), wire});
    b.step(StepKind::kRowMax, d, {{1, {cell(wire)}}}, {maximum});
    b.step(StepKind::kRowSum, d, {}, {sum});
    const Witness w = run_everywhere(b);
    for (size_t i = 0; i < d.rows; ++i) {
      int64_t largest = INT64_MIN;
      int64_t total = 0;
      for (size_t j = 0; j < d.cols; ++j) {
        if (!exists(d, i, j)) continue;
        largest = std::max(largest, wire_at(b.circuit, w, wire, i, j));
        total += wire_at(b.circuit, w, wire, i, j);
      }
      CHECK_EQ(w.tensors[maximum].at(0, i), largest);
      CHECK_EQ(w.tensors[sum].at(0, i), total);
    }
  }
}

// Rows (P, 2^32 / P, U): v P^2 lies in [2^60, 2^62).
static Table fixed_shift_table() {
  Table t{"normalise", false, 0, 31, {{}, {}, {}, {}}};
  for (int i = 0; i < 31; ++i) {
    t.images[0].push_back(int64_t{1} << (30 - i));
    t.images[1].push_back(int64_t{1} << (2 + i));
    t.images[2].push_back((Wide{1} << (2 * i + 2)) - 1);
    t.images[3].push_back(i);
  }
  return t;
}

// Rows (4^a, 4^t, 2^(16-t+a), U).
static Table variable_shift_table() {
  Table t{"normalise", false, 0, 31, {{}, {}, {}, {}}};
  const auto add = [&](int a, int shift) {
    t.images[0].push_back(int64_t{1} << (2 * a));
    t.images[1].push_back(int64_t{1} << (2 * shift));
    t.images[2].push_back(int64_t{1} << (16 - shift + a));
    t.images[3].push_back((int64_t{1} << (2 * (15 - a + shift))) - 1);
  };
  for (int a = 14; a > 0; --a) add(a, 0);
  for (int shift = 0; shift <= 16; ++shift) add(0, shift);
  return t;
}

static void check_inverse_square_roots(const Table& table) {
  std::vector<int64_t> values = {1, 2, 3, 4, 5};
  for (int e = 3; e < 62; ++e)
    for (int64_t off : {-1, 0, 1}) values.push_back((int64_t{1} << e) + off);
  values.push_back((int64_t{1} << 62) - 1);
  const Domain d = full(1, static_cast<uint32_t>(values.size()));

  Builder b;
  b.circuit.tables.push_back(table);
  const uint32_t v = b.input("v", d, CellType::kInt64, 1);
  for (size_t j = 0; j < values.size(); ++j) b.externals.at("v").set(0, j, values[j]);
  const uint32_t wire = b.wire_of(v);
  std::vector<uint32_t> images;
  for (const char* name : {"row", "up", "down", "scale", "bound"})
    images.push_back(b.tensor(name, d, CellType::kInt64));
  b.step(StepKind::kNormalise, d, {}, images).index = wire;
  const uint32_t root = b.tensor("root", d, CellType::kInt64);
  const uint32_t quotient = b.tensor("quotient", d, CellType::kInt64);
  const int64_t dividend = (int64_t{1} << 61) + 12345;
  b.step(StepKind::kInvSqrt, d, {}, {root}).constant = int64_t{1} << 60;
  b.circuit.program.back().index = wire;
  b.step(StepKind::kQuotient, d, {}, {quotient}).constant = dividend;
  b.circuit.program.back().index = wire;

  const Witness w = run_everywhere(b);
  for (size_t j = 0; j < values.size(); ++j) {
    const Wide scaled = Wide{values[j]} * w.tensors[images[1]].at(0, j) / w.tensors[images[2]].at(0, j);
    CHECK(scaled >= 1 << 28 && scaled < 1 << 30);
    for (size_t k = 0; k < 5; ++k)
      CHECK_EQ(w.tensors[images[k]].at(0, j),
               b.circuit.tables[0].value(k, static_cast<size_t>(w.tensors[images[0]].at(0, j))));
    const Wide r = w.tensors[root].at(0, j);
    CHECK(r * r * values[j] <= Wide{1} << 60 && (r + 1) * (r + 1) * values[j] > Wide{1} << 60);
    CHECK_EQ(w.tensors[quotient].at(0, j), dividend / values[j]);
  }

  for (int64_t bad : {int64_t{0}, int64_t{-5}, int64_t{1} << 62}) {
    b.externals.at("v").set(0, 7, bad);
    CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "row");
  }
}

TEST(inverse_square_roots) {
  check_inverse_square_roots(variable_shift_table());
  check_inverse_square_roots(fixed_shift_table());
}

TEST(ratios_are_floors_by_row) {
  Builder b;
  const Domain d = full(2, 3);
  const uint32_t x = b.input("x", d, CellType::kInt64, 1);
  const uint32_t v = b.input("v", full(1, 2), CellType::kInt64, 1);
  const std::array<int64_t, 6> values = {7, -7, 0, int64_t{1} << 60, -(int64_t{1} << 60), 6};
  const std::array<int64_t, 2> divisors = {2, 3};
  for (size_t j = 0; j < 6; ++j) b.externals.at("x").set(j / 3, j % 3, values[j]);
  for (size_t i = 0; i < 2; ++i) b.externals.at("v").set(0, i, divisors[i]);
  const uint32_t out = b.tensor("out", d, CellType::kInt64);
  b.step(StepKind::kRatio, d, {{1, {cell(b.wire_of(x))}}}, {out}).index = b.wire_of(v);
  const Witness w = run_everywhere(b);
  const std::array<int64_t, 6> expected = {3, -4, 0, (int64_t{1} << 60) / 3, -(int64_t{1} << 60) / 3 - 1, 2};
  for (size_t j = 0; j < 6; ++j) CHECK_EQ(w.tensors[out].at(j / 3, j % 3), expected[j]);
  b.externals.at("v").set(0, 1, 0);
  CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "out");
}

TEST(roots_next_to_squares) {
  Builder b;
  const Domain d = full(1, 1);
  const uint32_t one = b.input("one", d, CellType::kInt16, 1);
  b.externals.at("one").set(0, 0, 1);
  const uint32_t wire = b.wire_of(one);
  const uint32_t root = b.tensor("root", d, CellType::kInt64);
  b.step(StepKind::kInvSqrt, d, {}, {root}).index = wire;
  for (int64_t r : {int64_t{1}, int64_t{94906267}, int64_t{2147483647}, int64_t{3037000499}})
    for (int64_t off : {-1, 0}) {
      b.circuit.program[0].constant = r * r + off;
      CHECK_EQ(b.run().tensors[root].at(0, 0), r + off);
    }
}

// ---- Einsums ---------------------------------------------------------------------------------------------

namespace {

struct EinsumCase {
  EinsumKind kind;
  uint32_t groups, members, batch, depth, cols;
  CellType y_type;
  int64_t x_limit, y_limit;
};

Wide einsum_at(const Circuit& c, const Witness& w, const Einsum& e, size_t row, size_t col) {
  const size_t g = row / e.members % e.groups;
  const size_t depth = c.wires[e.x].cols;
  Wide sum = 0;
  for (size_t k = 0; k < depth; ++k) {
    const bool nt = e.kind == EinsumKind::kNT;
    const int64_t y =
        nt ? wire_at(c, w, e.y, col * e.groups + g, k) : wire_at(c, w, e.y, k * e.groups + g, col);
    sum += Wide{wire_at(c, w, e.x, row, k)} * y;
  }
  return sum;
}

void check_einsum(const EinsumCase& t) {
  Builder b;
  const uint32_t rows = t.batch * t.groups * t.members;
  const bool nt = t.kind == EinsumKind::kNT;
  const uint32_t x = b.input("x", full(rows, t.depth), CellType::kInt64, t.x_limit);
  const Domain y_shape = nt ? full(t.cols * t.groups, t.depth) : full(t.depth * t.groups, t.cols);
  const uint32_t y = b.input("y", y_shape, t.y_type, t.y_limit);
  const uint32_t low = b.tensor("low", full(rows, t.cols), CellType::kInt32);
  const uint32_t high = b.tensor("high", full(rows, t.cols), CellType::kInt64);
  const uint32_t out = b.wire(rows, t.cols, {{1, low}, {4096, high}}, -2048);
  b.circuit.einsums.push_back({"product", t.kind, t.groups, t.members, out, b.wire_of(x), b.wire_of(y)});
  Step& s = b.step(StepKind::kDecompose, {}, {}, {low, high});
  s.from_einsum = true;
  s.constant = 2048;
  s.bits = {12, 30};
  const Witness w = run_everywhere(b);
  bool right = true;
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < t.cols; ++j)
      right =
          right && joined(w, s, i, j, &right) == einsum_at(b.circuit, w, b.circuit.einsums[0], i, j) + 2048;
  CHECK(right);
}

}  // namespace

TEST(selected_products) {
  for (const uint32_t groups : {1U, 2U, 5U})
    for (const CellType type : {CellType::kInt16, CellType::kInt64}) {
      constexpr uint32_t kRows = 6, kDepth = 37, kCols = 55;
      Builder b;
      const uint32_t s = b.wire_of(b.input("s", full(kRows, groups), CellType::kInt64, 3));
      const uint32_t x = b.wire_of(b.input("x", full(kRows / 2, kDepth), CellType::kInt64, 1 << 15));
      const uint32_t y = b.wire_of(b.input("y", full(groups * kCols, kDepth), type, 30000));
      const uint32_t out = b.tensor("out", full(kRows, kCols), CellType::kInt64);
      b.circuit.einsums.push_back({"product", EinsumKind::kSelectNT, groups, 1, b.wire_of(out), x, y, s});
      Step& step = b.step(StepKind::kDecompose, {}, {}, {out});
      step.from_einsum = true;
      step.bits = {63};
      const Witness w = run_everywhere(b);
      bool right = true;
      for (size_t i = 0; i < kRows; ++i)
        for (size_t j = 0; j < kCols; ++j) {
          Wide sum = 0;
          for (size_t g = 0; g < groups; ++g)
            for (size_t k = 0; k < kDepth; ++k)
              sum += Wide{wire_at(b.circuit, w, s, i, g)} * wire_at(b.circuit, w, x, i % (kRows / 2), k) *
                     wire_at(b.circuit, w, y, g * kCols + j, k);
          right = right && w.tensors[out].at(i, j) == sum;
        }
      CHECK(right);
    }
}

TEST(largest_of_rows) {
  Builder b;
  constexpr uint32_t kRows = 5, kCols = 700, kLargest = 3;
  const uint32_t x = b.wire_of(b.input("x", full(kRows, kCols), CellType::kInt32, 40));  // with ties
  const uint32_t least = b.tensor("least", full(1, kRows), CellType::kInt32);
  const uint32_t marks = b.tensor("marks", full(kLargest * kRows, kCols), CellType::kInt16);
  Step& s = b.step(StepKind::kTopK, full(kRows, kCols), {{1, {cell(x)}}}, {least, marks});
  s.constant = kLargest;
  const Witness w = run_everywhere(b);
  for (size_t i = 0; i < kRows; ++i) {
    std::vector<std::pair<int64_t, size_t>> order;
    for (size_t j = 0; j < kCols; ++j)
      order.emplace_back(-static_cast<int64_t>(wire_at(b.circuit, w, x, i, j)), j);
    std::sort(order.begin(), order.end());
    CHECK_EQ(w.tensors[least].at(0, i), -order[kLargest - 1].first);
    for (size_t m = 0; m < kLargest; ++m)
      for (size_t j = 0; j < kCols; ++j)
        CHECK_EQ(w.tensors[marks].at(m * kRows + i, j), order[m].second == j ? 1 : 0);
  }
  // What is given instead is marked, also twice; the k-th largest stays what it was.
  std::vector<uint32_t> choice(kLargest * kRows, kCols - 1);
  choice[kRows + 2] = 129;
  const Witness given = b.run({{"marks", choice}});
  for (size_t i = 0; i < kLargest * kRows; ++i)
    for (size_t j = 0; j < kCols; ++j) CHECK_EQ(given.tensors[marks].at(i, j), choice[i] == j ? 1 : 0);
  for (size_t i = 0; i < kRows; ++i) CHECK_EQ(given.tensors[least].at(0, i), w.tensors[least].at(0, i));
  const auto refused = [&](const std::string& name, const std::vector<uint32_t>& columns) {
    try {
      (void)b.run({{name, columns}});
    } catch (const EvaluationError& e) {
      return e.message;
    }
    return std::string();
  };
  CHECK_EQ(refused("marks", {0, 1, 2}), "a choice of another size");
  CHECK_EQ(refused("least", choice), "no step marks it");
  choice[0] = kCols;
  CHECK_EQ(refused("marks", choice), "a choice outside the row");
}

TEST(einsums_small) {
  for (EinsumKind kind : {EinsumKind::kNT, EinsumKind::kNN})
    for (uint32_t groups : {1U, 2U})
      for (uint32_t members : {1U, 3U})
        for (uint32_t size : {1U, 5U, 6U, 8U, 49U})
          for (CellType type : {CellType::kInt16, CellType::kInt32, CellType::kInt64})
            check_einsum({kind, groups, members, size, size + 1, 2 * size, type, 1 << 15, 30000});
}

TEST(einsums_past_every_block) {
  for (EinsumKind kind : {EinsumKind::kNT, EinsumKind::kNN}) {
    check_einsum({kind, 1, 1, 150, 460, 100, CellType::kInt16, 1 << 20, 32767});
    check_einsum({kind, 2, 2, 80, 230, 50, CellType::kInt32, 1 << 15, 1 << 15});
  }
}

TEST(einsums_on_every_path) {
  const int64_t big = int64_t{1} << 40;
  for (EinsumKind kind : {EinsumKind::kNT, EinsumKind::kNN}) {
    check_einsum({kind, 2, 2, 5, 37, 55, CellType::kInt64, 1 << 10, big});  // exceeds 2^53
    check_einsum({kind, 1, 1, 3, 16, 11, CellType::kInt16, int64_t{1} << 42, 32767});
    check_einsum({kind, 2, 2, 80, 230, 50, CellType::kInt32, int64_t{1} << 30, 1 << 15});
    check_einsum({kind, 2, 1, 6, 16, 11, CellType::kInt64, 1 << 6, int64_t{1} << 51});  // no two halves do
    check_einsum({kind, 1, 1, 3, 7, 60, CellType::kInt64, 1 << 19, big});               // may pass 2^62
  }
}

TEST(which_path) {
  std::vector<int64_t> x(64 * 2, 0);
  std::vector<int64_t> y(64 * 3, 0);
  IntegerProduct p;
  p.rows = 2;
  p.depth = 64;
  p.cols = 3;
  p.x = x.data();
  p.y = {y.data(), 8, 64};
  x[5] = int64_t{1} << 30;
  y[9] = (int64_t{1} << 23) - 1;
  CHECK(product_path(p) == ProductPath::kDouble);
  y[9] = -(int64_t{1} << 23);
  CHECK(product_path(p) == ProductPath::kTwoDoubles);
  y[9] = int64_t{1} << 32;
  CHECK(product_path(p) == ProductPath::kTwoDoubles);
  x[5] = 4;
  y[9] = int64_t{1} << 51;
  CHECK(product_path(p) == ProductPath::kInt64);
  x[5] = int64_t{1} << 30;
  y[9] = int64_t{1} << 33;
  CHECK(product_path(p) == ProductPath::kInt128);
  x[64] = INT64_MIN;
  y[9] = INT64_MIN;
  CHECK_THROWS(std::overflow_error, product_path(p));
}

TEST(a_product_beyond_64_bits) {
  Builder b;
  const Domain d = full(1, 4);
  const uint32_t x = b.input("x", d, CellType::kInt64, 1);
  const uint32_t y = b.input("y", d, CellType::kInt64, 1);
  for (size_t j = 0; j < 4; ++j) {
    b.externals.at("x").set(0, j, int64_t{1} << 31);
    b.externals.at("y").set(0, j, int64_t{1} << 30);
  }
  const uint32_t out = b.tensor("out", full(1, 1), CellType::kInt64);
  const uint32_t out_wire = b.wire_of(out);
  for (EinsumKind kind : {EinsumKind::kNT, EinsumKind::kRowDot}) {
    b.circuit.einsums = {{"product", kind, 1, 1, out_wire, b.wire_of(x), b.wire_of(y)}};
    b.circuit.program.clear();
    Step& s = b.step(StepKind::kDecompose, {}, {}, {out});
    s.from_einsum = true;
    s.bits = {1};
    CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "product");
  }
}

// Attention: q seen as (token, head) rows, scores on a causal window, values weighted with ragged rows.
static void check_attention(uint32_t tokens, uint32_t groups, uint32_t members, uint32_t window) {
  Builder b;
  const uint32_t head = 128;
  const uint32_t heads = groups * members;
  const Domain scores_shape = causal(tokens * heads, tokens, heads, window);
  const uint32_t q = b.input("q", full(tokens, heads * head), CellType::kInt16, 3000);
  const uint32_t k = b.input("k", full(tokens, groups * head), CellType::kInt16, 3000);
  const uint32_t v = b.input("v", full(tokens, groups * head), CellType::kInt32, 100000);
  const uint32_t scores = b.tensor("scores", scores_shape, CellType::kInt64);
  const uint32_t mixed = b.tensor("mixed", full(tokens, heads * head), CellType::kInt64);
  const uint32_t scores_wire = b.wire_of(scores);
  const uint32_t shifted = b.wire(tokens * heads, tokens, {{1, scores}}, 77);  // absent cells stay zero
  const uint32_t mixed_wire = b.wire(tokens * heads, head, {{1, mixed}});
  b.circuit.einsums.push_back({"scores", EinsumKind::kNT, groups, members, scores_wire,
                               b.wire(tokens * heads, head, {{1, q}}),
                               b.wire(tokens * groups, head, {{1, k}})});
  b.circuit.einsums.push_back({"mix", EinsumKind::kNN, groups, members, mixed_wire, shifted,
                               b.wire(tokens * groups, head, {{1, v}, {0, k}}, 1)});
  for (uint32_t index : {0U, 1U}) {
    Step& s = b.step(StepKind::kDecompose, {}, {}, {index == 0 ? scores : mixed});
    s.from_einsum = true;
    s.index = index;
    s.bits = {1};
  }
  const Witness w = run_everywhere(b);
  bool right = true;
  for (size_t i = 0; i < tokens * heads; ++i) {
    const size_t g = i / members % groups;
    for (size_t j = 0; j < tokens; ++j) {
      const bool here = exists(scores_shape, i, j);
      const Wide score = here ? einsum_at(b.circuit, w, b.circuit.einsums[0], i, j) : 0;
      right = right && w.tensors[scores].at(i, j) == static_cast<int64_t>(score);
    }
    for (size_t c = 0; c < head; ++c) {
      Wide sum = 0;
      for (size_t j = 0; j < tokens; ++j)
        if (exists(scores_shape, i, j))
          sum += Wide{w.tensors[scores].at(i, j) + 77} * (w.tensors[v].at(j, g * head + c) + 1);
      right = right && w.tensors[mixed].at(i / heads, i % heads * head + c) == static_cast<int64_t>(sum);
    }
  }
  CHECK(right);
}

TEST(attention) {
  check_attention(7, 1, 4, 0);
  check_attention(20, 2, 2, 5);
  check_attention(60, 1, 4, 9);
  check_attention(110, 2, 1, 0);
}

TEST(row_products) {
  for (const Domain d : {full(9, 1000), causal(40, 40, 1, 7)}) {
    Builder b;
    const uint32_t x = b.input("x", d, CellType::kInt32, 1 << 24);
    const uint32_t y = b.input("y", d, CellType::kInt16, 30000);
    const uint32_t low = b.tensor("low", full(1, d.rows), CellType::kInt32);
    const uint32_t high = b.tensor("high", full(1, d.rows), CellType::kInt64);
    const uint32_t xs = b.wire(d.rows, d.cols, {{1, x}}, 5);
    const uint32_t ys = b.wire_of(y);
    const uint32_t out = b.wire(1, d.rows, {{1, low}, {1 << 20, high}}, -1);
    b.circuit.einsums.push_back({"dots", EinsumKind::kRowDot, 1, 1, out, xs, ys});
    Step& s = b.step(StepKind::kDecompose, {}, {}, {low, high});
    s.from_einsum = true;
    s.constant = 1;
    s.bits = {20, 40};
    const Witness w = run_everywhere(b);
    bool right = true;
    for (size_t i = 0; i < d.rows; ++i) {
      Wide sum = 1;
      for (size_t j = 0; j < d.cols; ++j)
        if (exists(d, i, j)) sum += Wide{wire_at(b.circuit, w, xs, i, j)} * wire_at(b.circuit, w, ys, i, j);
      right = right && joined(w, s, 0, i, &right) == sum;
    }
    CHECK(right);
  }
}

// ---- What has to fail ------------------------------------------------------------------------------------

TEST(values_that_do_not_fit) {
  Builder b;
  const Domain d = full(4, 600);
  const uint32_t x = b.input("x", d, CellType::kInt32, 30000);
  const uint32_t wire = b.wire_of(x);
  const uint32_t out = b.tensor("out", d, CellType::kInt16);
  b.step(StepKind::kAssign, d, {{1, {cell(wire)}}}, {out});
  b.externals.at("x").set(3, 599, 32767);
  b.externals.at("x").set(0, 0, -32768);
  (void)run_everywhere(b);
  for (int64_t bad : {32768, -32769, 1 << 20}) {
    b.externals.at("x").set(3, 599, bad);
    CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "out");
  }
  b.externals.at("x").set(3, 599, 40000);  // as the low limb of 16 bits: too large for int16
  const uint32_t high = b.tensor("high", d, CellType::kInt16);
  b.circuit.program.clear();
  b.step(StepKind::kDecompose, d, {{1, {cell(wire)}}}, {out, high}).bits = {16, 16};
  CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "out");
}

TEST(the_message_names_the_cell) {
  Builder b;
  const Domain d = full(2, 130);
  const uint32_t x = b.input("x", d, CellType::kInt32, 100);
  b.externals.at("x").set(1, 129, -70000);
  b.step(StepKind::kAssign, d, {{1, {cell(b.wire_of(x))}}}, {b.tensor("out", d, CellType::kInt16)});
  std::string message;
  try {
    (void)b.run();
  } catch (const EvaluationError& e) {
    message = e.message;
  }
  CHECK_EQ(message, "cell (1, 129): -70000 does not fit int16");
}

TEST(programs_that_do_not_fit) {
  const Domain d = full(2, 200);
  {  // nobody fills a witness tensor
    Builder b;
    b.tensor("orphan", d);
    CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "orphan");
  }
  {  // read before it is filled, here by the step that fills it
    Builder b;
    const uint32_t x = b.tensor("x", d);
    b.step(StepKind::kAssign, d, {{1, {cell(b.wire_of(x))}}}, {x});
    CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "x");
  }
  {  // a target of another size
    Builder b;
    const uint32_t x = b.input("x", d, CellType::kInt16, 9);
    const uint32_t y = b.tensor("y", full(2, 201));
    b.step(StepKind::kAssign, d, {{1, {cell(b.wire_of(x))}}}, {y});
    CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "y");
  }
  {  // an external of another type, and one that is missing
    Builder b;
    const uint32_t x = b.input("x", d, CellType::kInt16, 9);
    b.circuit.tensors[x].type = CellType::kInt32;
    CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "x");
    b.externals.clear();
    CHECK_EQ(relation_of_error([&] { (void)b.run(); }), "x");
  }
}

TEST(a_computed_boundary_is_owned_and_views_are_not) {
  Builder b;
  const Domain d = full(2, 5);
  const uint32_t x = b.input("x", d, CellType::kInt16, 9);
  const uint32_t out = b.tensor("out", d, CellType::kInt32, Source::kBoundary);
  b.step(StepKind::kAssign, d, {{3, {cell(b.wire_of(x))}}}, {out});
  Witness w = b.run();
  CHECK_EQ(w.tensors[out].at(1, 4), 3 * w.tensors[x].at(1, 4));
  CHECK(w.tensors[x].data() == b.externals.at("x").data());
  CHECK(reinterpret_cast<uintptr_t>(w.tensors[out].data()) % 64 == 0);
  w.tensors[out].set(0, 0, -1);
  CHECK_EQ(w.tensors[out].at(0, 0), -1);
}

ASSAY_TEST_MAIN
