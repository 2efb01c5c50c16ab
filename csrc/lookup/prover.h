// The prover of lookup/verifier.h.
#pragma once

#include "base/buffer.h"
#include "lookup/verifier.h"

namespace assay {

// A vector of E by coordinate planes, with its storage; not initialised.
template <int D>
class PlaneBuffer {
 public:
  PlaneBuffer() = default;
  explicit PlaneBuffer(size_t n) : n_(n), words_(n * D) {}
  size_t size() const { return n_; }
  Planes<D> view() {
    Planes<D> v;
    for (int d = 0; d < D; ++d) v.c[d] = words_.data() + d * n_;
    return v;
  }
  Ext<D> get(size_t i) const {
    Ext<D> r;
    for (int d = 0; d < D; ++d) r.c[d] = F(words_.data()[d * n_ + i]);
    return r;
  }
  void set(size_t i, const Ext<D>& x) {
    for (int d = 0; d < D; ++d) words_.data()[d * n_ + i] = x.c[d].v;
  }

 private:
  size_t n_ = 0;
  Buffer<uint64_t> words_;
};

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
