// Processor time of all threads for a leaf of a LogUp-GKR tree, built and proven: the least of several runs,
// for the lookups' side (numerators one) and the tables'.   usage: bench_lookup [log2 leaves] [threads]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "base/parallel.h"
#include "lookup/prover.h"

namespace {

constexpr int kRuns = 5;

uint64_t next_random() {
  static uint64_t x = 88172645463325252ULL;
  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  return x % assay::kModulus;
}

template <int D>
void fill(assay::PlaneBuffer<D>& out) {
  for (size_t i = 0; i < out.size(); ++i) {
    assay::Ext<D> x;
    for (auto& c : x.c) c = assay::F(next_random());
    out.set(i, x);
  }
}

template <int D>
void run(size_t log_leaves, bool ones) {
  const size_t n = (size_t{1} << log_leaves) * 9 / 10 / 128 * 128;
  double best = 1e300;
  for (int k = 0; k < kRuns; ++k) {
    assay::Fractions<D> leaves{ones ? assay::PlaneBuffer<D>() : assay::PlaneBuffer<D>(n),
                               assay::PlaneBuffer<D>(n)};
    fill(leaves.q);
    fill(leaves.p);
    assay::Transcript transcript("bench", "", {});
    assay::ProverChannel<D> channel(transcript);
    const std::clock_t start = std::clock();
    (void)assay::prove_fraction_tree<D>(channel, std::move(leaves), log_leaves);
    best = std::min(best, static_cast<double>(std::clock() - start));
  }
  std::printf("%-8s D = %d, %zu leaves, %d threads: %6.1f ns/leaf\n", ones ? "lookups" : "tables", D, n,
              assay::threads(), best * (1e9 / CLOCKS_PER_SEC) / static_cast<double>(n));
}

}  // namespace

int main(int argc, char** argv) {
  const size_t log_leaves = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 21;
  assay::set_threads(argc > 2 ? std::atoi(argv[2]) : 1);
  for (const bool ones : {true, false}) {
    run<2>(log_leaves, ones);
    run<3>(log_leaves, ones);
  }
  return 0;
}
