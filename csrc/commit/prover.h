// The prover's side of a commitment: cells, secret randomness, digests; and of the opening.
#pragma once

#include <functional>
#include <optional>

#include "base/buffer.h"
#include "code/reed_solomon.h"
#include "commit/claim.h"
#include "commit/prover_source.h"
#include "commit/stack.h"
#include "hash/chacha.h"
#include "hash/column_hasher.h"
#include "transcript/channel.h"

namespace assay {

// A tensor's cells at their place in a part; blocks not covered by any slot are zero.
struct SlotCells {
  size_t first_block = 0;  // within the part
  size_t blocks = 0;
  CellType type = CellType::kInt32;
  ByteSource data;
};
struct PartCells {
  uint32_t rows = 0;
  std::vector<SlotCells> slots;  // by first_block
};

// Streams of a commitment's secret randomness: the random coefficients of row i of part p, the salts of part
// p.
inline uint64_t row_stream(size_t part, size_t row) { return (uint64_t{part} << 32) | row; }
inline uint64_t salt_stream(size_t part) { return (uint64_t{part} << 32) | 0xFFFFFFFFU; }

// The C + h coefficients of one row of a part.
void row_coefficients(const CodeParams& code, const PartCells& part, size_t part_index, size_t row,
                      const PrgKey& key, std::span<F> out);

// Codewords are produced, hashed and stored in batches of this many rows: one SHA-256 block of a column.
inline constexpr size_t kBatchRows = 8;

// The digest of every column of one part. After each batch `sink` gets the number of rows done and, if
// `want_codeword`, the batch's symbols column by column (n words for each column, n <= kBatchRows rows).
using CodewordSink = std::function<void(size_t rows_done, std::span<const F> columns)>;
std::vector<Digest> part_digests(const CodeParams& code, const ReedSolomon& rs, const PartCells& part,
                                 size_t part_index, const PrgKey& key, const CodewordSink& sink = {},
                                 bool want_codeword = false);
// The same, leaving the codeword in `keep` (rows * length symbols, row by row).
std::vector<Digest> part_digests(const CodeParams& code, const ReedSolomon& rs, const PartCells& part,
                                 size_t part_index, const PrgKey& key, Buffer<F>& keep);

// The cells of one part at the given columns: values[q * rows + row].
std::vector<F> part_columns(const CodeParams& code, const ReedSolomon& rs, const PartCells& part,
                            size_t part_index, const PrgKey& key, std::span<const uint32_t> columns);

// The digest of every column of a part whose codewords are at hand, row by row.
std::vector<Digest> column_digests(std::span<const F* const> rows, size_t columns, size_t part_index,
                                   const PrgKey& key, uint8_t tag = kColumnTag);
std::vector<uint8_t> column_salt(const PrgKey& key, size_t part_index, uint32_t column);

// A commitment to all parts at hand, or to parts that come one after another. Digests of parts are given
// (long-lived commitments keep them) or recomputed from the cells when columns are opened.
class ProverCommitment {
 public:
  // To parts that share the key of their secret randomness.
  ProverCommitment(std::string name, const CodeParams& code, std::vector<PartCells> parts, const PrgKey& key)
      : name_(std::move(name)), code_(code), parts_(std::move(parts)), keys_(parts_.size(), key) {}
  ProverCommitment(std::string name, const CodeParams& code) : name_(std::move(name)), code_(code) {}

  // Encodes and hashes everything.
  void commit(const ReedSolomon& rs);
  // Another part with a key of its own: encodes it, and returns the digests of its columns. A codeword of at
  // most `keep_bytes` stays in memory until the opening; the columns of others are encoded again.
  std::vector<Digest> add_part(const ReedSolomon& rs, PartCells part, const PrgKey& key, size_t keep_bytes);
  // The same for a part whose digests are known already.
  void add_part(PartCells part, const PrgKey& key);
  // Uses the leaves over all parts, and what an earlier commit() left of each part, if at hand: the digests
  // of its columns.
  void restore(std::vector<Digest> leaves, std::vector<ByteSource> digests);
  // Answers column queries of a part from its stored codeword: the batches of CodewordSink one after another.
  void set_codeword(size_t part, ByteSource columns) {
    codewords_.resize(parts_.size());
    codewords_[part] = std::move(columns);
  }

  const std::string& name() const { return name_; }
  const std::vector<PartCells>& parts() const { return parts_; }
  const PrgKey& key(size_t part) const { return keys_[part]; }
  const Digest& root() const { return tree_->root(); }
  std::span<const Digest> leaves() const { return tree_->leaves(); }

  // The bytes OpeningVerifier::read_columns reads. `begin` is told of each part before it is gone through.
  std::vector<uint8_t> open_columns(const ReedSolomon& rs, const std::vector<bool>& opened,
                                    std::span<const uint32_t> columns,
                                    const std::function<void(size_t part)>& begin = {}) const;

 private:
  std::vector<Digest> leaves_by_parts(const ReedSolomon& rs) const;
  std::vector<Digest> leaves_by_columns(const ReedSolomon& rs, size_t rows) const;
  std::vector<F> columns_of(const ReedSolomon& rs, size_t part, std::span<const uint32_t> columns) const;

  std::string name_;
  CodeParams code_;
  std::vector<PartCells> parts_;
  std::vector<PrgKey> keys_;  // per part
  std::optional<MerkleTree> tree_;
  std::vector<ByteSource> digests_;    // per part; empty: recompute
  std::vector<ByteSource> codewords_;  // stored, per part
  std::vector<Buffer<F>> kept_;        // in memory, per part, row by row
};

template <int D>
class OpeningMask;

// The prover of OpeningVerifier::receive_combination; without a mask if the proof does not hide. `begin` is
// told of its two steps: "reduce", "combine".
template <int D>
void send_combination(ProverChannel<D>& channel, const Stack& stack,
                      std::span<const ProverCommitment* const> commitments,
                      const ClaimList<D, Ext<D>>& claims, const OpeningMask<D>* mask,
                      const std::function<void(const char* step)>& begin = {});

extern template void send_combination<2>(ProverChannel<2>&, const Stack&,
                                         std::span<const ProverCommitment* const>,
                                         const ClaimList<2, Ext<2>>&, const OpeningMask<2>*,
                                         const std::function<void(const char*)>&);
extern template void send_combination<3>(ProverChannel<3>&, const Stack&,
                                         std::span<const ProverCommitment* const>,
                                         const ClaimList<3, Ext<3>>&, const OpeningMask<3>*,
                                         const std::function<void(const char*)>&);

}  // namespace assay
