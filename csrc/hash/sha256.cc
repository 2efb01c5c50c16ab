#include "hash/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/cpu.h"
#include "base/result.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace assay {
namespace {

alignas(16) constexpr std::array<uint32_t, 64> kRoundConstants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// ---- One text for one lane (uint32_t) and for eight lanes (a vector of them) ----

// The functions that return vectors are all inlined: no calling convention is involved.
#pragma GCC diagnostic ignored "-Wpsabi"

template <class Word>
[[gnu::always_inline]] inline Word rotr(const Word& x, int n) {
  return (x >> n) | (x << (32 - n));
}

template <class Word>
[[gnu::always_inline]] inline Word schedule(const Word (&w)[16], int t) {
  const Word a = w[(t + 1) % 16];
  const Word b = w[(t + 14) % 16];
  const Word sigma0 = rotr(a, 7) ^ rotr(a, 18) ^ (a >> 3);
  const Word sigma1 = rotr(b, 17) ^ rotr(b, 19) ^ (b >> 10);
  return w[t % 16] + sigma0 + w[(t + 9) % 16] + sigma1;
}

// Round t = T (mod 16), then word t + 16 of the schedule if there is one. The working variables a..h stay
// where they are and their names rotate: T is a template parameter so that all indices are constants.
template <int T, bool kExtend, class Word>
[[gnu::always_inline]] inline void round(Word (&s)[8], Word (&w)[16], const uint32_t* constants) {
  const Word& a = s[-T & 7];
  const Word& b = s[(1 - T) & 7];
  const Word& c = s[(2 - T) & 7];
  const Word& e = s[(4 - T) & 7];
  const Word& f = s[(5 - T) & 7];
  const Word& g = s[(6 - T) & 7];
  Word& d = s[(3 - T) & 7];
  Word& h = s[(7 - T) & 7];
  const Word big1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
  const Word choose = g ^ (e & (f ^ g));
  const Word t1 = h + big1 + choose + constants[T] + w[T];
  const Word big0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
  const Word majority = (a & b) | (c & (a | b));
  d += t1;
  h = t1 + big0 + majority;
  if constexpr (kExtend) w[T] = schedule(w, T);
}

template <bool kExtend, class Word, int... T>
[[gnu::always_inline]] inline void rounds(Word (&s)[8], Word (&w)[16], const uint32_t* constants,
                                          std::integer_sequence<int, T...>) {
  (round<T, kExtend>(s, w, constants), ...);
}

// w: the block as sixteen words, overwritten by the schedule.
template <class Word>
[[gnu::always_inline]] inline void compress_words(Word (&state)[8], Word (&w)[16]) {
  Word s[8];
  for (int i = 0; i < 8; ++i) s[i] = state[i];
  constexpr auto kSixteen = std::make_integer_sequence<int, 16>();
  for (int t = 0; t < 48; t += 16) rounds<true>(s, w, &kRoundConstants[t], kSixteen);
  rounds<false>(s, w, &kRoundConstants[48], kSixteen);
  for (int i = 0; i < 8; ++i) state[i] += s[i];
}

void compress_one(Sha256State& state, const uint8_t* block) {
  uint32_t s[8];
  uint32_t w[16];
  std::copy(state.begin(), state.end(), s);
  for (int i = 0; i < 16; ++i) w[i] = load_be32(block + 4 * i);
  compress_words(s, w);
  std::copy(s, s + 8, state.begin());
}

constexpr size_t kLanes = 8;
using Lanes [[gnu::vector_size(32)]] = uint32_t;

// Lane l's block is at blocks + l * stride.
[[gnu::always_inline]] inline void compress_lanes(Sha256State* states, const uint8_t* blocks, size_t stride) {
  Lanes s[8];
  Lanes w[16];
  for (size_t l = 0; l < kLanes; ++l) {
    for (int i = 0; i < 8; ++i) s[i][l] = states[l][i];
    for (int i = 0; i < 16; ++i) w[i][l] = load_be32(blocks + l * stride + 4 * i);
  }
  compress_words(s, w);
  for (size_t l = 0; l < kLanes; ++l) {
    for (int i = 0; i < 8; ++i) states[l][i] = s[i][l];
  }
}

void compress_lanes_portable(Sha256State* states, const uint8_t* blocks, size_t stride) {
  compress_lanes(states, blocks, stride);
}

// The block of column j of eight rows.
void gather_column(const std::array<const uint64_t*, 8>& rows, size_t j, uint8_t* block) {
  for (int r = 0; r < 8; ++r) store_le64(block + 8 * r, rows[r][j]);
}

#if defined(__x86_64__)

[[gnu::target("avx2")]] void compress_lanes_avx2(Sha256State* states, const uint8_t* blocks, size_t stride) {
  compress_lanes(states, blocks, stride);
}

// ---- SHA extensions ----
//
// The instructions keep a state as the pairs ABEF and CDGH. One message alone is bound by the latency of
// sha256rnds2, so two that do not depend on each other advance together (N = 2).

#define ASSAY_SHA_INLINE [[gnu::target("sha,sse4.1"), gnu::always_inline]] inline

struct ShaState {
  __m128i abef;
  __m128i cdgh;
};

ASSAY_SHA_INLINE ShaState load_state(const Sha256State& state) {
  const auto* words = reinterpret_cast<const __m128i*>(state.data());
  const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xB1);
  const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1B);
  return {_mm_alignr_epi8(badc, hgfe, 8), _mm_blend_epi16(hgfe, badc, 0xF0)};
}

