// The verifier's checks run through a channel of the harness's own. The checks are the shipped templates;
// only the channel differs:
//
//   tolerant  a check that fails is counted and the verifier goes on, so that the code behind it is reached
//   repaired  the roots of the commitments are computed from the opened columns, so that the Merkle check
//             passes for columns with changed cells, and what comes behind it decides
#pragma once

#include <functional>
#include <map>

#include "circuit/verifier.h"
#include "commit/verifier.h"
#include "fuzzing.h"
#include "system/statement.h"

namespace assay::fuzz {

struct Message {
  size_t at = 0;
  size_t size = 0;
};

// What a run through the probe saw.
struct Probe {
  bool tolerant = false;
  bool repaired = false;

  size_t failures = 0;         // checks that failed, Merkle checks left out
  size_t merkle_failures = 0;
  bool complete = false;       // the verifier read all bytes and came to its end
  std::vector<Message> messages;

  bool repair_complete = false;  // and with it
  size_t columns_at = 0;         // where the opened columns begin
  Bytes cells;                   // of all opened columns

  bool accepted() const { return complete && failures == 0 && merkle_failures == 0; }
};

template <int D>
class ProbeChannel : public VerifierChannel<D> {
 public:
  using Base = VerifierChannel<D>;
  using Value = typename Base::Value;
  using OnIndices = std::function<void(std::span<const uint32_t>, Reader)>;

  ProbeChannel(Transcript& transcript, Reader& proof, Probe& probe)
      : Base(transcript, proof), proof_(proof), probe_(probe) {}

  void on_indices(OnIndices call) { on_indices_ = std::move(call); }

  std::vector<Ext<D>> receive_all(std::string_view label, size_t n, const Where& where) {
    note(n * sizeof(Ext<D>));
    return Base::receive_all(label, n, where);
  }
  Value receive(std::string_view label, const Where& where) { return receive_all(label, 1, where)[0]; }
  std::span<const uint8_t> receive_bytes(std::string_view label, size_t n, const Where& where) {
    note(n);
    return Base::receive_bytes(label, n, where);
  }
  std::span<const uint8_t> take(size_t n, const Where& where) {
    note(n);
    return Base::take(n, where);
  }
  void require_zero(const Value& v, const char* code, const Where& where, const char* message) {
    if (v.is_zero()) return;
    ++probe_.failures;
    if (!probe_.tolerant) Base::reject(code, where, message);
  }
  void reject(const char* code, const Where& where, const char* message) {
    const bool merkle = std::string_view(code) == "opening.merkle";
    if (merkle) ++probe_.merkle_failures;
    if (!merkle || !probe_.tolerant) Base::reject(code, where, message);
  }

  // The columns to open become known here, before any of them is read.
  struct Tap {
    ProbeChannel& channel;
    std::vector<uint32_t> challenge_indices(std::string_view label, size_t count, uint64_t n) {
      auto indices = channel.Base::transcript().challenge_indices(label, count, n);
      if (channel.on_indices_) channel.on_indices_(indices, channel.proof_);
      return indices;
    }
  };
  Tap transcript() { return {*this}; }

 private:
  void note(size_t size) { probe_.messages.push_back({proof_.position(), size}); }

  Reader& proof_;
  Probe& probe_;
  OnIndices on_indices_;
};

// Hashes the opened columns to roots: what a verifier does, written once more.
class ColumnsReader {
 public:
  ColumnsReader(const Stack& stack, std::span<const uint32_t> indices, Reader rest)
      : stack_(stack), indices_(indices), rest_(rest) {}

  // The root of the next commitment; adds the cells to `cells`.
  Digest root(size_t commitment, Bytes& cells) {
    const CommitmentShape& shape = stack_.commitments()[commitment];
    std::map<size_t, Digest> level;
    for (uint32_t index : indices_) level[index] = leaf(shape, cells);
    for (size_t width = stack_.code().length(); width > 1; width = width / 2 + width % 2)
      level = parents(level, width);
    return level.at(0);
  }

