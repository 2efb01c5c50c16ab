#include "sumcheck/prover.h"

#include <mutex>

#include "base/math.h"
#include "base/parallel.h"
#include "base/result.h"

namespace assay {
namespace {

// eq over one variable fewer: the two halves of each pair add up, since eq sums to one over a variable.
template <int D>
void drop_low_variable(Vec<D>& table) {
  const size_t n = table.size() / 2;
  for (size_t i = 0; i < n; ++i) table[i] = table[2 * i] + table[2 * i + 1];
  table.resize(n);
}

template <int D>
Vec<D> weights_or_ones(const Vec<D>& rho, unsigned bits) {
  if (rho.empty()) return Vec<D>(size_t{1} << bits, Ext<D>::one());
  return eq_vector<D>(rho);
}

// Values of the operands of one pair of cells at X = 0, 1, 2, 3.
constexpr size_t kMaxOperands = 16;
constexpr int kMaxNodes = 4;

template <class T>
struct PairValues {
  T at[kMaxNodes][kMaxOperands];
  void set(size_t operand, T a0, T a1, int nodes) {
    const T step = a1 - a0;
    T x = a0;
    for (int n = 0; n < nodes; ++n, x = x + step) at[n][operand] = x;
  }
};

template <int D>
Ext<D> scaled(const Ext<D>& x, F c) {
  return x * c;
}
inline F scaled(F x, F c) { return x * c; }

template <int D, class T>
Ext<D> evaluate(const ProductForm<D>& form, const T* values) {
  Ext<D> total;
  for (size_t k = form.polys.size(); k-- > 0;) {
    T sum{};
    for (const auto& m : form.polys[k]) {
      if (m.operands.empty()) {
        sum += T(m.coefficient);
        continue;
      }
      T product = values[m.operands[0]];
      for (size_t i = 1; i < m.operands.size(); ++i) product = product * values[m.operands[i]];
      sum += scaled(product, m.coefficient);
    }
    total = k + 1 == form.polys.size() ? Ext<D>(sum) : total * form.lambda + Ext<D>(sum);
  }
  return total;
}

// Reads of an operand table as F or E.
template <class T, int D>
T read(const OperandTable<D>& t, size_t i) {
  if constexpr (std::is_same_v<T, F>) {
    return t.base[i];
  } else {
    return t.ext.empty() ? Ext<D>(t.base[i]) : t.ext[i];
  }
}

template <int D>
void fold_row(Vec<D>& out, size_t out_at, const OperandTable<D>& t, size_t in_at, size_t n, const Ext<D>& r) {
  for (size_t j = 0; 2 * j < n; ++j) {
    const Ext<D> a = read<Ext<D>>(t, in_at + 2 * j);
    const Ext<D> b = 2 * j + 1 < n ? read<Ext<D>>(t, in_at + 2 * j + 1) : Ext<D>::zero();
    out[out_at + j] = a + (b - a) * r;
  }
}

template <int D>
void bind_table(OperandTable<D>& t, bool columns, uint32_t rows, uint32_t cols, const Ext<D>& r) {
  if (columns ? t.spread == Spread::kRows : t.spread == Spread::kCols) return;
  const size_t lines = columns && t.spread == Spread::kCells ? rows : 1;
  const size_t n = columns ? cols : rows;
  const size_t half = (n + 1) / 2;
  Vec<D> out(lines * half);
  parallel_for(lines, std::max<size_t>(1, 4096 / half), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) fold_row(out, i * half, t, i * n, n, r);
  });
  t.ext = std::move(out);
  t.base.clear();
  t.base.shrink_to_fit();
}

}  // namespace

