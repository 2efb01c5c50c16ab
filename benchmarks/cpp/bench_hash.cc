// Times hashing, trees, the generator and the transcript on one thread (or as many as the argument says).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "base/cpu.h"
#include "base/parallel.h"
#include "hash/chacha.h"
#include "hash/column_hasher.h"
#include "hash/keccak.h"
#include "hash/merkle.h"
#include "hash/sha256.h"
#include "transcript/transcript.h"

namespace assay {
namespace {

// The least of several runs, in nanoseconds.
double time_ns(const std::function<void()>& body) {
  using Clock = std::chrono::steady_clock;
  double best = 1e18;
  for (int run = 0; run < 5; ++run) {
    const auto start = Clock::now();
    body();
    best = std::min(best, std::chrono::duration<double, std::nano>(Clock::now() - start).count());
  }
  return best;
}

void report(const char* name, double ns, double units, const char* unit) {
  std::printf("  %-34s %9.3f ns/%s", name, ns / units, unit);
  if (unit[0] == 'b') std::printf("  %7.2f GB/s", units / ns);
  std::printf("\n");
}

void bench_sha256() {
  std::vector<uint8_t> data(1 << 22);
  report("sha256, one message", time_ns([&] { sha256(data); }), data.size(), "byte");
  std::vector<Digest> out(data.size() / 64);
  report("sha256, 64-byte messages", time_ns([&] { sha256_tagged_many(data, 64, 3, out); }), out.size(),
         "digest");
}

// The shape of a registration: 3 * 2^17 columns, rows in chunks.
void bench_columns(size_t rows_per_call) {
  constexpr size_t kColumns = size_t{3} << 17;
  std::vector<F> matrix(kColumns * rows_per_call);
  for (size_t i = 0; i < matrix.size(); ++i) matrix[i] = F(i);
  std::vector<const F*> rows;
  for (size_t r = 0; r < rows_per_call; ++r) rows.push_back(matrix.data() + r * kColumns);
  ColumnHasher hasher(kColumns);
  char name[64];
  std::snprintf(name, sizeof name, "columns, %zu rows a call", rows_per_call);
  report(name, time_ns([&] { hasher.absorb(rows); }), matrix.size() * sizeof(F), "byte");
  if (rows_per_call != 8) return;
  std::vector<uint8_t> salts(kColumns * kSaltSize);
  std::vector<Digest> out(kColumns);
  report("columns, finish", time_ns([&] { hasher.finish(salts, out); }), kColumns, "digest");
}

void bench_merkle() {
  const std::vector<std::vector<Digest>> parts(2, std::vector<Digest>(size_t{3} << 17));
  const auto leaves = [&] {
    LeafHasher hasher(parts[0].size());
    for (const auto& part : parts) hasher.absorb(part);
    (void)hasher.finish();
  };
  report("leaf digests, 2 parts", time_ns(leaves), parts[0].size(), "digest");
  report("merkle tree, 3 * 2^17 leaves", time_ns([&] { MerkleTree tree(parts[0]); }), parts[0].size(),
         "leaf");
}

void bench_prg() {
  std::vector<uint8_t> bytes(1 << 16);
  std::vector<F> elements(1 << 16);
  Prg prg({}, 0);
  report("prg, fill", time_ns([&] { prg.fill(bytes); }), bytes.size(), "byte");
  report("prg, fill_field", time_ns([&] { prg.fill_field(elements); }), elements.size(), "element");
  report("prg, next64", time_ns([&] {
           for (int i = 0; i < 10000; ++i) prg.next64();
         }),
         10000, "word");
}

void bench_transcript() {
  std::vector<uint8_t> data(1 << 20);
  report("shake128", time_ns([&] { shake128(data, 32); }), data.size(), "byte");
  Transcript transcript("bench", "", {});
  report("transcript, a sumcheck round", time_ns([&] {
           for (int i = 0; i < 1000; ++i) {
             transcript.absorb_ext<3>("round", Ext<3>::one());
             transcript.absorb_ext<3>("round", Ext<3>::one());
             transcript.challenge<3>("r");
           }
         }),
         1000, "round");
}

void bench_parallel() {
  report("parallel_for, empty body", time_ns([&] {
           for (int i = 0; i < 1000; ++i) parallel_for(1000, 1, [](size_t, size_t) {});
         }),
         1000, "call");
}

void bench_all() {
  bench_sha256();
  for (const size_t rows : {8, 16, 64}) bench_columns(rows);
  bench_merkle();
  bench_prg();
  bench_transcript();
  bench_parallel();
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  assay::set_threads(argc > 1 ? std::atoi(argv[1]) : 1);
  std::printf("%d thread(s), avx2 %d, sha %d\n", assay::threads(), assay::cpu::has_avx2(),
              assay::cpu::has_sha());
  assay::bench_all();
  assay::cpu::forbid_sha(true);
  std::printf("without the SHA extensions\n");
  assay::bench_all();
  assay::cpu::force_portable(true);
  std::printf("portable\n");
  assay::bench_all();
}
