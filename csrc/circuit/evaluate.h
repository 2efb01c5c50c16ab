// The witness evaluator: runs a circuit's program on concrete integers, filling every tensor.
//
// The same result on every machine and with any number of threads. Only existing cells are written; absent
// ones (outside a ragged row, in the padding of a row) are zero.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "circuit/circuit.h"

namespace assay {

// Cells somebody else owns: row-major, rows padded with zeros to whole blocks, absent cells zero.
struct Cells {
  CellType type = CellType::kInt32;
  const void* data = nullptr;
  Domain shape;
};

// The cells of one tensor: owned, or a view of someone else's. Movable, not copyable.
class TensorData {
 public:
  TensorData() = default;                      // no cells
  TensorData(CellType type, Domain shape);     // owned, all zero
  explicit TensorData(const Cells& external);  // a view
  // Owned, with only the absent cells zero, for a caller that writes all the others.
  static TensorData for_filling(CellType type, Domain shape);

  bool empty() const { return data_ == nullptr; }
  CellType type() const { return type_; }
  const Domain& shape() const { return shape_; }
  size_t stride() const { return shape_.row_blocks() * kBlock; }
  size_t cells() const { return shape_.rows * stride(); }

  const void* data() const { return data_; }
  void* mutable_data();  // of an owned tensor
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data_);
  }

  int64_t at(size_t row, size_t col) const;
  void set(size_t row, size_t col, int64_t value);  // of an owned tensor; the value has to fit

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  void allocate();
  void zero_absent_cells();
  void check_cell(size_t row, size_t col) const;

  CellType type_ = CellType::kInt32;
  Domain shape_;
  std::unique_ptr<void, Free> owned_;
  const void* data_ = nullptr;  // aligned to a cache line if owned
};

struct Witness {
  std::vector<TensorData> tensors;  // indexed like the circuit's tensors; externals are views
};

// A value no tensor or table has room for, or a program that does not fit its circuit. `relation` names the
// tensor, einsum or table at fault.
struct EvaluationError {
  std::string relation;
  std::string message;
};

// What top-k steps mark instead of the largest, by the name of their marks: at m rows + i the column of the
// m-th of row i.
using Choices = std::map<std::string, std::vector<uint32_t>>;

// `external` gives the weights and those boundary tensors that no step fills; its cells must outlive the
// witness.
Witness evaluate(const Circuit& circuit, const std::function<Cells(const Tensor&)>& external,
                 const Choices& choices = {});

}  // namespace assay
