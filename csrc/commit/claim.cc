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
        high_(eq_vector<D>(block_point.subspan(low_bits_))) {}

  Ext<D> evaluate(const Term<D>& term) {
    Ext<D> total;
    for (uint32_t i = 0; i < term.view.rows; ++i) {
      const auto [lo, hi] = term.range(i);
      if (lo >= hi) continue;
      const Ext<D> row = evaluate_row(term, i, lo, hi);
      total += term.leaves ? row : row * (*term.rows)[i];
    }
    return total * term.coefficient;
  }

 private:
  Ext<D> evaluate_row(const Term<D>& term, size_t row, uint32_t lo, uint32_t hi) {
    const size_t base = row * term.view.row_blocks();
    const size_t first = term.first_block + base;
    const Ext<D>* high = term.leaves ? term.leaves->high.data() + term.leaf_base + base : term.cols->high.data();
    // Whole blocks under one low vector share its value.
    const bool shared = term.leaves != nullptr || term.cols->low.size() == 1;
    Ext<D> whole, rest;            // of all blocks
    Ext<D> whole_here, rest_here;  // of those that share the high part of their number
    size_t here = (first + lo / kBlock) >> low_bits_;
    const auto leave = [&] {
      if (shared) whole += whole_here * high_[here];
      rest += rest_here * high_[here];
      whole_here = rest_here = Ext<D>::zero();
    };
    for (size_t jb = lo / kBlock; jb * kBlock < hi; ++jb) {
      const size_t start = jb * kBlock, number = first + jb;
      if (number >> low_bits_ != here) {
        leave();
        here = number >> low_bits_;
      }
      const size_t from = lo > start ? lo - start : 0, to = std::min<size_t>(hi - start, kBlock);
      const Ext<D> block = high[jb] * low_[number & (low_.size() - 1)];
      if (shared && from == 0 && to == kBlock) {
        whole_here += block;
        continue;
      }
      const Vec<D>& sums = prefix(term.leaves ? term.leaves->low : term.cols->low_of(jb));
      rest_here += block * (sums[to] - sums[from]);
    }
    leave();
    if (shared) rest += whole * prefix(term.leaves ? term.leaves->low : term.cols->low[0])[kBlock];
    return rest;
  }

  // Prefix sums of low[j] * columns[j].
  const Vec<D>& prefix(const Vec<D>& low) {
    if (&low == last_) return *last_sums_;
    auto [at, fresh] = sums_.try_emplace(&low);
    if (fresh) {
      at->second.resize(kBlock + 1);
      for (size_t j = 0; j < kBlock; ++j) at->second[j + 1] = at->second[j] + low[j] * columns_[j];
    }
    last_ = &low;
    last_sums_ = &at->second;
    return at->second;
  }

  // eq of a block's number is the product of two tables' entries, so that neither is large.
  static constexpr size_t kLowBits = 10;
  Vec<D> columns_;
  size_t low_bits_;
  Vec<D> low_, high_;
  std::map<const Vec<D>*, Vec<D>> sums_;
  const Vec<D>* last_ = nullptr;
  const Vec<D>* last_sums_ = nullptr;
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
