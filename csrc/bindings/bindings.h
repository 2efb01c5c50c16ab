#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

namespace py = pybind11;

namespace assay::bindings {

void add_errors(py::module_& m);
void add_circuit(py::module_& m);
void add_commitment(py::module_& m);
void add_system(py::module_& m);
void add_testing(py::module_& m);

inline std::span<const uint8_t> span_of(const py::bytes& b) {
  const std::string_view v = b;
  return {reinterpret_cast<const uint8_t*>(v.data()), v.size()};
}
inline py::bytes to_bytes(std::span<const uint8_t> s) {
  return {reinterpret_cast<const char*>(s.data()), s.size()};
}

}  // namespace assay::bindings
