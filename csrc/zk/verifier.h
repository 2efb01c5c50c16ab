// The tableau: that the pads and products of a hiding proof satisfy all its constraints.
//
// Rows are codewords of pads, and of X, Y, Z with X_l Y_l = Z_l; g_1, g_2, g_3 masks committed with them. To
// random combinations the prover answers with
//     v_1 = rho * sum over rows of eq(point, r) row_r + g_1
//     v_2 = sum over rows of A_r row_r + g_2
//     v_3 = sum over r of sigma^(r+1) (X_r Y_r - Z_r) + g_3                                            (T.1)
// where the A_r carry the coefficients of sum over constraints t of tau^(t+1) (constraint t), d its right
// side:
//     the values of v_2 on the subgroup add up to d                                                    (T.2)
//     v_3 vanishes on the message slots                                                                (T.3)
//     at Q random columns, (T.1) holds for the symbols of rows and masks                               (T.4)
// Powers begin with one: a mask is the only summand that no challenge multiplies, and it is committed first.
// [AHIV17, Section 4; docs/spec/soundness.md for the errors: masks of degree below 2K at rate 1/4]
#pragma once

#include "commit/columns.h"
#include "transcript/channel.h"
#include "zk/code.h"
#include "zk/padded.h"

namespace assay {

inline constexpr Where kTableau{"", "tableau"};
inline constexpr uint8_t kTableauTag = 0x05;

// The challenges of the answers, and what both sides derive from them.
template <int D>
struct TableauQuestion {
  Vec<D> row_weights;      // rho * eq(point, r)
  std::vector<Vec<D>> a;   // coefficients of A_r
  Vec<D> product_weights;  // sigma^(r+1)
  Ext<D> value;            // d

  template <class Channel>
  static TableauQuestion draw(Channel& channel, const TableauShape& shape,
                              const Constraints<D>& constraints) {
    const Vec<D> point = channel.challenges("tableau.point", log2_ceil(shape.rows()));
    const Ext<D> rho = channel.challenge("tableau.rho"), tau = channel.challenge("tableau.linear");
    const Ext<D> sigma = channel.challenge("tableau.products");
    TableauQuestion q;
    q.row_weights = eq_vector<D>(point);
    q.row_weights.resize(shape.rows());
    for (Ext<D>& w : q.row_weights) w *= rho;
    const auto combined = constraints.combine(tau);
    q.value = combined.value;
    q.place(shape, 0, shape.pad_rows(), combined.pads);
    q.place(shape, shape.first_row(0), shape.product_rows(), combined.left);
    q.place(shape, shape.first_row(1), shape.product_rows(), combined.right);
    q.place(shape, shape.first_row(2), shape.product_rows(), combined.products);
    Ext<D> power = sigma;
    for (size_t r = 0; r < shape.product_rows(); ++r, power *= sigma) q.product_weights.push_back(power);
    return q;
  }

 private:
  void place(const TableauShape& shape, size_t first, size_t rows, const Vec<D>& coefficients) {
    a.resize(first + rows);
    for (size_t r = 0; r < rows; ++r) {
      Vec<D> slots(shape.size());
      for (size_t i = 0; i < shape.message() && r * shape.message() + i < coefficients.size(); ++i)
        slots[i] = coefficients[r * shape.message() + i];
      a[first + r] = interpolate<D>(slots, shape.log_size);
    }
  }
};

// Of 2K coefficients: the sum of the values on the subgroup.
template <int D>
Ext<D> sum_of_values(const Vec<D>& coefficients, const TableauShape& shape) {
  return (coefficients[0] + coefficients[shape.size()]) * F(shape.size());
}
template <int D>
bool vanishes_on_message(const Vec<D>& coefficients, const TableauShape& shape) {
  const size_t size = shape.size();
  Vec<D> folded(coefficients.begin(), coefficients.begin() + static_cast<std::ptrdiff_t>(size));
  for (size_t i = 0; i < size; ++i) folded[i] += coefficients[size + i];
  const Vec<D> values = values_on<D>(folded, shape.log_size);
  return std::all_of(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(shape.message()),
                     [](const Ext<D>& x) { return x.is_zero(); });
}

template <class Channel>
class TableauVerifier {
 public:
  static constexpr int D = Channel::degree;

  TableauVerifier(Channel& channel, const TableauShape& shape, const Digest& root,
                  const Constraints<D>& constraints)
      : channel_(channel), shape_(shape), root_(root), constraints_(constraints), code_(shape) {}

  // (T.2), (T.3)
  void receive_answers() {
    question_ = TableauQuestion<D>::draw(channel_, shape_, constraints_);
    const size_t size = shape_.size();
    rows_ = channel_.receive_public("tableau.rows", size, kTableau);
    linear_ = channel_.receive_public("tableau.linear", 2 * size, kTableau);
    products_ = channel_.receive_public("tableau.products", 2 * size, kTableau);
    channel_.require(sum_of_values<D>(linear_, shape_) == question_.value, "tableau.linear", kTableau,
                     "the proof's messages do not satisfy its relations");
    channel_.require(vanishes_on_message<D>(products_, shape_), "tableau.products", kTableau,
                     "a product of two pads is wrong");
  }

  // (T.4)
  void verify_columns(std::span<const uint32_t> columns) {
    const auto symbols = read_columns(columns);
    std::vector<Vec<D>> a;
    for (const Vec<D>& row : question_.a) a.push_back(code_.at(row, columns));
    const Vec<D> v1 = code_.at(rows_, columns), v2 = code_.at(linear_, columns),
                 v3 = code_.at(products_, columns);
    for (size_t q = 0; q < columns.size(); ++q) {
      const Ext<D>* row = symbols.data() + q * width();
      Ext<D> s1 = row[shape_.rows()], s2 = row[shape_.rows() + 1], s3 = row[shape_.rows() + 2];
      for (size_t r = 0; r < shape_.rows(); ++r) {
        s1 += question_.row_weights[r] * row[r];
        s2 += a[r][q] * row[r];
      }
      for (size_t r = 0; r < shape_.product_rows(); ++r)
        s3 += question_.product_weights[r] *
              (row[shape_.first_row(0) + r] * row[shape_.first_row(1) + r] - row[shape_.first_row(2) + r]);
      channel_.require(s1 == v1[q], "tableau.column.rows", kTableau,
                       "a column does not match the combined rows");
      channel_.require(s2 == v2[q], "tableau.column.linear", kTableau,
                       "a column does not match the combined constraints");
      channel_.require(s3 == v3[q], "tableau.column.products", kTableau,
                       "a column does not match the combined products");
    }
  }

 private:
  size_t width() const { return shape_.rows() + kTableauMasks; }

  // The symbols of rows and masks, column by column, once they are known to be under the root.
  Vec<D> read_columns(std::span<const uint32_t> columns) {
    Vec<D> symbols;
    std::vector<Digest> leaves;
    for (size_t q = 0; q < columns.size(); ++q) {
      const Vec<D> column = channel_.take_elements(width(), kTableau);
      symbols.insert(symbols.end(), column.begin(), column.end());
      leaves.push_back(
          column_digest<D>(std::span<const Ext<D>>(column), channel_.take(kSaltSize, kTableau), kTableauTag));
    }
    verify_leaves(channel_, root_, shape_.length(), columns, leaves, "tableau.merkle", kTableau);
    return symbols;
  }

  Channel& channel_;
  TableauShape shape_;
  Digest root_;
  const Constraints<D>& constraints_;
  TableauCode<D> code_;
  TableauQuestion<D> question_;
  Vec<D> rows_, linear_, products_;
};

}  // namespace assay
