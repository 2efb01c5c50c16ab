#include "system/prover.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <future>
#include <map>
#include <mutex>

#include "base/buffer.h"
#include "base/parallel.h"
#include "circuit/prover.h"
#include "commit/prover_mask.h"
#include "system/proof_verifier.h"
#include "system/prover_replay.h"
#include "system/prover_work.h"
#include "zk/prover.h"

namespace assay {
namespace {

class Stopwatch {
 public:
  explicit Stopwatch(std::vector<std::pair<std::string, double>>& out) : out_(out) {}
  void lap(const std::string& step) {
    const auto now = std::chrono::steady_clock::now();
    const double s = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    for (auto& [name, total] : out_)
      if (name == step) {
        total += s;
        return;
      }
    out_.emplace_back(step, s);
  }

 private:
  std::vector<std::pair<std::string, double>>& out_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// The cells of a slot inside a prover's commitment; if they are in a file, somebody holds it meanwhile.
const void* slot_data(const ProverCommitment& commitment, const Slot& slot) {
  for (const SlotCells& s : commitment.parts()[slot.part].slots)
    if (slot.first_block >= s.first_block && slot.first_block < s.first_block + s.blocks)
      return static_cast<const uint8_t*>(s.data.hold().get()) +
             (slot.first_block - s.first_block) * kBlock * cell_size(slot.type);
  throw NotProvable{"", slot.name, "its cells are not at hand"};
}

// How often each row of each table is looked up.
class Multiplicities {
 public:
  explicit Multiplicities(const Plan& plan) : plan_(plan) {}

  void count(size_t segment, const Circuit& c, const Witness& w, bool self_check) {
    std::vector<size_t> first_row;  // of each lookup, one after the other
    size_t rows = 0;
    for (const Lookup& l : c.lookups) {
      first_row.push_back(rows);
      rows += l.domain.rows;
    }
    std::map<size_t, NotProvable> failures;  // by row, so that any number of threads reports the same
    parallel_for(rows, kGrain, [&](size_t begin, size_t end) {
      Counts counts = take();
      try {
        while (begin < end) {
          const auto after = std::upper_bound(first_row.begin(), first_row.end(), begin);
          const size_t at = static_cast<size_t>(after - first_row.begin()) - 1;
          const Lookup& l = c.lookups[at];
          const size_t last = std::min<size_t>(end - first_row[at], l.domain.rows);
          count_rows(segment, c, w, l, begin - first_row[at], last, self_check, counts);
          begin = first_row[at] + last;
        }
      } catch (const NotProvable& failure) {
        const std::lock_guard lock(mutex_);
        failures.emplace(begin, failure);
      }
      give_back(std::move(counts));
    });
    if (!failures.empty()) throw failures.begin()->second;
  }

  // What all threads have counted, and taken from them.
  std::vector<int32_t> take_total() {
    Counts total = take();
    for (const Counts& other : idle_)
      for (size_t i = 0; i < total.size(); ++i) total[i] += other[i];
    idle_.clear();
    return total;
  }

 private:
  using Counts = std::vector<int32_t>;
  static constexpr size_t kGrain = 64;  // rows

  // Counts that no other thread has.
  Counts take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return Counts(plan_.table_blocks() * kBlock);
    Counts counts = std::move(idle_.back());
    idle_.pop_back();
    return counts;
  }
  void give_back(Counts counts) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(counts));
  }

  void count_rows(size_t segment, const Circuit& c, const Witness& w, const Lookup& l, size_t begin,
                  size_t end, bool self_check, Counts& all) const {
    const size_t id = plan_.table_ids(segment)[l.table] - 1;
    const Table& table = *plan_.tables()[id];
    int32_t* counts = all.data() + plan_.multiplicities().first_block[id] * kBlock;
    std::vector<std::vector<int64_t>> columns(l.columns.size(), std::vector<int64_t>(l.domain.cols));
    for (size_t i = begin; i < end; ++i) {
      const auto r = static_cast<uint32_t>(i);
      for (size_t k = 0; k < columns.size(); ++k) linear_poly_row(c, w, l.columns[k], r, columns[k]);
      const auto [lo, hi] = l.domain.range(r);
      for (uint32_t j = lo; j < hi; ++j) {
        const int64_t row = columns[0][j] - table.start;
        bool found = row >= 0 && row < table.rows;
        if (found) ++counts[row];
        for (size_t k = 1; self_check && found && k < columns.size(); ++k)
          found = columns[k][j] == table.images[k - 1][static_cast<size_t>(row)];
        if (self_check && !found)
          throw NotProvable{plan_.statement().segments[segment].name, l.name, "a value is not in its table"};
      }
    }
  }

