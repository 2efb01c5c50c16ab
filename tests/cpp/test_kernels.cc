// Every kernel against its formula in plain field arithmetic, on every path.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "backend/kernels.h"
#include "check.h"
#include "field_samples.h"
#include "paths.h"

namespace assay {
namespace {

// Values of every kind that kernels take.
class Draws : public Random {
 public:
  using Random::Random;
  template <int D>
  std::vector<Ext<D>> exts(size_t n) {
    std::vector<Ext<D>> r(n);
    for (Ext<D>& x : r) {
      for (F& c : x.c) c = field();
    }
    return r;
  }
  // One in four is extreme.
  template <class T>
  std::vector<T> cells(size_t n) {
    std::vector<T> r(n);
    for (T& x : r) {
      const uint64_t kind = next() % 8;
      x = kind == 0   ? kLargest<T>
          : kind == 1 ? kSmallest<T>
                      : static_cast<T>(static_cast<T>(next()) / kShrink<T>);
    }
    return r;
  }
  template <class T>
  static constexpr T kLargest = sizeof(T) == 8 ? T((int64_t{1} << 62) - 1) : std::numeric_limits<T>::max();
  template <class T>
  static constexpr T kSmallest =
      sizeof(T) == 8 ? T(-((int64_t{1} << 62) - 1)) : std::numeric_limits<T>::min();
  template <class T>
  static constexpr T kShrink = sizeof(T) == 8 ? 4 : 1;
};

// Owns planes, with a guard element after each that must stay as it is.
template <int D>
class PlaneVector {
 public:
  explicit PlaneVector(const std::vector<Ext<D>>& values)
      : n_(values.size()), storage_(D * (n_ + 1), kGuard) {
    for (size_t i = 0; i < n_; ++i) view().set(i, values[i]);
  }
  explicit PlaneVector(size_t n) : PlaneVector(std::vector<Ext<D>>(n)) {}
  Planes<D> view() {
    Planes<D> p;
    for (int d = 0; d < D; ++d) p.c[d] = storage_.data() + d * (n_ + 1);
    return p;
  }
  std::vector<Ext<D>> values(size_t n) {
    std::vector<Ext<D>> r;
    for (size_t i = 0; i < n; ++i) r.push_back(view().get(i));
    return r;
  }
  std::vector<Ext<D>> values() { return values(n_); }
  bool guards_hold() const {
    for (int d = 0; d < D; ++d) {
      if (storage_[d * (n_ + 1) + n_] != kGuard) return false;
    }
    return true;
  }

 private:
  static constexpr uint64_t kGuard = 0xAAAAAAAAAAAAAAAA;
  size_t n_;
  std::vector<uint64_t> storage_;
};

template <class Body>
void for_types(Body body) {
  const auto with_degree = [&]<int D>() {
    body.template operator()<D, int16_t>();
    body.template operator()<D, int32_t>();
    body.template operator()<D, int64_t>();
  };
  with_degree.template operator()<2>();
  with_degree.template operator()<3>();
}

template <class Body>
void for_degrees(Body body) {
  body.template operator()<2>();
  body.template operator()<3>();
}

constexpr size_t kSizes[] = {0,  1,  2,  3,  4,   5,   7,   8,   9,   15,  16,
                             17, 31, 32, 33, 127, 128, 129, 257, 511, 512, 513};
constexpr size_t kEvenSizes[] = {0,  2,  4,   6,   8,   10,  14,  16,   18,   30,
                                 32, 34, 126, 128, 130, 512, 514, 1022, 1024, 1026};

template <int D, class T>
void check_accumulate_rows(Draws& random, size_t rows, size_t cols) {
  const size_t stride = cols + 3;
  const std::vector<T> cells = random.cells<T>(rows * stride);
  const std::vector<Ext<D>> coef = random.exts<D>(rows);
  const std::vector<Ext<D>> start = random.exts<D>(cols);
  std::vector<Ext<D>> want = start;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t j = 0; j < cols; ++j) want[j] += coef[r] * F::from_i64(cells[r * stride + j]);
  }
  on_all_paths([&] {
    std::vector<Ext<D>> out = start;
    accumulate_rows<D, T>(cells.data(), stride, rows, cols, coef.data(), out.data());
    CHECK(out == want);
  });
}

