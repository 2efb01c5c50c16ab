// What a proof is about, and everything both sides derive from it before the first message.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "circuit/relations.h"
#include "commit/stack.h"
#include "transcript/transcript.h"
#include "zk/shape.h"

namespace assay {

inline constexpr std::string_view kHidingProtocol = "assay proof 3: sumcheck, LogUp-GKR, Ligero; hiding";
inline constexpr std::string_view kPlainProtocol = "assay proof 3: sumcheck, LogUp-GKR, Ligero; not hiding";

// Where a tensor lies in a long-lived commitment.
struct Slot {
  std::string name;
  uint32_t part = 0;
  uint64_t first_block = 0;
  uint32_t rows = 0;
  uint32_t cols = 0;
  CellType type = CellType::kInt16;
};
struct LongLived {
  std::string name;
  Digest root{};
  std::vector<uint32_t> part_rows;
  std::vector<Slot> slots;
  bool partial = false;  // of boundaries: those without a slot are the proof's own, each slot is read
};
// One statement of a batch: some layers between the recorded boundaries of a request, or a forward pass. Where
// nothing was recorded, or not all, segments are joined by tensors of the proof: a boundary tensor then lies in the
// witness of the first segment that names it, and later ones read those same cells.
struct Member {
  std::optional<LongLived> boundaries;
};
struct Segment {
  std::string name;
  std::shared_ptr<const Circuit> circuit;
  uint32_t member = 0;
};

inline constexpr size_t kMaxMembers = 4096;

// A batch of members over the same weights: one transcript, one opening.
struct Statement {
  int degree = 3;
  bool hiding = true;
  CodeParams code;
  double required_bits = 128;
  std::vector<uint8_t> instance;  // whatever else the proof is bound to, in canonical form
  LongLived weights;
  std::vector<Member> members;
  std::vector<Segment> segments;
};

// Blocks of consecutive tensors inside one part.
struct PartLayout {
  std::vector<size_t> first_block;
  size_t blocks = 0;
  uint32_t rows(const CodeParams& code) const {
    return static_cast<uint32_t>(std::max<size_t>(1, ceil_div(blocks, code.row_blocks())));
  }
};

// Throws Malformed where the statement does not fit together.
class Plan {
 public:
  explicit Plan(const Statement& statement);

  const Statement& statement() const { return *statement_; }
  const Stack& stack() const { return *stack_; }
  // All tables of the batch, each once; ids in fingerprints are positions in this list plus one.
  const std::vector<const Table*>& tables() const { return tables_; }
  const std::vector<uint32_t>& table_ids(size_t segment) const { return table_ids_[segment]; }
  size_t table_blocks() const { return multiplicities_.blocks; }
  const PartLayout& multiplicities() const { return multiplicities_; }
  // Layout of a segment's witness tensors (others: 0), and the place of all its tensors in the stack.
  const PartLayout& witness(size_t segment) const { return witness_[segment]; }
  const std::vector<size_t>& first_block(size_t segment) const { return first_block_[segment]; }
  size_t multiplicity_block() const;
  bool has_witness(size_t segment) const { return witness_[segment].blocks != 0; }
  std::string_view protocol() const { return statement_->hiding ? kHidingProtocol : kPlainProtocol; }
  // The place in a long-lived commitment of a segment's weights and recorded boundaries (others: none).
  const Slot* slot(size_t segment, size_t tensor) const { return slots_[segment][tensor]; }
  // The segment in whose witness a tensor lies, and its number there; of a slot, the segment itself.
  struct Owner {
    size_t segment;
    size_t tensor;
  };
  Owner owner(size_t segment, size_t tensor) const { return owners_[segment][tensor]; }
  bool in_witness(size_t segment, size_t tensor) const {
    return slot(segment, tensor) == nullptr && owner(segment, tensor).segment == segment;
  }
  // The commitment of a member's boundaries in the stack; there is one only if they were recorded.
  size_t boundaries(size_t member) const { return boundaries_[member]; }
  // Commitments that the statement names: their roots are known, and come first in the stack.
  std::vector<const LongLived*> long_lived() const;

  // With the tableau and the number of its constraints if the proof is hiding.
  ProofSizes sizes(size_t claims, const TableauShape* tableau = nullptr, size_t constraints = 0) const;
  std::vector<uint8_t> instance() const;
  // u and the symbols of opened columns: no proof is shorter.
  uint64_t least_body_bytes() const;

 private:
  void collect_tables();
  void bind_slots();
  void require_all_read() const;
  void bind_shared(size_t segment, size_t tensor);
  void place_witness();
  void build_stack();
  void place_tensors();
  size_t commitment_of(const Segment& segment, size_t tensor) const;

  const Statement* statement_;
  std::vector<const Table*> tables_;
  std::vector<std::vector<uint32_t>> table_ids_;
  PartLayout multiplicities_;
  std::vector<PartLayout> witness_;
  std::vector<std::vector<const Slot*>> slots_;
  std::vector<std::vector<Owner>> owners_;
  std::vector<std::map<std::string, Owner>> shared_;  // by member: boundary tensors of the proof
  std::vector<size_t> boundaries_;
  std::vector<std::vector<size_t>> first_block_;
  std::vector<size_t> witness_part_;  // by segment; of none, anything
  std::unique_ptr<Stack> stack_;
};

// The table side of the lookup argument: sum over rows of multiplicity / (alpha - fingerprint of the row).
// q at a point of the leaves, known to everybody.
template <int D>
Ext<D> table_denominator(std::span<const Table* const> tables, const Fingerprint<D>& fp,
                         const LeafWeights<D>& leaves);

// The claim on the numerators of the table side: the committed multiplicities at the leaves' point.
template <int D>
Claim<D> multiplicity_claim(const Plan& plan, std::shared_ptr<const LeafWeights<D>> leaves);

}  // namespace assay
