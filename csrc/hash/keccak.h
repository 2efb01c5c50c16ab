// Keccak-f[1600] and SHAKE128 [FIPS 202].
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace assay {

using KeccakState = std::array<uint64_t, 25>;  // lane (x, y) at x + 5 y

void keccak_f1600(KeccakState& state);

// Absorb any number of times, then squeeze any number of times: consecutive squeezes continue one stream.
// A copy continues on its own.
class Shake128 {
 public:
  static constexpr size_t rate = 168;

  void absorb(std::span<const uint8_t> data);  // not after a squeeze
  void squeeze(std::span<uint8_t> out);

 private:
  void pad();

  KeccakState state_{};
  size_t position_ = 0;  // within the rate
  bool squeezing_ = false;
};

std::vector<uint8_t> shake128(std::span<const uint8_t> message, size_t length);

}  // namespace assay
