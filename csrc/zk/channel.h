// The channels of hiding proofs: one gathers constraints on pads from what it reads, the other only counts.
#pragma once

#include "transcript/channel.h"
#include "zk/padded.h"

namespace assay {

template <int D>
class HidingChannel : public MessageReader<D> {
 public:
  static constexpr bool hiding = true;
  using Value = Padded<D>;
  using MessageReader<D>::MessageReader;

  Value receive(std::string_view label, const Where& where) {
    return constraints_.message(this->receive_public(label, 1, where)[0]);
  }
  Value product(const Value& a, const Value& b) { return constraints_.product(a, b); }
  // Settled together with all others, by the tableau: which one fails cannot be told.
  void require_zero(const Value& v, const char* code, const Where&, const char*,
                    CheckSite site = CheckSite::current()) {
    if (!left_out(code, site)) constraints_.require_zero(v);
  }
  const Constraints<D>& constraints() const { return constraints_; }

 private:
  Constraints<D> constraints_;
};

// Runs a verifier without a proof, to learn how many messages it reads and which of them it multiplies: a
// prover has to commit to pads before it knows any message.
template <int D>
class CountingChannel {
 public:
  static constexpr int degree = D;
  static constexpr bool hiding = true;

  struct Value {
    uint32_t message = kNone;

    friend Value operator+(const Value&, const Value&) { return {}; }
    friend Value operator-(const Value&, const Value&) { return {}; }
    friend Value operator*(const Value&, const Ext<D>&) { return {}; }
    friend Value operator+(const Value&, const Ext<D>&) { return {}; }
    friend Value operator-(const Value&, const Ext<D>&) { return {}; }
  };

  Value receive(std::string_view, const Where&) { return {messages_++}; }
  std::span<const uint8_t> receive_bytes(std::string_view, size_t n, const Where&) {
    zeros_.resize(std::max(zeros_.size(), n));
    return std::span(zeros_).first(n);
  }
  Value product(const Value& a, const Value& b) {
    check(a.message != kNone && b.message != kNone, "only messages are multiplied");
    products_.emplace_back(a.message, b.message);
    return {};
  }
  void require_zero(const Value&, const char*, const Where&, const char*) {}
  void require(bool, const char*, const Where&, const char*) {}
  // Any element will do whose inverse, and that of its difference from one, exists.
  Ext<D> challenge(std::string_view) { return Ext<D>(F(3)); }
  std::vector<Ext<D>> challenges(std::string_view, size_t n) { return std::vector<Ext<D>>(n, Ext<D>(F(3))); }

  size_t messages() const { return messages_; }
  const std::vector<PadProduct>& products() const { return products_; }

 private:
  static constexpr uint32_t kNone = 0xFFFFFFFF;
  uint32_t messages_ = 0;
  std::vector<PadProduct> products_;
  std::vector<uint8_t> zeros_;
};

}  // namespace assay
