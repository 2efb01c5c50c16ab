// The prover of lookup/verifier.h.
#pragma once

#include "lookup/verifier.h"
#include "poly/planes.h"

namespace assay {

// The leaves of the blocks in use, in order; leaves beyond them have the denominator 1 and the numerator 0,
// or 1 where all numerators are one.
template <int D>
struct Fractions {
  PlaneBuffer<D> p;  // empty: all numerators are one
  PlaneBuffer<D> q;
};

template <int D>
struct TreeProof {
  Ext<D> fraction;
  Ext<D> p, q;  // the claims on the leaves at point
  Vec<D> point;
};

template <int D>
TreeProof<D> prove_fraction_tree(ProverChannel<D>& channel, Fractions<D> leaves, size_t log_leaves);

extern template TreeProof<2> prove_fraction_tree<2>(ProverChannel<2>&, Fractions<2>, size_t);
extern template TreeProof<3> prove_fraction_tree<3>(ProverChannel<3>&, Fractions<3>, size_t);

}  // namespace assay
