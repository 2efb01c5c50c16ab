// ns per leaf of a LogUp-GKR tree: build and prove.   usage: bench_lookup [log2 leaves] [threads]
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/parallel.h"
#include "lookup/prover.h"

namespace {

template <int D>
void run(size_t log_leaves) {
  const size_t n = (size_t{1} << log_leaves) * 9 / 10 / 128 * 128;
  assay::Fractions<D> leaves{{}, assay::PlaneBuffer<D>(n)};
  uint64_t x = 88172645463325252ULL;
  for (size_t i = 0; i < n; ++i) {
    assay::Ext<D> q;
    for (auto& c : q.c) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      c = assay::F(x % assay::kModulus);
    }
    leaves.q.set(i, q);
  }
  assay::Transcript transcript("bench", "", {});
  assay::ProverChannel<D> channel(transcript);
  const auto start = std::chrono::steady_clock::now();
  const auto proof = assay::prove_fraction_tree<D>(channel, std::move(leaves), log_leaves);
  const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("D=%d, %zu leaves, %d threads: %.3f s, %.1f ns a leaf (%.1f core-ns), check %016llx\n", D, n,
              assay::threads(), s, s / static_cast<double>(n) * 1e9,
              s * assay::threads() / static_cast<double>(n) * 1e9,
              static_cast<unsigned long long>(proof.point[0].c[0].v));
}

}  // namespace

int main(int argc, char** argv) {
  const size_t log_leaves = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 21;
  assay::set_threads(argc > 2 ? std::atoi(argv[2]) : 1);
  run<2>(log_leaves);
  run<3>(log_leaves);
  return 0;
}
