#include "lookup/prover.h"

#include <mutex>
#include <optional>

#include "base/math.h"
#include "base/parallel.h"
#include "base/result.h"

namespace assay {
namespace {

constexpr size_t kGrain = 2048;

size_t even(size_t n) { return n + (n & 1); }

// One level of the tree. The nodes stored (an even number) come first; every other node of the level is
// `missing` / 1, because the sum below a node without stored leaves depends on its height alone.
template <int D>
struct Level {
  PlaneBuffer<D> p, q;  // p is empty where all numerators are one
  Ext<D> missing;
};

template <int D>
Level<D> parents(Level<D>& below) {
  const size_t pairs = below.q.size() / 2;
  Level<D> up{PlaneBuffer<D>(even(pairs)), PlaneBuffer<D>(even(pairs)), below.missing + below.missing};
  const Planes<D> q = below.q.view(), po = up.p.view(), qo = up.q.view();
  const bool ones = below.p.size() == 0;
  const Planes<D> p = ones ? Planes<D>{} : below.p.view();
  parallel_for(pairs, kGrain, [&](size_t begin, size_t end) {
    const size_t n = 2 * (end - begin);
    if (ones)
      fraction_layer_ones<D>(q.at(2 * begin), n, po.at(begin), qo.at(begin));
    else
      fraction_layer<D>(p.at(2 * begin), q.at(2 * begin), n, po.at(begin), qo.at(begin));
  });
  if (even(pairs) != pairs) {
    up.p.set(pairs, up.missing);
    up.q.set(pairs, Ext<D>::one());
  }
  return up;
}

template <int D>
std::vector<Level<D>> build(Fractions<D> leaves, size_t log_leaves) {
  std::vector<Level<D>> levels;
  const Ext<D> missing = leaves.p.size() == 0 ? Ext<D>::one() : Ext<D>::zero();
  levels.push_back({std::move(leaves.p), std::move(leaves.q), missing});
  for (size_t k = 0; k < log_leaves; ++k) levels.push_back(parents(levels.back()));
  return levels;
}

// The children of one layer, as four arrays that shrink from round to round; pb carries pb + lambda qb.
//
// A round is one sweep in blocks of pairs: a block is taken from the level as the tree has it (before the
// first binding) or from the arrays of the round before, bound at the last challenge, and added to the
// round's sums while it is in the cache. eq is the product of a table over a block's pairs and one over
// blocks. The two sets of arrays take turns, and serve every layer of the tree.
template <int D>
class Children {
 public:
  // For a tree whose lowest level has so many nodes, with numerators of their own or without.
  Children(size_t nodes, bool ones)
      : front_(make(nodes / 4 + 2, ones)), back_(make(nodes / 8 + 2, ones)), eq_block_(kBlockPairs) {}

  void load(Level<D>& level, const Ext<D>& lambda) {
    level_ = &level;
    n_ = level.q.size() / 2;
    lambda_ = lambda;
    missing_ = level.missing;
    ones_ = level.p.size() == 0;
    if (ones_) mu_ = inverse(lambda);
    use_front_ = false;
    challenge_.reset();
  }

  // The current round's polynomial, eq factors of the variables from `rest` on included.
  RoundEnds<D> round(std::span<const Ext<D>> rest) {
    if (challenge_) {
      n_ = (n_ + 1) / 2;
      use_front_ = !use_front_;
    }
    const RoundEnds<D> sums = sweep(rest);
    if (challenge_) level_ = nullptr;
    return sums;
  }

  void bind(const Ext<D>& r) { challenge_ = r; }

  // pa, pb, qa, qb once everything is bound.
  std::array<Ext<D>, 4> values() {
    const Ext<D> one = Ext<D>::one();
    std::array<Ext<D>, 4> x{one, one, {}, {}};
    if (!challenge_) {
      for (size_t i = 0; i < 2; ++i) {
        if (!ones_) x[kPa + i] = level_->p.get(i);
        x[kQa + i] = level_->q.get(i);
      }
      return x;
    }
    const Arrays from = source();
    for (int k = first_array(); k <= kQb; ++k) {
      const auto i = static_cast<size_t>(k);
      const Ext<D> a = from[i].get(0);
      x[i] = a + (from[i].get(1) - a) * *challenge_;
    }
    if (!ones_ && level_ == nullptr) x[kPb] -= x[kQb] * lambda_;
    return x;
  }

