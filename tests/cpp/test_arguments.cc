// The arguments one by one: sumcheck, fraction tree, claims, table side and opening, against naive code and
// against provers that break them.
#include <cmath>

#include "base/bytes.h"
#include "circuit/prover.h"
#include "circuit/verifier.h"
#include "circuits.h"
#include "commit/verifier.h"
#include "paths.h"
#include "system/statement.h"

using namespace assay;
using namespace assay::test;

namespace {

template <int D>
Ext<D> draw(Random& random) {
  Ext<D> x;
  for (F& c : x.c) c = F(std::uniform_int_distribution<uint64_t>(0, kModulus - 1)(random));
  return x;
}
template <int D>
Vec<D> draw_all(Random& random, size_t n) {
  Vec<D> out(n);
  for (auto& x : out) x = draw<D>(random);
  return out;
}
template <int D>
Ext<D> extension_at(const Vec<D>& values, const Vec<D>& point) {
  const Vec<D> weights = eq_vector<D>(point);
  Ext<D> sum;
  for (size_t i = 0; i < values.size(); ++i) sum += values[i] * weights[i];
  return sum;
}

// A transcript and both channels over it: the prover's part runs first, then the verifier's on its bytes.
template <int D>
struct Exchange {
  std::vector<uint8_t> bytes;
  uint8_t instance = 0;

  template <class Prove>
  auto prove(Prove prove) {
    Transcript transcript("test", "", {&instance, 1});
    ProverChannel<D> channel(transcript);
    auto result = prove(channel);
    bytes = channel.take_bytes();
    return result;
  }
  // The code of the check that failed, or nothing.
  template <class Verify>
  std::string verify(Verify verify) {
    Transcript transcript("test", "", {&instance, 1});
    Reader reader(bytes);
    VerifierChannel<D> channel(transcript, reader);
    try {
      verify(channel);
    } catch (const Rejected& e) {
      return e.code;
    }
    return reader.remaining() == 0 ? "" : "trailing";
  }
};

// ---- Sumcheck ----

// A product of `degree` tables over rows x cols, with eq factors or without.
template <int D>
struct ProductSum {
  uint32_t rows, cols;
  int degree;
  bool weighted;
  std::vector<Vec<D>> tables;
  Vec<D> rho_rows, rho_cols;

