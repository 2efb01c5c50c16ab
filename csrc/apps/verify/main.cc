// assay-verify STATEMENT PROOF: the verifier by itself, without prover, Python or model.
//
// Prints one JSON object. Exit codes: 0 accepted, 1 the proof is wrong, 2 anything else that came from
// outside, 3 internal.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <new>

#include "circuit/circuit.h"
#include "system/files.h"

namespace {

using namespace assay;

enum Exit { kAccepted = 0, kRejected = 1, kOutside = 2, kInternal = 3 };

// Something outside, and no proof, that cannot be used.
struct Unusable {
  std::string code, message;
};

std::vector<uint8_t> read_file(const std::string& path, uint64_t cap, bool& too_long) {
  std::error_code failed;
  const bool regular = std::filesystem::is_regular_file(path, failed);
  const uint64_t size = regular ? std::filesystem::file_size(path, failed) : 0;
  std::ifstream in(path, std::ios::binary);
  if (!regular || failed || !in) throw Unusable{"unreadable", "cannot read " + path};
  too_long = size > cap;
  std::vector<uint8_t> bytes(too_long ? 0 : size);
  if (!in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())))
    throw Unusable{"unreadable", "cannot read " + path};
  return bytes;
}

// Values of a JSON object, in the order given.
class Object {
 public:
  Object& text(const char* name, std::string_view value) { return raw(name, quoted(value)); }
  Object& count(const char* name, uint64_t value) { return raw(name, std::to_string(value)); }
  Object& real(const std::string& name, double value) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.6f", value);
    return raw(name, std::isfinite(value) ? digits : "null");
  }
  Object& flag(const char* name, bool value) { return raw(name, value ? "true" : "false"); }
  Object& raw(const std::string& name, const std::string& value) {
    body_ += (body_.empty() ? "" : ", ") + quoted(name) + ": " + value;
    return *this;
  }
  std::string str() const { return "{" + body_ + "}"; }

  static std::string quoted(std::string_view s) {
    std::string out = "\"";
    for (const char c : s) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(c));
      if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20)
        out += escaped;
      else
        out += c;
    }
    return out + "\"";
  }

 private:
  std::string body_;
};

std::string hex(const Digest& d) {
  std::string out;
  for (const uint8_t b : d) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", b);
    out += digits;
  }
  return out;
}

// A field element stands for the integer of least magnitude.
std::string signed_list(std::span<const F> cells) {
  std::string out;
  for (const F x : cells) {
    const bool negative = x.v > kModulus / 2;
    out += (out.empty() ? "" : ", ") + std::string(negative ? "-" : "") +
           std::to_string(negative ? kModulus - x.v : x.v);
  }
  return "[" + out + "]";
}

// A member is about layers, or begins at the tokens with the embedding: a forward pass, or an encoding, which ends
// with pooling.
std::string members(const Statement& s) {
  std::string out;
  for (size_t m = 0; m < s.members.size(); ++m) {
    Object member;
    std::string names;
    bool begins = false, pools = false;
    for (const Segment& segment : s.segments) {
      if (segment.member != m) continue;
      begins = begins || segment.name.ends_with("embedding");
      names += (names.empty() ? "" : ", ") + Object::quoted(segment.name);
      pools = segment.name.ends_with("pooling");
    }
    member.text("scope", !begins ? "layers" : pools ? "encode" : "forward");
    out += (m == 0 ? "" : ", ") + member.raw("segments", "[" + names + "]").str();
  }
  return "[" + out + "]";
}

std::string accepted(const Statement& s, const Verified& v, size_t proof_bytes) {
  Object terms;
  for (const SecurityTerm& t : v.terms) terms.real(t.name, t.bits);
  std::string segments;
  for (size_t k = 0; k < s.segments.size(); ++k) {
    Object totals;
    for (const auto& [name, value] : v.totals[k]) totals.raw(name, std::to_string(value));
    Object segment;
    segment.text("name", s.segments[k].name).text("circuit_digest", hex(s.segments[k].circuit->digest));
    Object outputs;
    for (const auto& [name, cells] : v.outputs[k]) outputs.raw(name, signed_list(cells));
    segments += (k == 0 ? "" : ", ") + segment.raw("totals", totals.str()).raw("outputs", outputs.str()).str();
  }
  Object out;
  out.text("verdict", "accepted").flag("hiding", s.hiding).count("counter", v.counter);
  out.real("security_bits", v.bits).raw("security_terms", terms.str());
  out.raw("members", members(s));
  return out.raw("segments", "[" + segments + "]").count("proof_bytes", proof_bytes).str();
}

std::string rejected(const Rejected& e) {
  Object out;
  out.text("verdict", "rejected").text("code", e.code).text("segment", e.segment);
  out.text("relation", e.relation).raw("round", std::to_string(e.round));
  return out.text("message", e.message).str();
}

std::string unusable(std::string_view code, std::string_view message) {
  return Object().text("verdict", "none").text("code", code).text("message", message).str();
}

std::string verify(const std::string& statement_path, const std::string& proof_path) {
  bool too_long = false;
  auto bytes = read_file(statement_path, kMaxStatementFile, too_long);
  if (too_long) throw Malformed{"statement file: longer than any"};
  const ExpectedProof expected = ExpectedProof::read(bytes);
  bytes = {};
  const Plan plan(expected.statement);
  const auto proof = read_file(proof_path, kMaxProofFile, too_long);
  if (too_long) throw Rejected{"format.size", "", "file", -1, "the file is longer than any proof"};
  return accepted(expected.statement, verify_file(expected, plan, proof), proof.size());
}

// A verdict that nobody receives is none.
int say(const std::string& line, Exit code) {
  const bool said = std::puts(line.c_str()) >= 0 && std::fflush(stdout) == 0;
  return said ? code : kOutside;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: assay-verify STATEMENT PROOF\n", stderr);
    return kOutside;
  }
  try {
    return say(verify(argv[1], argv[2]), kAccepted);
  } catch (const Rejected& e) {
    return say(rejected(e), kRejected);
  } catch (const Malformed& e) {
    return say(unusable("statement", e.message), kOutside);
  } catch (const Unusable& e) {
    return say(unusable(e.code, e.message), kOutside);
  } catch (const std::bad_alloc&) {
    return say(unusable("memory", "not enough memory"), kOutside);
  } catch (const std::exception& e) {
    return say(unusable("internal", e.what()), kInternal);
  } catch (...) {
    return say(unusable("internal", "unknown exception"), kInternal);
  }
}