ASSAY_SHA_INLINE void store_state(const ShaState& s, Sha256State& state) {
  auto* words = reinterpret_cast<__m128i*>(state.data());
  const __m128i feba = _mm_shuffle_epi32(s.abef, 0x1B);
  const __m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xB1);
  _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

ASSAY_SHA_INLINE __m128i big_endian_words(__m128i bytes) {
  return _mm_shuffle_epi8(bytes, _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
}

ASSAY_SHA_INLINE void load_block(const uint8_t* block, __m128i (&w)[4]) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    w[q] = big_endian_words(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block) + q));
  }
}

// Columns j and j + 1 at once: two rows of two words are a 2 x 2 transpose away from two quarter blocks.
ASSAY_SHA_INLINE void load_columns(const std::array<const uint64_t*, 8>& rows, size_t j, __m128i (&w)[2][4]) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    const __m128i even = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[2 * q] + j));
    const __m128i odd = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[2 * q + 1] + j));
    w[0][q] = big_endian_words(_mm_unpacklo_epi64(even, odd));
    w[1][q] = big_endian_words(_mm_unpackhi_epi64(even, odd));
  }
}

// Words 4 (q + 4) .. 4 (q + 4) + 3 of the schedule from the sixteen before them.
ASSAY_SHA_INLINE void extend(__m128i (&w)[4], int q) {
  const __m128i& last = w[(q + 3) % 4];
  const __m128i sum =
      _mm_add_epi32(_mm_sha256msg1_epu32(w[q % 4], w[(q + 1) % 4]), _mm_alignr_epi8(last, w[(q + 2) % 4], 4));
  w[q % 4] = _mm_sha256msg2_epu32(sum, last);
}

template <int N>
ASSAY_SHA_INLINE void compress_sha(ShaState (&s)[N], __m128i (&w)[N][4]) {
  ShaState before[N];
#pragma GCC unroll 2
  for (int n = 0; n < N; ++n) before[n] = s[n];
#pragma GCC unroll 16
  for (int q = 0; q < 16; ++q) {
    const __m128i k = _mm_load_si128(reinterpret_cast<const __m128i*>(kRoundConstants.data()) + q);
    __m128i words[N];
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) {
      words[n] = _mm_add_epi32(w[n][q % 4], k);
      s[n].cdgh = _mm_sha256rnds2_epu32(s[n].cdgh, s[n].abef, words[n]);
    }
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) {
      if (q < 12) extend(w[n], q);
      s[n].abef = _mm_sha256rnds2_epu32(s[n].abef, s[n].cdgh, _mm_shuffle_epi32(words[n], 0x0E));
    }
  }
