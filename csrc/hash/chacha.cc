#include "hash/chacha.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/cpu.h"

namespace assay {
namespace {

constexpr size_t kBlock = 64;
constexpr size_t kLanes = 8;  // blocks computed together
constexpr size_t kBatch = kLanes * kBlock;

constexpr std::array<uint32_t, 4> kConstants = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

using Input = std::array<uint32_t, 16>;

// Word i of eight consecutive blocks.
using Lanes [[gnu::vector_size(32)]] = uint32_t;
using LaneBytes [[gnu::vector_size(32)]] = uint8_t;

[[gnu::always_inline]] inline void rotate(Lanes& x, int n) { x = (x << n) | (x >> (32 - n)); }
[[gnu::always_inline]] inline void shuffle16(Lanes& x) {
  const auto bytes = reinterpret_cast<LaneBytes>(x);
  x = reinterpret_cast<Lanes>(__builtin_shufflevector(
      bytes, bytes, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13,  //
      18, 19, 16, 17, 22, 23, 20, 21, 26, 27, 24, 25, 30, 31, 28, 29));
}
[[gnu::always_inline]] inline void shuffle8(Lanes& x) {
  const auto bytes = reinterpret_cast<LaneBytes>(x);
  x = reinterpret_cast<Lanes>(__builtin_shufflevector(
      bytes, bytes, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14,  //
      19, 16, 17, 18, 23, 20, 21, 22, 27, 24, 25, 26, 31, 28, 29, 30));
}

// kByteShuffle: rotations by whole bytes are one shuffle, where the machine shuffles bytes.
template <bool kByteShuffle>
[[gnu::always_inline]] inline void rotate16(Lanes& x) {
  kByteShuffle ? shuffle16(x) : rotate(x, 16);
}
template <bool kByteShuffle>
[[gnu::always_inline]] inline void rotate8(Lanes& x) {
  kByteShuffle ? shuffle8(x) : rotate(x, 8);
}

template <bool kByteShuffle>
[[gnu::always_inline]] inline void quarter_round(Lanes& a, Lanes& b, Lanes& c, Lanes& d) {
  a += b;
  d ^= a;
  rotate16<kByteShuffle>(d);
  c += d;
  b ^= c;
  rotate(b, 12);
  a += b;
  d ^= a;
  rotate8<kByteShuffle>(d);
  c += d;
  b ^= c;
  rotate(b, 7);
}

template <bool kByteShuffle>
[[gnu::always_inline]] inline void double_round(Lanes (&x)[16]) {
  quarter_round<kByteShuffle>(x[0], x[4], x[8], x[12]);
  quarter_round<kByteShuffle>(x[1], x[5], x[9], x[13]);
  quarter_round<kByteShuffle>(x[2], x[6], x[10], x[14]);
  quarter_round<kByteShuffle>(x[3], x[7], x[11], x[15]);
  quarter_round<kByteShuffle>(x[0], x[5], x[10], x[15]);
  quarter_round<kByteShuffle>(x[1], x[6], x[11], x[12]);
  quarter_round<kByteShuffle>(x[2], x[7], x[8], x[13]);
  quarter_round<kByteShuffle>(x[3], x[4], x[9], x[14]);
}

// Eight vectors of eight words, transposed in three steps of interleaving.
[[gnu::always_inline]] inline void transpose(Lanes* x) {
  Lanes t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = __builtin_shufflevector(x[i], x[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = __builtin_shufflevector(x[i], x[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      x[i + 2 * j] = __builtin_shufflevector(t[i + j], t[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      x[i + 2 * j + 1] = __builtin_shufflevector(t[i + j], t[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = __builtin_shufflevector(x[i], x[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    t[i + 4] = __builtin_shufflevector(x[i], x[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) x[i] = t[i];
}

uint64_t counter(const Input& input) { return input[12] | static_cast<uint64_t>(input[13]) << 32; }
void set_counter(Input& input, uint64_t value) {
  input[12] = static_cast<uint32_t>(value);
  input[13] = static_cast<uint32_t>(value >> 32);
}

// The input words of eight blocks; only the counter differs between lanes.
[[gnu::always_inline]] inline void broadcast(const Input& input, Lanes (&x)[16]) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) x[i] = Lanes{} + input[i];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const uint64_t block = counter(input) + lane;
    x[12][lane] = static_cast<uint32_t>(block);
    x[13][lane] = static_cast<uint32_t>(block >> 32);
  }
}

// Eight blocks of key stream.
template <bool kByteShuffle>
[[gnu::always_inline]] inline void batch(const Input& input, uint8_t* out) {
  Lanes start[16];
  Lanes x[16];
  broadcast(input, start);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) x[i] = start[i];
  for (int round = 0; round < 20; round += 2) double_round<kByteShuffle>(x);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) x[i] += start[i];
  transpose(x);
  transpose(x + 8);
#pragma GCC unroll 8
  for (size_t lane = 0; lane < kLanes; ++lane) {
    std::memcpy(out + lane * kBlock, &x[lane], sizeof(Lanes));
    std::memcpy(out + lane * kBlock + 32, &x[lane + 8], sizeof(Lanes));
  }
}

void batch_portable(const Input& input, uint8_t* out) { batch<false>(input, out); }
#if defined(__x86_64__)
[[gnu::target("avx2")]] void batch_avx2(const Input& input, uint8_t* out) { batch<true>(input, out); }
#endif

// `batches` times eight blocks; advances the counter.
void generate(Input& input, uint8_t* out, size_t batches) {
  auto* kernel = batch_portable;
#if defined(__x86_64__)
  if (cpu::has_avx2()) kernel = batch_avx2;
#endif
  for (size_t i = 0; i < batches; ++i) {
    kernel(input, out + i * kBatch);
    set_counter(input, counter(input) + kLanes);
  }
}

Input make_input(const PrgKey& key) {
  Input input{};
  std::copy(kConstants.begin(), kConstants.end(), input.begin());
  for (size_t i = 0; i < 8; ++i) input[4 + i] = load_le32(key.data() + 4 * i);
  return input;
}

// Not optimised away, though the memory is not read again.
void wipe(void* p, size_t n) {
  std::memset(p, 0, n);
  asm volatile("" : : "r"(p) : "memory");
}

}  // namespace

Prg::Prg(const PrgKey& key, uint64_t stream) : input_(make_input(key)) {
  input_[14] = static_cast<uint32_t>(stream);
  input_[15] = static_cast<uint32_t>(stream >> 32);
}

Prg::~Prg() {
  wipe(input_.data(), sizeof input_);
  wipe(buffer_.data(), sizeof buffer_);
}

void Prg::refill() {
  static_assert(kBuffer == kBatch);
  generate(input_, buffer_.data(), 1);
  used_ = 0;
}

void Prg::seek(uint64_t block) {
  set_counter(input_, block);
  used_ = kBuffer;
}

void Prg::fill(std::span<uint8_t> out) {
  while (!out.empty()) {
    if (used_ == kBuffer && out.size() >= kBatch) {
      const size_t batches = out.size() / kBatch;
      generate(input_, out.data(), batches);
      out = out.subspan(batches * kBatch);
      continue;
    }
    if (used_ == kBuffer) refill();
    const size_t take = std::min(out.size(), kBuffer - used_);
    std::memcpy(out.data(), buffer_.data() + used_, take);
    used_ += take;
    out = out.subspan(take);
  }
}

uint64_t Prg::next64() {
  uint64_t word;
  if (used_ + sizeof word <= kBuffer) {
    word = load_le64(buffer_.data() + used_);
    used_ += sizeof word;
    return word;
  }
  std::array<uint8_t, sizeof word> bytes;
  fill(bytes);
  return load_le64(bytes.data());
}

F Prg::uniform_field() {
  uint64_t word = next64();
  while (word >= kModulus) word = next64();
  return F(word);
}

void Prg::fill_field(std::span<F> out) {
  while (!out.empty()) {
    fill({reinterpret_cast<uint8_t*>(out.data()), out.size_bytes()});
    const auto kept = std::remove_if(out.begin(), out.end(), [](F x) { return x.v >= kModulus; });
    out = out.subspan(static_cast<size_t>(kept - out.begin()));
  }
}

void chacha20_block(const PrgKey& key, uint32_t block_counter, const std::array<uint8_t, 12>& nonce,
                    std::span<uint8_t, 64> out) {
  Input input = make_input(key);
  input[12] = block_counter;
  for (size_t i = 0; i < 3; ++i) input[13 + i] = load_le32(nonce.data() + 4 * i);
  std::array<uint8_t, kBatch> blocks;
  generate(input, blocks.data(), 1);
  std::copy_n(blocks.begin(), kBlock, out.begin());
}

}  // namespace assay
