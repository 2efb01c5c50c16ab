// The files of a verification, and the program that reads them.
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "circuits.h"
#include "system/files.h"

using namespace assay;
using namespace assay::test;

namespace {

using Bytes = std::vector<uint8_t>;

const Bytes kHead = {0xa0};  // to this side the head is just bytes

template <class T>
void append(Bytes& out, T x) {
  const auto* p = reinterpret_cast<const uint8_t*>(&x);
  out.insert(out.end(), p, p + sizeof x);
}
void append_section(Bytes& out, std::span<const uint8_t> bytes) {
  append<uint64_t>(out, bytes.size());
  out.insert(out.end(), bytes.begin(), bytes.end());
}
Bytes framed(const std::string& kind, const std::vector<Bytes>& sections) {
  Bytes out;
  for (const char c : "ASSAY" + kind) out.push_back(static_cast<uint8_t>(c));
  append<uint32_t>(out, 3);
  for (const Bytes& s : sections) append_section(out, s);
  return out;
}

// A statement, a proof of it, and both files.
struct Files {
  Setup setup;
  Statement statement;
  Bytes circuits, statement_file, proof_file;

  explicit Files(bool hiding) : setup(3, two_layers(2, 3), {7, 16, 8, 2, 3}) {
    statement = hiding ? setup.hidden() : setup.statement;
    for (const auto& c : setup.circuits) append_section(circuits, CircuitWriter::write(*c));
    statement_file = framed("STM", {kHead, Plan(statement).instance(), circuits});
    ProveOptions options;
    options.counter = 41;
    proof_file = framed("PRF", {kHead, statement.instance, setup.prove(statement, options)});
  }
};

std::string code_of(std::span<const uint8_t> statement_file, std::span<const uint8_t> proof_file) {
  try {
    const ExpectedProof expected = ExpectedProof::read(statement_file);
    const Plan plan(expected.statement);
    (void)verify_file(expected, plan, proof_file);
    return "";
  } catch (const Rejected& e) {
    return e.code;
  } catch (const Malformed&) {
    return "malformed";
  }
}

TEST(a_statement_survives_its_file) {
  for (const bool hiding : {false, true}) {
    const Files f(hiding);
    const ExpectedProof expected = ExpectedProof::read(f.statement_file);
    CHECK(Plan(expected.statement).instance() == Plan(f.statement).instance());
    CHECK(expected.head == kHead);
    const Plan plan(expected.statement);
    CHECK_EQ(verify_file(expected, plan, f.proof_file).counter, 41U);
  }
}

TEST(proof_files) {
  const Files f(true);
  const auto code = [&](const Bytes& proof) { return code_of(f.statement_file, proof); };
  const Bytes body = f.setup.prove(f.statement, {});
  CHECK_EQ(code(f.proof_file), "");
  CHECK_EQ(code(framed("PUB", {kHead, f.statement.instance, body})), "format.kind");
  CHECK_EQ(code({}), "format.kind");
  for (size_t n = 0; n < 200; ++n) {
    const std::string got = code_of(f.statement_file, std::span(f.proof_file).first(n));
    CHECK_EQ(got, n < 8 ? "format.kind" : "format.truncated");
  }
  Bytes other = f.proof_file;
  other[8] = 0;
  CHECK_EQ(code(other), "format.version");
  other = f.proof_file;
  store_le64(&other[12], 257);
  CHECK_EQ(code(other), "format.size");
  other = f.proof_file;
  store_le64(&other[12], ~uint64_t{0});
  CHECK_EQ(code(other), "format.size");
  other = f.proof_file;
  other.push_back(0);
  CHECK_EQ(code(other), "format.trailing");
  CHECK_EQ(code(framed("PRF", {{0xa1}, f.statement.instance, body})), "statement.head");
  CHECK_EQ(code(framed("PRF", {kHead, {1, 2, 3}, body})), "statement.differs");
  other = f.proof_file;
  other.back() ^= 1;
  CHECK_EQ(code(other), "tableau.merkle");
}

TEST(statement_files) {
  const Files f(false);
  const Bytes instance = Plan(f.statement).instance();
  const auto refused = [&](const Bytes& file) { return code_of(file, f.proof_file) == "malformed"; };
  CHECK(!refused(f.statement_file));
  for (size_t n = 0; n < f.statement_file.size(); n += 3)
    CHECK_EQ(code_of(std::span(f.statement_file).first(n), f.proof_file), "malformed");
  // Another statement, or none. (A circuit's witness steps are no part of it: its digest leaves them out.)
  for (size_t at = 0; at < f.statement_file.size() - f.circuits.size(); ++at) {
    Bytes other = f.statement_file;
    other[at] ^= 2;
    if (code_of(other, f.proof_file).empty()) fail("a byte can be changed", static_cast<int>(at), "");
  }
  for (size_t at = f.statement_file.size() - f.circuits.size(); at < f.statement_file.size(); ++at) {
    Bytes other = f.statement_file;
    other[at] ^= 2;
    const std::string code = code_of(other, f.proof_file);
    CHECK(code.empty() || code == "malformed");
  }
  Bytes longer = instance;
  longer.push_back(0);
  CHECK(refused(framed("STM", {kHead, longer, f.circuits})));
  Bytes flag = instance;
  flag[4] = 2;
  CHECK(refused(framed("STM", {kHead, flag, f.circuits})));
  Bytes more = f.circuits;
  append_section(more, {});
  CHECK(refused(framed("STM", {kHead, instance, more})));
  Bytes exchanged;
  for (const size_t k : {1U, 0U}) append_section(exchanged, CircuitWriter::write(*f.setup.circuits[k]));
  CHECK(refused(framed("STM", {kHead, instance, exchanged})));
}

// ---- The program ----

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / "assay-verify-XXXXXX") {
    std::string name = path_.string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  std::string write(const char* name, const Bytes& bytes) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

struct Ran {
  int exit = -1;
  std::string output;
};
Ran run(const std::string& arguments) {
  const std::string command = std::string(ASSAY_VERIFY_PROGRAM) + " " + arguments + " 2>/dev/null";
  Ran out;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run the program");
  char chunk[4096];
  for (size_t n; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) out.output.append(chunk, n);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) out.exit = WEXITSTATUS(status);
  return out;
}
bool has(const Ran& r, const char* text) { return r.output.find(text) != std::string::npos; }