  const Plan& plan_;
  std::mutex mutex_;
  std::vector<Counts> idle_;  // what some thread has counted, in any order
};

// The integers of one segment, in memory or in the work folder.
struct SegmentCells {
  Witness witness;
  MappedFile file;
  std::vector<Held> held;  // long-lived cells, while the segment is computed or proven
};

template <int D>
class ProofProver {
 public:
  ProofProver(const Plan& plan, const ProverCommitment& weights,
              std::span<const ProverCommitment* const> boundaries, const PrgKey& seed,
              const ProveOptions& options)
      : plan_(plan),
        statement_(plan.statement()),
        options_(options),
        seed_(seed),
        transcript_(plan.protocol(), "", plan.instance()),
        channel_(transcript_),
        rs_(statement_.code.message(), statement_.code.log_coset, statement_.code.cosets),
        clock_(out_.seconds),
        witness_("witness", statement_.code),
        leaves_(rs_.length()),
        commitments_{&weights},
        counter_(plan) {
    commitments_.insert(commitments_.end(), boundaries.begin(), boundaries.end());
    check(commitments_.size() == plan.long_lived().size(), "a commitment for each recorded member");
    if (!options.work.empty()) work_.emplace(options.work, work_key());
  }

  ProveResult prove() {
    channel_.send_bytes("ledger.counter",
                        {reinterpret_cast<const uint8_t*>(&options_.counter), sizeof options_.counter});
    const size_t segments = statement_.segments.size();
    past_ = transcript_.fingerprint();
    for (size_t s = 0; s < segments; ++s) {
      report("commit", s, segments);
      commit_segment(s);
    }
    commit_multiplicities();
    if (writing_.valid()) writing_.get();
    witness_.restore(std::exchange(leaves_, LeafHasher(0)).finish(), {});
    commitments_.push_back(&witness_);
    channel_.send_bytes("root", witness_.root());
    clock_.lap("commit");
    if (statement_.hiding) commit_randomness();
    const Ext<D> alpha = channel_.challenge("lookup.alpha");
    const Ext<D> beta = channel_.challenge("lookup.beta");
    const Fingerprint<D> fp(alpha, beta);
    for (size_t s = 0; s < segments; ++s) {
      report("prove", s, segments);
      if (resume_segment(s, fp)) continue;
      prove_segment(s, fp);
      let_go(s);
    }
    prove_tables(fp);
    send_combination<D>(channel_, plan_.stack(), commitments_, claims_, mask_ ? &*mask_ : nullptr,
                        [this](const char* step) { report(step, 0, 1); });
    const size_t claims = claims_.claims.size();
    claims_ = {};
    clock_.lap("opening");
    if (statement_.hiding) {
      report("constraints", 0, 1);
      answer_constraints(claims);
    } else {
      require_bits(plan_.sizes(claims));
    }
    clock_.lap("constraints");
    open_columns();
    clock_.lap("opening");
    out_.body = channel_.take_bytes();
    return std::move(out_);
  }

 private:
  void report(const char* step, size_t done, size_t of) const {
    if (options_.progress) options_.progress(step, done, of);
  }

  // No other proof's: each has a seed of its own.
  Digest work_key() const {
    Sha256 hash;
    hash.update(seed_);
    constexpr std::string_view kUse = "assay work folder";
    hash.update({reinterpret_cast<const uint8_t*>(kUse.data()), kUse.size()});
    return hash.finish();
  }

  // Secret randomness: fresh for each proof, and bound to everything absorbed so far.
  PrgKey derive_key() const { return derive_key(transcript_.fingerprint(), {}); }

