#include "base/cpu.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace assay::cpu {
namespace {

struct Features {
  bool avx2 = false;
  bool avx512 = false;
  bool bmi2 = false;
  bool sha = false;
};

Features detect() {
  Features f;
#if defined(__x86_64__)
  __builtin_cpu_init();
  f.avx2 = __builtin_cpu_supports("avx2");
  f.bmi2 = __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  f.avx512 = f.avx2 && f.bmi2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  // The compilers we support do not all know "sha" by name: leaf 7, EBX bit 29.
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  const bool leaf7 = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0;
  f.sha = leaf7 && (ebx >> 29 & 1) != 0 && __builtin_cpu_supports("sse4.1");
#endif
  return f;
}

const Features& features() {
  static const Features detected = detect();
  return detected;
}

bool portable_by_environment() {
  const char* value = std::getenv("ASSAY_PORTABLE");
  return value != nullptr && std::strcmp(value, "1") == 0;
}

std::atomic<bool> forced_portable = false;
std::atomic<bool> forbidden_avx512 = false;
std::atomic<bool> forbidden_sha = false;

bool accelerated() {
  static const bool allowed = !portable_by_environment();
  return allowed && !forced_portable.load(std::memory_order_relaxed);
}

}  // namespace

bool has_avx2() { return features().avx2 && accelerated(); }
bool has_avx512() {
  return features().avx512 && accelerated() && !forbidden_avx512.load(std::memory_order_relaxed);
}
bool has_bmi2() { return features().bmi2 && accelerated(); }
bool has_sha() { return features().sha && accelerated() && !forbidden_sha.load(std::memory_order_relaxed); }
void force_portable(bool portable) { forced_portable.store(portable, std::memory_order_relaxed); }
void forbid_avx512(bool forbidden) { forbidden_avx512.store(forbidden, std::memory_order_relaxed); }
void forbid_sha(bool forbidden) { forbidden_sha.store(forbidden, std::memory_order_relaxed); }

}  // namespace assay::cpu
