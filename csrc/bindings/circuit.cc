#include "bindings/cells.h"
#include "circuit/evaluate.h"

namespace assay::bindings {
namespace {

py::dtype dtype_of(CellType t) {
  switch (t) {
    case CellType::kInt16: return py::dtype::of<int16_t>();
    case CellType::kInt32: return py::dtype::of<int32_t>();
    case CellType::kInt64: return py::dtype::of<int64_t>();
  }
  throw py::type_error("unknown cell type");
}

py::array copy_of(const TensorData& t) {
  py::array out(dtype_of(t.type()), {static_cast<size_t>(t.shape().rows), t.stride()});
  std::memcpy(out.mutable_data(), t.data(), t.cells() * cell_size(t.type()));
  return out;
}

using Arrays = py::typing::Dict<py::str, py::array>;

// Runs the witness program; returns the named tensors, rows padded to multiples of 128 cells.
Arrays run(const Circuit& c, const Arrays& externals, const std::vector<std::string>& wanted,
           const Choices& choices) {
  std::map<std::string, Cells> cells;
  for (const Tensor& t : c.tensors) {
    if (!externals.contains(t.name)) continue;
    const auto a = py::reinterpret_borrow<py::object>(externals[t.name.c_str()]).cast<py::array>();
    if (cell_type(a) != t.type) throw py::type_error(t.name + ": cells of another type");
    cells[t.name] = Cells{t.type, cell_data(a, t.cells(), t.name.c_str()), t.shape};
  }
  Witness w;
  {
    const py::gil_scoped_release release;
    const auto external = [&](const Tensor& t) {
      const auto at = cells.find(t.name);
      if (at == cells.end()) throw EvaluationError{t.name, "no cells were given"};
      return at->second;
    };
    w = evaluate(c, external, choices);
  }
  Arrays out;
  for (size_t i = 0; i < c.tensors.size(); ++i)
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), c.tensors[i].name) != wanted.end())
      out[c.tensors[i].name.c_str()] = copy_of(w.tensors[i]);
  return out;
}

}  // namespace

void add_circuit(py::module_& m) {
  py::class_<Circuit, std::shared_ptr<Circuit>>(m, "Circuit", "A decoded circuit.")
      .def(py::init([](const py::bytes& b) { return std::make_shared<Circuit>(Circuit::decode(span_of(b))); }),
           py::arg("data"))
      .def_readonly("name", &Circuit::name)
      .def_property_readonly("digest", [](const Circuit& c) { return to_bytes(c.digest); })
      .def_property_readonly("lookups", &Circuit::lookup_count)
      .def_property_readonly("witness_cells", &Circuit::witness_cells)
      .def("evaluate", &run, py::arg("externals"), py::arg("wanted") = std::vector<std::string>{},
           py::arg("choices") = Choices{},
           "Compute the witness. externals: tensor name -> array of (rows, columns padded to 128). choices: "
           "marks of a top-k step -> column of the m-th of row i at m rows + i, in the place of the largest.");
}

}  // namespace assay::bindings
