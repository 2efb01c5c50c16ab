// An input of fuzz_verify is a short list of edits of a proof. Proofs have tens of kilobytes; edits are few
// bytes, name whole messages and field elements, and survive libFuzzer's own mutations.
//
// byte 0   bit 0: degree 2 or 3; bit 1: not hiding or hiding; the other bits: which proof is edited
// then     records of kRecord bytes: operation, argument (1), position (2), another position (2), value (2)
#pragma once

#include <algorithm>

#include "base/bytes.h"
#include "field/goldilocks.h"
#include "probe.h"

namespace assay::fuzz {

inline constexpr size_t kRecord = 8;
inline constexpr size_t kMaxEdits = 12;

enum class Edit : uint8_t {
  kAdd,          // a small number to a word that is a field element
  kSet,          // a word to one of the values that matter
  kAddModulus,   // the same field element, not canonical
  kSwap,         // two words
  kFlip,         // one bit
  kCopy,         // one message over another
  kZero,         // a message
  kNegate,       // a message's field elements
  kRotate,       // the coordinates of a message
  kSplice,       // a run of messages from another proof
  kSpliceTail,   // everything from a message on
  kTruncate,     // at a message
  kCut,          // at any byte
  kExtend,
  kErase,        // a message
  kRepeat,       // a message
  kCount
};

// Proofs of one statement, message for message of the same shape.
struct Proofs {
  std::vector<Bytes> bodies;
  std::vector<Message> messages;
};

class ProofEditor {
 public:
  ProofEditor(const Proofs& proofs, size_t base) : proofs_(proofs), body_(proofs.bodies[base]) {}

  void apply(std::span<const uint8_t> record) {
    const auto edit = static_cast<Edit>(record[0] % static_cast<uint8_t>(Edit::kCount));
    argument_ = record[1];
    at_ = load(record, 2);
    other_ = load(record, 4);
    value_ = load(record, 6);
    if (body_.size() >= sizeof(uint64_t)) apply(edit);
  }
  Bytes take() { return std::move(body_); }

 private:
  static size_t load(std::span<const uint8_t> record, size_t at) { return record[at] | record[at + 1] << 8; }

  void apply(Edit edit) {
    switch (edit) {
      case Edit::kAdd: return add();
      case Edit::kSet: return store_le64(word(at_), special());
      case Edit::kAddModulus: return store_le64(word(at_), load_le64(word(at_)) + kModulus);
      case Edit::kSwap: return swap();
      case Edit::kFlip: *word(at_) ^= static_cast<uint8_t>(1 << (argument_ % 8)); return;
      case Edit::kCopy: return copy();
      case Edit::kZero: return for_words([](uint64_t) { return uint64_t{0}; });
      case Edit::kNegate: return for_words([](uint64_t v) { return v < kModulus ? (-F(v)).v : v; });
      case Edit::kRotate: return rotate();
      case Edit::kSplice: return splice(1 + value_ % 16);
      case Edit::kSpliceTail: return splice(proofs_.messages.size());
      case Edit::kTruncate: body_.resize(std::min(message(at_).at, body_.size())); return;
      case Edit::kCut: body_.resize(body_.size() - 1 - value_ % body_.size()); return;
      case Edit::kExtend: body_.resize(body_.size() + 1 + argument_, static_cast<uint8_t>(value_)); return;
      case Edit::kErase: return erase();
      case Edit::kRepeat: return repeat();
      case Edit::kCount: return;
    }
  }

  // A word of a message, so that long messages are not changed more often than short ones; the body's first
  // word where the message is gone.
  uint8_t* word(size_t at) {
    const auto bytes = bytes_of(message(at));
    const size_t words = bytes.size() / sizeof(uint64_t);
    return words == 0 ? body_.data() : &bytes[value_ % words * sizeof(uint64_t)];
  }
  const Message& message(size_t at) const { return proofs_.messages[at % proofs_.messages.size()]; }
  // A message's bytes, as far as the body still has them.
  std::span<uint8_t> bytes_of(const Message& m) {
    const size_t at = std::min(m.at, body_.size());
    return {body_.data() + at, std::min(m.size, body_.size() - at)};
  }

