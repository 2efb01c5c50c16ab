// The Fiat-Shamir transcript: what prover and verifier both put in, in the same order, and the challenges
// that come out.
//
// Each operation, challenges included, is absorbed as
//     kind (1 byte) || length of label (4) || label || length of payload (4) || payload
// with little-endian lengths. That is prefix-free, so two different sequences of operations never absorb the
// same bytes, and a challenge depends on everything before it: also on earlier challenges and their number.
// Where draft-irtf-cfrg-fiat-shamir-03 names an encoding, it is used: SerializeVarLenString for strings,
// SerializeField for field elements, DecodeField for challenges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "field/extension.h"
#include "field/goldilocks.h"
#include "hash/sha256.h"
#include "transcript/duplex_sponge.h"

namespace assay {

// Not copyable: a fork could answer one challenge and present another.
class Transcript {
 public:
  // protocol_id fixes the argument system and all its parameters, session_id the context of use, and
  // instance the statement.
  Transcript(std::string_view protocol_id, std::string_view session_id, std::span<const uint8_t> instance);
  Transcript(const Transcript&) = delete;
  Transcript& operator=(const Transcript&) = delete;

  void absorb(std::string_view label, std::span<const uint8_t> data);
  void absorb_field(std::string_view label, F value);
  void absorb_fields(std::string_view label, std::span<const F> values);
  template <int D>
  void absorb_ext(std::string_view label, std::span<const Ext<D>> values) {
    static_assert(sizeof(Ext<D>) == D * sizeof(uint64_t));
    absorb_frame(ext_kind(D), label, {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
  }
  template <int D>
  void absorb_ext(std::string_view label, const Ext<D>& value) {
    absorb_ext<D>(label, std::span<const Ext<D>>(&value, 1));
  }

  // Each coordinate is 24 squeezed bytes, a little-endian integer, mod p: within 2^-128 of uniform.
  template <int D>
  Ext<D> challenge(std::string_view label) {
    Ext<D> r;
    challenge_coordinates(label, D, 1, r.c);
    return r;
  }
  // `count` challenges under one label; challenges<D>(label, 1) is challenge<D>(label).
  template <int D>
  std::vector<Ext<D>> challenges(std::string_view label, size_t count) {
    std::vector<Ext<D>> r(count);
    challenge_coordinates(label, D, count, {reinterpret_cast<F*>(r.data()), D * count});
    return r;
  }
  std::vector<uint8_t> challenge_bytes(std::string_view label, size_t n);
  // A uniformly random set of `count` of the integers below n, sorted. n <= 2^32, count <= n.
  std::vector<uint32_t> challenge_indices(std::string_view label, size_t count, uint64_t n);

  // A digest of everything absorbed so far; changes nothing. Binds a prover's randomness to the prefix.
  Digest fingerprint() const;

 private:
  enum class Kind : uint8_t;
  static Kind ext_kind(int degree);

  void absorb_frame(Kind kind, std::string_view label, std::span<const uint8_t> payload);
  void challenge_coordinates(std::string_view label, int degree, size_t count, std::span<F> out);

  explicit Transcript(const DuplexSponge& sponge) : sponge_(sponge) {}

  DuplexSponge sponge_;
};

}  // namespace assay