 private:
  static Digest tagged(std::span<const uint8_t> bytes, uint8_t tag) {
    Sha256 hash;
    hash.update(bytes);
    hash.update(std::span(&tag, 1));
    return hash.finish();
  }
  static void append(Bytes& to, std::span<const uint8_t> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
  }
  Digest sibling() {
    Digest d;
    std::memcpy(d.data(), rest_.take(d.size()).data(), d.size());
    return d;
  }
  Digest leaf(const CommitmentShape& shape, Bytes& cells) {
    Bytes digests;
    for (size_t p = 0; p < shape.part_rows.size(); ++p) {
      if (!shape.opened[p]) {
        append(digests, rest_.take(sizeof(Digest)));
        continue;
      }
      const auto column = rest_.take(shape.part_rows[p] * sizeof(F) + kSaltSize);
      append(cells, column.first(column.size() - kSaltSize));
      append(digests, tagged(column, 2));
    }
    return tagged(digests, 1);
  }
  std::map<size_t, Digest> parents(const std::map<size_t, Digest>& level, size_t width) {
    std::map<size_t, Digest> out;
    for (const auto& [node, digest] : level) {
      const size_t other = node ^ 1;
      if (out.contains(node / 2)) continue;
      if (other >= width) {
        out[node / 2] = digest;
        continue;
      }
      const auto known = level.find(other);
      const Digest neighbour = known != level.end() ? known->second : sibling();
      Bytes both;
      append(both, node < other ? digest : neighbour);
      append(both, node < other ? neighbour : digest);
      out[node / 2] = tagged(both, 3);
    }
    return out;
  }

  const Stack& stack_;
  std::span<const uint32_t> indices_;
  Reader rest_;
};

// The order of verify_body's checks, over a ProbeChannel.
template <int D>
class ProbeVerifier {
 public:
  ProbeVerifier(const Plan& plan, std::span<const uint8_t> body, Probe& probe)
      : plan_(plan), probe_(probe), transcript_(kProtocol, "", plan.instance()), reader_(body),
        channel_(transcript_, reader_, probe) {
    if (!probe.repaired) return;
    channel_.on_indices([this](std::span<const uint32_t> indices, Reader rest) { repair(indices, rest); });
  }

  void run() {
    try {
      verify();
      probe_.complete = reader_.remaining() == 0;
    } catch (const Rejected&) {
    }
  }

 private:
  using Channel = ProbeChannel<D>;

  void verify() {
    receive_roots();
    const Ext<D> alpha = channel_.challenge("lookup.alpha");
    const Ext<D> beta = channel_.challenge("lookup.beta");
    const Fingerprint<D> fp(alpha, beta);
    Ext<D> sum;
    for (size_t s = 0; s < plan_.statement().segments.size(); ++s) {
      const Segment& segment = plan_.statement().segments[s];
      SegmentVerifier<Channel> verifier(channel_, segment.name, *segment.circuit, plan_.first_block(s),
                                        claims_);
      sum += verifier.verify(plan_.table_ids(s), fp);
    }
    channel_.require_zero(sum - verify_tables(fp), "lookup.sum", Where{}, "");
    OpeningVerifier<Channel>(channel_, plan_.stack(), roots_).verify(claims_);
  }

  void receive_roots() {
    roots_ = {plan_.statement().weights.root, plan_.statement().boundaries.root};
    while (roots_.size() < plan_.stack().commitments().size()) {
      const auto bytes = channel_.receive_bytes("root", sizeof(Digest), Where{});
      std::copy(bytes.begin(), bytes.end(), roots_.emplace_back().begin());
    }
  }

  Ext<D> verify_tables(const Fingerprint<D>& fp) {
    const auto tree = verify_fraction_tree<Channel>(channel_, Where{}, log_leaves(plan_.table_blocks()));
    const auto leaves = leaf_weights<D>(tree.point);
    channel_.require_zero(tree.q - table_denominator<D>(plan_.tables(), fp, *leaves), "lookup.table", Where{},
                          "");
    claims_.add(multiplicity_claim<D>(plan_, leaves), tree.p);
    return tree.fraction;
  }

  // Into the same memory: the opening's verifier looks at it.
  void repair(std::span<const uint32_t> indices, Reader rest) {
    probe_.columns_at = rest.position();
    ColumnsReader columns(plan_.stack(), indices, rest);
    std::vector<Digest> roots;
    try {
      for (size_t c = 0; c < roots_.size(); ++c) roots.push_back(columns.root(c, probe_.cells));
    } catch (const Truncated&) {
      return;
    }
    probe_.repair_complete = true;
    std::copy(roots.begin(), roots.end(), roots_.begin());
  }

  const Plan& plan_;
  Probe& probe_;
  Transcript transcript_;
  Reader reader_;
  Channel channel_;
  std::vector<Digest> roots_;
  ClaimList<D, Ext<D>> claims_;
};

inline Probe probe(const Plan& plan, std::span<const uint8_t> body, bool tolerant, bool repaired) {
  Probe out;
  out.tolerant = tolerant;
  out.repaired = repaired;
  if (plan.statement().degree == 2) ProbeVerifier<2>(plan, body, out).run();
  else ProbeVerifier<3>(plan, body, out).run();
  require(!(repaired && out.repair_complete && out.merkle_failures != 0),
          "the verifier computes other roots than the harness");
  return out;
}

}  // namespace assay::fuzz
