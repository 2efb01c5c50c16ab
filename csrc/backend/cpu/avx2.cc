// The packed kernels for AVX2.
#if defined(__x86_64__)
#include "backend/cpu/packed_cells.inc"
#include "backend/cpu/packed_products.inc"
#include "backend/cpu/packed_vectors.inc"
#endif