#pragma GCC unroll 2
  for (int n = 0; n < N; ++n) {
    s[n].abef = _mm_add_epi32(s[n].abef, before[n].abef);
    s[n].cdgh = _mm_add_epi32(s[n].cdgh, before[n].cdgh);
  }
}

[[gnu::target("sha,sse4.1")]] void compress_sha_one(Sha256State& state, const uint8_t* blocks, size_t count) {
  ShaState s[1] = {load_state(state)};
  for (size_t b = 0; b < count; ++b) {
    __m128i w[1][4];
    load_block(blocks + b * kSha256Block, w[0]);
    compress_sha<1>(s, w);
  }
  store_state(s[0], state);
}

[[gnu::target("sha,sse4.1")]] void compress_sha_many(std::span<Sha256State> states, const uint8_t* blocks,
                                                     size_t stride) {
  size_t i = 0;
  for (; i + 2 <= states.size(); i += 2) {
    ShaState s[2] = {load_state(states[i]), load_state(states[i + 1])};
    __m128i w[2][4];
    load_block(blocks + i * stride, w[0]);
    load_block(blocks + (i + 1) * stride, w[1]);
    compress_sha<2>(s, w);
    store_state(s[0], states[i]);
    store_state(s[1], states[i + 1]);
  }
  if (i < states.size()) compress_sha_one(states[i], blocks + i * stride, 1);
}

[[gnu::target("sha,sse4.1")]] void compress_sha_columns(std::span<Sha256State> states,
                                                        const std::array<const uint64_t*, 8>& rows) {
  size_t j = 0;
  for (; j + 2 <= states.size(); j += 2) {
    ShaState s[2] = {load_state(states[j]), load_state(states[j + 1])};
    __m128i w[2][4];
    load_columns(rows, j, w);
    compress_sha<2>(s, w);
    store_state(s[0], states[j]);
    store_state(s[1], states[j + 1]);
  }
  if (j < states.size()) {
    uint8_t block[kSha256Block];
    gather_column(rows, j, block);
    compress_sha_one(states[j], block, 1);
  }
}

#endif  // __x86_64__

auto* lanes_kernel() {
#if defined(__x86_64__)
  if (cpu::has_avx2()) return compress_lanes_avx2;
#endif
  return compress_lanes_portable;
}

Digest state_digest(const Sha256State& state) {
  Digest digest;
  for (size_t i = 0; i < state.size(); ++i) store_be32(digest.data() + 4 * i, state[i]);
  return digest;
}

// Padding after the `length` bytes of a message's tail; returns the number of blocks the tail then has.
size_t pad(Sha256Tail& tail, size_t length, uint64_t message_length) {
  const size_t blocks = length + 9 <= kSha256Block ? 1 : 2;
  const size_t end = blocks * kSha256Block - 8;
  tail[length] = 0x80;
  std::fill(tail.begin() + length + 1, tail.begin() + end, uint8_t{0});
  store_be64(tail.data() + end, message_length * 8);
  return blocks;
}

}  // namespace

void sha256_compress(Sha256State& state, const uint8_t* blocks, size_t count) {
#if defined(__x86_64__)
  if (cpu::has_sha()) return compress_sha_one(state, blocks, count);
#endif
  for (size_t b = 0; b < count; ++b) compress_one(state, blocks + b * kSha256Block);
}

