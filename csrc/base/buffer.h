// Large scratch memory: not initialised, and on huge pages where the system has them (page faults would cost
// more than the arithmetic done on a page).
#pragma once

#include <cstddef>
#include <memory>

namespace assay {

namespace memory {

// Blocks of kLarge bytes or more are kept for the next to come, up to kKept bytes in all: the system clears each page
// that it hands out, which takes longer than most of what is done to a page here.
inline constexpr size_t kLarge = size_t{1} << 21;
inline constexpr size_t kKept = size_t{1} << 29;

struct Block {
  void* data;
  size_t bytes;  // at least those asked for
};
Block take(size_t bytes);  // throws std::bad_alloc
void give(Block block) noexcept;
// Returns all blocks that are kept to the system.
void release() noexcept;

}  // namespace memory

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t n) : n_(n) {
    if (n == 0) return;
    const memory::Block block = memory::take(n * sizeof(T));
    data_ = {static_cast<T*>(block.data), Give{block.bytes}};
  }
  size_t size() const { return n_; }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }

 private:
  struct Give {
    size_t bytes = 0;
    void operator()(T* p) const { memory::give({p, bytes}); }
  };
  size_t n_ = 0;
  std::unique_ptr<T, Give> data_;
};

}  // namespace assay
