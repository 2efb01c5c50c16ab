// The verifier on edited proofs of a small statement.
//
//   - it never crashes, and allocates no more than a fixed amount whatever the proof says
//   - it accepts a proof only if the bytes are those of an honest one
//
// Two statements are proven four times over, with E of both degrees, hiding and not: a recorded segment alone,
// and a batch of it and of two forward passes, one that nobody recorded and one of which the hint is recorded.
// Mode "shipped" calls verify_body. The others run its checks through a ProbeChannel: "tolerant" goes on
// after a failed check, "repaired" takes the opened columns for those under the roots. There, what a proof
// says (its messages and the opened symbols) decides, as salts and siblings may then be anything.
#include <algorithm>
#include <optional>

#include "base/parallel.h"
#include "proof_edits.h"
#include "seeds.h"

namespace assay::fuzz {
namespace {

constexpr size_t kMemory = size_t{8} << 20;
constexpr CodeParams kCode{7, 16, 8, 3, 12};
constexpr double kBits = 8;
constexpr size_t kTargets = 8;
constexpr size_t kHonest = 2;  // so many of a target's proofs, the first ones

enum Mode : uint8_t { kShipped, kRepaired, kTolerant, kTolerantAndRepaired };
// A tolerant run takes many times as long as one that ends at its first failure. So the mode depends on all
// bytes of an input, not on some that its descendants would inherit.
constexpr Mode kModes[] = {kShipped,  kShipped,  kShipped,  kRepaired,
                           kRepaired, kRepaired, kTolerant, kTolerantAndRepaired};
Mode mode_of(std::span<const uint8_t> input) {
  uint64_t sum = 0;
  for (uint8_t b : input) sum = Choice(sum + b).next();
  return kModes[sum % std::size(kModes)];
}

enum class Members { kOne, kBatch };
constexpr size_t kPasses = 2;

// A cell that a cheating prover changes.
struct Cheat {
  size_t segment;
  test::Change change;
};

// The statement with proofs: two honest ones, and some whose prover changed a cell of the witness.
class Target {
 public:
  Target(int degree, bool hiding, Members members)
      : setup_(degree, members == Members::kOne ? tiny_circuit() : tiny_batch(), kCode) {
    if (members == Members::kBatch) add_passes();
    setup_.statement.required_bits = kBits;
    setup_.statement.hiding = hiding;
    plan_.emplace(setup_.statement);
    for (uint8_t seed : {1, 2}) proofs_.bodies.push_back(prove(seed, {}));
    for (const char* tensor : {"r", "o", "dot", "square", "sums"}) cheat({{0, {tensor, 0, 0, 1}}});
    cheat({{0, {"y", 0, 0, 1}}, {0, {"r", 0, 0, -4}}});
    cheat({{0, {"z", 1, 3, 1}}});
    if (members == Members::kBatch) {
      cheat({{1, {"x", 1, 2, 1}}});
      cheat({{2, {"y", 0, 3, -1}}});
      cheat({{4, {"picked", 1, 0, 1}}});
    }
    check_proofs();
  }

  const Proofs& proofs() const { return proofs_; }

  void verify(std::span<const uint8_t> body, Mode mode) const {
    if (mode == kShipped) return verify_shipped(body);
    const bool tolerant = mode != kRepaired, repaired = mode != kTolerant;
    const Probe p = probe(*plan_, body, tolerant, repaired);
    if (!p.accepted()) return;
    require(repaired ? says_the_same(body, p) : honest(body), "a forged proof passes all checks");
  }

 private:
  // The segments after the first one become those of members that have no record but, in the end, of the hint.
  void add_passes() {
    Statement& s = setup_.statement;
    s.segments.resize(1);
    for (uint32_t m = 1; m <= kPasses; ++m) {
      s.members.emplace_back();
      for (size_t k = 1; k < setup_.circuits.size(); ++k)
        s.segments.push_back({std::to_string(m) + "." + std::to_string(k), setup_.circuits[k], m});
    }
    hint_ = hint(kPasses);
    PartCells part{1, {{0, hint_.shape().blocks(), hint_.type(), hint_.data()}}};
    hints_.emplace("hints", kCode, std::vector<PartCells>{std::move(part)}, PrgKey{});
    hints_->commit(ReedSolomon(kCode.message(), kCode.log_coset, kCode.cosets));
    s.members.back().boundaries = LongLived{
        "hints", hints_->root(), {1}, {{"hint", 0, 0, hint_.shape().rows, hint_.shape().cols, hint_.type()}}, true};
  }

  static TensorData hint(size_t member) {
    TensorData out(CellType::kInt32, test::full(1, 2));
    for (uint32_t j = 0; j < 2; ++j) out.set(0, j, static_cast<int64_t>(member + j) - 1);
    return out;
  }

  void cheat(const std::vector<Cheat>& cheats) {
    ProveOptions o;
    o.self_check = false;
    o.corrupt = [&](size_t segment, Witness& w) {
      for (const Cheat& c : cheats)
        if (c.segment == segment) test::apply(*setup_.statement.segments[segment].circuit, w, {c.change});
    };
    proofs_.bodies.push_back(prove(1, std::move(o)));
  }