  // Of a part of the witness: its cells are not absorbed yet, nor those of the parts before it, so they go
  // into the key. Two parts never share one with different cells, or different cells before them.
  PrgKey derive_key(const Digest& past, const PartCells& part) const {
    std::vector<Digest> cells(part.slots.size());
    parallel_for(cells.size(), 1, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) {
        const SlotCells& s = part.slots[i];
        const Held held = s.data.hold();
        cells[i] = sha256({static_cast<const uint8_t*>(held.get()), s.blocks * kBlock * cell_size(s.type)});
      }
    });
    Sha256 hash;
    hash.update(seed_);
    hash.update(past);
    for (const Digest& d : cells) hash.update(d);
    return hash.finish();
  }

  // ---- pass 1 ----

  void commit_segment(size_t s) {
    const Circuit& c = *statement_.segments[s].circuit;
    cells_.emplace_back();
    hold_cells(s);
    if (!restore_cells(s)) {
      cells_[s].witness = evaluate_segment(s, c);
      check_boundaries(s, c);
      if (!options_.self_check && options_.corrupt) options_.corrupt(s, cells_[s].witness);
      keep_cells(s);
    }
    clock_.lap("witness");
    counter_.count(s, c, cells_[s].witness, options_.self_check);
    clock_.lap("multiplicities");
    PartCells part;
    part.rows = plan_.witness(s).rows(statement_.code);
    for (size_t t = 0; t < c.tensors.size(); ++t) {
      if (!plan_.in_witness(s, t)) continue;
      const TensorData& data = cells_[s].witness.tensors[t];
      part.slots.push_back(
          {plan_.witness(s).first_block[t], c.tensors[t].shape.blocks(), data.type(), data.data()});
    }
    out_.lookups += c.lookup_count();
    out_.committed_cells += c.witness_cells();
    if (plan_.has_witness(s)) commit(std::move(part), s);
    let_go(s);
  }

  // What a segment reads of long-lived commitments stays mapped from here until it is let go.
  void hold_cells(size_t s) {
    const auto& tensors = statement_.segments[s].circuit->tensors;
    for (size_t t = 0; t < tensors.size(); ++t)
      if (const Slot* slot = plan_.slot(s, t); slot != nullptr)
        for (const SlotCells& cells : long_lived(s, tensors[t]).parts()[slot->part].slots)
          cells_[s].held.push_back(cells.data.hold());
  }
  // Views of them end with it; they may be mapped elsewhere when they are taken again.
  void let_go(size_t s) {
    const auto& tensors = statement_.segments[s].circuit->tensors;
    for (size_t t = 0; t < tensors.size(); ++t)
      if (TensorData& cells = cells_[s].witness.tensors[t];
          plan_.slot(s, t) != nullptr && cells.data() == given(s, t, true).data)
        cells = TensorData();
    cells_[s].file.release();
    cells_[s].held.clear();
  }
  void view_given(size_t s) {
    auto& tensors = cells_[s].witness.tensors;
    for (size_t t = 0; t < tensors.size(); ++t)
      if (tensors[t].empty()) tensors[t] = TensorData(given(s, t, true));
  }
  const ProverCommitment& long_lived(size_t s, const Tensor& tensor) const {
    return *commitments_[tensor.source == Source::kWeight ? 0
                                                          : plan_.boundaries(statement_.segments[s].member)];
  }

  void commit(PartCells part, size_t segment) {
    const PrgKey key = derive_key(past_, part);
    past_ = sha256(key);
    const std::string name = "digests " + std::to_string(segment);
    if (const auto file = work_ ? work_->get(name, key) : std::nullopt) {
      witness_.add_part(std::move(part), key);
      leaves_.absorb({reinterpret_cast<const Digest*>(WorkFolder::content(*file).data()), rs_.length()});
    } else {
      const size_t bytes = part.rows * rs_.length() * sizeof(F);
      std::vector<Digest> digests = witness_.add_part(rs_, std::move(part), key, keep_bytes_);
      keep_bytes_ -= std::min(keep_bytes_, bytes);
      leaves_.absorb(digests);
      if (work_) keep_digests(name, key, std::move(digests));
    }
    clock_.lap("commit");
  }

  // Beside what follows: one core writes while the others work.
  void keep_digests(const std::string& name, const Digest& context, std::vector<Digest> digests) {
    if (writing_.valid()) writing_.get();
    writing_ = std::async(std::launch::async, [this, name, context, digests = std::move(digests)] {
      const std::span piece(reinterpret_cast<const uint8_t*>(digests.data()),
                            std::span(digests).size_bytes());
      (void)work_->put(name, context, std::span(&piece, 1));
    });
  }

  // The tensors of a segment that it fills itself, one after another in its file.
  template <class Use>
  void for_own_tensors(size_t s, Use use) const {
    const Circuit& c = *statement_.segments[s].circuit;
    for (size_t t = 0; t < c.tensors.size(); ++t)
      if (c.tensors[t].source != Source::kWeight && plan_.owner(s, t).segment == s) use(t, c.tensors[t]);
  }
  static size_t tensor_bytes(const Tensor& t) { return t.cells() * cell_size(t.type); }

  void keep_cells(size_t s) {
    if (!work_) return;
    std::vector<std::span<const uint8_t>> pieces;
    for_own_tensors(s, [&](size_t t, const Tensor& tensor) {
      pieces.emplace_back(static_cast<const uint8_t*>(cells_[s].witness.tensors[t].data()),
                          tensor_bytes(tensor));
    });
    view_cells(s, work_->put("cells " + std::to_string(s), past_, pieces));
  }
  bool restore_cells(size_t s) {
    if (!work_) return false;
    auto file = work_->get("cells " + std::to_string(s), past_);
    if (!file) return false;
    const Circuit& c = *statement_.segments[s].circuit;
    cells_[s].witness.tensors.resize(c.tensors.size());
    view_cells(s, std::move(*file));
    view_given(s);
    return true;
  }
  // Blocks are 256 bytes or more, so that every tensor starts on a cache line.
  void view_cells(size_t s, MappedFile file) {
    size_t at = 0;
    for_own_tensors(s, [&](size_t t, const Tensor& tensor) {
      cells_[s].witness.tensors[t] = TensorData(Cells{tensor.type, file.bytes().data() + at, tensor.shape});
      at += tensor_bytes(tensor);
    });
    cells_[s].file = std::move(file);
  }

  // Cells that a segment does not compute; those that are committed, or those to compute with.
  Cells given(size_t s, size_t t, bool committed) const {
    const Tensor& tensor = statement_.segments[s].circuit->tensors[t];
    const auto replaced = options_.evaluate_with.find(tensor.name);
    if (tensor.source == Source::kWeight && !committed && replaced != options_.evaluate_with.end())
      return {tensor.type, replaced->second, tensor.shape};
    const size_t member = statement_.segments[s].member;
    if (const Slot* slot = plan_.slot(s, t); slot != nullptr)
      return {tensor.type, slot_data(long_lived(s, tensor), *slot), tensor.shape};
    const Plan::Owner owner = plan_.owner(s, t);
    if (owner.segment != s)
      return {tensor.type, cells_[owner.segment].witness.tensors[owner.tensor].data(), tensor.shape};
    const auto& advice = options_.advice;
    if (member < advice.size())
      if (const auto at = advice[member].find(tensor.name); at != advice[member].end())
        return {at->second.type(), at->second.data(), at->second.shape()};
    throw NotProvable{statement_.segments[s].name, tensor.name, "its cells are not at hand"};
  }

  Witness evaluate_segment(size_t s, const Circuit& c) {
    const auto index = [&](const Tensor& t) { return static_cast<size_t>(&t - c.tensors.data()); };
    const Choices choices = s < options_.choices.size() ? options_.choices[s] : Choices{};
    try {
      Witness w = evaluate(c, [&](const Tensor& t) { return given(s, index(t), false); }, choices);
      // What is proven is always about the committed cells.
      for (size_t t = 0; t < c.tensors.size(); ++t)
        if (c.tensors[t].source == Source::kWeight) w.tensors[t] = TensorData(given(s, t, true));
      return w;
    } catch (const EvaluationError& e) {
      throw NotProvable{statement_.segments[s].name, e.relation, e.message};
    }
  }

  // Computed boundaries must be what was recorded, or what another segment of the member computed.
  void check_boundaries(size_t s, const Circuit& c) {
    for (size_t t = 0; t < c.tensors.size(); ++t) {
      if (c.tensors[t].source != Source::kBoundary || plan_.in_witness(s, t)) continue;
      TensorData& computed = cells_[s].witness.tensors[t];
      const TensorData committed(given(s, t, true));
      if (options_.self_check &&
          std::memcmp(computed.data(), committed.data(), computed.cells() * cell_size(computed.type())) != 0)
        throw NotProvable{statement_.segments[s].name, c.tensors[t].name,
                          plan_.slot(s, t) != nullptr
                              ? "the recorded boundary is not what the registered model computes"
                              : "two segments compute it differently"};
      // A cheating prover stands by what it committed, as with weights.
      if (plan_.slot(s, t) != nullptr) computed = TensorData(given(s, t, true));
    }
  }

  void commit_multiplicities() {
    counts_ = counter_.take_total();
    if (!options_.self_check && options_.corrupt_counts) options_.corrupt_counts(counts_);
    clock_.lap("multiplicities");
    PartCells part;
    part.rows = plan_.multiplicities().rows(statement_.code);
    part.slots.push_back({0, plan_.table_blocks(), CellType::kInt32, counts_.data()});
    commit(std::move(part), statement_.segments.size());
  }

  // ---- pass 2 ----

  void prove_segment(size_t s, const Fingerprint<D>& fp) {
    hold_cells(s);
    view_given(s);
    const size_t before = channel_.bytes().size();
    const Digest context = transcript_.fingerprint();
    SegmentProver<D> prover(channel_, statement_.segments[s].name, *statement_.segments[s].circuit,
                            cells_[s].witness, plan_.first_block(s), claims_);
    prover.prove(plan_.table_ids(s), fp, [this](const char* step) { clock_.lap(step); });
    if (!work_) return;
    const std::span<const uint8_t> sent = channel_.bytes().subspan(before);
    (void)work_->put("messages " + std::to_string(s), context, std::span(&sent, 1));
    clock_.lap("files");
  }

  // Takes the messages of an earlier run, if it got that far. Their context is the transcript before them, so
  // the statement, all commitments and all pads are those that they were made with.
  bool resume_segment(size_t s, const Fingerprint<D>& fp) {
    if (!work_) return false;
    const auto file = work_->get("messages " + std::to_string(s), transcript_.fingerprint());
    if (!file) return false;
    const auto messages = WorkFolder::content(*file);
    Reader reader(messages);
    ReplayChannel<D> replay(transcript_, reader, channel_.pads());
    SegmentVerifier<ReplayChannel<D>> verifier(
        replay, statement_.segments[s].name, *statement_.segments[s].circuit, plan_.first_block(s), claims_);
    (void)verifier.verify(plan_.table_ids(s), fp);
    check(reader.remaining() == 0, "the messages of a segment are those that it sends");
    channel_.resume(messages, replay.read());
    clock_.lap("resume");
    return true;
  }

  void prove_tables(const Fingerprint<D>& fp) {
    const size_t n = std::max(counts_.size(), kBlock);  // a tree without tables has one block of 0/1
    Fractions<D> leaves{PlaneBuffer<D>(n), PlaneBuffer<D>(n)};
    for (size_t r = counts_.size(); r < n; ++r) {
      leaves.p.set(r, Ext<D>::zero());
      leaves.q.set(r, Ext<D>::one());
    }
    for (size_t k = 0; k < plan_.tables().size(); ++k) fill_table(k, fp, leaves);
    const auto tree = prove_fraction_tree<D>(channel_, std::move(leaves), log_leaves(plan_.table_blocks()));
    claims_.add(multiplicity_claim<D>(plan_, leaf_weights<D>(tree.point)), tree.p);
    clock_.lap("tables");
  }

  void fill_table(size_t k, const Fingerprint<D>& fp, Fractions<D>& leaves) {
    const Table& table = *plan_.tables()[k];
    const size_t base = plan_.multiplicities().first_block[k] * kBlock;
    const Ext<D> start = fp.alpha - Ext<D>(F(k + 1));
    const size_t cells = ceil_div(table.rows, kBlock) * kBlock;
    parallel_for(cells, 1024, [&](size_t begin, size_t end) {
      for (size_t r = begin; r < end; ++r) {
        if (r >= table.rows) {
          leaves.p.set(base + r, Ext<D>::zero());
          leaves.q.set(base + r, Ext<D>::one());
          continue;
        }
        Ext<D> q = start;
        for (size_t c = 0; c < table.columns(); ++c) q -= fp.beta[c] * F::from_i64(table.value(c, r));
        leaves.q.set(base + r, q);
        leaves.p.set(base + r, Ext<D>::from_i64(counts_[base + r]));
      }
    });
  }

  // The mask, the pads of all messages still to come, and the products of those that the verifier multiplies.
  void commit_randomness() {
    mask_.emplace(statement_.code, rs_, derive_key());
    channel_.send_bytes("root", mask_->root());
    CountingChannel<D> counting;
    ProofVerifier<CountingChannel<D>>(plan_, counting).verify_relations();
    // The opening's rounds, its value, and the mask's.
    const size_t messages = counting.messages() + 2 * (kLogBlock + plan_.stack().block_bits()) + 2;
    tableau_.emplace(tableau_shape(statement_.required_bits, messages, counting.products().size()),
                     counting.products(), derive_key());
    channel_.send_bytes("root", tableau_->root());
    channel_.use_pads(tableau_->pads());
    clock_.lap("mask and pads");
  }

  // What the messages require of the pads is learnt by verifying them, until u.
  void answer_constraints(size_t claims) {
    Transcript transcript(plan_.protocol(), "", plan_.instance());
    Reader reader(channel_.bytes());
    HidingChannel<D> channel(transcript, reader);
    ProofVerifier<HidingChannel<D>> verifier(plan_, channel);
    verifier.verify_relations();
    verifier.receive_combination();
    check(channel.constraints().pads() == tableau_->shape().pads, "as many pads as messages");
    require_bits(plan_.sizes(claims, &tableau_->shape(), channel.constraints().count()));
    const bool sent = channel.constraints().products() == tableau_->products() &&
                      tableau_->send_answers(channel_, channel.constraints(), options_.self_check);
    if (!sent) throw NotProvable{"", "constraints", "the proof's messages do not satisfy its relations"};
  }

  // The columns are revealed in the end, once the ledger has them.
  void open_columns() {
    Transcript& transcript = channel_.transcript();
    const auto columns =
        transcript.challenge_indices("opening.columns", statement_.code.queries, statement_.code.length());
    std::vector<uint32_t> own;
    if (tableau_)
      own = transcript.challenge_indices("tableau.columns", tableau_->shape().queries,
                                         tableau_->shape().length());
    if (options_.reveal) options_.reveal(columns);
    size_t parts = 0, done = 0;
    for (const ProverCommitment* c : commitments_) parts += c->parts().size();
    for (size_t c = 0; c < commitments_.size(); ++c)
      channel_.append(commitments_[c]->open_columns(rs_, plan_.stack().commitments()[c].opened, columns,
                                                    [&](size_t) { report("columns", done++, parts); }));
    if (!tableau_) return;
    channel_.append(mask_->open_columns(columns));
    channel_.append(tableau_->open_columns(own));
  }

  void require_bits(const ProofSizes& sizes) {
    out_.terms = security_terms(statement_.code, sizes);
    out_.bits = security_bits(out_.terms);
    if (options_.self_check && !(out_.bits >= statement_.required_bits))
      throw NotProvable{"", "profile", "the statement is too large for the bits of its profile"};
  }

  const Plan& plan_;
  const Statement& statement_;
  const ProveOptions& options_;
  PrgKey seed_;
  Transcript transcript_;
  ProverChannel<D> channel_;
  ReedSolomon rs_;
  ProveResult out_;
  Stopwatch clock_;
  ProverCommitment witness_;  // of all segments, and the multiplicities
  LeafHasher leaves_;         // over its parts so far
  Digest past_{};             // all that the next part follows from, in pass 1
  std::vector<const ProverCommitment*> commitments_;
  std::optional<OpeningMask<D>> mask_;  // both in hiding proofs alone
  std::optional<TableauProver<D>> tableau_;
  std::optional<WorkFolder> work_;
  std::future<void> writing_;  // waits for its task when it goes, so it comes after all that the task uses
  std::vector<SegmentCells> cells_;
  Multiplicities counter_;
  std::vector<int32_t> counts_;
  size_t keep_bytes_ = options_.keep_codeword_bytes;
  ClaimList<D, Ext<D>> claims_;
};

// Scratch memory is kept while a proof is made, and no longer.
struct ReleaseMemory {
  ~ReleaseMemory() { memory::release(); }
};

}  // namespace

ProveResult prove_body(const Plan& plan, const ProverCommitment& weights,
                       std::span<const ProverCommitment* const> boundaries, const PrgKey& seed,
                       const ProveOptions& options) {
  const ReleaseMemory at_the_end;
  if (plan.statement().degree == 2) return ProofProver<2>(plan, weights, boundaries, seed, options).prove();
  return ProofProver<3>(plan, weights, boundaries, seed, options).prove();
}

}  // namespace assay
