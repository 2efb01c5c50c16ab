// Merkle trees over SHA-256, with de-duplicated openings of many leaves.
//
// inner node = SHA-256(left || right || 0x03); the last node of a level of odd width is promoted unchanged.
// The number of leaves is not part of the root: a verifier takes it from the statement, never from a proof.
//
// An opening lists the nodes that cannot be computed from the opened leaves, level by level from the leaves
// up, left to right within a level.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "hash/sha256.h"

namespace assay {

inline constexpr uint8_t kLeafTag = 0x01;
inline constexpr uint8_t kInnerTag = 0x03;

// SHA-256(parts concatenated || 0x01).
Digest leaf_digest(std::span<const Digest> parts);

// All leaves at once, from the digests of one part after another. Between parts a leaf keeps a 32-byte state and
// at most one digest, so the parts need not be held together.
class LeafHasher {
 public:
  explicit LeafHasher(size_t leaves) : states_(leaves, kSha256Initial) {}

  // part[j] is the next digest of leaf j.
  void absorb(std::span<const Digest> part);
  // leaf_digest of what each leaf has taken in.
  std::vector<Digest> finish() const;

 private:
  std::vector<Sha256State> states_;
  std::vector<Digest> pending_;  // of the last part, while their number is odd
  uint64_t parts_ = 0;
};

class MerkleTree {
 public:
  explicit MerkleTree(std::vector<Digest> leaves);  // at least one

  const Digest& root() const { return levels_.back().front(); }
  size_t leaf_count() const { return levels_.front().size(); }
  std::span<const Digest> leaves() const { return levels_.front(); }

  // indices: sorted, distinct, below leaf_count(), at least one.
  std::vector<Digest> open(std::span<const uint32_t> sorted_distinct) const;

 private:
  std::vector<std::vector<Digest>> levels_;  // leaves first, root last
};

// Whether `leaves` are the leaves at `sorted_distinct` of a tree of `leaf_count` leaves under `root`. All of
// `siblings` must be used, and the indices must be as open() takes them.
// Errors: merkle_indices, merkle_leaves, merkle_siblings (too few or too many), merkle_root.
Status verify_merkle(const Digest& root, size_t leaf_count, std::span<const uint32_t> sorted_distinct,
                     std::span<const Digest> leaves, std::span<const Digest> siblings);

// The number of digests that open() returns for these indices, and so the number to read from a proof.
// 0 for indices that open() does not take (verify_merkle rejects those).
size_t merkle_proof_size(size_t leaf_count, std::span<const uint32_t> sorted_distinct);

}  // namespace assay
