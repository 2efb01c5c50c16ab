#include "base/cpu.h"
#include "base/parallel.h"
#include "bindings/bindings.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "Assay's compiled core: fields, hashes, commitments, circuits, prover and verifier.";
  assay::bindings::add_errors(m);
  assay::bindings::add_circuit(m);
  assay::bindings::add_commitment(m);
  assay::bindings::add_system(m);
  assay::bindings::add_testing(m);
  m.def("set_threads", &assay::set_threads, py::arg("threads"),
        "Number of threads for all later calls; 0 means one per available processor.");
  m.def("threads", &assay::threads, "The number of threads in use.");
  m.def(
      "processor",
      [] {
        py::typing::Dict<py::str, py::bool_> found;
        found["avx2"] = py::bool_(assay::cpu::has_avx2());
        found["avx512"] = py::bool_(assay::cpu::has_avx512());
        found["sha"] = py::bool_(assay::cpu::has_sha());
        return found;
      },
      "Which accelerated paths this process uses.");
  m.def("forbid_avx512", &assay::cpu::forbid_avx512, py::arg("forbidden"),
        "Use AVX2 where there is AVX-512 (they give the same bytes).");
  m.def("force_portable", &assay::cpu::force_portable, py::arg("portable"),
        "Use the portable code paths only (they give the same bytes).");
}
