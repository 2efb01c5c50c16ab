// SHA-256 [FIPS 180-4], one message at a time or many at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace assay {

using Digest = std::array<uint8_t, 32>;
using Sha256State = std::array<uint32_t, 8>;  // H0..H7 between blocks

inline constexpr size_t kSha256Block = 64;
inline constexpr Sha256State kSha256Initial = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

class Sha256 {
 public:
  void update(std::span<const uint8_t> data);
  // The digest of everything so far; ends this message and starts another.
  Digest finish();

 private:
  Sha256State state_ = kSha256Initial;
  std::array<uint8_t, kSha256Block> pending_{};
  uint64_t length_ = 0;
};

Digest sha256(std::span<const uint8_t> message);

// out[i] = SHA-256(message_i || tag) for out.size() messages of `length` bytes each, lying end to end.
// Single-threaded; several messages advance together, since one alone is bound by latency.
void sha256_tagged_many(std::span<const uint8_t> messages, size_t length, uint8_t tag, std::span<Digest> out);

// Raw compression, no padding: `count` consecutive blocks into one state.
void sha256_compress(Sha256State& state, const uint8_t* blocks, size_t count);
// states[i] takes in the block at blocks + i * stride.
void sha256_compress_many(std::span<Sha256State> states, const uint8_t* blocks, size_t stride);
// states[j] takes in the block made of column j of eight rows of words: rows[0][j], ..., rows[7][j].
void sha256_compress_columns(std::span<Sha256State> states, const std::array<const uint64_t*, 8>& rows);

// The end of many messages of one length. tails[i] holds the last `tail_length` bytes of message i, those
// that states[i] has not taken in, with room for the padding; `message_length` counts the whole message.
using Sha256Tail = std::array<uint8_t, 2 * kSha256Block>;
inline constexpr size_t kSha256MaxTail = 2 * kSha256Block - 9;
void sha256_finish_many(std::span<Sha256State> states, std::span<Sha256Tail> tails, size_t tail_length,
                        uint64_t message_length, std::span<Digest> out);

}  // namespace assay
