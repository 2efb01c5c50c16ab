// Which instruction sets may be used. Kernels ask here at run time, so that one binary runs anywhere and
// a test can compare the accelerated paths with the portable ones.
#pragma once

namespace assay::cpu {

bool has_avx2();
// AVX-512 F, VL, DQ and BW, with AVX2 and BMI2.
bool has_avx512();
// BMI1 and BMI2.
bool has_bmi2();
// The SHA extensions, with the SSE4.1 they are used together with.
bool has_sha();

// Turns every accelerated path off (or on again); so does the environment variable ASSAY_PORTABLE=1.
void force_portable(bool portable);
// Turn off AVX-512 or the SHA extensions alone, so that a machine that has them can test the AVX2 paths.
void forbid_avx512(bool forbidden);
void forbid_sha(bool forbidden);

}  // namespace assay::cpu
