// Whole proofs of small circuits: honest ones are accepted, and a prover that breaks one relation, one
// message or one field of the statement is rejected at the check that is there for it.
#include <cmath>
#include <set>

#include "base/bytes.h"
#include "base/parallel.h"
#include "circuits.h"
#include "paths.h"

using namespace assay;
using namespace assay::test;

namespace {

constexpr int kDegrees[] = {2, 3};

// What a prover changes after computing the witness, and the check that has to catch it.
struct Forgery {
  std::vector<Change> changes;
  std::string code, relation;
};

// In zero knowledge all of them fail at one check, which cannot tell them apart.
void check_hiding(const std::string& what, const Setup& setup, const std::vector<Forgery>& forgeries) {
  const Statement hidden = setup.hidden();
  expect_accepted(what + ", hiding", verdict(hidden, setup.prove(hidden, {})));
  for (const Forgery& f : forgeries)
    expect(what + ", hiding, " + f.changes[0].tensor,
           verdict(hidden, setup.prove(hidden, cheating(setup, f.changes))), "tableau.linear", "tableau");
}

void check_circuit(const std::string& name, const Describe& describe, const std::vector<Forgery>& forgeries,
                   const CodeParams& code = tiny_code()) {
  for (int degree : kDegrees) {
    const Setup setup(degree, describe, code);
    const std::string what = name + ", degree " + std::to_string(degree);
    expect_accepted(what, verdict(setup.statement, setup.prove()));
    for (const Forgery& f : forgeries) {
      const auto body = setup.prove(cheating(setup, f.changes));
      expect(what + ", " + f.changes[0].tensor, verdict(setup.statement, body), f.code, f.relation);
    }
    check_hiding(what, setup, forgeries);
  }
}

// ---- Relations ----

void check_product(const std::string& name, const ProductShape& s) {
  const bool dot = s.kind == EinsumKind::kRowDot;
  const size_t last_row = dot ? 0 : s.rows() - 1, last_col = (dot ? s.rows() : s.cols) - 1;
  check_circuit(name, product_circuit(s),
                {{{{"out", 0, 0, 1}}, "sumcheck.einsum", "product"},
                 {{{"out", last_row, last_col, -1}}, "sumcheck.einsum", "product"},
                 {{{"x", 0, 0, 1}}, "sumcheck.einsum", "product"}});
}

TEST(products_by_rows) {
  check_product("1x1", {.kind = EinsumKind::kNT});
  check_product("3x130", {.kind = EinsumKind::kNT, .outer = 3, .depth = 130, .cols = 5});
  check_product("5x640", {.kind = EinsumKind::kNT, .outer = 5, .depth = 640, .cols = 3});
  check_product("heads",
                {.kind = EinsumKind::kNT, .outer = 3, .groups = 2, .members = 3, .depth = 12, .cols = 7});
  check_product("three groups", {.kind = EinsumKind::kNT, .outer = 2, .groups = 3, .depth = 5, .cols = 130});
  check_product("ragged",
                {.kind = EinsumKind::kNT, .outer = 5, .groups = 2, .depth = 9, .cols = 2, .ragged = true});
}

TEST(products_by_columns) {
  check_product("1x1", {.kind = EinsumKind::kNN});
  check_product("3x130", {.kind = EinsumKind::kNN, .outer = 3, .depth = 130, .cols = 5});
  check_product("5x640", {.kind = EinsumKind::kNN, .outer = 5, .depth = 3, .cols = 640});
  check_product("heads",
                {.kind = EinsumKind::kNN, .outer = 5, .groups = 2, .members = 3, .depth = 5, .cols = 7});
  check_product("ragged", {.kind = EinsumKind::kNN,
                           .outer = 7,
                           .groups = 2,
                           .members = 2,
                           .depth = 7,
                           .cols = 10,
                           .ragged = true});
}

TEST(products_of_rows) {
  check_product("1x1", {.kind = EinsumKind::kRowDot});
  check_product("3x130", {.kind = EinsumKind::kRowDot, .outer = 3, .depth = 130});
  check_product("5x640", {.kind = EinsumKind::kRowDot, .outer = 5, .depth = 640});
  check_product("ragged", {.kind = EinsumKind::kRowDot, .outer = 7, .depth = 7, .ragged = true});
}

void check_selected(const std::string& name, const SelectedShape& s) {
  check_circuit(name, selected_circuit(s),
                {{{{"out", 0, 0, 1}}, "sumcheck.einsum", "product"},
                 {{{"out", s.rows - 1, s.cols - 1, -1}}, "sumcheck.einsum", "product"},
                 {{{"x", s.x_rows - 1, s.depth - 1, 1}}, "sumcheck.einsum", "product"},
                 {{{"s", s.rows - 1, s.groups - 1, 1}}, "sumcheck.einsum", "product"},
                 {{{"s", 0, 0, -1}}, "sumcheck.einsum", "product"}});
}

TEST(selected_products) {
  check_selected("1x1", {});
  check_selected("a group", {.rows = 3, .x_rows = 3, .depth = 130, .cols = 5});
  check_selected("a row", {.x_rows = 1, .groups = 3, .depth = 5, .cols = 2});
  check_selected("a column", {.rows = 6, .x_rows = 3, .groups = 5, .depth = 1, .cols = 1});
  check_selected("powers of two", {.rows = 8, .x_rows = 4, .groups = 4, .depth = 16, .cols = 4});
  check_selected("none", {.rows = 9, .x_rows = 3, .groups = 7, .depth = 11, .cols = 130});
  check_selected("many groups", {.rows = 4, .x_rows = 2, .groups = 130, .depth = 3, .cols = 3});
}

void check_zero(const std::string& name, uint32_t rows, uint32_t cols, uint32_t divisor, uint32_t distance) {
  check_circuit(name, zero_circuit(rows, cols, divisor, distance),
                {{{{"y0", 0, 0, 1}}, "sumcheck.zero", "zero"},
                 {{{"y0", rows - 1, cols - 1, 1}}, "sumcheck.zero", "zero"},
                 {{{"y1", rows - 1, 0, -1}}, "sumcheck.zero", "zero"},
                 {{{"y1", 0, cols - 1, 7}}, "sumcheck.zero", "zero"},
                 {{{"r", 0, rows - 1, 1}}, "sumcheck.zero", "zero"}});
}

TEST(zero_checks) {
  check_zero("1x1", 1, 1, 1, 0);
  check_zero("3x130", 3, 130, 2, 0);
  check_zero("5x640", 5, 640, 1, 0);
  check_zero("6x256, swapped halves", 6, 256, 3, 128);
  check_zero("6x8, swapped neighbours", 6, 8, 2, 1);
  check_zero("130x4", 130, 4, 13, 2);
}

// Linear relations send no message: a false one makes the claims false that the opening settles.
void check_linear(const std::string& name, const Domain& d) {
  const auto [lo, hi] = d.range(d.rows - 1);
  check_circuit(name, linear_circuit(d),
                {{{{"y", 0, 0, 1}}, "opening.reduction", "opening"},
                 {{{"y", d.rows - 1, hi - 1, -1}}, "opening.reduction", "opening"}});
}

TEST(linear_relations) {
  check_linear("1x1", full(1, 1));
  check_linear("3x130", full(3, 130));
  check_linear("5x640", full(5, 640));
  check_linear("3x256, reshaped", full(3, 256));
  check_linear("causal", causal(6, 6, 1, 0));
  check_linear("windows of heads", causal(12, 6, 2, 3));
  check_linear("long rows", causal(140, 140, 1, 0));
}

void check_row_sum(const std::string& name, const Domain& d) {
  check_circuit(name, row_sum_circuit(d),
                {{{{"s", 0, 0, 1}}, "opening.reduction", "opening"},
                 {{{"s", 0, d.rows - 1, -1}}, "opening.reduction", "opening"}});
}

TEST(row_sums) {
  check_row_sum("1x1", full(1, 1));
  check_row_sum("3x130", full(3, 130));
  check_row_sum("5x640", full(5, 640));
  check_row_sum("causal", causal(9, 9, 1, 0));
  check_row_sum("windows of heads", causal(150, 150, 1, 20));
}

TEST(totals_are_what_was_proven) {
  const Setup setup(3, row_sum_circuit(full(3, 130)));
  const Plan plan(setup.statement);
  const Verified v = verify_body(plan, setup.prove());
  uint64_t total = 0;
  for (uint32_t i = 0; i < 3; ++i)
    for (uint32_t j = 0; j < 130; ++j) total += static_cast<uint64_t>(setup.cells.at("given").at(i, j));
  if (static_cast<int64_t>(total) < 0) total += kModulus;
  CHECK_EQ(v.totals[0][0].first, "total");
  CHECK_EQ(v.totals[0][0].second, total);
}

void check_lookup(const std::string& name, const Domain& d) {
  const size_t row = d.rows - 1, col = d.range(d.rows - 1).second - 1;
  check_circuit(name, lookup_circuit(d),
                {{{{"near.square", row, col, 1}}, "lookup.sum", "lookup"},
                 {{{"far.cube", 0, 0, 1}}, "lookup.sum", "lookup"},
                 {{{"m", 0, row, 1}}, "lookup.sum", "lookup"},    // keys of the whole row move
                 {{{"m", 0, row, 100}}, "lookup.sum", "lookup"},  // out of the table
                 {{{"q", 2, 129, 300}}, "lookup.sum", "lookup"},  // out of the range
                 {{{"q", 0, 0, -300}}, "lookup.sum", "lookup"}});
}

TEST(lookups) {
  check_lookup("1x1", full(1, 1));
  check_lookup("3x130", full(3, 130));
  check_lookup("causal", causal(6, 6, 1, 0));
  check_lookup("windows of heads", causal(12, 6, 2, 3));
  check_lookup("two blocks a row", causal(140, 140, 1, 0));
}

void check_split(const std::string& name, uint32_t rows, uint32_t parts, uint32_t cols) {
  const size_t last = size_t{parts} * cols - 1;
  check_circuit(name, split_circuit(rows, parts, cols),
                {{{{"y", 0, 0, 1}}, "sumcheck.einsum", "product"},
                 {{{"y", rows - 1, last, -1}}, "sumcheck.einsum", "product"},
                 {{{"z", rows * parts - 1, cols - 1, 1}}, "sumcheck.zero", "z"},
                 {{{"out", rows - 1, last, 1}}, "sumcheck.einsum", "product"},
                 {{{"s", 0, rows * parts - 1, 1}}, "opening.reduction", "opening"}});
}

TEST(split_views) {
  check_split("9 of 64", 2, 9, 64);
  check_split("12 of 32", 1, 12, 32);
  check_split("2 of 64, all of a block", 3, 2, 64);
  check_split("3 of 8, less than a block", 3, 3, 8);
}

TEST(indexed_operands) {
  check_circuit("indexed", indexed_circuit(),
                {{{{"g", 0, 129, 1}}, "opening.reduction", "opening"},   // not the row that is named
                 {{{"g", 1, 5, 1}}, "opening.reduction", "opening"},     // a row of nothing
                 {{{"p", 0, 0, -1}}, "opening.reduction", "opening"},    // not the cell that is named
                 {{{"p", 1, 0, 7}}, "opening.reduction", "opening"}});
}

// A value of the table's column moved to another row of it keeps no multiplicity right.
TEST(image_of_another_row) {
  const Setup setup(3, lookup_circuit(full(1, 1)));
  const int64_t key = setup.cells.at("rows").at(0, 0) - setup.cells.at("x").at(0, 0);
  const int64_t other = key == 0 ? 1 : 0;
  const auto body =
      setup.prove(cheating(setup, {{"near.square", 0, 0, other * other - key * key},
                                   {"near.cube", 0, 0, other * other * other - key * key * key}}));
  expect("another row", verdict(setup.statement, body), "lookup.sum", "lookup");
}

// Rows that are longer, as long and shorter than a tensor's rows; tensors that begin inside a row.
TEST(layouts) {
  for (uint32_t log_columns : {7U, 8U, 10U}) {
    check_circuit("two layers", two_layers(3, 130), {{{{"y", 1, 1, 1}}, "sumcheck.einsum", "linear"}},
                  tiny_code(log_columns));
    check_circuit("everything", everything(), {{{{"z", 1, 2, 1}}, "sumcheck.zero", "square"}},
                  tiny_code(log_columns));
  }
}

TEST(remainders_and_quotients) {
  const Setup setup(3, two_layers(3, 5));
  const auto rejected = [&](const std::vector<Change>& changes, size_t segment, const std::string& code,
                            const std::string& relation) {
    expect(code, verdict(setup.statement, setup.prove(cheating(setup, changes, segment))), code, relation);
  };
  // Off by one with the remainder adapted: the product holds, the remainder leaves its range.
  for (size_t segment : {0U, 1U}) {
    rejected({{"y", 0, 0, 1}, {"r", 0, 0, -16}}, segment, "lookup.sum", "lookup");
    rejected({{"y", 2, 4, -1}, {"r", 2, 4, 16}}, segment, "lookup.sum", "lookup");
    rejected({{"y", 2, 4, 1}}, segment, "sumcheck.einsum", "linear");
  }
  // The quotient takes what the remainder cannot: out of its own range.
  rejected({{"y", 0, 0, int64_t{1} << 20}}, 0, "sumcheck.einsum", "linear");
}

TEST(multiplicities) {
  const Setup setup(3, two_layers(3, 5));
  const auto with_counts = [&](std::vector<Change> changes, std::vector<std::pair<size_t, int32_t>> added) {
    ProveOptions options = cheating(setup, std::move(changes));
    options.corrupt_counts = [added = std::move(added)](std::vector<int32_t>& counts) {
      for (const auto& [at, delta] : added) counts[at] += delta;
    };
    return verdict(setup.statement, setup.prove(options));
  };
  constexpr size_t kNarrow = 0, kWide = kBlock;  // range.16, then range.wide from -2048
  expect("one more", with_counts({}, {{kNarrow + 3, 1}}), "lookup.sum", "lookup");
  expect("moved", with_counts({}, {{kNarrow + 3, 1}, {kNarrow + 4, -1}}), "lookup.sum", "lookup");
  expect("moved to another table", with_counts({}, {{kNarrow + 3, -1}, {kWide + 2048 + 3, 1}}), "lookup.sum",
         "lookup");
  // A remainder of 16 or more is in no row of its table, but in one of another table.
  int64_t acc = 8;
  for (size_t k = 0; k < 5; ++k)
    acc += setup.cells.at("boundary.0").at(0, k) * setup.cells.at("w.0").at(0, k);
  const auto remainder = static_cast<size_t>(acc & 15);
  expect("a value of another table",
         with_counts({{"y", 0, 0, -1}, {"r", 0, 0, 16}}, {{kWide + 2048 + remainder + 16, 1}}), "lookup.sum",
         "lookup");
  expect_accepted("of a row that does not exist", with_counts({}, {{kNarrow + 16, 5}}));
}

TEST(segments_are_named) {
  const Setup setup(3, two_layers(3, 5));
  const Verdict v = verdict(setup.statement, setup.prove(cheating(setup, {{"y", 0, 0, 1}}, 1)));
  CHECK_EQ(v.segment, "segment 1");
}

// A cell that does not exist has no value: what a prover reads from it is not what it claims.
TEST(absent_cells_are_not_read) {
  const Setup setup(3, row_sum_circuit(causal(9, 9, 1, 0)));
  const auto body = setup.prove(cheating(setup, {{"x", 0, 5, 1}}));
  expect("absent cell", verdict(setup.statement, body), "opening.reduction", "opening");
}

// ---- Provers whose circuit is not the statement's ----

template <class Change>
Verdict lie(const Setup& setup, Change change) {
  Statement told = setup.statement;
  auto circuit = std::make_shared<Circuit>(*told.segments[0].circuit);
  change(*circuit);  // the digest stays
  told.segments[0].circuit = circuit;
  ProveOptions options;
  options.self_check = false;
  return verdict(setup.statement, setup.prove(told, options));
}

TEST(lying_circuits) {
  for (int degree : kDegrees) {
    const Setup zero(degree, zero_circuit(6, 8, 2, 1));
    expect("positions shifted",
           lie(zero,
               [](Circuit& c) {
                 auto& v = c.publics[0].values;
                 std::rotate(v.begin(), v.begin() + 8, v.end());
               }),
           "sumcheck.zero", "zero");
    expect("a constant",
           lie(zero,
               [](Circuit& c) {
                 c.zero_checks[0].polys[0][2].coefficient = 5;
                 c.program[1].poly[2].coefficient = 5;
               }),
           "sumcheck.zero", "zero");
    expect("other columns swapped",
           lie(zero,
               [](Circuit& c) {
                 c.zero_checks[0].polys[0][3].operands[0].argument = 4;
                 c.program[1].poly[3].operands[0].argument = 4;
               }),
           "opening.reduction", "opening");
    const Setup lookup(degree, lookup_circuit(full(3, 5)));
    expect("another table", lie(lookup, [](Circuit& c) { c.tables[0].images[0][18] = 1; }), "lookup.table",
           "tables");
    expect("a wider range", lie(lookup, [](Circuit& c) { c.tables[2].rows = 301; }), "lookup.table",
           "tables");
    expect("fewer lookups", lie(lookup, [](Circuit& c) { c.lookups[0].domain = causal(3, 5, 1, 0); }),
           "lookup.sum", "lookup");
    expect("no lookup", lie(lookup, [](Circuit& c) { c.lookups[2].domain = full(2, 130); }), "lookup.sum",
           "lookup");
  }
}

// e has cells beyond the mask; sums over them are consistent among themselves.
TEST(masked_cells) {
  const Setup sums(3, row_sum_circuit(causal(9, 9, 1, 0)));
  expect("a longer row",
         lie(sums,
             [](Circuit& c) {
               c.tensors[1].shape.ragged = {};
               c.program[0].domain.ragged = {};
             }),
         "opening.reduction", "opening");
  const Setup product(
      3, product_circuit(
             {.kind = EinsumKind::kNN, .outer = 7, .groups = 2, .depth = 7, .cols = 3, .ragged = true}));
  expect("a longer window",
         lie(product,
             [](Circuit& c) {
               c.tensors[1].shape.ragged.window = 4;
               c.program[0].domain.ragged.window = 4;
             }),
         "opening.reduction", "opening");
}

TEST(another_weight_or_boundary) {
  const Setup setup(3, two_layers(3, 5));
  expect("weight of another layer", lie(setup, [](Circuit& c) { c.tensors[1].name = "w.1"; }),
         "opening.reduction", "opening");
  expect("another boundary in", lie(setup, [](Circuit& c) { c.tensors[0].name = "boundary.1"; }),
         "opening.reduction", "opening");
  expect("another boundary out", lie(setup, [](Circuit& c) { c.tensors[4].name = "boundary.2"; }),
         "opening.reduction", "opening");
}

TEST(heads_swapped) {
  for (EinsumKind kind : {EinsumKind::kNT, EinsumKind::kNN}) {
    const Setup setup(
        3, product_circuit({.kind = kind, .outer = 4, .groups = 2, .members = 2, .depth = 4, .cols = 3}));
    expect("heads", lie(setup, [](Circuit& c) { c.einsums[0].members = 1; }), "opening.reduction", "opening");
  }
}

// A prover whose own relations hold, with other operands than the circuit's.
TEST(selected_otherwise) {
  const Setup setup(3, selected_circuit({.rows = 6, .x_rows = 3, .groups = 3, .depth = 5, .cols = 4}));
  const auto lied = [&](const std::string& what, const std::function<void(Circuit&)>& change) {
    expect(what, lie(setup, change), "opening.reduction", "opening");
  };
  lied("another selection", [](Circuit& c) {
    for (auto& [coefficient, t] : c.wires[c.einsums[0].selection].terms)
      for (t = 0; c.tensors[t].name != "other";) ++t;
    std::rotate(c.program.begin(), c.program.end() - 1, c.program.end());
  });
  lied("a selection without its constant", [](Circuit& c) { c.wires[c.einsums[0].selection].constant = 0; });
  lied("twice the rows", [](Circuit& c) { c.wires[c.einsums[0].x].terms[0].first = 4; });
  lied("other weights", [](Circuit& c) { c.wires[c.einsums[0].y].constant = 2; });
}

// ---- Messages ----

// Small enough to change each word of it.
Setup tiny(int degree) { return Setup(degree, everything(), {7, 16, 8, 2, 3}); }

constexpr size_t kWord = sizeof(uint64_t);

TEST(every_message_is_bound) {
  for (int degree : kDegrees) {
    const Setup setup = tiny(degree);
    const Plan plan(setup.statement);
    const auto body = setup.prove();
    CHECK_EQ(body.size() % kWord, 0U);
    expect_accepted("tiny", verdict(setup.statement, body));
    std::set<std::string> codes;
    size_t accepted = 0;
    for (size_t at = 0; at < body.size(); at += kWord) {
      auto changed = body;
      changed[at] ^= 1;
      const Verdict v = verdict(setup.statement, changed);
      if (v.code.empty())
        std::fprintf(stderr, "word %zu of %zu can be changed\n", at / kWord, body.size() / kWord);
      accepted += v.code.empty();
      codes.insert(v.code);
    }
    CHECK_EQ(accepted, 0U);
    // "opening.column" takes a prover whose columns hash to the root: see test_arguments.cc.
    for (const char* code : {"lookup.denominator", "lookup.root", "lookup.layer", "sumcheck.einsum",
                             "sumcheck.zero", "opening.reduction", "opening.combination", "opening.merkle"})
      if (!codes.contains(code)) fail(code, 0, "no message leads to it");
  }
}

TEST(every_length_is_checked) {
  for (int degree : kDegrees) {
    const Setup setup = tiny(degree);
    auto body = setup.prove();
    for (size_t n = 0; n < body.size(); n += kWord) {
      const Verdict v = verdict(setup.statement, std::span(body).first(n));
      CHECK_EQ(v.code, "format.truncated");
    }
    CHECK_EQ(verdict(setup.statement, std::span(body).first(body.size() - 1)).code, "format.truncated");
    body.push_back(0);
    CHECK_EQ(verdict(setup.statement, body).code, "format.trailing");
    CHECK_EQ(verdict(setup.statement, {}).code, "format.truncated");
  }
}

// A statement about 2^24 rows, and next to no proof: its verifier computes nothing for them.
TEST(a_large_statement_needs_a_large_proof) {
  const Setup setup = tiny(3);
  const Plan plan(setup.statement);
  const auto body = setup.prove();
  const auto least = std::span(body).first(plan.least_body_bytes());
  expect("below the least size", verdict(setup.statement, least.first(least.size() - 1)), "format.truncated", "");
  CHECK(!verdict(setup.statement, least).relation.empty());
  CellMap none;
  Sketch large("large", none);
  large.circuit.tensors.push_back({"w", Source::kWeight, CellType::kInt16, full(1U << 24, 1)});
  large.in_range("range", large.range("range.16", 0, 16), 0);
  Statement s = setup.statement;
  s.segments = {{"large", std::make_shared<Circuit>(Circuit::decode(CircuitWriter::write(large.circuit)))}};
  s.weights.part_rows = {1U << 24};
  s.weights.slots = {{"w", 0, 0, 1U << 24, 1, CellType::kInt16}};
  const std::vector<uint8_t> zeros(1 << 20);
  expect("2^24 rows", verdict(s, zeros), "format.truncated", "");
}

// After the counter and two roots of four words come field elements up to the end of u; then columns, each a
// few field elements and two words of salt, and digests.
TEST(only_canonical_elements) {
  for (int degree : kDegrees) {
    const Setup setup = tiny(degree);
    const auto body = setup.prove();
    std::vector<std::string> codes;
    for (size_t at = 0; at < body.size(); at += kWord) {
      auto changed = body;
      store_le64(&changed[at], kModulus);  // zero, written otherwise
      codes.push_back(verdict(setup.statement, changed).code);
      CHECK(!codes.back().empty());
    }
    const auto messages = codes.begin() + 9;
    const auto end = std::find_if(messages, codes.end(), [](const auto& c) { return c != "format.field"; });
    const CodeParams& code = setup.statement.code;
    CHECK(static_cast<size_t>(end - messages) > code.message() * static_cast<size_t>(degree));
    const Plan plan(setup.statement);
    // The first column of the weights follows u at once.
    CHECK_EQ(static_cast<size_t>(std::count(end, codes.end(), "format.field")),
             code.queries * plan.stack().rows() - setup.statement.weights.part_rows[0]);
    // The same residue written as v + p, where it fits 64 bits.
    for (size_t at = 0; at < body.size(); at += kWord) {
      const uint64_t v = load_le64(&body[at]);
      if (v > ~uint64_t{0} - kModulus) continue;
      auto changed = body;
      store_le64(&changed[at], v + kModulus);
      CHECK(!verdict(setup.statement, changed).code.empty());
    }
  }
}

// ---- Statements ----

template <class Change>
std::string code_after(const Setup& setup, const std::vector<uint8_t>& body, Change change) {
  Statement s = setup.statement;
  change(s);
  return verdict(s, body).code;
}

// Whether a change of the statement changes what goes into the transcript first: a proof can fail for other
// reasons too, but only then no challenge is the same.
template <class Change>
bool absorbed(const Setup& setup, Change change) {
  Statement s = setup.statement;
  change(s);
  return Plan(s).instance() != Plan(setup.statement).instance();
}

TEST(every_field_of_the_statement_is_bound) {
  const Setup setup(3, two_layers(3, 5));
  const auto body = setup.prove();
  const auto rejected = [&](const char* what, auto change) {
    const std::string code = code_after(setup, body, change);
    if (code.empty()) fail(what, 0, "accepted");
    if (code != "malformed" && !absorbed(setup, change)) fail(what, 0, "not part of the instance");
  };
  expect_accepted("unchanged", verdict(setup.statement, body));
  rejected("instance", [](Statement& s) { s.instance[2] ^= 1; });
  rejected("instance, longer", [](Statement& s) { s.instance.push_back(0); });
  rejected("instance, shorter", [](Statement& s) { s.instance.pop_back(); });
  rejected("weights' root", [](Statement& s) { s.weights.root[31] ^= 1; });
  rejected("boundaries' root", [](Statement& s) { s.members[0].boundaries->root[0] ^= 1; });
  rejected("roots exchanged", [](Statement& s) { std::swap(s.weights.root, s.members[0].boundaries->root); });
  rejected("commitments exchanged", [](Statement& s) { std::swap(s.weights, *s.members[0].boundaries); });
  rejected("commitment's name", [](Statement& s) { s.weights.name = "other"; });
  rejected("rows of a part", [](Statement& s) { s.weights.part_rows[0] += 1; });
  rejected("one part more", [](Statement& s) { s.members[0].boundaries->part_rows.push_back(1); });
  rejected("place of a slot",
           [](Statement& s) { std::swap(s.weights.slots[0].first_block, s.weights.slots[1].first_block); });
  rejected("name of a slot",
           [](Statement& s) { std::swap(s.members[0].boundaries->slots[0].name, s.members[0].boundaries->slots[1].name); });
  rejected("one slot more", [](Statement& s) {
    s.weights.slots.push_back(s.weights.slots[0]);
    s.weights.slots.back().name = "other";
  });
  rejected("name of a segment", [](Statement& s) { s.segments[1].name = "other"; });
  rejected("order of segments", [](Statement& s) { std::swap(s.segments[0], s.segments[1]); });
  rejected("one segment less", [](Statement& s) { s.segments.pop_back(); });
  rejected("one segment more", [](Statement& s) { s.segments.push_back(s.segments[0]); });
  rejected("queries", [](Statement& s) { s.code.queries -= 1; });
  rejected("random symbols", [](Statement& s) { s.code.random -= 1; });
  rejected("columns", [](Statement& s) { s.code = tiny_code(8); });
  rejected("cosets", [](Statement& s) { s.code.cosets = 4; });
  rejected("degree", [](Statement& s) { s.degree = 2; });
  rejected("required bits", [](Statement& s) { s.required_bits = 1.5; });
  rejected("required bits of a larger profile", [](Statement& s) { s.required_bits = 128; });
}

template <class Change>
void check_digest_bound(const char* what, const Setup& setup, const std::vector<uint8_t>& body,
                        Change change) {
  const std::string code = code_after(setup, body, [&](Statement& s) {
    Circuit c = *s.segments[0].circuit;
    change(c);
    s.segments[0].circuit = std::make_shared<Circuit>(Circuit::decode(CircuitWriter::write(c)));
  });
  if (code.empty()) fail(what, 0, "accepted");
}

TEST(every_part_of_the_circuit_is_bound) {
  const Setup setup(3, two_layers(3, 5));
  const auto body = setup.prove();
  check_digest_bound("name", setup, body, [](Circuit& c) { c.name = "other"; });
  check_digest_bound("order of tables", setup, body, [](Circuit& c) {
    std::swap(c.tables[0], c.tables[1]);
    for (Lookup& l : c.lookups) l.table ^= 1;
  });
  check_digest_bound("name of a table", setup, body, [](Circuit& c) { c.tables[0].name = "other"; });
  check_digest_bound("name of a tensor", setup, body, [](Circuit& c) { c.tensors[2].name = "other"; });
  check_digest_bound("order of lookups", setup, body,
                     [](Circuit& c) { std::swap(c.lookups[0], c.lookups[1]); });
  check_digest_bound("name of a relation", setup, body, [](Circuit& c) { c.einsums[0].name = "other"; });
  check_digest_bound("a relation less", setup, body, [](Circuit& c) { c.linears.clear(); });
  check_digest_bound("a coefficient", setup, body, [](Circuit& c) { c.linears[0].poly[0].coefficient = 2; });
}

TEST(bits_below_the_profile) {
  Setup setup(3, two_layers(3, 5));
  setup.statement.required_bits = 128;
  CHECK_THROWS(NotProvable, setup.prove());
  ProveOptions options;
  options.self_check = false;
  expect("bits", verdict(setup.statement, setup.prove(options)), "security.bits", "profile");
}

TEST(self_check_finds_it_first) {
  const Setup setup(3, two_layers(3, 5));
  ProveOptions options = cheating(setup, {{"y", 0, 0, 1}});
  options.self_check = true;  // the hook is not called
  expect_accepted("honest", verdict(setup.statement, setup.prove(options)));
}

TEST(malformed_statements) {
  const Setup setup(3, two_layers(3, 5));
  const auto malformed = [&](const char* what, auto change) {
    const std::string code = code_after(setup, {}, change);
    if (code != "malformed") fail(what, 0, code.c_str());
  };
  malformed("degree", [](Statement& s) { s.degree = 4; });
  malformed("no segments", [](Statement& s) { s.segments.clear(); });
  malformed("no circuit", [](Statement& s) { s.segments[0].circuit = nullptr; });
  malformed("slot beyond its part", [](Statement& s) { s.weights.slots[0].first_block = 1000; });
  malformed("slot that wraps", [](Statement& s) { s.weights.slots[0].first_block = ~uint64_t{0}; });
  malformed("slot without a part", [](Statement& s) { s.weights.slots[0].part = 1; });
  malformed("slot of another shape", [](Statement& s) { s.weights.slots[0].rows -= 1; });
  malformed("slot of another type", [](Statement& s) { s.members[0].boundaries->slots[0].type = CellType::kInt64; });
  malformed("no slot", [](Statement& s) { s.weights.slots.clear(); });
  malformed("too many rows", [](Statement& s) { s.weights.part_rows[0] = ~uint32_t{0}; });
  malformed("bits that are no number", [](Statement& s) { s.required_bits = std::nan(""); });
  malformed("more bits than any proof has", [](Statement& s) { s.required_bits = 1025; });
  malformed("fewer random symbols than queries", [](Statement& s) { s.code.random = s.code.queries - 1; });
  malformed("no queries", [](Statement& s) { s.code.queries = 0; });
  malformed("more lookups than multiplicities hold", [](Statement& s) {
    CellMap none;
    Sketch big("big", none);
    big.in_range("range", big.range("range.16", 0, 16), big.tensor("cells", full(1U << 24, 128)));
    s.segments[0].circuit = std::make_shared<Circuit>(Circuit::decode(CircuitWriter::write(big.circuit)));
  });
  malformed("all columns", [](Statement& s) { s.code.queries = static_cast<uint32_t>(s.code.length()); });
  malformed("rate", [](Statement& s) { s.code.cosets = 1; });
  malformed("cosets too large", [](Statement& s) { s.code.log_coset = 25; });
}

// Whether the prover's 64-bit sums cannot overflow: what assay.graph makes sure of for its circuits.
bool has_small_numbers(const Circuit& c) {
  constexpr int64_t kSmall = 1 << 20;
  const auto small = [](int64_t v) { return -kSmall < v && v < kSmall; };
  const auto small_poly = [&](const Poly& p) {
    return std::all_of(p.begin(), p.end(), [&](const Monomial& m) { return small(m.coefficient); });
  };
  for (const Wire& w : c.wires) {
    if (!small(w.constant)) return false;
    for (const auto& term : w.terms)
      if (!small(term.first)) return false;
  }
  for (const ZeroCheck& z : c.zero_checks)
    if (!std::all_of(z.polys.begin(), z.polys.end(), small_poly)) return false;
  for (const Linear& l : c.linears)
    if (!small_poly(l.poly)) return false;
  for (const Lookup& l : c.lookups)
    if (!std::all_of(l.columns.begin(), l.columns.end(), small_poly)) return false;
  for (const Step& s : c.program)
    if (!small_poly(s.poly) || !small(s.constant)) return false;
  for (const Table& t : c.tables)
    if (!small(t.start)) return false;
  return true;
}

// A circuit with a byte changed is refused, has no witness, or is proven and verified like any other; when
// its program no longer fits its relations, the verifier rejects. Nothing else happens.
TEST(changed_circuits) {
  Random random(12);
  size_t accepted = 0, rejected = 0;
  for (const Describe& describe :
       {everything(), zero_circuit(3, 8, 2, 1), lookup_circuit(causal(4, 4, 2, 1)),
        product_circuit(
            {.kind = EinsumKind::kNN, .outer = 2, .groups = 2, .depth = 2, .cols = 3, .ragged = true})})
    for (int round = 0; round < 400; ++round) {
      try {
        const Setup setup(2 + round % 2, describe, {7, 16, 8, 2, 3}, [&](std::vector<uint8_t>& bytes) {
          bytes[random() % bytes.size()] ^= static_cast<uint8_t>(1U << random() % 3);
        });
        if (!has_small_numbers(*setup.circuits[0])) continue;
        const Verdict v = verdict(setup.statement, setup.prove());
        CHECK(v.code.empty() || v.code == "opening.reduction" || v.code.starts_with("sumcheck."));
        ++(v.code.empty() ? accepted : rejected);
      } catch (const Malformed&) {
      } catch (const NotProvable&) {
      } catch (const EvaluationError&) {
      } catch (const std::out_of_range&) {  // no cells of that name
      }
    }
  CHECK(accepted > 100 && rejected > 20);
}

// A name means one tensor, and a cell belongs to one.
TEST(slots_that_overlap_or_share_a_name) {
  const auto refused = [](const std::function<void(std::vector<Slot>&)>& change) {
    Setup setup(3, two_layers(3, 130), tiny_code(8));
    change(setup.statement.weights.slots);
    try {
      Plan plan(setup.statement);
    } catch (const Malformed&) {
      return true;
    }
    return false;
  };
  CHECK(!refused([](std::vector<Slot>&) {}));
  CHECK(refused([](std::vector<Slot>& s) { s.push_back(s[0]); }));
  CHECK(refused([](std::vector<Slot>& s) {
    s.push_back(s[0]);
    s.back().name = "another";
  }));
  CHECK(refused([](std::vector<Slot>& s) {
    s.push_back(s[0]);
    s.back().name = "inside";
    s.back().first_block += 1;
    s.back().rows -= 1;
  }));
}

// ---- The same bytes everywhere ----

TEST(same_bytes_on_every_path) {
  for (int degree : kDegrees)
    for (const Describe& describe : {two_layers(3, 130), lookup_circuit(causal(140, 140, 1, 0)),
                                     zero_circuit(6, 256, 3, 128), row_sum_circuit(causal(9, 9, 1, 0))}) {
      const Setup setup(degree, describe, tiny_code(8));
      const auto body = setup.prove();
      for (int threads : {1, 2}) {
        set_threads(threads);
        on_all_paths([&] {
          CHECK(setup.prove() == body);
          expect_accepted("on every path", verdict(setup.statement, body));
        });
      }
      set_threads(0);
      ProveOptions options;
      options.keep_codeword_bytes = 0;
      CHECK(setup.prove(options) == body);
    }
}

TEST(seeds_change_only_the_secrets) {
  const Setup setup(3, everything());
  const Plan plan(setup.statement);
  PrgKey seed{};
  const ProverCommitment* const recorded[] = {setup.boundaries.prover.get()};
  const auto a = prove_body(plan, *setup.weights.prover, recorded, seed, {}).body;
  seed[31] = 1;
  const auto b = prove_body(plan, *setup.weights.prover, recorded, seed, {}).body;
  CHECK(a != b);
  expect_accepted("one seed", verdict(setup.statement, a));
  expect_accepted("another", verdict(setup.statement, b));
}

}  // namespace

ASSAY_TEST_MAIN
