#include "commit/params.h"

#include <cmath>

#include "base/math.h"
#include "circuit/circuit.h"

namespace assay {
namespace {

// log2 |E|, rounded down a little: p is just below 2^64.
double field_bits(int degree) { return degree * 63.9999999; }

double fraction_bits(double numerator, double bits_of_field) {
  return numerator <= 0 ? bits_of_field : bits_of_field - std::log2(numerator);
}

// Distinct columns: the chance that all of Q queries avoid the columns in which a word differs. In the unique
// decoding regime a word that is not close differs in at least (N - K) / 2 columns.
double query_bits(const CodeParams& code) {
  const double n = static_cast<double>(code.length());
  const double agree = (n + static_cast<double>(code.message())) / 2;
  double bits = 0;
  for (uint32_t q = 0; q < code.queries; ++q) bits += avoidance_bits(agree, n, q);
  return bits;
}

void add_tableau_terms(const ProofSizes& s, std::vector<SecurityTerm>& terms) {
  const double e = field_bits(s.degree);
  const auto d = [](uint64_t x) { return static_cast<double>(x); };
  terms.push_back({"tableau: queries", s.tableau_query_bits});
  terms.push_back(
      {"tableau: proximity gap", fraction_bits(2 * (log2_ceil(s.tableau_rows) + 1) * d(s.tableau_length), e)});
  terms.push_back({"tableau: constraints", fraction_bits(d(s.constraints), e)});
  terms.push_back({"tableau: products", fraction_bits(d(s.product_rows), e)});
}

}  // namespace

double avoidance_bits(double agree, double length, uint32_t q) {
  return -std::log2((agree - q) / (length - q));
}

std::string invalid_reason(const CodeParams& p) {
  if (p.log_columns < kLogBlock || p.log_columns > 24) return "log_columns is not in 7..24";
  if (p.log_coset < 2 || p.log_coset > 24) return "log_coset is not in 2..24";
  if (p.cosets < 1 || p.cosets > 16) return "cosets is not in 1..16";
  if (p.random > p.columns()) return "more random than message coefficients";
  if (p.message() > (uint64_t{1} << p.log_coset)) return "a row does not fit a coset";
  if (2 * p.message() > p.length()) return "the rate is above 1/2";
  if (p.random < p.queries) return "fewer random symbols than queries: one opening would tell of the cells";
  if (p.queries < 1 || p.queries > p.length() / 2) return "queries is not in 1..length/2";
  return {};
}

std::vector<SecurityTerm> security_terms(const CodeParams& code, const ProofSizes& s) {
  const double e = field_bits(s.degree);
  const double row_bits = log2_ceil(s.stack_rows);
  const double block_bits = log2_ceil(s.stack_blocks);
  const auto d = [](uint64_t x) { return static_cast<double>(x); };
  std::vector<SecurityTerm> terms = {
      {"opening: queries", query_bits(code)},
      {"opening: proximity gap", fraction_bits((row_bits + 1) * d(code.length()), e)},
      {"opening: claim batching", fraction_bits(d(s.claims), e)},
      {"opening: reduction sumcheck", fraction_bits(2 * (kLogBlock + block_bits), e)},
      {"relations: output point", fraction_bits(d(s.output_bits), e)},
      {"relations: batching", fraction_bits(d(s.zero_polys), e)},
      {"relations: sumchecks", fraction_bits(d(s.sumcheck_rounds * (s.sumcheck_degree + 1)), e)},
      {"lookups: fingerprints", fraction_bits(d((s.lookups + s.table_rows) * (s.table_columns + 1)), e)},
      {"lookups: trees", fraction_bits(4 * d(s.tree_layers_squared), e)},
  };
  if (s.hiding) add_tableau_terms(s, terms);
  return terms;
}

double security_bits(const std::vector<SecurityTerm>& terms) {
  double total = 0;
  for (const SecurityTerm& t : terms) total += std::exp2(-t.bits);
  return -std::log2(total);
}

}  // namespace assay
