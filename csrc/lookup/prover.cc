#include "lookup/prover.h"

#include <mutex>

#include "base/math.h"
#include "base/parallel.h"
#include "base/result.h"

namespace assay {
namespace {

constexpr size_t kGrain = 2048;

size_t even(size_t n) { return n + (n & 1); }

// One level of the tree: `count` nodes are stored (an even number), the rest of the level is 0/1.
template <int D>
struct Level {
  PlaneBuffer<D> p, q;
};

template <int D>
Level<D> parents(Level<D>& below) {
  const size_t pairs = below.q.size() / 2;
  Level<D> up{PlaneBuffer<D>(even(pairs)), PlaneBuffer<D>(even(pairs))};
  const Planes<D> p = below.p.view(), q = below.q.view(), po = up.p.view(), qo = up.q.view();
  parallel_for(pairs, kGrain, [&](size_t begin, size_t end) {
    fraction_layer<D>(p.at(2 * begin), q.at(2 * begin), 2 * (end - begin), po.at(begin), qo.at(begin));
  });
  if (even(pairs) != pairs) up.q.set(pairs, Ext<D>::one());
  return up;
}

template <int D>
std::vector<Level<D>> build(Fractions<D> leaves, size_t log_leaves) {
  std::vector<Level<D>> levels;
  levels.push_back({std::move(leaves.p), std::move(leaves.q)});
  for (size_t k = 0; k < log_leaves; ++k) levels.push_back(parents(levels.back()));
  return levels;
}

// The four children arrays of one layer, folded from round to round.
template <int D>
struct Children {
  PlaneBuffer<D> pa, pb, qa, qb;  // pb carries pb + lambda qb
  PlaneBuffer<D> eq;              // over the variables after the current one
  size_t n = 0;                   // even
};

// Missing pairs are (0, 0, 1, 1): their term pa qb + (pb + lambda qb) qa is lambda, not zero. Since
// sum over all x of eq = 1, they add lambda * (1 - sum of the stored eq), constant along the current variable.
template <int D>
Children<D> split(Level<D>& level, const Ext<D>& lambda) {
  const size_t pairs = level.q.size() / 2;
  Children<D> c;
  c.n = pairs;
  c.pa = PlaneBuffer<D>(even(pairs));
  c.pb = PlaneBuffer<D>(even(pairs));
  c.qa = PlaneBuffer<D>(even(pairs));
  c.qb = PlaneBuffer<D>(even(pairs));
  const Planes<D> p = level.p.view(), q = level.q.view();
  const Planes<D> pa = c.pa.view(), pb = c.pb.view(), qa = c.qa.view(), qb = c.qb.view();
  parallel_for(pairs, kGrain, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      for (int d = 0; d < D; ++d) {
        pa.c[d][i] = p.c[d][2 * i];
        qa.c[d][i] = q.c[d][2 * i];
        qb.c[d][i] = q.c[d][2 * i + 1];
      }
      pb.set(i, p.get(2 * i + 1) + qb.get(i) * lambda);
    }
  });
  return c;
}

template <int D>
void set_missing(Children<D>& c, size_t i, const Ext<D>& lambda) {
  c.pa.set(i, Ext<D>::zero());
  c.pb.set(i, lambda);
  c.qa.set(i, Ext<D>::one());
  c.qb.set(i, Ext<D>::one());
}

template <int D>
void fold_all(Children<D>& c, const Ext<D>& r) {
  const size_t pairs = c.n / 2;
  for (PlaneBuffer<D>* buffer : {&c.pa, &c.pb, &c.qa, &c.qb}) {
    PlaneBuffer<D> out(even(pairs));
    const Planes<D> from = buffer->view(), to = out.view();
    parallel_for(pairs, kGrain, [&](size_t begin, size_t end) {
      fold<D>(from.at(2 * begin), 2 * (end - begin), r, to.at(begin));
    });
    *buffer = std::move(out);
  }
  c.n = pairs;
}

