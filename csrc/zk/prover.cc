#include "zk/prover.h"

#include <numeric>

#include "base/parallel.h"

namespace assay {
namespace {

template <int D>
Vec<D> uniform(Prg& prg, size_t n) {
  Vec<D> out(n);
  prg.fill_field({reinterpret_cast<F*>(out.data()), D * n});
  return out;
}

// sum += weight * values
template <int D>
void add_multiple(Vec<D>& sum, const Vec<D>& values, const Ext<D>& weight) {
  for (size_t i = 0; i < values.size(); ++i) sum[i] += values[i] * weight;
}

}  // namespace

template <int D>
TableauProver<D>::TableauProver(const TableauShape& shape, std::vector<PadProduct> products,
                                const PrgKey& key)
    : shape_(shape), products_(std::move(products)) {
  Prg prg(key, 0);
  pads_ = uniform<D>(prg, shape.pads);
  Vec<D> left, right, product;
  for (const auto& [i, j] : products_) {
    left.push_back(pads_[i]);
    right.push_back(pads_[j]);
    product.push_back(pads_[i] * pads_[j]);
  }
  add_rows(pads_, shape.pad_rows(), prg);
  for (const Vec<D>* values : {&left, &right, &product}) add_rows(*values, shape.product_rows(), prg);
  make_masks(prg);
  commit(prg);
}

template <int D>
void TableauProver<D>::add_rows(const Vec<D>& values, size_t rows, Prg& prg) {
  const size_t message = shape_.message();
  for (size_t r = 0; r < rows; ++r) {
    Vec<D> slots(shape_.size());
    for (size_t i = 0; i < message && r * message + i < values.size(); ++i)
      slots[i] = values[r * message + i];
    const Vec<D> random = uniform<D>(prg, shape_.queries);
    std::copy(random.begin(), random.end(), slots.begin() + static_cast<std::ptrdiff_t>(message));
    rows_.push_back(interpolate<D>(slots, shape_.log_size));
  }
}

// g_1 of degree below K; g_2 and g_3 of degree below 2K, g_2 with values on the subgroup that add up to zero,
// g_3 zero on the message slots.
template <int D>
void TableauProver<D>::make_masks(Prg& prg) {
  const size_t size = shape_.size();
  rows_.push_back(uniform<D>(prg, size));
  Vec<D> sum_zero = uniform<D>(prg, 2 * size);
  sum_zero[size] = -sum_zero[0];
  rows_.push_back(std::move(sum_zero));
  // Low and high half fold to a polynomial with those values.
  Vec<D> slots(size);
  const Vec<D> random = uniform<D>(prg, shape_.queries), high = uniform<D>(prg, size);
  std::copy(random.begin(), random.end(), slots.begin() + static_cast<std::ptrdiff_t>(shape_.message()));
  Vec<D> vanishing = interpolate<D>(slots, shape_.log_size);
  for (size_t i = 0; i < size; ++i) vanishing[i] -= high[i];
  vanishing.insert(vanishing.end(), high.begin(), high.end());
  rows_.push_back(std::move(vanishing));
}

template <int D>
void TableauProver<D>::commit(Prg& prg) {
  const TableauCode<D> code(shape_);
  std::vector<uint32_t> all(shape_.length());
  std::iota(all.begin(), all.end(), 0U);
  symbols_.resize(rows_.size() * all.size());
  parallel_for(rows_.size(), 1, [&](size_t begin, size_t end) {
    for (size_t r = begin; r < end; ++r) {
      const Vec<D> word = code.at(rows_[r], all);
      for (size_t j = 0; j < word.size(); ++j) symbols_[j * rows_.size() + r] = word[j];
    }
  });
  salts_.resize(all.size() * kSaltSize);
  prg.fill(salts_);
  std::vector<Digest> leaves(all.size());
  for (size_t j = 0; j < leaves.size(); ++j)
    leaves[j] =
        column_digest<D>(std::span<const Ext<D>>(symbols_).subspan(j * rows_.size(), rows_.size()),
                         std::span<const uint8_t>(salts_).subspan(j * kSaltSize, kSaltSize), kTableauTag);
  tree_.emplace(std::move(leaves));
}

// (T.2), (T.3)
template <int D>
bool TableauProver<D>::holds(const TableauQuestion<D>& question, const Vec<D>& v2, const Vec<D>& v3) const {
  return sum_of_values<D>(v2, shape_) == question.value && vanishes_on_message<D>(v3, shape_);
}

// (T.1): v_1 on coefficients, v_2 and v_3 on values at twice as many points as a row has coefficients.
template <int D>
bool TableauProver<D>::send_answers(ProverChannel<D>& channel, const Constraints<D>& constraints,
                                    bool must_hold) const {
  const auto question = TableauQuestion<D>::draw(channel, shape_, constraints);
  const unsigned log_twice = shape_.log_size + 1;
  const size_t masks = shape_.rows();
  Vec<D> v1 = rows_[masks], v2(2 * shape_.size()), v3(v2.size());
  std::vector<Vec<D>> values;
  for (size_t r = 0; r < shape_.rows(); ++r) {
    add_multiple(v1, rows_[r], question.row_weights[r]);
    values.push_back(values_on<D>(rows_[r], log_twice));
    const Vec<D> a = values_on<D>(question.a[r], log_twice);
    for (size_t i = 0; i < v2.size(); ++i) v2[i] += a[i] * values[r][i];
  }
  for (size_t r = 0; r < shape_.product_rows(); ++r) {
    const Vec<D>&x = values[shape_.first_row(0) + r], &y = values[shape_.first_row(1) + r];
    const Vec<D>& z = values[shape_.first_row(2) + r];
    for (size_t i = 0; i < v3.size(); ++i) v3[i] += question.product_weights[r] * (x[i] * y[i] - z[i]);
  }
  v2 = interpolate<D>(v2, log_twice);
  v3 = interpolate<D>(v3, log_twice);
  add_multiple(v2, rows_[masks + 1], Ext<D>::one());
  add_multiple(v3, rows_[masks + 2], Ext<D>::one());
  if (must_hold && !holds(question, v2, v3)) return false;
  channel.send_public("tableau.rows", v1);
  channel.send_public("tableau.linear", v2);
  channel.send_public("tableau.products", v3);
  return true;
}

template <int D>
std::vector<uint8_t> TableauProver<D>::open_columns(std::span<const uint32_t> columns) const {
  std::vector<uint8_t> out;
  const auto put = [&](const void* data, size_t n) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    out.insert(out.end(), bytes, bytes + n);
  };
  for (const uint32_t j : columns) {
    put(&symbols_[j * rows_.size()], rows_.size() * sizeof(Ext<D>));
    put(&salts_[j * kSaltSize], kSaltSize);
  }
  for (const Digest& d : tree_->open(columns)) put(d.data(), d.size());
  return out;
}

template class TableauProver<2>;
template class TableauProver<3>;

}  // namespace assay
