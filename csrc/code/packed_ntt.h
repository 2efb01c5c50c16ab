// The transform of code/ntt.h with vectors; it may be called only where the processor has the instructions.
// packed_ntt.inc, compiled by ntt_avx2.cc and ntt_avx512.cc, is its definition.
#pragma once

#include <cstddef>

#include "code/ntt.h"

namespace assay {

inline constexpr unsigned kMinLogPackedNtt = 5;

namespace avx2 {
void evaluate(const Ntt& ntt, unsigned residue, const F* coeffs, size_t count, F* values,
              const Wanted& wanted);
}
namespace avx512 {
void evaluate(const Ntt& ntt, unsigned residue, const F* coeffs, size_t count, F* values,
              const Wanted& wanted);
}

}  // namespace assay
