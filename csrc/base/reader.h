// Little-endian reading of untrusted bytes: never past the end, sizes checked before anything is allocated.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace assay {

// Thrown by Reader on truncated input; callers turn it into their own coded error.
struct Truncated {};

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  size_t remaining() const { return bytes_.size() - at_; }
  size_t position() const { return at_; }

  std::span<const uint8_t> take(size_t n) {
    if (n > remaining()) throw Truncated{};
    const auto out = bytes_.subspan(at_, n);
    at_ += n;
    return out;
  }
  template <class T>
  T number() {
    T x;
    std::memcpy(&x, take(sizeof(T)).data(), sizeof(T));
    return x;
  }
  uint8_t u8() { return number<uint8_t>(); }
  uint16_t u16() { return number<uint16_t>(); }
  uint32_t u32() { return number<uint32_t>(); }
  uint64_t u64() { return number<uint64_t>(); }
  int64_t i64() { return number<int64_t>(); }
  std::string string() {
    const auto s = take(u16());
    return {reinterpret_cast<const char*>(s.data()), s.size()};
  }
  // A count of items of at least `item_size` bytes each: cannot exceed what is left.
  size_t count(size_t item_size) {
    const size_t n = u32();
    if (n * item_size > remaining()) throw Truncated{};
    return n;
  }

 private:
  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
};

}  // namespace assay
