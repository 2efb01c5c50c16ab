// The evaluator at the shapes of Gemma 3 270M: matrix products, single steps, and a layer's worth of steps.
// Usage: bench_evaluate [threads]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>

#include "backend/cpu/integer_matmul.h"
#include "base/parallel.h"
#include "circuit/evaluate.h"

using namespace assay;

namespace {

constexpr uint32_t kTokens = 64, kHidden = 640, kFfn = 2048, kHeads = 4, kHead = 256;

// The best of several runs, in seconds.
template <class F>
double best_of(int runs, F f) {
  double best = 1e9;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

template <class T>
std::vector<T> random_cells(size_t n, int64_t limit) {
  std::mt19937_64 random(n);
  std::uniform_int_distribution<int64_t> draw(-limit, limit);
  std::vector<T> v(n);
  for (T& x : v) x = static_cast<T>(draw(random));
  return v;
}

// ---- Products --------------------------------------------------------------------------------------------

template <class T>
void bench_product(const char* name, bool transposed, size_t rows, size_t depth, size_t cols, int64_t limit) {
  const auto x = random_cells<int64_t>(rows * depth, limit);
  const auto y = random_cells<T>(depth * cols, 32767);
  IntegerProduct p;
  p.transposed = transposed;
  p.rows = rows;
  p.depth = depth;
  p.cols = cols;
  p.x = x.data();
  p.y = {y.data(), sizeof(T), transposed ? depth : cols};
  const double s = best_of(20, [&] { multiply_integers(p, [](size_t, size_t, int64_t*, size_t) {}); });
  const double macs = static_cast<double>(rows * depth * cols);
  std::printf("product  %-22s x %2zu bytes %s %5zu x %4zu x %4zu  %7.3f ms  %6.1f GMAC/s\n", name, sizeof(T),
              transposed ? "NT" : "NN", rows, depth, cols, 1e3 * s, 1e-9 * macs / s);
}

void bench_products() {
  const int64_t narrow = 32767, wide = (1 << 23) - 1;
  bench_product<int16_t>("int16", true, kTokens, kHidden, kHeads * kHead, narrow);
  bench_product<int16_t>("int16", true, kTokens, kHidden, kFfn, narrow);
  bench_product<int16_t>("24 bits (int32)", true, kTokens, kHidden, kFfn, wide);
  bench_product<int16_t>("24 bits (int32)", true, kTokens, kFfn, kHidden, wide);
  bench_product<int16_t>("int16", true, kTokens, kHeads * kHead, kHidden, narrow);
  bench_product<int32_t>("int16", true, kTokens, kHidden, kFfn, narrow);
  bench_product<int16_t>("int16", false, kTokens, kHidden, kFfn, narrow);
  bench_product<int16_t>("int16", true, 512, kHidden, kFfn, narrow);
  bench_product<int16_t>("36 bits (int64 path)", true, kTokens, kHidden, kFfn, int64_t{1} << 35);
}

// ---- Circuits --------------------------------------------------------------------------------------------

Domain full(uint32_t rows, uint32_t cols) { return {rows, cols, {}}; }
Operand cell(uint32_t wire) { return {Map::kCell, 0, wire}; }

struct Builder {
  Circuit c;
  std::map<std::string, TensorData> externals;

  uint32_t tensor(Domain shape, CellType type, Source source = Source::kWitness) {
    c.tensors.push_back({std::to_string(c.tensors.size()), source, type, shape});
    return static_cast<uint32_t>(c.tensors.size() - 1);
  }
  uint32_t external(Domain shape, CellType type, Source source, int64_t limit) {
    const uint32_t t = tensor(shape, type, source);
    TensorData data(type, shape);
    const auto values = random_cells<int64_t>(data.cells(), limit);
    for (uint32_t i = 0; i < shape.rows; ++i)
      for (uint32_t j = 0; j < shape.cols; ++j) data.set(i, j, values[i * data.stride() + j]);
    externals.emplace(c.tensors[t].name, std::move(data));
    return t;
  }
  uint32_t wire(uint32_t rows, uint32_t cols, std::vector<std::pair<int64_t, uint32_t>> terms,
                int64_t constant = 0) {
    c.wires.push_back({rows, cols, constant, std::move(terms)});
    return static_cast<uint32_t>(c.wires.size() - 1);
  }
  uint32_t wire_of(uint32_t t) { return wire(c.tensors[t].shape.rows, c.tensors[t].shape.cols, {{1, t}}); }
  Step& step(StepKind kind, Domain domain, Poly poly, std::vector<uint32_t> tensors) {
    Step s;
    s.kind = kind;
    s.domain = domain;
    s.poly = std::move(poly);
    s.tensors = std::move(tensors);
    c.program.push_back(std::move(s));
    return c.program.back();
  }

  Witness run() const {
    return evaluate(c, [&](const Tensor& t) {
      const TensorData& data = externals.at(t.name);
      return Cells{data.type(), data.data(), data.shape()};
    });
  }
  void bench(const char* name, double cells) const {
    const double s = best_of(20, [&] { (void)run(); });
    std::printf("%-52s %8.3f ms  %6.2f ns a cell\n", name, 1e3 * s, 1e9 * s / cells);
  }

  // ---- Pieces of a layer ----

  // (select, constant) of the high limb of t + 2^15; t itself is clamped with them.
  uint32_t clamp_table() {
    Table t{"clamp", false, -32768, 65536, {{}, {}}};
    for (int hi = -32768; hi < 32768; ++hi) {
      t.images[0].push_back(hi == 0);
      t.images[1].push_back(hi == 0 ? 0 : hi < 0 ? -32768 : 32767);
    }
    c.tables.push_back(std::move(t));
    return static_cast<uint32_t>(c.tables.size() - 1);
  }
  // Limbs (remainder, low, high), then the clamped value, from a step still to be given its values.
  uint32_t requantise(Step source, Domain d, unsigned shift) {
    const uint32_t remainder = tensor(d, CellType::kInt32);
    const uint32_t low = tensor(d, CellType::kInt32);
    const uint32_t high = tensor(d, CellType::kInt16);
    source.kind = StepKind::kDecompose;
    source.constant = (int64_t{1} << (shift + 15)) + (int64_t{1} << (shift - 1));
    source.tensors = {remainder, low, high};
    source.bits = {static_cast<uint8_t>(shift), 16, 16};
    c.program.push_back(source);
    const uint32_t select = tensor(d, CellType::kInt16);
    const uint32_t constant = tensor(d, CellType::kInt16);
    step(StepKind::kTableMap, d, {{1, {cell(wire_of(high))}}}, {select, constant}).table = 0;
    const uint32_t t = wire(d.rows, d.cols, {{1, low}, {65536, high}}, -32768);
    const uint32_t y = tensor(d, CellType::kInt16);
    step(StepKind::kAssign, d, {{1, {cell(wire_of(select)), cell(t)}}, {1, {cell(wire_of(constant))}}}, {y});
    return y;
  }
  uint32_t project(uint32_t x, uint32_t cols, unsigned shift) {
    const Domain shape = c.tensors[x].shape;
    const uint32_t w = external(full(cols, shape.cols), CellType::kInt16, Source::kWeight, 20000);
    const uint32_t out = wire(shape.rows, cols, {});
    c.einsums.push_back({"project", EinsumKind::kNT, 1, 1, out, wire_of(x), wire_of(w)});
    Step s;
    s.from_einsum = true;
    s.index = static_cast<uint32_t>(c.einsums.size() - 1);
    s.domain = full(shape.rows, cols);
    return requantise(s, s.domain, shift);
  }
  // The product of a sum of limbs with a value of the row and a value of the column, as in a norm.
  uint32_t normalise(uint32_t x, Domain d) {
    const uint32_t xs = wire(d.rows, d.cols, {{1, x}});
    const uint32_t squares = tensor(full(1, d.rows), CellType::kInt64);
    c.einsums.push_back({"squares", EinsumKind::kRowDot, 1, 1, wire_of(squares), xs, xs});
    Step& s = step(StepKind::kDecompose, {}, {}, {squares});
    s.from_einsum = true;
    s.index = static_cast<uint32_t>(c.einsums.size() - 1);
    s.bits = {1};
    const uint32_t root = tensor(full(1, d.rows), CellType::kInt64);
    Step& inverse = step(StepKind::kInvSqrt, {}, {}, {root});
    inverse.index = wire(1, d.rows, {{1, squares}}, 1);
    inverse.constant = int64_t{1} << 60;
    const uint32_t scale = external(full(1, d.cols), CellType::kInt16, Source::kWeight, 100);
    Step product;
    product.domain = d;
    product.poly = {{1, {cell(xs), {Map::kRow, 0, wire_of(root)}, {Map::kCol, 0, wire_of(scale)}}}};
    return requantise(product, d, 18);
  }
  uint32_t rotate(uint32_t x, Domain d, uint32_t heads) {
    Step turn;
    turn.domain = d;
    const uint32_t xs = wire(d.rows, d.cols, {{1, x}});
    turn.poly = {{1, {cell(xs), {Map::kPublic, heads, 0}}},
                 {1, {{Map::kColXor, d.cols / 2, xs}, {Map::kPublic, heads, 1}}}};
    return requantise(turn, d, 14);
  }
};

void bench_decompose() {
  for (const uint32_t cols : {640U, 2048U}) {
    Builder b;
    const Domain d = full(kTokens, cols);
    const uint32_t x = b.external(d, CellType::kInt32, Source::kBoundary, 1 << 30);
    const uint32_t y = b.external(d, CellType::kInt16, Source::kBoundary, 1 << 14);
    const uint32_t xs = b.wire_of(x), ys = b.wire_of(y);
    const auto limb = [&] { return b.tensor(d, CellType::kInt32); };
    b.step(StepKind::kDecompose, d, {{3, {cell(xs)}}}, {limb(), limb(), limb()}).bits = {16, 8, 16};
    b.bench(("decompose a linear form, 3 limbs, 64 x " + std::to_string(cols)).c_str(), kTokens * cols);
    b.c.program.clear();
    b.c.tensors.resize(2);
    const std::vector<uint32_t> limbs = {limb(), limb(), limb()};
    b.step(StepKind::kDecompose, d, {{1, {cell(xs), cell(ys)}}}, limbs).bits = {16, 16, 16};
    b.bench(("decompose a product, 3 limbs, 64 x " + std::to_string(cols)).c_str(), kTokens * cols);
  }
}

void add_attention(Builder& b, uint32_t q, uint32_t k, uint32_t v) {
  const Domain scores{kTokens * kHeads, kTokens, {true, kHeads, 0}};
  Step s;
  s.from_einsum = true;
  s.domain = scores;
  s.index = static_cast<uint32_t>(b.c.einsums.size());
  b.c.einsums.push_back({"scores", EinsumKind::kNT, 1, kHeads, b.wire(scores.rows, scores.cols, {}),
                         b.wire(scores.rows, kHead, {{1, q}}), b.wire_of(k)});
  const uint32_t score = b.requantise(s, scores, 16);
  const uint32_t maximum = b.tensor(full(1, scores.rows), CellType::kInt16);
  b.step(StepKind::kRowMax, scores, {{1, {cell(b.wire_of(score))}}}, {maximum});
  Table exponential{"exp", false, 0, 65536, {{}}};
  for (int i = 0; i < 65536; ++i) exponential.images[0].push_back(65536 / (1 + i));
  b.c.tables.push_back(exponential);
  const uint32_t e = b.tensor(scores, CellType::kInt32);
  const Operand top{Map::kRow, 0, b.wire_of(maximum)};
  b.step(StepKind::kTableMap, scores, {{1, {top}}, {-1, {cell(b.wire_of(score))}}}, {e}).table = 1;
  s.domain = full(scores.rows, kHead);
  s.index = static_cast<uint32_t>(b.c.einsums.size());
  b.c.einsums.push_back({"mix", EinsumKind::kNN, 1, kHeads, b.wire(scores.rows, kHead, {}), b.wire_of(e),
                         b.wire_of(v)});
  (void)b.requantise(s, s.domain, 20);
}

void bench_layer() {
  Builder b;
  b.clamp_table();
  for (const char* name : {"cos", "sin"})
    b.c.publics.push_back({name, kTokens, kHead, random_cells<int64_t>(kTokens * kHead, 16384)});
  const Domain rows = full(kTokens, kHidden);
  const uint32_t x = b.external(rows, CellType::kInt32, Source::kBoundary, 1 << 20);
  const uint32_t h = b.normalise(x, rows);
  const Domain heads = full(kTokens * kHeads, kHead);
  const Domain one_head = full(kTokens, kHead);
  const uint32_t q = b.rotate(b.normalise(b.project(h, kHeads * kHead, 20), heads), heads, kHeads);
  const uint32_t k = b.rotate(b.normalise(b.project(h, kHead, 20), one_head), one_head, 1);
  add_attention(b, q, k, b.project(h, kHead, 20));
  const Domain mixed = full(kTokens, kHeads * kHead);
  const uint32_t attended = b.external(mixed, CellType::kInt16, Source::kBoundary, 30000);
  const uint32_t o = b.normalise(b.project(attended, kHidden, 20), rows);
  const uint32_t h2 = b.normalise(o, rows);
  const uint32_t gate = b.project(h2, kFfn, 20);
  const uint32_t up = b.project(h2, kFfn, 20);
  Step product;
  product.domain = full(kTokens, kFfn);
  product.poly = {{1, {cell(b.wire_of(gate)), cell(b.wire_of(up))}}};
  const uint32_t down = b.project(b.requantise(product, product.domain, 14), kHidden, 20);
  (void)b.normalise(down, rows);

  double cells = 0;
  for (const Tensor& t : b.c.tensors)
    if (t.source == Source::kWitness) cells += static_cast<double>(t.cells());
  std::printf("layer: %zu steps, %.2fM cells to fill\n", b.c.program.size(), 1e-6 * cells);
  b.bench("layer, all steps", cells);
}

}  // namespace

int main(int argc, char** argv) {
  set_threads(argc > 1 ? std::atoi(argv[1]) : 0);
  std::printf("%d threads\n", threads());
  bench_products();
  bench_decompose();
  bench_layer();
  return 0;
}
