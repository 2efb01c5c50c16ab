#include "commit/prover.h"

#include <algorithm>
#include <mutex>

#include "base/parallel.h"
#include "base/result.h"
#include "commit/prover_mask.h"
#include "sumcheck/prover.h"

namespace assay {
namespace {

constexpr size_t kPrgBlock = 64;

template <class Use>
void with_cells(const SlotCells& slot, Use use) {
  const Held held = slot.data.hold();
  switch (slot.type) {
    case CellType::kInt16:
      use(static_cast<const int16_t*>(held.get()));
      break;
    case CellType::kInt32:
      use(static_cast<const int32_t*>(held.get()));
      break;
    case CellType::kInt64:
      use(static_cast<const int64_t*>(held.get()));
      break;
  }
}

// Keeps a part's cells where they are while its rows are gone through, so that a file is mapped once for all.
std::vector<Held> hold_cells(const PartCells& part) {
  std::vector<Held> held;
  for (const SlotCells& s : part.slots) held.push_back(s.data.hold());
  return held;
}

// The slots that have blocks in [begin, end) of their part.
template <class Use>
void for_slots(const PartCells& part, size_t begin, size_t end, Use use) {
  for (const SlotCells& s : part.slots) {
    const size_t from = std::max(begin, s.first_block);
    const size_t to = std::min(end, s.first_block + s.blocks);
    if (from < to) use(s, from, to);
  }
}

void transpose(std::span<const F> rows, size_t n, size_t length, std::span<F> columns) {
  parallel_for(length, 4096, [&](size_t begin, size_t end) {
    for (size_t j = begin; j < end; ++j)
      for (size_t i = 0; i < n; ++i) columns[j * n + i] = rows[i * length + j];
  });
}

}  // namespace

void row_coefficients(const CodeParams& code, const PartCells& part, size_t part_index, size_t row,
                      const PrgKey& key, std::span<F> out) {
  std::fill_n(out.begin(), code.columns(), F::zero());
  const size_t begin = row * code.row_blocks();
  for_slots(part, begin, begin + code.row_blocks(), [&](const SlotCells& s, size_t from, size_t to) {
    with_cells(s, [&](const auto* cells) {
      const size_t in = (from - s.first_block) * kBlock, at = (from - begin) * kBlock;
      for (size_t k = 0; k < (to - from) * kBlock; ++k) {
        const auto cell = static_cast<int64_t>(cells[in + k]);  // below 2^62: no cell is p or more
        out[at + k] = F(static_cast<uint64_t>(cell) + (cell < 0 ? kModulus : 0));
      }
    });
  });
  Prg prg(key, row_stream(part_index, row));
  prg.fill_field(out.subspan(code.columns()));
}

namespace {

// Memory of this thread that rows are worked on in: to take it anew for each row would cost more than its
// arithmetic.
std::span<F> scratch(std::vector<F>& memory, size_t n) {
  if (memory.size() < n) memory.resize(n);
  return std::span(memory).first(n);
}
thread_local std::vector<F> row_memory, codeword_memory;

// Encodes rows [first, first + n) of a part to words, one codeword after another.
void encode_rows(const CodeParams& code, const ReedSolomon& rs, const PartCells& part, size_t part_index,
                 const PrgKey& key, size_t first, size_t n, F* words) {
  parallel_for(n, 1, [&](size_t begin, size_t end) {
    const std::span<F> coefficients = scratch(row_memory, code.message());
    for (size_t i = begin; i < end; ++i) {
      row_coefficients(code, part, part_index, first + i, key, coefficients);
      rs.encode(coefficients.data(), words + i * code.length());
    }
  });
}

// The salts of a part from `column` on; a salt does not cross a block of the stream.
void fill_salts(const PrgKey& key, size_t part_index, size_t column, std::span<uint8_t> out) {
  check(column * kSaltSize % kPrgBlock == 0, "salts from within a block");
  Prg prg(key, salt_stream(part_index));
  prg.seek(column * kSaltSize / kPrgBlock);
  prg.fill(out);
}

// The digests of all columns a hasher has taken in, with the salts of a part.
std::vector<Digest> salted_digests(const ColumnHasher& hasher, size_t part_index, const PrgKey& key) {
  Buffer<uint8_t> salts(hasher.columns() * kSaltSize);
  const std::span<uint8_t> bytes(salts.data(), salts.size());
  constexpr size_t kChunk = size_t{1} << 14;
  parallel_for(hasher.columns(), kChunk, [&](size_t begin, size_t end) {
    fill_salts(key, part_index, begin, bytes.subspan(begin * kSaltSize, (end - begin) * kSaltSize));
  });
  std::vector<Digest> out(hasher.columns());
  hasher.finish(bytes, out);
  return out;
}

// Columns that are hashed in one go: they and all that is made of them stay in the cache.
constexpr size_t kTogether = 1024;

// The digests of the columns from `first` on.
void hash_columns(std::span<const F* const> rows, size_t first, size_t part_index, const PrgKey& key,
                  uint8_t tag, std::span<Digest> out) {
  std::vector<const F*> from;
  for (const F* row : rows) from.push_back(row + first);
  ColumnHasher hasher(out.size(), tag);
  hasher.absorb(from);
  std::vector<uint8_t> salts(out.size() * kSaltSize);
  fill_salts(key, part_index, first, salts);
  hasher.finish(salts, out);
}

std::vector<const F*> rows_of(const F* words, size_t n, size_t length) {
  std::vector<const F*> rows;
  for (size_t i = 0; i < n; ++i) rows.push_back(words + i * length);
  return rows;
}

}  // namespace

std::vector<Digest> column_digests(std::span<const F* const> rows, size_t columns, size_t part_index,
                                   const PrgKey& key, uint8_t tag) {
  std::vector<Digest> out(columns);
  parallel_for(columns, kTogether, [&](size_t begin, size_t end) {
    for (size_t j = begin; j < end; j += kTogether)
      hash_columns(rows, j, part_index, key, tag, std::span(out).subspan(j, std::min(kTogether, end - j)));
  });
  return out;
}

std::vector<Digest> part_digests(const CodeParams& code, const ReedSolomon& rs, const PartCells& part,
                                 size_t part_index, const PrgKey& key, const CodewordSink& sink,
                                 bool want_codeword) {
  const auto held = hold_cells(part);
  ColumnHasher hasher(code.length());
  const size_t batch = std::min<size_t>(kBatchRows, part.rows);
  Buffer<F> words(batch * code.length());
  Buffer<F> by_column(want_codeword ? words.size() : 0);
  for (size_t row = 0; row < part.rows; row += batch) {
    const size_t n = std::min<size_t>(batch, part.rows - row), symbols = n * code.length();
    encode_rows(code, rs, part, part_index, key, row, n, words.data());
    hasher.absorb(rows_of(words.data(), n, code.length()));
    if (want_codeword) transpose({words.data(), symbols}, n, code.length(), {by_column.data(), symbols});
    if (sink) sink(row + n, {by_column.data(), want_codeword ? symbols : 0});
  }
  return salted_digests(hasher, part_index, key);
}

std::vector<Digest> part_digests(const CodeParams& code, const ReedSolomon& rs, const PartCells& part,
                                 size_t part_index, const PrgKey& key, Buffer<F>& keep) {
  const auto held = hold_cells(part);
  encode_rows(code, rs, part, part_index, key, 0, part.rows, keep.data());
  return column_digests(rows_of(keep.data(), part.rows, code.length()), code.length(), part_index, key);
}

std::vector<F> part_columns(const CodeParams& code, const ReedSolomon& rs, const PartCells& part,
                            size_t part_index, const PrgKey& key, std::span<const uint32_t> columns) {
  const auto held = hold_cells(part);
  std::vector<F> out(columns.size() * part.rows);
  parallel_for(part.rows, 1, [&](size_t begin, size_t end) {
    const std::span<F> coefficients = scratch(row_memory, code.message());
    const std::span<F> codeword = scratch(codeword_memory, rs.scratch_size());
    std::vector<F> symbols(columns.size());
    for (size_t row = begin; row < end; ++row) {
      row_coefficients(code, part, part_index, row, key, coefficients);
      rs.encode_columns(coefficients, columns, codeword, symbols.data());
      for (size_t q = 0; q < columns.size(); ++q) out[q * part.rows + row] = symbols[q];
    }
  });
  return out;
}

std::vector<uint8_t> column_salt(const PrgKey& key, size_t part_index, uint32_t column) {
  const size_t at = size_t{column} * kSaltSize;
  Prg prg(key, salt_stream(part_index));
  prg.seek(at / kPrgBlock);
  std::vector<uint8_t> block(kPrgBlock);
  prg.fill(block);
  const auto from = block.begin() + static_cast<std::ptrdiff_t>(at % kPrgBlock);
  return {from, from + kSaltSize};
}

void ProverCommitment::commit(const ReedSolomon& rs) {
  size_t rows = 0;
  for (const PartCells& part : parts_) rows += part.rows;
  // Codewords of a few rows are no larger than the digests of their columns.
  const bool few = rows * sizeof(F) <= parts_.size() * sizeof(Digest);
  tree_.emplace(few ? leaves_by_columns(rs, rows) : leaves_by_parts(rs));
}

std::vector<Digest> ProverCommitment::leaves_by_parts(const ReedSolomon& rs) const {
  LeafHasher leaves(code_.length());
  for (size_t p = 0; p < parts_.size(); ++p) leaves.absorb(part_digests(code_, rs, parts_[p], p, keys_[p]));
  return leaves.finish();
}

// Encodes all parts, then hashes the same columns of all of them.
std::vector<Digest> ProverCommitment::leaves_by_columns(const ReedSolomon& rs, size_t rows) const {
  Buffer<F> words(rows * code_.length());
  std::vector<F*> first;  // row of each part
  for (F* at = words.data(); const PartCells& part : parts_) {
    first.push_back(at);
    at += part.rows * code_.length();
  }
  parallel_for(parts_.size(), 1, [&](size_t begin, size_t end) {
    for (size_t p = begin; p < end; ++p)
      encode_rows(code_, rs, parts_[p], p, keys_[p], 0, parts_[p].rows, first[p]);
  });
  std::vector<Digest> out(code_.length());
  parallel_for(out.size(), kTogether, [&](size_t begin, size_t end) {
    std::vector<Digest> digests;
    for (size_t j = begin; j < end; j += kTogether) {
      digests.resize(std::min(kTogether, end - j));
      LeafHasher leaves(digests.size());
      for (size_t p = 0; p < parts_.size(); ++p) {
        hash_columns(rows_of(first[p], parts_[p].rows, code_.length()), j, p, keys_[p], kColumnTag, digests);
        leaves.absorb(digests);
      }
      const std::vector<Digest> done = leaves.finish();
      std::copy(done.begin(), done.end(), out.begin() + static_cast<std::ptrdiff_t>(j));
    }
  });
  return out;
}

std::vector<Digest> ProverCommitment::add_part(const ReedSolomon& rs, PartCells part, const PrgKey& key,
                                               size_t keep_bytes) {
  const size_t symbols = part.rows * code_.length(), index = parts_.size();
  add_part(std::move(part), key);
  if (symbols * sizeof(F) > keep_bytes) return part_digests(code_, rs, parts_.back(), index, key);
  kept_.back() = Buffer<F>(symbols);
  return part_digests(code_, rs, parts_.back(), index, key, kept_.back());
}

void ProverCommitment::add_part(PartCells part, const PrgKey& key) {
  parts_.push_back(std::move(part));
  keys_.push_back(key);
  kept_.resize(parts_.size());
}

void ProverCommitment::restore(std::vector<Digest> leaves, std::vector<ByteSource> digests) {
  tree_.emplace(std::move(leaves));
  digests_ = std::move(digests);
}

std::vector<F> ProverCommitment::columns_of(const ReedSolomon& rs, size_t part,
                                            std::span<const uint32_t> columns) const {
  const size_t rows = parts_[part].rows;
  std::vector<F> out(columns.size() * rows);
  if (!kept_.empty() && kept_[part].size() != 0) {
    for (size_t q = 0; q < columns.size(); ++q)
      for (size_t row = 0; row < rows; ++row)
        out[q * rows + row] = kept_[part].data()[row * code_.length() + columns[q]];
    return out;
  }
  if (codewords_.empty() || codewords_[part].empty())
    return part_columns(code_, rs, parts_[part], part, keys_[part], columns);
  const Held held = codewords_[part].hold();
  const auto* stored = static_cast<const uint8_t*>(held.get());
  const auto for_batches = [&](const auto& use) {
    parallel_for(columns.size(), 16, [&](size_t begin, size_t end) {
      for (size_t q = begin; q < end; ++q)
        for (size_t row = 0; row < rows; row += kBatchRows) {
          const size_t n = std::min(kBatchRows, rows - row);
          use(q * rows + row, stored + (row * code_.length() + columns[q] * n) * sizeof(F), n * sizeof(F));
        }
    });
  };
  for_batches([](size_t, const uint8_t* from, size_t bytes) { expect_reading(from, bytes); });
  for_batches([&](size_t to, const uint8_t* from, size_t bytes) { std::memcpy(&out[to], from, bytes); });
  return out;
}

std::vector<uint8_t> ProverCommitment::open_columns(const ReedSolomon& rs, const std::vector<bool>& opened,
                                                    std::span<const uint32_t> columns,
                                                    const std::function<void(size_t)>& begin) const {
  const size_t parts = parts_.size();
  std::vector<std::vector<F>> values(parts);
  std::vector<std::vector<Digest>> known(parts);  // of parts that are not opened
  for (size_t p = 0; p < parts; ++p) {
    if (begin) begin(p);
    if (opened[p] || digests_.empty()) {
      values[p] = columns_of(rs, p, columns);
      continue;
    }
    const Held held = digests_[p].hold();
    for (const uint32_t column : columns) known[p].push_back(static_cast<const Digest*>(held.get())[column]);
  }
  std::vector<uint8_t> out;
  const auto put = [&](const void* data, size_t n) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    out.insert(out.end(), bytes, bytes + n);
  };
  for (size_t q = 0; q < columns.size(); ++q)
    for (size_t p = 0; p < parts; ++p) {
      if (values[p].empty()) {
        put(known[p][q].data(), sizeof(Digest));
        continue;
      }
      const size_t rows = parts_[p].rows;
      const auto salt = column_salt(keys_[p], p, columns[q]);
      if (opened[p]) {
        put(&values[p][q * rows], rows * sizeof(F));
        put(salt.data(), salt.size());
        continue;
      }
      Sha256 hash;
      hash.update({reinterpret_cast<const uint8_t*>(&values[p][q * rows]), rows * sizeof(F)});
      hash.update(salt);
      hash.update(std::span(&kColumnTag, 1));
      const Digest d = hash.finish();
      put(d.data(), d.size());
    }
  for (const Digest& d : tree_->open(columns)) put(d.data(), d.size());
  return out;
}

