// The prover of a selected product (C.10): one sumcheck of degree two, in two stages over grids of their own.
//
//   out         = sum over (g, k) of a(g, k) y(g, k),   a(g, k) = sum over i of eq(rho, i) s[i, g] x[i, k]
//   a(s_g, s_k) = sum over i of eq(rho, i) s(i, s_g) x(i, s_k)
//
// k and g are the first variables: all that their rounds need of the rows i is a. The rounds of i follow,
// with y(s_g, s_k) as a factor of every message. So the work is that of the rows of x, and of one pass over
// y.
#pragma once

#include "sumcheck/prover.h"

namespace assay {

template <int D>
class SelectionProver final : public RoundProver<D> {
 public:
  // The second stage, with the selection as its first table and x as its second, from the point of the first
  // (k, then g) and its claim.
  using Rows = std::function<GridProver<D>(std::span<const Ext<D>> point, const Ext<D>& claim)>;

  // `groups` has a as its first table and y as its second, and takes so many `rounds`.
  SelectionProver(GridProver<D> groups, unsigned rounds, Rows rows)
      : groups_(std::move(groups)), rounds_(rounds), make_rows_(std::move(rows)) {
    if (rounds_ == 0) begin_rows();
  }

  Vec<D> round() override {
    if (!rows_) return groups_.round();
    Vec<D> h = rows_->round();
    for (Ext<D>& x : h) x *= right();
    return h;
  }
  void bind(const Ext<D>& challenge) override {
    if (rows_) return rows_->bind(challenge);
    groups_.bind(challenge);
    point_.push_back(challenge);
    if (point_.size() == rounds_) begin_rows();
  }
  size_t work() const override { return groups_.work(); }

  // The operands at the final point.
  Ext<D> selection() const { return rows_->value(0); }
  Ext<D> left() const { return rows_->value(1); }
  Ext<D> right() const { return groups_.value(1); }

 private:
  void begin_rows() { rows_.emplace(make_rows_(point_, groups_.value(0))); }

  GridProver<D> groups_;
  size_t rounds_;
  Rows make_rows_;
  Vec<D> point_;
  std::optional<GridProver<D>> rows_;
};

}  // namespace assay
