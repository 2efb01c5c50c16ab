#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "check.h"
#include "transcript/transcript.h"
#include "vectors.h"

namespace assay {
namespace {

using test::Bytes;
using test::bytes_of;
using test::hex;
using test::unhex;

SessionId session(const std::string& text) {
  SessionId id;
  const Bytes bytes = unhex(text);
  check(bytes.size() == id.size(), "a session id has 32 bytes");
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return id;
}

// ---- The draft's vectors ----

TEST(draft_duplex_sponge_vectors) {
  DuplexSponge sponge(SessionId{});
  Bytes output;
  bool derived = false;
  int compared = 0;
  for (const auto& line : test::read_vectors("fiat_shamir_shake128.txt")) {
    const std::string argument = line.size() > 1 ? line[1] : "";
    if (line[0] == "session") {
      sponge = DuplexSponge(session(argument));
      output.clear();
    } else if (line[0] == "absorb") {
      sponge.absorb(unhex(argument));
    } else if (line[0] == "squeeze") {
      Bytes more(std::stoul(argument));
      sponge.squeeze(more);
      // Some vectors give all that was squeezed, some the last of it: the end is compared.
      output.insert(output.end(), more.begin(), more.end());
    } else if (line[0] == "tag") {
      const SessionId id = derive_session_id(unhex(argument));
      output.assign(id.begin(), id.end());
      derived = true;
    } else if (line[0] == "output") {
      CHECK_EQ(hex(output).substr(2 * output.size() - argument.size()), argument);
      ++compared;
    }
  }
  CHECK(derived);
  CHECK_EQ(compared, 11);
}

// The draft's example protocol over the integers mod 2^31 - 1, its vector `sumcheck`.
TEST(draft_sumcheck_vector) {
  constexpr uint64_t kP = (uint64_t{1} << 31) - 1;
  const auto word = [](uint64_t x) {
    Bytes bytes(4);
    store_le32(bytes.data(), static_cast<uint32_t>(x));
    return bytes;
  };
  std::vector<uint64_t> table(16);
  for (int i = 0; i < 16; ++i) table[i] = uint64_t{1} << i;

  const SessionId id = derive_session_id(bytes_of("sumcheck"));
  CHECK_EQ(hex(id), "0568cefdf774622a3854d82934915fb3e38bc89dc44b6d673fc91b972c886fc2");
  DuplexSponge sponge(id);
  sponge.absorb(word(4));
  sponge.absorb(word(0xffff));
  std::string narg;
  while (table.size() > 1) {
    uint64_t even = 0, odd = 0;
    for (size_t i = 0; i < table.size(); i += 2) even += table[i], odd += table[i + 1];
    Bytes message = word(even % kP);
    const Bytes slope = word((odd % kP + kP - even % kP) % kP);
    message.insert(message.end(), slope.begin(), slope.end());
    sponge.absorb(message);
    narg += hex(message);
    Bytes squeezed(4);
    sponge.squeeze(squeezed);
    const uint64_t r = load_le32(squeezed.data()) % kP;
    for (size_t i = 0; i < table.size() / 2; ++i) {
      table[i] = (table[2 * i] + r * ((table[2 * i + 1] + kP - table[2 * i]) % kP)) % kP;
    }
    table.resize(table.size() / 2);
  }
  CHECK_EQ(narg, "555500005555000023e362696ba9283c90a3362a74953379afc3b041d3eb126f");
  CHECK_EQ(table[0], uint64_t{0x3ebfb3b3});
}

// ---- Our own construction, against the Python text of it ----

template <int D>
std::vector<uint64_t> coordinates(const std::vector<Ext<D>>& elements) {
  std::vector<uint64_t> words;
  for (const Ext<D>& e : elements) {
    for (const F x : e.c) words.push_back(x.v);
  }
  return words;
}

std::string vector_of(const char* key) { return test::read_vectors("hash_vectors.txt", key)[0][1]; }

std::vector<uint64_t> widen(const std::vector<uint32_t>& v) { return {v.begin(), v.end()}; }

Bytes pattern(size_t length) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<uint8_t>((7 * i + length) % 251);
  return bytes;
}

TEST(transcript_vector) {
  Transcript t("assay/test/1", "session", bytes_of("the instance"));
  t.absorb("root", pattern(32));
  CHECK_EQ(coordinates<3>({t.challenge<3>("alpha")}), test::integers(vector_of("transcript3")));
  t.absorb_field("claim", F(kModulus - 1));
  std::vector<Ext<3>> round(2);
  round[0].c = {F(1), F(2), F(3)};
  round[1].c = {F(4), F(5), F(kModulus - 1)};
  t.absorb_ext<3>("round", round);
  Ext<2> last;
  last.c = {F(7), F(8)};
  t.absorb_ext<2>("round", last);
  CHECK_EQ(coordinates(t.challenges<2>("r", 3)), test::integers(vector_of("transcript2")));
  CHECK_EQ(hex(t.challenge_bytes("seed", 200)), vector_of("transcript_bytes"));
  CHECK_EQ(widen(t.challenge_indices("columns", 194, 3 << 17)),
           test::integers(vector_of("transcript_indices")));
  CHECK_EQ(widen(t.challenge_indices("columns", 11, 11)), test::integers(vector_of("transcript_all")));
  CHECK_EQ(hex(t.fingerprint()), vector_of("fingerprint"));
}

// ---- Binding: different histories, different challenges ----

using Steps = void (*)(Transcript&);

std::string challenge_after(Steps steps) {
  Transcript t("p", "s", bytes_of("i"));
  steps(t);
  return hex(t.challenge_bytes("c", 32));
}

TEST(different_histories_give_different_challenges) {
  static const std::vector<Ext<3>> e3(2);
  static const std::vector<Ext<2>> three_e2(3);
  const std::vector<Steps> histories = {
      [](Transcript&) {},
      [](Transcript& t) { t.absorb("a", bytes_of("bc")); },
      [](Transcript& t) { t.absorb("ab", bytes_of("c")); },
      [](Transcript& t) { t.absorb("abc", {}); },
      [](Transcript& t) { t.absorb("", bytes_of("abc")); },
      [](Transcript& t) { t.absorb("a", bytes_of("b")), t.absorb("a", bytes_of("c")); },
      [](Transcript& t) { t.absorb("a", bytes_of("c")), t.absorb("a", bytes_of("b")); },
      [](Transcript& t) { t.absorb("a", {}); },
      [](Transcript& t) { t.absorb("a", {}), t.absorb("a", {}); },
      [](Transcript& t) { t.absorb("a", Bytes(8)); },
      [](Transcript& t) { t.absorb_field("a", F::zero()); },
      [](Transcript& t) { t.absorb_field("a", F::one()); },
      [](Transcript& t) { t.absorb_field("a", F::zero()), t.absorb_field("a", F::zero()); },
      [](Transcript& t) { t.absorb_fields("a", std::vector<F>(2)); },
      [](Transcript& t) { t.absorb_fields("a", std::vector<F>(6)); },
      [](Transcript& t) { t.absorb_ext<3>("a", e3); },
      [](Transcript& t) { t.absorb_ext<2>("a", three_e2); },
      [](Transcript& t) { t.challenge_bytes("c", 32); },
      [](Transcript& t) { t.challenge_bytes("c", 31); },
      [](Transcript& t) { t.challenge_bytes("c", 0); },
      [](Transcript& t) { t.challenge_bytes("d", 32); },
      [](Transcript& t) { t.challenge<2>("c"); },
      [](Transcript& t) { t.challenge<3>("c"); },
      [](Transcript& t) { t.challenge<3>("c"), t.challenge<3>("c"); },
      [](Transcript& t) { t.challenges<3>("c", 2); },
      [](Transcript& t) { t.challenge_indices("c", 4, 100); },
      [](Transcript& t) { t.challenge_indices("c", 4, 101); },
      [](Transcript& t) { t.challenge_indices("c", 5, 100); },
      [](Transcript& t) { t.absorb("a", bytes_of("b")), t.challenge_bytes("c", 32); },
      [](Transcript& t) { t.challenge_bytes("c", 32), t.absorb("a", bytes_of("b")); },
      [](Transcript& t) { t.absorb("a", Bytes(167)); },
      [](Transcript& t) { t.absorb("a", Bytes(168)); },
      [](Transcript& t) { t.absorb("a", Bytes(169)); },
  };
  std::set<std::string> seen;
  for (const Steps steps : histories) seen.insert(challenge_after(steps));
  CHECK_EQ(seen.size(), histories.size());
}

TEST(the_start_is_bound) {
  const auto first = [](std::string_view protocol, std::string_view session_id, std::string_view instance) {
    Transcript t(protocol, session_id, bytes_of(instance));
    return hex(t.challenge_bytes("c", 32));
  };
  const std::set<std::string> seen = {first("p", "s", "i"),
                                      first("q", "s", "i"),
                                      first("p", "t", "i"),
                                      first("p", "s", "j"),
                                      first("ps", "", "i"),
                                      first("", "ps", "i"),
                                      first("p", "", "si"),
                                      first("p", "s", ""),
                                      first("", "", ""),
                                      first("p", "s", "ii"),
                                      first("p", std::string_view("s\0", 2), "i")};
  CHECK_EQ(seen.size(), size_t{11});
  CHECK_EQ(first("p", "s", "i"), first("p", "s", "i"));
}

TEST(every_challenge_binds_all_before_it) {
  // One bit of an early message changes all later challenges, however many lie between.
  Transcript a("p", "s", {}), b("p", "s", {});
  a.absorb("m", Bytes{0});
  b.absorb("m", Bytes{1});
  for (int i = 0; i < 20; ++i) {
    CHECK(!(a.challenge<3>("x") == b.challenge<3>("x")));
    a.absorb_field("same", F(5));
    b.absorb_field("same", F(5));
  }
}

TEST(equal_histories_agree) {
  Transcript a("p", "s", {}), b("p", "s", {});
  CHECK_EQ(a.challenge<3>("x"), b.challenges<3>("x", 1)[0]);
  a.absorb_field("f", F(9));
  b.absorb_fields("f", std::vector<F>{F(9)});
  CHECK_EQ(a.fingerprint(), b.fingerprint());
  CHECK_EQ(hex(a.challenge_bytes("c", 400)), hex(b.challenge_bytes("c", 400)));
}

TEST(a_fingerprint_changes_nothing_and_binds_the_prefix) {
  Transcript a("p", "s", {}), b("p", "s", {});
  const Digest before = a.fingerprint();
  CHECK_EQ(before, a.fingerprint());
  CHECK_EQ(hex(a.challenge_bytes("c", 32)), hex(b.challenge_bytes("c", 32)));
  CHECK(before != a.fingerprint());
}

// ---- Sampling ----

TEST(challenges_are_canonical_and_differ) {
  Transcript t("p", "s", {});
  const auto words = coordinates(t.challenges<3>("x", 1000));
  CHECK(std::all_of(words.begin(), words.end(), [](uint64_t w) { return w < kModulus; }));
  CHECK_EQ(std::set<uint64_t>(words.begin(), words.end()).size(), words.size());
}

TEST(indices_are_sorted_distinct_and_in_range) {
  Transcript t("p", "s", {});
  for (const uint64_t n : {uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{64}, uint64_t{65},
                           uint64_t{393216}, uint64_t{1} << 32}) {
    for (uint64_t count : {uint64_t{0}, uint64_t{1}, uint64_t{65}, uint64_t{194}}) {
      count = std::min(count, n);
      const auto indices = t.challenge_indices("i", count, n);
      CHECK_EQ(indices.size(), count);
      CHECK(std::adjacent_find(indices.begin(), indices.end(), std::greater_equal<>()) == indices.end());
      CHECK(indices.empty() || indices.back() < n);
    }
  }
  CHECK(t.challenge_indices("none", 0, 0).empty());
  CHECK_THROWS(ProgrammerError, t.challenge_indices("i", 4, 3));
  CHECK_THROWS(ProgrammerError, t.challenge_indices("i", 1, (uint64_t{1} << 32) + 1));
}

// 12,000 draws of 1 of 3: each value within five standard deviations of its mean.
TEST(indices_are_not_biased) {
  Transcript t("p", "s", {});
  std::array<int, 3> counts{};
  for (int i = 0; i < 12000; ++i) ++counts[t.challenge_indices("i", 1, 3)[0]];
  for (const int count : counts) CHECK(count > 4000 - 260 && count < 4000 + 260);
}

static_assert(!std::is_copy_constructible_v<Transcript> && !std::is_copy_assignable_v<Transcript>);

}  // namespace
}  // namespace assay

ASSAY_TEST_MAIN
