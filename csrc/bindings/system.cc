#include "bindings/cells.h"
#include "system/prover.h"
#include "system/verifier.h"

namespace assay::bindings {
namespace {

using PySlot = std::tuple<std::string, uint32_t, uint64_t, uint32_t, uint32_t, int>;

LongLived long_lived(const std::string& name, const py::bytes& root, const std::vector<uint32_t>& part_rows,
                     const std::vector<PySlot>& slots, bool partial) {
  LongLived c{name, {}, part_rows, {}, partial};
  const auto r = span_of(root);
  if (r.size() != c.root.size()) throw py::value_error("a root has 32 bytes");
  std::copy(r.begin(), r.end(), c.root.begin());
  for (const auto& [slot, part, first_block, rows, cols, bytes] : slots) {
    if (bytes != 2 && bytes != 4 && bytes != 8) throw py::value_error("cells have 2, 4 or 8 bytes");
    const CellType type = bytes == 2 ? CellType::kInt16 : bytes == 4 ? CellType::kInt32 : CellType::kInt64;
    c.slots.push_back({slot, part, first_block, rows, cols, type});
  }
  return c;
}

// A statement and the plan that points into it.
struct PyStatement {
  std::unique_ptr<Statement> statement;
  std::unique_ptr<Plan> plan;
};

std::vector<std::vector<size_t>> opened_parts(const PyStatement& s) {
  std::vector<std::vector<size_t>> found(s.plan->long_lived().size());
  for (size_t c = 0; c < found.size(); ++c) {
    const std::vector<bool>& opened = s.plan->stack().commitments()[c].opened;
    for (size_t part = 0; part < opened.size(); ++part)
      if (opened[part]) found[c].push_back(part);
  }
  return found;
}

PyStatement make(int degree, const CodeParams& code, double bits, const py::bytes& instance,
                 LongLived weights, std::vector<std::optional<LongLived>> members,
                 const std::vector<std::tuple<std::string, std::shared_ptr<Circuit>, uint32_t>>& segments,
                 bool hiding) {
  PyStatement out{std::make_unique<Statement>(), nullptr};
  const auto bytes = span_of(instance);
  Statement& s = *out.statement;
  s.degree = degree;
  s.hiding = hiding;
  s.code = code;
  s.required_bits = bits;
  s.instance.assign(bytes.begin(), bytes.end());
  s.weights = std::move(weights);
  for (auto& m : members) s.members.push_back({std::move(m)});
  for (const auto& [name, circuit, member] : segments) s.segments.push_back({name, circuit, member});
  out.plan = std::make_unique<Plan>(s);
  return out;
}

using Report = py::typing::Dict<py::str, py::object>;
using OnColumns = py::typing::Callable<void(std::vector<uint32_t>)>;

py::dict terms_dict(const std::vector<SecurityTerm>& terms) {
  py::dict d;
  for (const SecurityTerm& t : terms) d[t.name.c_str()] = t.bits;
  return d;
}

// Cells to change after the witness was computed: tensor name -> (row, column, what to add).
using PyChanges = std::map<std::string, std::vector<std::tuple<size_t, size_t, int64_t>>>;

constexpr const char* kMultiplicities = "multiplicities";  // row 0, by place in the batch's tables

void change_counts(const PyChanges& changes, std::vector<int32_t>& counts) {
  const auto at = changes.find(kMultiplicities);
  if (at == changes.end()) return;
  for (const auto& [row, col, delta] : at->second) {
    if (row != 0 || col >= counts.size()) throw std::invalid_argument("there is no such multiplicity");
    counts[col] += static_cast<int32_t>(delta);
  }
}

void change_cells(const Circuit& c, const PyChanges& changes, Witness& w) {
  for (const auto& [name, cells] : changes) {
    if (name == kMultiplicities) continue;
    const auto t =
        std::find_if(c.tensors.begin(), c.tensors.end(), [&](const Tensor& x) { return x.name == name; });
    if (t == c.tensors.end() || t->source != Source::kWitness)
      throw std::invalid_argument(name + " is no witness tensor");
    TensorData& data = w.tensors[static_cast<size_t>(t - c.tensors.begin())];
    for (const auto& [row, col, delta] : cells) {
      if (row >= t->shape.rows || col >= t->shape.cols)
        throw std::invalid_argument(name + " has no such cell");
      data.set(row, col, data.at(row, col) + delta);
    }
  }
}

// The cells of a replaced weight, which must be as many as those of every tensor of that name.
const int16_t* replaced_cells(const Statement& s, const std::string& name, const py::array& a) {
  if (cell_type(a) != CellType::kInt16) throw py::type_error("replaced weights are int16");
  for (const Segment& g : s.segments)
    for (const Tensor& t : g.circuit->tensors)
      if (t.name == name) (void)cell_data(a, t.cells(), name.c_str());
  return static_cast<const int16_t*>(a.data());
}

// The boundary tensor of this name in a member; every segment that names it agrees on its shape.
const Tensor& boundary_tensor(const Statement& s, size_t member, const std::string& name) {
  for (const Segment& g : s.segments)
    for (const Tensor& t : g.circuit->tensors)
      if (g.member == member && t.source == Source::kBoundary && t.name == name) return t;
  throw std::invalid_argument(name + " is no boundary tensor of its member");
}

using PyAdvice = std::vector<std::map<std::string, py::array_t<int64_t, py::array::c_style | py::array::forcecast>>>;

std::vector<std::map<std::string, TensorData>> advised(const Statement& s, const PyAdvice& advice) {
  std::vector<std::map<std::string, TensorData>> out(advice.size());
  for (size_t m = 0; m < advice.size(); ++m)
    for (const auto& [name, a] : advice[m]) {
      const Tensor& t = boundary_tensor(s, m, name);
      if (a.ndim() != 2 || a.shape(0) != t.shape.rows || a.shape(1) != t.shape.cols)
        throw std::invalid_argument(name + " has another shape");
      TensorData data(t.type, t.shape);
      for (uint32_t i = 0; i < t.shape.rows; ++i)
        for (uint32_t j = 0; j < t.shape.cols; ++j) data.set(i, j, a.at(i, j));
      out[m].emplace(name, std::move(data));
    }
  return out;
}

using OnProgress = py::typing::Callable<void(std::string, size_t, size_t)>;

Report prove(const PyStatement& s, const py::object& weights, const std::vector<py::object>& boundaries,
             const py::bytes& seed, uint64_t counter, const std::optional<OnColumns>& on_columns,
             bool self_check, const std::map<std::string, py::array>& evaluate_with,
             const PyChanges& corrupt, const PyAdvice& advice, const std::optional<std::string>& work,
             const std::optional<OnProgress>& progress, size_t corrupt_segment,
             const std::vector<Choices>& choices) {
  const auto w = weights.attr("_prover").cast<std::shared_ptr<ProverCommitment>>();
  std::vector<std::shared_ptr<ProverCommitment>> kept;
  std::vector<const ProverCommitment*> recorded;
  for (const py::object& b : boundaries) {
    kept.push_back(b.attr("_prover").cast<std::shared_ptr<ProverCommitment>>());
    recorded.push_back(kept.back().get());
  }
  if (recorded.size() + 1 != s.plan->long_lived().size())
    throw py::value_error("a commitment for each recorded member");
  const auto bytes = span_of(seed);
  if (bytes.size() != 32) throw py::value_error("a seed has 32 bytes");
  PrgKey key;
  std::copy(bytes.begin(), bytes.end(), key.begin());
  ProveOptions options;
  options.counter = counter;
  options.self_check = self_check;
  if (on_columns)
    options.reveal = [&](std::span<const uint32_t> columns) {
      const py::gil_scoped_acquire acquire;
      (*on_columns)(std::vector<uint32_t>(columns.begin(), columns.end()));
    };
  options.advice = advised(*s.statement, advice);
  options.choices = choices;
  if (work) options.work = *work;
  if (progress)
    options.progress = [&](const char* step, size_t segment, size_t of) {
      const py::gil_scoped_acquire acquire;
      (*progress)(step, segment, of);
    };
  for (const auto& [name, a] : evaluate_with)
    options.evaluate_with[name] = replaced_cells(*s.statement, name, a);
  if (!corrupt.empty()) {
    options.corrupt = [&](size_t segment, Witness& witness) {
      if (segment == corrupt_segment) change_cells(*s.statement->segments[segment].circuit, corrupt, witness);
    };
    options.corrupt_counts = [&](std::vector<int32_t>& counts) { change_counts(corrupt, counts); };
  }
  ProveResult r;
  {
    const py::gil_scoped_release release;
    r = prove_body(*s.plan, *w, recorded, key, options);
  }
  Report out;
  out["body"] = to_bytes(r.body);
  py::dict seconds;
  for (const auto& [step, t] : r.seconds) seconds[step.c_str()] = t;
  out["seconds"] = seconds;
  out["security_terms"] = terms_dict(r.terms);
  out["security_bits"] = r.bits;
  out["lookups"] = r.lookups;
  out["committed_elements"] = r.committed_cells;
  return out;
}

py::list signed_values(const std::vector<F>& cells) {
  py::list out;
  for (const F x : cells) out.append(x.v > kModulus / 2 ? -static_cast<int64_t>(kModulus - x.v) : static_cast<int64_t>(x.v));
  return out;
}

Report verify(const PyStatement& s, const py::bytes& body) {
  const auto bytes = span_of(body);
  Verified v;
  {
    const py::gil_scoped_release release;
    v = verify_body(*s.plan, bytes);
  }
  Report out;
  out["counter"] = v.counter;
  out["security_bits"] = v.bits;
  out["security_terms"] = terms_dict(v.terms);
  py::list totals;
  for (const auto& segment : v.totals) {
    py::dict d;
    for (const auto& [name, value] : segment) d[name.c_str()] = value;
    totals.append(d);
  }
  out["totals"] = totals;
  py::list outputs;
  for (const auto& segment : v.outputs) {
    py::dict d;
    for (const auto& [name, cells] : segment) d[name.c_str()] = signed_values(cells);
    outputs.append(d);
  }
  out["outputs"] = outputs;
  return out;
}

}  // namespace

void add_system(py::module_& m) {
  py::class_<LongLived>(m, "LongLived", "What a verifier knows of a long-lived commitment.")
      .def(py::init(&long_lived), py::arg("name"), py::arg("root"), py::arg("part_rows"), py::arg("slots"),
           py::arg("partial") = false,
           "slots: (name, part, first block, rows, columns, bytes of a cell). Of partial boundaries those without a "
           "slot are the proof's own.");
  py::class_<PyStatement>(m, "Statement", "A batch of members over the same weights. A member is the commitment to its recorded boundaries, or None; "
                                                "a segment is (name, circuit, number of its member).")
      .def(py::init(&make), py::kw_only(), py::arg("degree"), py::arg("code"), py::arg("required_bits"),
           py::arg("instance"), py::arg("weights"), py::arg("members"), py::arg("segments"),
           py::arg("hiding") = true)
      .def_property_readonly(
          "instance", [](const PyStatement& s) { return to_bytes(s.plan->instance()); },
          "What the transcript absorbs of it.")
      .def("opened_parts", &opened_parts,
           "The parts of the weights, and of each recorded member's boundaries, that a proof opens.");
  m.def("prove", &prove, py::arg("statement"), py::arg("weights"), py::arg("boundaries"), py::arg("seed"),
        py::kw_only(), py::arg("counter") = 0, py::arg("on_columns") = py::none(),
        py::arg("self_check") = true, py::arg("evaluate_with") = std::map<std::string, py::array>{},
        py::arg("corrupt") = PyChanges{}, py::arg("advice") = PyAdvice{}, py::arg("work") = py::none(),
        py::arg("progress") = py::none(), py::arg("corrupt_segment") = 0,
        py::arg("choices") = std::vector<Choices>{},
        "Prove a statement; returns the proof's body, seconds by step and counts. on_columns gets the "
        "columns of the "
        "long-lived commitments before anything of them is revealed; what it raises ends the proof. choices "
        "are those of Circuit.evaluate, for each segment. Only to show that the verifier "
        "rejects, with self_check off: evaluate_with replaces weights while the witness is computed, corrupt "
        "adds "
        "to cells of one segment's witness, {tensor: [(row, column, what to add)]}, and to "
        "\"multiplicities\".");
  m.def("verify", &verify, py::arg("statement"), py::arg("body"),
        "Check a proof's body against a statement; raises Rejected.");
}

}  // namespace assay::bindings
