// Values as a hiding verifier knows them: affine forms in one-time pads [protocol, section 13].
//
// A message is y = x + pi; the verifier computes with y - pi as if it were x. Forms are nodes of a tape, each
// a combination of two earlier ones, so that all constraints together are turned into coefficients of pads
// and of products of pads by one sweep backwards, however long the forms are.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "poly/multilinear.h"

namespace assay {

// Two messages, by number, that a verifier multiplies.
using PadProduct = std::pair<uint32_t, uint32_t>;

template <int D>
class PadTape {
 public:
  // The node for -pi_k, and for +z_l.
  uint32_t pad(size_t k) { return leaf(kPad, k); }
  uint32_t product(size_t l) { return leaf(kProduct, l); }
  uint32_t combine(uint32_t a, const Ext<D>& ca, uint32_t b = 0, const Ext<D>& cb = {}) {
    nodes_.push_back({a, b, ca, cb});
    return static_cast<uint32_t>(nodes_.size() - 1);
  }
  // The pad whose negative a node is, if it is no more than that.
  bool is_pad(uint32_t node) const { return node != 0 && nodes_[node].a == kPad; }
  uint32_t pad_of(uint32_t node) const { return nodes_[node].b; }

  // Adds the coefficients of sum of weight * node to those of pads and products.
  void add_coefficients(std::span<const std::pair<uint32_t, Ext<D>>> weighted, Vec<D>& pads,
                        Vec<D>& products) const {
    Vec<D> weights(nodes_.size());
    for (const auto& [node, w] : weighted) weights[node] += w;
    for (size_t i = nodes_.size(); i-- > 1;) {
      const Node& n = nodes_[i];
      if (n.a == kPad) {
        pads[n.b] -= weights[i];
      } else if (n.a == kProduct) {
        products[n.b] += weights[i];
      } else {
        if (n.a != 0) weights[n.a] += weights[i] * n.ca;
        if (n.b != 0) weights[n.b] += weights[i] * n.cb;
      }
    }
  }

 private:
  static constexpr uint32_t kPad = 0xFFFFFFFF, kProduct = 0xFFFFFFFE;
  struct Node {
    uint32_t a = 0, b = 0;  // 0: nothing; a leaf has kPad or kProduct in a and its number in b
    Ext<D> ca, cb;
  };
  uint32_t leaf(uint32_t kind, size_t number) {
    nodes_.push_back({kind, static_cast<uint32_t>(number), {}, {}});
    return static_cast<uint32_t>(nodes_.size() - 1);
  }

  std::vector<Node> nodes_ = std::vector<Node>(1);
};

// known + node; without a tape, just known.
template <int D>
struct Padded {
  Ext<D> known;
  uint32_t node = 0;
  PadTape<D>* tape = nullptr;

  static Padded sum(const Padded& a, const Ext<D>& ca, const Padded& b, const Ext<D>& cb) {
    Padded r{a.known * ca + b.known * cb, 0, a.tape != nullptr ? a.tape : b.tape};
    if (a.node != 0 || b.node != 0) r.node = r.tape->combine(a.node, ca, b.node, cb);
    return r;
  }
  friend Padded operator+(const Padded& a, const Padded& b) {
    return sum(a, Ext<D>::one(), b, Ext<D>::one());
  }
  friend Padded operator-(const Padded& a, const Padded& b) {
    return sum(a, Ext<D>::one(), b, -Ext<D>::one());
  }
  friend Padded operator*(const Padded& a, const Ext<D>& c) { return sum(a, c, {}, {}); }
  friend Padded operator+(Padded a, const Ext<D>& c) {
    a.known += c;
    return a;
  }
  friend Padded operator-(Padded a, const Ext<D>& c) {
    a.known -= c;
    return a;
  }
};

// What a verifier requires of pads and products, gathered while it reads the messages.
template <int D>
class Constraints {
 public:
  Padded<D> message(const Ext<D>& y) { return {y, tape_.pad(pads_++), &tape_}; }
  // x_i x_j = y_i y_j - y_i pi_j - y_j pi_i + z_l
  Padded<D> product(const Padded<D>& a, const Padded<D>& b) {
    check(tape_.is_pad(a.node) && tape_.is_pad(b.node), "only messages are multiplied");
    const uint32_t z = tape_.product(products_.size());
    products_.emplace_back(tape_.pad_of(a.node), tape_.pad_of(b.node));
    const uint32_t linear = tape_.combine(a.node, b.known, b.node, a.known);
    return {a.known * b.known, tape_.combine(linear, Ext<D>::one(), z, Ext<D>::one()), &tape_};
  }
  void require_zero(const Padded<D>& v) { required_.emplace_back(v.node, v.known); }

  size_t pads() const { return pads_; }
  const std::vector<PadProduct>& products() const { return products_; }
  // Also those that tie the operands of products to their pads.
  size_t count() const { return required_.size() + 2 * products_.size(); }

  // sum over pads of pads[k] pi_k + sum over products of left[l] X_l + right[l] Y_l + products[l] Z_l = value
  struct Combined {
    Vec<D> pads, left, right, products;
    Ext<D> value;
  };
  // The sum of tau^(t+1) (constraint t).
  Combined combine(const Ext<D>& tau) const {
    const size_t m = products_.size();
    Combined out{Vec<D>(pads_), Vec<D>(m), Vec<D>(m), Vec<D>(m), {}};
    std::vector<std::pair<uint32_t, Ext<D>>> weighted;
    Ext<D> power = tau;
    for (const auto& [node, known] : required_) {
      weighted.emplace_back(node, power);
      out.value -= known * power;
      power *= tau;
    }
    tape_.add_coefficients(weighted, out.pads, out.products);
    for (size_t l = 0; l < m; ++l) {
      out.left[l] = power;
      out.pads[products_[l].first] -= power;
      power *= tau;
      out.right[l] = power;
      out.pads[products_[l].second] -= power;
      power *= tau;
    }
    return out;
  }

 private:
  PadTape<D> tape_;
  size_t pads_ = 0;
  std::vector<PadProduct> products_;
  std::vector<std::pair<uint32_t, Ext<D>>> required_;
};

}  // namespace assay
