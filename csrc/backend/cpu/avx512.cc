// The packed kernels for AVX-512.
#if defined(__x86_64__)
#define ASSAY_AVX512
#include "backend/cpu/packed_cells.inc"
#include "backend/cpu/packed_products.inc"
#include "backend/cpu/packed_vectors.inc"
#endif