  ProductSum(Random& random, uint32_t r, uint32_t c, int d, bool w)
      : rows(r), cols(c), degree(d), weighted(w) {
    for (int k = 0; k < degree; ++k) tables.push_back(draw_all<D>(random, size_t{rows} * cols));
    rho_rows = draw_all<D>(random, w ? log2_ceil(rows) : 0);
    rho_cols = draw_all<D>(random, w ? log2_ceil(cols) : 0);
  }
  SumcheckShape<D> shape(int told_degree) const {
    SumcheckShape<D> s{"product", told_degree, {}};
    for (size_t k = 0; k < log2_ceil(cols); ++k) s.rho.push_back(weighted ? &rho_cols[k] : nullptr);
    for (size_t k = 0; k < log2_ceil(rows); ++k) s.rho.push_back(weighted ? &rho_rows[k] : nullptr);
    return s;
  }
  GridProver<D> prover() const {
    typename GridProver<D>::Input in;
    in.rows = rows;
    in.cols = cols;
    in.degree = degree;
    std::vector<uint32_t> operands;
    for (int k = 0; k < degree; ++k) {
      in.tables.push_back({Spread::kCells, {}, tables[static_cast<size_t>(k)]});
      operands.push_back(static_cast<uint32_t>(k));
    }
    in.form.polys = {{{F::one(), operands}}};
    in.rho_rows = rho_rows;
    in.rho_cols = rho_cols;
    return GridProver<D>(std::move(in));
  }
  Ext<D> weight(size_t i, size_t j) const {
    if (!weighted) return Ext<D>::one();
    return eq_vector<D>(rho_rows)[i] * eq_vector<D>(rho_cols)[j];
  }
  Ext<D> sum() const {
    Ext<D> total;
    for (size_t i = 0; i < rows; ++i)
      for (size_t j = 0; j < cols; ++j) {
        Ext<D> product = weight(i, j);
        for (const auto& t : tables) product *= t[i * cols + j];
        total += product;
      }
    return total;
  }
  // The product of the tables' extensions.
  Ext<D> at(const Vec<D>& point) const {
    const size_t bits = log2_ceil(cols);
    const Vec<D> c = eq_vector<D>(std::span(point).first(bits));
    const Vec<D> r = eq_vector<D>(std::span(point).subspan(bits, log2_ceil(rows)));
    Ext<D> product = Ext<D>::one();
    for (const auto& t : tables) {
      Ext<D> value;
      for (size_t i = 0; i < rows; ++i)
        for (size_t j = 0; j < cols; ++j) value += t[i * cols + j] * r[i] * c[j];
      product *= value;
    }
    return product;
  }
};

// Whether the final claims of all relations are what their tables have at the point.
template <int D>
bool run_sumchecks(const std::vector<ProductSum<D>>& relations, int told_less, const Ext<D>& claim_error,
                   size_t tampered_word = ~size_t{0}) {
  std::vector<SumcheckShape<D>> shapes;
  Vec<D> claims;
  for (const auto& r : relations) {
    shapes.push_back(r.shape(r.degree - told_less));
    claims.push_back(r.sum());
  }
  claims[0] += claim_error;
  Exchange<D> exchange;
  exchange.prove([&](ProverChannel<D>& channel) {
    std::vector<GridProver<D>> provers;
    for (const auto& r : relations) provers.push_back(r.prover());
    std::vector<RoundProver<D>*> pointers;
    for (auto& p : provers) pointers.push_back(&p);
    return prove_sumchecks<D>(channel, pointers, shapes);
  });
  if (tampered_word != ~size_t{0}) exchange.bytes[tampered_word * 8 % exchange.bytes.size()] ^= 1;
  bool all = true;
  const std::string code = exchange.verify([&](VerifierChannel<D>& channel) {
    const auto end = verify_sumchecks<VerifierChannel<D>>(channel, "", shapes, claims);
    for (size_t i = 0; i < relations.size(); ++i) all &= end.claims[i] == relations[i].at(end.point);
  });
  CHECK(code.empty());
  return all;
}

template <int D>
void check_sumchecks() {
  Random random(3);
  for (const bool weighted : {false, true})
    for (int degree : {1, 2, 3}) {
      const std::vector<ProductSum<D>> together = {{random, 3, 5, degree, weighted},
                                                   {random, 1, 1, degree, weighted},
                                                   {random, 8, 130, degree, !weighted},
                                                   {random, 1, 7, 1, weighted}};
      CHECK(run_sumchecks<D>(together, 0, {}));
      CHECK(!run_sumchecks<D>(together, 0, Ext<D>::one()));  // a false claim ends in a false claim
      if (degree > 1) {
        const std::vector<ProductSum<D>> one = {{random, 4, 6, degree, weighted}};
        CHECK(!run_sumchecks<D>(one, 1, {}));  // a polynomial of higher degree than the relation has
      }
      for (size_t word = 0; word < 64; word += 3) CHECK(!run_sumchecks<D>(together, 0, {}, word));
    }
}
TEST(sumchecks) {
  check_sumchecks<2>();
  check_sumchecks<3>();
}

// A form over operands of all spreads, with every operand written out over the padded grid beside its table.
template <int D>
struct Grid {
  size_t rows, cols;
  typename GridProver<D>::Input in;
  ProductForm<D> form;
  std::vector<Vec<D>> cells;
  size_t padded_cols, padded_rows;
  Vec<D> eq;  // over the variables not yet bound, the current one included