// ---- the opening ----

namespace {

struct StackedSlot {
  size_t first_block;  // in the stack
  SlotCells cells;
};

std::vector<StackedSlot> stacked_slots(const Stack& stack,
                                       std::span<const ProverCommitment* const> commitments) {
  std::vector<StackedSlot> out;
  for (size_t c = 0; c < commitments.size(); ++c)
    for (size_t p = 0; p < commitments[c]->parts().size(); ++p) {
      if (!stack.commitments()[c].opened[p]) continue;
      for (const SlotCells& s : commitments[c]->parts()[p].slots)
        out.push_back({stack.first_block(c, p) + s.first_block, s});
    }
  return out;
}

const StackedSlot& slot_of(const std::vector<StackedSlot>& slots, size_t block) {
  auto at = std::upper_bound(slots.begin(), slots.end(), block,
                             [](size_t b, const StackedSlot& s) { return b < s.first_block; });
  check(at != slots.begin(), "a claim on a block without cells");
  --at;
  check(block < at->first_block + at->cells.blocks, "a claim on a block without cells");
  return *at;
}

// Pass 1: for each group, the 128 sums over its blocks.
template <int D>
std::vector<Vec<D>> sum_blocks(const CombinedFunctional<D>& functional,
                               const std::vector<StackedSlot>& slots) {
  struct Task {
    size_t group, begin, end;
    const StackedSlot* slot;
  };
  constexpr size_t kTaskBlocks = 2048;
  std::vector<Task> tasks;
  for (size_t g = 0; g < functional.groups.size(); ++g)
    for (const auto& run : functional.groups[g].runs) {
      const StackedSlot& slot = slot_of(slots, functional.groups[g].blocks[run.begin]);
      for (size_t b = run.begin; b < run.end; b += kTaskBlocks)
        tasks.push_back({g, b, std::min(run.end, b + kTaskBlocks), &slot});
    }
  std::vector<Vec<D>> sums(functional.groups.size(), Vec<D>(kBlock));
  std::mutex mutex;
  parallel_for(tasks.size(), 1, [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      const Task& task = tasks[t];
      const auto& group = functional.groups[task.group];
      std::vector<uint32_t> local(group.blocks.begin() + static_cast<std::ptrdiff_t>(task.begin),
                                  group.blocks.begin() + static_cast<std::ptrdiff_t>(task.end));
      for (uint32_t& b : local) b -= static_cast<uint32_t>(task.slot->first_block);
      Vec<D> sum(kBlock);
      with_cells(task.slot->cells, [&]<class T>(const T* cells) {
        accumulate_blocks<D, T>(cells, kBlock, local, group.coefficients.data() + task.begin, sum.data());
      });
      const std::scoped_lock lock(mutex);
      for (size_t j = 0; j < kBlock; ++j) sums[task.group][j] += sum[j];
    }
  });
  return sums;
}

