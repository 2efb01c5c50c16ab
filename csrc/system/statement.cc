#include "system/statement.h"

#include <algorithm>
#include <set>

namespace assay {
namespace {

// Lookups are counted in F and multiplicities committed as int32: both hold far more than this.
constexpr size_t kMaxLookups = (size_t{1} << 31) - 1;
constexpr double kMaxBits = 1024;
constexpr size_t kMaxTableBlocks = size_t{1} << 16;
constexpr uint64_t kMaxStackBlocks = uint64_t{1} << 31;  // numbers of blocks and rows have 32 bits

// The slot of that name; of a partial commitment none, if there is none.
const Slot* find_slot(const LongLived& commitment, const Tensor& tensor) {
  for (const Slot& s : commitment.slots)
    if (s.name == tensor.name) {
      if (s.rows != tensor.shape.rows || s.cols != tensor.shape.cols || s.type != tensor.type ||
          tensor.shape.ragged.causal)
        throw Malformed{"the committed tensor " + tensor.name + " has another shape"};
      return &s;
    }
  if (!commitment.partial) throw Malformed{"no committed tensor is called " + tensor.name};
  return nullptr;
}

// Slots lie inside their parts, do not overlap, and no two have one name: a name means one tensor.
void check_commitment(const LongLived& c, const CodeParams& code) {
  std::set<std::string_view> names;
  std::set<std::pair<uint32_t, uint64_t>> starts;
  for (const Slot& s : c.slots) {
    if (!names.insert(s.name).second) throw Malformed{"two slots are called " + s.name};
    starts.emplace(s.part, s.first_block);
  }
  for (const Slot& s : c.slots) {
    const Domain shape{s.rows, s.cols, {}};
    const uint64_t room = s.part < c.part_rows.size() ? c.part_rows[s.part] * code.row_blocks() : 0;
    if (s.rows == 0 || s.cols == 0 || shape.blocks() > room || s.first_block > room - shape.blocks())
      throw Malformed{"the slot " + s.name + " lies outside its part"};
    const auto next = starts.upper_bound({s.part, s.first_block});
    const bool overlaps =
        next != starts.end() && next->first == s.part && next->second < s.first_block + shape.blocks();
    if (overlaps || starts.size() != c.slots.size())
      throw Malformed{"the slot " + s.name + " overlaps another"};
  }
}

// A member without segments says nothing of what it names.
void require_segments(const Statement& statement) {
  if (statement.members.size() > kMaxMembers) throw Malformed{"too many members in one proof"};
  std::vector<bool> used(statement.members.size());
  for (const Segment& s : statement.segments) used[s.member] = true;
  if (std::find(used.begin(), used.end(), false) != used.end()) throw Malformed{"a member without segments"};
}

class Writer {
 public:
  template <class T>
  void number(T x) {
    const auto* p = reinterpret_cast<const uint8_t*>(&x);
    bytes_.insert(bytes_.end(), p, p + sizeof x);
  }
  void string(std::string_view s) { span({reinterpret_cast<const uint8_t*>(s.data()), s.size()}); }
  void span(std::span<const uint8_t> s) {
    number<uint64_t>(s.size());
    bytes_.insert(bytes_.end(), s.begin(), s.end());
  }
  void commitment(const LongLived& c) {
    string(c.name);
    span(c.root);
    number<uint32_t>(static_cast<uint32_t>(c.part_rows.size()));
    for (uint32_t r : c.part_rows) number(r);
    number<uint32_t>(static_cast<uint32_t>(c.slots.size()));
    for (const Slot& s : c.slots) {
      string(s.name);
      number(s.part);
      number(s.first_block);
      number(s.rows);
      number(s.cols);
      number(static_cast<uint8_t>(s.type));
    }
  }
  std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace

Plan::Plan(const Statement& statement) : statement_(&statement) {
  if (statement.degree != 2 && statement.degree != 3) throw Malformed{"the extension's degree is not 2 or 3"};
  const std::string reason = invalid_reason(statement.code);
  if (!reason.empty()) throw Malformed{"code parameters: " + reason};
  if (!(statement.required_bits >= 0 && statement.required_bits <= kMaxBits))  // also where that is no number
    throw Malformed{"no proof gives so many bits"};
  if (statement.segments.empty()) throw Malformed{"a proof needs at least one segment"};
  for (const Segment& s : statement.segments) {
    if (s.circuit == nullptr) throw Malformed{"the segment " + s.name + " has no circuit"};
    if (s.member >= statement.members.size()) throw Malformed{"the segment " + s.name + " has no member"};
  }
  require_segments(statement);
  for (const LongLived* c : long_lived()) check_commitment(*c, statement.code);
  if (statement.weights.partial) throw Malformed{"a part of the weights"};
  collect_tables();
  bind_slots();
  place_witness();
  build_stack();
  place_tensors();
}

void Plan::collect_tables() {
  size_t lookups = 0;
  for (const Segment& s : statement_->segments) {
    auto& ids = table_ids_.emplace_back();
    lookups += s.circuit->lookup_count();
    for (const Table& t : s.circuit->tables) {
      auto at = std::find_if(tables_.begin(), tables_.end(), [&](const Table* x) { return *x == t; });
      if (at == tables_.end()) {
        multiplicities_.first_block.push_back(multiplicities_.blocks);
        multiplicities_.blocks += ceil_div(t.rows, kBlock);
        if (multiplicities_.blocks > kMaxTableBlocks) throw Malformed{"too many table rows in one proof"};
        tables_.push_back(&t);
        at = tables_.end() - 1;
      }
      ids.push_back(static_cast<uint32_t>(at - tables_.begin()) + 1);
    }
  }
  if (lookups > kMaxLookups) throw Malformed{"too many lookups in one proof"};
}

void Plan::bind_slots() {
  shared_.resize(statement_->members.size());
  for (size_t s = 0; s < statement_->segments.size(); ++s) {
    const Segment& segment = statement_->segments[s];
    const auto& recorded = statement_->members[segment.member].boundaries;
    auto& slots = slots_.emplace_back();
    auto& owners = owners_.emplace_back();
    for (const Tensor& t : segment.circuit->tensors) {
      owners.push_back({s, slots.size()});
      slots.push_back(nullptr);
      if (t.source == Source::kWeight)
        slots.back() = find_slot(statement_->weights, t);
      else if (t.source == Source::kBoundary && recorded)
        slots.back() = find_slot(*recorded, t);
      if (t.source == Source::kBoundary && slots.back() == nullptr) bind_shared(s, slots.size() - 1);
    }
  }
  require_all_read();
}

// A partial commitment names what a statement reads of it: nothing there is passed over under another name.
void Plan::require_all_read() const {
  std::set<const Slot*> read;
  for (const auto& slots : slots_) read.insert(slots.begin(), slots.end());
  for (const Member& m : statement_->members) {
    if (!m.boundaries || !m.boundaries->partial) continue;
    if (m.boundaries->slots.empty()) throw Malformed{"a commitment of no boundaries"};
    for (const Slot& slot : m.boundaries->slots)
      if (!read.contains(&slot)) throw Malformed{"no segment reads the slot " + slot.name};
  }
}

// The first segment that names a boundary tensor has it.
void Plan::bind_shared(size_t s, size_t tensor) {
  const Tensor& t = statement_->segments[s].circuit->tensors[tensor];
  if (t.shape.ragged.causal) throw Malformed{"the shared tensor " + t.name + " has missing cells"};
  const auto [at, first] = shared_[statement_->segments[s].member].try_emplace(t.name, Owner{s, tensor});
  const Owner owner = at->second;
  const Tensor& found = statement_->segments[owner.segment].circuit->tensors[owner.tensor];
  if (!first && (owner.segment == s || found.type != t.type || found.shape.rows != t.shape.rows ||
                 found.shape.cols != t.shape.cols))
    throw Malformed{"the shared tensor " + t.name + " has another shape in another segment"};
  owners_[s][tensor] = owner;
}

void Plan::place_witness() {
  for (size_t s = 0; s < statement_->segments.size(); ++s) {
    PartLayout& layout = witness_.emplace_back();
    const auto& tensors = statement_->segments[s].circuit->tensors;
    for (size_t t = 0; t < tensors.size(); ++t) {
      layout.first_block.push_back(layout.blocks);
      if (in_witness(s, t)) layout.blocks += tensors[t].shape.blocks();
      if (layout.blocks > kMaxStackBlocks) throw Malformed{"too many cells in one proof"};
    }
  }
}

std::vector<const LongLived*> Plan::long_lived() const {
  std::vector<const LongLived*> out{&statement_->weights};
  for (const Member& m : statement_->members)
    if (m.boundaries) out.push_back(&*m.boundaries);
  return out;
}

// Order: weights, the recorded boundaries of each member, and what this proof commits to: a part for the witness
// of each segment that has one, and one for the multiplicities.
void Plan::build_stack() {
  const CodeParams& code = statement_->code;
  std::vector<CommitmentShape> shapes;
  std::vector<uint32_t> witness_rows;
  for (const LongLived* c : long_lived())
    shapes.push_back({c->name, c->part_rows, std::vector<bool>(c->part_rows.size())});
  size_t recorded = 1;
  for (const Member& m : statement_->members) boundaries_.push_back(m.boundaries ? recorded++ : 0);
  for (size_t s = 0; s < slots_.size(); ++s) {
    const Segment& segment = statement_->segments[s];
    for (size_t t = 0; t < slots_[s].size(); ++t)
      if (slots_[s][t] != nullptr)
        shapes[commitment_of(segment, t)].opened[slots_[s][t]->part] = true;
    witness_part_.push_back(witness_rows.size());
    if (has_witness(s)) witness_rows.push_back(witness_[s].rows(code));
  }
  witness_rows.push_back(multiplicities_.rows(code));
  std::vector<bool> all(witness_rows.size(), true);
  shapes.push_back({"witness", std::move(witness_rows), std::move(all)});
  uint64_t rows = 0;
  for (const CommitmentShape& c : shapes)
    for (size_t p = 0; p < c.part_rows.size(); ++p) rows += c.opened[p] ? c.part_rows[p] : 0;
  if (rows > kMaxStackBlocks / code.row_blocks()) throw Malformed{"too many cells in one proof"};
  stack_ = std::make_unique<Stack>(code, std::move(shapes));
}

size_t Plan::commitment_of(const Segment& segment, size_t tensor) const {
  return segment.circuit->tensors[tensor].source == Source::kWeight ? 0 : boundaries_[segment.member];
}

void Plan::place_tensors() {
  for (size_t s = 0; s < slots_.size(); ++s) {
    auto& first = first_block_.emplace_back();
    for (size_t t = 0; t < slots_[s].size(); ++t) {
      if (const Slot* slot = slots_[s][t]; slot != nullptr) {
        first.push_back(stack_->first_block(commitment_of(statement_->segments[s], t), slot->part) +
                        slot->first_block);
        continue;
      }
      const Owner at = owners_[s][t];
      first.push_back(stack_->first_block(stack_->commitments().size() - 1, witness_part_[at.segment]) +
                      witness_[at.segment].first_block[at.tensor]);
    }
  }
}

size_t Plan::multiplicity_block() const {
  const size_t last = stack_->commitments().size() - 1;
  return stack_->first_block(last, stack_->commitments()[last].part_rows.size() - 1);
}

ProofSizes Plan::sizes(size_t claims, const TableauShape* tableau, size_t constraints) const {
  ProofSizes z;
  z.degree = statement_->degree;
  z.claims = claims;
  z.stack_rows = stack_->rows();
  z.stack_blocks = size_t{1} << stack_->block_bits();
  const auto tree = [&](size_t blocks) {
    const uint64_t n = log_leaves(blocks);
    z.tree_layers_squared += n * n;
  };
  for (const Segment& s : statement_->segments) {
    const Circuit& c = *s.circuit;
    for (const ZeroCheck& q : c.zero_checks) {
      z.zero_polys += q.polys.size();
      z.sumcheck_rounds += log2_ceil(q.domain.rows) + log2_ceil(q.domain.cols);
    }
    for (const Einsum& e : c.einsums) {
      const Extent x = einsum_extent(c, e);
      z.sumcheck_rounds += x.row_bits() + x.col_bits();
    }
    const auto [rows, cols] = output_bits(c);
    z.output_bits += rows + cols;
    z.lookups += c.lookup_count();
    for (const LookupTree& t : lookup_trees(c)) tree(t.blocks);
  }
  for (const Table* t : tables_) z.table_rows += t->rows;
  tree(multiplicities_.blocks);
  if (tableau != nullptr) {
    z.hiding = true;
    z.tableau_query_bits = tableau_query_bits(*tableau);
    z.tableau_rows = tableau->rows();
    z.tableau_length = tableau->length();
    z.constraints = constraints;
    z.product_rows = tableau->product_rows();
  }
  return z;
}

std::vector<uint8_t> Plan::instance() const {
  const Statement& s = *statement_;
  Writer w;
  w.number<uint32_t>(static_cast<uint32_t>(s.degree));
  w.number<uint8_t>(s.hiding ? 1 : 0);
  for (uint32_t x : {s.code.log_columns, s.code.random, s.code.log_coset, s.code.cosets, s.code.queries})
    w.number(x);
  w.number(s.required_bits);
  w.span(s.instance);
  w.commitment(s.weights);
  w.number<uint32_t>(static_cast<uint32_t>(s.members.size()));
  for (const Member& m : s.members) {
    w.number<uint8_t>(!m.boundaries ? 0 : m.boundaries->partial ? 2 : 1);
    if (m.boundaries) w.commitment(*m.boundaries);
  }
  w.number<uint32_t>(static_cast<uint32_t>(s.segments.size()));
  for (const Segment& g : s.segments) {
    w.string(g.name);
    w.span(g.circuit->digest);
    w.number(g.member);
  }
  return w.take();
}

uint64_t Plan::least_body_bytes() const {
  const CodeParams& code = statement_->code;
  return sizeof(F) * (static_cast<uint64_t>(statement_->degree) * code.message() +
                      uint64_t{code.queries} * stack_->rows());
}

namespace {

// A table's keys are start, start + 1, ...: the extension of that column takes one step for each block.
template <int D>
Ext<D> key_value(const Table& t, const Vec<D>& low, std::span<const Ext<D>> high) {
  // Of the cells of a whole block, and of those of the last one: their weights, and the weights times the place.
  const auto sums = [&](size_t cells) {
    std::array<Ext<D>, 2> s{};
    for (size_t j = 0; j < cells; ++j) {
      s[0] += low[j];
      s[1] += low[j] * F(j);
    }
    return s;
  };
  const auto whole = sums(kBlock), last = sums(t.rows - (high.size() - 1) * kBlock);
  Ext<D> total;
  for (size_t b = 0; b < high.size(); ++b) {
    const auto& [weight, places] = b + 1 < high.size() ? whole : last;
    total += high[b] * (weight * F::from_i64(t.start + static_cast<int64_t>(b * kBlock)) + places);
  }
  return total;
}

// The other columns, each times its power of beta.
template <int D>
Ext<D> image_values(const Table& t, const Fingerprint<D>& fp, const Vec<D>& low, std::span<const Ext<D>> high) {
  std::vector<int64_t> column(high.size() * kBlock);
  Ext<D> total;
  for (size_t k = 0; k < t.images.size(); ++k) {
    std::copy(t.images[k].begin(), t.images[k].end(), column.begin());
    Vec<D> sums(high.size());
    dot_blocks<D, int64_t>(column.data(), high.size(), kBlock, low.data(), sums.data());
    total += fp.beta[k + 1] * inner_product<D>(sums.data(), high.data(), high.size());
  }
  return total;
}

}  // namespace

template <int D>
Ext<D> table_denominator(std::span<const Table* const> tables, const Fingerprint<D>& fp,
                         const LeafWeights<D>& leaves) {
  Ext<D> total, exists;
  size_t base = 0;
  for (size_t id = 1; id <= tables.size(); ++id) {
    const Table& t = *tables[id - 1];
    const size_t blocks = ceil_div(t.rows, kBlock);
    const Ext<D>* high = leaves.high.data() + base;
    Ext<D> indicator;
    for (size_t b = 0; b < blocks; ++b)
      indicator += high[b] * leaves.low_prefix[std::min<size_t>(kBlock, t.rows - b * kBlock)];
    exists += indicator;
    total += indicator * (fp.alpha - Ext<D>(F(id)));
    total -= fp.beta[0] * key_value<D>(t, leaves.low, {high, blocks});
    if (!t.images.empty()) total -= image_values<D>(t, fp, leaves.low, {high, blocks});
    base += blocks;
  }
  return total + Ext<D>::one() - exists;
}

template <int D>
Claim<D> multiplicity_claim(const Plan& plan, std::shared_ptr<const LeafWeights<D>> leaves) {
  Claim<D> claim{"", "tables", {}};
  for (size_t k = 0; k < plan.tables().size(); ++k) {
    Term<D> term;
    term.first_block = plan.multiplicity_block() + plan.multiplicities().first_block[k];
    term.coefficient = Ext<D>::one();
    term.view = {1, plan.tables()[k]->rows, {}};
    term.leaves = leaves;
    term.leaf_base = plan.multiplicities().first_block[k];
    claim.terms.push_back(std::move(term));
  }
  return claim;
}

template Claim<2> multiplicity_claim<2>(const Plan&, std::shared_ptr<const LeafWeights<2>>);
template Claim<3> multiplicity_claim<3>(const Plan&, std::shared_ptr<const LeafWeights<3>>);
template Ext<2> table_denominator<2>(std::span<const Table* const>, const Fingerprint<2>&,
                                     const LeafWeights<2>&);
template Ext<3> table_denominator<3>(std::span<const Table* const>, const Fingerprint<3>&,
                                     const LeafWeights<3>&);

}  // namespace assay