template <int D>
RoundEnds<D> round_ends(Children<D>& c, const Ext<D>& lambda, size_t all_pairs) {
  const size_t pairs = c.n / 2;
  RoundEnds<D> total{};
  Ext<D> present;
  std::mutex mutex;
  const Planes<D> pa = c.pa.view(), pb = c.pb.view(), qa = c.qa.view(), qb = c.qb.view(), eq = c.eq.view();
  parallel_for(pairs, kGrain, [&](size_t begin, size_t end) {
    const auto part = fraction_round<D>(pa.at(2 * begin), pb.at(2 * begin), qa.at(2 * begin),
                                        qb.at(2 * begin), eq.at(begin), 2 * (end - begin));
    Ext<D> weight;
    if (pairs < all_pairs)
      for (size_t i = begin; i < end; ++i) weight += eq.get(i);
    const std::scoped_lock lock(mutex);
    total.zero += part.zero;
    total.infinity += part.infinity;
    present += weight;
  });
  if (pairs < all_pairs) total.zero += lambda * (Ext<D>::one() - present);
  return total;
}

// eq over one variable fewer.
template <int D>
void drop_low_variable(PlaneBuffer<D>& eq) {
  const size_t n = eq.size() / 2;
  PlaneBuffer<D> out(n);
  for (size_t i = 0; i < n; ++i) out.set(i, eq.get(2 * i) + eq.get(2 * i + 1));
  eq = std::move(out);
}

// The sumcheck of one layer below a claim at `at`; returns its point and leaves the children's values in c.
template <int D>
Vec<D> prove_layer(ProverChannel<D>& channel, Children<D>& c, const Vec<D>& at, const Ext<D>& lambda,
                   Ext<D> claim) {
  const size_t rounds = at.size();
  Vec<D> point;
  for (size_t k = 0; k < rounds; ++k) {
    if (c.n % 2 == 1) set_missing(c, c.n++, lambda);
    if (k == 0) {
      c.eq = PlaneBuffer<D>(size_t{1} << (rounds - 1));
      eq_planes<D>(std::span(at).subspan(1), c.eq.view());
    } else {
      drop_low_variable(c.eq);
    }
    const size_t all_pairs = size_t{1} << (rounds - 1 - k);
    const RoundEnds<D> h = round_ends(c, lambda, all_pairs);
    const Ext<D>& rho = at[k];
    const Ext<D> h1 = (claim - h.zero * (Ext<D>::one() - rho)) * inverse(rho);
    const Ext<D> slope = h1 - h.zero - h.infinity;
    channel.send("sumcheck", h.zero);
    channel.send("sumcheck", h.zero + slope + slope + h.infinity * F(4));
    const Ext<D> r = channel.challenge("sumcheck");
    claim = h.zero + (slope + h.infinity * r) * r;
    fold_all(c, r);
    point.push_back(r);
  }
  return point;
}

}  // namespace

template <int D>
TreeProof<D> prove_fraction_tree(ProverChannel<D>& channel, Fractions<D> leaves, size_t log_leaves) {
  check(leaves.q.size() % 2 == 0 && leaves.q.size() == leaves.p.size(), "leaves come in whole blocks");
  auto levels = build<D>(std::move(leaves), log_leaves);
  Ext<D> p = levels.back().p.get(0), q = levels.back().q.get(0);
  levels.pop_back();
  const Ext<D> inverse_q = inverse(q);
  TreeProof<D> out{p * inverse_q, {}, {}, {}};
  for (const Ext<D>& x : {p, q, inverse_q, out.fraction}) channel.send("lookup.root", x);
  while (!levels.empty()) {
    const Ext<D> lambda = channel.challenge("lookup.lambda");
    Children<D> c = split(levels.back(), lambda);
    levels.pop_back();
    Vec<D> point = prove_layer(channel, c, out.point, lambda, p + q * lambda);
    const Ext<D> qa = c.qa.get(0), qb = c.qb.get(0), pa = c.pa.get(0), pb = c.pb.get(0) - qb * lambda;
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
