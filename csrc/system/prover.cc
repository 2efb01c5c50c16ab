#include "system/prover.h"

#include <chrono>
#include <cstring>

#include "base/parallel.h"
#include "circuit/prover.h"
#include "commit/prover_mask.h"
#include "system/proof_verifier.h"
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

// The cells of a slot inside a prover's commitment.
const void* slot_data(const ProverCommitment& commitment, const Slot& slot) {
  for (const SlotCells& s : commitment.parts()[slot.part].slots)
    if (slot.first_block >= s.first_block && slot.first_block < s.first_block + s.blocks)
      return static_cast<const uint8_t*>(s.data) +
             (slot.first_block - s.first_block) * kBlock * cell_size(slot.type);
  throw NotProvable{"", slot.name, "its cells are not at hand"};
}

// How often each row of each table is looked up.
class Multiplicities {
 public:
  explicit Multiplicities(const Plan& plan) : plan_(plan), counts_(plan.table_blocks() * kBlock) {}

  void count(size_t segment, const Circuit& c, const Witness& w, bool self_check) {
    for (const Lookup& l : c.lookups) {
      const size_t id = plan_.table_ids(segment)[l.table] - 1;
      const Table& table = *plan_.tables()[id];
      int32_t* counts = counts_.data() + plan_.multiplicities().first_block[id] * kBlock;
      std::vector<std::vector<int64_t>> columns(l.columns.size(), std::vector<int64_t>(l.domain.cols));
      for (uint32_t i = 0; i < l.domain.rows; ++i) {
        for (size_t k = 0; k < columns.size(); ++k) linear_poly_row(c, w, l.columns[k], i, columns[k]);
        const auto [lo, hi] = l.domain.range(i);
        for (uint32_t j = lo; j < hi; ++j) {
          const int64_t row = columns[0][j] - table.start;
          bool found = row >= 0 && row < table.rows;
          if (found) ++counts[row];
          for (size_t k = 1; self_check && found && k < columns.size(); ++k)
            found = columns[k][j] == table.images[k - 1][static_cast<size_t>(row)];
          if (self_check && !found)
            throw NotProvable{plan_.statement().segments[segment].name, l.name,
                              "a value is not in its table"};
        }
      }
    }
  }
  const std::vector<int32_t>& counts() const { return counts_; }

 private:
  const Plan& plan_;
  std::vector<int32_t> counts_;
};

template <int D>
class ProofProver {
 public:
  ProofProver(const Plan& plan, const ProverCommitment& weights, const ProverCommitment& boundaries,
              const PrgKey& seed, const ProveOptions& options)
      : plan_(plan),
        statement_(plan.statement()),
        options_(options),
        seed_(seed),
        transcript_(plan.protocol(), "", plan.instance()),
        channel_(transcript_),
        rs_(statement_.code.message(), statement_.code.log_coset, statement_.code.cosets),
        clock_(out_.seconds),
        commitments_{&weights, &boundaries} {}

  ProveResult prove() {
    channel_.send_bytes("ledger.counter",
                        {reinterpret_cast<const uint8_t*>(&options_.counter), sizeof options_.counter});
    for (size_t s = 0; s < statement_.segments.size(); ++s) commit_segment(s);
    commit_multiplicities();
    if (statement_.hiding) commit_randomness();
    const Ext<D> alpha = channel_.challenge("lookup.alpha");
    const Ext<D> beta = channel_.challenge("lookup.beta");
    const Fingerprint<D> fp(alpha, beta);
    for (size_t s = 0; s < statement_.segments.size(); ++s) {
      SegmentProver<D> prover(channel_, statement_.segments[s].name, *statement_.segments[s].circuit,
                              witnesses_[s], plan_.first_block(s), claims_);
      prover.prove(plan_.table_ids(s), fp, [this](const char* step) { clock_.lap(step); });
    }
    prove_tables(fp);
    send_combination<D>(channel_, plan_.stack(), commitments_, claims_, mask_ ? &*mask_ : nullptr);
    clock_.lap("opening");
    if (statement_.hiding)
      answer_constraints();
    else
      require_bits(plan_.sizes(claims_.claims.size()));
    clock_.lap("constraints");
    open_columns();
    clock_.lap("opening");
    out_.body = channel_.take_bytes();
    return std::move(out_);
  }

 private:
  // Secret randomness of one commitment: fresh for each proof, and bound to everything absorbed so far.
  // A part's cells are not absorbed when its key is drawn: they go into it, so that two parts never share one.
  PrgKey derive_key(const PartCells& part = {}) {
    const Digest prefix = transcript_.fingerprint();
    Sha256 hash;
    hash.update(seed_);
    hash.update(prefix);
    for (const SlotCells& s : part.slots)
      hash.update({static_cast<const uint8_t*>(s.data), s.blocks * kBlock * cell_size(s.type)});
    return hash.finish();
  }

