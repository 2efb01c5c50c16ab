// Vectors of E by coordinate planes, with their storage.
#pragma once

#include "backend/kernels.h"
#include "base/buffer.h"
#include "field/extension.h"

namespace assay {

// Not initialised.
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

}  // namespace assay
