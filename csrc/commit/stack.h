// The opened parts of all commitments, stacked row by row: the matrix that one opening is about.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "circuit/circuit.h"
#include "commit/params.h"
#include "hash/merkle.h"

namespace assay {

// What a verifier knows of a commitment.
struct CommitmentShape {
  std::string name;                 // "weights", "boundaries", "witness 3", ...
  std::vector<uint32_t> part_rows;  // rows of each part
  std::vector<bool> opened;         // which parts this proof opens
};

class Stack {
 public:
  Stack(const CodeParams& code, std::vector<CommitmentShape> commitments)
      : code_(code), commitments_(std::move(commitments)) {
    first_row_.resize(commitments_.size());
    for (size_t c = 0; c < commitments_.size(); ++c)
      for (size_t p = 0; p < commitments_[c].part_rows.size(); ++p) {
        first_row_[c].push_back(rows_);
        if (commitments_[c].opened[p]) rows_ += commitments_[c].part_rows[p];
      }
  }

  const CodeParams& code() const { return code_; }
  const std::vector<CommitmentShape>& commitments() const { return commitments_; }
  uint32_t rows() const { return rows_; }
  uint32_t first_row(size_t commitment, size_t part) const { return first_row_[commitment][part]; }
  size_t first_block(size_t commitment, size_t part) const {
    return first_row(commitment, part) * code_.row_blocks();
  }
  size_t blocks() const { return rows_ * code_.row_blocks(); }
  // Variables of the stack's blocks; those of its rows come last.
  unsigned block_bits() const { return (code_.log_columns - kLogBlock) + log2_ceil(rows_); }

 private:
  CodeParams code_;
  std::vector<CommitmentShape> commitments_;
  std::vector<std::vector<uint32_t>> first_row_;
  uint32_t rows_ = 0;
};

}  // namespace assay
