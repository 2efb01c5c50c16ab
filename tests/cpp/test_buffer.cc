// Scratch memory that is kept for the next to come.
#include "base/buffer.h"

#include <cstdint>
#include <vector>

#include "check.h"

using namespace assay;

TEST(a_large_block_is_used_again) {
  memory::release();
  const uint8_t* first = nullptr;
  {
    Buffer<uint8_t> a(3 * memory::kLarge);
    first = a.data();
    a.data()[3 * memory::kLarge - 1] = 1;
  }
  Buffer<uint8_t> same(3 * memory::kLarge);
  CHECK(same.data() == first);
  Buffer<uint8_t> other(3 * memory::kLarge);
  CHECK(other.data() != first);
}

TEST(a_block_is_never_too_small_and_never_much_too_large) {
  memory::release();
  for (const size_t kept : {2, 4, 16}) Buffer<uint8_t> block(kept * memory::kLarge);
  for (const size_t asked : {1, 3, 7, 9, 16, 17}) {
    const size_t bytes = asked * memory::kLarge - 5;
    const memory::Block block = memory::take(bytes);
    CHECK(block.bytes >= bytes && block.bytes <= 2 * bytes);
    static_cast<uint8_t*>(block.data)[bytes - 1] = 1;
    memory::give(block);
  }
  memory::release();
}

TEST(blocks_in_use_are_apart_and_what_is_kept_is_limited) {
  memory::release();
  std::vector<memory::Block> blocks;
  for (size_t k = 0; k < 6; ++k) {
    blocks.push_back(memory::take(memory::kKept / 4));
    static_cast<uint8_t*>(blocks.back().data)[0] = static_cast<uint8_t>(k);
  }
  for (size_t k = 0; k < 6; ++k) CHECK_EQ(static_cast<uint8_t*>(blocks[k].data)[0], k);
  for (const memory::Block& block : blocks) memory::give(block);
  // Four are kept; a fifth is the system's again, and taking six more works as well.
  for (memory::Block& block : blocks) block = memory::take(memory::kKept / 4);
  for (const memory::Block& block : blocks) memory::give(block);
  memory::release();
  Buffer<int> none(0);
  CHECK(none.data() == nullptr && none.size() == 0);
}

ASSAY_TEST_MAIN