TEST(accumulate_rows_is_the_sum) {
  Draws random(1);
  for_types([&]<int D, class T>() {
    for (const size_t cols : kSizes) {
      for (const size_t rows : {0, 1, 2, 7, 8, 9, 33}) check_accumulate_rows<D, T>(random, rows, cols);
    }
    check_accumulate_rows<D, T>(random, 70000, 5);
  });
}

// All terms as large as they get and of one sign, so that the lazy sums are at their bounds.
template <int D, class T>
void check_extremes(F limb, T cell) {
  constexpr size_t kRows = 70001, kCols = 5;
  const std::vector<T> cells(kRows * kCols, cell);
  Ext<D> x;
  std::fill(x.c.begin(), x.c.end(), limb);
  const std::vector<Ext<D>> coef(kRows, x);
  const Ext<D> column = x * F(kRows) * F::from_i64(cell);
  const Ext<D> row = x * F(kCols) * F::from_i64(cell);
  std::vector<uint32_t> index(kRows);
  for (size_t i = 0; i < kRows; ++i) index[i] = static_cast<uint32_t>(kRows - 1 - i);
  on_all_paths([&] {
    std::vector<Ext<D>> rows(kCols), blocks(kCols), dots(2), short_dots(kRows);
    accumulate_rows<D, T>(cells.data(), kCols, kRows, kCols, coef.data(), rows.data());
    accumulate_blocks<D, T>(cells.data(), kCols, index, coef.data(), blocks.data());
    dot_blocks<D, T>(cells.data(), 2, kRows, coef.data(), dots.data());
    dot_blocks<D, T>(cells.data(), kRows, kCols, coef.data(), short_dots.data());
    CHECK(std::count(rows.begin(), rows.end(), column) == kCols);
    CHECK(std::count(blocks.begin(), blocks.end(), column) == kCols);
    CHECK(std::count(dots.begin(), dots.end(), column) == 2);
    CHECK(std::count(short_dots.begin(), short_dots.end(), row) == kRows);
  });
}

TEST(small_integer_kernels_at_their_bounds) {
  for_types([&]<int D, class T>() {
    // The last four have extreme halves or thirds when split into signed pieces.
    for (const uint64_t limb :
         {kModulus - 1, kEpsilon, uint64_t{0x7FFFFFFF80000000}, uint64_t{0x7FFFFFFF7FFFFFFF},
          uint64_t{0x8000000080000000}, uint64_t{0x7FFFF7FFFFDFFFFF}}) {
      check_extremes<D, T>(F(limb), Draws::kLargest<T>);
      check_extremes<D, T>(F(limb), Draws::kSmallest<T>);
    }
  });
}

template <int D, class T>
void check_dot_blocks(Draws& random, size_t blocks, size_t block_len) {
  const std::vector<T> cells = random.cells<T>(blocks * block_len);
  const std::vector<Ext<D>> weights = random.exts<D>(block_len);
  std::vector<Ext<D>> want(blocks);
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t j = 0; j < block_len; ++j) want[b] += weights[j] * F::from_i64(cells[b * block_len + j]);
  }
  on_all_paths([&] {
    std::vector<Ext<D>> out = random.exts<D>(blocks);
    dot_blocks<D, T>(cells.data(), blocks, block_len, weights.data(), out.data());
    CHECK(out == want);
  });
}

TEST(dot_blocks_is_the_sum) {
  Draws random(2);
  for_types([&]<int D, class T>() {
    for (const size_t block_len : kSizes) {
      for (const size_t blocks : {0, 1, 2, 5}) check_dot_blocks<D, T>(random, blocks, block_len);
    }
    check_dot_blocks<D, T>(random, 2, 70000);
  });
}

template <int D, class T>
void check_accumulate_blocks(Draws& random, size_t count, size_t block_len) {
  constexpr size_t kBlocks = 11;
  const std::vector<T> cells = random.cells<T>(kBlocks * block_len);
  const std::vector<Ext<D>> coef = random.exts<D>(count);
  const std::vector<Ext<D>> start = random.exts<D>(block_len);
  std::vector<uint32_t> index(count);
  for (uint32_t& i : index) i = static_cast<uint32_t>(random.next() % kBlocks);
  std::vector<Ext<D>> want = start;
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = 0; j < block_len; ++j) want[j] += coef[i] * F::from_i64(cells[index[i] * block_len + j]);
  }
  on_all_paths([&] {
    std::vector<Ext<D>> out = start;
    accumulate_blocks<D, T>(cells.data(), block_len, index, coef.data(), out.data());
    CHECK(out == want);
  });
}

