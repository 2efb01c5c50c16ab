// The tableau by itself: pads, products and constraints of messages that no relation stands behind.
#include "check.h"
#include "zk/channel.h"
#include "zk/prover.h"

using namespace assay;

namespace {

constexpr double kBits = 20;

// Messages a, b, c with a b = c and a + b = 7, or not.
template <int D>
struct Exchange {
  TableauShape shape = tableau_shape(kBits, 3, 1);
  TableauProver<D> prover{shape, {{0, 1}}, PrgKey{1}};
  std::vector<uint8_t> bytes;

  static Transcript transcript() { return Transcript("tableau", "", {}); }

  template <class Channel>
  static void read(Channel& channel) {
    const auto a = channel.receive("message", {}), b = channel.receive("message", {});
    const auto c = channel.receive("message", {});
    const Ext<D> challenge = channel.challenge("challenge");
    channel.require_zero((channel.product(a, b) - c) * challenge, "product", {}, "");
    channel.require_zero(a + b - Ext<D>(F(7)), "sum", {}, "");
  }

  bool prove(const Ext<D>& a, const Ext<D>& b, const Ext<D>& c, bool must_hold) {
    Transcript t = transcript();
    ProverChannel<D> channel(t);
    channel.send_bytes("root", prover.root());
    channel.use_pads(prover.pads());
    for (const Ext<D>& x : {a, b, c}) channel.send("message", x);
    (void)channel.challenge("challenge");
    Transcript again = transcript();
    Reader reader(channel.bytes());
    HidingChannel<D> verifier(again, reader);
    (void)verifier.receive_bytes("root", sizeof(Digest), {});
    read(verifier);
    if (!prover.send_answers(channel, verifier.constraints(), must_hold)) return false;
    channel.append(prover.open_columns(t.challenge_indices("columns", shape.queries, shape.length())));
    bytes = channel.take_bytes();
    return true;
  }

  std::string verdict() const {
    Transcript t = transcript();
    Reader reader(bytes);
    HidingChannel<D> channel(t, reader);
    try {
      Digest root;
      const auto sent = channel.receive_bytes("root", sizeof(Digest), {});
      std::copy(sent.begin(), sent.end(), root.begin());
      read(channel);
      TableauVerifier<HidingChannel<D>> tableau(channel, shape, root, channel.constraints());
      tableau.receive_answers();
      tableau.verify_columns(channel.challenge_indices("columns", shape.queries, shape.length()));
    } catch (const Rejected& e) {
      return e.code;
    }
    return reader.remaining() == 0 ? "" : "trailing";
  }
};

template <int D>
void check_messages() {
  const auto e = [](uint64_t x) { return Ext<D>(F(x)); };
  Exchange<D> exchange;
  CHECK(exchange.prove(e(3), e(4), e(12), true));
  CHECK_EQ(exchange.verdict(), "");
  for (const auto& [a, b, c] : {std::array{3, 4, 13}, std::array{3, 5, 15}, std::array{0, 0, 1}}) {
    // The answers would tell of the pads: they are not sent.
    CHECK(!exchange.prove(e(a), e(b), e(c), true));
    CHECK(exchange.prove(e(a), e(b), e(c), false));
    CHECK_EQ(exchange.verdict(), "tableau.linear");
  }
}
TEST(messages_satisfy_their_constraints) {
  check_messages<2>();
  check_messages<3>();
}

TEST(shapes_have_the_bits_and_as_many_random_slots_as_queries) {
  for (double bits : {1.0, 20.0, 100.0, 128.0})
    for (size_t pads : {1U, 100U, 1300U, 20'000U}) {
      const TableauShape s = tableau_shape(bits, pads, pads / 10);
      CHECK(tableau_query_bits(s) >= bits + 4);
      CHECK(s.message() + s.queries == s.size());
      CHECK(s.message() * s.pad_rows() >= pads);
      TableauShape fewer = s;
      --fewer.queries;
      CHECK(tableau_query_bits(fewer) < bits + 4);
    }
}

}  // namespace

ASSAY_TEST_MAIN
