// The opening: all claims of a proof against the roots of its commitments.
//
//   (O.1) sum over claims i of gamma^i v_i = sum over cells of M[cell] B(cell), reduced by a sumcheck
//         (columns first, then rows) to v = M(r) with  claim = v * B(r)
//   (O.2) u = rho eq(r_rows)^T M + g, all C + h symbols;  <u[0..C), eq(r_cols)> = rho v + s,
//         s = <g[0..C), eq(r_cols)> sent before rho; not hiding: no g and s, rho = 1
//   (O.3) at Q distinct random columns j:  enc(u)_j = rho * sum over rows i of eq(r_rows, i) M_ij + enc(g)_j
//   (O.4) column j, its salts and the digests of parts not opened hash to a leaf under the root; so does
//   enc(g)_j
//
// Ligero's interleaved test with a tensor of random coefficients: sound up to half the minimum distance
// [Diamond-Gruen 2024/1351, Corollary 3.7].
#pragma once

#include "code/reed_solomon.h"
#include "commit/claim.h"
#include "commit/columns.h"
#include "commit/stack.h"
#include "hash/column_hasher.h"
#include "sumcheck/verifier.h"

namespace assay {

inline constexpr Where kOpening{"", "opening"};

// The values of one commitment's columns at the queried positions.
struct OpenedColumns {
  std::vector<Digest> leaves;          // per query
  std::vector<std::vector<F>> values;  // per query: cells of all opened parts in order
};

template <class Channel>
class OpeningVerifier {
 public:
  static constexpr int D = Channel::degree;
  using Value = typename Channel::Value;

  // The mask's root is that of hiding proofs alone.
  OpeningVerifier(Channel& channel, const Stack& stack, std::span<const Digest> roots,
                  const Digest& mask_root)
      : channel_(channel), stack_(stack), roots_(roots), mask_root_(mask_root) {}

  // (O.1), (O.2): all that is read before the columns.
  void receive_combination(const ClaimList<D, Value>& claims) {
    point_ = verify_reduction(claims);
    if constexpr (Channel::hiding) {
      mask_value_ = channel_.receive("opening.mask", kOpening);
      rho_ = channel_.challenge("opening.rho");
    }
    u_ = channel_.receive_public("opening.u", code().message(), kOpening);
    const Vec<D> cols = eq_vector<D>(std::span(point_).first(code().log_columns));
    const Value value = mask_value_ + v_ * rho_;
    channel_.require_zero(value - inner_product<D>(u_.data(), cols.data(), cols.size()),
                          "opening.combination", kOpening, "the combined row does not have the opened value");
  }

  // (O.3), (O.4)
  void verify_columns(std::span<const uint32_t> indices) {
    const ReedSolomon rs(code().message(), code().log_coset, code().cosets);
    const auto encoded = rs.encode_at<D>(u_, indices);
    const Vec<D> rows = eq_vector<D>(std::span(point_).subspan(code().log_columns));
    std::vector<Ext<D>> sums(indices.size());
    size_t row = 0;
    for (size_t c = 0; c < stack_.commitments().size(); ++c) {
      const OpenedColumns opened = read_columns(c, indices);
      const size_t height = opened.values[0].size();
      for (size_t q = 0; q < indices.size(); ++q)
        for (size_t i = 0; i < height; ++i) sums[q] += rows[row + i] * opened.values[q][i];
      row += height;
    }
    if constexpr (Channel::hiding) add_mask(indices, sums);
    for (size_t q = 0; q < indices.size(); ++q)
      channel_.require(encoded[q] == sums[q], "opening.column", kOpening,
                       "a column does not match the combined row");
  }

 private:
  const CodeParams& code() const { return stack_.code(); }

  // (O.1); leaves the claimed value of M at the point in v_.
  std::vector<Ext<D>> verify_reduction(const ClaimList<D, Value>& claims) {
    const Ext<D> gamma = channel_.challenge("opening.gamma");
    Value total{};
    Ext<D> power = Ext<D>::one();
    for (const Value& v : claims.values) {
      total = total + v * power;
      power *= gamma;
    }
    SumcheckShape<D> shape{"opening", 2, {}};
    shape.rho.assign(kLogBlock + stack_.block_bits(), nullptr);
    const auto end = verify_sumchecks<Channel>(channel_, "", std::span(&shape, 1), {total});
    v_ = channel_.receive("opening.value", kOpening);
    const std::span<const Ext<D>> point(end.point);
    const Ext<D> b =
        evaluate_claims<D>(claims.claims, gamma, point.first(kLogBlock), point.subspan(kLogBlock));
    channel_.require_zero(end.claims[0] - v_ * b, "opening.reduction", kOpening,
                          "the claims do not reduce to the opened value");
    return end.point;
  }

  // sums become rho * sum + g at the queried columns.
  void add_mask(std::span<const uint32_t> indices, std::vector<Ext<D>>& sums) {
    const Where where{"", "mask"};
    std::vector<Digest> leaves;
    for (Ext<D>& sum : sums) {
      const std::vector<Ext<D>> g = channel_.take_elements(1, where);
      sum = sum * rho_ + g[0];
      leaves.push_back(
          column_digest<D>(std::span<const Ext<D>>(g), channel_.take(kSaltSize, where), kMaskTag));
    }
    channel_.require(read_path(channel_, mask_root_, code().length(), indices, leaves, where),
                     "opening.merkle", where, "a column is not under the mask's root");
  }

  OpenedColumns read_columns(size_t c, std::span<const uint32_t> indices) {
    const CommitmentShape& shape = stack_.commitments()[c];
    const Where where{"", shape.name};
    OpenedColumns out;
    for (size_t q = 0; q < indices.size(); ++q) {
      std::vector<Digest> parts;
      auto& values = out.values.emplace_back();
      for (size_t p = 0; p < shape.part_rows.size(); ++p)
        parts.push_back(shape.opened[p] ? read_part(shape.part_rows[p], values, where)
                                        : read_digest(channel_, where));
      out.leaves.push_back(leaf_digest(parts));
    }
    channel_.require(read_path(channel_, roots_[c], code().length(), indices, out.leaves, where),
                     "opening.merkle", where, "a column is not under the commitment's root");
    return out;
  }

  // A part's column: its cells, then its salt, exactly as they are hashed.
  Digest read_part(size_t rows, std::vector<F>& values, const Where& where) {
    const auto symbols = channel_.take(rows * sizeof(F), where);
    for (size_t i = 0; i < rows; ++i) {
      F x;
      std::memcpy(&x.v, symbols.data() + i * sizeof(F), sizeof(F));
      channel_.require(x.v < kModulus, "format.field", where, "a field element is not canonical");
      values.push_back(x);
    }
    return salted_digest(symbols, channel_.take(kSaltSize, where), kColumnTag);
  }

  Channel& channel_;
  const Stack& stack_;
  std::span<const Digest> roots_;
  Digest mask_root_;
  std::vector<Ext<D>> point_, u_;
  Ext<D> rho_ = Ext<D>::one();  // without a mask u is the combination itself
  Value v_{}, mask_value_{};
};

}  // namespace assay