// The column rounds of the reduction: sum over groups and j of low[j] * sum[j].
template <int D>
class GroupProver final : public RoundProver<D> {
 public:
  GroupProver(const CombinedFunctional<D>& functional, std::vector<Vec<D>> sums) : sums_(std::move(sums)) {
    for (const auto& g : functional.groups) lows_.push_back(g.low);
  }
  Vec<D> round() override {
    Vec<D> h(3);
    for (size_t g = 0; g < sums_.size(); ++g)
      for (size_t j = 0; j + 1 < sums_[g].size(); j += 2) {
        const Ext<D> a0 = lows_[g][j], a1 = lows_[g][j + 1], b0 = sums_[g][j], b1 = sums_[g][j + 1];
        h[0] += a0 * b0;
        h[2] += (a1 + a1 - a0) * (b1 + b1 - b0);
      }
    return h;
  }
  void bind(const Ext<D>& r) override {
    for (auto* tables : {&lows_, &sums_})
      for (Vec<D>& t : *tables) {
        for (size_t j = 0; 2 * j + 1 < t.size(); ++j) t[j] = t[2 * j] + (t[2 * j + 1] - t[2 * j]) * r;
        t.resize(t.size() / 2);
      }
  }

 private:
  std::vector<Vec<D>> lows_, sums_;
};

