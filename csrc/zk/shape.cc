#include "zk/shape.h"

#include <optional>

#include "base/result.h"
#include "commit/params.h"

namespace assay {
namespace {

constexpr uint32_t kLeastLogSize = 6, kMostLogSize = 16;
constexpr double kMargin = 4;  // bits beyond the statement's, so that the sum of all errors keeps them

// Columns on which two words of the masks' code, degree below 2K, can agree before they must be one: (N + 2K)
// / 2.
double agreeing(size_t size) { return 5.0 * static_cast<double>(size); }
double length(size_t size) { return 8.0 * static_cast<double>(size); }

std::optional<uint32_t> least_queries(double bits, size_t size) {
  double reached = 0;
  for (uint32_t q = 0; q <= size / 2; ++q) {
    if (q > 0 && reached >= bits) return q;
    reached += avoidance_bits(agreeing(size), length(size), q);
  }
  return std::nullopt;
}

}  // namespace

TableauShape tableau_shape(double bits, size_t pads, size_t products) {
  std::optional<TableauShape> best;
  size_t best_cost = 0;
  for (uint32_t k = kLeastLogSize; k <= kMostLogSize; ++k) {
    const auto queries = least_queries(bits + kMargin, size_t{1} << k);
    if (!queries) continue;
    const TableauShape shape{k, *queries, pads, products};
    const size_t cost = shape.queries * (shape.rows() + kTableauMasks) + 5 * shape.size();
    if (!best || cost < best_cost) {
      best = shape;
      best_cost = cost;
    }
  }
  check(best.has_value(), "no tableau gives so many bits");
  return *best;
}

double tableau_query_bits(const TableauShape& shape) {
  double bits = 0;
  for (uint32_t q = 0; q < shape.queries; ++q)
    bits += avoidance_bits(agreeing(shape.size()), length(shape.size()), q);
  return bits;
}

}  // namespace assay
