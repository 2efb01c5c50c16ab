#include "lookup/prover.h"

#include <mutex>

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
    if (ones) fraction_layer_ones<D>(q.at(2 * begin), n, po.at(begin), qo.at(begin));
    else fraction_layer<D>(p.at(2 * begin), q.at(2 * begin), n, po.at(begin), qo.at(begin));
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

// The children of one layer, as four arrays that shrink from round to round; pb carries pb + lambda qb. The
// two sets of buffers take turns, and serve every layer of the tree.
template <int D>
class Children {
 public:
  // For a tree whose lowest level has so many nodes, with numerators of their own or without.
  Children(size_t nodes, bool ones)
      : front_(make(nodes / 2 + 1, ones)), back_(make(nodes / 4 + 2, ones)), eq_(1), eq_next_(1) {}

  void load(Level<D>& level, const Ext<D>& lambda) {
    n_ = level.q.size() / 2;
    lambda_ = lambda;
    missing_ = level.missing;
    ones_ = level.p.size() == 0;
    use_front_ = true;
    const Planes<D> q = level.q.view(), qa = array(kQa), qb = array(kQb);
    parallel_for(n_, kGrain, [&](size_t begin, size_t end) {
      for (int d = 0; d < D; ++d)
        for (size_t i = begin; i < end; ++i) {
          qa.c[d][i] = q.c[d][2 * i];
          qb.c[d][i] = q.c[d][2 * i + 1];
        }
    });
    if (ones_) return;
    const Planes<D> p = level.p.view(), pa = array(kPa), pb = array(kPb);
    parallel_for(n_, kGrain, [&](size_t begin, size_t end) {
      for (int d = 0; d < D; ++d)
        for (size_t i = begin; i < end; ++i) pa.c[d][i] = p.c[d][2 * i];
      for (size_t i = begin; i < end; ++i) pb.set(i, p.get(2 * i + 1) + qb.get(i) * lambda);
    });
  }

  // The current round's polynomial, eq factors of the variables from `rest` on included.
  RoundEnds<D> round(std::span<const Ext<D>> rest, bool first) {
    if (n_ % 2 == 1) append_missing();
    if (first) {
      if (eq_.size() < (size_t{1} << rest.size())) eq_ = PlaneBuffer<D>(size_t{1} << rest.size());
      if (eq_next_.size() < (eq_.size() + 1) / 2) eq_next_ = PlaneBuffer<D>((eq_.size() + 1) / 2);
      eq_planes<D>(rest, eq_.view());
      eq_front_ = true;
    } else {
      drop_low_variable(size_t{1} << rest.size());
    }
    return sum(size_t{1} << rest.size());
  }

  void bind(const Ext<D>& r) {
    const size_t pairs = n_ / 2;
    for (int k = ones_ ? kQa : kPa; k <= kQb; ++k) {
      const Planes<D> from = array(k);
      use_front_ = !use_front_;
      const Planes<D> to = array(k);
      use_front_ = !use_front_;
      parallel_for(pairs, kGrain, [&](size_t begin, size_t end) {
        fold<D>(from.at(2 * begin), 2 * (end - begin), r, to.at(begin));
      });
    }
    use_front_ = !use_front_;
    n_ = pairs;
  }

  // pa, pb, qa, qb once everything is bound.
  std::array<Ext<D>, 4> values() {
    const Ext<D> one = Ext<D>::one(), qa = array(kQa).get(0), qb = array(kQb).get(0);
    if (ones_) return {one, one, qa, qb};
    return {array(kPa).get(0), array(kPb).get(0) - qb * lambda_, qa, qb};
  }

 private:
  enum { kPa, kPb, kQa, kQb };
  using Set = std::array<PlaneBuffer<D>, 4>;

  // Without numerators the lowest level needs none here, and the next one is half as long.
  static Set make(size_t n, bool ones) {
    const size_t numerators = ones ? n / 2 + 1 : n;
    return {PlaneBuffer<D>(numerators), PlaneBuffer<D>(numerators), PlaneBuffer<D>(n), PlaneBuffer<D>(n)};
  }
  Planes<D> array(int k) { return (use_front_ ? front_ : back_)[static_cast<size_t>(k)].view(); }
  Planes<D> eq() { return (eq_front_ ? eq_ : eq_next_).view(); }

  void append_missing() {
    const Ext<D> one = Ext<D>::one();
    array(kQa).set(n_, one);
    array(kQb).set(n_, one);
    if (!ones_) {
      array(kPa).set(n_, missing_);
      array(kPb).set(n_, missing_ + lambda_);
    }
    ++n_;
  }

  // eq sums to one over a variable, so halves add up.
  void drop_low_variable(size_t n) {
    const Planes<D> from = eq();
    eq_front_ = !eq_front_;
    const Planes<D> to = eq();
    parallel_for(n, kGrain, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) to.set(i, from.get(2 * i) + from.get(2 * i + 1));
    });
  }

  RoundEnds<D> sum(size_t all_pairs) {
    const size_t pairs = n_ / 2;
    RoundEnds<D> total{};
    Ext<D> present;
    std::mutex mutex;
    const Planes<D> pa = array(kPa), pb = array(kPb), qa = array(kQa), qb = array(kQb), weights = eq();
    parallel_for(pairs, kGrain, [&](size_t begin, size_t end) {
      const size_t n = 2 * (end - begin);
      const auto part = ones_ ? fraction_round_ones<D>(qa.at(2 * begin), qb.at(2 * begin), lambda_,
                                                       weights.at(begin), n)
                              : fraction_round<D>(pa.at(2 * begin), pb.at(2 * begin), qa.at(2 * begin),
                                                  qb.at(2 * begin), weights.at(begin), n);
      Ext<D> weight;
      if (pairs < all_pairs)
        for (size_t i = begin; i < end; ++i) weight += weights.get(i);
      const std::scoped_lock lock(mutex);
      total.zero += part.zero;
      total.infinity += part.infinity;
      present += weight;
    });
    // A pair of missing nodes m/1 adds m + m + lambda, whatever the current variable; eq sums to one.
    if (pairs < all_pairs) total.zero += (missing_ + missing_ + lambda_) * (Ext<D>::one() - present);
    return total;
  }

  Set front_, back_;
  PlaneBuffer<D> eq_, eq_next_;
  bool use_front_ = true, eq_front_ = true, ones_ = false;
  Ext<D> lambda_, missing_;
  size_t n_ = 0;
};

// The sumcheck of one layer below a claim at `at`; returns its point.
template <int D>
Vec<D> prove_layer(ProverChannel<D>& channel, Children<D>& children, const Vec<D>& at, Ext<D> claim) {
  Vec<D> point;
  for (size_t k = 0; k < at.size(); ++k) {
    const RoundEnds<D> h = children.round(std::span(at).subspan(k + 1), k == 0);
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
  while (!levels.empty()) {
    const Ext<D> lambda = channel.challenge("lookup.lambda");
    children.load(levels.back(), lambda);
    levels.pop_back();
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
