// Segments joined by shared tensors, indexed operands, outputs, batches, and runs that are taken up again.
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "circuits.h"

namespace assay {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

void relate(Sketch& s, const std::string& name, Domain d, Poly poly, uint32_t t) {
  s.circuit.linears.push_back({name, d, s.assign(d, std::move(poly), t)});
}

// x = rows of a weight, as an embedding is read; the last row is nobody's.
Sketch reading(CellMap& cells) {
  Sketch s("reading", cells);
  const uint32_t w = s.wire_of(s.weight("table", 6, 130, 900));
  const uint32_t index = s.index_list("rows", 1, 4, {5, 0, 5, -1});
  const uint32_t x = s.tensor("x", full(4, 130), CellType::kInt32, Source::kBoundary);
  relate(s, "gather", full(4, 130), {{1, {gathered(w, index)}}}, x);
  return s;
}

// y = 2 x + 1 from the shared x, and cells of it as an output, with a cell of advice added.
Sketch doubling(CellMap& cells) {
  Sketch s("doubling", cells);
  const uint32_t x = s.wire_of(s.tensor("x", full(4, 130), CellType::kInt32, Source::kBoundary));
  const uint32_t hint = s.wire_of(s.tensor("hint", full(1, 4), CellType::kInt32, Source::kBoundary));
  const uint32_t y = s.tensor("y", full(4, 130), CellType::kInt32);
  relate(s, "double", full(4, 130), {{2, {cell(x)}}, {1, {row(hint)}}}, y);
  const uint32_t range = s.range("wide", -8192, 16384);
  s.in_range("y.range", range, y);
  const uint32_t index = s.index_list("cells", 4, 3, {0, 129, 7, 128, -1, 1, 2, 2, 2, 5, 64, 127});
  const uint32_t p = s.tensor("picked", full(4, 3), CellType::kInt32);
  relate(s, "pick", full(4, 3), {{1, {picked(s.wire_of(y), index)}}}, p);
  s.circuit.outputs.push_back({"chosen", s.wire(4, 3, {{1, p}})});
  return s;
}

// A forward pass in two segments, `passes` of them over the same weights; nothing is recorded.
struct Forward {
  CellMap cells;
  std::vector<std::shared_ptr<const Circuit>> circuits;
  Committed weights;
  Statement statement;

  explicit Forward(int degree, size_t passes = 1) {
    for (const Sketch& s : {reading(cells), doubling(cells)})
      circuits.push_back(std::make_shared<Circuit>(Circuit::decode(CircuitWriter::write(s.circuit))));
    weights = commit_cells("weights", tiny_code(), Source::kWeight, {circuits[0]}, cells, 1);
    statement.degree = degree;
    statement.hiding = false;
    statement.code = tiny_code();
    statement.required_bits = 1;
    statement.instance = {9};
    statement.weights = weights.shape;
    for (uint32_t m = 0; m < passes; ++m) {
      statement.members.emplace_back();
      for (size_t k = 0; k < circuits.size(); ++k)
        statement.segments.push_back({"pass " + std::to_string(m) + "." + std::to_string(k), circuits[k], m});
    }
  }

