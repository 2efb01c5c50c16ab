#include "commit/claim.h"

#include <map>

namespace assay {
namespace {

template <int D>
class Combiner {
 public:
  using Functional = CombinedFunctional<D>;

  void add(const Term<D>& term, const Ext<D>& scale) {
    const Ext<D> factor = scale * term.coefficient;
    const size_t row_blocks = term.view.row_blocks();
    cached_ = nullptr;
    for (uint32_t i = 0; i < term.view.rows; ++i) {
      const auto [lo, hi] = term.range(i);
      if (lo >= hi) continue;
      const Ext<D> row = term.leaves ? factor : factor * (*term.rows)[i];
      for (size_t jb = lo / kBlock; jb <= (hi - 1) / kBlock; ++jb) {
        const size_t start = jb * kBlock;
        const uint32_t from = lo > start ? static_cast<uint32_t>(lo - start) : 0;
        const uint32_t to = static_cast<uint32_t>(std::min<size_t>(hi - start, kBlock));
        const size_t block = i * row_blocks + jb;
        const Vec<D>& low = term.leaves ? term.leaves->low : term.cols->low_of(jb);
        const Ext<D>& high = term.leaves ? term.leaves->high[term.leaf_base + block] : term.cols->high[jb];
        append(group(low, from, to), term.first_block, static_cast<uint32_t>(term.first_block + block),
               row * high);
      }
    }
  }
  Functional take() { return std::move(out_); }

 private:
  using Key = std::tuple<const Vec<D>*, uint32_t, uint32_t>;

  typename Functional::Group& group(const Vec<D>& low, uint32_t from, uint32_t to) {
    const Key key{&low, from, to};
    if (cached_ != nullptr && key == cached_key_) return out_.groups[*cached_];
    auto [at, fresh] = index_.try_emplace(key, out_.groups.size());
    if (fresh) {
      auto& g = out_.groups.emplace_back();
      g.low.resize(kBlock);
      for (uint32_t j = from; j < to; ++j) g.low[j] = low[j];
    }
    cached_ = &at->second;
    cached_key_ = key;
    return out_.groups[at->second];
  }
  static void append(typename Functional::Group& g, size_t tensor, uint32_t block, const Ext<D>& c) {
    if (g.runs.empty() || g.runs.back().first_block != tensor)
      g.runs.push_back({tensor, g.blocks.size(), g.blocks.size()});
    g.blocks.push_back(block);
    g.coefficients.push_back(c);
    g.runs.back().end = g.blocks.size();
  }

  Functional out_;
  std::map<Key, size_t> index_;
  const size_t* cached_ = nullptr;
  Key cached_key_{};
};

}  // namespace

template <int D>
CombinedFunctional<D> CombinedFunctional<D>::combine(std::span<const Claim<D>> claims, const Ext<D>& gamma) {
  Combiner<D> combiner;
  Ext<D> scale = Ext<D>::one();
  for (const Claim<D>& claim : claims) {
    for (const Term<D>& term : claim.terms) combiner.add(term, scale);
    scale *= gamma;
  }
  return combiner.take();
}

template <int D>
Vec<D> CombinedFunctional<D>::block_weights(std::span<const Ext<D>> column_point, size_t blocks) const {
  const Vec<D> columns = eq_vector<D>(column_point);
  Vec<D> out(blocks);
  for (const Group& g : groups) {
    const Ext<D> low = inner_product<D>(g.low.data(), columns.data(), kBlock);
    for (size_t k = 0; k < g.blocks.size(); ++k) out[g.blocks[k]] += g.coefficients[k] * low;
  }
  return out;
}

namespace {

// Terms at one point of the columns and the blocks.
template <int D>
class TermEvaluator {
 public:
  TermEvaluator(std::span<const Ext<D>> column_point, std::span<const Ext<D>> block_point)
      : columns_(eq_vector<D>(column_point)),
        low_bits_(std::min<size_t>(block_point.size(), kLowBits)),
        low_(eq_vector<D>(block_point.first(low_bits_))),
        high_(eq_vector<D>(block_point.subspan(low_bits_))) {
    scratch_.reserve(low_.size());
  }

  Ext<D> evaluate(const Term<D>& term) {
    if (term.view.ragged.causal || term.also.causal) return evaluate_ragged(term) * term.coefficient;
    return (term.leaves ? evaluate_leaves(term) : evaluate_matrix(term)) * term.coefficient;
  }

 private:
  // ---- Every cell of the view exists: the same blocks in each row ----

