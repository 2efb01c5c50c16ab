#include "system/verifier.h"

#include "system/proof_verifier.h"

namespace assay {
namespace {

template <class Channel>
Verified verify_with(const Plan& plan, std::span<const uint8_t> body) {
  // A large statement costs its verifier memory only if a proof as large comes with it.
  require(body.size() >= plan.least_body_bytes(), "format.truncated", {}, "the proof ends early");
  Transcript transcript(plan.protocol(), "", plan.instance());
  Reader reader(body);
  Channel channel(transcript, reader);
  Verified out = ProofVerifier<Channel>(plan, channel).verify();
  require(reader.remaining() == 0, "format.trailing", {}, "bytes after the end of the proof");
  return out;
}

}  // namespace

Verified verify_body(const Plan& plan, std::span<const uint8_t> body) {
  const bool two = plan.statement().degree == 2;
  if (plan.statement().hiding)
    return two ? verify_with<HidingChannel<2>>(plan, body) : verify_with<HidingChannel<3>>(plan, body);
  return two ? verify_with<VerifierChannel<2>>(plan, body) : verify_with<VerifierChannel<3>>(plan, body);
}

}  // namespace assay
