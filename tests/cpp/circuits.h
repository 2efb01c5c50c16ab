// Small circuits, one for each kind of relation, in shapes that exercise its index maps.
#pragma once

#include "statements.h"

namespace assay::test {

using Describe = Setup::Describe;

template <class Draw>
Describe one_segment(Draw draw) {
  return [draw](CellMap& cells) {
    std::vector<Sketch> out;
    draw(out.emplace_back("circuit", cells));
    return out;
  };
}

struct ProductShape {
  EinsumKind kind = EinsumKind::kNT;
  uint32_t outer = 1, groups = 1, members = 1, depth = 1, cols = 1;
  bool ragged = false;  // x has only part of each row
  uint32_t rows() const { return outer * groups * members; }
};

// (2 x + 1) (y - 1) = out - 5; without the first constant where x is ragged.
inline Describe product_circuit(const ProductShape& s) {
  return one_segment([s](Sketch& k) {
    const uint32_t rows = s.rows();
    const uint32_t given = k.given("given", rows, s.depth, 100);
    const Domain shape = s.ragged ? causal(rows, s.depth, s.groups * s.members, 3) : full(rows, s.depth);
    const uint32_t x = k.copy("x", shape, k.wire_of(given));
    const bool dot = s.kind == EinsumKind::kRowDot, nt = s.kind == EinsumKind::kNT;
    const uint32_t y = dot ? k.given("y", rows, s.depth, 100)
                           : k.weight("y", (nt ? s.cols : s.depth) * s.groups, nt ? s.depth : s.cols, 100);
    const Domain y_shape = k.circuit.tensors[y].shape;
    const Domain out_shape = dot ? full(1, rows) : full(rows, s.cols);
    const uint32_t out = k.tensor("out", out_shape);
    const uint32_t e = k.einsum(
        "product", s.kind, s.groups, s.members, k.wire(out_shape.rows, out_shape.cols, {{1, out}}, -5),
        k.wire(rows, s.depth, {{2, x}}, s.ragged ? 0 : 1), k.wire(y_shape.rows, y_shape.cols, {{1, y}}, -1));
    k.fill_from_einsum(e, 5, {out}, {63});
  });
}

struct SelectedShape {
  uint32_t rows = 1, x_rows = 1, groups = 1, depth = 1, cols = 1;
};

// sum over g of (2 s + 1)[i, g] ((2 x + 1) (y - 1)_g)[i mod x_rows] = out - 5; `other` is of the shape of s.
inline Describe selected_circuit(const SelectedShape& s) {
  return one_segment([s](Sketch& k) {
    const uint32_t of = k.copy("s", full(s.rows, s.groups), k.wire_of(k.given("marks", s.rows, s.groups, 3)));
    const uint32_t x =
        k.copy("x", full(s.x_rows, s.depth), k.wire_of(k.given("given", s.x_rows, s.depth, 100)));
    const uint32_t y = k.weight("y", s.groups * s.cols, s.depth, 100);
    const uint32_t out = k.tensor("out", full(s.rows, s.cols));
    const uint32_t e =
        k.einsum("product", EinsumKind::kSelectNT, s.groups, 1, k.wire(s.rows, s.cols, {{1, out}}, -5),
                 k.wire(s.x_rows, s.depth, {{2, x}}, 1), k.wire(s.groups * s.cols, s.depth, {{1, y}}, -1));
    k.circuit.einsums[e].selection = k.wire(s.rows, s.groups, {{2, of}}, 1);
    k.fill_from_einsum(e, 5, {out}, {63});
    k.copy("other", full(s.rows, s.groups), k.wire_of(k.given("other marks", s.rows, s.groups, 3)));
  });
}

// Two polynomials of degree three with all maps; `distance` 0 leaves out the exchanged columns.
inline Describe zero_circuit(uint32_t rows, uint32_t cols, uint32_t divisor, uint32_t distance) {
  return one_segment([=](Sketch& k) {
    const Domain d = full(rows, cols);
    const uint32_t a = k.wire(rows, cols, {{1, k.given("a", rows, cols, 50)}}, 9);
    const uint32_t b = k.wire_of(k.given("b", rows, cols, 50));
    const uint32_t r = k.wire_of(k.copy("r", full(1, rows), k.wire_of(k.given("rows", 1, rows, 20))));
    const uint32_t c = k.wire(1, cols, {{1, k.weight("cols", 1, cols, 20)}}, -2);
    const uint32_t p = k.public_values("angles", (rows - 1) / divisor + 1, cols, 30);
    Poly first = {{3, {cell(a), cell(b), row(r)}}, {2, {cell(a), publics(p, divisor)}}, {4, {}}};
    if (distance != 0) first.push_back({-5, {swapped(a, distance), publics(p, divisor)}});
    const Poly second = {{1, {cell(a), col(c), row(r)}},
                         {-1, {cell(b)}},
                         {6, {publics(p, divisor)}},
                         {1, {publics(p, divisor), publics(p, divisor), cell(b)}}};
    const uint32_t y0 = k.tensor("y0", d), y1 = k.tensor("y1", d);
    const Poly zero0 = k.assign(d, first, y0), zero1 = k.assign(d, second, y1);
    k.circuit.zero_checks.push_back({"zero", d, {zero0, zero1}});
  });
}

// y = 3 a + r + 7 (+ 4 c - 2 b, b of another shape, where all cells exist).
inline Describe linear_circuit(const Domain& d) {
  return one_segment([d](Sketch& k) {
    const uint32_t a = k.wire_of(k.given("a", d.rows, d.cols, 500));
    const uint32_t r = k.wire(1, d.rows, {{1, k.given("rows", 1, d.rows, 500)}}, 11);
    Poly p = {{3, {cell(a)}}, {1, {row(r)}}, {7, {}}};
    if (!d.ragged.causal) {
      p.push_back({4, {col(k.wire_of(k.weight("cols", 1, d.cols, 500)))}});
      if (d.cols % 256 == 0)
        p.push_back(
            {1, {cell(k.wire(d.rows, d.cols, {{-2, k.given("b", 2 * d.rows, d.cols / 2, 500)}}, 1))}});
    }
    const uint32_t y = k.tensor("y", d);
    const Poly zero = k.assign(d, p, y);
    k.circuit.linears.push_back({"line", d, zero});
  });
}

// Rows of x + 3, stored side by side, `parts` of them in a row of x: turned into y, stored in the same way;
// z = x y + 5 x, the rows of y multiplied by a weight for each part, the sums of the rows of x.
inline Describe split_circuit(uint32_t rows, uint32_t parts, uint32_t cols) {
  return one_segment([=](Sketch& k) {
    const Domain stored = full(rows, parts * cols), d = full(rows * parts, cols);
    const uint32_t x = k.wire(d.rows, cols, {{1, k.given("x", rows, parts * cols, 50)}}, 3);
    const auto define = [&](const std::string& name, const Domain& shape, Poly poly) {
      const uint32_t t = k.tensor(name, shape), seen = k.wire(d.rows, cols, {{1, t}});
      k.step(StepKind::kAssign, d, poly, {t});
      poly.push_back({-1, {cell(seen)}});
      k.circuit.zero_checks.push_back({name, d, {poly}});
      return seen;
    };
    const uint32_t p = k.public_values("angles", rows, cols, 30);
    const uint32_t y = define("y", stored, {{2, {swapped(x, cols / 2), publics(p, parts)}}, {1, {cell(x)}}});
    define("z", d, {{1, {cell(x), cell(y)}}, {5, {cell(x)}}});
    const uint32_t w = k.wire_of(k.weight("w", cols * parts, cols, 100)), out = k.tensor("out", stored);
    const uint32_t e = k.einsum("product", EinsumKind::kNN, parts, 1, k.wire(d.rows, cols, {{1, out}}), y, w);
    k.fill_from_einsum(e, 0, {out}, {63});
    const uint32_t s = k.tensor("s", full(1, d.rows));
    k.circuit.row_sums.push_back({"sum", k.wire_of(s), x});
    k.step(StepKind::kRowSum, full(1, d.rows), {}, {s}).index = 0;
    k.circuit.linears.push_back({"same", d, {{1, {cell(x)}}, {-1, {cell(x)}}}});
    k.circuit.lookups.push_back({"range", k.range("range.107", -50, 107), d, {{{1, {cell(x)}}}}});
  });
}

// s = row sums of 2 x (+ 3), and the sum of x over everything as a public output.
inline Describe row_sum_circuit(const Domain& d) {
  return one_segment([d](Sketch& k) {
    const uint32_t x = k.copy("x", d, k.wire_of(k.given("given", d.rows, d.cols, 500)));
    const uint32_t s = k.tensor("s", full(1, d.rows));
    const uint32_t sum_of = k.wire(d.rows, d.cols, {{2, x}}, d.ragged.causal ? 0 : 3);
    k.circuit.row_sums.push_back({"sum", k.wire_of(s), sum_of});
    k.step(StepKind::kRowSum, full(1, d.rows), {}, {s}).index = 0;
    k.circuit.totals.push_back({"total", k.wire_of(x)});
  });
}

inline std::vector<std::vector<int64_t>> powers(int64_t start, uint32_t rows) {
  std::vector<std::vector<int64_t>> images(2);
  for (int64_t v = start; v < start + rows; ++v) {
    images[0].push_back(v * v);
    images[1].push_back(v * v * v);
  }
  return images;
}

// (m[i] - x[i, j], square, cube) in a table of 37 rows, the same in a table of equal content and another name
// for x + c, and q in a range of 300.
inline Describe lookup_circuit(const Domain& d) {
  return one_segment([d](Sketch& k) {
    const uint32_t x = k.wire_of(k.given("x", d.rows, d.cols, 9));
    const uint32_t m = k.wire_of(k.copy("m", full(1, d.rows), k.wire_of(k.given("rows", 1, d.rows, 9))));
    const uint32_t c = k.wire_of(k.weight("cols", 1, d.cols, 9));
    const Poly keys[2] = {{{1, {row(m)}}, {-1, {cell(x)}}}, {{1, {cell(x)}}, {1, {col(c)}}}};
    for (int n = 0; n < 2; ++n) {
      const std::string name = n == 0 ? "near" : "far";
      const uint32_t table = k.function(name, -18, powers(-18, 37));
      const uint32_t square = k.tensor(name + ".square", d), cube = k.tensor(name + ".cube", d);
      k.step(StepKind::kTableMap, d, keys[n], {square, cube}).table = table;
      k.lookup(name, table, d, {keys[n], {{1, {cell(k.wire_of(square))}}}, {{1, {cell(k.wire_of(cube))}}}});
    }
    const uint32_t q = k.copy("q", full(3, 130), k.wire_of(k.given("given", 3, 130, 149)));
    k.in_range("q", k.range("range.300", -150, 300), q);
  });
}

// y = round(x w / 16) with its remainder, then a residual: the boundary of the next segment.
inline void draw_rounded_layer(Sketch& k, int index, uint32_t rows, uint32_t cols) {
  const std::string name = std::to_string(index);
  const uint32_t x =
      index == 0 ? k.given("boundary.0", rows, cols, 7)
                 : k.tensor("boundary." + name, full(rows, cols), CellType::kInt32, Source::kBoundary);
  const uint32_t w = k.weight("w." + name, cols, cols, 3);
  const uint32_t r = k.tensor("r", full(rows, cols)), y = k.tensor("y", full(rows, cols));
  const uint32_t e = k.einsum("linear", EinsumKind::kNT, 1, 1, k.wire(rows, cols, {{1, r}, {16, y}}, -8),
                              k.wire_of(x), k.wire_of(w));
  k.fill_from_einsum(e, 8, {r, y}, {4, 60});
  k.in_range("r", k.range("range.16", 0, 16), r);
  k.in_range("y", k.range("range.wide", -2048, 4096), y);
  const uint32_t out = k.tensor("boundary." + std::to_string(index + 1), full(rows, cols), CellType::kInt32,
                                Source::kBoundary);
  const Poly zero = k.assign(full(rows, cols), {{1, {cell(k.wire_of(x))}}, {1, {cell(k.wire_of(y))}}}, out);
  k.circuit.linears.push_back({"residual", full(rows, cols), zero});
}
inline Describe two_layers(uint32_t rows, uint32_t cols) {
  return [=](CellMap& cells) {
    std::vector<Sketch> out;
    draw_rounded_layer(out.emplace_back("layer.0", cells), 0, rows, cols);
    draw_rounded_layer(out.emplace_back("layer.1", cells), 1, rows, cols);
    return out;
  };
}

// Rows of a weight and cells of what they give: an index of -1 has nothing, and the cells are a public output.
inline void draw_indexed(Sketch& k, uint32_t table, const std::vector<int64_t>& rows,
                         const std::vector<int64_t>& cells) {
  const auto n = static_cast<uint32_t>(rows.size()), m = static_cast<uint32_t>(cells.size()) / n;
  const Domain d = full(n, k.circuit.tensors[table].shape.cols);
  const uint32_t g = k.tensor("g", d), p = k.tensor("p", full(n, m));
  const uint32_t source = k.wire(k.circuit.tensors[table].shape.rows, d.cols, {{2, table}}, 5);
  const Poly gather = {{3, {gathered(source, k.index_list("rows", 1, n, rows))}}};
  k.circuit.linears.push_back({"gather", d, k.assign(d, gather, g)});
  const Poly pick = {{-1, {picked(k.wire_of(g), k.index_list("cells", n, m, cells))}}, {4, {}}};
  k.circuit.linears.push_back({"pick", full(n, m), k.assign(full(n, m), pick, p)});
  k.circuit.outputs.push_back({"picked", k.wire(n, m, {{1, p}}, 1)});
}
inline Describe indexed_circuit() {
  return one_segment([](Sketch& k) {
    draw_indexed(k, k.weight("table", 5, 130, 50), {4, -1, 0, 4}, {129, 0, -1, 128, 127, 127, 3, -1});
  });
}

// Every kind of relation at once, as small as it gets.
inline Describe everything() {
  return one_segment([](Sketch& k) {
    draw_rounded_layer(k, 0, 2, 3);
    const Domain d = causal(2, 3, 1, 2);
    const uint32_t x = k.copy("x", d, k.wire_of(0));
    const uint32_t s = k.tensor("s", full(1, 2)), z = k.tensor("z", full(2, 3));
    k.circuit.row_sums.push_back({"sum", k.wire_of(s), k.wire_of(x)});
    k.step(StepKind::kRowSum, full(1, 2), {}, {s}).index = 0;
    const Poly zero = k.assign(full(2, 3), {{1, {cell(k.wire_of(0)), cell(k.wire_of(0))}}}, z);
    k.circuit.zero_checks.push_back({"square", full(2, 3), {zero}});
    k.circuit.totals.push_back({"total", k.wire_of(x)});
    draw_indexed(k, 1, {2, -1}, {0, 2});
  });
}

}  // namespace assay::test
