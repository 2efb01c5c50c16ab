// The XOF duplex sponge of draft-irtf-cfrg-fiat-shamir-03, suite SHAKE128.
//
// A squeeze returns SHAKE128(session id || zeros to one block || everything absorbed so far). Consecutive
// squeezes continue that stream until something is absorbed. What was squeezed is not fed back: Transcript
// makes each challenge part of the input by absorbing a description of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "hash/keccak.h"

namespace assay {

using SessionId = std::array<uint8_t, 32>;

class DuplexSponge {
 public:
  explicit DuplexSponge(const SessionId& session_id);

  void absorb(std::span<const uint8_t> data);
  void squeeze(std::span<uint8_t> out);

 private:
  Shake128 absorbed_;
  std::optional<Shake128> reader_;  // present while squeezing
};

// DeriveSessionID of the draft.
SessionId derive_session_id(std::span<const uint8_t> tag);

}  // namespace assay