  void commit_segment(size_t s) {
    const Circuit& c = *statement_.segments[s].circuit;
    witnesses_.push_back(evaluate_segment(s, c));
    check_boundaries(s, c);
    if (!options_.self_check && options_.corrupt) options_.corrupt(s, witnesses_.back());
    clock_.lap("witness");
    PartCells part;
    part.rows = plan_.witness(s).rows(statement_.code);
    for (size_t t = 0; t < c.tensors.size(); ++t) {
      if (c.tensors[t].source != Source::kWitness) continue;
      const TensorData& data = witnesses_[s].tensors[t];
      part.slots.push_back(
          {plan_.witness(s).first_block[t], c.tensors[t].shape.blocks(), data.type(), data.data()});
    }
    out_.lookups += c.lookup_count();
    out_.committed_cells += c.witness_cells();
    if (!plan_.has_witness(s)) return;
    commit("witness of " + statement_.segments[s].name, std::move(part));
  }

  void commit(std::string name, PartCells part) {
    const PrgKey key = derive_key(part);
    own_.push_back(std::make_unique<ProverCommitment>(std::move(name), statement_.code,
                                                      std::vector<PartCells>{std::move(part)}, key));
    const size_t bytes = own_.back()->parts()[0].rows * rs_.length() * sizeof(F);
    own_.back()->commit(rs_, keep_bytes_);
    keep_bytes_ -= std::min(keep_bytes_, bytes);
    commitments_.push_back(own_.back().get());
    channel_.send_bytes("root", own_.back()->root());
    clock_.lap("commit");
  }

  Witness evaluate_segment(size_t s, const Circuit& c) {
    const auto cells = [&](const Tensor& t, bool committed) {
      const size_t index = static_cast<size_t>(&t - c.tensors.data());
      const Slot* slot = plan_.slot(s, index);
      const auto replaced = options_.evaluate_with.find(t.name);
      if (!committed && replaced != options_.evaluate_with.end())
        return Cells{t.type, replaced->second, t.shape};
      const ProverCommitment& from = *commitments_[t.source == Source::kWeight ? 0 : 1];
      return Cells{t.type, slot_data(from, *slot), t.shape};
    };
    try {
      Witness w = evaluate(c, [&](const Tensor& t) { return cells(t, false); });
      // What is proven is always about the committed cells.
      for (size_t t = 0; t < c.tensors.size(); ++t)
        if (c.tensors[t].source == Source::kWeight) w.tensors[t] = TensorData(cells(c.tensors[t], true));
      return w;
    } catch (const EvaluationError& e) {
      throw NotProvable{statement_.segments[s].name, e.relation, e.message};
    }
  }

  // The computed output must be what was recorded.
  void check_boundaries(size_t s, const Circuit& c) {
    for (size_t t = 0; t < c.tensors.size(); ++t) {
      if (c.tensors[t].source != Source::kBoundary) continue;
      TensorData& computed = witnesses_[s].tensors[t];
      const TensorData committed(
          Cells{c.tensors[t].type, slot_data(*commitments_[1], *plan_.slot(s, t)), c.tensors[t].shape});
      if (options_.self_check &&
          std::memcmp(computed.data(), committed.data(), computed.cells() * cell_size(computed.type())) != 0)
        throw NotProvable{statement_.segments[s].name, c.tensors[t].name,
                          "the recorded boundary is not what the registered model computes"};
    }
  }

  void commit_multiplicities() {
    Multiplicities counter(plan_);
    for (size_t s = 0; s < statement_.segments.size(); ++s)
      counter.count(s, *statement_.segments[s].circuit, witnesses_[s], options_.self_check);
    counts_ = counter.counts();
    if (!options_.self_check && options_.corrupt_counts) options_.corrupt_counts(counts_);
    clock_.lap("multiplicities");
    PartCells part;
    part.rows = plan_.multiplicities().rows(statement_.code);
    part.slots.push_back({0, plan_.table_blocks(), CellType::kInt32, counts_.data()});
    commit("multiplicities", std::move(part));
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
  void answer_constraints() {
    Transcript transcript(plan_.protocol(), "", plan_.instance());
    Reader reader(channel_.bytes());
    HidingChannel<D> channel(transcript, reader);
    ProofVerifier<HidingChannel<D>> verifier(plan_, channel);
    verifier.verify_relations();
    verifier.receive_combination();
    check(channel.constraints().pads() == tableau_->shape().pads, "as many pads as messages");
    require_bits(plan_.sizes(claims_.claims.size(), &tableau_->shape(), channel.constraints().count()));
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
    for (size_t c = 0; c < commitments_.size(); ++c)
      channel_.append(commitments_[c]->open_columns(rs_, plan_.stack().commitments()[c].opened, columns));
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
  std::vector<const ProverCommitment*> commitments_;
  std::vector<std::unique_ptr<ProverCommitment>> own_;
  std::optional<OpeningMask<D>> mask_;  // both in hiding proofs alone
  std::optional<TableauProver<D>> tableau_;
  std::vector<Witness> witnesses_;
  std::vector<int32_t> counts_;
  size_t keep_bytes_ = options_.keep_codeword_bytes;
  ClaimList<D, Ext<D>> claims_;
};

}  // namespace

ProveResult prove_body(const Plan& plan, const ProverCommitment& weights, const ProverCommitment& boundaries,
                       const PrgKey& seed, const ProveOptions& options) {
  if (plan.statement().degree == 2) return ProofProver<2>(plan, weights, boundaries, seed, options).prove();
  return ProofProver<3>(plan, weights, boundaries, seed, options).prove();
}

}  // namespace assay