// Pass 2: every block against the bound columns.
template <int D>
Vec<D> bind_blocks(const std::vector<StackedSlot>& slots, std::span<const Ext<D>> columns, size_t blocks) {
  Vec<D> out(blocks);
  const Vec<D> weights = eq_vector<D>(columns);
  for (const StackedSlot& s : slots)
    with_cells(s.cells, [&]<class T>(const T* cells) {
      parallel_for(s.cells.blocks, 256, [&](size_t begin, size_t end) {
        dot_blocks<D, T>(cells + begin * kBlock, end - begin, kBlock, weights.data(),
                         out.data() + s.first_block + begin);
      });
    });
  return out;
}

// Pass 3: u = eq(rows)^T M over all C + h symbols.
template <int D>
Vec<D> combine_rows(const Stack& stack, std::span<const ProverCommitment* const> commitments,
                    const Vec<D>& rows) {
  const CodeParams& code = stack.code();
  Vec<D> u(code.message());
  const size_t row_blocks = code.row_blocks();
  for (size_t c = 0; c < commitments.size(); ++c)
    for (size_t p = 0; p < commitments[c]->parts().size(); ++p) {
      if (!stack.commitments()[c].opened[p]) continue;
      const PartCells& part = commitments[c]->parts()[p];
      const auto held = hold_cells(part);
      // Each thread owns a range of column blocks, so nothing is shared.
      parallel_for(row_blocks, std::max<size_t>(1, row_blocks / 64), [&](size_t begin, size_t end) {
        for (const SlotCells& s : part.slots)
          with_cells(s, [&]<class T>(const T* cells) {
            const size_t last = s.first_block + s.blocks;
            // A slot that fills whole rows goes row by row in one call.
            const bool whole = s.first_block % row_blocks == 0 && s.blocks % row_blocks == 0;
            if (whole) {
              accumulate_rows<D, T>(cells + begin * kBlock, code.columns(), s.blocks / row_blocks,
                                    (end - begin) * kBlock,
                                    rows.data() + stack.first_row(c, p) + s.first_block / row_blocks,
                                    u.data() + begin * kBlock);
              return;
            }
            for (size_t row = s.first_block / row_blocks; row * row_blocks < last; ++row) {
              const size_t from = std::max(s.first_block, row * row_blocks + begin);
              const size_t to = std::min(last, row * row_blocks + end);
              if (from >= to) continue;
              accumulate_rows<D, T>(cells + (from - s.first_block) * kBlock, 0, 1, (to - from) * kBlock,
                                    &rows[stack.first_row(c, p) + row],
                                    u.data() + (from - row * row_blocks) * kBlock);
            }
          });
      });
    }
  return u;
}

