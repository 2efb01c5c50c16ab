// Large scratch memory: not initialised, and on huge pages where the system has them (page faults would cost
// more than the arithmetic done on a page).
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace assay {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t n) : n_(n) {
    if (n == 0) return;
    constexpr size_t kHugePage = size_t{1} << 21;
    const size_t bytes = n * sizeof(T);
    const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
    void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (p == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (bytes >= kHugePage) (void)madvise(p, bytes, MADV_HUGEPAGE);
#endif
    data_.reset(static_cast<T*>(p));
  }
  size_t size() const { return n_; }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  size_t n_ = 0;
  std::unique_ptr<T, Free> data_;
};

}  // namespace assay
