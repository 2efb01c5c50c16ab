#include "system/files.h"

#include <algorithm>

namespace assay {
namespace {

constexpr std::string_view kMagic = "ASSAY";
constexpr uint32_t kVersion = 3;  // of both files
constexpr uint64_t kHeadCap = 256;
constexpr uint64_t kProofCaps[] = {kHeadCap, uint64_t{1} << 24, uint64_t{1} << 30};
constexpr uint64_t kStatementCaps[] = {kHeadCap, uint64_t{1} << 24, uint64_t{1} << 30};
constexpr Where kFile{"", "file"};

using Bytes = std::span<const uint8_t>;

// How the two files fail.
struct RejectProof {
  void operator()(bool holds, const char* code, const char* message,
                  CheckSite site = CheckSite::current()) const {
    assay::require(holds, code, kFile, message, site);
  }
};
struct RefuseStatement {
  void operator()(bool holds, const char*, const char* message) const {
    if (!holds) throw Malformed{std::string("statement file: ") + message};
  }
};

// The sections of a file, one for each cap on their lengths; nothing follows.
template <class Require>
std::vector<Bytes> sections(Bytes file, std::string_view kind, std::span<const uint64_t> caps,
                            const Require& require) {
  Reader in(file);
  const auto starts_with = [&](std::string_view text) {
    const Bytes bytes = in.take(text.size());
    return std::equal(bytes.begin(), bytes.end(), text.begin());
  };
  require(file.size() >= kMagic.size() + kind.size() && starts_with(kMagic) && starts_with(kind),
          "format.kind", "this is another kind of file");
  require(in.remaining() >= sizeof(uint32_t), "format.truncated", "the file ends within its head");
  require(in.u32() == kVersion, "format.version", "this program reads version 3");
  std::vector<Bytes> out;
  for (const uint64_t cap : caps) {
    require(in.remaining() >= sizeof(uint64_t), "format.truncated", "the file ends before a section");
    const uint64_t length = in.u64();
    require(length <= cap, "format.size", "a section is longer than allowed");
    require(length <= in.remaining(), "format.truncated", "the file ends within a section");
    out.push_back(in.take(length));
  }
  require(in.remaining() == 0, "format.trailing", "bytes after the end of the file");
  return out;
}

Bytes long_bytes(Reader& in) {
  const uint64_t n = in.u64();
  if (n > in.remaining()) throw Truncated{};
  return in.take(n);
}
std::string long_string(Reader& in) {
  const Bytes s = long_bytes(in);
  return {s.begin(), s.end()};
}
Digest digest(Reader& in) {
  const Bytes bytes = long_bytes(in);
  Digest d;
  if (bytes.size() != d.size()) throw Malformed{"a digest has another length"};
  std::copy(bytes.begin(), bytes.end(), d.begin());
  return d;
}

LongLived read_commitment(Reader& in) {
  LongLived c{long_string(in), digest(in), {}, {}, false};
  for (size_t n = in.count(sizeof(uint32_t)); n > 0; --n) c.part_rows.push_back(in.u32());
  for (size_t n = in.count(29); n > 0; --n) {
    Slot s;
    s.name = long_string(in);
    s.part = in.u32();
    s.first_block = in.u64();
    s.rows = in.u32();
    s.cols = in.u32();
    const uint8_t type = in.u8();
    if (type > static_cast<uint8_t>(CellType::kInt64)) throw Malformed{"unknown type of cells"};
    s.type = static_cast<CellType>(type);
    c.slots.push_back(std::move(s));
  }
  return c;
}

// Plan::instance() backwards; circuits are read beside it.
Statement read_instance(Reader& in, Reader& circuits) {
  Statement s;
  s.degree = static_cast<int>(std::min<uint32_t>(in.u32(), 4));  // 4 is refused as any other
  s.hiding = in.u8() != 0;
  for (uint32_t* x :
       {&s.code.log_columns, &s.code.random, &s.code.log_coset, &s.code.cosets, &s.code.queries})
    *x = in.u32();
  s.required_bits = in.number<double>();
  const Bytes instance = long_bytes(in);
  s.instance.assign(instance.begin(), instance.end());
  s.weights = read_commitment(in);
  const size_t members = in.count(1);
  if (members > kMaxMembers) throw Malformed{"too many members in one proof"};
  for (size_t n = members; n > 0; --n) {
    Member& m = s.members.emplace_back();
    const uint8_t kind = in.u8();
    if (kind == 0) continue;
    m.boundaries = read_commitment(in);
    m.boundaries->partial = kind != 1;
  }
  for (size_t n = in.count(20 + sizeof(Digest)); n > 0; --n) {
    std::string name = long_string(in);
    const Digest expected = digest(in);
    auto circuit = std::make_shared<const Circuit>(Circuit::decode(long_bytes(circuits)));
    if (circuit->digest != expected) throw Malformed{"a circuit is not the one of the segment " + name};
    s.segments.push_back({std::move(name), std::move(circuit), in.u32()});
  }
  return s;
}

}  // namespace

ExpectedProof ExpectedProof::read(std::span<const uint8_t> file) {
  const auto parts = sections(file, "STM", kStatementCaps, RefuseStatement{});
  Reader in(parts[1]), circuits(parts[2]);
  try {
    ExpectedProof out{{parts[0].begin(), parts[0].end()}, read_instance(in, circuits)};
    // There is one file for each statement: this finds bytes left over, and a flag that there is not.
    const auto again = Plan(out.statement).instance();
    if (!std::equal(again.begin(), again.end(), parts[1].begin(), parts[1].end()) ||
        circuits.remaining() != 0)
      throw Malformed{"statement file: not in canonical form"};
    return out;
  } catch (const Truncated&) {
    throw Malformed{"statement file: a section ends early"};
  }
}

Verified verify_file(const ExpectedProof& expected, const Plan& plan, std::span<const uint8_t> file) {
  const auto parts = sections(file, "PRF", kProofCaps, RejectProof{});
  const auto same = [](Bytes a, Bytes b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); };
  require(same(parts[0], expected.head), "statement.head", kFile,
          "the proof is of another profile, or hides where it should not or the reverse");
  require(same(parts[1], expected.statement.instance), "statement.differs", kFile,
          "the proof is about another statement");
  return verify_body(plan, parts[2]);
}

}  // namespace assay
