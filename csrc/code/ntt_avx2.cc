// The packed transform for AVX2.
#if defined(__x86_64__)
#include "code/packed_ntt.inc"
#endif
