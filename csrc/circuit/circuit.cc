#include "circuit/circuit.h"

#include "base/reader.h"

namespace assay {
namespace {

constexpr uint32_t kMagic = 0x43595341;  // "ASYC"
constexpr uint32_t kVersion = 1;
constexpr uint32_t kMaxDimension = 1U << 24;
constexpr uint64_t kMaxCells = uint64_t{1} << 32;
constexpr size_t kMaxColumns = 4;
constexpr uint64_t kMaxOutputCells = uint64_t{1} << 16;
constexpr uint64_t kMaxLookupBlocks = uint64_t{1} << 24;
// A few seconds and a few gigabytes, beyond any circuit that can be proven: a step keeps about 28 bytes.
constexpr double kMaxVerifierSteps = 0x1p28;
constexpr double kPickSteps = 8;  // a term of its own for each cell
constexpr int64_t kMaxValue = int64_t{1} << 62;  // public integers are smaller, as the kernels expect

void require(bool ok, const char* message) {
  if (!ok) throw Malformed{message};
}

Ragged read_ragged(Reader& in) {
  Ragged r;
  const uint8_t kind = in.u8();
  require(kind <= 1, "circuit: unknown kind of ragged rows");
  r.causal = kind == 1;
  r.divisor = in.u32();
  r.window = in.u32();
  require(r.divisor >= 1, "circuit: a ragged divisor of zero");
  require(r.causal || (r.divisor == 1 && r.window == 0), "circuit: a full domain has no ragged parameters");
  return r;
}

Domain read_domain(Reader& in) {
  Domain d;
  d.rows = in.u32();
  d.cols = in.u32();
  d.ragged = read_ragged(in);
  require(d.rows >= 1 && d.cols >= 1 && d.rows <= kMaxDimension && d.cols <= kMaxDimension &&
              uint64_t{d.rows} * (d.row_blocks() * kBlock) <= kMaxCells,
          "circuit: a dimension out of range");
  return d;
}

Poly read_poly(Reader& in, size_t max_degree) {
  Poly p(in.u16());
  for (Monomial& m : p) {
    m.coefficient = in.i64();
    m.operands.resize(in.u8());
    require(m.operands.size() <= max_degree, "circuit: the degree of a polynomial is too high");
    for (Operand& o : m.operands) {
      const uint8_t map = in.u8();
      require(map <= static_cast<uint8_t>(Map::kPick), "circuit: unknown index map");
      o.map = static_cast<Map>(map);
      o.argument = in.u32();
      o.id = in.u32();
    }
  }
  return p;
}

int64_t read_value(Reader& in) {
  const int64_t v = in.i64();
  require(v > -kMaxValue && v < kMaxValue, "circuit: a public value is out of range");
  return v;
}

Table read_table(Reader& in) {
  Table t;
  t.name = in.string();
  const uint8_t kind = in.u8();
  require(kind <= 1, "circuit: unknown kind of table");
  t.is_range = kind == 0;
  t.start = read_value(in);
  t.rows = in.u32();
  require(t.rows >= 1 && t.rows <= (1U << 22), "circuit: a table's size is out of range");
  require(t.start + int64_t{t.rows} <= kMaxValue, "circuit: a public value is out of range");
  t.images.resize(in.u8());
  require(t.columns() <= kMaxColumns + 1 && (t.is_range == t.images.empty()),
          "circuit: a table's columns are out of range");
  for (auto& image : t.images) {
    require(size_t{t.rows} * 8 <= in.remaining(), "circuit: truncated table");
    image.resize(t.rows);
    for (int64_t& v : image) v = read_value(in);
  }
  return t;
}

Public read_public(Reader& in) {
  Public p;
  p.name = in.string();
  p.rows = in.u32();
  p.cols = in.u32();
  require(p.rows <= kMaxDimension && p.cols <= kMaxDimension &&
              uint64_t{p.rows} * p.cols <= in.remaining() / 8,
          "circuit: truncated public values");
  p.values.resize(size_t{p.rows} * p.cols);
  for (int64_t& v : p.values) v = read_value(in);
  return p;
}

Tensor read_tensor(Reader& in) {
  Tensor t;
  t.name = in.string();
  const uint8_t source = in.u8();
  const uint8_t type = in.u8();
  require(source <= 2 && type <= 2, "circuit: unknown source or cell type");
  t.source = static_cast<Source>(source);
  t.type = static_cast<CellType>(type);
  t.shape = read_domain(in);
  return t;
}

Wire read_wire(Reader& in) {
  Wire w;
  w.rows = in.u32();
  w.cols = in.u32();
  require(w.rows >= 1 && w.cols >= 1 && w.rows <= kMaxDimension && w.cols <= kMaxDimension &&
              w.rows * (ceil_div(w.cols, kBlock) * kBlock) <= kMaxCells,
          "circuit: a wire's shape is out of range");
  w.constant = in.i64();
  w.terms.resize(in.u16());
  for (auto& [coefficient, tensor] : w.terms) {
    coefficient = in.i64();
    tensor = in.u32();
  }
  return w;
}

Step read_step(Reader& in) {
  Step s;
  const uint8_t kind = in.u8();
  require(kind <= static_cast<uint8_t>(StepKind::kTopK), "circuit: unknown witness step");
  s.kind = static_cast<StepKind>(kind);
  const uint8_t from = in.u8();
  require(from <= 1, "circuit: unknown source of a witness step");
  s.from_einsum = from == 1;
  s.index = in.u32();
  s.table = in.u32();
  s.constant = in.i64();
  s.domain = read_domain(in);
  s.poly = read_poly(in, 3);
  s.tensors.resize(in.u16());
  for (uint32_t& t : s.tensors) t = in.u32();
  s.bits.resize(in.u16());
  for (uint8_t& b : s.bits) b = in.u8();
  return s;
}

template <class T, class Read>
std::vector<T> read_list(Reader& in, size_t item_size, Read read) {
  std::vector<T> out;
  const size_t n = in.count(item_size);
  out.reserve(n);
  for (size_t i = 0; i < n; ++i) out.push_back(read(in));
  return out;
}

// ---- consistency of what was read ----

class Checker {
 public:
  explicit Checker(const Circuit& c) : c_(c) {}

