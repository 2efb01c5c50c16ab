// Small circuits with every kind of relation, index map and witness step between them.
#pragma once

#include "circuits.h"
#include "fuzzing.h"

namespace assay::fuzz {

// Tables of 4 and 5 rows, tensors of 2 x 4: every kind of relation in one proof.
inline test::Describe tiny_circuit() {
  using namespace assay::test;
  return one_segment([](Sketch& k) {
    const Domain d = full(2, 4);
    const uint32_t x = k.wire_of(k.given("boundary.0", 2, 4, 2));
    const uint32_t w = k.wire_of(k.weight("w", 4, 4, 1));
    const uint32_t r = k.tensor("r", d), y = k.tensor("y", d), o = k.tensor("o", d);
    const uint32_t nt = k.einsum("by rows", EinsumKind::kNT, 1, 1, k.wire(2, 4, {{1, r}, {4, y}}, -2), x, w);
    k.fill_from_einsum(nt, 2, {r, y}, {2, 60});
    const uint32_t nn = k.einsum("by columns", EinsumKind::kNN, 1, 2, k.wire_of(o), x, w);
    k.fill_from_einsum(nn, 0, {o}, {63});
    const uint32_t dot = k.tensor("dot", full(1, 2));
    const uint32_t rows = k.einsum("rows", EinsumKind::kRowDot, 1, 1, k.wire_of(dot), x, k.wire_of(y));
    k.fill_from_einsum(rows, 0, {dot}, {63});
    k.in_range("r", k.range("range.4", 0, 4), r);

    const uint32_t square = k.tensor("square", d), cube = k.tensor("cube", d);
    const uint32_t powers_of = k.function("powers", -2, powers(-2, 5));
    k.step(StepKind::kTableMap, d, {{1, {cell(x)}}}, {square, cube}).table = powers_of;
    k.lookup("powers", powers_of, d,
             {{{1, {cell(x)}}}, {{1, {cell(k.wire_of(square))}}}, {{1, {cell(k.wire_of(cube))}}}});

    const uint32_t angles = k.public_values("angles", 1, 4, 3), z = k.tensor("z", d);
    const uint32_t c = k.wire_of(k.weight("cols", 1, 4, 2));
    const Poly of_z = {{1, {cell(x), cell(x), col(c)}}, {2, {swapped(x, 1), publics(angles, 2)}}};
    k.circuit.zero_checks.push_back({"zero", d, {k.assign(d, of_z, z)}});

    const Domain triangle = causal(2, 4, 1, 2);
    const uint32_t part = k.copy("part", triangle, x), sums = k.tensor("sums", full(1, 2));
    k.circuit.row_sums.push_back({"sums", k.wire_of(sums), k.wire_of(part)});
    k.step(StepKind::kRowSum, full(1, 2), {}, {sums}).index = 0;
    k.circuit.totals.push_back({"total", k.wire_of(part)});
    const uint32_t out = k.tensor("boundary.1", d, CellType::kInt32, Source::kBoundary);
    const Poly of_out = {{1, {cell(x)}}, {1, {cell(k.wire_of(y))}}, {3, {row(k.wire_of(sums))}}};
    k.circuit.linears.push_back({"residual", d, k.assign(d, of_out, out)});
    draw_indexed(k, 1, {3, -1}, {0, 3});
  });
}

// A forward pass in two segments joined by x: rows of a weight, twice these and an advised hint, picked cells
// of that as an output.
inline test::Describe tiny_pass() {
  using namespace assay::test;
  return [](CellMap& cells) {
    const Domain d = full(2, 4);
    const auto shared = [&](Sketch& k) { return k.tensor("x", d, CellType::kInt32, Source::kBoundary); };
    Sketch reading("reading", cells), doubling("doubling", cells);
    const uint32_t table = reading.wire_of(reading.weight("table", 4, 4, 2));
    const uint32_t rows = reading.index_list("rows", 1, 2, {3, -1});
    const uint32_t read = shared(reading);
    reading.circuit.linears.push_back({"gather", d, reading.assign(d, {{1, {gathered(table, rows)}}}, read)});

    const uint32_t x = doubling.wire_of(shared(doubling)), hint = doubling.given("hint", 1, 2, 1);
    doubling.in_range("hint", doubling.range("range.4", -1, 4), hint);
    const uint32_t y = doubling.tensor("y", d), p = doubling.tensor("picked", full(2, 2));
    const Poly doubled = {{2, {cell(x)}}, {1, {row(doubling.wire_of(hint))}}};
    doubling.circuit.linears.push_back({"double", d, doubling.assign(d, doubled, y)});
    const uint32_t columns = doubling.index_list("columns", 2, 2, {3, 0, -1, 1});
    const Poly taken = {{1, {picked(doubling.wire_of(y), columns)}}};
    doubling.circuit.linears.push_back({"pick", full(2, 2), doubling.assign(full(2, 2), taken, p)});
    doubling.circuit.outputs.push_back({"chosen", doubling.wire_of(p)});
    return std::vector<Sketch>{reading, doubling};
  };
}

// One recorded segment, and the pass.
inline test::Describe tiny_batch() {
  return [](test::CellMap& cells) {
    std::vector<test::Sketch> all = tiny_circuit()(cells);
    for (test::Sketch& sketch : tiny_pass()(cells)) all.push_back(std::move(sketch));
    return all;
  };
}

inline Seeds circuit_seeds() {
  using namespace assay::test;
  const ProductShape by_rows{.kind = EinsumKind::kNT, .outer = 2, .groups = 2, .depth = 3,
                             .cols = 2, .ragged = true};
  const ProductShape by_columns{.kind = EinsumKind::kNN, .groups = 2, .members = 2, .depth = 2, .cols = 3};
  const std::vector<std::pair<std::string, Describe>> all = {
      {"tiny", tiny_circuit()},
      {"product-by-rows", product_circuit(by_rows)},
      {"product-by-columns", product_circuit(by_columns)},
      {"product-of-rows", product_circuit({.kind = EinsumKind::kRowDot, .outer = 3, .depth = 2})},
      {"selected-product", selected_circuit({.rows = 4, .x_rows = 2, .groups = 3, .depth = 2, .cols = 2})},
      {"zero-check", zero_circuit(2, 4, 2, 2)},
      {"linear-reshaped", linear_circuit(full(2, 256))},
      {"linear-causal", linear_circuit(causal(4, 3, 2, 2))},
      {"row-sum", row_sum_circuit(causal(3, 3, 1, 0))},
      {"indexed", indexed_circuit()},
      {"split", split_circuit(1, 3, 8)},
      {"two-layers", two_layers(2, 3)},
      {"joined", tiny_pass()},
  };
  Seeds out;
  for (const auto& [name, describe] : all) {
    CellMap cells;
    const auto sketches = describe(cells);
    for (size_t k = 0; k < sketches.size(); ++k)
      out.emplace_back(k == 0 ? name : name + "-" + std::to_string(k), CircuitWriter::write(sketches[k].circuit));
  }
  return out;
}

}  // namespace assay::fuzz
