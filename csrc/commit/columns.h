// Opened columns: from their bytes to the root.
#pragma once

#include "hash/column_hasher.h"
#include "hash/merkle.h"
#include "transcript/channel.h"

namespace assay {

inline constexpr uint8_t kMaskTag = 0x04;

// SHA-256(symbols || salt || tag), symbols as they stand in the proof.
inline Digest salted_digest(std::span<const uint8_t> symbols, std::span<const uint8_t> salt, uint8_t tag) {
  Sha256 hash;
  hash.update(symbols);
  hash.update(salt);
  hash.update(std::span(&tag, 1));
  return hash.finish();
}
template <int D>
Digest column_digest(std::span<const Ext<D>> symbols, std::span<const uint8_t> salt, uint8_t tag) {
  return salted_digest({reinterpret_cast<const uint8_t*>(symbols.data()), symbols.size_bytes()}, salt, tag);
}

template <class Channel>
Digest read_digest(Channel& channel, const Where& where) {
  Digest d;
  std::memcpy(d.data(), channel.take(d.size(), where).data(), d.size());
  return d;
}

// Reads the digests of a Merkle opening: whether the leaves at these indices are under the root.
template <class Channel>
bool read_path(Channel& channel, const Digest& root, size_t length, std::span<const uint32_t> indices,
               std::span<const Digest> leaves, const Where& where) {
  const size_t count = merkle_proof_size(length, indices);
  std::vector<Digest> siblings;
  for (size_t k = 0; k < count; ++k) siblings.push_back(read_digest(channel, where));
  return verify_merkle(root, length, indices, leaves, siblings).ok();
}

}  // namespace assay
