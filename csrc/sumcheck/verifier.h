// Sumchecks of many relations run side by side: in each round every relation that still has variables sends
// its own round polynomial, then all share one challenge. So all of them end on prefixes of one point, and a
// relation that fails is known by name.
//
// One relation claims  claim = sum over x in {0,1}^n of prod_{k in K} eq(rho_k, x_k) * P(x), K a set of rounds.
// The eq factor is never part of a message [Gruen, 2024/108, Section 3]: in round k the prover sends
//     H(X) = sum over the remaining x of eq(rho_rest, x_rest) * P(s_0..s_{k-1}, X, x_rest)
// at X = 0, 2, ..., degree, and H(1) follows from the running claim:
//     claim = (1 - rho_k) H(0) + rho_k H(1)   for k in K,      claim = H(0) + H(1)   otherwise.   (S.1)
// The new claim is H(s_k); after the last round it equals P(s).
#pragma once

#include "poly/multilinear.h"
#include "transcript/channel.h"

namespace assay {

template <int D>
struct SumcheckShape {
  std::string relation;
  int degree = 1;                 // of P in each variable, 1 to 3
  std::vector<const Ext<D>*> rho;  // one per round; null where there is no eq factor
};

template <class Channel>
struct SumcheckResult {
  std::vector<Ext<Channel::degree>> point;
  std::vector<typename Channel::Value> claims;  // P(s), one per relation
};

template <class Channel>
typename Channel::Value verify_round(Channel& channel, const SumcheckShape<Channel::degree>& shape, int round,
                                     std::vector<typename Channel::Value>& h, const Where& where,
                                     const typename Channel::Value& claim) {
  constexpr int D = Channel::degree;
  h.assign(shape.degree + 1, {});
  for (int x = 0; x <= shape.degree; ++x)
    if (x != 1) h[x] = channel.receive("sumcheck", where);
  const Ext<D>* rho = shape.rho[round];
  h[1] = rho == nullptr ? claim - h[0] : (claim - h[0] * (Ext<D>::one() - *rho)) * inverse(*rho);
  return h[1];
}

template <class Channel>
SumcheckResult<Channel> verify_sumchecks(Channel& channel, std::string_view segment,
                                         std::span<const SumcheckShape<Channel::degree>> shapes,
                                         std::vector<typename Channel::Value> claims) {
  constexpr int D = Channel::degree;
  using Value = typename Channel::Value;
  size_t rounds = 0;
  for (const auto& s : shapes) rounds = std::max(rounds, s.rho.size());
  std::vector<Ext<D>> point;
  std::vector<std::vector<Value>> h(shapes.size());
  for (size_t k = 0; k < rounds; ++k) {
    const int round = static_cast<int>(k);
    for (size_t i = 0; i < shapes.size(); ++i)
      if (k < shapes[i].rho.size())
        verify_round(channel, shapes[i], round, h[i], Where{segment, shapes[i].relation, round}, claims[i]);
    point.push_back(channel.challenge("sumcheck"));
    for (size_t i = 0; i < shapes.size(); ++i) {
      if (k >= shapes[i].rho.size()) continue;
      const auto basis = lagrange<D>(point.back(), shapes[i].degree);
      claims[i] = Value{};
      for (int x = 0; x <= shapes[i].degree; ++x) claims[i] = claims[i] + h[i][x] * basis[x];
    }
  }
  return {std::move(point), std::move(claims)};
}

}  // namespace assay
