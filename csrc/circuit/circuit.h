// A circuit: the relations between named integer tensors that make up one segment (a decoder layer).
//
// A circuit is built in Python (assay.graph, circuits/), travels as canonical bytes, and is read here by the
// evaluator, the prover and the verifier alike. The digest covers everything the verifier relies on; the
// witness program that follows it tells only the prover how to fill the tensors.
//
// Terms
//   tensor   committed cells, rows x cols, row-major, each row padded to whole blocks of 128 cells
//   wire     a linear combination of tensors plus a constant, seen with a shape of its own: in whole blocks,
//            or as a split view, where `parts` rows of the wire lie side by side in each row of a tensor
//   operand  a wire (or public values) read at a cell (i, j) of a domain through an index map
//   domain   the cells (i, j) on which a relation holds; a ragged domain has only part of each row
//
// Absent cells (outside a ragged row, or in the padding of a row) are never read by any relation: all
// functionals run over existing cells only, so nothing has to force them to zero.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/math.h"
#include "hash/sha256.h"

namespace assay {

inline constexpr unsigned kLogBlock = 7;
inline constexpr size_t kBlock = size_t{1} << kLogBlock;
inline constexpr uint32_t kLeastPart = 8;  // cells of a row of a split view, a power of two below a block

enum class CellType : uint8_t { kInt16 = 0, kInt32 = 1, kInt64 = 2 };
inline constexpr size_t cell_size(CellType t) { return size_t{2} << static_cast<unsigned>(t); }

enum class Source : uint8_t { kWitness = 0, kWeight = 1, kBoundary = 2 };

// Which cells of a row exist. Causal: j <= i / divisor, and j > i / divisor - window when window > 0.
struct Ragged {
  bool causal = false;
  uint32_t divisor = 1;
  uint32_t window = 0;

  std::pair<uint32_t, uint32_t> range(uint32_t row, uint32_t cols) const {
    if (!causal) return {0, cols};
    const uint32_t t = row / divisor;
    const uint32_t lo = window != 0 && t + 1 > window ? t + 1 - window : 0;
    return {lo < cols ? lo : cols, t + 1 < cols ? t + 1 : cols};
  }
  bool operator==(const Ragged&) const = default;
};

struct Domain {
  uint32_t rows = 0;
  uint32_t cols = 0;
  Ragged ragged;

  size_t row_blocks() const { return ceil_div(cols, kBlock); }
  size_t blocks() const { return rows * row_blocks(); }
  std::pair<uint32_t, uint32_t> range(uint32_t row) const { return ragged.range(row, cols); }
  size_t existing_cells() const;
  // Whether a tensor of this shape may be seen through a wire of another.
  bool fits(uint32_t wire_rows, uint32_t wire_cols) const;
  // How many rows of such a wire lie in one of its own; above 1 in a split view alone.
  uint32_t parts(uint32_t wire_cols) const {
    return wire_cols == cols || wire_cols % kBlock == 0 ? 1 : cols / wire_cols;
  }
};

// Where the rows of a wire begin among the cells of a tensor.
class RowLayout {
 public:
  RowLayout(const Domain& tensor, uint32_t wire_cols)
      : parts(tensor.parts(wire_cols)),
        stride(parts == 1 ? ceil_div(wire_cols, kBlock) * kBlock : tensor.row_blocks() * kBlock),
        cols_(wire_cols) {}
  size_t start(size_t row) const { return row / parts * stride + row % parts * cols_; }

  size_t parts;   // rows of the wire in a line of cells
  size_t stride;  // from line to line

 private:
  size_t cols_;
};

struct Tensor {
  std::string name;
  Source source = Source::kWitness;
  CellType type = CellType::kInt32;
  Domain shape;