  void run() const {
    for (const Wire& w : c_.wires) wire(w);
    for (const ZeroCheck& z : c_.zero_checks) zero_check(z);
    for (const Linear& l : c_.linears) linear(l);
    for (const Einsum& e : c_.einsums) einsum(e);
    for (const RowSum& r : c_.row_sums) row_sum(r);
    for (const Total& t : c_.totals) (void)at(t.wire);
    for (const Output& o : c_.outputs) output(o);
    for (const Lookup& l : c_.lookups) lookup(l);
    require(c_.lookup_blocks() <= kMaxLookupBlocks, "circuit: too many lookups");
    for (const Step& s : c_.program) step(s);
  }

 private:
  void wire(const Wire& w) const {
    for (const auto& [coefficient, id] : w.terms) {
      require(id < c_.tensors.size(), "circuit: a wire names an unknown tensor");
      const Domain& s = c_.tensors[id].shape;
      require(w.constant == 0 || !s.ragged.causal, "circuit: a constant on missing cells");
      require(s.ragged == c_.tensors[w.terms[0].second].shape.ragged,
              "circuit: a wire of tensors with different missing cells");
      require(s.fits(w.rows, w.cols), "circuit: a wire's shape does not fit its tensor");
    }
  }
  const Wire& at(uint32_t id) const {
    require(id < c_.wires.size(), "circuit: an unknown wire");
    return c_.wires[id];
  }
  void operand(const Operand& o, const Domain& d) const {
    if (o.map == Map::kPublic) {
      require(o.id < c_.publics.size() && o.argument >= 1, "circuit: unknown public values");
      const Public& p = c_.publics[o.id];
      require(p.cols == d.cols && (d.rows - 1) / o.argument < p.rows, "circuit: public values do not fit");
      return;
    }
    const Wire& w = at(o.id);
    if (is_indexed(o.map)) return indexed(o, w, d);
    require(o.map == Map::kCell || !has_missing_cells(w), "circuit: a broadcast operand has missing cells");
    switch (o.map) {
      case Map::kCell:
        require(w.rows == d.rows && w.cols == d.cols, "circuit: operand shape");
        require(!d.ragged.causal || !is_split(w), "circuit: a split view with missing cells");
        break;
      case Map::kRow: require(w.rows == 1 && w.cols == d.rows, "circuit: row operand shape"); break;
      case Map::kCol: require(w.rows == 1 && w.cols == d.cols, "circuit: column operand shape"); break;
      case Map::kColXor:
        require(w.rows == d.rows && w.cols == d.cols && (d.cols & (d.cols - 1)) == 0 && !d.ragged.causal &&
                    o.argument != 0 && (o.argument & (o.argument - 1)) == 0 && o.argument < d.cols,
                "circuit: exchanged operand shape");
        break;
      case Map::kPublic:
      case Map::kGather:
      case Map::kPick: break;
    }
  }
  void indexed(const Operand& o, const Wire& w, const Domain& d) const {
    require(!has_missing_cells(w) && !d.ragged.causal, "circuit: an indexed operand has missing cells");
    require(!is_split(w), "circuit: an indexed operand of a split view");
    require(o.argument < c_.publics.size(), "circuit: an unknown index list");
    const Public& index = c_.publics[o.argument];
    const bool gather = o.map == Map::kGather;
    require(gather ? index.rows == 1 && index.cols == d.rows && w.cols == d.cols
                   : index.rows == d.rows && index.cols == d.cols && w.rows == d.rows,
            "circuit: an indexed operand's shape");
    for (const int64_t at : index.values)
      require(at >= -1 && at < int64_t{gather ? w.rows : w.cols}, "circuit: an index outside its wire");
  }
  // A zero-check reads its operands as multilinear extensions, so every monomial must vanish on absent cells
  // by itself: one of its operands has a value for each cell of the domain and none elsewhere.
  void zero_check(const ZeroCheck& z) const {
    require(!z.domain.ragged.causal, "circuit: a zero-check needs a full domain");
    for (const Poly& p : z.polys) {
      poly(p, z.domain, true);
      for (const Monomial& m : p) {
        bool covers = m.operands.empty();
        for (const Operand& o : m.operands) {
          require(!is_indexed(o.map), "circuit: an indexed operand has no place in a zero-check");
          covers |= o.map != Map::kRow && o.map != Map::kCol;
        }
        require(covers, "circuit: a monomial of a zero-check is not confined to its domain");
      }
    }
  }
  bool has_missing_cells(const Wire& w) const {
    for (const auto& term : w.terms)
      if (c_.tensors[term.second].shape.ragged.causal) return true;
    return false;
  }
  bool is_split(const Wire& w) const {
    for (const auto& term : w.terms)
      if (c_.tensors[term.second].shape.parts(w.cols) > 1) return true;
    return false;
  }
  void poly(const Poly& p, const Domain& d, bool publics_allowed) const {
    for (const Monomial& m : p)
      for (const Operand& o : m.operands) {
        operand(o, d);
        require(publics_allowed || (o.map != Map::kPublic && o.map != Map::kColXor),
                "circuit: this index map has no place in a linear relation");
      }
  }
  void linear(const Linear& l) const {
    poly(l.poly, l.domain, false);
    for (const Monomial& m : l.poly)
      for (const Operand& o : m.operands)
        require(o.map != Map::kCol || !l.domain.ragged.causal, "circuit: column operands need a full domain");
  }
  void einsum(const Einsum& e) const {
    const Wire &out = at(e.out), &x = at(e.x), &y = at(e.y);
    if (e.kind == EinsumKind::kRowDot) {
      require(e.groups == 1 && e.members == 1 && x.rows == y.rows && x.cols == y.cols && out.rows == 1 &&
                  out.cols == x.rows,
              "circuit: the shapes of a row product do not fit");
      return;
    }
    if (e.kind == EinsumKind::kSelectNT) return selected(e, out, x, y);
    const uint64_t run = uint64_t{e.groups} * e.members;
    require(run >= 1 && x.rows % run == 0 && y.rows % e.groups == 0 && out.rows == x.rows,
            "circuit: the groups of an einsum do not fit");
    const bool nt = e.kind == EinsumKind::kNT;
    require((nt ? y.cols == x.cols && out.cols == y.rows / e.groups
                : y.rows / e.groups == x.cols && out.cols == y.cols),
            "circuit: the shapes of an einsum do not fit");
    require(!has_missing_cells(y) && !has_missing_cells(out), "circuit: an einsum with missing cells");
  }
  void selected(const Einsum& e, const Wire& out, const Wire& x, const Wire& y) const {
    const Wire& s = at(e.selection);
    require(e.groups >= 1 && e.members == 1 && s.cols == e.groups && s.rows == out.rows &&
                out.rows % x.rows == 0 && x.cols == y.cols && y.rows % e.groups == 0 &&
                out.cols == y.rows / e.groups,
            "circuit: the shapes of a selected product do not fit");
    for (const Wire* w : {&out, &x, &y, &s})
      require(!has_missing_cells(*w), "circuit: an einsum with missing cells");
  }
  void row_sum(const RowSum& r) const {
    require(at(r.out).rows == 1 && at(r.out).cols == at(r.x).rows, "circuit: the shape of a row sum");
  }
  void output(const Output& o) const {
    const Wire& w = at(o.wire);
    require(!has_missing_cells(w) && uint64_t{w.rows} * w.cols <= kMaxOutputCells,
            "circuit: an output of missing cells, or of too many");
  }
  void lookup(const Lookup& l) const {
    require(l.table < c_.tables.size() && l.columns.size() == c_.tables[l.table].columns(),
            "circuit: a lookup does not fit its table");
    for (const Poly& p : l.columns) {
      poly(p, l.domain, false);
      for (const Monomial& m : p)
        for (const Operand& o : m.operands)
          require(!is_indexed(o.map), "circuit: an indexed operand has no place in a lookup");
    }
  }
  void step(const Step& s) const {
    for (uint32_t t : s.tensors)
      require(t < c_.tensors.size() && c_.tensors[t].source != Source::kWeight,
              "circuit: a witness step fills an unknown tensor or a weight");
    switch (s.kind) {
      case StepKind::kDecompose:
        require(s.bits.size() == s.tensors.size() && !s.tensors.empty(), "circuit: limbs and widths differ");
        for (uint8_t b : s.bits) require(b >= 1 && b <= 63, "circuit: the width of a limb");
        if (s.from_einsum) require(s.index < c_.einsums.size(), "circuit: an unknown einsum");
        else poly(s.poly, s.domain, true);
        break;
      case StepKind::kAssign:
      case StepKind::kRowMax:
        require(s.tensors.size() == 1, "circuit: a witness step needs one tensor");
        poly(s.poly, s.domain, true);
        break;
      case StepKind::kTableMap:
        require(s.table < c_.tables.size() && s.tensors.size() == c_.tables[s.table].images.size(),
                "circuit: a table step does not fit its table");
        poly(s.poly, s.domain, true);
        break;
      case StepKind::kRowSum:
        require(s.index < c_.row_sums.size() && s.tensors.size() == 1, "circuit: an unknown row sum");
        break;
      case StepKind::kNormalise:
        require(s.table < c_.tables.size() && s.tensors.size() == c_.tables[s.table].columns(),
                "circuit: a normalisation step does not fit its table");
        (void)at(s.index);
        break;
      case StepKind::kInvSqrt:
      case StepKind::kQuotient:
        require(s.tensors.size() == 1, "circuit: a witness step needs one tensor");
        (void)at(s.index);
        break;
      case StepKind::kRatio:
        require(s.tensors.size() == 1, "circuit: a witness step needs one tensor");
        require(at(s.index).rows == 1 && at(s.index).cols == s.domain.rows && !has_missing_cells(at(s.index)),
                "circuit: a ratio needs a divisor for each row");
        poly(s.poly, s.domain, true);
        break;
      case StepKind::kTopK:
        require(s.tensors.size() == 1 || s.tensors.size() == 2,
                "circuit: a top-k step fills one tensor or two");
        require(s.constant >= 1 && s.constant <= s.domain.cols && !s.domain.ragged.causal,
                "circuit: a top-k step needs full rows of at least k cells");
        poly(s.poly, s.domain, true);
        break;
    }
  }

