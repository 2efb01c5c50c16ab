#include "hash/column_hasher.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/parallel.h"

namespace assay {
namespace {

constexpr size_t kGroup = 8;  // rows to a block

// Columns worked on at a time. Rows of a codeword matrix often lie a multiple of a large power of two apart,
// so that the same column of many rows falls into one cache set: a tile of each row is first copied to
// where it cannot be evicted. Eight rows of a tile and its states fill three quarters of a 32 KiB cache.
constexpr size_t kTile = 256;

struct Tile {
  std::array<std::array<uint64_t, kTile>, kGroup> words;
  std::array<const uint64_t*, kGroup> rows;

  void load(std::span<const F* const> group, size_t first, size_t width) {
    for (size_t r = 0; r < kGroup; ++r) {
      std::memcpy(words[r].data(), group[r] + first, width * sizeof(F));
      rows[r] = words[r].data();
    }
  }
};

// rows: a multiple of eight.
void absorb_groups(std::span<Sha256State> states, std::span<const F* const> rows) {
  parallel_for(states.size(), kTile, [&](size_t begin, size_t end) {
    Tile tile;
    for (size_t j = begin; j < end; j += kTile) {
      const size_t width = std::min(kTile, end - j);
      for (size_t r = 0; r < rows.size(); r += kGroup) {
        tile.load(rows.subspan(r, kGroup), j, width);
        sha256_compress_columns(states.subspan(j, width), tile.rows);
      }
    }
  });
}

constexpr std::array<uint8_t, 8> kMagic = {'A', 'S', 'Y', 'C', 'O', 'L', 'H', 1};
constexpr size_t kHeader = kMagic.size() + 1 + 8 + 8;  // magic, tag, columns, rows
constexpr uint64_t kMaxRows = uint64_t{1} << 56;       // SHA-256 counts bits in 64 bits

Error bad_state(const char* why) { return {"column_hasher_state", why}; }

void append64(std::vector<uint8_t>& out, uint64_t v) {
  std::array<uint8_t, 8> bytes;
  store_le64(bytes.data(), v);
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class T>
void append_raw(std::vector<uint8_t>& out, const std::vector<T>& values) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  out.insert(out.end(), bytes, bytes + values.size() * sizeof(T));
}

}  // namespace

ColumnHasher::ColumnHasher(size_t columns, uint8_t tag) : tag_(tag), states_(columns, kSha256Initial) {}

void ColumnHasher::absorb(std::span<const F* const> rows) {
  const size_t held = pending_rows();
  std::vector<const F*> all;
  for (size_t r = 0; r < held; ++r) all.push_back(pending_.data() + r * columns());
  all.insert(all.end(), rows.begin(), rows.end());

  const size_t whole = all.size() / kGroup * kGroup;
  if (whole != 0) {
    absorb_groups(states_, std::span(all).first(whole));
    pending_.clear();
    rows = rows.subspan(whole - held);
  }
  keep(rows);
  row_count_ += all.size() - held;
}

void ColumnHasher::keep(std::span<const F* const> rows) {
  for (const F* row : rows) pending_.insert(pending_.end(), row, row + columns());
}

void ColumnHasher::finish(std::span<const uint8_t> salts, std::span<Digest> out) const {
  check(salts.size() == columns() * kSaltSize, "ColumnHasher: one salt a column");
  check(out.size() == columns(), "ColumnHasher: one digest a column");
  constexpr size_t kTogether = 16;
  const size_t held = pending_rows();
  const size_t tail_length = held * sizeof(F) + kSaltSize + 1;
  const uint64_t message_length = row_count_ * sizeof(F) + kSaltSize + 1;

  parallel_for(columns(), kTogether, [&](size_t begin, size_t end) {
    std::array<Sha256State, kTogether> states;
    std::array<Sha256Tail, kTogether> tails;
    for (size_t j = begin; j < end; j += kTogether) {
      const size_t count = std::min(kTogether, end - j);
      std::copy_n(states_.begin() + j, count, states.begin());
      for (size_t l = 0; l < count; ++l) {
        uint8_t* at = tails[l].data();
        for (size_t r = 0; r < held; ++r, at += sizeof(F)) store_le64(at, pending_[r * columns() + j + l].v);
        std::copy_n(salts.data() + (j + l) * kSaltSize, kSaltSize, at);
        at[kSaltSize] = tag_;
      }
      sha256_finish_many({states.data(), count}, {tails.data(), count}, tail_length, message_length,
                         out.subspan(j, count));
    }
  });
}

void ColumnHasher::save(std::vector<uint8_t>& out) const {
  out.insert(out.end(), kMagic.begin(), kMagic.end());
  out.push_back(tag_);
  append64(out, columns());
  append64(out, row_count_);
  append_raw(out, states_);
  append_raw(out, pending_);
}

Result<ColumnHasher> ColumnHasher::load(std::span<const uint8_t> saved) {
  if (saved.size() < kHeader) return bad_state("shorter than its header");
  if (!std::equal(kMagic.begin(), kMagic.end(), saved.begin())) return bad_state("a wrong magic number");
  const uint64_t columns = load_le64(saved.data() + kMagic.size() + 1);
  const uint64_t rows = load_le64(saved.data() + kMagic.size() + 9);
  const auto body = saved.subspan(kHeader);
  const uint64_t held = rows % kGroup;
  if (rows >= kMaxRows) return bad_state("too many rows");
  if (columns > body.size() / sizeof(Sha256State) ||
      body.size() != columns * (sizeof(Sha256State) + held * sizeof(F))) {
    return bad_state("length does not fit its number of columns and rows");
  }

  ColumnHasher hasher(columns, saved[kMagic.size()]);
  hasher.row_count_ = rows;
  hasher.pending_.resize(columns * held);
  const size_t state_bytes = columns * sizeof(Sha256State);
  if (columns != 0) std::memcpy(hasher.states_.data(), body.data(), state_bytes);
  for (size_t i = 0; i < hasher.pending_.size(); ++i) {
    const uint64_t word = load_le64(body.data() + state_bytes + i * sizeof(F));
    if (word >= kModulus) return bad_state("a field element that is not canonical");
    hasher.pending_[i] = F(word);
  }
  return hasher;
}

}  // namespace assay
