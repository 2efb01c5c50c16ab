// What the fuzz targets share: random numbers for mutators, a meter of allocations, seeds on disk.
#pragma once

#include <sanitizer/allocator_interface.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace assay::fuzz {

using Bytes = std::vector<uint8_t>;

// A mutator's choices must depend on its seed alone (splitmix64).
class Choice {
 public:
  explicit Choice(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  size_t below(size_t n) { return n == 0 ? 0 : next() % n; }
  bool one_in(size_t n) { return below(n) == 0; }
  template <class T, size_t N>
  T of(const T (&values)[N]) {
    return values[below(N)];
  }

 private:
  uint64_t state_;
};

[[noreturn]] inline void finding(const char* what) {
  std::fprintf(stderr, "FINDING: %s\n", what);
  std::abort();
}
inline void require(bool holds, const char* what) {
  if (!holds) finding(what);
}

// Bytes allocated (whether or not they were freed again) since start().
class AllocationMeter {
 public:
  static void install() {
    __sanitizer_install_malloc_and_free_hooks([](const volatile void*, size_t n) { total() += n; },
                                              [](const volatile void*) {});
  }
  static void start() { total() = 0; }
  static void require_below(size_t limit) {
    if (total() > limit) finding("more memory than the input accounts for");
  }

 private:
  static size_t& total() {
    static thread_local size_t bytes = 0;
    return bytes;
  }
};

// For `--write_seeds=DIR`: writes the seeds, by name, and ends the program.
using Seeds = std::vector<std::pair<std::string, Bytes>>;
inline void write_seeds_if_asked(int argc, char** argv, const Seeds& seeds) {
  constexpr std::string_view kFlag = "--write_seeds=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with(kFlag)) continue;
    for (const auto& [name, bytes] : seeds) {
      std::ofstream file(std::string(argument.substr(kFlag.size())) + "/" + name, std::ios::binary);
      file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    std::exit(0);
  }
}

}  // namespace assay::fuzz

// Allocations without stacks or filling, a quarantine small enough for the cache: three times as many
// executions a second.
extern "C" [[gnu::visibility("default")]] const char* __asan_default_options() {
  return "malloc_context_size=0:max_malloc_fill_size=0:quarantine_size_mb=1:"
         "thread_local_quarantine_size_kb=64:detect_stack_use_after_return=0";
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
