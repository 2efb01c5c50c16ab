// How prover and verifier exchange messages.
//
// A verifier is written once, over a channel whose received values are of type Channel::Value: today plain
// elements of E; a hiding channel can hand out affine forms in one-time pads instead, because verifiers only
// add values, scale them by challenges, multiply them through product() and end in require_zero().
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/reader.h"
#include "field/extension.h"
#include "transcript/transcript.h"

namespace assay {

// Thrown inside the verifier at the first check that fails; the Python package raises it as VerificationError.
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

template <int D>
class ProverChannel {
 public:
  explicit ProverChannel(Transcript& transcript) : transcript_(transcript) {}

  void send(std::string_view label, const Ext<D>& value) { send(label, std::span(&value, 1)); }
  void send(std::string_view label, std::span<const Ext<D>> values) {
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

  Ext<D> challenge(std::string_view label) { return transcript_.challenge<D>(label); }
  std::vector<Ext<D>> challenges(std::string_view label, size_t n) {
    std::vector<Ext<D>> out(n);
    for (auto& x : out) x = challenge(label);
    return out;
  }
  Transcript& transcript() { return transcript_; }
  std::vector<uint8_t> take_bytes() { return std::move(bytes_); }

 private:
  Transcript& transcript_;
  std::vector<uint8_t> bytes_;
};

// Messages in the clear.
template <int D>
class VerifierChannel {
 public:
  static constexpr int degree = D;
  using Value = Ext<D>;

  VerifierChannel(Transcript& transcript, Reader& proof) : transcript_(transcript), proof_(proof) {}

  std::vector<Ext<D>> receive_all(std::string_view label, size_t n, const Where& where) {
    const auto bytes = take(n * sizeof(Ext<D>), where);
    std::vector<Ext<D>> out(n);
    std::memcpy(out.data(), bytes.data(), bytes.size());
    for (const Ext<D>& x : out)
      for (F c : x.c)
        if (c.v >= kModulus) reject("format.field", where, "a field element is not canonical");
    transcript_.absorb_ext<D>(label, out);
    return out;
  }
  Value receive(std::string_view label, const Where& where) { return receive_all(label, 1, where)[0]; }
  std::span<const uint8_t> receive_bytes(std::string_view label, size_t n, const Where& where) {
    const auto bytes = take(n, where);
    transcript_.absorb(label, bytes);
    return bytes;
  }
  // See ProverChannel::append.
  std::span<const uint8_t> take(size_t n, const Where& where) {
    if (n > proof_.remaining()) reject("format.truncated", where, "the proof ends early");
    return proof_.take(n);
  }

  Value product(const Value& a, const Value& b) { return a * b; }
  void require_zero(const Value& v, const char* code, const Where& where, const char* message) {
    if (!v.is_zero()) reject(code, where, message);
  }
  Ext<D> challenge(std::string_view label) { return transcript_.challenge<D>(label); }
  std::vector<Ext<D>> challenges(std::string_view label, size_t n) {
    std::vector<Ext<D>> out(n);
    for (auto& x : out) x = challenge(label);
    return out;
  }
  Transcript& transcript() { return transcript_; }

  [[noreturn]] static void reject(const char* code, const Where& where, const char* message) {
    throw Rejected{code, std::string(where.segment), std::string(where.relation), where.round, message};
  }

 private:
  Transcript& transcript_;
  Reader& proof_;
};

}  // namespace assay
