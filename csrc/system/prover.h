// The top-level prover.
#pragma once

#include <filesystem>
#include <functional>
#include <map>

#include "circuit/evaluate.h"
#include "commit/prover.h"
#include "system/statement.h"

namespace assay {

struct ProveOptions {
  // Refuse to prove what does not hold. Off only to show that the verifier rejects.
  bool self_check = true;
  // The number of this proof in the prover's ledger.
  uint64_t counter = 0;
  // Called with the columns of the long-lived commitments before anything of them is revealed; what it throws
  // ends the proof.
  std::function<void(std::span<const uint32_t> columns)> reveal;
  // Codewords of the witness kept in memory between commitment and opening; beyond it they are encoded twice.
  size_t keep_codeword_bytes = size_t{512} << 20;
  // Cells used instead of the committed weights when the witness is computed, by tensor name (self_check
  // off).
  std::map<std::string, const int16_t*> evaluate_with;
  // Cells of shared boundary tensors that no segment computes (a maximum over several segments), by member and
  // tensor name.
  std::vector<std::map<std::string, TensorData>> advice;
  // What the top-k steps of each segment mark instead of the largest, hidden as all of a witness; or nothing.
  std::vector<Choices> choices;
  // A folder of this proof alone: the witness and the leaves of its commitments are kept there instead of in
  // memory, and a run with the same seed, statement and counter goes on after the last segment that was finished.
  // Empty: all in memory.
  std::filesystem::path work;
  // Told how much of a step is done before it goes on: "commit" and "prove" of each segment; of the opening
  // "reduce", "combine", "constraints" (hiding), and "columns" of each part.
  std::function<void(const char* step, size_t done, size_t of)> progress;
  // Called with each segment's witness before it is committed, to change cells of it: for tests and
  // demonstrations of how a cheating prover is rejected (self_check off; else never called).
  std::function<void(size_t segment, Witness&)> corrupt;
  // The same for the multiplicities, in the order of the batch's tables, each padded to whole blocks.
  std::function<void(std::vector<int32_t>& counts)> corrupt_counts;
};

struct ProveResult {
  std::vector<uint8_t> body;
  std::vector<std::pair<std::string, double>> seconds;  // by step
  std::vector<SecurityTerm> terms;
  double bits = 0;
  size_t lookups = 0;
  size_t committed_cells = 0;
};

// A statement that does not hold, found before anything was proven.
struct NotProvable {
  std::string segment;
  std::string relation;
  std::string message;
};

// `seed` is fresh secret randomness of this proof alone; `boundaries` are those of the recorded members, in order.
ProveResult prove_body(const Plan& plan, const ProverCommitment& weights,
                       std::span<const ProverCommitment* const> boundaries, const PrgKey& seed,
                       const ProveOptions& options);

}  // namespace assay