TEST(the_program) {
  const Folder folder;
  for (const bool hiding : {false, true}) {
    const Files f(hiding);
    const std::string statement = folder.write("statement", f.statement_file);
    const std::string proof = folder.write("proof", f.proof_file);
    const Ran accepted = run(statement + " " + proof);
    CHECK_EQ(accepted.exit, 0);
    CHECK(has(accepted, "\"verdict\": \"accepted\"") && has(accepted, "\"counter\": 41"));
    CHECK(has(accepted, hiding ? "\"hiding\": true" : "\"hiding\": false"));
    CHECK(has(accepted, "\"opening: queries\": ") && has(accepted, "\"name\": \"segment 1\""));

    Bytes changed = f.proof_file;
    changed[changed.size() / 2] ^= 1;
    const Ran rejected = run(statement + " " + folder.write("changed", changed));
    CHECK_EQ(rejected.exit, 1);
    CHECK(has(rejected, "\"verdict\": \"rejected\"") && has(rejected, "\"code\": \""));
    CHECK_EQ(run(proof + " " + proof).exit, 2);
    CHECK_EQ(run(statement + " " + statement).exit, 1);
    CHECK_EQ(run(statement + " " + proof + ".missing").exit, 2);
    CHECK_EQ(run(statement + " /").exit, 2);
    CHECK_EQ(run(statement).exit, 2);
    CHECK_EQ(run(statement + " " + proof + " >/dev/full").exit, 2);
  }
}

}  // namespace

ASSAY_TEST_MAIN
