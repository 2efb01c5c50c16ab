#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <filesystem>
#include <variant>

#include "bindings/cells.h"
#include "commit/prover.h"

namespace assay::bindings {
namespace {

PrgKey key_of(const py::bytes& b) {
  const auto s = span_of(b);
  if (s.size() != 32) throw py::value_error("a key has 32 bytes");
  PrgKey key;
  std::copy(s.begin(), s.end(), key.begin());
  return key;
}

ReedSolomon code_of(const CodeParams& c) {
  const std::string reason = invalid_reason(c);
  if (!reason.empty()) throw py::value_error("code parameters: " + reason);
  return ReedSolomon(c.message(), c.log_coset, c.cosets);
}

// A file that is mapped only while it is used.
struct PyFile {
  std::filesystem::path path;
  size_t bytes;
};
using PyBytes = std::variant<std::shared_ptr<PyFile>, py::array>;
using PySlots = std::vector<std::pair<size_t, PyBytes>>;

// Cells of a file are int16.
SlotCells slot_of(size_t first_block, const PyBytes& from) {
  if (const auto* file = std::get_if<std::shared_ptr<PyFile>>(&from)) {
    constexpr size_t kBytes = kBlock * sizeof(int16_t);
    if ((*file)->bytes % kBytes != 0) throw py::value_error("a file of cells has whole blocks");
    return {first_block, (*file)->bytes / kBytes, CellType::kInt16, {(*file)->path, (*file)->bytes}};
  }
  const auto& a = std::get<py::array>(from);
  const size_t cells = static_cast<size_t>(a.size());
  if (cells % kBlock != 0) throw py::value_error("a slot has whole blocks");
  return {first_block, cells / kBlock, cell_type(a), cell_data(a, cells, "slot")};
}

PartCells part_of(const CodeParams& code, uint32_t rows, const PySlots& slots) {
  if (rows == 0) throw py::value_error("a part has at least one row");
  PartCells part{rows, {}};
  for (const auto& [first_block, from] : slots) {
    part.slots.push_back(slot_of(first_block, from));
    if (first_block + part.slots.back().blocks > rows * code.row_blocks())
      throw py::value_error("a slot lies outside its part");
  }
  return part;
}

py::array_t<uint8_t> digest_array(std::span<const Digest> digests) {
  py::array_t<uint8_t> out({digests.size(), sizeof(Digest)});
  std::memcpy(out.mutable_data(), digests.data(), digests.size_bytes());
  return out;
}

std::span<const Digest> digests_of(const py::array& a, size_t count) {
  if (a.itemsize() != 1 || static_cast<size_t>(a.size()) != count * sizeof(Digest) ||
      !(a.flags() & py::array::c_style))
    throw py::value_error("digests: one row of 32 bytes per column is needed");
  return {static_cast<const Digest*>(a.data()), count};
}

// A prover's commitment together with the arrays it points into.
struct Commitment {
  CodeParams code;
  std::vector<PyBytes> arrays;
  std::shared_ptr<ProverCommitment> prover;
};

Commitment make(const std::string& name, const CodeParams& code,
                const std::vector<std::pair<uint32_t, PySlots>>& parts, const py::bytes& key) {
  (void)code_of(code);
  Commitment c{code, {}, nullptr};
  std::vector<PartCells> cells;
  for (const auto& [rows, slots] : parts) {
    cells.push_back(part_of(code, rows, slots));
    for (const auto& slot : slots) c.arrays.push_back(slot.second);
  }
  c.prover = std::make_shared<ProverCommitment>(name, code, std::move(cells), key_of(key));
  return c;
}

// So many bytes, which the commitment keeps.
ByteSource kept(Commitment& c, const PyBytes& from, size_t bytes, const char* what) {
  c.arrays.push_back(from);
  if (const auto* file = std::get_if<std::shared_ptr<PyFile>>(&from)) {
    if ((*file)->bytes != bytes) throw py::value_error(std::string(what) + " has another size");
    return {(*file)->path, bytes};
  }
  const auto& a = std::get<py::array>(from);
  if (static_cast<size_t>(a.nbytes()) != bytes || !(a.flags() & py::array::c_style))
    throw py::value_error(std::string(what) + " has another size");
  return a.data();
}

void restore(Commitment& c, const py::array& leaves, const std::vector<PyBytes>& digests) {
  const auto l = digests_of(leaves, c.code.length());
  std::vector<ByteSource> parts;
  for (const PyBytes& d : digests)
    parts.push_back(kept(c, d, c.code.length() * sizeof(Digest), "an array of digests"));
  if (!parts.empty() && parts.size() != c.prover->parts().size())
    throw py::value_error("digests: one array per part is needed");
  std::vector<Digest> copy(l.begin(), l.end());
  const py::gil_scoped_release release;
  c.prover->restore(std::move(copy), std::move(parts));
}

// sink(rows done, symbols or None): the symbols are only valid during the call.
py::array_t<uint8_t> digest_part(const CodeParams& code, uint32_t rows, const PySlots& slots,
                                 size_t part_index, const py::bytes& key, const py::object& sink,
                                 bool want_codeword) {
  const PartCells part = part_of(code, rows, slots);
  const ReedSolomon rs = code_of(code);
  const PrgKey k = key_of(key);
  std::vector<Digest> out;
  {
    const py::gil_scoped_release release;
    out = part_digests(
        code, rs, part, part_index, k,
        [&](size_t done, std::span<const F> columns) {
          const py::gil_scoped_acquire acquire;
          if (PyErr_CheckSignals() != 0) throw py::error_already_set();
          if (sink.is_none()) return;
          if (want_codeword)
            sink(done,
                 py::memoryview::from_memory(columns.data(), static_cast<py::ssize_t>(columns.size_bytes())));
          else
            sink(done, py::none());
        },
        want_codeword);
  }
  return digest_array(out);
}

py::array_t<uint8_t> combine_parts(const std::vector<py::array>& parts) {
  if (parts.empty()) throw py::value_error("digests: a commitment has at least one part");
  const size_t columns = static_cast<size_t>(parts.front().size()) / sizeof(Digest);
  std::vector<std::span<const Digest>> digests;
  for (const py::array& a : parts) digests.push_back(digests_of(a, columns));
  std::vector<Digest> leaves;
  {
    const py::gil_scoped_release release;
    LeafHasher hasher(columns);
    for (const auto& part : digests) hasher.absorb(part);
    leaves = hasher.finish();
  }
  return digest_array(leaves);
}

}  // namespace

void add_commitment(py::module_& m) {
  py::class_<CodeParams>(m, "CodeParams", "The code of all commitments; see docs/spec/commitment.md.")
      .def(py::init(
               [](uint32_t log_columns, uint32_t random, uint32_t log_coset, uint32_t cosets,
                  uint32_t queries) { return CodeParams{log_columns, random, log_coset, cosets, queries}; }),
           py::kw_only(), py::arg("log_columns"), py::arg("random"), py::arg("log_coset"), py::arg("cosets"),
           py::arg("queries"))
      .def_readonly("log_columns", &CodeParams::log_columns)
      .def_readonly("random", &CodeParams::random)
      .def_readonly("log_coset", &CodeParams::log_coset)
      .def_readonly("cosets", &CodeParams::cosets)
      .def_readonly("queries", &CodeParams::queries)
      .def_property_readonly("length", &CodeParams::length)
      .def("invalid_reason", &invalid_reason, "Why these parameters cannot be used, or an empty string.");

  py::class_<PyFile, std::shared_ptr<PyFile>>(m, "File",
                                              "A file of so many bytes, mapped only while it is used.")
      .def(py::init([](const std::string& path, size_t bytes) { return PyFile{path, bytes}; }),
           py::arg("path"), py::arg("bytes"));
  py::class_<ProverCommitment, std::shared_ptr<ProverCommitment>>(m, "_ProverCommitment");
  py::class_<Commitment>(m, "Commitment", "The prover's side of a commitment.")
      .def(py::init(&make), py::arg("name"), py::arg("code"), py::arg("parts"), py::arg("key"),
           "parts: a list of (rows, [(first block, cells), ...]); those of a file are int16.")
      .def(
          "commit",
          [](Commitment& c) {
            const py::gil_scoped_release release;
            c.prover->commit(code_of(c.code));
          },
          "Encode and hash all parts.")
      .def("restore", &restore, py::arg("leaves"), py::arg("digests") = std::vector<PyBytes>{},
           "Take over the leaf digests of an earlier commit, and optionally the digests of each part.")
      .def(
          "set_codeword",
          [](Commitment& c, size_t part, const PyBytes& columns) {
            const size_t bytes = c.prover->parts().at(part).rows * sizeof(F) * c.code.length();
            c.prover->set_codeword(part, kept(c, columns, bytes, "a stored codeword"));
          },
          py::arg("part"), py::arg("columns"), "Answer queries of a part from a stored codeword.")
      .def_property_readonly("root", [](const Commitment& c) { return to_bytes(c.prover->root()); })
      .def("leaves", [](const Commitment& c) { return digest_array(c.prover->leaves()); })
      .def_readonly("_prover", &Commitment::prover);

  m.def("part_digests", &digest_part, py::arg("code"), py::arg("rows"), py::arg("slots"),
        py::arg("part_index"), py::arg("key"), py::arg("sink") = py::none(), py::arg("want_codeword") = false,
        "The digest of every column of one part, as (columns, 32). sink(rows_done, symbols or None) is "
        "called after "
        "each batch of 8 rows; the symbols, wanted for storing, come column by column and live during the "
        "call.");
  m.def("combine_parts", &combine_parts, py::arg("parts"), "The leaves over the digests of all parts.");
  m.def(
      "merkle_root",
      [](const py::array& leaves) {
        const auto s = digests_of(leaves, static_cast<size_t>(leaves.size()) / sizeof(Digest));
        return to_bytes(MerkleTree(std::vector<Digest>(s.begin(), s.end())).root());
      },
      py::arg("leaves"));
}

}  // namespace assay::bindings
