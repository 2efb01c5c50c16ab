// Hashes the columns of a matrix that arrives row by row.
//
// Column j's message is its words in row order (8 bytes each, little-endian), then its 16-byte salt, then
// one tag byte; its digest is the SHA-256 of that. Eight rows make one SHA-256 block, so between calls a
// column keeps a 32-byte state and at most seven words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "field/goldilocks.h"
#include "hash/sha256.h"

namespace assay {

inline constexpr uint8_t kColumnTag = 0x02;
inline constexpr size_t kSaltSize = 16;

class ColumnHasher {
 public:
  explicit ColumnHasher(size_t columns, uint8_t tag = kColumnTag);

  size_t columns() const { return states_.size(); }
  uint64_t rows() const { return row_count_; }

  // rows[r] points to `columns()` elements. Any number of rows; fastest in multiples of eight.
  void absorb(std::span<const F* const> rows);

  // salts: kSaltSize bytes a column. Leaves the hasher as it is, so that more rows may follow.
  void finish(std::span<const uint8_t> salts, std::span<Digest> out) const;

  // The whole state, appended to `out`, and back: a long registration can stop and resume.
  void save(std::vector<uint8_t>& out) const;
  static Result<ColumnHasher> load(std::span<const uint8_t> saved);

 private:
  size_t pending_rows() const { return row_count_ % 8; }
  void keep(std::span<const F* const> rows);

  uint8_t tag_;
  uint64_t row_count_ = 0;
  std::vector<Sha256State> states_;
  std::vector<F> pending_;  // row-major, the row_count_ % 8 rows that do not fill a block yet
};

}  // namespace assay
