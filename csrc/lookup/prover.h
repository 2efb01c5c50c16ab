// The prover of lookup/verifier.h.
#pragma once

#include "lookup/verifier.h"

namespace assay {

// Vectors of E by coordinate planes, with their storage.
template <int D>
class PlaneBuffer {
 public:
  PlaneBuffer() = default;
  explicit PlaneBuffer(size_t n) : n_(n) {
    for (auto& p : planes_) p.resize(n);
  }
  size_t size() const { return n_; }
  bool empty() const { return n_ == 0; }
  Planes<D> view() {
    Planes<D> v;
    for (int d = 0; d < D; ++d) v.c[d] = planes_[d].data();
    return v;
  }
  Ext<D> get(size_t i) const {
    Ext<D> r;
    for (int d = 0; d < D; ++d) r.c[d] = F(planes_[d][i]);
    return r;
  }
  void set(size_t i, const Ext<D>& x) {
    for (int d = 0; d < D; ++d) planes_[d][i] = x.c[d].v;
  }
  void release() { *this = PlaneBuffer(); }

 private:
  size_t n_ = 0;
  std::array<std::vector<uint64_t>, D> planes_;
};

// The leaves that exist come first (blocks in order); all others up to the tree's size are 0/1. Leaves that
// do not exist inside a block are 0/1 as well.
template <int D>
struct Fractions {
  PlaneBuffer<D> p;  // empty: the numerator is `exists`
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
