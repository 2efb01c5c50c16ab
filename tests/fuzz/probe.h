// The shipped verifier, ProofVerifier, through a channel of the harness's own:
//
//   tolerant  a check that fails is counted and the verifier goes on, so that the code behind it is reached
//   repaired  opened columns count as those under the roots, so that columns with changed symbols reach the
//             checks behind the Merkle trees: of the commitments, of the mask and of the tableau
//
// The harness hashes the opened columns to roots by code of its own, and every Merkle check of the verifier's
// must come to the same verdict.
#pragma once

#include "fuzzing.h"
#include "system/proof_verifier.h"

namespace assay::fuzz {

struct Message {
  size_t at = 0;
  size_t size = 0;
};

// What a run through the probe saw.
struct Probe {
  bool tolerant = false;
  bool repaired = false;

  size_t failures = 0;  // checks that failed, Merkle checks left out
  size_t merkle_failures = 0;
  bool complete = false;  // the verifier read all bytes and came to its end
  std::vector<Message> messages;
  size_t columns_at = 0;  // where the opened columns begin
  Bytes cells;            // all symbols of these

  bool accepted() const { return complete && failures == 0 && (repaired || merkle_failures == 0); }
};

// The bytes of opened columns, hashed to roots: what a verifier does, written once more.
class ColumnsReader {
 public:
  // A part's column: its symbols and a salt, or its digest alone.
  struct Part {
    bool opened;
    size_t symbols;  // bytes
  };
  struct Layout {
    std::vector<Part> parts;
    uint8_t tag;      // of a column's digest
    bool of_digests;  // whether a leaf is the digest of the parts' digests
    size_t length;    // leaves
  };

  ColumnsReader() = default;
  explicit ColumnsReader(Reader at) : rest_(at) {}

  size_t position() const { return rest_.position(); }
  // The root of what comes next; its symbols are added to `cells`.
  Digest root(const Layout& layout, std::span<const uint32_t> indices, Bytes& cells) {
    std::vector<Node> level;
    for (uint32_t index : indices) level.push_back({index, leaf(layout, cells)});
    for (size_t width = layout.length; width > 1; width = width / 2 + width % 2)
      level = parents(level, width);
    return level.at(0).digest;
  }

 private:
  struct Node {
    size_t at;
    Digest digest;
  };
  static Digest tagged(std::span<const uint8_t> bytes, uint8_t tag) {
    Sha256 hash;
    hash.update(bytes);
    hash.update(std::span(&tag, 1));
    return hash.finish();
  }
  static void append(Bytes& to, std::span<const uint8_t> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
  }
  Digest digest() {
    Digest d;
    std::memcpy(d.data(), rest_.take(d.size()).data(), d.size());
    return d;
  }
  Digest part_digest(const Part& part, uint8_t tag, Bytes& cells) {
    if (!part.opened) return digest();
    const auto column = rest_.take(part.symbols + 16);
    append(cells, column.first(part.symbols));
    return tagged(column, tag);
  }
  Digest leaf(const Layout& layout, Bytes& cells) {
    if (!layout.of_digests) return part_digest(layout.parts[0], layout.tag, cells);
    Bytes digests;
    for (const Part& part : layout.parts) append(digests, part_digest(part, layout.tag, cells));
    return tagged(digests, 1);
  }
  // Nodes in ascending order, as are their parents.
  std::vector<Node> parents(const std::vector<Node>& level, size_t width) {
    std::vector<Node> out;
    for (size_t k = 0; k < level.size(); ++k) {
      const auto& [at, known] = level[k];
      if (at % 2 == 0 && at + 1 >= width) {
        out.push_back({at / 2, known});
      } else if (at % 2 == 1) {
        out.push_back({at / 2, pair(digest(), known)});
      } else {
        const bool both = k + 1 < level.size() && level[k + 1].at == at + 1;
        out.push_back({at / 2, pair(known, both ? level[k + 1].digest : digest())});
        if (both) ++k;
      }
    }
    return out;
  }
  static Digest pair(const Digest& left, const Digest& right) {
    Bytes both;
    append(both, left);
    append(both, right);
    return tagged(both, 3);
  }

  Reader rest_{{}};
};

// Base: VerifierChannel<D> or HidingChannel<D>.
template <class Base>
class ProbeChannel : public Base {
 public:
  static constexpr int D = Base::degree;
  using Value = typename Base::Value;

  ProbeChannel(const Plan& plan, Transcript& transcript, Reader& proof, Probe& probe)
      : Base(transcript, proof), plan_(plan), proof_(proof), probe_(probe) {
    for (const LongLived* c : plan.long_lived()) roots_.push_back(c->root);
  }

