// The code of the tableau: values of polynomials at the points eta_j = 7 point(j) [protocol, section 13].
#pragma once

#include "code/reed_solomon.h"
#include "zk/polynomial.h"
#include "zk/shape.h"

namespace assay {

template <int D>
class TableauCode {
 public:
  explicit TableauCode(const TableauShape& shape)
      : shape_(shape), rs_(shape.size(), shape.log_size, TableauShape::kCosets) {}

  // At sorted columns; fewer than 2K coefficients or as many. On a coset X^K is constant, so the upper half
  // of the coefficients folds onto the lower one.
  Vec<D> at(std::span<const Ext<D>> coefficients, std::span<const uint32_t> columns) const {
    Vec<D> out;
    for (unsigned k = 0; k < TableauShape::kCosets; ++k) {
      const auto end = std::lower_bound(columns.begin(), columns.end(), (k + 1) << shape_.log_size);
      const std::span<const uint32_t> here(columns.begin(), end);
      columns = columns.subspan(here.size());
      if (here.empty()) continue;
      const auto values = rs_.encode_at<D>(twisted(coefficients, k), here);
      out.insert(out.end(), values.begin(), values.end());
    }
    return out;
  }

 private:
  // The coefficients of c(7 X), reduced on coset k.
  Vec<D> twisted(std::span<const Ext<D>> c, unsigned k) const {
    const size_t n = std::min(c.size(), shape_.size());
    const F power = pow(kGenerator * rs_.point(size_t{k} << shape_.log_size), shape_.size());
    Vec<D> out(n);
    F factor = F::one();
    for (size_t i = 0; i < n; ++i, factor *= kGenerator)
      out[i] = (i + shape_.size() < c.size() ? c[i] + c[i + shape_.size()] * power : c[i]) * factor;
    return out;
  }

  TableauShape shape_;
  ReedSolomon rs_;
};

}  // namespace assay
