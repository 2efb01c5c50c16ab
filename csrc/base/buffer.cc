#include "base/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace assay::memory {
namespace {

struct Kept {
  std::mutex mutex;
  std::vector<Block> blocks;
  size_t bytes = 0;
};

// Never destroyed: buffers of other threads may outlive main().
Kept& kept() {
  static Kept* const all = new Kept;
  return *all;
}

// The smallest block that holds so many bytes, if it is not more than twice as large.
Block take_kept(size_t bytes) {
  Kept& all = kept();
  const std::scoped_lock lock(all.mutex);
  auto best = all.blocks.end();
  for (auto at = all.blocks.begin(); at != all.blocks.end(); ++at)
    if (at->bytes >= bytes && at->bytes <= 2 * bytes && (best == all.blocks.end() || at->bytes < best->bytes))
      best = at;
  if (best == all.blocks.end()) return {nullptr, 0};
  const Block found = *best;
  *best = all.blocks.back();
  all.blocks.pop_back();
  all.bytes -= found.bytes;
  return found;
}

}  // namespace

Block take(size_t bytes) {
  const bool large = bytes >= kLarge;
  if (large)
    if (const Block found = take_kept(bytes); found.data != nullptr) return found;
  const size_t alignment = large ? kLarge : 64;
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* p = std::aligned_alloc(alignment, rounded);
  if (p == nullptr) {  // perhaps there is room without what is kept
    release();
    p = std::aligned_alloc(alignment, rounded);
  }
  if (p == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (large) (void)madvise(p, rounded, MADV_HUGEPAGE);
#endif
  return {p, rounded};
}

void give(Block block) noexcept {
  if (block.bytes >= kLarge) {
    Kept& all = kept();
    const std::scoped_lock lock(all.mutex);
    if (all.bytes + block.bytes <= kKept) {
      try {
        all.blocks.push_back(block);
        all.bytes += block.bytes;
        return;
      } catch (const std::bad_alloc&) {
        // There is no room to keep it.
      }
    }
  }
  std::free(block.data);
}

void release() noexcept {
  Kept& all = kept();
  const std::scoped_lock lock(all.mutex);
  for (const Block& block : all.blocks) std::free(block.data);
  all.blocks.clear();
  all.bytes = 0;
}

}  // namespace assay::memory
