// The verifier of a whole proof, in the order of its messages, over any channel: the one that accepts or
// rejects, the one by which a prover learns the constraints on its pads, and the one that only counts
// messages.
#pragma once

#include "circuit/verifier.h"
#include "commit/verifier.h"
#include "system/verifier.h"
#include "zk/channel.h"
#include "zk/verifier.h"

namespace assay {

template <class Channel>
class ProofVerifier {
 public:
  static constexpr int D = Channel::degree;
  using Value = typename Channel::Value;

  ProofVerifier(const Plan& plan, Channel& channel) : plan_(plan), channel_(channel) {}

  // Until the sums of both sides of the lookups are compared.
  void verify_relations() {
    receive_counter();
    receive_roots();
    const Ext<D> alpha = channel_.challenge("lookup.alpha");
    const Ext<D> beta = channel_.challenge("lookup.beta");
    const Fingerprint<D> fp(alpha, beta);
    Value sum{};
    for (size_t s = 0; s < plan_.statement().segments.size(); ++s) {
      const Segment& segment = plan_.statement().segments[s];
      SegmentVerifier<Channel> verifier(channel_, segment.name, *segment.circuit, plan_.first_block(s),
                                        claims_);
      sum = sum + verifier.verify(plan_.table_ids(s), fp);
      out_.totals.push_back(verifier.totals());
      out_.outputs.push_back(verifier.outputs());
    }
    const Value tables = verify_tables(fp);
    channel_.require_zero(sum - tables, "lookup.sum", Where{"", "lookup"},
                          "a looked up value is not in its table");
  }

  // Until u has been read.
  void receive_combination() {
    opening_.emplace(channel_, plan_.stack(), roots_, mask_root_);
    opening_->receive_combination(claims_);
  }

  Verified verify() {
    verify_relations();
    receive_combination();
    if constexpr (Channel::hiding) {
      verify_hiding();
    } else {
      require_bits(plan_.sizes(claims_.claims.size()));
      opening_->verify_columns(draw_columns());
    }
    return std::move(out_);
  }

 private:
  void receive_counter() {
    out_.counter =
        Reader(channel_.receive_bytes("ledger.counter", sizeof(uint64_t), Where{"", "ledger"})).u64();
  }

  Digest receive_root() {
    const auto bytes = channel_.receive_bytes("root", sizeof(Digest), Where{"", "commitments"});
    Digest d;
    std::copy(bytes.begin(), bytes.end(), d.begin());
    return d;
  }
  void receive_roots() {
    for (const LongLived* c : plan_.long_lived()) roots_.push_back(c->root);
    while (roots_.size() < plan_.stack().commitments().size()) roots_.push_back(receive_root());
    if constexpr (Channel::hiding) {
      mask_root_ = receive_root();
      tableau_root_ = receive_root();
    }
  }

  Value verify_tables(const Fingerprint<D>& fp) {
    const Where where{"", "tables"};
    const auto tree = verify_fraction_tree<Channel>(channel_, where, log_leaves(plan_.table_blocks()));
    const auto leaves = leaf_weights<D>(tree.point);
    channel_.require_zero(tree.q - table_denominator<D>(plan_.tables(), fp, *leaves), "lookup.table", where,
                          "the table side's denominators are wrong");
    claims_.add(multiplicity_claim<D>(plan_, leaves), tree.p);
    return tree.fraction;
  }

  // The tableau is as large as the messages just read need it.
  void verify_hiding() {
    const Constraints<D>& constraints = channel_.constraints();
    const TableauShape shape =
        tableau_shape(plan_.statement().required_bits, constraints.pads(), constraints.products().size());
    require_bits(plan_.sizes(claims_.claims.size(), &shape, constraints.count()));
    TableauVerifier<Channel> tableau(channel_, shape, tableau_root_, constraints);
    tableau.receive_answers();
    const auto columns = draw_columns();
    const auto own = channel_.challenge_indices("tableau.columns", shape.queries, shape.length());
    opening_->verify_columns(columns);
    tableau.verify_columns(own);
  }

  void require_bits(const ProofSizes& sizes) {
    out_.terms = security_terms(plan_.statement().code, sizes);
    out_.bits = security_bits(out_.terms);
    // Also where that is no number.
    channel_.require(out_.bits >= plan_.statement().required_bits, "security.bits", Where{"", "profile"},
                     "the proof gives fewer bits than its profile");
  }

  std::vector<uint32_t> draw_columns() {
    const CodeParams& code = plan_.statement().code;
    return channel_.challenge_indices("opening.columns", code.queries, code.length());
  }

  const Plan& plan_;
  Channel& channel_;
  std::vector<Digest> roots_;
  Digest mask_root_{}, tableau_root_{};
  ClaimList<D, Value> claims_;
  std::optional<OpeningVerifier<Channel>> opening_;
  Verified out_;
};

}  // namespace assay
