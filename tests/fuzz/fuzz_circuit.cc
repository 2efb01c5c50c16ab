// Circuit::decode on arbitrary bytes, and what the verifier derives from the circuits it accepts.
//
//   - decoding never crashes, and allocates no more than a multiple of its input
//   - what is accepted is canonical: written again, it gives the same bytes
//   - a statement about an accepted circuit is refused as Malformed or can be planned
//   - the verifier comes to an end on any proof of it (a part of the small circuits, for speed)
#include "base/parallel.h"
#include "circuit_mutator.h"
#include "probe.h"
#include "seeds.h"

namespace assay::fuzz {
namespace {

constexpr size_t kMemoryBase = size_t{4} << 20;
constexpr size_t kMemoryPerByte = 64;
constexpr size_t kMaxPlannedBlocks = size_t{1} << 12;
constexpr size_t kMaxVerifiedCells = size_t{1} << 10;

const auto& seeds() {
  static const auto all = circuit_seeds();
  return all;
}

std::shared_ptr<Circuit> decode(std::span<const uint8_t> bytes) {
  try {
    return std::make_shared<Circuit>(Circuit::decode(bytes));
  } catch (const Malformed&) {
    return nullptr;
  }
}

// A commitment that has a place for each tensor of one source.
LongLived commitment_to(const Circuit& c, Source source, const CodeParams& code) {
  LongLived out{source == Source::kWeight ? "weights" : "boundaries", {}, {1}, {}};
  uint64_t blocks = 0;
  for (const Tensor& t : c.tensors) {
    if (t.source != source) continue;
    out.slots.push_back({t.name, 0, blocks, t.shape.rows, t.shape.cols, t.type});
    blocks += t.shape.blocks();
  }
  out.part_rows[0] = static_cast<uint32_t>(std::max<uint64_t>(1, blocks / code.row_blocks()));
  return out;
}

Statement statement_about(std::shared_ptr<const Circuit> c, int degree) {
  Statement s;
  s.degree = degree;
  s.hiding = c->digest[1] % 2 == 0;
  s.code = {7, 16, 8, 3, 8};
  s.required_bits = 1;
  s.weights = commitment_to(*c, Source::kWeight, s.code);
  s.members.emplace_back();
  if (c->digest[2] % 2 == 0) s.members[0].boundaries = commitment_to(*c, Source::kBoundary, s.code);
  s.segments.push_back({"segment", std::move(c)});
  return s;
}

// The largest number of cells that a relation or a tensor runs over.
size_t largest_extent(const Circuit& c) {
  size_t most = 0;
  const auto see = [&](size_t rows, size_t cols) { most = std::max(most, rows * cols); };
  for (const Tensor& t : c.tensors) see(t.shape.rows, t.shape.cols);
  for (const Wire& w : c.wires) see(w.rows, w.cols);
  for (const ZeroCheck& z : c.zero_checks) see(z.domain.rows, z.domain.cols);
  for (const Linear& l : c.linears) see(l.domain.rows, l.domain.cols);
  for (const Lookup& l : c.lookups) see(l.domain.rows, l.domain.cols);
  for (const Table& t : c.tables) see(t.rows, 1);
  return most;
}

// Canonical words without a pattern, as many as any small statement reads.
std::span<const uint8_t> noise() {
  static const std::vector<uint64_t> words = [] {
    std::vector<uint64_t> out(size_t{1} << 14);
    Choice choice(1);
    for (uint64_t& w : out) w = choice.next() >> 1;
    return out;
  }();
  return {reinterpret_cast<const uint8_t*>(words.data()), words.size() * sizeof(uint64_t)};
}

void plan(const std::shared_ptr<const Circuit>& circuit, int degree) {
  if (circuit->lookup_blocks() > kMaxPlannedBlocks) return;
  const Statement statement = statement_about(circuit, degree);
  try {
    const Plan plan(statement);
    (void)plan.instance();
    (void)security_bits(security_terms(statement.code, plan.sizes(1)));
    if (circuit->digest[0] % 8 == 0 && largest_extent(*circuit) <= kMaxVerifiedCells)
      (void)probe(plan, noise(), true, false);
  } catch (const Malformed&) {
  }
}

int run(std::span<const uint8_t> bytes) {
  AllocationMeter::start();
  const auto circuit = decode(bytes);
  AllocationMeter::require_below(kMemoryBase + kMemoryPerByte * bytes.size());
  if (circuit == nullptr) return 0;
  const Bytes again = test::CircuitWriter::write(*circuit);
  require(std::ranges::equal(again, bytes), "a circuit that is not canonical");
  plan(circuit, 2 + static_cast<int>(bytes.size() % 2));
  return 0;
}

size_t mutate(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  Choice choice(seed);
  if (choice.one_in(5)) return LLVMFuzzerMutate(data, size, max_size);
  auto circuit = decode({data, size});
  if (circuit == nullptr || choice.one_in(64))
    circuit = decode(seeds()[choice.below(seeds().size())].second);
  CircuitMutator mutator(*circuit, choice);
  for (size_t n = 1 + choice.below(3); n > 0; --n) mutator.change();
  const Bytes out = test::CircuitWriter::write(*circuit);
  if (out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(out.begin(), out.end(), data);
  return out.size();
}

}  // namespace
}  // namespace assay::fuzz

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  assay::fuzz::write_seeds_if_asked(*argc, *argv, assay::fuzz::seeds());
  assay::fuzz::AllocationMeter::install();
  assay::set_threads(1);
  return 0;
}
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return assay::fuzz::run({data, size});
}
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return assay::fuzz::mutate(data, size, max_size, seed);
}
