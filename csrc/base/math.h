#pragma once

#include <cstddef>

namespace assay {

inline constexpr size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
inline constexpr unsigned log2_ceil(size_t n) {
  unsigned k = 0;
  while ((size_t{1} << k) < n) ++k;
  return k;
}

}  // namespace assay
