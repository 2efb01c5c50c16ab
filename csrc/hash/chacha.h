// A pseudorandom generator: the ChaCha20 key stream [RFC 8439, Section 2.3].
//
// The block function's sixteen bytes of counter and nonce are a 64-bit block counter (state words 12 and 13)
// followed by a 64-bit stream id (words 14 and 15), both little-endian. This is RFC 8439's function with the
// nonce (high half of the counter, stream id). A stream has 2^64 blocks, more than can ever be drawn, so
// streams under one key never overlap.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "field/goldilocks.h"

namespace assay {

using PrgKey = std::array<uint8_t, 32>;

// Not copyable or movable: two generators in one state would hand out the same secret randomness twice.
class Prg {
 public:
  Prg(const PrgKey& key, uint64_t stream);
  ~Prg();  // wipes the key
  Prg(const Prg&) = delete;
  Prg& operator=(const Prg&) = delete;

  // All draws read one byte stream in order: fill(a) then fill(b) gives what one fill of both gives.
  void fill(std::span<uint8_t> out);
  uint64_t next64();  // little-endian
  // Uniform: words at or above p are skipped.
  F uniform_field();
  // As many calls of uniform_field() give, faster.
  void fill_field(std::span<F> out);

  // Continues at the given 64-byte block of the stream.
  void seek(uint64_t block);

 private:
  static constexpr size_t kBuffer = 512;

  void refill();

  std::array<uint32_t, 16> input_;  // the next block's input
  alignas(32) std::array<uint8_t, kBuffer> buffer_;
  size_t used_ = kBuffer;
};

// One block, as RFC 8439 states it.
void chacha20_block(const PrgKey& key, uint32_t counter, const std::array<uint8_t, 12>& nonce,
                    std::span<uint8_t, 64> out);

}  // namespace assay