  Grid(Random& random, uint32_t r, uint32_t c, bool elements, bool by_rows, bool by_cols)
      : rows(r), cols(c), padded_cols(size_t{1} << log2_ceil(c)), padded_rows(size_t{1} << log2_ceil(r)) {
    in.rows = r;
    in.cols = c;
    in.degree = 3;
    in.form.lambda = draw<D>(random);
    in.rho_rows = draw_all<D>(random, by_rows ? log2_ceil(r) : 0);
    in.rho_cols = draw_all<D>(random, by_cols ? log2_ceil(c) : 0);
    for (const Spread spread : {Spread::kCells, Spread::kRows, Spread::kCols, Spread::kCells, Spread::kCells})
      add_operand(random, spread, cells.size() == 3 ? 3 : 1, elements && cells.size() == 4);
    in.form.polys = {{{F(3), {0, 1, 2}}, {F(5), {0}}, {-F(1), {0, 3, 4}}, {-F(1), {4}}},
                     {{F(1), {1, 3}}, {F(2), {2, 4}}, {F(1), {3, 3}}, {F(1), {2, 2, 0}}}};
    form = in.form;
    const Vec<D> c_eq = by_cols ? eq_vector<D>(in.rho_cols) : Vec<D>(padded_cols, Ext<D>::one());
    const Vec<D> r_eq = by_rows ? eq_vector<D>(in.rho_rows) : Vec<D>(padded_rows, Ext<D>::one());
    for (const auto& y : r_eq)
      for (const auto& x : c_eq) eq.push_back(x * y);
  }
  void add_operand(Random& random, Spread spread, uint32_t repeats, bool element) {
    const size_t n = spread == Spread::kRows ? rows : cols;
    const size_t lines = spread == Spread::kCells ? ceil_div(rows, repeats) : 1;
    OperandTable<D> t{spread, Buffer<uint64_t>(element ? 0 : lines * even(n)), {}, repeats};
    Vec<D> values;
    for (size_t i = 0; i < lines; ++i)
      for (size_t j = 0; j < even(n); ++j) {
        const Ext<D> x = j == n ? Ext<D>() : element ? draw<D>(random) : Ext<D>(draw<D>(random).c[0]);
        if (!element) t.base.data()[i * even(n) + j] = x.c[0].v;
        if (j < n) values.push_back(x);
      }
    Vec<D>& all = cells.emplace_back(padded_rows * padded_cols);
    // A value by rows belongs to the whole row and one by columns to the whole column.
    for (size_t i = 0; i < (spread == Spread::kCols ? padded_rows : rows); ++i)
      for (size_t j = 0; j < (spread == Spread::kRows ? padded_cols : cols); ++j)
        all[i * padded_cols + j] =
            values[spread == Spread::kRows ? i : i / repeats * (spread == Spread::kCells) * n + j];
    if (element) t.ext = std::move(values);
    in.tables.push_back(std::move(t));
  }
  // The form on line i of every operand, at x.
  Ext<D> form_at(size_t i, F x) const {
    Ext<D> total, power = Ext<D>::one();
    for (const auto& poly : form.polys) {
      for (const auto& m : poly) {
        Ext<D> product = power * m.coefficient;
        for (const uint32_t t : m.operands) {
          const Vec<D>& v = cells[t];
          product *= v[2 * i] + (v[2 * i + 1] - v[2 * i]) * x;
        }
        total += product;
      }
      power *= form.lambda;
    }
    return total;
  }
  // The sum with the current variable's eq factor left out.
  Ext<D> round_at(F x, bool weighted) const {
    Ext<D> total;
    for (size_t i = 0; 2 * i < eq.size(); ++i)
      total += (weighted ? eq[2 * i] + eq[2 * i + 1] : eq[2 * i]) * form_at(i, x);
    return total;
  }
  Ext<D> sum() const {
    Ext<D> total;
    for (size_t i = 0; 2 * i < eq.size(); ++i)
      total += eq[2 * i] * form_at(i, F(0)) + eq[2 * i + 1] * form_at(i, F(1));
    return total;
  }
  void bind(const Ext<D>& r, bool weighted) {
    for (Vec<D>& v : cells) {
      for (size_t i = 0; 2 * i < v.size(); ++i) v[i] = v[2 * i] + (v[2 * i + 1] - v[2 * i]) * r;
      v.resize(v.size() / 2);
    }
    for (size_t i = 0; 2 * i < eq.size(); ++i) eq[i] = weighted ? eq[2 * i] + eq[2 * i + 1] : eq[2 * i];
    eq.resize(eq.size() / 2);
  }
};

template <int D>
void check_grid(Random& random, uint32_t rows, uint32_t cols, bool elements, bool by_rows, bool by_cols,
                bool told) {
  Grid<D> grid(random, rows, cols, elements, by_rows, by_cols);
  const size_t col_bits = log2_ceil(cols), bits = col_bits + log2_ceil(rows);
  const auto has_eq = [&](size_t k) { return k < col_bits ? by_cols : by_rows; };
  if (told && bits > 0) grid.in.claim = grid.sum();
  GridProver<D> prover(std::move(grid.in));
  for (size_t k = 0; k < bits; ++k) {
    const Vec<D> h = prover.round();
    CHECK_EQ(h.size(), 4U);
    for (uint64_t x = 0; x < h.size(); ++x) CHECK(h[x] == grid.round_at(F(x), has_eq(k)));
    const Ext<D> r = draw<D>(random);
    prover.bind(r);
    grid.bind(r, has_eq(k));
  }
  for (uint32_t t = 0; t < grid.cells.size(); ++t) CHECK(prover.value(t) == grid.cells[t][0]);
}

template <int D>
void check_grids() {
  Random random(11);
  for (const auto& [rows, cols] : std::vector<std::pair<uint32_t, uint32_t>>{{1, 1},
                                                                             {1, 2},
                                                                             {2, 1},
                                                                             {1, 7},
                                                                             {5, 1},
                                                                             {3, 8},
                                                                             {3, 9},
                                                                             {4, 16},
                                                                             {3, 130},
                                                                             {1, 300},
                                                                             {7, 257},
                                                                             {2, 515},
                                                                             {33, 17}})
    for (const bool elements : {false, true})
      for (int eq = 0; eq < 4; ++eq) check_grid<D>(random, rows, cols, elements, eq & 1, eq & 2, eq % 3 == 0);
}
TEST(grids) {
  on_all_paths([] {
    check_grids<2>();
    check_grids<3>();
  });
}

// ---- Fraction tree ----

template <int D>
struct Leaves {
  Vec<D> p, q;  // all 2^n of them
  bool ones;
  size_t stored;
  unsigned log_leaves;

