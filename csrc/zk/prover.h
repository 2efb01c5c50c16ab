// The prover of zk/verifier.h.
#pragma once

#include <optional>

#include "hash/chacha.h"
#include "zk/verifier.h"

namespace assay {

template <int D>
class TableauProver {
 public:
  // Draws pads and commits to them and to the products of those that the verifier multiplies. `key` is secret
  // and fresh; it is used for nothing else.
  TableauProver(const TableauShape& shape, std::vector<PadProduct> products, const PrgKey& key);

  const TableauShape& shape() const { return shape_; }
  const Digest& root() const { return tree_->root(); }
  std::span<const Ext<D>> pads() const { return pads_; }
  const std::vector<PadProduct>& products() const { return products_; }

  // False, and nothing sent, if the pads do not satisfy the constraints and `must_hold`: the answers would tell of them.
  [[nodiscard]] bool send_answers(ProverChannel<D>& channel, const Constraints<D>& constraints, bool must_hold) const;
  // The bytes that TableauVerifier::verify_columns reads.
  std::vector<uint8_t> open_columns(std::span<const uint32_t> columns) const;

 private:
  bool holds(const TableauQuestion<D>& question, const Vec<D>& v2, const Vec<D>& v3) const;
  void add_rows(const Vec<D>& values, size_t rows, class Prg& prg);
  void make_masks(class Prg& prg);
  void commit(class Prg& prg);

  TableauShape shape_;
  std::vector<PadProduct> products_;
  Vec<D> pads_;
  std::vector<Vec<D>> rows_;  // coefficients; the masks come last
  Vec<D> symbols_;            // column by column
  std::vector<uint8_t> salts_;
  std::optional<MerkleTree> tree_;
};

extern template class TableauProver<2>;
extern template class TableauProver<3>;

}  // namespace assay
