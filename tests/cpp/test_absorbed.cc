// Every message is absorbed before the next challenge is drawn: a change of it changes that challenge, and no
// earlier one.
#include <set>

#include "channels.h"
#include "circuits.h"
#include "system/proof_verifier.h"

using namespace assay;
using namespace assay::test;

namespace {

struct Pass {
  std::vector<Seen> messages, challenges;
};

template <class Base>
Pass observe(const Plan& plan, std::span<const uint8_t> body) {
  Transcript transcript(plan.protocol(), "", plan.instance());
  Reader reader(body);
  Observer<Base> channel(transcript, reader);
  channel.tolerant = true;
  try {
    (void)ProofVerifier<Observer<Base>>(plan, channel).verify();
  } catch (const Rejected&) {  // other columns may have longer openings
  }
  return {std::move(channel.messages), std::move(channel.challenges_seen)};
}
Pass observe(const Statement& s, std::span<const uint8_t> body) {
  const Plan plan(s);
  if (s.hiding)
    return s.degree == 2 ? observe<HidingChannel<2>>(plan, body) : observe<HidingChannel<3>>(plan, body);
  return s.degree == 2 ? observe<VerifierChannel<2>>(plan, body) : observe<VerifierChannel<3>>(plan, body);
}

// The first challenge drawn after a message; challenges without a message between them follow each other.
size_t next_challenge(const Pass& pass, size_t message) {
  for (size_t k = 0; k < pass.challenges.size(); ++k)
    if (pass.challenges[k].at > pass.messages[message].at) return k;
  return pass.challenges.size();
}

// Between them the circuits send every kind of message.
std::vector<Setup> setups() {
  std::vector<Setup> out;
  for (int degree : {2, 3})
    for (const Describe& describe : {everything(), zero_circuit(2, 4, 1, 0), selected_circuit({.rows = 2})})
      out.emplace_back(degree, describe, CodeParams{7, 16, 8, 2, 3});
  return out;
}

TEST(every_message_moves_the_next_challenge) {
  for (const Setup& setup : setups())
    for (const Statement& statement : {setup.statement, setup.hidden()}) {
      const auto body = setup.prove(statement, {});
      const Pass honest = observe(statement, body);
      for (size_t m = 0; m < honest.messages.size(); ++m) {
        auto changed = body;
        changed[honest.messages[m].at] ^= 1;
        const Pass pass = observe(statement, changed);
        const size_t next = next_challenge(honest, m);
        CHECK(next < honest.challenges.size());
        for (size_t k = 0; k <= next; ++k) {
          const bool same = pass.challenges[k].words == honest.challenges[k].words;
          if (same != (k < next)) fail(honest.messages[m].label.c_str(), static_cast<int>(m), "not absorbed");
        }
      }
    }
}

TEST(the_statement_moves_the_first_challenge) {
  const Setup setup(3, everything(), {7, 16, 8, 2, 3});
  for (const Statement& statement : {setup.statement, setup.hidden()}) {
    const auto body = setup.prove(statement, {});
    Statement other = statement;
    other.instance[0] ^= 1;
    CHECK(observe(other, body).challenges[0].words != observe(statement, body).challenges[0].words);
  }
}

// With the same messages: a proof that hides is none that does not.
TEST(the_protocol_moves_the_first_challenge) {
  const uint8_t instance[] = {1};
  Transcript hiding(kHidingProtocol, "", instance), plain(kPlainProtocol, "", instance);
  CHECK(!(hiding.challenge<2>("lookup.alpha") == plain.challenge<2>("lookup.alpha")));
}

// Every message of a selected product's end: the first check that reads it fails.
TEST(messages_of_selected_products) {
  const Setup setup(2, selected_circuit({.rows = 2, .groups = 2, .depth = 2}), {7, 16, 8, 2, 3});
  const auto body = setup.prove();
  const Plan plan(setup.statement);
  const std::map<std::string, std::string> checks = {{"einsum.left", "sumcheck.product"},
                                                     {"einsum.selection", "sumcheck.product"},
                                                     {"einsum.product", "sumcheck.product"},
                                                     {"einsum.right", "sumcheck.einsum"}};
  size_t found = 0;
  for (const Seen& m : observe(setup.statement, body).messages) {
    const auto check = checks.find(m.label);
    if (check == checks.end()) continue;
    auto changed = body;
    changed[m.at] ^= 1;
    expect(m.label, verdict(setup.statement, changed), check->second, "product");
    ++found;
  }
  CHECK_EQ(found, checks.size());
}

// The list of section 6 of docs/spec/protocol.md.
TEST(the_messages_are_those_of_the_specification) {
  for (const bool hiding : {false, true}) {
    std::set<std::string> labels, expected = {"ledger.counter",   "root",           "einsum.output",
                                              "sumcheck",         "einsum.left",    "einsum.right",
                                              "einsum.selection", "einsum.product", "zero.operand",
                                              "zero.product",     "total",          "output",
                                              "lookup.root",      "lookup.node",    "opening.value",
                                              "opening.u"};
    if (hiding) expected.insert({"opening.mask", "tableau.rows", "tableau.linear", "tableau.products"});
    for (const Setup& setup : setups()) {
      const Statement statement = hiding ? setup.hidden() : setup.statement;
      for (const Seen& m : observe(statement, setup.prove(statement, {})).messages) labels.insert(m.label);
    }
    CHECK(labels == expected);
  }
}

}  // namespace

ASSAY_TEST_MAIN
