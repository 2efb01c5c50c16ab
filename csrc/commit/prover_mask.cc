#include "commit/prover_mask.h"

#include "base/parallel.h"

namespace assay {

template <int D>
OpeningMask<D>::OpeningMask(const CodeParams& code, const ReedSolomon& rs, const PrgKey& key)
    : key_(key), symbols_(code.message()) {
  Prg(key, row_stream(0, 0)).fill_field({reinterpret_cast<F*>(symbols_.data()), D * symbols_.size()});
  for (int d = 0; d < D; ++d) codewords_.emplace_back(rs.length());
  parallel_for(D, 1, [&](size_t begin, size_t end) {
    std::vector<F> plane(symbols_.size());
    for (size_t d = begin; d < end; ++d) {
      for (size_t i = 0; i < plane.size(); ++i) plane[i] = symbols_[i].c[d];
      rs.encode(plane.data(), codewords_[d].data());
    }
  });
  std::vector<const F*> rows;
  for (const Buffer<F>& word : codewords_) rows.push_back(word.data());
  tree_.emplace(column_digests(rows, rs.length(), 0, key, kMaskTag));
}

template <int D>
std::vector<uint8_t> OpeningMask<D>::open_columns(std::span<const uint32_t> columns) const {
  std::vector<uint8_t> out;
  const auto put = [&](const void* data, size_t n) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    out.insert(out.end(), bytes, bytes + n);
  };
  for (const uint32_t j : columns) {
    for (const Buffer<F>& word : codewords_) put(word.data() + j, sizeof(F));
    const auto salt = column_salt(key_, 0, j);
    put(salt.data(), salt.size());
  }
  for (const Digest& d : tree_->open(columns)) put(d.data(), d.size());
  return out;
}

template class OpeningMask<2>;
template class OpeningMask<3>;

}  // namespace assay