  Leaves(Random& random, size_t blocks, bool all_one) : ones(all_one), stored(blocks * kBlock) {
    log_leaves = kLogBlock + log2_ceil(blocks);
    const size_t n = size_t{1} << log_leaves;
    for (size_t i = 0; i < n; ++i) {
      const bool present = i < stored;
      q.push_back(present ? draw<D>(random) : Ext<D>::one());
      p.push_back(ones ? Ext<D>::one() : present ? draw<D>(random) : Ext<D>::zero());
    }
  }
  Fractions<D> fractions() const {
    Fractions<D> out{ones ? PlaneBuffer<D>() : PlaneBuffer<D>(stored), PlaneBuffer<D>(stored)};
    for (size_t i = 0; i < stored; ++i) {
      out.q.set(i, q[i]);
      if (!ones) out.p.set(i, p[i]);
    }
    return out;
  }
  Ext<D> sum() const {
    Ext<D> total;
    for (size_t i = 0; i < p.size(); ++i) total += p[i] * inverse(q[i]);
    return total;
  }
};

template <int D>
std::string run_tree(const Leaves<D>& leaves, const std::vector<std::pair<size_t, uint8_t>>& flips = {}) {
  Exchange<D> exchange;
  exchange.prove([&](ProverChannel<D>& c) {
    return prove_fraction_tree<D>(c, leaves.fractions(), leaves.log_leaves).p;
  });
  for (const auto& [at, bits] : flips) exchange.bytes[at % exchange.bytes.size()] ^= bits;
  return exchange.verify([&](VerifierChannel<D>& c) {
    const auto tree = verify_fraction_tree<VerifierChannel<D>>(c, Where{"", "tree"}, leaves.log_leaves);
    if (!(tree.fraction == leaves.sum())) throw Rejected{"fraction", "", "", -1, ""};
    if (!(tree.p == extension_at<D>(leaves.p, tree.point))) throw Rejected{"p", "", "", -1, ""};
    if (!(tree.q == extension_at<D>(leaves.q, tree.point))) throw Rejected{"q", "", "", -1, ""};
  });
}

template <int D>
void check_trees() {
  Random random(4);
  for (size_t blocks : {1, 2, 3, 5, 7, 8, 13})
    for (bool ones : {false, true}) {
      const Leaves<D> leaves(random, blocks, ones);
      CHECK_EQ(run_tree<D>(leaves), "");
    }
  const Leaves<D> leaves(random, 3, true);
  for (size_t word = 0; word < 400; word += 7) CHECK(!run_tree<D>(leaves, {{8 * word, 1}}).empty());
}
TEST(fraction_trees) {
  check_trees<2>();
  check_trees<3>();
}

template <int D>
void check_vanishing() {
  Random random(5);
  for (size_t at : {0, 77, 383}) {
    Leaves<D> leaves(random, 3, true);
    leaves.q[at] = Ext<D>::zero();
    CHECK_EQ(run_tree<D>(leaves), "lookup.denominator");
    // The inverse of zero, replaced by any other element.
    for (size_t byte : {0, 3})
      CHECK_EQ(run_tree<D>(leaves, {{2 * sizeof(Ext<D>) + byte, 5}}), "lookup.denominator");
  }
  // All messages zero: P = Q = I = F = 0 would satisfy every layer.
  Exchange<D> zeros;
  zeros.bytes.resize(1 << 14);
  CHECK_EQ(zeros.verify([&](VerifierChannel<D>& c) {
    (void)verify_fraction_tree<VerifierChannel<D>>(c, Where{"", "tree"}, 9);
  }),
           "lookup.denominator");
  // A fraction that is not P / Q.
  const Leaves<D> leaves(random, 1, true);
  CHECK_EQ(run_tree<D>(leaves, {{3 * sizeof(Ext<D>), 1}}), "lookup.root");
}
TEST(vanishing_denominators) {
  check_vanishing<2>();
  check_vanishing<3>();
}

// A lookup counted twice: a leaf with the numerator two, everything else as it should be.
template <int D>
void check_numerators() {
  CellMap cells;
  Sketch k("circuit", cells);
  const uint32_t x = k.given("x", 2, 5, 9);
  k.in_range("x", k.range("range", -16, 32), x);
  const Circuit& c = k.circuit;
  const size_t first_block[] = {0};
  const uint32_t ids[] = {1};
  for (const bool twice : {false, true}) {
    Exchange<D> exchange;
    exchange.prove([&](ProverChannel<D>& channel) {
      const Fingerprint<D> fp(channel.challenge("lookup.alpha"), channel.challenge("lookup.beta"));
      (void)channel.challenge("zero.lambda");
      Fractions<D> leaves{PlaneBuffer<D>(2 * kBlock), PlaneBuffer<D>(2 * kBlock)};
      for (size_t i = 0; i < 2; ++i)
        for (size_t j = 0; j < kBlock; ++j) {
          const int64_t v = j < 5 ? cells.at("x").at(i, j) : 0;
          leaves.p.set(i * kBlock + j, twice && i + j == 0 ? Ext<D>(F(2)) : Ext<D>::one());
          leaves.q.set(i * kBlock + j,
                       j < 5 ? fp.alpha - Ext<D>::one() - fp.beta[0] * F::from_i64(v) : Ext<D>::one());
        }
      return prove_fraction_tree<D>(channel, std::move(leaves), 8).q;
    });
    CHECK_EQ(exchange.verify([&](VerifierChannel<D>& channel) {
      const Fingerprint<D> fp(channel.challenge("lookup.alpha"), channel.challenge("lookup.beta"));
      ClaimList<D, Ext<D>> claims;
      SegmentVerifier<VerifierChannel<D>> verifier(channel, "", c, first_block, claims);
      (void)verifier.verify(ids, fp);
    }),
             twice ? "lookup.numerator" : "");
  }
}
TEST(numerators_are_one) {
  check_numerators<2>();
  check_numerators<3>();
}

// ---- Claims ----

// Cells of the whole stack, weighted as a functional says, naively.
template <int D>
using CellWeightMap = std::map<std::pair<size_t, size_t>, Ext<D>>;

template <int D>
void add_term(CellWeightMap<D>& sum, const Term<D>& t, const Ext<D>& scale) {
  const size_t row_blocks = t.view.row_blocks();
  for (uint32_t i = 0; i < t.view.rows; ++i)
    for (uint32_t j = 0; j < t.view.cols; ++j) {
      const auto [a, b] = t.view.range(i);
      const auto [c, d] = t.also.range(i, t.view.cols);
      if (j < a || j >= b || j < c || j >= d) continue;
      const size_t block = i * row_blocks + j / kBlock;
      const Ext<D> w = t.leaves ? t.leaves->high[t.leaf_base + block] * t.leaves->low[j % kBlock]
                                : (*t.rows)[i] * t.cols->at(j);
      sum[{t.first_block + block, j % kBlock}] += scale * t.coefficient * w;
    }
}

Domain draw_domain(Random& random) {
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  const uint32_t rows = 1 + below(9), cols = 1 + below(300);
  return below(2) == 0 ? full(rows, cols) : causal(rows, cols, 1 + below(3), below(4));
}

template <int D>
Claim<D> draw_claim(Random& random, const std::shared_ptr<const LeafWeights<D>>& leaves, size_t blocks) {
  Claim<D> claim;
  for (size_t n = 1 + random() % 3; n > 0; --n) {
    Term<D> t;
    t.view = draw_domain(random);
    if (random() % 3 == 0) t.also = draw_domain(random).ragged;
    t.first_block = random() % (blocks - t.view.blocks() + 1);
    t.coefficient = draw<D>(random);
    if (random() % 3 == 0) {
      t.leaves = leaves;
      t.leaf_base = random() % (leaves->high.size() - t.view.blocks() + 1);
    } else {
      t.rows = std::make_shared<const Vec<D>>(draw_all<D>(random, t.view.rows));
      t.cols = random() % 2 == 0
                   ? ColumnWeights<D>::from_cells(draw_all<D>(random, t.view.cols))
                   : ColumnWeights<D>::from_point(draw_all<D>(random, log2_ceil(t.view.cols)), t.view.cols);
    }
    claim.terms.push_back(std::move(t));
  }
  return claim;
}

template <int D>
void check_combiner() {
  Random random(6);
  constexpr unsigned kBits = 11;  // more than the low part of a number of a block
  auto leaves = std::make_shared<LeafWeights<D>>();
  *leaves = *leaf_weights<D>(draw_all<D>(random, kLogBlock + 5));
  for (int round = 0; round < 20; ++round) {
    std::vector<Claim<D>> claims;
    for (size_t n = 1 + random() % 5; n > 0; --n)
      claims.push_back(draw_claim<D>(random, leaves, size_t{1} << kBits));
    const Ext<D> gamma = draw<D>(random);
    CellWeightMap<D> naive;
    Ext<D> power = Ext<D>::one();
    for (const auto& c : claims) {
      for (const auto& t : c.terms) add_term<D>(naive, t, power);
      power *= gamma;
    }
    const auto combined = CombinedFunctional<D>::combine(claims, gamma);
    const Vec<D> columns = draw_all<D>(random, kLogBlock), blocks = draw_all<D>(random, kBits);
    const Vec<D> eq_columns = eq_vector<D>(columns), eq_blocks = eq_vector<D>(blocks);
    Ext<D> expected;
    for (const auto& [at, w] : naive) expected += w * eq_blocks[at.first] * eq_columns[at.second];
    CHECK(evaluate_claims<D>(claims, gamma, columns, blocks) == expected);
    const Vec<D> bound = combined.block_weights(columns, size_t{1} << kBits);
    CHECK(inner_product<D>(bound.data(), eq_blocks.data(), bound.size()) == expected);
  }
}
TEST(combined_claims) {
  check_combiner<2>();
  check_combiner<3>();
}

// The functional of a polynomial against its values cell by cell.
template <int D>
void check_functional(const Domain& d, bool by_leaves) {
  Random random(8);
  CellMap cells;
  Sketch k("circuit", cells);
  const uint32_t a = k.given("a", d.rows, d.cols, 1000), b = k.given("b", d.rows, d.cols, 1000);
  const uint32_t r = k.given("r", 1, d.rows, 1000), c = k.given("c", 1, d.cols, 1000);
  Poly poly = {{3, {cell(k.wire(d.rows, d.cols, {{2, a}, {-1, b}, {1, a}}, 5))}},
               {-2, {row(k.wire(1, d.rows, {{1, r}}, -7))}},
               {11, {}}};
  if (by_leaves || !d.ragged.causal) poly.push_back({4, {col(k.wire(1, d.cols, {{-1, c}}, 1))}});
  std::vector<size_t> first_block;
  size_t at = 3;
  for (const Tensor& t : k.circuit.tensors) {
    first_block.push_back(at);
    at += t.shape.blocks();
  }

  CellWeights<D> w;
  const Vec<D> rows = draw_all<D>(random, d.rows), point = draw_all<D>(random, log2_ceil(d.cols));
  w.rows = row_weights<D>(rows);
  w.cols = ColumnWeights<D>::from_point(point, d.cols);
  if (by_leaves) {
    w.leaves = leaf_weights<D>(draw_all<D>(random, kLogBlock + log2_ceil(d.blocks() + 2)));
    w.leaf_base = 2;
  }
  Claim<D> claim;
  const Ext<D> factor = draw<D>(random);
  Ext<D> got = Functionals<D>(k.circuit, first_block).add_poly(claim, poly, factor, d, w);
  CellWeightMap<D> weights;
  for (const auto& t : claim.terms) add_term<D>(weights, t, Ext<D>::one());
  for (const auto& [place, weight] : weights)
    for (size_t t = 0; t < k.circuit.tensors.size(); ++t) {
      const TensorData& data = cells.at(k.circuit.tensors[t].name);
      const size_t blocks = k.circuit.tensors[t].shape.blocks();
      if (place.first < first_block[t] || place.first >= first_block[t] + blocks) continue;
      const size_t cell_index = (place.first - first_block[t]) * kBlock + place.second;
      got += weight * F::from_i64(data.template as<int32_t>()[cell_index]);
    }

  Ext<D> expected;
  for (uint32_t i = 0; i < d.rows; ++i) {
    const auto [lo, hi] = d.range(i);
    for (uint32_t j = lo; j < hi; ++j) {
      int64_t v = 3 * (3 * cells.at("a").at(i, j) - cells.at("b").at(i, j) + 5) -
                  2 * (cells.at("r").at(0, i) - 7) + 11;
      if (poly.size() == 4) v += 4 * (1 - cells.at("c").at(0, j));
      const Ext<D> weight =
          by_leaves ? w.leaves->high[2 + i * d.row_blocks() + j / kBlock] * w.leaves->low[j % kBlock]
                    : rows[i] * w.cols->at(j);
      expected += weight * factor * F::from_i64(v);
    }
  }
  CHECK(got == expected);
}
TEST(functionals) {
  for (const Domain& d : {full(1, 1), full(3, 130), full(5, 640), causal(9, 9, 2, 3), causal(140, 140, 1, 0)})
    for (bool by_leaves : {false, true}) {
      check_functional<2>(d, by_leaves);
      check_functional<3>(d, by_leaves);
    }
}

// ---- Table side ----

template <int D>
void check_table_side() {
  Random random(9);
  std::vector<Table> tables = {{"one", true, 0, 1, {}},
                               {"near", true, -5, 127, {}},
                               {"block", true, 7, 128, {}},
                               {"past", true, -1000, 300, {}}};
  Table function{"function", false, -60, 129, std::vector<std::vector<int64_t>>(4)};
  for (auto& image : function.images)
    for (uint32_t i = 0; i < function.rows; ++i)
      image.push_back(static_cast<int64_t>(random() >> 2) - (int64_t{1} << 61));
  tables.push_back(function);
  std::vector<const Table*> all;
  size_t blocks = 0;
  for (const Table& t : tables) {
    all.push_back(&t);
    blocks += ceil_div(t.rows, kBlock);
  }
  const Fingerprint<D> fp(draw<D>(random), draw<D>(random));
  const auto leaves = leaf_weights<D>(draw_all<D>(random, log_leaves(blocks)));
  Vec<D> q(size_t{1} << log_leaves(blocks), Ext<D>::one());
  size_t at = 0;
  for (size_t k = 0; k < tables.size(); ++k) {
    for (uint32_t r = 0; r < tables[k].rows; ++r) {
      Ext<D> v = fp.alpha - Ext<D>(F(k + 1));
      for (size_t c = 0; c < tables[k].columns(); ++c) v -= fp.beta[c] * F::from_i64(tables[k].value(c, r));
      q[at + r] = v;
    }
    at += ceil_div(tables[k].rows, kBlock) * kBlock;
  }
  Ext<D> expected;
  for (size_t i = 0; i < q.size(); ++i) expected += q[i] * leaves->high[i / kBlock] * leaves->low[i % kBlock];
  CHECK(table_denominator<D>(all, fp, *leaves) == expected);
}
TEST(table_denominators) {
  check_table_side<2>();
  check_table_side<3>();
}

// ---- Opening ----

// One commitment whose word has `wrong` columns that are not those of its cells.
struct WrongColumns {
  CodeParams code{7, 64, 8, 3, 4};
  std::vector<int32_t> cells;
  std::vector<uint8_t> word;
  std::vector<Digest> digests;
  std::unique_ptr<ProverCommitment> prover;
  static constexpr uint32_t kRows = 5;

