#include "transcript/transcript.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <unordered_set>

#include "base/bytes.h"
#include "base/result.h"
#include "transcript/mutation.h"

namespace assay {
namespace {

// Part of every session id: names this construction, its version and its suite, as the draft asks of a tag.
constexpr std::string_view kConstruction = "ASSAY-SV01-DSFS-SHAKE128";

std::span<const uint8_t> as_bytes(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}

std::array<uint8_t, 4> length_prefix(size_t length) {
  check(length <= std::numeric_limits<uint32_t>::max(), "Transcript: 2^32 bytes or more in one message");
  std::array<uint8_t, 4> prefix;
  store_le32(prefix.data(), static_cast<uint32_t>(length));
  return prefix;
}

// SerializeVarLenString of the draft.
void append_string(std::vector<uint8_t>& out, std::span<const uint8_t> s) {
  const auto prefix = length_prefix(s.size());
  out.insert(out.end(), prefix.begin(), prefix.end());
  out.insert(out.end(), s.begin(), s.end());
}

SessionId make_session_id(std::string_view protocol_id, std::string_view session_id) {
  std::vector<uint8_t> tag;
  append_string(tag, as_bytes(kConstruction));
  append_string(tag, as_bytes(protocol_id));
  append_string(tag, as_bytes(session_id));
  return derive_session_id(tag);
}

std::array<uint8_t, 8> encode_count(uint64_t count) {
  std::array<uint8_t, 8> bytes;
  store_le64(bytes.data(), count);
  return bytes;
}

// DecodeUint of the draft, modulo p.
constexpr size_t kCoordinateBytes = 24;
F decode_coordinate(const uint8_t* bytes) {
  const u128 low = static_cast<u128>(load_le64(bytes + 8)) << 64 | load_le64(bytes);
  const F high = F::from_u64(load_le64(bytes + 16));
  const F two_to_64(kEpsilon);
  return high * two_to_64 * two_to_64 + F(reduce128(low));
}

}  // namespace

enum class Transcript::Kind : uint8_t {
  kInstance = 0x00,
  kBytes = 0x01,
  kField = 0x02,
  kExtension = 0x10,  // plus the degree
  kChallenge = 0x20,  // plus the degree
  kChallengeBytes = 0x31,
  kChallengeIndices = 0x32,
  kFingerprint = 0x40,
};

Transcript::Kind Transcript::ext_kind(int degree) {
  return static_cast<Kind>(static_cast<int>(Kind::kExtension) + degree);
}

Transcript::Transcript(std::string_view protocol_id, std::string_view session_id,
                       std::span<const uint8_t> instance)
    : sponge_(make_session_id(protocol_id, session_id)) {
  absorb_frame(Kind::kInstance, "instance", instance);
}

void Transcript::absorb_frame(Kind kind, std::string_view label, std::span<const uint8_t> payload) {
  if (kind < Kind::kChallenge && left_out(label)) return;
  const auto kind_byte = static_cast<uint8_t>(kind);
  sponge_.absorb({&kind_byte, 1});
  sponge_.absorb(length_prefix(label.size()));
  sponge_.absorb(as_bytes(label));
  sponge_.absorb(length_prefix(payload.size()));
  sponge_.absorb(payload);
}

void Transcript::absorb(std::string_view label, std::span<const uint8_t> data) {
  absorb_frame(Kind::kBytes, label, data);
}

void Transcript::absorb_field(std::string_view label, F value) { absorb_fields(label, {&value, 1}); }

void Transcript::absorb_fields(std::string_view label, std::span<const F> values) {
  static_assert(sizeof(F) == sizeof(uint64_t));
  absorb_frame(Kind::kField, label, {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
}

void Transcript::challenge_coordinates(std::string_view label, int degree, size_t count, std::span<F> out) {
  absorb_frame(static_cast<Kind>(static_cast<int>(Kind::kChallenge) + degree), label, encode_count(count));
  for (F& coordinate : out) {
    std::array<uint8_t, kCoordinateBytes> bytes;
    sponge_.squeeze(bytes);
    coordinate = decode_coordinate(bytes.data());
  }
}

std::vector<uint8_t> Transcript::challenge_bytes(std::string_view label, size_t n) {
  absorb_frame(Kind::kChallengeBytes, label, encode_count(n));
  std::vector<uint8_t> out(n);
  sponge_.squeeze(out);
  return out;
}

// Draws as many bits as n - 1 has, and skips what is not below n or was drawn before.
std::vector<uint32_t> Transcript::challenge_indices(std::string_view label, size_t count, uint64_t n) {
  check(n <= uint64_t{1} << 32, "Transcript: more than 2^32 indices to choose from");
  check(count <= n, "Transcript: more distinct indices than there are");
  std::array<uint8_t, 16> parameters;
  store_le64(parameters.data(), count);
  store_le64(parameters.data() + 8, n);
  absorb_frame(Kind::kChallengeIndices, label, parameters);

  const uint64_t mask = n <= 1 ? 0 : (uint64_t{1} << std::bit_width(n - 1)) - 1;
  std::unordered_set<uint32_t> seen;
  while (seen.size() < count) {
    std::array<uint8_t, 4> bytes;
    sponge_.squeeze(bytes);
    const uint64_t index = load_le32(bytes.data()) & mask;
    if (index < n) seen.insert(static_cast<uint32_t>(index));
  }
  std::vector<uint32_t> sorted(seen.begin(), seen.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

Digest Transcript::fingerprint() const {
  Transcript copy(sponge_);
  copy.absorb_frame(Kind::kFingerprint, "", {});
  Digest digest;
  copy.sponge_.squeeze(digest);
  return digest;
}

}  // namespace assay