  size_t stride() const { return shape.row_blocks() * kBlock; }
  size_t cells() const { return shape.rows * stride(); }
};

struct Wire {
  uint32_t rows = 0;
  uint32_t cols = 0;
  int64_t constant = 0;
  std::vector<std::pair<int64_t, uint32_t>> terms;  // (coefficient, tensor)
};

enum class Map : uint8_t {
  kCell = 0,    // wire[i, j]
  kRow = 1,     // wire[0, i]
  kCol = 2,     // wire[0, j]
  kColXor = 3,  // wire[i, j ^ argument], argument a power of two
  kPublic = 4,  // publics[i / argument, j]
  kGather = 5,  // wire[index[0, i], j], index = publics[argument]; 0 where the index is -1
  kPick = 6,    // wire[i, index[i, j]], the same
};
inline constexpr bool is_indexed(Map m) { return m == Map::kGather || m == Map::kPick; }

struct Operand {
  Map map = Map::kCell;
  uint32_t argument = 0;
  uint32_t id = 0;  // wire, or public values
};

struct Monomial {
  int64_t coefficient = 0;
  std::vector<Operand> operands;  // at most three
};
using Poly = std::vector<Monomial>;

// Values everybody knows (RoPE angles, token ids).
struct Public {
  std::string name;
  uint32_t rows = 0;
  uint32_t cols = 0;
  std::vector<int64_t> values;
};

// Range: one column start, start + 1, ...; function: column 0 is the key, start + row, the others its images.
struct Table {
  std::string name;
  bool is_range = false;
  int64_t start = 0;
  uint32_t rows = 0;
  std::vector<std::vector<int64_t>> images;
  size_t columns() const { return 1 + images.size(); }
  int64_t value(size_t column, size_t row) const {
    return column == 0 ? start + static_cast<int64_t>(row) : images[column - 1][row];
  }
  bool operator==(const Table&) const = default;
};

// P = 0 on every cell of the domain, for each polynomial; total degree at most three.
struct ZeroCheck {
  std::string name;
  Domain domain;
  std::vector<Poly> polys;
};

// P = 0 on every cell of the domain, P of degree one: needs no sumcheck, only claims.
struct Linear {
  std::string name;
  Domain domain;
  Poly poly;
};

enum class EinsumKind : uint8_t {
  kNT = 0,      // out[(a,g,m), j] = sum_k x[(a,g,m), k] * y[(j,g), k]
  kNN = 1,      // out[(a,g,m), j] = sum_k x[(a,g,m), k] * y[(k,g), j]
  kRowDot = 2,  // out[0, i] = sum_k x[i, k] * y[i, k]
  // out[i, j] = sum_{g, k} selection[i, g] * x[i mod rows of x, k] * y[g J + j, k], J = rows of y / G
  kSelectNT = 3,
};
struct Einsum {
  std::string name;
  EinsumKind kind = EinsumKind::kNT;
  uint32_t groups = 1;  // G: g is the batch index
  uint32_t members = 1;  // M: row of x = (a G + g) M + m
  uint32_t out = 0, x = 0, y = 0;
  uint32_t selection = 0;  // kSelectNT
};

// out[0, i] = sum over the existing cells j of x[i, j].
struct RowSum {
  std::string name;
  uint32_t out = 0, x = 0;
};

// A public output: the sum of a wire over its existing cells (how many cells a clamp changed).
struct Total {
  std::string name;
  uint32_t wire = 0;
};

// A public output: every cell of a wire.
struct Output {
  std::string name;
  uint32_t wire = 0;
};

// On every cell of the domain the tuple of columns is a row of the table.
struct Lookup {
  std::string name;
  uint32_t table = 0;
  Domain domain;
  std::vector<Poly> columns;  // of degree one
};

// The witness program.
enum class StepKind : uint8_t {
  kDecompose = 0,   // limbs of (poly or einsum) + constant, low limb first, the last takes the (signed) rest
  kAssign = 1,      // tensors[0] = poly
  kTableMap = 2,    // tensors[k] = image k of the table at key poly
  kRowMax = 3,      // tensors[0][0, i] = max over existing j of poly
  kRowSum = 4,      // tensors[0] = row sum number `index`
  kNormalise = 5,   // tensors = table row (images) that normalises wire `index`; see circuits/inverse_sqrt.py
  kInvSqrt = 6,     // tensors[0] = floor(sqrt(constant / wire `index`))
  kQuotient = 7,    // tensors[0] = floor(constant / wire `index`)
  kRatio = 8,       // tensors[0] = floor(polynomial / wire[0, i]), wire `index`
  // tensors[0][0, i] = the K-th largest of row i of poly, K = `constant`; then tensors[1], if it is there,
  // [K rows, cols]: row m rows + i is 1 where the m-th largest of row i stands, 0 elsewhere
  kTopK = 9,
};
struct Step {
  StepKind kind = StepKind::kAssign;
  bool from_einsum = false;
  uint32_t index = 0;  // einsum, row sum, or wire
  uint32_t table = 0;
  int64_t constant = 0;
  Domain domain;
  Poly poly;
  std::vector<uint32_t> tensors;
  std::vector<uint8_t> bits;  // of each limb
};

struct Circuit {
  std::string name;
  std::vector<Table> tables;
  std::vector<Public> publics;
  std::vector<Tensor> tensors;
  std::vector<Wire> wires;
  std::vector<ZeroCheck> zero_checks;
  std::vector<Linear> linears;
  std::vector<Einsum> einsums;
  std::vector<RowSum> row_sums;
  std::vector<Total> totals;
  std::vector<Output> outputs;
  std::vector<Lookup> lookups;
  std::vector<Step> program;
  Digest digest{};

  // Throws Malformed on bytes that are not a well-formed circuit (also: an index out of range, shapes that
  // do not fit, a degree or size beyond the limits).
  static Circuit decode(std::span<const uint8_t> bytes);

  size_t lookup_blocks() const;  // leaves of the lookup trees, in blocks
  size_t lookup_count() const;   // existing leaves
  size_t witness_cells() const;  // existing committed witness cells
};

struct Malformed {
  std::string message;
};

}  // namespace assay