  WrongColumns(uint32_t wrong, uint32_t queries) {
    code.queries = queries;
    Random random(10);
    for (size_t i = 0; i < kRows * code.columns(); ++i)
      cells.push_back(static_cast<int32_t>(random() % 2001) - 1000);
    const PartCells part{kRows, {{0, cells.size() / kBlock, CellType::kInt32, cells.data()}}};
    const ReedSolomon rs(code.message(), code.log_coset, code.cosets);
    const PrgKey key{};
    (void)part_digests(
        code, rs, part, 0, key,
        [&](size_t, std::span<const F> columns) {
          const auto* p = reinterpret_cast<const uint8_t*>(columns.data());
          word.insert(word.end(), p, p + columns.size_bytes());
        },
        true);
    for (uint32_t j = 0; j < code.length(); ++j) {
      uint8_t* column = word.data() + j * kRows * sizeof(F);
      if (j % (code.length() / std::max(wrong, 1U)) == 0 && wrong != 0) column[8] ^= 1;
      Sha256 hash;
      hash.update({column, kRows * sizeof(F)});
      hash.update(column_salt(key, 0, j));
      hash.update(std::span(&kColumnTag, 1));
      digests.push_back(hash.finish());
    }
    prover = std::make_unique<ProverCommitment>("word", code, std::vector<PartCells>{part}, key);
    LeafHasher leaves(code.length());
    leaves.absorb(digests);
    prover->restore(leaves.finish(), {digests.data()});
    prover->set_codeword(0, word.data());
  }
};

template <int D>
std::string run_opening(const WrongColumns& w, uint8_t instance) {
  const Stack stack(w.code, {{"word", {WrongColumns::kRows}, {true}}});
  const ReedSolomon rs(w.code.message(), w.code.log_coset, w.code.cosets);
  Claim<D> claim;
  Term<D> t;
  t.view = full(1, 128);
  t.coefficient = Ext<D>::one();
  t.rows = std::make_shared<const Vec<D>>(1, Ext<D>::one());
  t.cols = ColumnWeights<D>::ones(128);
  claim.terms.push_back(t);
  int64_t sum = 0;
  for (size_t j = 0; j < 128; ++j) sum += w.cells[j];
  ClaimList<D, Ext<D>> claims;
  claims.add(claim, Ext<D>::from_i64(sum));
  const ProverCommitment* const provers[] = {w.prover.get()};
  const Digest roots[] = {w.prover->root()};
  Exchange<D> exchange;
  exchange.instance = instance;
  const auto columns = [&](Transcript& transcript) {
    return transcript.challenge_indices("opening.columns", w.code.queries, w.code.length());
  };
  exchange.prove([&](ProverChannel<D>& c) {
    send_combination<D>(c, stack, provers, claims, nullptr);
    c.append(w.prover->open_columns(rs, {true}, columns(c.transcript())));
    return 0;
  });
  return exchange.verify([&](VerifierChannel<D>& c) {
    OpeningVerifier<VerifierChannel<D>> opening(c, stack, roots, {});
    opening.receive_combination(claims);
    opening.verify_columns(c.challenge_indices("opening.columns", w.code.queries, w.code.length()));
  });
}

// A query meets one of k wrong columns as often as drawing without replacement says.
template <int D>
void check_wrong_columns(uint32_t wrong, uint32_t queries) {
  const WrongColumns w(wrong, queries);
  int caught = 0;
  constexpr int kRuns = 200;
  for (int run = 0; run < kRuns; ++run) {
    const std::string code = run_opening<D>(w, static_cast<uint8_t>(run));
    CHECK(code.empty() || code == "opening.column");
    caught += !code.empty();
  }
  double missed = 1;
  const double n = static_cast<double>(w.code.length());
  for (uint32_t q = 0; q < queries; ++q) missed *= (n - wrong - q) / (n - q);
  const double expected = kRuns * (1 - missed), deviation = std::sqrt(kRuns * missed * (1 - missed));
  if (std::abs(caught - expected) > 4 * deviation + 1e-9) {
    std::fprintf(stderr, "%u wrong columns, %u queries: caught %d times, expected %.1f\n", wrong, queries,
                 caught, expected);
    CHECK(false);
  }
}
TEST(wrong_columns_are_caught_as_often_as_expected) {
  check_wrong_columns<3>(0, 4);
  check_wrong_columns<3>(192, 1);
  check_wrong_columns<2>(192, 4);
  check_wrong_columns<3>(64, 8);
  check_wrong_columns<3>(768, 1);
}

// ---- Bits ----

const SecurityTerm& term_named(const std::vector<SecurityTerm>& terms, const std::string& name) {
  for (const SecurityTerm& t : terms)
    if (t.name == name) return t;
  throw ProgrammerError("no such term");
}

TEST(query_bits_count_sets_of_columns) {
  for (const CodeParams& code : {CodeParams{16, 1U << 15, 17, 3, 194}, CodeParams{10, 256, 11, 3, 152},
                                 CodeParams{7, 64, 8, 3, 24}, CodeParams{7, 1, 8, 3, 5}}) {
    // A word at half the distance agrees in so many columns; the sets of Q columns among them, of all sets.
    const double n = static_cast<double>(code.length());
    const double agree = std::floor((n + static_cast<double>(code.message())) / 2), q = code.queries;
    const double log_missed =
        std::lgamma(agree + 1) - std::lgamma(agree - q + 1) - std::lgamma(n + 1) + std::lgamma(n - q + 1);
    const double bits = term_named(security_terms(code, {}), "opening: queries").bits;
    CHECK(bits <= -log_missed / std::log(2.0) + 1e-6);
    CHECK(bits >= -log_missed / std::log(2.0) - 0.2);
  }
}

TEST(bits_are_of_the_sum_of_all_errors) {
  const std::vector<SecurityTerm> terms = {{"a", 10}, {"b", 10}, {"c", 200}};
  CHECK(std::abs(security_bits(terms) - 9) < 1e-9);
  ProofSizes s;
  s.degree = 3;
  s.claims = 300;
  s.stack_rows = 1000;
  s.stack_blocks = 1 << 19;
  s.lookups = 3'000'000;
  s.table_rows = 400'000;
  const auto before = security_terms({}, s);
  CHECK(security_bits(before) > 128);
  s.degree = 2;
  CHECK(security_bits(security_terms({}, s)) < 105);
  // The challenges of a fingerprint: a value outside its table meets a row of it (degree 5 in beta), or the
  // sums agree at alpha.
  const double union_bound = 5.0 * 400'000 + 3'000'000 + 400'000;
  CHECK(term_named(before, "lookups: fingerprints").bits <= 3 * 64.0 - std::log2(union_bound));
}

}  // namespace

ASSAY_TEST_MAIN
