#include "sumcheck/prover.h"

#include <mutex>

#include "base/math.h"
#include "base/parallel.h"
#include "base/result.h"

namespace assay {
namespace {

constexpr size_t kShortLine = 8;     // lines of so many elements or fewer are laid end to end
constexpr size_t kBlockPairs = 128;  // read at once: tables and scratch stay in the L1 cache
constexpr size_t kGrain = 4096;      // elements for a thread

// The inverses of all, by one inversion.
template <int D>
Vec<D> inverses(const Vec<D>& x) {
  Vec<D> out(x.size());
  Ext<D> product = Ext<D>::one();
  for (size_t i = 0; i < x.size(); ++i) {
    out[i] = product;
    product *= x[i];
  }
  product = inverse(product);
  for (size_t i = x.size(); i-- > 0;) {
    out[i] *= product;
    product *= x[i];
  }
  return out;
}

template <int D>
void drop_first(Vec<D>& x) {
  if (!x.empty()) x.erase(x.begin());
}

template <int D>
void zero(Planes<D> out, size_t begin, size_t end) {
  for (int d = 0; d < D; ++d) std::fill(out.c[d] + begin, out.c[d] + end, 0);
}

// Elements of F as elements of E.
template <int D>
void lift_line(const uint64_t* from, size_t n, Planes<D> out) {
  std::copy(from, from + n, out.c[0]);
  for (int d = 1; d < D; ++d) std::fill(out.c[d], out.c[d] + n, 0);
}

template <int D>
void copy_line(ConstPlanes<D> from, size_t n, Planes<D> out) {
  for (int d = 0; d < D; ++d) std::copy(from.c[d], from.c[d] + n, out.c[d]);
}

// Vectors of a block, one after another.
template <int K>
class Scratch {
 public:
  explicit Scratch(size_t vectors) : words_(vectors * K * kBlockPairs) {}
  Planes<K> operator[](size_t i) {
    Planes<K> p;
    for (int k = 0; k < K; ++k) p.c[k] = words_.data() + (i * K + static_cast<size_t>(k)) * kBlockPairs;
    return p;
  }

