// LogUp as a sum of fractions, proven by a GKR tree [PH23, "Improving logarithmic derivative lookups using
// GKR", Section 3].
//
// Leaves are fractions p_i / q_i; a node adds its two children,
//     P(x) = P(x0) Q(x1) + P(x1) Q(x0),   Q(x) = Q(x0) Q(x1)                                     (L.1)
// (children 2i and 2i + 1, the low bit first). The root P, Q is sent, with I and F:
//     Q I = 1,   F = P I.                                                                        (L.2)
// Leaves of no lookup pad the tree to a power of two; what they add to the sum is known (0 or their number).
// Q I = 1 rules out a vanishing denominator; the sum of all F of lookups equals that of the tables.   (L.3)
#pragma once

#include "sumcheck/verifier.h"

namespace assay {

template <class Channel>
struct TreeResult {
  typename Channel::Value fraction;  // F
  typename Channel::Value p, q;      // claims on the leaves' extensions at point
  std::vector<Ext<Channel::degree>> point;
};

template <class Channel>
TreeResult<Channel> verify_fraction_tree(Channel& channel, const Where& where, size_t log_leaves) {
  constexpr int D = Channel::degree;
  using Value = typename Channel::Value;
  const Ext<D> one = Ext<D>::one();
  TreeResult<Channel> r;
  r.p = channel.receive("lookup.root", where);
  r.q = channel.receive("lookup.root", where);
  const Value inverse_q = channel.receive("lookup.root", where);
  r.fraction = channel.receive("lookup.root", where);
  channel.require_zero(channel.product(r.q, inverse_q) - one, "lookup.denominator", where,
                       "a denominator of the lookup sum vanishes");
  channel.require_zero(r.fraction - channel.product(r.p, inverse_q), "lookup.root", where,
                       "the root of the lookup tree does not match its fraction");
  for (size_t layer = 0; layer < log_leaves; ++layer) {
    const Where here{where.segment, where.relation, static_cast<int>(layer)};
    const Ext<D> lambda = channel.challenge("lookup.lambda");
    SumcheckShape<D> shape{std::string(where.relation), 2, {}};
    for (const Ext<D>& rho : r.point) shape.rho.push_back(&rho);
    const auto sum =
        verify_sumchecks<Channel>(channel, where.segment, std::span(&shape, 1), {r.p + r.q * lambda});
    const Value pa = channel.receive("lookup.node", here), pb = channel.receive("lookup.node", here);
    const Value qa = channel.receive("lookup.node", here), qb = channel.receive("lookup.node", here);
    // Products are numbered as they are made: one after another, not within one expression.
    const Value p_left = channel.product(pa, qb);
    const Value p_right = channel.product(pb, qa);
    const Value q = channel.product(qa, qb);
    const Value node = p_left + p_right + q * lambda;
    channel.require_zero(sum.claims[0] - node, "lookup.layer", here, "a layer of the lookup tree is wrong");
    const Ext<D> tau = channel.challenge("lookup.tau");
    r.p = pa + (pb - pa) * tau;
    r.q = qa + (qb - qa) * tau;
    std::vector<Ext<D>> point{tau};
    point.insert(point.end(), sum.point.begin(), sum.point.end());
    r.point = std::move(point);
  }
  return r;
}

}  // namespace assay