  ProveOptions options() const {
    ProveOptions o;
    for (size_t m = 0; m < statement.members.size(); ++m) {
      TensorData hint(CellType::kInt32, full(1, 4));
      for (uint32_t j = 0; j < 4; ++j) hint.set(0, j, 10 * static_cast<int64_t>(m) + j);
      o.advice.emplace_back();
      o.advice.back().emplace("hint", std::move(hint));
    }
    return o;
  }
  std::vector<uint8_t> prove(const Statement& told, const ProveOptions& o) const {
    const Plan plan(told);
    PrgKey seed{};
    seed[0] = 7;
    return prove_body(plan, *weights.prover, {}, seed, o).body;
  }
  // Row i of the output: 2 table[index[i]][j] + hint[i].
  int64_t expected(size_t row, size_t j, int64_t hint) const {
    const int64_t rows[] = {5, 0, 5, -1};
    const int64_t x = rows[row] < 0 ? 0 : cells.at("table").at(static_cast<size_t>(rows[row]), j);
    return 2 * x + hint;
  }
};

TEST(joined_segments_are_proven_and_outputs_are_right) {
  for (const int degree : {2, 3})
    for (const bool hiding : {false, true}) {
      const Forward f(degree, 2);
      Statement s = f.statement;
      s.hiding = hiding;
      const auto body = f.prove(s, f.options());
      const Plan plan(s);
      const Verified v = verify_body(plan, body);
      CHECK_EQ(v.outputs.size(), size_t{4});
      CHECK(v.outputs[0].empty());
      for (size_t m = 0; m < 2; ++m) {
        const auto& [name, cells] = v.outputs[2 * m + 1].at(0);
        CHECK_EQ(name, std::string("chosen"));
        const int64_t base = 10 * static_cast<int64_t>(m);
        CHECK(cells[1] == F::from_i64(f.expected(0, 129, base)));
        CHECK(cells[3] == F::from_i64(f.expected(1, 128, base + 1)));
        CHECK(cells[4] == F::zero());  // the index -1
        CHECK(cells[6] == F::from_i64(f.expected(2, 2, base + 2)));
        CHECK(cells[11] == F::from_i64(base + 3));
      }
    }
}

// Each is a forgery of one relation, caught there.
TEST(forgeries_are_caught_where_they_are) {
  const Forward f(3);
  const auto forged = [&](size_t segment, std::vector<Change> changes) {
    ProveOptions o = f.options();
    o.self_check = false;
    o.corrupt = [&, segment, changes = std::move(changes)](size_t s, Witness& w) {
      if (s == segment) apply(*f.circuits[s], w, changes);
    };
    return verdict(f.statement, f.prove(f.statement, o));
  };
  expect_accepted("honest", forged(0, {}));
  // Linear relations end at the opening.
  expect("another row of the table", forged(0, {{"x", 1, 3, 1}}), "opening.reduction", "opening");
  expect("a row that nobody has", forged(0, {{"x", 3, 0, 1}}), "opening.reduction", "opening");
  expect("a picked neighbour", forged(1, {{"picked", 0, 0, 1}}), "opening.reduction", "opening");
  expect("a pick of nothing", forged(1, {{"picked", 1, 1, 5}}), "opening.reduction", "opening");
}

TEST(an_output_cannot_be_changed) {
  const Forward f(3);
  const auto body = f.prove(f.statement, f.options());
  // The only message of 12 words in the clear: find its first word and change it.
  const F first = F::from_i64(f.expected(0, 0, 0));
  size_t found = 0;
  for (size_t at = 0; at + 8 <= body.size(); ++at) {
    uint64_t word = 0;
    std::memcpy(&word, body.data() + at, 8);
    if (word != first.v || word == 0) continue;
    ++found;
    auto other = body;
    other[at] ^= 1;
    CHECK(verdict(f.statement, other).code != "");
    other = body;  // p in place of the 0 of cell 4
    std::memcpy(other.data() + at + 4 * sizeof word, &kModulus, sizeof word);
    CHECK_EQ(verdict(f.statement, other).code, std::string("format.field"));
    break;
  }
  CHECK_EQ(found, size_t{1});
}

std::filesystem::path scratch() {
  const auto path = std::filesystem::temp_directory_path() / ("assay-forward-" + std::to_string(::getpid()));
  std::filesystem::remove_all(path);
  return path;
}

struct Stop {};

// Wherever a run is cut off, the next one makes the same bytes.
TEST(a_run_that_was_cut_off_goes_on) {
  for (const bool hiding : {false, true}) {
    const Forward f(3, 2);
    Statement s = f.statement;
    s.hiding = hiding;
    const auto whole = f.prove(s, f.options());
    for (int stop = 1; stop <= 9; ++stop) {
      ProveOptions o = f.options();
      o.work = scratch();
      int steps = 0;
      o.progress = [&](const char*, size_t, size_t) {
        if (++steps == stop) throw Stop{};
      };
      try {
        (void)f.prove(s, o);
        CHECK(false);
      } catch (const Stop&) {
      }
      o.progress = {};
      CHECK(f.prove(s, o) == whole);
      CHECK(f.prove(s, o) == whole);  // also when there is nothing left to do but the opening
      std::filesystem::remove_all(o.work);
    }
  }
}

TEST(a_damaged_work_folder_costs_time_alone) {
  const Forward f(3);
  ProveOptions o = f.options();
  o.work = scratch();
  const auto whole = f.prove(f.statement, o);
  for (const auto& entry : std::filesystem::directory_iterator(o.work))
    std::filesystem::resize_file(entry.path(), entry.file_size() - 1);
  CHECK(f.prove(f.statement, o) == whole);
  // Another statement finds nothing of its own there.
  Statement other = f.statement;
  other.instance = {10};
  const auto body = f.prove(other, o);
  expect_accepted("another statement", verdict(other, body));
  std::filesystem::remove_all(o.work);
}

Digest tableau_root(std::span<const uint8_t> body, size_t roots) {
  Digest out;
  std::memcpy(out.data(), body.data() + sizeof(uint64_t) + (roots - 1) * sizeof(Digest), sizeof(Digest));
  return out;
}

// Whatever is missing or exchanged, a run with other cells has other pads: no two messages under one pad.
TEST(no_pad_serves_two_runs) {
  const Forward f(3, 2);
  Statement s = f.statement;
  s.hiding = true;
  ProveOptions o = f.options();
  ProveOptions other = f.options();
  other.advice[0].at("hint").set(0, 0, 77);
  const size_t roots = 4 + 1 + 2;  // witnesses, multiplicities, mask and tableau
  const std::vector<std::vector<std::string>> gone = {
      {}, {"cells 1"}, {"cells 1", "messages 1"}, {"cells 1", "leaves 1"}, {"messages 0", "messages 1", "cells 1"},
      {"cells 0", "cells 1", "cells 2", "cells 3"}};
  for (const auto& names : gone) {
    o.work = other.work = scratch();
    const auto whole = f.prove(s, o);
    for (const std::string& name : names) std::filesystem::remove(o.work / name);
    const auto again = f.prove(s, other);
    expect_accepted("again", verdict(s, again));
    CHECK(again == whole || tableau_root(again, roots) != tableau_root(whole, roots));
  }
  o.work = other.work = scratch();
  const auto whole = f.prove(s, o);
  std::filesystem::rename(o.work / "cells 1", o.work / "swap");
  std::filesystem::rename(o.work / "cells 3", o.work / "cells 1");
  std::filesystem::rename(o.work / "swap", o.work / "cells 3");
  CHECK(f.prove(s, o) == whole);
  std::filesystem::remove_all(o.work);
}

TEST(a_folder_that_others_can_use_is_refused) {
  const Forward f(3);
  ProveOptions o = f.options();
  o.work = scratch();
  std::filesystem::create_directory(o.work);
  std::filesystem::permissions(o.work, std::filesystem::perms::all);
  CHECK_THROWS(std::system_error, (void)f.prove(f.statement, o));
  std::filesystem::permissions(o.work, std::filesystem::perms::owner_all);
  // A link in the place of a file is replaced, not followed.
  const auto outside = o.work.string() + ".outside";
  std::filesystem::create_symlink(outside, o.work / "cells 0.part");
  (void)f.prove(f.statement, o);
  CHECK(!std::filesystem::exists(outside));
  std::filesystem::remove_all(o.work);
}

// Two lookups that are too many for one tree, and one that fits beside the second.
TEST(a_segment_of_several_trees) {
  const Setup setup(2, one_segment([](Sketch& k) {
    const auto rows = static_cast<uint32_t>(kTreeBlocks / 2 + 1);
    const uint32_t range = k.range("range", -10, 20);
    for (const auto& [name, n] : std::map<std::string, uint32_t>{{"a", rows}, {"b", rows}, {"c", 3}})
      k.in_range(name, range, k.copy(name, full(n, 1), k.wire_of(k.given("of " + name, n, 1, 9))));
  }), CodeParams{12, 64, 13, 3, 24});
  const auto trees = lookup_trees(*setup.circuits[0]);
  CHECK_EQ(trees.size(), size_t{2});
  CHECK_EQ(trees[1].end, size_t{3});
  expect_accepted("several trees", verdict(setup.statement, setup.prove()));
  for (const char* name : {"a", "b", "c"})
    expect(name, verdict(setup.statement, setup.prove(cheating(setup, {{name, 2, 0, 50}}))), "lookup.sum", "lookup");
}

TEST(statements_that_do_not_fit_together) {
  const auto malformed = [](const char* what, const std::function<void(Forward&)>& change) {
    Forward f(3);
    change(f);
    try {
      const Plan plan(f.statement);
      fail(what, 0, "was taken");
    } catch (const Malformed&) {
    }
  };
  malformed("a segment of no member", [](Forward& f) { f.statement.segments[0].member = 1; });
  malformed("no members", [](Forward& f) { f.statement.members.clear(); });
  malformed("a member without segments", [](Forward& f) { f.statement.members.emplace_back(); });
  malformed("too many members", [](Forward& f) { f.statement.members.resize(kMaxMembers + 1); });
  const auto with_tensor = [](Forward& f, const std::function<void(Tensor&)>& change) {
    Circuit c = *f.circuits[1];
    for (Tensor& t : c.tensors)
      if (t.name == "x") change(t);
    f.statement.segments[1].circuit = std::make_shared<Circuit>(std::move(c));
  };
  malformed("a shared tensor of another type",
            [&](Forward& f) { with_tensor(f, [](Tensor& t) { t.type = CellType::kInt64; }); });
  malformed("a shared tensor of another shape",
            [&](Forward& f) { with_tensor(f, [](Tensor& t) { t.shape.rows = 5; }); });
  malformed("a recorded member without the boundary", [](Forward& f) {
    f.statement.members[0].boundaries = LongLived{"boundaries", {}, {1}, {}, false};
  });
  const auto partly = [](Forward& f, Slot slot) {
    f.statement.members[0].boundaries = LongLived{"boundaries", {}, {1}, {std::move(slot)}, true};
  };
  malformed("a partly recorded member without a slot", [&](Forward& f) {
    partly(f, {});
    f.statement.members[0].boundaries->slots.clear();
  });
  malformed("a slot that no segment reads",
            [&](Forward& f) { partly(f, {"other", 0, 0, 1, 4, CellType::kInt32}); });
  malformed("a slot of a weight's name", [&](Forward& f) { partly(f, {"table", 0, 0, 6, 130, CellType::kInt16}); });
  malformed("a slot of another shape", [&](Forward& f) { partly(f, {"hint", 0, 0, 4, 1, CellType::kInt32}); });
  malformed("a slot of another type", [&](Forward& f) { partly(f, {"hint", 0, 0, 1, 4, CellType::kInt16}); });
  malformed("a part of the weights", [](Forward& f) { f.statement.weights.partial = true; });
}

// What has a slot is read from it, the rest joins the segments.
TEST(a_partly_recorded_member) {
  for (const bool hiding : {false, true}) {
    Forward f(3);
    TensorData hint(CellType::kInt32, full(1, 4));
    for (uint32_t j = 0; j < 4; ++j) hint.set(0, j, 100 + j);
    std::vector<PartCells> parts{{1, {{0, 1, CellType::kInt32, hint.data()}}}};
    ProverCommitment recorded("boundaries", f.statement.code, std::move(parts), PrgKey{});
    const CodeParams& code = f.statement.code;
    recorded.commit(ReedSolomon(code.message(), code.log_coset, code.cosets));
    Statement s = f.statement;
    s.hiding = hiding;
    s.members[0].boundaries =
        LongLived{"boundaries", recorded.root(), {1}, {{"hint", 0, 0, 1, 4, CellType::kInt32}}, true};
    const Plan plan(s);
    CHECK(plan.slot(1, 1) != nullptr);  // hint
    CHECK(plan.slot(1, 0) == nullptr && plan.owner(1, 0).segment == 0);  // x
    PrgKey seed{};
    const ProverCommitment* boundaries[] = {&recorded};
    const auto prove = [&](const ProveOptions& o) { return prove_body(plan, *f.weights.prover, boundaries, seed, o); };
    const auto body = prove({}).body;
    CHECK(verify_body(plan, body).outputs[1].at(0).second[1] == F::from_i64(f.expected(0, 129, 100)));
    // Under another record's root.
    Statement other = s;
    other.members[0].boundaries->root[0] ^= 1;
    CHECK(!verdict(other, body).code.empty());
    // The prover's own cells in the place of those recorded.
    ProveOptions o;
    o.self_check = false;
    o.corrupt = [&](size_t segment, Witness& w) {
      if (segment == 1) apply(*f.circuits[1], w, {{"y", 0, 1, 1}, {"picked", 1, 2, 1}});
    };
    CHECK_EQ(verdict(s, prove(o).body).code, std::string(hiding ? "tableau.linear" : "opening.reduction"));
  }
}

// Segments of two members never share, whatever their tensors are called.
TEST(members_do_not_share) {
  const Forward f(3, 2);
  const Plan plan(f.statement);
  CHECK(plan.owner(1, 0).segment == 0);
  CHECK(plan.owner(3, 0).segment == 2);
  const Statement& s = f.statement;
  Statement exchanged = s;
  exchanged.segments[3].member = 0;
  exchanged.segments[1].member = 1;
  CHECK(Plan(exchanged).instance() != plan.instance());
}

TEST(indexed_operands_are_checked_when_a_circuit_is_read) {
  CellMap cells;
  const auto refused = [&](const char* what, const std::function<void(Circuit&)>& change) {
    Circuit c = doubling(cells).circuit;
    change(c);
    try {
      (void)Circuit::decode(CircuitWriter::write(c));
      fail(what, 0, "was taken");
    } catch (const Malformed&) {
    }
  };
  (void)reading(cells);
  refused("an index past the wire", [](Circuit& c) { c.publics[0].values[0] = 130; });
  refused("an index below -1", [](Circuit& c) { c.publics[0].values[0] = -2; });
  refused("an index list of another shape", [](Circuit& c) { std::swap(c.publics[0].rows, c.publics[0].cols); });
  refused("no such list", [](Circuit& c) { c.linears[1].poly[0].operands[0].argument = 4; });
  refused("in a lookup", [](Circuit& c) { c.lookups[0].columns[0][0].operands[0] = c.linears[1].poly[0].operands[0]; });
  refused("in a zero-check", [](Circuit& c) {
    c.zero_checks.push_back({"z", c.linears[1].domain, {c.linears[1].poly}});
  });
  refused("an output of an unknown wire", [](Circuit& c) { c.outputs[0].wire = 999; });
}

}  // namespace
}  // namespace assay

ASSAY_TEST_MAIN
