// The top-level verifier.
#pragma once

#include "base/result.h"
#include "system/statement.h"
#include "transcript/channel.h"

namespace assay {

struct Verified {
  uint64_t counter = 0;  // of the prover's ledger
  double bits = 0;
  std::vector<SecurityTerm> terms;
  // Per segment: what its circuit makes public.
  std::vector<std::vector<std::pair<std::string, uint64_t>>> totals;
  std::vector<std::vector<std::pair<std::string, std::vector<F>>>> outputs;  // cell by cell
};

// Checks a proof's body against the statement that the caller expects; nothing of the statement is taken from
// the proof. The error's code, segment, relation and round say which check failed.
Verified verify_body(const Plan& plan, std::span<const uint8_t> body);  // throws Rejected

}  // namespace assay
