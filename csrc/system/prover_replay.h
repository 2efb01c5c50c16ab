// The messages of a segment that an earlier run proved, read again: its verifier turns them into the claims
// that the prover needs at the opening, without proving anything twice.
#pragma once

#include "circuit/verifier.h"
#include "transcript/channel.h"

namespace assay {

// A verifier's channel that takes off the prover's own pads.
template <int D>
class ReplayChannel : public MessageReader<D> {
 public:
  static constexpr bool hiding = false;
  using Value = Ext<D>;

  // No pads where messages are in the clear.
  ReplayChannel(Transcript& transcript, Reader& messages, std::span<const Ext<D>> pads)
      : MessageReader<D>(transcript, messages), pads_(pads) {}

  Value receive(std::string_view label, const Where& where) {
    Value v = this->receive_public(label, 1, where)[0];
    if (!pads_.empty()) v = v - pads_[read_];
    ++read_;
    return v;
  }
  Value product(const Value& a, const Value& b) { return a * b; }
  void require_zero(const Value& v, const char*, const Where&, const char*) {
    check(v.is_zero(), "a proof's own messages hold");
  }
  size_t read() const { return read_; }

 private:
  std::span<const Ext<D>> pads_;
  size_t read_ = 0;
};

}  // namespace assay