  Value receive(std::string_view label, const Where& where) {
    note(sizeof(Ext<D>));
    return Base::receive(label, where);
  }
  std::vector<Ext<D>> receive_public(std::string_view label, size_t n, const Where& where) {
    note(n * sizeof(Ext<D>));
    return Base::receive_public(label, n, where);
  }
  std::span<const uint8_t> receive_bytes(std::string_view label, size_t n, const Where& where) {
    note(n);
    const auto bytes = Base::receive_bytes(label, n, where);
    if (label == "root") std::copy(bytes.begin(), bytes.end(), roots_.emplace_back().begin());
    return bytes;
  }
  std::span<const uint8_t> take(size_t n, const Where& where) {
    note(n);
    return Base::take(n, where);
  }
  std::vector<Ext<D>> take_elements(size_t n, const Where& where) {
    note(n * sizeof(Ext<D>));
    return Base::take_elements(n, where);
  }

  // The last message has been read: columns begin here.
  std::vector<uint32_t> challenge_indices(std::string_view label, size_t count, uint64_t n) {
    probe_.columns_at = proof_.position();
    columns_ = ColumnsReader(proof_);
    auto& indices = label == "tableau.columns" ? tableau_indices_ : indices_;
    indices = Base::challenge_indices(label, count, n);
    return indices;
  }

  void require(bool holds, const char* code, const Where& where, const char* message) {
    const std::string_view name(code);
    if (name.ends_with(".merkle")) return require_root(holds, code, where, message);
    if (holds) return;
    ++probe_.failures;
    if (!probe_.tolerant || name.starts_with("format.")) Base::require(false, code, where, message);
  }
  void require_zero(const Value& v, const char* code, const Where& where, const char* message) {
    if constexpr (Base::hiding)
      Base::require_zero(v, code, where, message);
    else
      require(v.is_zero(), code, where, message);
  }

 private:
  void note(size_t size) { probe_.messages.push_back({proof_.position(), size}); }

  void require_root(bool holds, const char* code, const Where& where, const char* message) {
    const bool ours = next_root() == roots_[checked_];
    ++checked_;
    fuzz::require(ours == holds, "a Merkle check of the verifier's is not the harness's");
    fuzz::require(columns_.position() == proof_.position(), "the verifier reads other columns");
    if (holds) return;
    ++probe_.merkle_failures;
    if (!probe_.tolerant && !probe_.repaired) Base::require(false, code, where, message);
  }
  Digest next_root() {
    const Stack& stack = plan_.stack();
    const size_t mask = stack.commitments().size();
    if (checked_ < mask) {
      ColumnsReader::Layout layout{{}, 2, true, stack.code().length()};
      const CommitmentShape& shape = stack.commitments()[checked_];
      for (size_t p = 0; p < shape.part_rows.size(); ++p)
        layout.parts.push_back({shape.opened[p], shape.part_rows[p] * sizeof(F)});
      return columns_.root(layout, indices_, probe_.cells);
    }
    if (checked_ == mask)
      return columns_.root({{{true, sizeof(Ext<D>)}}, 4, false, stack.code().length()}, indices_,
                           probe_.cells);
    return tableau_root();
  }
  Digest tableau_root() {
    if constexpr (Base::hiding) {
      const auto& constraints = this->constraints();
      const TableauShape shape =
          tableau_shape(plan_.statement().required_bits, constraints.pads(), constraints.products().size());
      const size_t width = shape.rows() + 3;
      return columns_.root({{{true, width * sizeof(Ext<D>)}}, 5, false, shape.length()}, tableau_indices_,
                           probe_.cells);
    } else {
      finding("a tableau in a proof that does not hide");
    }
  }

  const Plan& plan_;
  Reader& proof_;
  Probe& probe_;
  std::vector<Digest> roots_;
  std::vector<uint32_t> indices_, tableau_indices_;
  ColumnsReader columns_;
  size_t checked_ = 0;  // roots
};

template <class Base>
void run_probe(const Plan& plan, std::span<const uint8_t> body, Probe& probe) {
  Transcript transcript(plan.protocol(), "", plan.instance());
  Reader reader(body);
  ProbeChannel<Base> channel(plan, transcript, reader, probe);
  try {
    (void)ProofVerifier<ProbeChannel<Base>>(plan, channel).verify();
    probe.complete = reader.remaining() == 0;
  } catch (const Rejected&) {
  }
}

inline Probe probe(const Plan& plan, std::span<const uint8_t> body, bool tolerant, bool repaired) {
  Probe out;
  out.tolerant = tolerant;
  out.repaired = repaired;
  const bool two = plan.statement().degree == 2;
  if (plan.statement().hiding)
    (two ? run_probe<HidingChannel<2>> : run_probe<HidingChannel<3>>)(plan, body, out);
  else
    (two ? run_probe<VerifierChannel<2>> : run_probe<VerifierChannel<3>>)(plan, body, out);
  return out;
}

}  // namespace assay::fuzz