  const Circuit& c_;
};

// At most how much a verifier does for a circuit's claims, in blocks or cells visited: what a few bytes ask
// for, a wire of many terms in a polynomial of many monomials over a large domain, is out of proportion.
class VerifierSteps {
 public:
  explicit VerifierSteps(const Circuit& c) : c_(c) {}

  double total() const {
    double n = 0;
    for (const ZeroCheck& z : c_.zero_checks)
      for (const Poly& p : z.polys) n += of(p, z.domain);
    for (const Linear& l : c_.linears) n += of(l.poly, l.domain);
    for (const Einsum& e : c_.einsums) {
      n += of(e.out) + of(e.x) + of(e.y);
      if (e.kind == EinsumKind::kSelectNT) n += of(e.selection);
    }
    for (const RowSum& r : c_.row_sums) n += of(r.out) + of(r.x);
    for (const Total& t : c_.totals) n += of(t.wire);
    for (const Output& o : c_.outputs) n += of(o.wire);
    for (const Lookup& l : c_.lookups)
      for (const Poly& p : l.columns) n += of(p, l.domain);
    return n;
  }

 private:
  static double visits(const Domain& d) { return static_cast<double>(d.blocks() + d.rows + d.cols); }
  double of(uint32_t wire) const {
    const Wire& w = c_.wires[wire];
    const double blocks = w.terms.empty() ? 0 : static_cast<double>(Domain{w.rows, w.cols, {}}.blocks());
    return static_cast<double>(1 + w.terms.size()) * (blocks + w.rows + w.cols);
  }
  double of(const Poly& p, const Domain& d) const {
    double n = visits(d);
    for (const Monomial& m : p) {
      n += visits(d);
      for (const Operand& o : m.operands) {
        if (o.map == Map::kPublic) n += static_cast<double>(c_.publics[o.id].values.size());
        else n += static_cast<double>(c_.wires[o.id].terms.size()) * visits(d);
        const double cells = static_cast<double>(d.rows) * d.cols;
        if (o.map == Map::kCol) n += cells;
        if (o.map == Map::kPick) n += kPickSteps * static_cast<double>(c_.wires[o.id].terms.size() + 1) * cells;
      }
    }
    return n;
  }

