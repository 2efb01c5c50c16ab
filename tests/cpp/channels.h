// A verifier's channel that shows what passes through it and can be told to be lax.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "zk/channel.h"

namespace assay::test {

// What a channel handed out, and where in the proof it stood then.
struct Seen {
  size_t at = 0;
  std::string label;
  std::vector<uint64_t> words;  // of a challenge
};

// Base: VerifierChannel<D>, HidingChannel<D> or MaskedChannel<D>.
template <class Base>
class Observer : public Base {
 public:
  static constexpr int D = Base::degree;
  using Value = typename Base::Value;

  Observer(Transcript& transcript, Reader& proof) : Base(transcript, proof), proof_(proof) {}

  bool tolerant = false;                // goes on whatever fails
  std::string ignored;                  // goes on where this fails
  std::map<std::string, Ext<D>> fixed;  // challenges that are not drawn
  std::map<std::string, Ext<D>> zeros;  // what had to be zero, by code; not of HidingChannel
  std::vector<Seen> messages, challenges_seen;

  Value receive(std::string_view label, const Where& where) {
    note(label);
    return Base::receive(label, where);
  }
  std::vector<Ext<D>> receive_public(std::string_view label, size_t n, const Where& where) {
    note(label);
    return Base::receive_public(label, n, where);
  }
  std::span<const uint8_t> receive_bytes(std::string_view label, size_t n, const Where& where) {
    note(label);
    return Base::receive_bytes(label, n, where);
  }
  Ext<D> challenge(std::string_view label) {
    const auto given = fixed.find(std::string(label));
    const Ext<D> drawn = Base::challenge(label);
    const Ext<D> x = given == fixed.end() ? drawn : given->second;
    Seen& seen = challenges_seen.emplace_back(Seen{proof_.position(), std::string(label), {}});
    for (F c : x.c) seen.words.push_back(c.v);
    return x;
  }
  std::vector<Ext<D>> challenges(std::string_view label, size_t n) {
    std::vector<Ext<D>> out(n);
    for (auto& x : out) x = challenge(label);
    return out;
  }
  std::vector<uint32_t> challenge_indices(std::string_view label, size_t count, uint64_t n) {
    const auto indices = Base::challenge_indices(label, count, n);
    challenges_seen.push_back({proof_.position(), std::string(label), {indices.begin(), indices.end()}});
    return indices;
  }

  void require(bool holds, const char* code, const Where& where, const char* message,
               CheckSite site = CheckSite::current()) {
    if (!tolerant && code != ignored) Base::require(holds, code, where, message, site);
  }
  void require_zero(const Value& v, const char* code, const Where& where, const char* message,
                    CheckSite site = CheckSite::current()) {
    if constexpr (std::is_same_v<Value, Ext<D>>) {
      zeros[code] = v;
      require(v.is_zero(), code, where, message, site);
    } else {
      Base::require_zero(v, code, where, message, site);
    }
  }

 private:
  void note(std::string_view label) { messages.push_back({proof_.position(), std::string(label), {}}); }

  Reader& proof_;
};

// The opening of a hiding proof with messages in the clear, so that its checks are named.
template <int D>
class MaskedChannel : public VerifierChannel<D> {
 public:
  static constexpr bool hiding = true;
  using VerifierChannel<D>::VerifierChannel;
};

}  // namespace assay::test
