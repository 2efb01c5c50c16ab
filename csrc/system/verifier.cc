#include "system/verifier.h"

#include "circuit/verifier.h"
#include "commit/verifier.h"

namespace assay {
namespace {

template <class Channel>
class ProofVerifier {
 public:
  static constexpr int D = Channel::degree;
  using Value = typename Channel::Value;

  ProofVerifier(const Plan& plan, Channel& channel) : plan_(plan), channel_(channel) {}

  Verified verify() {
    receive_roots();
    const Ext<D> alpha = channel_.challenge("lookup.alpha");
    const Ext<D> beta = channel_.challenge("lookup.beta");
    const Fingerprint<D> fp(alpha, beta);
    Verified out;
    Value sum{};
    for (size_t s = 0; s < plan_.statement().segments.size(); ++s) {
      const Segment& segment = plan_.statement().segments[s];
      SegmentVerifier<Channel> verifier(channel_, segment.name, *segment.circuit, plan_.first_block(s),
                                        claims_);
      sum = sum + verifier.verify(plan_.table_ids(s), fp);
      out.totals.push_back(verifier.totals());
    }
    const Value tables = verify_tables(fp);
    channel_.require_zero(sum - tables, "lookup.sum", Where{"", "lookup"},
                          "a looked up value is not in its table");
    out.terms = security_terms(plan_.statement().code, plan_.sizes(claims_.claims.size()));
    out.bits = security_bits(out.terms);
    if (!(out.bits >= plan_.statement().required_bits))  // also where that is no number
      channel_.reject("security.bits", Where{"", "profile"}, "the proof gives fewer bits than its profile");
    OpeningVerifier<Channel>(channel_, plan_.stack(), roots_).verify(claims_);
    return out;
  }

 private:
  void receive_roots() {
    roots_ = {plan_.statement().weights.root, plan_.statement().boundaries.root};
    while (roots_.size() < plan_.stack().commitments().size()) {
      const auto bytes = channel_.receive_bytes("root", sizeof(Digest), Where{"", "commitments"});
      std::copy(bytes.begin(), bytes.end(), roots_.emplace_back().begin());
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

  const Plan& plan_;
  Channel& channel_;
  std::vector<Digest> roots_;
  ClaimList<D, Value> claims_;
};

template <int D>
Verified verify_with(const Plan& plan, std::span<const uint8_t> body) {
  Transcript transcript(kProtocol, "", plan.instance());
  Reader reader(body);
  VerifierChannel<D> channel(transcript, reader);
  ProofVerifier<VerifierChannel<D>> verifier(plan, channel);
  Verified out = verifier.verify();
  if (reader.remaining() != 0) throw Rejected{"format.trailing", "", "", -1, "bytes after the end of the proof"};
  return out;
}

}  // namespace

Verified verify_body(const Plan& plan, std::span<const uint8_t> body) {
  return plan.statement().degree == 2 ? verify_with<2>(plan, body) : verify_with<3>(plan, body);
}

}  // namespace assay
