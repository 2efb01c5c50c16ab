// Reading circuits from bytes: what is written comes back, and nothing that is not well-formed is taken.
#include "circuits.h"

using namespace assay;
using namespace assay::test;

namespace {

std::vector<Circuit> samples() {
  CellMap cells;
  std::vector<Circuit> out;
  for (const Describe& d :
       {product_circuit(
            {.kind = EinsumKind::kNN, .outer = 5, .groups = 2, .members = 3, .depth = 5, .cols = 7}),
        zero_circuit(6, 8, 2, 1), linear_circuit(full(3, 256)), row_sum_circuit(causal(9, 9, 1, 0)),
        lookup_circuit(causal(12, 6, 2, 3)), indexed_circuit(), everything(),
        selected_circuit({.rows = 6, .x_rows = 3, .groups = 2, .depth = 5, .cols = 4}), split_circuit(2, 9, 64)}) {
    cells.clear();
    for (Sketch& s : d(cells)) out.push_back(std::move(s.circuit));
  }
  return out;
}

// "" or why the circuit is refused.
std::string refusal(std::span<const uint8_t> bytes) {
  try {
    (void)Circuit::decode(bytes);
    return {};
  } catch (const Malformed& e) {
    return e.message;
  }
}

TEST(circuits_come_back) {
  for (const Circuit& c : samples()) {
    const auto bytes = CircuitWriter::write(c);
    const Circuit back = Circuit::decode(bytes);
    CHECK(CircuitWriter::write(back) == bytes);
    Circuit silent = back;
    silent.program.clear();
    CHECK(Circuit::decode(CircuitWriter::write(silent)).digest ==
          back.digest);  // the program is not under it
    silent.name += "x";
    CHECK(Circuit::decode(CircuitWriter::write(silent)).digest != back.digest);
  }
}

TEST(truncated_or_longer) {
  for (const Circuit& c : samples()) {
    auto bytes = CircuitWriter::write(c);
    for (size_t n = 0; n < bytes.size(); ++n) CHECK(!refusal(std::span(bytes).first(n)).empty());
    bytes.push_back(0);
    CHECK_EQ(refusal(bytes), "circuit: bytes after the end");
  }
}

// Any byte may change: the circuit is refused, or taken as another one.
TEST(any_byte_may_change) {
  for (const Circuit& c : samples()) {
    const auto bytes = CircuitWriter::write(c);
    for (size_t at = 0; at < bytes.size(); ++at)
      for (uint8_t flip : {0x01, 0x80, 0xff}) {
        auto changed = bytes;
        changed[at] ^= flip;
        (void)refusal(changed);
      }
  }
}

template <class Change>
void refused(const char* what, size_t sample, Change change) {
  Circuit c = samples()[sample];
  change(c);
  if (refusal(CircuitWriter::write(c)).empty()) fail(what, 0, "taken");
}

TEST(shapes_and_indices) {
  refused("no such tensor", 0, [](Circuit& c) { c.wires[0].terms[0].second = 99; });
  refused("wire of another shape", 0, [](Circuit& c) { c.wires[0].rows += 1; });
  refused("no such wire", 0, [](Circuit& c) { c.einsums[0].x = 99; });
  refused("no groups", 0, [](Circuit& c) { c.einsums[0].groups = 0; });
  refused("no members", 0, [](Circuit& c) { c.einsums[0].members = 0; });
  refused("groups do not divide", 0, [](Circuit& c) { c.einsums[0].groups = 4; });
  refused("groups whose product wraps", 0,
          [](Circuit& c) { c.einsums[0].groups = c.einsums[0].members = 1U << 31; });
  refused("another einsum", 0, [](Circuit& c) { c.einsums[0].kind = EinsumKind::kRowDot; });
  refused("an empty domain", 1, [](Circuit& c) { c.zero_checks[0].domain.rows = 0; });
  refused("a zero-check on part of the rows", 1,
          [](Circuit& c) { c.zero_checks[0].domain.ragged = {true, 1, 0}; });
  refused("no such public values", 1, [](Circuit& c) { c.zero_checks[0].polys[0][1].operands[1].id = 7; });
  refused("public values too short", 1,
          [](Circuit& c) { c.zero_checks[0].polys[0][1].operands[1].argument = 1; });
  refused("public values by row / 0", 1,
          [](Circuit& c) { c.zero_checks[0].polys[0][1].operands[1].argument = 0; });
  refused("columns swapped outside", 1,
          [](Circuit& c) { c.zero_checks[0].polys[0][3].operands[0].argument = 8; });
  refused("columns swapped by 3", 1,
          [](Circuit& c) { c.zero_checks[0].polys[0][3].operands[0].argument = 3; });
  refused("columns not swapped", 1,
          [](Circuit& c) { c.zero_checks[0].polys[0][3].operands[0].argument = 0; });
  refused("degree four", 1, [](Circuit& c) {
    auto& operands = c.zero_checks[0].polys[0][0].operands;
    operands.push_back(operands[0]);
  });
  refused("degree two of a linear relation", 2, [](Circuit& c) {
    auto& operands = c.linears[0].poly[0].operands;
    operands.push_back(operands[0]);
  });
  refused("public values in a linear relation", 2, [](Circuit& c) {
    c.publics.push_back({"p", 3, 256, std::vector<int64_t>(3 * 256)});
    c.linears[0].poly[0].operands[0] = publics(0, 1);
  });
  refused("rows where columns are", 2, [](Circuit& c) { c.linears[0].poly[1].operands[0].map = Map::kCol; });
  refused("a row sum's shape", 3, [](Circuit& c) { std::swap(c.row_sums[0].out, c.row_sums[0].x); });
  refused("no such total", 3, [](Circuit& c) { c.totals[0].wire = 99; });
  refused("no such table", 4, [](Circuit& c) { c.lookups[0].table = 99; });
  refused("a column less", 4, [](Circuit& c) { c.lookups[0].columns.pop_back(); });
  refused("a lookup in a narrower table", 4, [](Circuit& c) { c.lookups[0].table = 2; });
}

// What would read or write cells that do not exist.
TEST(missing_cells) {
  refused("a constant on missing cells", 3, [](Circuit& c) { c.wires[c.row_sums[0].x].constant = 1; });
  // The sum over "the existing cells" of such a wire would mean something else for each of its tensors.
  refused("a wire of tensors with different missing cells", 3,
          [](Circuit& c) { c.wires[c.row_sums[0].x].terms.push_back({1, 0}); });
  refused("missing cells seen with another shape", 3, [](Circuit& c) {
    c.tensors[1].shape = causal(9, 128, 1, 0);
    c.wires[c.row_sums[0].x].rows = 9 * 128 / 256;
    c.wires[c.row_sums[0].x].cols = 256;
  });
  refused("a right operand with missing cells", 0,
          [](Circuit& c) { c.tensors[2].shape.ragged = {true, 1, 0}; });
  refused("an output with missing cells", 0, [](Circuit& c) {
    c.tensors[3].shape.ragged = {true, 1, 0};
    c.wires[c.einsums[0].out].constant = 0;
  });
  refused("columns of a linear relation on part of the rows", 2,
          [](Circuit& c) { c.linears[0].domain.ragged = {true, 1, 0}; });
  // r[i] alone does not vanish outside the domain.
  refused("a monomial over broadcasts only", 1, [](Circuit& c) {
    c.zero_checks[0].polys[0].push_back({1, {c.zero_checks[0].polys[0][0].operands[2]}});
  });
  refused("ragged parameters of a full domain", 4, [](Circuit& c) { c.lookups[2].domain.ragged.window = 1; });
  refused("a divisor of zero", 4, [](Circuit& c) { c.lookups[0].domain.ragged.divisor = 0; });
}

TEST(split_views) {
  constexpr size_t kSplit = 8;
  const auto of_x = [](Circuit& c, uint32_t rows, uint32_t cols) {
    c.wires.push_back({rows, cols, 0, {{1, 0}}});  // x is [2, 576]
    c.totals.push_back({"total", static_cast<uint32_t>(c.wires.size() - 1)});
  };
  for (uint32_t cols : {8U, 16U, 32U, 64U, 576U}) {
    Circuit c = samples()[kSplit];
    of_x(c, 2 * 576 / cols, cols);
    CHECK_EQ(refusal(CircuitWriter::write(c)), "");
  }
  for (uint32_t cols : {1U, 4U, 24U, 96U, 128U, 192U, 288U, 1152U})
    refused("rows of another length", kSplit, [&](Circuit& c) { of_x(c, 2 * 576 / cols, cols); });
  refused("fewer rows", kSplit, [&](Circuit& c) { of_x(c, 17, 64); });
  refused("more rows", kSplit, [&](Circuit& c) { of_x(c, 20, 64); });
  refused("parts that are left over", kSplit, [&](Circuit& c) {
    c.tensors.push_back({"odd", Source::kBoundary, CellType::kInt32, full(2, 96)});
    c.wires.push_back({3, 64, 0, {{1, static_cast<uint32_t>(c.tensors.size() - 1)}}});
  });
  refused("parts of ragged rows", kSplit, [&](Circuit& c) {
    c.tensors[0].shape.ragged = {true, 1, 0};
    c.wires[0].constant = 0;
  });
  refused("part of a split row", kSplit, [](Circuit& c) { c.linears[0].domain.ragged = {true, 1, 0}; });
  refused("a lookup of part of a split row", kSplit,
          [](Circuit& c) { c.lookups[0].domain.ragged = {true, 1, 0}; });
  refused("gathered parts", kSplit, [](Circuit& c) {
    c.publics.push_back({"index", 1, 18, std::vector<int64_t>(18)});
    c.linears[0].poly[0].operands[0] = gathered(0, static_cast<uint32_t>(c.publics.size() - 1));
  });
  refused("picked parts", kSplit, [](Circuit& c) {
    c.publics.push_back({"index", 18, 64, std::vector<int64_t>(18 * 64)});
    c.linears[0].poly[0].operands[0] = picked(0, static_cast<uint32_t>(c.publics.size() - 1));
  });
}

TEST(sizes) {
  refused("a dimension", 0, [](Circuit& c) { c.tensors[0].shape.rows = (1U << 24) + 1; });
  refused("cells", 0, [](Circuit& c) { c.tensors[0].shape = full(1U << 20, 1U << 13); });
  refused("a wire's dimension", 0, [](Circuit& c) { c.wires[0].cols = 1U << 25; });
  refused("an empty table", 4, [](Circuit& c) { c.tables[2].rows = 0; });
  refused("a large table", 4, [](Circuit& c) { c.tables[2].rows = (1U << 22) + 1; });
  refused("a range with images", 4, [](Circuit& c) { c.tables[0].is_range = true; });
  refused("values beyond 2^62", 4, [](Circuit& c) { c.tables[0].images[1][3] = int64_t{1} << 62; });
  refused("values beyond -2^62", 4, [](Circuit& c) { c.tables[0].images[1][3] = INT64_MIN; });
  refused("keys beyond 2^62", 4, [](Circuit& c) { c.tables[2].start = (int64_t{1} << 62) - 299; });
  refused("public values beyond 2^62", 1, [](Circuit& c) { c.publics[0].values[0] = INT64_MAX; });
  // One existing cell in 2^24 rows: few lookups, but a tree of 2^31 leaves.
  refused("blocks of lookups", 3, [](Circuit& c) {
    c.tables.push_back({"range", true, 0, 2, {}});
    c.wires.push_back({1U << 24, 1, 0, {}});
    const auto wire = static_cast<uint32_t>(c.wires.size() - 1);
    const Domain d = causal(1U << 24, 1, 1, 1);
    c.lookups.assign(2, {"many", 0, d, {{{1, {cell(wire)}}}}});
  });
}

// A few kilobytes that would keep a verifier busy for hours.
TEST(work) {
  const auto wide = [](Circuit& c, size_t terms) {
    c.tensors.push_back({"large", Source::kWitness, CellType::kInt16, full(1U << 20, 128)});
    const auto large = static_cast<uint32_t>(c.tensors.size() - 1);
    c.wires.push_back({1U << 20, 128, 0, std::vector<std::pair<int64_t, uint32_t>>(terms, {1, large})});
    return static_cast<uint32_t>(c.wires.size() - 1);
  };
  refused("many terms in many sums", 3, [&](Circuit& c) {
    const uint32_t wire = wide(c, 1000);
    c.totals.assign(10, {"total", wire});
  });
  refused("many monomials", 1, [&](Circuit& c) {
    const uint32_t wire = wide(c, 1);
    c.linears.push_back({"line", full(1U << 20, 128), Poly(5000, {1, {cell(wire)}})});
  });
  refused("many readings of large public values", 1, [](Circuit& c) {
    c.publics[0].rows = 1 << 12;
    c.publics[0].values.resize(size_t{8} << 12);
    c.zero_checks[0].polys.assign(3, Poly(60000, {1, {publics(0, 2)}}));
  });
}

TEST(shapes_of_selected_products) {
  refused("an einsum of no kind", 7, [](Circuit& c) { c.einsums[0].kind = static_cast<EinsumKind>(4); });
  refused("no such selection", 7, [](Circuit& c) { c.einsums[0].selection = 99; });
  refused("no groups", 7, [](Circuit& c) { c.einsums[0].groups = 0; });
  refused("groups that are not the selection's", 7, [](Circuit& c) { c.einsums[0].groups = 4; });
  refused("members", 7, [](Circuit& c) { c.einsums[0].members = 3; });
  refused("another selection", 7, [](Circuit& c) { c.einsums[0].selection = c.einsums[0].x; });
  refused("rows of x that do not divide", 7, [](Circuit& c) { std::swap(c.einsums[0].x, c.einsums[0].y); });
  refused("another depth", 7, [](Circuit& c) { c.wires[c.einsums[0].y] = c.wires[c.einsums[0].out]; });
  refused("missing cells", 7, [](Circuit& c) {
    c.wires[c.einsums[0].selection].constant = 0;
    for (Tensor& t : c.tensors)
      if (t.name == "s") t.shape.ragged = {true, 3, 0};
    c.program[0].domain.ragged = {true, 3, 0};
  });
}

TEST(the_largest_of_rows) {
  const auto top_k = [](const std::function<void(Step&)>& change) {
    CellMap cells;
    Sketch k("largest", cells);
    const uint32_t x = k.wire_of(k.given("x", 3, 5, 9));
    const uint32_t least = k.tensor("least", full(1, 3)), marks = k.tensor("marks", full(6, 5));
    Step& s = k.step(StepKind::kTopK, full(3, 5), {{1, {cell(x)}}}, {least, marks});
    s.constant = 2;
    change(s);
    return refusal(CircuitWriter::write(k.circuit));
  };
  CHECK_EQ(top_k([](Step&) {}), "");
  CHECK_EQ(top_k([](Step& s) { s.tensors.pop_back(); }), "");
  for (const int64_t k : {int64_t{0}, int64_t{6}, int64_t{-1}, int64_t{1} << 33})
    CHECK(!top_k([k](Step& s) { s.constant = k; }).empty());
  CHECK(!top_k([](Step& s) { s.tensors.clear(); }).empty());
  CHECK(!top_k([](Step& s) { s.tensors.push_back(0); }).empty());
  CHECK(!top_k([](Step& s) { s.domain.ragged = {true, 1, 0}; }).empty());
  CHECK(!top_k([](Step& s) { s.kind = static_cast<StepKind>(10); }).empty());
}

TEST(witness_steps) {
  refused("fills a weight", 0, [](Circuit& c) { c.program[0].tensors[0] = 2; });
  refused("fills nothing", 0, [](Circuit& c) { c.program[0].tensors.clear(); });
  refused("no such einsum", 0, [](Circuit& c) { c.program[1].index = 5; });
  refused("limbs without widths", 0, [](Circuit& c) { c.program[1].bits.clear(); });
  refused("limbs of 64 bits", 0, [](Circuit& c) { c.program[1].bits[0] = 64; });
  refused("no such row sum", 3, [](Circuit& c) { c.program[1].index = 5; });
  refused("images of another table", 4, [](Circuit& c) { c.program[1].table = 2; });
}

}  // namespace

ASSAY_TEST_MAIN
