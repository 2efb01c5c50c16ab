#define ASSAY_AVX512

#include "base/cpu.h"
#include "check.h"

#if defined(__x86_64__)
static bool supported() { return assay::cpu::has_avx512(); }
#include "packed_field.inc"
#else
TEST(not_for_this_architecture) {}
#endif

ASSAY_TEST_MAIN