TEST(accumulate_blocks_is_the_sum) {
  Draws random(3);
  for_types([&]<int D, class T>() {
    for (const size_t block_len : kSizes) {
      for (const size_t count : {0, 1, 8, 13}) check_accumulate_blocks<D, T>(random, count, block_len);
    }
    check_accumulate_blocks<D, T>(random, 5000, 6);
  });
}

TEST(eq_table_is_the_product) {
  Draws random(4);
  for_degrees([&]<int D>() {
    for (size_t n = 0; n <= 9; ++n) {
      const std::vector<Ext<D>> point = random.exts<D>(n);
      std::vector<Ext<D>> want(size_t{1} << n, Ext<D>::one());
      for (size_t i = 0; i < want.size(); ++i) {
        for (size_t k = 0; k < n; ++k) want[i] *= (i >> k & 1) != 0 ? point[k] : Ext<D>::one() - point[k];
      }
      on_all_paths([&] {
        std::vector<Ext<D>> table(want.size() + 1, random.exts<D>(1)[0]);
        const Ext<D> guard = table.back();
        eq_table<D>(point, table.data());
        CHECK(table.back() == guard);
        table.pop_back();
        CHECK(table == want);
        PlaneVector<D> planes(want.size());
        eq_planes<D>(point, planes.view());
        CHECK(planes.values() == want && planes.guards_hold());
      });
    }
  });
}

TEST(inner_product_is_the_sum) {
  Draws random(5);
  for_degrees([&]<int D>() {
    for (const size_t n : kSizes) {
      const std::vector<Ext<D>> a = random.exts<D>(n), b = random.exts<D>(n);
      Ext<D> want;
      for (size_t i = 0; i < n; ++i) want += a[i] * b[i];
      on_all_paths([&] { CHECK_EQ(inner_product<D>(a.data(), b.data(), n), want); });
    }
  });
}

TEST(add_multiple_is_the_sum) {
  Draws random(13);
  for_degrees([&]<int D>() {
    for (const size_t n : kSizes) {
      std::vector<F> values(n);
      for (F& x : values) x = random.field();
      if (n != 0) values[0] = F(kModulus - 1);
      const std::vector<Ext<D>> start = random.exts<D>(n + 1);
      const Ext<D> c = random.exts<D>(1)[0];
      std::vector<Ext<D>> want = start;
      for (size_t i = 0; i < n; ++i) want[i] += c * values[i];
      on_all_paths([&] {
        std::vector<Ext<D>> got = start;
        add_multiple<D>(values.data(), n, c, got.data());
        CHECK(got == want);
      });
    }
  });
}

template <int D>
void check_fraction_layer(const std::vector<Ext<D>>& p, const std::vector<Ext<D>>& q) {
  const size_t n = p.size();
  std::vector<Ext<D>> p_want, q_want, ones_want;
  for (size_t i = 0; i < n; i += 2) {
    p_want.push_back(p[i] * q[i + 1] + p[i + 1] * q[i]);
    q_want.push_back(q[i] * q[i + 1]);
    ones_want.push_back(q[i] + q[i + 1]);
  }
  on_all_paths([&] {
    PlaneVector<D> ps(p), qs(q), p_out(n / 2), q_out(n / 2);
    fraction_layer<D>(ps.view(), qs.view(), n, p_out.view(), q_out.view());
    CHECK(p_out.values() == p_want && q_out.values() == q_want);
    fraction_layer_ones<D>(qs.view(), n, p_out.view(), q_out.view());
    CHECK(p_out.values() == ones_want && q_out.values() == q_want);
    CHECK(p_out.guards_hold() && q_out.guards_hold());
    fraction_layer<D>(ps.view(), qs.view(), n, ps.view(), qs.view());  // in place
    CHECK(ps.values(n / 2) == p_want && qs.values(n / 2) == q_want);
    CHECK(ps.guards_hold() && qs.guards_hold());
  });
}

TEST(fraction_layer_adds_fractions) {
  Draws random(6);
  for_degrees([&]<int D>() {
    for (const size_t n : kEvenSizes) check_fraction_layer<D>(random.exts<D>(n), random.exts<D>(n));
  });
}