  Bytes prove(uint8_t seed_byte, ProveOptions options) const {
    PrgKey seed{};
    seed[0] = seed_byte;
    for (size_t m = 1; m + 1 < setup_.statement.members.size(); ++m) {
      options.advice.resize(m + 1);
      options.advice[m].emplace("hint", hint(m));
    }
    std::vector<const ProverCommitment*> recorded{setup_.boundaries.prover.get()};
    if (hints_) recorded.push_back(&*hints_);
    return prove_body(*plan_, *setup_.weights.prover, recorded, seed, options).body;
  }

  // The harness must agree with the verifier before it judges it.
  void check_proofs() {
    for (size_t k = 0; k < proofs_.bodies.size(); ++k) {
      const Bytes& body = proofs_.bodies[k];
      const bool accepted = test::verdict(setup_.statement, body).code.empty();
      require(accepted == (k < kHonest), "verify_body: another verdict on an unchanged proof");
      for (bool repaired : {false, true}) {
        Probe p = probe(*plan_, body, true, repaired);
        require(p.complete && p.accepted() == accepted, "the probe: another verdict on an unchanged proof");
        require(p.merkle_failures == 0, "the probe: a Merkle check fails");
        if (k == 0) proofs_.messages = p.messages;
        if (repaired && accepted) honest_.push_back(std::move(p));
      }
    }
  }

  bool honest(std::span<const uint8_t> body) const {
    return std::ranges::any_of(std::span(proofs_.bodies).first(kHonest),
                               [&](const Bytes& h) { return std::ranges::equal(h, body); });
  }
  bool says_the_same(std::span<const uint8_t> body, const Probe& p) const {
    for (size_t k = 0; k < kHonest; ++k) {
      const Bytes& h = proofs_.bodies[k];
      if (p.columns_at == honest_[k].columns_at && p.cells == honest_[k].cells && body.size() == h.size() &&
          std::equal(h.begin(), h.begin() + static_cast<std::ptrdiff_t>(p.columns_at), body.begin()))
        return true;
    }
    return false;
  }

  void verify_shipped(std::span<const uint8_t> body) const {
    try {
      (void)verify_body(*plan_, body);
    } catch (const Rejected&) {
      require(!honest(body), "an honest proof is rejected");
      return;
    }
    require(honest(body), "a forged proof is accepted");
  }

  test::Setup setup_;
  TensorData hint_;  // of the last member, and its commitment
  std::optional<ProverCommitment> hints_;
  std::optional<Plan> plan_;
  Proofs proofs_;
  std::vector<Probe> honest_;
};

const Target& target(size_t which) {
  using enum Members;
  static const Target all[] = {{2, false, kOne},   {3, false, kOne},   {2, true, kOne},   {3, true, kOne},
                               {2, false, kBatch}, {3, false, kBatch}, {2, true, kBatch}, {3, true, kBatch}};
  static_assert(std::size(all) == kTargets);
  return all[which];
}

int run(std::span<const uint8_t> input) {
  if (input.empty()) return 0;
  const uint8_t head = input[0];
  const Mode mode = mode_of(input);
  const Target& t = target(head % kTargets);
  ProofEditor editor(t.proofs(), head / kTargets % t.proofs().bodies.size());
  input = input.subspan(1);
  for (size_t n = 0; n < kMaxEdits && input.size() >= kRecord; ++n, input = input.subspan(kRecord))
    editor.apply(input.first(kRecord));
  const Bytes body = editor.take();
  AllocationMeter::start();
  t.verify(body, mode);
  AllocationMeter::require_below(kMemory);
  return 0;
}

size_t mutate(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  Choice choice(seed);
  if (choice.one_in(8)) return LLVMFuzzerMutate(data, size, max_size);
  const Bytes out = EditsMutator({data, size}, choice).mutate();
  const size_t n = std::min(out.size(), max_size);
  std::copy_n(out.begin(), n, data);
  return n;
}

// Each operation, at several places of proofs.
Seeds seeds() {
  Seeds out;
  for (unsigned edit = 0; edit < static_cast<unsigned>(Edit::kCount); ++edit) {
    for (unsigned batch : {0U, 4U}) {
      Bytes input{static_cast<uint8_t>(batch + edit % 4 + 8 * (edit / 4))};
      for (unsigned b : {edit, 1 + edit % 3, 37 * edit, edit / 8, 11 * edit, 0U, edit, 0U})
        input.push_back(static_cast<uint8_t>(b));
      out.emplace_back((batch == 0 ? "edit-" : "batch-edit-") + std::to_string(edit), input);
    }
  }
  out.emplace_back("honest", Bytes{0});
  out.emplace_back("batch-honest", Bytes{4});
  return out;
}

}  // namespace
}  // namespace assay::fuzz

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  assay::fuzz::write_seeds_if_asked(*argc, *argv, assay::fuzz::seeds());
  assay::set_threads(1);
  (void)assay::fuzz::target(0);
  assay::fuzz::AllocationMeter::install();
  return 0;
}
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return assay::fuzz::run({data, size});
}
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return assay::fuzz::mutate(data, size, max_size, seed);
}