template <int D>
void add_random_rows(const Stack& stack, std::span<const ProverCommitment* const> commitments,
                     const Vec<D>& rows, Vec<D>& u) {
  const CodeParams& code = stack.code();
  std::mutex mutex;
  for (size_t c = 0; c < commitments.size(); ++c)
    for (size_t p = 0; p < commitments[c]->parts().size(); ++p) {
      if (!stack.commitments()[c].opened[p]) continue;
      const size_t first = stack.first_row(c, p);
      parallel_for(commitments[c]->parts()[p].rows, 16, [&](size_t begin, size_t end) {
        std::vector<F> random(code.random);
        Vec<D> mine(code.random);
        for (size_t row = begin; row < end; ++row) {
          Prg(commitments[c]->key(p), row_stream(p, row)).fill_field(random);
          add_multiple<D>(random.data(), random.size(), rows[first + row], mine.data());
        }
        const std::scoped_lock lock(mutex);
        for (size_t k = 0; k < mine.size(); ++k) u[code.columns() + k] += mine[k];
      });
    }
}

// The block rounds: sum over blocks of weight * value, folded from the low bit.
template <int D>
typename GridProver<D>::Input block_grid(Vec<D> weights, Vec<D> values) {
  typename GridProver<D>::Input in;
  in.rows = 1;
  in.cols = static_cast<uint32_t>(weights.size());
  in.degree = 2;
  in.tables.push_back({Spread::kCells, {}, std::move(weights)});
  in.tables.push_back({Spread::kCells, {}, std::move(values)});
  in.form.polys = {{{F::one(), {0, 1}}}};
  return in;
}

