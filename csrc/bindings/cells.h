// NumPy arrays as cells.
#pragma once

#include "bindings/bindings.h"
#include "circuit/circuit.h"

namespace assay::bindings {

inline CellType cell_type(const py::array& a) {
  if (a.dtype().kind() == 'i') switch (a.itemsize()) {
      case 2: return CellType::kInt16;
      case 4: return CellType::kInt32;
      case 8: return CellType::kInt64;
    }
  throw py::type_error("cells must be int16, int32 or int64");
}

// The cells of a C-contiguous array, checked to be exactly `cells` many.
inline const void* cell_data(const py::array& a, size_t cells, const char* what) {
  if (!(a.flags() & py::array::c_style)) throw py::value_error(std::string(what) + ": not C-contiguous");
  if (static_cast<size_t>(a.size()) != cells)
    throw py::value_error(std::string(what) + ": " + std::to_string(a.size()) + " cells instead of " +
                          std::to_string(cells));
  return a.data();
}

}  // namespace assay::bindings