  const Circuit& c_;
};

Circuit read_circuit(std::span<const uint8_t> bytes) {
  Reader in(bytes);
  require(in.u32() == kMagic, "not a circuit");
  require(in.u32() == kVersion, "circuit: unknown version");
  Circuit c;
  c.name = in.string();
  c.tables = read_list<Table>(in, 8, read_table);
  c.publics = read_list<Public>(in, 8, read_public);
  c.tensors = read_list<Tensor>(in, 8, read_tensor);
  c.wires = read_list<Wire>(in, 8, read_wire);
  c.zero_checks = read_list<ZeroCheck>(in, 8, [](Reader& r) {
    ZeroCheck z{r.string(), read_domain(r), {}};
    z.polys = read_list<Poly>(r, 2, [](Reader& p) { return read_poly(p, 3); });
    return z;
  });
  c.linears = read_list<Linear>(in, 8, [](Reader& r) {
    Linear l{r.string(), read_domain(r), {}};
    l.poly = read_poly(r, 1);
    return l;
  });
  c.einsums = read_list<Einsum>(in, 8, [](Reader& r) {
    Einsum e;
    e.name = r.string();
    const uint8_t kind = r.u8();
    require(kind <= static_cast<uint8_t>(EinsumKind::kSelectNT), "circuit: unknown kind of einsum");
    e.kind = static_cast<EinsumKind>(kind);
    e.groups = r.u32();
    e.members = r.u32();
    e.out = r.u32();
    e.x = r.u32();
    e.y = r.u32();
    if (e.kind == EinsumKind::kSelectNT) e.selection = r.u32();
    return e;
  });
  c.row_sums = read_list<RowSum>(in, 8, [](Reader& r) {
    RowSum s;
    s.name = r.string();
    s.out = r.u32();
    s.x = r.u32();
    return s;
  });
  c.totals = read_list<Total>(in, 6, [](Reader& r) {
    Total t;
    t.name = r.string();
    t.wire = r.u32();
    return t;
  });
  c.outputs = read_list<Output>(in, 6, [](Reader& r) {
    Output o;
    o.name = r.string();
    o.wire = r.u32();
    return o;
  });
  c.lookups = read_list<Lookup>(in, 8, [](Reader& r) {
    Lookup l;
    l.name = r.string();
    l.table = r.u32();
    l.domain = read_domain(r);
    l.columns = read_list<Poly>(r, 2, [](Reader& p) { return read_poly(p, 1); });
    return l;
  });
  c.digest = sha256(bytes.first(in.position()));
  c.program = read_list<Step>(in, 8, read_step);
  require(in.remaining() == 0, "circuit: bytes after the end");
  Checker(c).run();
  require(VerifierSteps(c).total() <= kMaxVerifierSteps, "circuit: too much work for a verifier");
  return c;
}

}  // namespace

Circuit Circuit::decode(std::span<const uint8_t> bytes) {
  try {
    return read_circuit(bytes);
  } catch (const Truncated&) {
    throw Malformed{"circuit: truncated"};
  }
}

size_t Circuit::lookup_blocks() const {
  size_t n = 0;
  for (const Lookup& l : lookups) n += l.domain.blocks();
  return n;
}

// Nothing changes; or neither shape has padding; or each row is cut into vectors that lie within a block.
bool Domain::fits(uint32_t wire_rows, uint32_t wire_cols) const {
  if (wire_rows == rows && wire_cols == cols) return true;
  const bool whole = cols % kBlock == 0 && wire_cols % kBlock == 0;
  const bool split = wire_cols >= kLeastPart && kBlock % wire_cols == 0 && cols % wire_cols == 0;
  return (whole || split) && !ragged.causal && uint64_t{rows} * cols == uint64_t{wire_rows} * wire_cols;
}

size_t Domain::existing_cells() const {
  if (!ragged.causal) return size_t{rows} * cols;
  size_t n = 0;
  for (uint32_t i = 0; i < rows; ++i) {
    const auto [lo, hi] = range(i);
    n += hi - lo;
  }
  return n;
}

size_t Circuit::lookup_count() const {
  size_t n = 0;
  for (const Lookup& l : lookups) n += l.domain.existing_cells();
  return n;
}

size_t Circuit::witness_cells() const {
  size_t n = 0;
  for (const Tensor& t : tensors)
    if (t.source == Source::kWitness) n += t.shape.existing_cells();
  return n;
}

}  // namespace assay
