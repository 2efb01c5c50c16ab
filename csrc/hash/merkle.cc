#include "hash/merkle.h"

#include <algorithm>
#include <array>

#include "base/parallel.h"

namespace assay {
namespace {

constexpr size_t kNodesPerRange = 512;

size_t parent_width(size_t width) { return width / 2 + width % 2; }

std::span<const uint8_t> digest_bytes(std::span<const Digest> digests) {
  return {digests.data()->data(), digests.size_bytes()};
}

Digest inner_digest(const Digest& left, const Digest& right) {
  const std::array<Digest, 2> children = {left, right};
  Digest parent;
  sha256_tagged_many(digest_bytes(children), 2 * sizeof(Digest), kInnerTag, {&parent, 1});
  return parent;
}

std::vector<Digest> parents(std::span<const Digest> level) {
  std::vector<Digest> out(parent_width(level.size()));
  const size_t pairs = level.size() / 2;
  parallel_for(pairs, kNodesPerRange, [&](size_t begin, size_t end) {
    sha256_tagged_many(digest_bytes(level.subspan(2 * begin, 2 * (end - begin))), 2 * sizeof(Digest),
                       kInnerTag, std::span(out).subspan(begin, end - begin));
  });
  if (level.size() % 2 != 0) out.back() = level.back();
  return out;
}

bool valid_indices(size_t leaf_count, std::span<const uint32_t> indices) {
  if (indices.empty() || indices.back() >= leaf_count) return false;
  return std::adjacent_find(indices.begin(), indices.end(), std::greater_equal<>()) == indices.end();
}

// What the node at `nodes[i]` of a level of `width` nodes meets on the way up, when `nodes` are those known.
enum class Meets { kNobody, kNextKnown, kUnknownLeft, kUnknownRight };

Meets meets(std::span<const uint32_t> nodes, size_t i, size_t width) {
  const uint32_t node = nodes[i];
  if (node % 2 != 0) return Meets::kUnknownLeft;  // a known one would have taken this node along
  if (size_t{node} + 1 == width) return Meets::kNobody;
  const bool next_known = i + 1 < nodes.size() && nodes[i + 1] == node + 1;
  return next_known ? Meets::kNextKnown : Meets::kUnknownRight;
}

// Calls visit(level, index) for each node that an opening lists, in its order.
template <class Visit>
void for_each_sibling(size_t leaf_count, std::span<const uint32_t> indices, const Visit& visit) {
  std::vector<uint32_t> nodes(indices.begin(), indices.end());
  size_t level = 0;
  for (size_t width = leaf_count; width > 1; width = parent_width(width), ++level) {
    size_t kept = 0;
    for (size_t i = 0; i < nodes.size();) {
      const uint32_t node = nodes[i];
      const Meets other = meets(nodes, i, width);
      if (other == Meets::kUnknownLeft) visit(level, node - 1);
      if (other == Meets::kUnknownRight) visit(level, node + 1);
      i += other == Meets::kNextKnown ? 2 : 1;
      nodes[kept++] = node / 2;
    }
    nodes.resize(kept);
  }
}

// Climbs from the opened leaves to the root. On exhausted siblings `ok` turns false.
struct Climb {
  std::vector<uint32_t> nodes;
  std::vector<Digest> digests;
  std::span<const Digest> siblings;
  bool ok = true;

  Digest next_sibling() {
    if (siblings.empty()) {
      ok = false;
      return {};
    }
    const Digest first = siblings.front();
    siblings = siblings.subspan(1);
    return first;
  }

  Digest parent(size_t i, Meets other) {
    switch (other) {
      case Meets::kNobody:
        return digests[i];
      case Meets::kNextKnown:
        return inner_digest(digests[i], digests[i + 1]);
      case Meets::kUnknownLeft:
        return inner_digest(next_sibling(), digests[i]);
      case Meets::kUnknownRight:
        return inner_digest(digests[i], next_sibling());
    }
    __builtin_unreachable();
  }

