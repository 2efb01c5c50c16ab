// The opening: all claims of a proof against the roots of its commitments.
//
//   (O.1) sum over claims i of gamma^i v_i = sum over cells of M[cell] B(cell), reduced by a sumcheck
//         (columns first, then rows) to v = M(r) with  claim = v * B(r)
//   (O.2) u = eq(r_rows)^T M, all C + h symbols;  <u[0..C), eq(r_cols)> = v
//   (O.3) at Q distinct random columns j:  enc(u)_j = sum over rows i of eq(r_rows, i) M_ij
//   (O.4) column j, its salts and the digests of parts not opened hash to a leaf under the root
//
// Ligero's interleaved test with a tensor of random coefficients: sound up to half the minimum distance
// [Diamond-Gruen 2024/1351, Corollary 3.7].
#pragma once

#include "code/reed_solomon.h"
#include "commit/claim.h"
#include "commit/stack.h"
#include "hash/column_hasher.h"
#include "sumcheck/verifier.h"

namespace assay {

inline constexpr Where kOpening{"", "opening"};

// The values of one commitment's columns at the queried positions.
struct OpenedColumns {
  std::vector<Digest> leaves;            // per query
  std::vector<std::vector<F>> values;    // per query: cells of all opened parts in order
};

template <class Channel>
class OpeningVerifier {
 public:
  static constexpr int D = Channel::degree;
  using Value = typename Channel::Value;

  OpeningVerifier(Channel& channel, const Stack& stack, std::span<const Digest> roots)
      : channel_(channel), stack_(stack), roots_(roots) {}

  void verify(const ClaimList<D, Value>& claims) {
    const std::vector<Ext<D>> point = verify_reduction(claims);
    const auto u = verify_combination(point);
    const auto indices =
        channel_.transcript().challenge_indices("opening.columns", code().queries, code().length());
    verify_columns(u, point, indices);
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
    const auto functional = CombinedFunctional<D>::combine(claims.claims, gamma);
    const std::span<const Ext<D>> point(end.point);
    const Ext<D> b = functional.evaluate(point.first(kLogBlock), point.subspan(kLogBlock));
    channel_.require_zero(end.claims[0] - v_ * b, "opening.reduction", kOpening,
                          "the claims do not reduce to the opened value");
    return end.point;
  }

  // (O.2)
  std::vector<Ext<D>> verify_combination(std::span<const Ext<D>> point) {
    auto u = channel_.receive_all("opening.u", code().message(), kOpening);
    const Vec<D> cols = eq_vector<D>(point.first(code().log_columns));
    channel_.require_zero(v_ - inner_product<D>(u.data(), cols.data(), cols.size()), "opening.combination",
                          kOpening, "the combined row does not have the opened value");
    return u;
  }

  // (O.3), (O.4)
  void verify_columns(const std::vector<Ext<D>>& u, std::span<const Ext<D>> point,
                      const std::vector<uint32_t>& indices) {
    const ReedSolomon rs(code().message(), code().log_coset, code().cosets);
    const auto encoded = rs.encode_at<D>(u, indices);
    const Vec<D> rows = eq_vector<D>(point.subspan(code().log_columns));
    std::vector<Ext<D>> sums(indices.size());
    size_t row = 0;
    for (size_t c = 0; c < stack_.commitments().size(); ++c) {
      const OpenedColumns opened = read_columns(c, indices);
      const size_t height = opened.values[0].size();
      for (size_t q = 0; q < indices.size(); ++q)
        for (size_t i = 0; i < height; ++i) sums[q] += rows[row + i] * opened.values[q][i];
      row += height;
    }
    for (size_t q = 0; q < indices.size(); ++q)
      channel_.require_zero(Value{} + (encoded[q] - sums[q]), "opening.column", kOpening,
                            "a column does not match the combined row");
  }

  OpenedColumns read_columns(size_t c, const std::vector<uint32_t>& indices) {
    const CommitmentShape& shape = stack_.commitments()[c];
    const Where where{"", shape.name};
    OpenedColumns out;
    for (size_t q = 0; q < indices.size(); ++q) {
      std::vector<Digest> parts;
      auto& values = out.values.emplace_back();
      for (size_t p = 0; p < shape.part_rows.size(); ++p)
        parts.push_back(shape.opened[p] ? read_part(shape.part_rows[p], values, where) : read_digest(where));
      out.leaves.push_back(leaf_digest(parts));
    }
    const size_t count = merkle_proof_size(code().length(), indices);
    std::vector<Digest> siblings;
    for (size_t k = 0; k < count; ++k) siblings.push_back(read_digest(where));
    const Status status = verify_merkle(roots_[c], code().length(), indices, out.leaves, siblings);
    if (!status) channel_.reject("opening.merkle", where, "a column is not under the commitment's root");
    return out;
  }

  Digest read_digest(const Where& where) {
    Digest d;
    std::memcpy(d.data(), channel_.take(d.size(), where).data(), d.size());
    return d;
  }
  // A part's column: its cells, then its salt, exactly as they are hashed.
  Digest read_part(size_t rows, std::vector<F>& values, const Where& where) {
    const auto bytes = channel_.take(rows * sizeof(F) + kSaltSize, where);
    for (size_t i = 0; i < rows; ++i) {
      F x;
      std::memcpy(&x.v, bytes.data() + i * sizeof(F), sizeof(F));
      if (x.v >= kModulus) channel_.reject("format.field", where, "a field element is not canonical");
      values.push_back(x);
    }
    Sha256 hash;
    hash.update(bytes);
    hash.update(std::span(&kColumnTag, 1));
    return hash.finish();
  }

  Channel& channel_;
  const Stack& stack_;
  std::span<const Digest> roots_;
  Value v_{};
};

}  // namespace assay
