// The packed transform for AVX-512.
#if defined(__x86_64__)
#define ASSAY_AVX512
#include "code/packed_ntt.inc"
#endif
