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
Ext<D> CombinedFunctional<D>::evaluate(std::span<const Ext<D>> column_point,
                                       std::span<const Ext<D>> block_point) const {
  const Vec<D> columns = eq_vector<D>(column_point);
  const Vec<D> blocks = eq_vector<D>(block_point);
  Ext<D> total;
  for (const Group& g : groups) {
    Ext<D> sum;
    for (size_t k = 0; k < g.blocks.size(); ++k) sum += g.coefficients[k] * blocks[g.blocks[k]];
    total += sum * inner_product<D>(g.low.data(), columns.data(), kBlock);
  }
  return total;
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

template struct CombinedFunctional<2>;
template struct CombinedFunctional<3>;

}  // namespace assay