TEST(fold_binds_the_lowest_variable) {
  Draws random(7);
  for_degrees([&]<int D>() {
    for (const size_t n : kEvenSizes) {
      const std::vector<Ext<D>> a = random.exts<D>(n);
      const Ext<D> r = random.exts<D>(1)[0];
      std::vector<Ext<D>> want;
      for (size_t i = 0; i < n; i += 2) want.push_back(a[i] + r * (a[i + 1] - a[i]));
      on_all_paths([&] {
        PlaneVector<D> in(a), out(n / 2);
        fold<D>(in.view(), n, r, out.view());
        CHECK(out.values() == want && out.guards_hold() && in.values() == a);
        fold<D>(in.view(), n, r, in.view());
        CHECK(in.values(n / 2) == want && in.guards_hold());
      });
    }
  });
}

// H(x) as defined, for the ends by interpolation: H(inf) = (H(2) - 2 H(1) + H(0)) / 2.
template <int D, class Term>
RoundEnds<D> ends(Term term) {
  const Ext<D> h0 = term(F(0)), h1 = term(F(1)), h2 = term(F(2));
  return {h0, (h2 - h1 - h1 + h0) * inverse(F(2))};
}

template <int D>
Ext<D> line(const std::vector<Ext<D>>& a, size_t i, F x) {
  return a[2 * i] + (a[2 * i + 1] - a[2 * i]) * x;
}

template <int D>
void check_fraction_round(Draws& random, size_t n) {
  const std::vector<Ext<D>> pa = random.exts<D>(n), pb = random.exts<D>(n), qa = random.exts<D>(n),
                            qb = random.exts<D>(n), eq = random.exts<D>(n / 2);
  const Ext<D> lambda = random.exts<D>(1)[0];
  const RoundEnds<D> want = ends<D>([&](F x) {
    Ext<D> sum;
    for (size_t i = 0; i < n / 2; ++i) {
      sum += eq[i] * (line(pa, i, x) * line(qb, i, x) + line(pb, i, x) * line(qa, i, x));
    }
    return sum;
  });
  const RoundEnds<D> want_ones = ends<D>([&](F x) {
    Ext<D> sum;
    for (size_t i = 0; i < n / 2; ++i) {
      const Ext<D> a = line(qa, i, x), b = line(qb, i, x);
      sum += eq[i] * ((a + lambda) * (b + lambda));
    }
    return sum;
  });
  PlaneVector<D> pas(pa), pbs(pb), qas(qa), qbs(qb), eqs(eq);
  on_all_paths([&] {
    const RoundEnds<D> got = fraction_round<D>(pas.view(), pbs.view(), qas.view(), qbs.view(), eqs.view(), n);
    CHECK(got.zero == want.zero && got.infinity == want.infinity);
    const RoundEnds<D> ones = fraction_round_ones<D>(qas.view(), qbs.view(), lambda, eqs.view(), n);
    CHECK(ones.zero == want_ones.zero && ones.infinity == want_ones.infinity);
  });
}

TEST(fraction_round_gives_the_ends) {
  Draws random(8);
  for_degrees([&]<int D>() {
    for (const size_t n : kEvenSizes) check_fraction_round<D>(random, n);
  });
}

// Elements of F as one plane.
struct BasePlane {
  std::vector<uint64_t> words;
  explicit BasePlane(const std::vector<F>& values) {
    for (const F x : values) words.push_back(x.v);
  }
  Planes<1> view() {
    Planes<1> p;
    p.c[0] = words.data();
    return p;
  }
};

constexpr Node kNodes[] = {Node::kZero, Node::kOne, Node::kTwo, Node::kInfinity};

template <class T>
T line_at(const std::vector<T>& a, size_t i, Node node) {
  const T slope = a[2 * i + 1] - a[2 * i];
  switch (node) {
    case Node::kZero:
      return a[2 * i];
    case Node::kOne:
      return a[2 * i + 1];
    case Node::kTwo:
      return a[2 * i] + slope + slope;
    case Node::kInfinity:
      break;
  }
  return slope;
}