// Column rounds, then block rounds.
template <int D>
class ReductionProver final : public RoundProver<D> {
 public:
  ReductionProver(const CombinedFunctional<D>& functional, const std::vector<StackedSlot>& slots,
                  const Stack& stack)
      : functional_(functional),
        slots_(slots),
        stack_(stack),
        groups_(functional, sum_blocks<D>(functional, slots)) {}

  Vec<D> round() override { return blocks_ ? blocks_->round() : groups_.round(); }
  void bind(const Ext<D>& r) override {
    if (blocks_) return blocks_->bind(r);
    groups_.bind(r);
    point_.push_back(r);
    if (point_.size() < kLogBlock) return;
    blocks_.emplace(block_grid<D>(functional_.block_weights(point_, stack_.blocks()),
                                  bind_blocks<D>(slots_, point_, stack_.blocks())));
  }
  Ext<D> value() const { return blocks_->value(1); }

 private:
  const CombinedFunctional<D>& functional_;
  const std::vector<StackedSlot>& slots_;
  const Stack& stack_;
  GroupProver<D> groups_;
  Vec<D> point_;
  std::optional<GridProver<D>> blocks_;
};

}  // namespace

template <int D>
void send_combination(ProverChannel<D>& channel, const Stack& stack,
                      std::span<const ProverCommitment* const> commitments,
                      const ClaimList<D, Ext<D>>& claims, const OpeningMask<D>* mask,
                      const std::function<void(const char*)>& begin) {
  if (begin) begin("reduce");
  const Ext<D> gamma = channel.challenge("opening.gamma");
  const auto functional = CombinedFunctional<D>::combine(claims.claims, gamma);
  const auto slots = stacked_slots(stack, commitments);
  ReductionProver<D> reduction(functional, slots, stack);
  SumcheckShape<D> shape{"opening", 2, {}};
  shape.rho.assign(kLogBlock + stack.block_bits(), nullptr);
  RoundProver<D>* const provers[] = {&reduction};
  const Vec<D> point = prove_sumchecks<D>(channel, provers, std::span(&shape, 1));
  channel.send("opening.value", reduction.value());

  const unsigned log_columns = stack.code().log_columns;
  Vec<D> rows = eq_vector<D>(std::span(point).subspan(log_columns));
  if (mask != nullptr) {
    const Vec<D> cols = eq_vector<D>(std::span(point).first(log_columns));
    channel.send("opening.mask", inner_product<D>(mask->symbols().data(), cols.data(), cols.size()));
    const Ext<D> rho = channel.challenge("opening.rho");
    for (Ext<D>& weight : rows) weight *= rho;
  }
  if (begin) begin("combine");
  Vec<D> u = combine_rows<D>(stack, commitments, rows);
  add_random_rows<D>(stack, commitments, rows, u);
  if (mask != nullptr)
    for (size_t k = 0; k < u.size(); ++k) u[k] += mask->symbols()[k];
  channel.send_public("opening.u", u);
}

template void send_combination<2>(ProverChannel<2>&, const Stack&, std::span<const ProverCommitment* const>,
                                  const ClaimList<2, Ext<2>>&, const OpeningMask<2>*,
                                  const std::function<void(const char*)>&);
template void send_combination<3>(ProverChannel<3>&, const Stack&, std::span<const ProverCommitment* const>,
                                  const ClaimList<3, Ext<3>>&, const OpeningMask<3>*,
                                  const std::function<void(const char*)>&);

}  // namespace assay