 private:
  enum { kPa, kPb, kQa, kQb };
  static constexpr unsigned kBlockBits = 7;
  static constexpr size_t kBlockPairs = size_t{1} << kBlockBits;
  using Set = std::array<PlaneBuffer<D>, 4>;
  using Arrays = std::array<Planes<D>, 4>;

  // Without numerators the lowest level needs none here, and the next one is half as long.
  static Set make(size_t n, bool ones) {
    const size_t numerators = ones ? n / 2 + 1 : n;
    return {PlaneBuffer<D>(numerators), PlaneBuffer<D>(numerators), PlaneBuffer<D>(n), PlaneBuffer<D>(n)};
  }
  static Set& scratch() {
    thread_local Set set = make(4 * kBlockPairs, false);
    return set;
  }
  static Arrays views(Set& set) { return {set[0].view(), set[1].view(), set[2].view(), set[3].view()}; }
  int first_array() const { return ones_ ? kQa : kPa; }
  static Arrays at(const Arrays& arrays, size_t offset) {
    return {arrays[0].at(offset), arrays[1].at(offset), arrays[2].at(offset), arrays[3].at(offset)};
  }

  // Children [begin, end) of the level, into arrays of their own; pb as it is.
  Arrays take_children(size_t begin, size_t end) {
    const Arrays out = views(scratch());
    const ConstPlanes<D> q = level_->q.view().at(2 * begin);
    const size_t n = 2 * (std::min(end, level_->q.size() / 2) - begin);
    split<D>(q, n, out[kQa], out[kQb]);
    if (!ones_) split<D>(level_->p.view().at(2 * begin), n, out[kPa], out[kPb]);
    if (begin + n / 2 < end) set_missing(out, n / 2, missing_);
    return out;
  }
  // The arrays of the round before, when everything but one variable is bound.
  Arrays source() {
    if (level_ != nullptr) return take_children(0, 2);
    return views(use_front_ ? front_ : back_);
  }
  void set_missing(const Arrays& arrays, size_t i, const Ext<D>& pb) {
    arrays[kQa].set(i, Ext<D>::one());
    arrays[kQb].set(i, Ext<D>::one());
    if (ones_) return;
    arrays[kPa].set(i, missing_);
    arrays[kPb].set(i, pb);
  }

  // Elements [begin, end) of this round's arrays, an even number.
  Arrays block(size_t begin, size_t end) {
    const size_t stored = std::min(end, n_);
    if (!challenge_) {
      const Arrays out = take_children(begin, end);
      if (!ones_) add_scaled<D, D>(out[kQb], end - begin, lambda_, out[kPb]);
      return out;
    }
    const Arrays out = at(views(use_front_ ? front_ : back_), begin);
    const Arrays from = level_ != nullptr ? take_children(2 * begin, 2 * stored)
                                          : at(views(use_front_ ? back_ : front_), 2 * begin);
    const size_t n = stored - begin;
    for (int k = first_array(); k <= kQb; ++k) {
      const auto i = static_cast<size_t>(k);
      fold<D>(from[i], 2 * n, *challenge_, out[i]);
    }
    if (level_ != nullptr && !ones_) add_scaled<D, D>(out[kQb], n, lambda_, out[kPb]);
    if (stored < end) set_missing(out, n, missing_ + lambda_);
    return out;
  }