 private:
  Buffer<uint64_t> words_;
};

}  // namespace

// ---- Relation and tables ----

template <int D>
GridProver<D>::GridProver(Input input)
    : rho_cols_(std::move(input.rho_cols)),
      rho_rows_(std::move(input.rho_rows)),
      inverse_cols_(inverses<D>(rho_cols_)),
      inverse_rows_(inverses<D>(rho_rows_)),
      weighted_cols_(!rho_cols_.empty()),
      weighted_rows_(!rho_rows_.empty()),
      rows_(input.rows),
      cols_(input.cols),
      degree_(static_cast<size_t>(input.degree)),
      claim_(std::move(input.claim)) {
  check(input.tables.size() <= kMostTables && degree_ <= 3, "too many operands in one relation");
  for (const auto& t : input.tables) base_ &= t.spread != Spread::kCells || t.ext.empty();
  for (auto& t : input.tables) take(std::move(t));
  add_polys(input.form);
  if (rows_ == 1 || cols_ <= kShortLine) flatten(cols_);
}

template <int D>
void GridProver<D>::add_polys(const ProductForm<D>& form) {
  Ext<D> power = Ext<D>::one();
  for (const auto& poly : form.polys) {
    const size_t first = groups_.size();
    for (const auto& m : poly) {
      Group g{power * m.coefficient, {}, {}, {{}}};
      for (const uint32_t t : m.operands)
        (tables_[t].spread == Spread::kRows   ? g.rows
         : tables_[t].spread == Spread::kCols ? g.cols
                                              : g.terms[0])
            .push_back(t);
      check(!g.terms[0].empty() && m.operands.size() <= degree_,
            "a monomial has an operand by cells, and at most as many as the degree");
      g.degree = g.degree_of(g.terms[0]);
      const auto same = std::find_if(
          groups_.begin() + static_cast<std::ptrdiff_t>(first), groups_.end(),
          [&](const Group& o) { return o.scale == g.scale && o.rows == g.rows && o.cols == g.cols; });
      if (same == groups_.end()) {
        groups_.push_back(std::move(g));
      } else {
        same->degree = std::max(same->degree, g.degree);
        same->terms.push_back(std::move(g.terms[0]));
      }
    }
    power *= form.lambda;
  }
}

// What lines share, and everything beside elements of E, is of E from the start.
template <int D>
void GridProver<D>::take(OperandTable<D> from) {
  Table& t = tables_.emplace_back();
  t.spread = from.spread;
  t.repeats = from.repeats;
  t.base = std::move(from.base);
  if (t.spread == Spread::kRows) {
    t.rows = std::move(from.ext);
    for (size_t i = 0; t.rows.size() < rows_; ++i) t.rows.emplace_back(F(t.base.data()[i]));
    t.base = {};
    return;
  }
  if (from.ext.empty()) {
    if (!base_ || t.spread == Spread::kCols) lift(t);
    return;
  }
  const size_t lines = from.ext.size() / cols_;
  t.stride = even(cols_);
  t.ext = PlaneBuffer<D>(lines * t.stride);
  for (size_t i = 0; i < lines; ++i) {
    for (size_t j = 0; j < cols_; ++j) t.ext.set(i * t.stride + j, from.ext[i * cols_ + j]);
    if (t.stride != cols_) t.ext.set(i * t.stride + cols_, Ext<D>::zero());
  }
}

template <int D>
void GridProver<D>::lift(Table& t) {
  t.stride = even(cols_);
  t.ext = PlaneBuffer<D>(t.base.size());
  lift_line<D>(t.base.data(), t.base.size(), t.ext.view());
  t.base = {};
}

template <int D>
template <int K>
ConstPlanes<K> GridProver<D>::line(Table& t, size_t i) {
  i = t.spread == Spread::kCols ? 0 : i / t.repeats;
  if constexpr (K == 1) {
    Planes<1> p;
    p.c[0] = t.base.data() + i * even(cols_);
    return p;
  } else {
    return t.ext.view().at(i * t.stride);
  }
}

// Elements [begin, end) of a line bound at the pending challenge, from a line of cols_ elements.
template <int D>
void GridProver<D>::fold_line(Table& t, size_t i, size_t begin, size_t end, Planes<D> out) {
  const size_t n = 2 * (end - begin);
  if (t.base.size() != 0)
    fold_base<D>(line<1>(t, i).at(2 * begin), n, *pending_, out.at(begin));
  else
    fold<D>(line<D>(t, i).at(2 * begin), n, *pending_, out.at(begin));
  const size_t half = (cols_ + 1) / 2;
  if (end == half && half % 2 == 1) out.set(half, Ext<D>::zero());
}

// ---- Nodes ----

template <int D>
size_t GridProver<D>::degree_now() const {
  size_t degree = 1;
  for (const Group& g : groups_) degree = std::max(degree, g.degree);
  return degree;
}

template <int D>
typename GridProver<D>::Nodes GridProver<D>::nodes() const {
  Nodes out = {Node::kZero};
  if (!claim_) out.push_back(Node::kOne);
  if (degree_now() > 1) out.push_back(Node::kInfinity);
  if (degree_now() > 2) out.push_back(Node::kTwo);
  return out;
}

// Adds a block's share to each group's sums; `at` is the block's place in the weights.
template <int D>
template <int K>
void GridProver<D>::block_sums(const std::vector<ConstPlanes<K>>& tables, size_t pairs, const Nodes& nodes,
                               const Weights& weights, size_t at, std::span<Ends> sums) const {
  thread_local Scratch<K> scratch(kMostTables + 2);
  const Planes<K> product = scratch[kMostTables], other = scratch[kMostTables + 1];
  const size_t degree = degree_now();
  for (const Node node : nodes) {
    const auto counts = [&](const Group& g, const std::vector<uint32_t>& term) {
      return node != Node::kInfinity || g.degree_of(term) == degree;
    };
    uint32_t read = 0;  // a bit for each table
    for (size_t k = 0; k < groups_.size(); ++k) {
      const Group& g = groups_[k];
      ConstPlanes<D> w = weights[k][static_cast<size_t>(node)];
      const bool plain = w.c[0] == nullptr;
      if (!plain) w = w.at(at);
      ConstPlanes<K> value;
      bool first = true;
      for (const auto& term : g.terms) {
        if (!counts(g, term)) continue;
        for (const uint32_t t : term)
          if ((read >> t & 1) == 0) {
            at_node<K>(tables[t], 2 * pairs, node, scratch[t]);
            read |= 1U << t;
          }
        ConstPlanes<K> v = scratch[term[0]];
        const Planes<K> to = first ? product : other;
        // Without weights the last factor of a lone term takes their place.
        const size_t factors = K == D && plain && g.terms.size() == 1 ? term.size() - 1 : term.size();
        for (size_t i = 1; i < factors; ++i) {
          multiply<K>(v, scratch[term[i]], pairs, to);
          v = to;
        }
        if constexpr (K == D)
          if (factors > 0 && factors < term.size()) {
            sums[k][node] += weighted_sum<D, D>(v, scratch[term[factors]], pairs);
            v = {};
          }
        if (v.c[0] == nullptr) {
          value = {};
          break;
        }
        if (first) {
          value = v;
          first = false;
        } else {
          // The sum is in `product`: terms of one operand are left where they were read.
          if (value.c[0] != product.c[0]) {
            for (int d = 0; d < K; ++d) std::copy(value.c[d], value.c[d] + pairs, product.c[d]);
            value = product;
          }
          add_to<K>(v, pairs, product);
        }
      }
      if (value.c[0] == nullptr) continue;
      sums[k][node] += plain ? sum<D, K>(value, pairs) : weighted_sum<D, K>(w, value, pairs);
    }
  }
}

// ---- Rounds over lines ----

// Tables that several lines read are bound before them.
template <int D>
void GridProver<D>::fold_shared() {
  const size_t half = (cols_ + 1) / 2;
  for (Table& t : tables_) {
    if (t.spread == Spread::kRows || t.own_lines()) continue;
    const size_t lines = t.spread == Spread::kCols ? 1 : (rows_ + t.repeats - 1) / t.repeats;
    if (t.base.size() != 0) {
      t.stride = even(half);
      t.ext = PlaneBuffer<D>(lines * t.stride);
    }
    for (size_t i = 0; i < lines; ++i) fold_line(t, i * t.repeats, 0, half, t.ext.view().at(i * t.stride));
    t.base = {};
  }
}

template <int D>
template <int K>
void GridProver<D>::line_sums(size_t i, const Nodes& nodes, const Weights& weights, std::span<Ends> sums) {
  const bool binding = pending_.has_value();
  const size_t n = binding ? (cols_ + 1) / 2 : cols_;
  std::vector<ConstPlanes<K>> tables(tables_.size());
  for (size_t begin = 0; begin < n; begin += 2 * kBlockPairs) {
    const size_t end = std::min(n, begin + 2 * kBlockPairs);
    for (size_t k = 0; k < tables_.size(); ++k) {
      Table& t = tables_[k];
      if (t.spread != Spread::kCells) continue;
      if constexpr (K == D)
        if (binding && t.own_lines()) fold_line(t, i, begin, end, t.ext.view().at(i * t.stride));
      tables[k] = line<K>(t, i).at(begin);
    }
    block_sums<K>(tables, (end - begin + 1) / 2, nodes, weights, begin / 2, sums);
  }
}

template <int D>
typename GridProver<D>::Ends GridProver<D>::round_lines() {
  const bool binding = pending_.has_value();
  if (binding) {
    fold_shared();
    for (Table& t : tables_)
      if (t.own_lines() && t.base.size() != 0) {
        t.stride = even((cols_ + 1) / 2);
        t.ext = PlaneBuffer<D>(rows_ * t.stride);
      }
  }
  const size_t n = binding ? (cols_ + 1) / 2 : cols_, pairs = (n + 1) / 2;
  const Nodes at = nodes();
  PlaneBuffer<D> eq;
  if (weighted_cols_) {
    const auto later = std::span<const Ext<D>>(rho_cols_).subspan(binding ? 2 : 1);
    eq = PlaneBuffer<D>(size_t{1} << later.size());
    eq_planes<D>(later, eq.view());
  }
  std::vector<PlaneBuffer<D>> own;
  Weights weights(groups_.size());
  for (size_t k = 0; k < groups_.size(); ++k)
    for (const Node node : at) {
      ConstPlanes<D>& w = weights[k][static_cast<size_t>(node)];
      if (weighted_cols_) w = eq.view();
      for (const uint32_t c : groups_[k].cols) {
        const Planes<D> to = own.emplace_back(pairs).view();
        at_node<D>(line<D>(tables_[c], 0), 2 * pairs, node, to);
        if (w.c[0] != nullptr) multiply<D>(w, to, pairs, to);
        w = to;
      }
    }
  const Vec<D> row_weights = weighted_rows_ ? eq_vector<D>(rho_rows_) : Vec<D>(rows_, Ext<D>::one());
  std::vector<Ends> sums(groups_.size());
  std::mutex mutex;
  parallel_for(rows_, std::max<size_t>(1, kGrain / n), [&](size_t begin, size_t end) {
    std::vector<Ends> mine(groups_.size()), line(groups_.size());
    for (size_t i = begin; i < end; ++i) {
      std::fill(line.begin(), line.end(), Ends{});
      if (base_ && !binding)
        line_sums<1>(i, at, weights, line);
      else
        line_sums<D>(i, at, weights, line);
      for (size_t k = 0; k < groups_.size(); ++k) {
        Ext<D> factor = row_weights[i];
        for (const uint32_t r : groups_[k].rows) factor *= tables_[r].rows[i];
        for (const Node node : at) mine[k][node] += line[k][node] * factor;
      }
    }
    const std::scoped_lock lock(mutex);
    for (size_t k = 0; k < groups_.size(); ++k)
      for (const Node node : at) sums[k][node] += mine[k][node];
  });
  if (binding) {
    for (Table& t : tables_)
      if (t.spread == Spread::kCells) t.base = {};
    base_ = false;
    settle();
  }
  Ends total;
  for (size_t k = 0; k < groups_.size(); ++k)
    for (const Node node : at) total[node] += groups_[k].scale * sums[k][node];
  return total;
}

// ---- Rounds over lines laid end to end ----

// Lines of `cols` elements, bound at the pending challenge; `lines` of them. A value by rows belongs to the
// whole row and one by columns to the whole column, also where these are padded.
template <int D>
void GridProver<D>::flatten_table(Table& t, size_t lines, size_t cols) {
  const size_t n = pending_ ? (cols_ + 1) / 2 : cols_;
  if (lines == 1 && !pending_ && t.ext.size() != 0) return;
  PlaneBuffer<D> flat(even(lines * cols));
  const Planes<D> out = flat.view();
  if (flat.size() != lines * cols) out.set(lines * cols, Ext<D>::zero());
  parallel_for(lines, std::max<size_t>(1, kGrain / cols), [&](size_t begin, size_t end) {
    PlaneBuffer<D> folded(even(n));  // a fold may write one element past the end
    for (size_t i = begin; i < end; ++i) {
      const Planes<D> to = out.at(i * cols);
      if (i >= rows_ && t.spread != Spread::kCols) {
        zero(to, 0, cols);
        continue;
      }
      if (t.spread == Spread::kRows) {
        for (size_t j = 0; j < cols; ++j) to.set(j, t.rows[i]);
        continue;
      }
      if (pending_) {
        fold_line(t, i, 0, n, folded.view());
        copy_line<D>(folded.view(), n, to);
      } else if (t.base.size() != 0) {
        lift_line<D>(line<1>(t, i).c[0], n, to);
      } else {
        copy_line<D>(line<D>(t, i), n, to);
      }
      zero(to, n, cols);
    }
  });
  t.ext = std::move(flat);
}

// One line as it is; of several, both sides are padded to powers of two.
template <int D>
void GridProver<D>::flatten(size_t cols) {
  const size_t lines = size_t{1} << log2_ceil(rows_);
  if (lines > 1) cols = size_t{1} << log2_ceil(cols);
  flat_size_ = lines * cols;
  for (Group& g : groups_) {
    for (auto& term : g.terms) {
      if (lines > 1) term.insert(term.end(), g.rows.begin(), g.rows.end());
      term.insert(term.end(), g.cols.begin(), g.cols.end());
    }
    if (lines == 1)
      for (const uint32_t r : g.rows) g.scale *= tables_[r].rows[0];
    g.rows.clear();
    g.cols.clear();
    g.degree = 0;
    for (const auto& term : g.terms) g.degree = std::max(g.degree, term.size());
  }
  for (Table& t : tables_) {
    if (lines == 1 && t.spread == Spread::kRows) continue;
    flatten_table(t, lines, cols);
    t.base = {};
    t.rows.clear();
  }
  base_ = false;
  if (pending_) settle();
  flat_ = true;
}

// eq over the variables after the current one; none where no variable has an eq factor.
template <int D>
PlaneBuffer<D> GridProver<D>::flat_weights() const {
  const bool columns = in_columns();
  const size_t col_bits = columns ? log2_ceil(cols_) - 1 : 0;
  const size_t row_bits = log2_ceil(rows_) - (columns ? 0 : 1);
  const bool by_cols = weighted_cols_ && col_bits > 0, by_rows = weighted_rows_ && row_bits > 0;
  if (!by_cols && !by_rows) return {};
  const std::span<const Ext<D>> cols(rho_cols_), rows(rho_rows_);
  const auto later_cols = by_cols ? cols.last(col_bits) : cols.first(0);
  const auto later_rows = by_rows ? rows.last(row_bits) : rows.first(0);
  PlaneBuffer<D> out(size_t{1} << (col_bits + row_bits));
  if (by_cols == (col_bits > 0) && by_rows == (row_bits > 0)) {
    Vec<D> point(later_cols.begin(), later_cols.end());
    point.insert(point.end(), later_rows.begin(), later_rows.end());
    eq_planes<D>(point, out.view());
    return out;
  }
  const Vec<D> c = by_cols ? eq_vector<D>(later_cols) : Vec<D>(size_t{1} << col_bits, Ext<D>::one());
  const Vec<D> r = by_rows ? eq_vector<D>(later_rows) : Vec<D>(size_t{1} << row_bits, Ext<D>::one());
  for (size_t i = 0; i < out.size(); ++i) out.set(i, c[i % c.size()] * r[i / c.size()]);
  return out;
}

template <int D>
typename GridProver<D>::Ends GridProver<D>::round_flat() {
  const std::optional<Ext<D>> challenge = pending_;
  const size_t n = challenge ? (flat_size_ + 1) / 2 : flat_size_, pairs = (n + 1) / 2;
  if (challenge) {
    for (Table& t : tables_)
      if (t.rows.empty() && t.next.size() < even(n)) t.next = PlaneBuffer<D>(even(n));
    settle();
  }
  const bool done = rows_ == 1 && cols_ == 1;
  const Nodes at = nodes();
  PlaneBuffer<D> eq;
  if (!done) eq = flat_weights();
  Weights weights(groups_.size());
  for (auto& w : weights)
    if (eq.size() != 0) w.fill(eq.view());
  std::vector<Ends> sums(groups_.size());
  std::mutex mutex;
  parallel_for((pairs + kBlockPairs - 1) / kBlockPairs, kGrain / (2 * kBlockPairs),
               [&](size_t first, size_t last) {
                 std::vector<Ends> mine(groups_.size());
                 std::vector<ConstPlanes<D>> tables(tables_.size());
                 for (size_t block = first; block < last; ++block) {
                   const size_t begin = block * 2 * kBlockPairs, end = std::min(n, begin + 2 * kBlockPairs);
                   for (size_t k = 0; k < tables_.size(); ++k) {
                     Table& t = tables_[k];
                     if (!t.rows.empty()) continue;
                     const Planes<D> now = challenge ? t.next.view() : t.ext.view();
                     if (challenge) {
                       fold<D>(t.ext.view().at(2 * begin), 2 * (end - begin), *challenge, now.at(begin));
                       if (end == n && n % 2 == 1) now.set(n, Ext<D>::zero());
                     }
                     tables[k] = now.at(begin);
                   }
                   if (!done) block_sums<D>(tables, (end - begin + 1) / 2, at, weights, begin / 2, mine);
                 }
                 const std::scoped_lock lock(mutex);
                 for (size_t k = 0; k < groups_.size(); ++k)
                   for (const Node node : at) sums[k][node] += mine[k][node];
               });
  if (challenge)
    for (Table& t : tables_) std::swap(t.ext, t.next);
  Ends total;
  for (size_t k = 0; k < groups_.size(); ++k)
    for (const Node node : at) total[node] += groups_[k].scale * sums[k][node];
  return total;
}

// ---- Rounds ----

// The variable of the pending challenge is bound.
template <int D>
void GridProver<D>::settle() {
  pending_.reset();
  if (flat_) flat_size_ = (flat_size_ + 1) / 2;
  if (in_columns()) {
    cols_ = (cols_ + 1) / 2;
    drop_first(rho_cols_);
    drop_first(inverse_cols_);
  } else {
    rows_ = (rows_ + 1) / 2;
    drop_first(rho_rows_);
    drop_first(inverse_rows_);
  }
}

// H(0), H(1), ..., and its coefficients.
template <int D>
Vec<D> GridProver<D>::polynomial(Ends& h) {
  const Ext<D> h0 = h[Node::kZero];
  const Ext<D>* rho = !weighted() ? nullptr : in_columns() ? &rho_cols_[0] : &rho_rows_[0];
  if (claim_) {
    h[Node::kOne] = rho == nullptr ? *claim_ - h0
                                   : (*claim_ - h0 * (Ext<D>::one() - *rho)) *
                                         (in_columns() ? inverse_cols_[0] : inverse_rows_[0]);
  }
  auto& c = coefficients_;
  c = {h0, h[Node::kOne] - h0, {}, {}};
  const size_t degree = degree_now();
  const Ext<D> top = h[Node::kInfinity];
  if (degree == 2) {
    c[2] = top;
  } else if (degree == 3) {
    // H(2) - 2 H(1) + H(0) = 2 c_2 + 6 c_3
    c[3] = top;
    c[2] = (h[Node::kTwo] - h[Node::kOne] - h[Node::kOne] + h0) * inverse(F(2)) - top * F(3);
  }
  c[1] -= c[2] + c[3];
  Vec<D> out;
  for (uint64_t x = 0; x <= degree_; ++x) out.push_back(((c[3] * F(x) + c[2]) * F(x) + c[1]) * F(x) + c[0]);
  return out;
}

template <int D>
Vec<D> GridProver<D>::round() {
  if (!flat_ && pending_ && (cols_ + 1) / 2 <= kShortLine) flatten((cols_ + 1) / 2);
  Ends h = flat_ ? round_flat() : round_lines();
  return polynomial(h);
}

template <int D>
void GridProver<D>::bind(const Ext<D>& challenge) {
  const auto& c = coefficients_;
  claim_ = ((c[3] * challenge + c[2]) * challenge + c[1]) * challenge + c[0];
  pending_ = challenge;
  const size_t left = in_columns() ? (cols_ + 1) / 2 * rows_ : (rows_ + 1) / 2;
  if (left == 1) (void)round_flat();
}

template <int D>
Ext<D> GridProver<D>::value(size_t table) const {
  const Table& t = tables_[table];
  return t.rows.empty() ? t.ext.get(0) : t.rows[0];
}

template class GridProver<2>;
template class GridProver<3>;

}  // namespace assay
