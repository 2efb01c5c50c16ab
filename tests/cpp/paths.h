// The paths through the kernels that this machine has: the best, that with AVX2 alone, the portable one.
#pragma once

#include "base/cpu.h"

namespace assay {

class PortableOnly {
 public:
  PortableOnly() { cpu::force_portable(true); }
  ~PortableOnly() { cpu::force_portable(false); }
};

class WithoutAvx512 {
 public:
  WithoutAvx512() { cpu::forbid_avx512(true); }
  ~WithoutAvx512() { cpu::forbid_avx512(false); }
};

template <class Body>
void on_all_paths(const Body& body) {
  body();
  if (cpu::has_avx512()) {
    const WithoutAvx512 avx2;
    body();
  }
  const PortableOnly portable;
  body();
}

}  // namespace assay