template <int D>
GridProver<D>::GridProver(Input input) : in_(std::move(input)), rows_(in_.rows), cols_(in_.cols) {
  check(in_.tables.size() < kMaxOperands && in_.degree < kMaxNodes, "too many operands in one relation");
  eq_cols_ = weights_or_ones(in_.rho_cols, log2_ceil(cols_));
  eq_rows_ = weights_or_ones(in_.rho_rows, log2_ceil(rows_));
  // A constant monomial means the indicator of the grid: a table of ones that folds like the others.
  bool constant = false;
  for (const auto& p : in_.form.polys)
    for (const auto& m : p) constant |= m.operands.empty();
  if (!constant) return;
  const auto ones = static_cast<uint32_t>(in_.tables.size());
  in_.tables.push_back({Spread::kCells, std::vector<F>(size_t{rows_} * cols_, F::one()), {}});
  for (auto& p : in_.form.polys)
    for (auto& m : p)
      if (m.operands.empty()) m.operands = {ones};
}

template <int D>
template <class T>
Vec<D> GridProver<D>::round_over() {
  const bool columns = in_columns();
  const int nodes = in_.degree + 1;
  const size_t n = columns ? cols_ : rows_;
  const size_t half = (n + 1) / 2;
  const size_t lines = columns ? rows_ : 1;
  const Vec<D>& weights = columns ? eq_cols_ : eq_rows_;
  const bool weighted = !(columns ? in_.rho_cols : in_.rho_rows).empty();
  Vec<D> total(nodes);
  std::mutex mutex;

  const auto span_of_line = [&](size_t line, size_t begin, size_t end, Vec<D>& sum) {
    PairValues<T> v;
    for (size_t j = begin; j < end; ++j) {
      for (size_t k = 0; k < in_.tables.size(); ++k) {
        const OperandTable<D>& t = in_.tables[k];
        if (columns ? t.spread == Spread::kRows : t.spread == Spread::kCols) {
          const T a = read<T>(t, columns ? line : 0);
          for (int x = 0; x < nodes; ++x) v.at[x][k] = a;
          continue;
        }
        const size_t at = (columns && t.spread == Spread::kCells ? line * n : 0) + 2 * j;
        v.set(k, read<T>(t, at), 2 * j + 1 < n ? read<T>(t, at + 1) : T{}, nodes);
      }
      for (int x = 0; x < nodes; ++x) {
        if (x == 1) continue;
        const Ext<D> p = evaluate(in_.form, v.at[x]);
        sum[x] += weighted ? p * weights[j] : p;
      }
    }
  };
  const bool by_line = columns && lines > 1;
  const size_t work = by_line ? lines : half;
  parallel_for(work, std::max<size_t>(1, 512 / (by_line ? half : 1)), [&](size_t begin, size_t end) {
    Vec<D> mine(nodes);
    if (!by_line) {
      span_of_line(0, begin, end, mine);
      if (columns)  // a single row still has its weight
        for (auto& x : mine) x *= eq_rows_[0];
    } else {
      for (size_t i = begin; i < end; ++i) {
        Vec<D> line(nodes);
        span_of_line(i, 0, half, line);
        for (int x = 0; x < nodes; ++x) mine[x] += in_.rho_rows.empty() ? line[x] : line[x] * eq_rows_[i];
      }
    }
    const std::scoped_lock lock(mutex);
    for (int x = 0; x < nodes; ++x) total[x] += mine[x];
  });
  return total;
}

template <int D>
Vec<D> GridProver<D>::round() {
  if (in_columns()) {
    if (!in_.rho_cols.empty()) drop_low_variable(eq_cols_);
  } else if (!in_.rho_rows.empty()) {
    drop_low_variable(eq_rows_);
  }
  bool base = true;
  for (const auto& t : in_.tables) base &= t.ext.empty();
  return base ? round_over<F>() : round_over<Ext<D>>();
}

template <int D>
void GridProver<D>::bind(const Ext<D>& challenge) {
  const bool columns = in_columns();
  for (auto& t : in_.tables) bind_table(t, columns, rows_, cols_, challenge);
  uint32_t& n = columns ? cols_ : rows_;
  n = (n + 1) / 2;
}

template <int D>
Ext<D> GridProver<D>::value(size_t table) const {
  return read<Ext<D>>(in_.tables[table], 0);
}

template class GridProver<2>;
template class GridProver<3>;

}  // namespace assay
