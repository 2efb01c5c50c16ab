// The mask of a hiding opening: a uniform row over E, encoded by the code of the commitments and committed
// beside them. One for each proof, never used twice.
#pragma once

#include <optional>

#include "commit/columns.h"
#include "commit/prover.h"

namespace assay {

template <int D>
class OpeningMask {
 public:
  // All C + h symbols are drawn from `key`, which is secret, fresh, and used for nothing else.
  OpeningMask(const CodeParams& code, const ReedSolomon& rs, const PrgKey& key);

  const Digest& root() const { return tree_->root(); }
  const Vec<D>& symbols() const { return symbols_; }
  // The bytes that OpeningVerifier::add_mask reads.
  std::vector<uint8_t> open_columns(std::span<const uint32_t> columns) const;

 private:
  PrgKey key_;
  Vec<D> symbols_;
  std::vector<Buffer<F>> codewords_;  // one for each coordinate
  std::optional<MerkleTree> tree_;
};

extern template class OpeningMask<2>;
extern template class OpeningMask<3>;

}  // namespace assay
