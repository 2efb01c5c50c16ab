// The two files of a verification, of version 3 [docs/spec/proof-format.md, docs/spec/files.md]: a proof, and
// the statement that a client has written for itself.
#pragma once

#include "system/verifier.h"

namespace assay {

// More is refused before it is read.
inline constexpr uint64_t kMaxProofFile = (uint64_t{1} << 30) + (uint64_t{1} << 24) + 512;
inline constexpr uint64_t kMaxStatementFile = (uint64_t{1} << 30) + (uint64_t{1} << 24) + 512;

// What a client expects of a proof.
struct ExpectedProof {
  std::vector<uint8_t> head;  // the proof's first section
  Statement statement;        // the second is statement.instance

  // Throws Malformed.
  static ExpectedProof read(std::span<const uint8_t> file);
};

// Throws Rejected, for a file of another form or about something else, too.
Verified verify_file(const ExpectedProof& expected, const Plan& plan, std::span<const uint8_t> file);

}  // namespace assay