  RoundEnds<D> sweep(std::span<const Ext<D>> rest) {
    const size_t pairs = (n_ + 1) / 2, blocks = ceil_div(pairs, kBlockPairs);
    const size_t low = std::min<size_t>(rest.size(), kBlockBits);
    const Planes<D> weights = eq_block_.view();
    eq_planes<D>(rest.first(low), weights);
    const Vec<D> block_weights = eq_vector<D>(rest.subspan(low));
    RoundEnds<D> total{};
    std::mutex mutex;
    parallel_for(blocks, kGrain / kBlockPairs, [&](size_t first, size_t last) {
      RoundEnds<D> mine{};
      for (size_t b = first; b < last; ++b) {
        const size_t begin = 2 * b * kBlockPairs, end = std::min(2 * pairs, begin + 2 * kBlockPairs);
        const Arrays a = block(begin, end);
        const auto part = ones_ ? fraction_round_ones<D>(a[kQa], a[kQb], mu_, weights, end - begin)
                                : fraction_round<D>(a[kPa], a[kPb], a[kQa], a[kQb], weights, end - begin);
        mine.zero += block_weights[b] * part.zero;
        mine.infinity += block_weights[b] * part.infinity;
      }
      const std::scoped_lock lock(mutex);
      total.zero += mine.zero;
      total.infinity += mine.infinity;
    });
    // The sum of the weights that were used; of all it is one.
    Ext<D> present;
    for (size_t b = 0; b < pairs / kBlockPairs; ++b) present += block_weights[b];
    if (pairs % kBlockPairs != 0)
      present += block_weights[blocks - 1] * sum<D, D>(weights, pairs % kBlockPairs);
    if (ones_) total = {lambda_ * total.zero - mu_ * present, lambda_ * total.infinity};
    // A pair of missing nodes m/1 adds m + m + lambda, whatever the current variable.
    total.zero += (missing_ + missing_ + lambda_) * (Ext<D>::one() - present);
    return total;
  }

  Set front_, back_;
  PlaneBuffer<D> eq_block_;
  Level<D>* level_ = nullptr;  // until the first binding
  bool use_front_ = false, ones_ = false;
  Ext<D> lambda_, mu_, missing_;
  std::optional<Ext<D>> challenge_;  // that the arrays of the round before are not yet bound at
  size_t n_ = 0;                     // children of this round
};

// The sumcheck of one layer below a claim at `at`; returns its point.
template <int D>
Vec<D> prove_layer(ProverChannel<D>& channel, Children<D>& children, const Vec<D>& at, Ext<D> claim) {
  Vec<D> point;
  for (size_t k = 0; k < at.size(); ++k) {
    const RoundEnds<D> h = children.round(std::span(at).subspan(k + 1));
    const Ext<D>& rho = at[k];
    const Ext<D> h1 = (claim - h.zero * (Ext<D>::one() - rho)) * inverse(rho);
    const Ext<D> slope = h1 - h.zero - h.infinity;
    channel.send("sumcheck", h.zero);
    channel.send("sumcheck", h.zero + slope + slope + h.infinity * F(4));
    const Ext<D> r = channel.challenge("sumcheck");
    claim = h.zero + (slope + h.infinity * r) * r;
    children.bind(r);
    point.push_back(r);
  }
  return point;
}

}  // namespace

template <int D>
TreeProof<D> prove_fraction_tree(ProverChannel<D>& channel, Fractions<D> leaves, size_t log_leaves) {
  check(leaves.q.size() % 2 == 0 && (leaves.p.size() == 0 || leaves.p.size() == leaves.q.size()),
        "leaves come in whole blocks");
  auto levels = build<D>(std::move(leaves), log_leaves);
  Ext<D> p = levels.back().p.get(0), q = levels.back().q.get(0);
  levels.pop_back();
  const Ext<D> inverse_q = inverse(q);
  TreeProof<D> out{p * inverse_q, {}, {}, {}};
  for (const Ext<D>& x : {p, q, inverse_q, out.fraction}) channel.send("lookup.root", x);
  Children<D> children(levels.front().q.size(), levels.front().p.size() == 0);
  for (; !levels.empty(); levels.pop_back()) {
    const Ext<D> lambda = channel.challenge("lookup.lambda");
    children.load(levels.back(), lambda);
    const Vec<D> point = prove_layer(channel, children, out.point, p + q * lambda);
    const auto [pa, pb, qa, qb] = children.values();
    for (const Ext<D>& x : {pa, pb, qa, qb}) channel.send("lookup.node", x);
    const Ext<D> tau = channel.challenge("lookup.tau");
    p = pa + (pb - pa) * tau;
    q = qa + (qb - qa) * tau;
    out.point.assign(1, tau);
    out.point.insert(out.point.end(), point.begin(), point.end());
  }
  out.p = p;
  out.q = q;
  return out;
}

template TreeProof<2> prove_fraction_tree<2>(ProverChannel<2>&, Fractions<2>, size_t);
template TreeProof<3> prove_fraction_tree<3>(ProverChannel<3>&, Fractions<3>, size_t);

}  // namespace assay