  void add() {
    const uint64_t v = load_le64(word(at_));
    if (v >= kModulus) return;
    store_le64(word(at_), (F(v) + F::from_i64(static_cast<int8_t>(argument_))).v);
  }
  uint64_t special() const {
    constexpr uint64_t kSpecial[] = {0,
                                     1,
                                     kModulus - 1,
                                     kModulus,
                                     kModulus + 1,
                                     ~uint64_t{0},
                                     uint64_t{1} << 32,
                                     uint64_t{1} << 63,
                                     (kModulus + 1) / 2};
    return argument_ % 10 == 9 ? other_ : kSpecial[argument_ % 10];
  }
  void swap() {
    const uint64_t a = load_le64(word(at_)), b = load_le64(word(other_));
    store_le64(word(at_), b);
    store_le64(word(other_), a);
  }
  void copy() {
    const auto from = bytes_of(message(other_)), to = bytes_of(message(at_));
    std::memmove(to.data(), from.data(), std::min(from.size(), to.size()));
  }
  template <class Change>
  void for_words(Change change) {
    const auto bytes = bytes_of(message(at_));
    for (size_t k = 0; k + sizeof(uint64_t) <= bytes.size(); k += sizeof(uint64_t))
      store_le64(&bytes[k], change(load_le64(&bytes[k])));
  }
  void rotate() {
    const auto bytes = bytes_of(message(at_));
    if (bytes.size() > sizeof(uint64_t))
      std::rotate(bytes.begin(), bytes.begin() + sizeof(uint64_t), bytes.end());
  }
  void splice(size_t count) {
    const Bytes& from = proofs_.bodies[argument_ % proofs_.bodies.size()];
    const size_t first = at_ % proofs_.messages.size();
    const size_t last = std::min(first + count, proofs_.messages.size()) - 1;
    const Message& end_message = proofs_.messages[last];
    const size_t begin = proofs_.messages[first].at;
    const size_t end = std::min({end_message.at + end_message.size, from.size(), body_.size()});
    if (begin < end) std::memcpy(&body_[begin], &from[begin], end - begin);
  }
  void erase() {
    const auto bytes = bytes_of(message(at_));
    const auto at = body_.begin() + (bytes.data() - body_.data());
    body_.erase(at, at + static_cast<std::ptrdiff_t>(bytes.size()));
  }
  void repeat() {
    const auto bytes = bytes_of(message(at_));
    const Bytes again(bytes.begin(), bytes.end());
    body_.insert(body_.begin() + (bytes.data() - body_.data()), again.begin(), again.end());
  }

  const Proofs& proofs_;
  Bytes body_;
  uint8_t argument_ = 0;
  size_t at_ = 0, other_ = 0, value_ = 0;
};

// Adds, drops or changes whole records.
class EditsMutator {
 public:
  EditsMutator(std::span<const uint8_t> data, Choice& choice)
      : bytes_(data.begin(), data.end()), choice_(choice) {
    if (bytes_.empty()) bytes_.push_back(static_cast<uint8_t>(choice_.next()));
    bytes_.resize(1 + records() * kRecord);
  }

  Bytes mutate() {
    switch (choice_.below(6)) {
      case 0: bytes_[0] = static_cast<uint8_t>(choice_.next()); break;
      case 1: drop(); break;
      case 2: change(); break;
      default: append(); break;
    }
    return std::move(bytes_);
  }

 private:
  size_t records() const { return (bytes_.size() - 1) / kRecord; }
  void append() {
    if (records() >= kMaxEdits) drop();
    for (size_t k = 0; k < kRecord; ++k) bytes_.push_back(static_cast<uint8_t>(choice_.next()));
  }
  void drop() {
    if (records() == 0) return;
    const auto at = bytes_.begin() + static_cast<std::ptrdiff_t>(1 + choice_.below(records()) * kRecord);
    bytes_.erase(at, at + kRecord);
  }
  void change() {
    if (records() == 0) return append();
    bytes_[1 + choice_.below(bytes_.size() - 1)] = static_cast<uint8_t>(choice_.next());
  }

  Bytes bytes_;
  Choice& choice_;
};

}  // namespace assay::fuzz
