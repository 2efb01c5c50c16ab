// The transform of code/ntt.h with AVX2; it may be called only where the processor has it.
#pragma once

#include <cstddef>

#include "code/ntt.h"

namespace assay::avx2 {

inline constexpr unsigned kMinLogNtt = 5;

void evaluate(const Ntt& ntt, unsigned residue, const F* coeffs, size_t count, F* values,
              const Wanted& wanted);

}  // namespace assay::avx2
