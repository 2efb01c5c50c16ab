// How prover and verifier exchange messages.
//
// A verifier is written once, over a channel whose received values are of type Channel::Value: plain elements
// of E here, affine forms in one-time pads in a hiding proof (zk/channel.h). Verifiers only add values, scale
// them by what is known, multiply two messages through product() and end in require_zero(). What is sent in
// the clear is received as elements of E by both.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/reader.h"
#include "base/result.h"
#include "field/extension.h"
#include "transcript/mutation.h"
#include "transcript/transcript.h"

namespace assay {

// Thrown inside the verifier at the first check that fails; the Python package raises it as
// VerificationError.
struct Rejected {
  std::string code;  // "sumcheck", "opening.column", "format", ...
  std::string segment;
  std::string relation;
  int round = -1;
  std::string message;
};

// Where in the protocol a message is read or a check made; names appear in errors.
struct Where {
  std::string_view segment;
  std::string_view relation;
  int round = -1;
};

// Every check of a verifier is one of these, or a require_zero() of a channel.
inline void require(bool holds, const char* code, const Where& where, const char* message,
                    CheckSite site = CheckSite::current()) {
  if (left_out(code, site) || holds) return;
  throw Rejected{code, std::string(where.segment), std::string(where.relation), where.round, message};
}

template <int D>
class ProverChannel {
 public:
  explicit ProverChannel(Transcript& transcript) : transcript_(transcript) {}

  // From now on messages are sent padded, by these in order. They outlive the channel.
  void use_pads(std::span<const Ext<D>> pads) {
    pads_ = pads;
    hiding_ = true;
  }

  void send(std::string_view label, Ext<D> value) {
    if (hiding_) {
      check(sent_ < pads_.size(), "a message without a pad");
      value += pads_[sent_];
    }
    ++sent_;
    send_public(label, std::span(&value, 1));
  }
  void send_public(std::string_view label, std::span<const Ext<D>> values) {
    transcript_.absorb_ext<D>(label, values);
    const size_t at = bytes_.size();
    bytes_.resize(at + values.size() * sizeof(Ext<D>));
    std::memcpy(bytes_.data() + at, values.data(), values.size() * sizeof(Ext<D>));
  }
  void send_bytes(std::string_view label, std::span<const uint8_t> bytes) {
    transcript_.absorb(label, bytes);
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  // Not absorbed: bytes that only answer already fixed challenges (the opened columns, at the very end).
  void append(std::span<const uint8_t> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

  // Messages of an earlier run of this proof, which the transcript has absorbed already.
  void resume(std::span<const uint8_t> bytes, size_t messages) {
    append(bytes);
    sent_ += messages;
  }
  // Of the next message on; none where nothing is padded.
  std::span<const Ext<D>> pads() const { return pads_.subspan(hiding_ ? sent_ : 0); }

  Ext<D> challenge(std::string_view label) { return transcript_.challenge<D>(label); }
  std::vector<Ext<D>> challenges(std::string_view label, size_t n) {
    std::vector<Ext<D>> out(n);
    for (auto& x : out) x = challenge(label);
    return out;
  }
  Transcript& transcript() { return transcript_; }
  std::span<const uint8_t> bytes() const { return bytes_; }
  std::vector<uint8_t> take_bytes() { return std::move(bytes_); }

 private:
  Transcript& transcript_;
  std::vector<uint8_t> bytes_;
  std::span<const Ext<D>> pads_;
  bool hiding_ = false;
  size_t sent_ = 0;
};

// What verifiers read and draw, whatever their values are.
template <int D>
class MessageReader {
 public:
  static constexpr int degree = D;

  MessageReader(Transcript& transcript, Reader& proof) : transcript_(transcript), proof_(proof) {}

  void require(bool holds, const char* code, const Where& where, const char* message,
               CheckSite site = CheckSite::current()) const {
    assay::require(holds, code, where, message, site);
  }
  std::vector<Ext<D>> receive_public(std::string_view label, size_t n, const Where& where) {
    auto out = take_elements(n, where);
    transcript_.absorb_ext<D>(label, out);
    return out;
  }
  std::span<const uint8_t> receive_bytes(std::string_view label, size_t n, const Where& where) {
    const auto bytes = take(n, where);
    transcript_.absorb(label, bytes);
    return bytes;
  }
  // See ProverChannel::append.
  std::span<const uint8_t> take(size_t n, const Where& where) {
    require(n <= proof_.remaining(), "format.truncated", where, "the proof ends early");
    return proof_.take(n);
  }
  std::vector<Ext<D>> take_elements(size_t n, const Where& where) {
    const auto bytes = take(n * sizeof(Ext<D>), where);
    std::vector<Ext<D>> out(n);
    std::memcpy(out.data(), bytes.data(), bytes.size());
    for (const Ext<D>& x : out)
      for (F c : x.c) require(c.v < kModulus, "format.field", where, "a field element is not canonical");
    return out;
  }

  Ext<D> challenge(std::string_view label) { return transcript_.challenge<D>(label); }
  std::vector<Ext<D>> challenges(std::string_view label, size_t n) {
    std::vector<Ext<D>> out(n);
    for (auto& x : out) x = challenge(label);
    return out;
  }
  std::vector<uint32_t> challenge_indices(std::string_view label, size_t count, uint64_t n) {
    return transcript_.challenge_indices(label, count, n);
  }

 private:
  Transcript& transcript_;
  Reader& proof_;
};

// Messages in the clear.
template <int D>
class VerifierChannel : public MessageReader<D> {
 public:
  static constexpr bool hiding = false;
  using Value = Ext<D>;
  using MessageReader<D>::MessageReader;

  Value receive(std::string_view label, const Where& where) {
    return this->receive_public(label, 1, where)[0];
  }
  Value product(const Value& a, const Value& b) { return a * b; }
  void require_zero(const Value& v, const char* code, const Where& where, const char* message,
                    CheckSite site = CheckSite::current()) {
    this->require(v.is_zero(), code, where, message, site);
  }
};

}  // namespace assay