template <int D>
void check_products(Draws& random, size_t n) {
  const std::vector<Ext<D>> a = random.exts<D>(n), b = random.exts<D>(n);
  std::vector<F> x(n), y(n), product(n), base_sum(n);
  std::vector<Ext<D>> ext_product(n), ext_sum(n);
  Ext<D> total, base_total, weighted, base_weighted;
  const Ext<D> r = random.exts<D>(1)[0];
  for (size_t i = 0; i < n; ++i) {
    x[i] = random.field();
    y[i] = random.field();
    product[i] = x[i] * y[i];
    base_sum[i] = x[i] + y[i];
    ext_product[i] = a[i] * b[i];
    ext_sum[i] = a[i] + b[i];
    total += a[i];
    base_total += Ext<D>(x[i]);
    weighted += a[i] * b[i];
    base_weighted += a[i] * x[i];
  }
  on_all_paths([&] {
    PlaneVector<D> as(a), bs(b), out(n);
    BasePlane xs(x), ys(y), base_out{std::vector<F>(n)};
    multiply<D>(as.view(), bs.view(), n, out.view());
    CHECK(out.values() == ext_product && out.guards_hold());
    multiply<1>(xs.view(), ys.view(), n, base_out.view());
    CHECK(base_out.words == BasePlane(product).words);
    CHECK_EQ((sum<D, D>(as.view(), n)), total);
    CHECK_EQ((sum<D, 1>(xs.view(), n)), base_total);
    CHECK_EQ((weighted_sum<D, D>(as.view(), bs.view(), n)), weighted);
    CHECK_EQ((weighted_sum<D, 1>(as.view(), xs.view(), n)), base_weighted);
    PlaneVector<D> scaled(b), base_scaled(b);
    add_scaled<D, D>(as.view(), n, r, scaled.view());
    add_scaled<D, 1>(xs.view(), n, r, base_scaled.view());
    for (size_t i = 0; i < n; ++i) {
      CHECK_EQ(scaled.view().get(i), b[i] + r * a[i]);
      CHECK_EQ(base_scaled.view().get(i), b[i] + r * x[i]);
    }
    CHECK(scaled.guards_hold() && base_scaled.guards_hold());
    add_to<D>(as.view(), n, bs.view());
    CHECK(bs.values() == ext_sum && bs.guards_hold());
    add_to<1>(xs.view(), n, ys.view());
    CHECK(ys.words == BasePlane(base_sum).words);
    multiply<D>(as.view(), as.view(), n, as.view());  // in place
    for (size_t i = 0; i < n; ++i) CHECK_EQ(as.view().get(i), a[i] * a[i]);
  });
}

template <int D>
void check_lines(Draws& random, size_t n) {
  const std::vector<Ext<D>> a = random.exts<D>(n);
  const Ext<D> r = random.exts<D>(1)[0];
  std::vector<F> x(n);
  for (F& v : x) v = random.field();
  on_all_paths([&] {
    PlaneVector<D> as(a), out(n / 2);
    BasePlane xs(x), base_out{std::vector<F>(n / 2)};
    for (const Node node : kNodes) {
      at_node<D>(as.view(), n, node, out.view());
      at_node<1>(xs.view(), n, node, base_out.view());
      for (size_t i = 0; i < n / 2; ++i) {
        CHECK_EQ(out.view().get(i), line_at(a, i, node));
        CHECK_EQ(base_out.words[i], line_at(x, i, node).v);
      }
      CHECK(out.guards_hold());
    }
    PlaneVector<D> odd(n / 2);
    split<D>(as.view(), n, out.view(), odd.view());
    for (size_t i = 0; i < n / 2; ++i)
      CHECK(out.view().get(i) == a[2 * i] && odd.view().get(i) == a[2 * i + 1]);
    CHECK(out.guards_hold() && odd.guards_hold());
    fold_base<D>(xs.view(), n, r, out.view());
    for (size_t i = 0; i < n / 2; ++i)
      CHECK_EQ(out.view().get(i), Ext<D>(x[2 * i]) + r * (x[2 * i + 1] - x[2 * i]));
    CHECK(out.guards_hold());
  });
}

TEST(products_and_lines_of_vectors) {
  Draws random(9);
  for_degrees([&]<int D>() {
    for (const size_t n : kSizes) check_products<D>(random, n);
    for (const size_t n : kEvenSizes) check_lines<D>(random, n);
  });
}

TEST(odd_sizes_are_refused) {
  PlaneVector<3> v(3);
  const auto p = v.view();
  const Ext<3> r;
  CHECK_THROWS(std::invalid_argument, (fraction_layer<3>(p, p, 3, p, p), 0));
  CHECK_THROWS(std::invalid_argument, (fraction_layer_ones<3>(p, 3, p, p), 0));
  CHECK_THROWS(std::invalid_argument, (fold<3>(p, 3, r, p), 0));
  CHECK_THROWS(std::invalid_argument, fraction_round<3>(p, p, p, p, p, 3));
  CHECK_THROWS(std::invalid_argument, fraction_round_ones<3>(p, p, r, p, 1));
}

}  // namespace
}  // namespace assay

ASSAY_TEST_MAIN
