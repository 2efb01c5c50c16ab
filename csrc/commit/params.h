// The code of all commitments, and the bits it gives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace assay {

// A row of C = 2^log_columns cells is the low coefficients of a polynomial of degree < C + random, which is
// evaluated on cosets * 2^log_coset points.
struct CodeParams {
  uint32_t log_columns = 17;
  uint32_t random = 1U << 15;
  uint32_t log_coset = 18;
  uint32_t cosets = 2;
  uint32_t queries = 216;

  uint64_t columns() const { return uint64_t{1} << log_columns; }
  uint64_t message() const { return columns() + random; }
  uint64_t length() const { return uint64_t{cosets} << log_coset; }
  uint64_t row_blocks() const { return columns() / 128; }
  bool operator==(const CodeParams&) const = default;
};

// Why parameters cannot be used, or empty.
std::string invalid_reason(const CodeParams& p);

// An error term of the proof, as -log2.
struct SecurityTerm {
  std::string name;
  double bits;
};

// What the terms depend on, from the actual statement.
struct ProofSizes {
  int degree = 3;           // of the extension
  uint64_t claims = 0;      // opened together
  uint64_t stack_rows = 0;  // rows of all opened parts
  uint64_t stack_blocks = 0;
  uint64_t zero_polys = 0;       // polynomials batched by powers of one challenge, over all segments
  uint64_t output_bits = 0;      // coordinates of the output points, over all segments
  uint64_t sumcheck_rounds = 0;  // relations times rounds, over all segments
  uint64_t sumcheck_degree = 3;
  uint64_t lookups = 0;  // leaves that exist, over all segments
  uint64_t table_rows = 0;
  uint64_t table_columns = 5;        // degree in beta of the widest fingerprint
  uint64_t tree_layers_squared = 0;  // sum over trees of layers^2
  bool hiding = false;               // the rest is there in hiding proofs alone
  double tableau_query_bits = 0;
  uint64_t tableau_rows = 0;
  uint64_t tableau_length = 0;
  uint64_t constraints = 0;  // those of the products' operands included
  uint64_t product_rows = 0;
};

// -log2 of the chance that a random column, none of the q distinct ones drawn before, is among the `agree` of
// `length` in which a wrong word agrees with the right one, as those were.
double avoidance_bits(double agree, double length, uint32_t q);

// Round-by-round errors; docs/spec/soundness.md derives each.
std::vector<SecurityTerm> security_terms(const CodeParams& code, const ProofSizes& sizes);
// -log2 of the sum of the errors.
double security_bits(const std::vector<SecurityTerm>& terms);

}  // namespace assay
