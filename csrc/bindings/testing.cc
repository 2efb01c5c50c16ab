// The building blocks, exposed one by one so that tests can hold them against plain Python.
#include "bindings/bindings.h"
#include "code/reed_solomon.h"
#include "field/extension.h"
#include "hash/keccak.h"
#include "hash/merkle.h"
#include "hash/sha256.h"
#include "poly/multilinear.h"

namespace assay::bindings {
namespace {

F element(uint64_t x) {
  if (x >= kModulus) throw py::value_error("not canonical");
  return F(x);
}

template <int D>
Ext<D> extension(const std::vector<uint64_t>& coordinates) {
  if (coordinates.size() != D) throw py::value_error("another degree");
  Ext<D> x;
  for (int d = 0; d < D; ++d) x.c[d] = element(coordinates[d]);
  return x;
}

template <int D>
std::vector<uint64_t> coordinates(const Ext<D>& x) {
  std::vector<uint64_t> out;
  for (const F c : x.c) out.push_back(c.v);
  return out;
}

using Coordinates = std::vector<uint64_t>;

template <int D>
Coordinates operate(const std::string& operation, const Coordinates& x, const Coordinates& y) {
  const Ext<D> a = extension<D>(x), b = extension<D>(y);
  if (operation == "add") return coordinates(a + b);
  if (operation == "sub") return coordinates(a - b);
  if (operation == "mul") return coordinates(a * b);
  throw py::value_error("unknown operation");
}

Coordinates arithmetic(const std::string& operation, const Coordinates& x, const Coordinates& y) {
  return x.size() == 2 ? operate<2>(operation, x, y) : operate<3>(operation, x, y);
}

Coordinates invert(const Coordinates& x) {
  return x.size() == 2 ? coordinates(inverse(extension<2>(x))) : coordinates(inverse(extension<3>(x)));
}

std::vector<uint64_t> encode(size_t degree_bound, unsigned log_coset, unsigned cosets,
                             const std::vector<uint64_t>& coefficients) {
  const ReedSolomon code(degree_bound, log_coset, cosets);
  std::vector<F> in(degree_bound), out(code.length());
  for (size_t i = 0; i < coefficients.size() && i < in.size(); ++i) in[i] = element(coefficients[i]);
  code.encode(in.data(), out.data());
  std::vector<uint64_t> words;
  for (const F x : out) words.push_back(x.v);
  return words;
}

std::vector<Coordinates> eq_values(const std::vector<Coordinates>& point) {
  Vec<3> p;
  for (const Coordinates& x : point) p.push_back(extension<3>(x));
  std::vector<Coordinates> out;
  for (const Ext<3>& x : eq_vector<3>(p)) out.push_back(coordinates(x));
  return out;
}

}  // namespace

void add_testing(py::module_& m) {
  py::module_ t = m.def_submodule("testing", "Building blocks for tests; not part of the interface.");
  t.def("add", [](uint64_t a, uint64_t b) { return (element(a) + element(b)).v; });
  t.def("sub", [](uint64_t a, uint64_t b) { return (element(a) - element(b)).v; });
  t.def("mul", [](uint64_t a, uint64_t b) { return (element(a) * element(b)).v; });
  t.def("inverse", [](uint64_t a) { return inverse(element(a)).v; });
  t.def("from_i64", [](int64_t a) { return F::from_i64(a).v; });
  t.def("extension", &arithmetic, "add, sub or mul of two elements given by 2 or 3 coordinates.");
  t.def("extension_inverse", &invert);
  t.def("encode", &encode, py::arg("degree_bound"), py::arg("log_coset"), py::arg("cosets"), py::arg("coefficients"));
  t.def("eq_vector", &eq_values);
  t.def("sha256", [](const py::bytes& b) { return to_bytes(sha256(span_of(b))); });
  t.def("shake128", [](const py::bytes& b, size_t n) { return to_bytes(shake128(span_of(b), n)); });
}

}  // namespace assay::bindings
