// Fixed-width integers to and from bytes. Everything Assay writes is little-endian; SHA-256 alone reads
// big-endian words.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace assay {

// Field rows are hashed and written as they lie in memory.
static_assert(std::endian::native == std::endian::little, "Assay needs a little-endian machine");

inline uint32_t load_le32(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline uint64_t load_le64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store_le32(uint8_t* p, uint32_t v) { std::memcpy(p, &v, sizeof v); }
inline void store_le64(uint8_t* p, uint64_t v) { std::memcpy(p, &v, sizeof v); }

inline uint32_t load_be32(const uint8_t* p) { return __builtin_bswap32(load_le32(p)); }
inline void store_be32(uint8_t* p, uint32_t v) { store_le32(p, __builtin_bswap32(v)); }
inline void store_be64(uint8_t* p, uint64_t v) { store_le64(p, __builtin_bswap64(v)); }

}  // namespace assay