  void level(size_t width) {
    size_t kept = 0;
    for (size_t i = 0; i < nodes.size() && ok;) {
      const Meets other = meets(nodes, i, width);
      const uint32_t node = nodes[i] / 2;
      digests[kept] = parent(i, other);
      nodes[kept++] = node;
      i += other == Meets::kNextKnown ? 2 : 1;
    }
    nodes.resize(kept);
    digests.resize(kept);
  }
};

}  // namespace

Digest leaf_digest(std::span<const Digest> parts) {
  Sha256 hash;
  if (!parts.empty()) hash.update(digest_bytes(parts));
  hash.update({&kLeafTag, 1});
  return hash.finish();
}

void LeafHasher::absorb(std::span<const Digest> part) {
  check(part.size() == states_.size(), "LeafHasher: one digest a leaf");
  if (parts_++ % 2 == 0) {
    pending_.assign(part.begin(), part.end());
    return;
  }
  constexpr size_t kTogether = 64;
  parallel_for(states_.size(), kTogether, [&](size_t begin, size_t end) {
    std::array<Digest, 2 * kTogether> blocks;
    for (size_t j = begin; j < end; j += kTogether) {
      const size_t count = std::min(kTogether, end - j);
      for (size_t l = 0; l < count; ++l) {
        blocks[2 * l] = pending_[j + l];
        blocks[2 * l + 1] = part[j + l];
      }
      sha256_compress_many(std::span(states_).subspan(j, count), blocks.front().data(), kSha256Block);
    }
  });
}

std::vector<Digest> LeafHasher::finish() const {
  check(parts_ != 0, "LeafHasher: no parts");
  const size_t held = parts_ % 2 * sizeof(Digest);
  std::vector<Digest> out(states_.size());
  constexpr size_t kTogether = 16;
  parallel_for(out.size(), kTogether, [&](size_t begin, size_t end) {
    std::array<Sha256State, kTogether> states;
    std::array<Sha256Tail, kTogether> tails;
    for (size_t j = begin; j < end; j += kTogether) {
      const size_t count = std::min(kTogether, end - j);
      std::copy_n(states_.begin() + static_cast<std::ptrdiff_t>(j), count, states.begin());
      for (size_t l = 0; l < count; ++l) {
        if (held != 0) std::copy_n(pending_[j + l].begin(), held, tails[l].begin());
        tails[l][held] = kLeafTag;
      }
      sha256_finish_many({states.data(), count}, {tails.data(), count}, held + 1,
                         parts_ * sizeof(Digest) + 1, std::span(out).subspan(j, count));
    }
  });
  return out;
}

MerkleTree::MerkleTree(std::vector<Digest> leaves) {
  check(!leaves.empty(), "MerkleTree: no leaves");
  levels_.push_back(std::move(leaves));
  while (levels_.back().size() > 1) levels_.push_back(parents(levels_.back()));
}

std::vector<Digest> MerkleTree::open(std::span<const uint32_t> sorted_distinct) const {
  check(valid_indices(leaf_count(), sorted_distinct),
        "MerkleTree: indices not sorted, distinct and in range");
  std::vector<Digest> siblings;
  for_each_sibling(leaf_count(), sorted_distinct,
                   [&](size_t level, size_t index) { siblings.push_back(levels_[level][index]); });
  return siblings;
}

Status verify_merkle(const Digest& root, size_t leaf_count, std::span<const uint32_t> sorted_distinct,
                     std::span<const Digest> leaves, std::span<const Digest> siblings) {
  if (!valid_indices(leaf_count, sorted_distinct)) {
    return Error{"merkle_indices", "leaf indices are not sorted, distinct and in range"};
  }
  if (leaves.size() != sorted_distinct.size()) {
    return Error{"merkle_leaves", "not as many leaves as indices"};
  }
  Climb climb{{sorted_distinct.begin(), sorted_distinct.end()}, {leaves.begin(), leaves.end()}, siblings};
  for (size_t width = leaf_count; width > 1 && climb.ok; width = parent_width(width)) climb.level(width);
  if (!climb.ok) return Error{"merkle_siblings", "too few sibling digests"};
  if (!climb.siblings.empty()) return Error{"merkle_siblings", "too many sibling digests"};
  if (climb.digests.front() != root) return Error{"merkle_root", "the opened leaves are not under this root"};
  return {};
}

size_t merkle_proof_size(size_t leaf_count, std::span<const uint32_t> sorted_distinct) {
  if (!valid_indices(leaf_count, sorted_distinct)) return 0;
  size_t count = 0;
  for_each_sibling(leaf_count, sorted_distinct, [&](size_t, size_t) { ++count; });
  return count;
}

}  // namespace assay
