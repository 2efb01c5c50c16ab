#include "hash/keccak.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/bytes.h"
#include "base/cpu.h"
#include "base/result.h"

namespace assay {
namespace {

constexpr int kRounds = 24;

// rc(t) of FIPS 202, Algorithm 5: the bits of the round constants come from a linear-feedback register.
constexpr std::array<uint64_t, kRounds> make_round_constants() {
  std::array<uint64_t, kRounds> constants{};
  unsigned lfsr = 1;
  for (uint64_t& constant : constants) {
    for (unsigned j = 0; j <= 6; ++j) {
      if (lfsr & 1) constant |= uint64_t{1} << ((1u << j) - 1);
      lfsr <<= 1;
      if (lfsr & 0x100) lfsr ^= 0x171;  // x^8 + x^6 + x^5 + x^4 + 1
    }
  }
  return constants;
}

// rho and pi together: lane `from` moves to lane `to`, rotated.
struct Move {
  int from;
  int to;
  int rotation;
};
constexpr std::array<Move, 24> make_moves() {
  std::array<Move, 24> moves{};
  int x = 1, y = 0;
  for (int t = 0; t < 24; ++t) {
    const int next_y = (2 * x + 3 * y) % 5;
    moves[t] = {x + 5 * y, y + 5 * next_y, (t + 1) * (t + 2) / 2 % 64};
    x = y;
    y = next_y;
  }
  return moves;
}

constexpr auto kRoundConstants = make_round_constants();
constexpr auto kMoves = make_moves();

[[gnu::always_inline]] inline void theta(uint64_t (&a)[25]) {
  uint64_t c[5];
#pragma GCC unroll 5
  for (int x = 0; x < 5; ++x) c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
#pragma GCC unroll 5
  for (int x = 0; x < 5; ++x) {
    const uint64_t d = c[(x + 4) % 5] ^ std::rotl(c[(x + 1) % 5], 1);
#pragma GCC unroll 5
    for (int y = 0; y < 25; y += 5) a[x + y] ^= d;
  }
}

[[gnu::always_inline]] inline void rho_pi(const uint64_t (&a)[25], uint64_t (&b)[25]) {
  b[0] = a[0];
#pragma GCC unroll 24
  for (int t = 0; t < 24; ++t) b[kMoves[t].to] = std::rotl(a[kMoves[t].from], kMoves[t].rotation);
}

[[gnu::always_inline]] inline void chi(const uint64_t (&b)[25], uint64_t (&a)[25]) {
#pragma GCC unroll 5
  for (int y = 0; y < 25; y += 5) {
#pragma GCC unroll 5
    for (int x = 0; x < 5; ++x) a[y + x] = b[y + x] ^ (~b[y + (x + 1) % 5] & b[y + (x + 2) % 5]);
  }
}

[[gnu::always_inline]] inline void permute(KeccakState& state) {
  uint64_t a[25];
  uint64_t b[25];
  std::memcpy(a, state.data(), sizeof a);
  for (const uint64_t constant : kRoundConstants) {
    theta(a);
    rho_pi(a, b);
    chi(b, a);
    a[0] ^= constant;
  }
  std::memcpy(state.data(), a, sizeof a);
}

#if defined(__x86_64__)
// Rotations and and-not that do not overwrite an operand: a quarter faster.
[[gnu::target("bmi,bmi2")]] void permute_bmi2(KeccakState& state) { permute(state); }
#endif

void xor_bytes(KeccakState& state, size_t position, std::span<const uint8_t> data) {
  auto* bytes = reinterpret_cast<uint8_t*>(state.data()) + position;
  for (size_t i = 0; i < data.size(); ++i) bytes[i] ^= data[i];
}

}  // namespace

void keccak_f1600(KeccakState& state) {
#if defined(__x86_64__)
  if (cpu::has_bmi2()) return permute_bmi2(state);
#endif
  permute(state);
}

void Shake128::absorb(std::span<const uint8_t> data) {
  check(!squeezing_, "Shake128: absorb after squeeze");
  while (!data.empty()) {
    const size_t take = std::min(data.size(), rate - position_);
    xor_bytes(state_, position_, data.first(take));
    data = data.subspan(take);
    position_ += take;
    if (position_ == rate) {
      keccak_f1600(state_);
      position_ = 0;
    }
  }
}

// The suffix 1111 of the SHAKEs, then 10*1, least significant bit first.
void Shake128::pad() {
  auto* bytes = reinterpret_cast<uint8_t*>(state_.data());
  bytes[position_] ^= 0x1F;
  bytes[rate - 1] ^= 0x80;
  position_ = rate;  // nothing of this block was squeezed: permute first
  squeezing_ = true;
}

void Shake128::squeeze(std::span<uint8_t> out) {
  if (!squeezing_) pad();
  while (!out.empty()) {
    if (position_ == rate) {
      keccak_f1600(state_);
      position_ = 0;
    }
    const size_t take = std::min(out.size(), rate - position_);
    std::memcpy(out.data(), reinterpret_cast<const uint8_t*>(state_.data()) + position_, take);
    out = out.subspan(take);
    position_ += take;
  }
}

std::vector<uint8_t> shake128(std::span<const uint8_t> message, size_t length) {
  Shake128 xof;
  xof.absorb(message);
  std::vector<uint8_t> out(length);
  xof.squeeze(out);
  return out;
}

}  // namespace assay
