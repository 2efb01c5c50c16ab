// Products of integer matrices, exact.
//
// Where every partial sum stays below 2^53 (measured from the cells) the product runs on double-precision
// multiply-adds, which are then exact in any order; where that is so of two halves of each left cell, on two
// such products; otherwise on integers. All paths give the same values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace assay {

// Cell (i, j) is number i * stride + j of `cells`, integers of cell_bytes (2, 4 or 8).
struct IntegerMatrix {
  const void* cells = nullptr;
  unsigned cell_bytes = 2;
  size_t stride = 0;
};

// For each group g, with G = groups and M = members; rows of x and out are numbered (a G + g) M + m:
//   transposed:  out[(a,g,m), j] = sum over k < depth of x[(a,g,m), k] * y[j G + g, k]
//   otherwise:   out[(a,g,m), j] = sum over k < depth of x[(a,g,m), k] * y[k G + g, j]
struct IntegerProduct {
  using Range = std::function<std::pair<size_t, size_t>(size_t row)>;

  bool transposed = true;
  size_t groups = 1;
  size_t members = 1;
  size_t rows = 0;
  size_t depth = 0;
  size_t cols = 0;
  const int64_t* x = nullptr;  // rows * depth, without gaps
  IntegerMatrix y;
  Range x_range;    // outside it a row of x is zero; if empty, nothing is known to be zero
  Range out_range;  // outside it a row of the result is not wanted; if empty, all of it is
};

// values[c] = out[row, col + c], c < n. Called from several threads; each cell is delivered once, but those
// outside out_range perhaps not at all. `values` is scratch that the callee may overwrite.
using ProductSink = std::function<void(size_t row, size_t col, int64_t* values, size_t n)>;

enum class ProductPath : uint8_t { kDouble, kTwoDoubles, kInt64, kInt128 };

// The cheapest path that is exact for these cells.
ProductPath product_path(const IntegerProduct& p);

// Throws std::overflow_error if a value of the result does not fit 64 bits.
void multiply_integers(const IntegerProduct& p, const ProductSink& sink);

}  // namespace assay