  Ext<D> evaluate_matrix(const Term<D>& term) {
    const size_t row_blocks = term.view.row_blocks();
    Ext<D> total;
    for (size_t jb = 0; jb < row_blocks; ++jb) {
      const size_t cells = std::min<size_t>(term.view.cols - jb * kBlock, kBlock);
      const Ext<D> column = term.cols->high[jb] * low_sum(term.cols->low_of(jb), cells);
      total += column * strided(term.rows->data(), term.view.rows, term.first_block + jb, row_blocks);
    }
    return total;
  }
  Ext<D> evaluate_leaves(const Term<D>& term) {
    const size_t row_blocks = term.view.row_blocks();
    const Ext<D>* high = term.leaves->high.data() + term.leaf_base;
    const Ext<D> whole = low_sum(term.leaves->low, kBlock);
    if (term.view.cols % kBlock == 0)
      return whole * strided(high, term.view.rows * row_blocks, term.first_block, 1);
    const Ext<D> last = low_sum(term.leaves->low, term.view.cols % kBlock);
    Ext<D> total;
    for (size_t i = 0; i < term.view.rows; ++i, high += row_blocks) {
      const size_t first = term.first_block + i * row_blocks, end = first + row_blocks - 1;
      total += whole * strided(high, row_blocks - 1, first, 1) + last * high[row_blocks - 1] * block(end);
    }
    return total;
  }

  // What the first `count` cells of a block weigh; terms and blocks mostly ask for what was asked before.
  Ext<D> low_sum(const Vec<D>& low, size_t count) {
    if (summed_ != std::pair(&low, count)) {
      summed_ = {&low, count};
      sum_ = inner_product<D>(low.data(), columns_.data(), count);
    }
    return sum_;
  }

  Ext<D> block(size_t number) const { return low_[number & (low_.size() - 1)] * high_[number >> low_bits_]; }

  // sum over i < n of weights[i] * eq of block first + i * stride, a stretch under one high part at a time.
  Ext<D> strided(const Ext<D>* weights, size_t n, size_t first, size_t stride) {
    Ext<D> total;
    for (size_t i = 0; i < n;) {
      const size_t number = first + i * stride, at = number & (low_.size() - 1);
      const size_t count = std::min(n - i, ceil_div(low_.size() - at, stride));
      total += inner_product<D>(weights + i, every(at, stride, count), count) * high_[number >> low_bits_];
      i += count;
    }
    return total;
  }
  const Ext<D>* every(size_t at, size_t stride, size_t count) {
    if (stride == 1) return low_.data() + at;
    scratch_.clear();
    for (size_t k = 0; k < count; ++k) scratch_.push_back(low_[at + k * stride]);
    return scratch_.data();
  }

  // ---- Rows with missing cells ----

  Ext<D> evaluate_ragged(const Term<D>& term) {
    Ext<D> total;
    for (uint32_t i = 0; i < term.view.rows; ++i) {
      const auto [lo, hi] = term.range(i);
      if (lo >= hi) continue;
      const Ext<D> row = evaluate_row(term, i, lo, hi);
      total += term.leaves ? row : row * (*term.rows)[i];
    }
    return total;
  }
  Ext<D> evaluate_row(const Term<D>& term, size_t row, uint32_t lo, uint32_t hi) {
    const size_t base = row * term.view.row_blocks();
    const Ext<D>* high =
        term.leaves ? term.leaves->high.data() + term.leaf_base + base : term.cols->high.data();
    Ext<D> total;
    for (size_t jb = lo / kBlock; jb * kBlock < hi; ++jb) {
      const size_t start = jb * kBlock;
      const size_t from = lo > start ? lo - start : 0, to = std::min<size_t>(hi - start, kBlock);
      const Vec<D>& sums = prefix(term.leaves ? term.leaves->low : term.cols->low_of(jb));
      total += high[jb] * block(term.first_block + base + jb) * (sums[to] - sums[from]);
    }
    return total;
  }

  // Prefix sums of low[j] * columns[j].
  const Vec<D>& prefix(const Vec<D>& low) {
    if (&low == prefixed_) return prefix_;
    prefixed_ = &low;
    for (size_t j = 0; j < kBlock; ++j) prefix_[j + 1] = prefix_[j] + low[j] * columns_[j];
    return prefix_;
  }

  // eq of a block's number is the product of two tables' entries, so that neither is large.
  static constexpr size_t kLowBits = 10;
  Vec<D> columns_;
  size_t low_bits_;
  Vec<D> low_, high_;
  Vec<D> scratch_;
  std::pair<const Vec<D>*, size_t> summed_;  // whose sum is sum_
  Ext<D> sum_;
  const Vec<D>* prefixed_ = nullptr;  // whose prefix sums are prefix_
  Vec<D> prefix_ = Vec<D>(kBlock + 1);
};

}  // namespace

template <int D>
Ext<D> evaluate_claims(std::span<const Claim<D>> claims, const Ext<D>& gamma,
                       std::span<const Ext<D>> column_point, std::span<const Ext<D>> block_point) {
  TermEvaluator<D> terms(column_point, block_point);
  Ext<D> total, scale = Ext<D>::one();
  for (const Claim<D>& claim : claims) {
    Ext<D> sum;
    for (const Term<D>& term : claim.terms) sum += terms.evaluate(term);
    total += sum * scale;
    scale *= gamma;
  }
  return total;
}

template Ext<2> evaluate_claims(std::span<const Claim<2>>, const Ext<2>&, std::span<const Ext<2>>,
                                std::span<const Ext<2>>);
template Ext<3> evaluate_claims(std::span<const Claim<3>>, const Ext<3>&, std::span<const Ext<3>>,
                                std::span<const Ext<3>>);
template struct CombinedFunctional<2>;
template struct CombinedFunctional<3>;

}  // namespace assay
