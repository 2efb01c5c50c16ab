// The size of a tableau and the places in it; both sides derive them from the statement.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/math.h"

namespace assay {

// A row is a polynomial of degree below size() = 2^log_size, given by its values on the subgroup of that
// order
// ("slots"), evaluated at length() = 8 size() points outside it. The first message() slots hold pads or
// products, the others are random: as many as columns are queried.
struct TableauShape {
  uint32_t log_size = 0;
  uint32_t queries = 0;
  size_t pads = 0, products = 0;

  static constexpr unsigned kCosets = 8;

  size_t size() const { return size_t{1} << log_size; }
  size_t length() const { return kCosets * size(); }
  size_t message() const { return size() - queries; }
  size_t pad_rows() const { return ceil_div(pads, message()); }
  size_t product_rows() const { return ceil_div(products, message()); }  // of X, of Y and of Z
  size_t rows() const { return pad_rows() + 3 * product_rows(); }
  size_t first_row(size_t operand) const { return pad_rows() + operand * product_rows(); }  // 0 X, 1 Y, 2 Z
};

inline constexpr size_t kTableauMasks = 3;

// The smallest tableau for so many pads and products that misses with at most 2^-(bits + 4) in its queries.
TableauShape tableau_shape(double bits, size_t pads, size_t products);
// -log2 of the chance that distinct random columns miss what they have to see, for a mask of degree below
// twice the size is the word with the highest rate.
double tableau_query_bits(const TableauShape& shape);

}  // namespace assay