void sha256_compress_many(std::span<Sha256State> states, const uint8_t* blocks, size_t stride) {
#if defined(__x86_64__)
  if (cpu::has_sha()) return compress_sha_many(states, blocks, stride);
#endif
  auto* kernel = lanes_kernel();
  size_t i = 0;
  for (; i + kLanes <= states.size(); i += kLanes) kernel(&states[i], blocks + i * stride, stride);
  for (; i < states.size(); ++i) compress_one(states[i], blocks + i * stride);
}

void sha256_compress_columns(std::span<Sha256State> states, const std::array<const uint64_t*, 8>& rows) {
#if defined(__x86_64__)
  if (cpu::has_sha()) return compress_sha_columns(states, rows);
#endif
  uint8_t blocks[kLanes * kSha256Block];
  for (size_t j = 0; j < states.size(); j += kLanes) {
    const size_t lanes = std::min(kLanes, states.size() - j);
    for (size_t l = 0; l < lanes; ++l) gather_column(rows, j + l, blocks + l * kSha256Block);
    sha256_compress_many(states.subspan(j, lanes), blocks, kSha256Block);
  }
}

void sha256_finish_many(std::span<Sha256State> states, std::span<Sha256Tail> tails, size_t tail_length,
                        uint64_t message_length, std::span<Digest> out) {
  check(tail_length <= kSha256MaxTail, "sha256_finish_many: tail too long");
  check(tails.size() == states.size() && out.size() == states.size(), "sha256_finish_many: sizes differ");
  size_t blocks = 0;
  for (Sha256Tail& tail : tails) blocks = pad(tail, tail_length, message_length);
  for (size_t b = 0; b < blocks; ++b) {
    sha256_compress_many(states, tails.data()->data() + b * kSha256Block, sizeof(Sha256Tail));
  }
  for (size_t i = 0; i < states.size(); ++i) out[i] = state_digest(states[i]);
}

void sha256_tagged_many(std::span<const uint8_t> messages, size_t length, uint8_t tag,
                        std::span<Digest> out) {
  check(messages.size() == length * out.size(), "sha256_tagged_many: sizes differ");
  constexpr size_t kTogether = 8;
  const size_t whole = length / kSha256Block * kSha256Block;
  for (size_t i = 0; i < out.size(); i += kTogether) {
    const size_t count = std::min(kTogether, out.size() - i);
    const uint8_t* first = messages.data() + i * length;
    std::array<Sha256State, kTogether> states;
    std::array<Sha256Tail, kTogether> tails;
    states.fill(kSha256Initial);
    const std::span some(states.data(), count);
    for (size_t at = 0; at < whole; at += kSha256Block) sha256_compress_many(some, first + at, length);
    for (size_t l = 0; l < count; ++l) {
      std::copy_n(first + l * length + whole, length - whole, tails[l].begin());
      tails[l][length - whole] = tag;
    }
    sha256_finish_many(some, {tails.data(), count}, length - whole + 1, length + 1, out.subspan(i, count));
  }
}

void Sha256::update(std::span<const uint8_t> data) {
  const size_t used = length_ % kSha256Block;
  length_ += data.size();
  if (used != 0) {
    const size_t take = std::min(data.size(), kSha256Block - used);
    std::copy_n(data.begin(), take, pending_.begin() + used);
    data = data.subspan(take);
    if (used + take < kSha256Block) return;
    sha256_compress(state_, pending_.data(), 1);
  }
  sha256_compress(state_, data.data(), data.size() / kSha256Block);
  const auto rest = data.last(data.size() % kSha256Block);
  std::copy(rest.begin(), rest.end(), pending_.begin());
}

Digest Sha256::finish() {
  Sha256Tail tail;
  const size_t used = length_ % kSha256Block;
  std::copy_n(pending_.begin(), used, tail.begin());
  sha256_compress(state_, tail.data(), pad(tail, used, length_));
  const Digest digest = state_digest(state_);
  *this = Sha256();
  return digest;
}

Digest sha256(std::span<const uint8_t> message) {
  Sha256 hash;
  hash.update(message);
  return hash.finish();
}

}  // namespace assay
