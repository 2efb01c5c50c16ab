// Provers of hiding proofs that cheat with pads, masks and tableaus. Each is caught by one check, and would
// be accepted if that check alone were left out.
#include <functional>
#include <numeric>
#include <set>

#include "base/bytes.h"
#include "channels.h"
#include "circuit/prover.h"
#include "circuit/verifier.h"
#include "circuits.h"
#include "commit/prover_mask.h"
#include "commit/verifier.h"
#include "zk/prover.h"
#include "zk/verifier.h"

using namespace assay;
using namespace assay::test;

namespace {

template <int D>
Vec<D> draw(Random& random, size_t n) {
  Vec<D> out(n);
  for (Ext<D>& x : out)
    for (F& c : x.c) c = F(random() >> 1);
  return out;
}
template <int D>
void add(Vec<D>& to, const Vec<D>& values, const Ext<D>& weight = Ext<D>::one()) {
  for (size_t i = 0; i < values.size(); ++i) to[i] += values[i] * weight;
}
void put(std::vector<uint8_t>& out, const void* data, size_t n) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  out.insert(out.end(), bytes, bytes + n);
}

// The code of the check that fails, with one check or none left out and some challenges given.
template <class Base>
struct Judge {
  static constexpr int D = Base::degree;
  std::span<const uint8_t> bytes;
  std::string ignored;
  std::map<std::string, Ext<D>> fixed;

  template <class Verify>
  std::string operator()(Verify verify) const {
    Transcript transcript("test", "", {});
    Reader reader(bytes);
    Observer<Base> channel(transcript, reader);
    channel.ignored = ignored;
    channel.fixed = fixed;
    try {
      verify(channel);
    } catch (const Rejected& e) {
      return e.code;
    }
    return reader.remaining() == 0 ? "" : "trailing";
  }
};

// ---- The tableau ----

// The statement: x_0 x_1 = x_2 and x_3 = 5. All other messages are free, the second row of pads with them.
constexpr size_t kMessages = 60;
constexpr TableauShape kShape{6, 24, kMessages, 1};
constexpr size_t kMessageSlots = 40;
constexpr size_t kX = 2, kY = 3, kZ = 4;  // rows
constexpr int kFive = 5;

template <class Channel>
void receive_statement(Channel& channel) {
  using E = Ext<Channel::degree>;
  std::vector<typename Channel::Value> x;
  for (size_t k = 0; k < kMessages; ++k) x.push_back(channel.receive("message", Where{}));
  channel.require_zero(channel.product(x[0], x[1]) - x[2], "product", Where{}, "");
  channel.require_zero(x[3] - E(F(kFive)), "value", Where{}, "");
}

template <int D>
struct Answers {
  Vec<D> rows, linear, products;
};

// A prover's tableau as it lies open, for a test to change.
template <int D>
struct OpenTableau {
  Vec<D> pads;
  std::vector<Vec<D>> rows;  // coefficients; of more than K it is no codeword
  Vec<D> g1, g2, g3;
  Vec<D> symbols;  // column by column, from commit() on
  std::optional<MerkleTree> tree;

  explicit OpenTableau(Random& random) : pads(draw<D>(random, kMessages)) {
    std::vector<Vec<D>> slots(kShape.rows());
    for (Vec<D>& row : slots) {
      row = Vec<D>(kMessageSlots);
      const Vec<D> rest = draw<D>(random, kShape.queries);
      row.insert(row.end(), rest.begin(), rest.end());
    }
    for (size_t k = 0; k < kMessages; ++k) slots[k / kMessageSlots][k % kMessageSlots] = pads[k];
    slots[kX][0] = pads[0];
    slots[kY][0] = pads[1];
    slots[kZ][0] = pads[0] * pads[1];
    for (const Vec<D>& row : slots) rows.push_back(interpolate<D>(row, kShape.log_size));
    g1 = draw<D>(random, kShape.size());
    for (Vec<D>* g : {&g2, &g3}) {  // multiples of X^K - 1
      *g = draw<D>(random, 2 * kShape.size());
      for (size_t i = 0; i < kShape.size(); ++i) (*g)[i] = -(*g)[kShape.size() + i];
    }
  }

  // The value at slot i, raised.
  static Vec<D> slot(size_t i, const Ext<D>& value) {
    Vec<D> slots(kShape.size());
    slots[i] = value;
    return interpolate<D>(slots, kShape.log_size);
  }

  size_t width() const { return kShape.rows() + kTableauMasks; }
  void commit() {
    const TableauCode<D> code(kShape);
    std::vector<uint32_t> all(kShape.length());
    std::iota(all.begin(), all.end(), 0U);
    std::vector<Vec<D>> words;
    for (const Vec<D>& row : rows) words.push_back(code.at(row, all));
    for (const Vec<D>& mask : {g1, g2, g3}) words.push_back(code.at(mask, all));
    for (size_t j = 0; j < all.size(); ++j)
      for (const Vec<D>& word : words) symbols.push_back(word[j]);
    const uint8_t salt[kSaltSize] = {};
    std::vector<Digest> leaves;
    for (size_t j = 0; j < all.size(); ++j)
      leaves.push_back(column_digest<D>(std::span<const Ext<D>>(symbols).subspan(j * width(), width()), salt,
                                        kTableauTag));
    tree.emplace(std::move(leaves));
  }

  Answers<D> answer(const TableauQuestion<D>& q) const {
    Answers<D> out{Vec<D>(2 * kShape.size()), Vec<D>(2 * kShape.size()), Vec<D>(2 * kShape.size())};
    add(out.rows, g1);
    add(out.linear, g2);
    add(out.products, g3);
    for (size_t r = 0; r < rows.size(); ++r) {
      add(out.rows, rows[r], q.row_weights[r]);
      add_product(out.linear, q.a[r], rows[r], Ext<D>::one());
    }
    add_product(out.products, rows[kX], rows[kY], q.product_weights[0]);
    add(out.products, rows[kZ], -q.product_weights[0]);
    out.rows.resize(kShape.size());
    return out;
  }
  static void add_product(Vec<D>& to, const Vec<D>& a, const Vec<D>& b, const Ext<D>& weight) {
    for (size_t i = 0; i < a.size(); ++i)
      for (size_t j = 0; j < b.size() && !a[i].is_zero(); ++j)
        if (i + j < to.size()) to[i + j] += a[i] * b[j] * weight;
  }

  std::vector<uint8_t> open(std::span<const uint32_t> columns) const {
    std::vector<uint8_t> out;
    const uint8_t salt[kSaltSize] = {};
    for (uint32_t j : columns) {
      put(out, &symbols[j * width()], width() * sizeof(Ext<D>));
      put(out, salt, sizeof salt);
    }
    for (const Digest& d : tree->open(columns)) put(out, d.data(), d.size());
    return out;
  }
};

// A prover's channel with some challenges given.
template <int D>
class GivenChallenges : public ProverChannel<D> {
 public:
  using ProverChannel<D>::ProverChannel;
  std::map<std::string, Ext<D>> fixed;
  Ext<D> challenge(std::string_view label) {
    const Ext<D> drawn = ProverChannel<D>::challenge(label);
    const auto given = fixed.find(std::string(label));
    return given == fixed.end() ? drawn : given->second;
  }
};

// What a cheating prover does otherwise than an honest one.
template <int D>
struct TableauCheat {
  std::function<void(Vec<D>& messages)> lie = [](auto&) {};
  std::function<void(OpenTableau<D>&)> commit = [](auto&) {};
  std::function<void(Answers<D>&, const OpenTableau<D>&)> answer = [](auto&, const auto&) {};
  std::function<void(OpenTableau<D>&, const Answers<D>&)> open = [](auto&, const auto&) {};
};

template <int D>
std::string run_tableau(const TableauCheat<D>& cheat, const std::string& ignored = "",
                        const std::map<std::string, Ext<D>>& fixed = {}) {
  Random random(20);
  OpenTableau<D> tableau(random);
  Vec<D> messages = draw<D>(random, kMessages);
  messages[2] = messages[0] * messages[1];
  messages[3] = Ext<D>(F(kFive));
  cheat.lie(messages);
  cheat.commit(tableau);
  tableau.commit();

  Transcript transcript("test", "", {});
  GivenChallenges<D> prover(transcript);
  prover.fixed = fixed;
  prover.send_bytes("root", tableau.tree->root());
  prover.use_pads(tableau.pads);
  for (const Ext<D>& x : messages) prover.send("message", x);
  Transcript own_transcript("test", "", {});
  Reader own(prover.bytes());
  HidingChannel<D> learning(own_transcript, own);
  (void)learning.receive_bytes("root", sizeof(Digest), Where{});
  receive_statement(learning);
  const auto question = TableauQuestion<D>::draw(prover, kShape, learning.constraints());
  Answers<D> answers = tableau.answer(question);
  cheat.answer(answers, tableau);
  prover.send_public("tableau.rows", answers.rows);
  prover.send_public("tableau.linear", answers.linear);
  prover.send_public("tableau.products", answers.products);
  cheat.open(tableau, answers);
  prover.append(
      tableau.open(transcript.challenge_indices("tableau.columns", kShape.queries, kShape.length())));

  const Judge<HidingChannel<D>> judge{prover.bytes(), ignored, fixed};
  return judge([](auto& channel) {
    using Channel = std::remove_reference_t<decltype(channel)>;
    Digest root;
    const auto bytes = channel.receive_bytes("root", sizeof(Digest), Where{});
    std::copy(bytes.begin(), bytes.end(), root.begin());
    receive_statement(channel);
    TableauVerifier<Channel> verifier(channel, kShape, root, channel.constraints());
    verifier.receive_answers();
    verifier.verify_columns(channel.challenge_indices("tableau.columns", kShape.queries, kShape.length()));
  });
}

// Caught at `code`, and by nothing else.
template <int D>
void expect_caught(const std::string& code, const TableauCheat<D>& cheat) {
  CHECK_EQ(run_tableau<D>(cheat), code);
  CHECK_EQ(run_tableau<D>(cheat, code), "");
}

template <int D>
void check_statements() {
  const Ext<D> e(F(77));
  CHECK_EQ(run_tableau<D>({}), "");
  expect_caught<D>("tableau.linear", {.lie = [&](Vec<D>& x) { x[3] += e; }});
  expect_caught<D>("tableau.linear", {.lie = [&](Vec<D>& x) { x[2] += e; }});
  // The combined constraints, made to add up to what they should.
  const TableauCheat<D> shifted{.lie = [&](Vec<D>& x) { x[3] += e; }};
  CHECK_EQ(run_tableau<D>(shifted, "tableau.linear"), "");
}
TEST(false_statements) {
  check_statements<2>();
  check_statements<3>();
}

// Of x_2 = x_0 x_1 + e the pads' product is told as z = pi_0 pi_1 + e: all linear constraints hold.
template <int D>
void check_products() {
  const Ext<D> e(F(77));
  const auto lie = [&](Vec<D>& x) { x[2] += e; };
  const auto wrong_product = [&](OpenTableau<D>& t) { add(t.rows[kZ], t.slot(0, e)); };
  expect_caught<D>("tableau.products", {.lie = lie, .commit = wrong_product});
  // v_3 made to vanish in that slot.
  expect_caught<D>(
      "tableau.column.products",
      {.lie = lie, .commit = wrong_product, .answer = [](Answers<D>& a, const OpenTableau<D>& t) {
         Ext<D> value;
         for (const Ext<D>& c : a.products) value += c;  // at slot 0, the point 1
         add(a.products, t.slot(0, -value));
       }});
  // An operand that is not its pad: X = pi_0 + e, with the Z that fits.
  for (size_t operand : {0U, 1U})
    expect_caught<D>("tableau.linear", {.lie = [&](Vec<D>& x) { x[2] += e; },
                                        .commit =
                                            [&](OpenTableau<D>& t) {
                                              const Ext<D> other = t.pads[1 - operand];
                                              add(t.rows[operand == 0 ? kX : kY],
                                                  t.slot(0, e * inverse(other)));
                                              add(t.rows[kZ], t.slot(0, e));
                                            }});
}
TEST(wrong_products_of_pads) {
  check_products<2>();
  check_products<3>();
}

// v_2 with a first coefficient that makes (T.2) hold for x_3 = 5 + e: the sum of constraint 1 is off by
// tau^2 e.
template <int D>
void check_linear_answer() {
  const Ext<D> e(F(77)), tau(F(3));
  const TableauCheat<D> cheat{
      .lie = [&](Vec<D>& x) { x[3] += e; },
      .answer = [&](Answers<D>& a,
                    const OpenTableau<D>&) { a.linear[0] -= e * tau * tau * inverse(F(kShape.size())); }};
  CHECK_EQ(run_tableau<D>(cheat, "", {{"tableau.linear", tau}}), "tableau.column.linear");
  CHECK_EQ(run_tableau<D>(cheat, "tableau.column.linear", {{"tableau.linear", tau}}), "");
}
TEST(answers_that_fit_the_statement) {
  check_linear_answer<2>();
  check_linear_answer<3>();
}

// The second row of pads, or the mask, is not of degree below K; no constraint reads either.
template <int D>
void check_degrees() {
  const auto higher = [](Vec<D>& row) {
    row.resize(2 * kShape.size());
    row[kShape.size() + 5] = Ext<D>(F(9));
  };
  expect_caught<D>("tableau.column.rows", {.commit = [&](OpenTableau<D>& t) { higher(t.rows[1]); }});
  expect_caught<D>("tableau.column.rows", {.commit = [&](OpenTableau<D>& t) { higher(t.g1); }});
  // The columns made to fit the answer after the root was sent.
  expect_caught<D>("tableau.merkle", {.commit = [&](OpenTableau<D>& t) { higher(t.g1); },
                                      .open =
                                          [](OpenTableau<D>& t, const Answers<D>&) {
                                            std::vector<uint32_t> all(kShape.length());
                                            std::iota(all.begin(), all.end(), 0U);
                                            t.g1.resize(kShape.size());
                                            const Vec<D> fit = TableauCode<D>(kShape).at(t.g1, all);
                                            for (size_t j = 0; j < fit.size(); ++j)
                                              t.symbols[j * t.width() + kShape.rows()] = fit[j];
                                          }});
}
TEST(rows_that_are_no_codewords) {
  check_degrees<2>();
  check_degrees<3>();
}

// Masks that cancel what is false, if the powers of a challenge began with its power 0. As they begin with 1,
// no mask fits more than one challenge, and the masks come first.
template <int D>
void check_masks() {
  const Ext<D> e(F(77)), one = Ext<D>::one();
  // Constraint 0 is off by -e, so v_2 adds up to d - tau e.
  const TableauCheat<D> sum{.lie = [&](Vec<D>& x) { x[2] += e; },
                            .commit = [&](OpenTableau<D>& t) { add(t.g2, t.slot(0, -e)); }};
  expect_caught<D>("tableau.linear", sum);
  const TableauCheat<D> other_sum{.lie = sum.lie,
                                  .commit = [&](OpenTableau<D>& t) { add(t.g2, t.slot(0, e)); }};
  expect_caught<D>("tableau.linear", other_sum);
  const auto passes = [&](const TableauCheat<D>& cheat, const char* challenge) {
    return run_tableau<D>(cheat, "", {{challenge, one}}).empty();
  };
  CHECK(passes(sum, "tableau.linear") != passes(other_sum, "tableau.linear"));
  // Row 0 of the products is off by sigma e.
  const TableauCheat<D> slot{.lie = sum.lie, .commit = [&](OpenTableau<D>& t) {
                               add(t.rows[kZ], t.slot(0, e));
                               add(t.g3, t.slot(0, e));
                             }};
  expect_caught<D>("tableau.products", slot);
  CHECK(passes(slot, "tableau.products"));
}
TEST(masks_that_cancel_a_false_statement) {
  check_masks<2>();
  check_masks<3>();
}

// ---- The masked opening ----

// One row of cells whose sum is told wrong. The opened value v is then false, as is what follows.
template <int D>
struct MaskedOpening {
  CodeParams code{7, 64, 8, 3, 24};
  std::vector<int32_t> cells;
  ReedSolomon rs{code.message(), code.log_coset, code.cosets};
  Stack stack{code, {{"word", {1}, {true}}}};
  std::unique_ptr<ProverCommitment> word;
  Vec<D> mask_word;  // symbols of the committed mask
  std::optional<OpeningMask<D>> mask;
  std::optional<MerkleTree> mask_tree;
  Ext<D> false_by{F(3)};
  ClaimList<D, Ext<D>> claims;
  std::vector<uint8_t> bytes;

  MaskedOpening() {
    int64_t sum = 0;
    for (size_t j = 0; j < code.columns(); ++j) {
      cells.push_back(static_cast<int32_t>(j * j % 101));
      sum += cells.back();
    }
    const PartCells part{1, {{0, 1, CellType::kInt32, cells.data()}}};
    word = std::make_unique<ProverCommitment>("word", code, std::vector<PartCells>{part}, PrgKey{});
    word->commit(rs);
    mask.emplace(code, rs, PrgKey{1});
    std::vector<uint32_t> all(code.length());
    std::iota(all.begin(), all.end(), 0U);
    mask_word = rs.encode_at<D>(mask->symbols(), all);
    Term<D> t;
    t.view = full(1, 128);
    t.coefficient = Ext<D>::one();
    t.rows = std::make_shared<const Vec<D>>(1, Ext<D>::one());
    t.cols = ColumnWeights<D>::ones(128);
    claims.add(Claim<D>{"", "", {t}}, Ext<D>::from_i64(sum) + false_by);
    commit_mask();
  }
  void commit_mask() {
    const uint8_t salt[kSaltSize] = {};
    std::vector<Digest> leaves;
    for (const Ext<D>& x : mask_word)
      leaves.push_back(column_digest<D>(std::span<const Ext<D>>(&x, 1), salt, kMaskTag));
    mask_tree.emplace(std::move(leaves));
  }

  size_t rounds() const { return kLogBlock + stack.block_bits(); }
  // Until u, with v and s raised by so much.
  void send(const Ext<D>& value, const Ext<D>& mask_value) {
    Transcript transcript("test", "", {});
    ProverChannel<D> channel(transcript);
    Vec<D> pads(2 * rounds() + 2);
    pads[2 * rounds()] = value;
    pads[2 * rounds() + 1] = mask_value;
    channel.use_pads(pads);
    const ProverCommitment* const provers[] = {word.get()};
    send_combination<D>(channel, stack, provers, claims, &*mask);
    bytes = channel.take_bytes();
  }
  std::span<uint8_t> u_bytes() {
    const size_t n = code.message() * sizeof(Ext<D>);
    return std::span(bytes).last(n);
  }
  void edit_u(const std::function<void(Vec<D>&)>& edit) {
    Vec<D> u(code.message());
    std::memcpy(u.data(), u_bytes().data(), u_bytes().size());
    edit(u);
    std::memcpy(u_bytes().data(), u.data(), u_bytes().size());
  }

  using Channel = Observer<MaskedChannel<D>>;
  std::vector<uint32_t> combine(Channel& channel, OpeningVerifier<Channel>& verifier) const {
    verifier.receive_combination(claims);
    return channel.challenge_indices("opening.columns", code.queries, code.length());
  }
  // What a verifier sees that goes on whatever fails, until the columns are drawn.
  struct View {
    std::map<std::string, Ext<D>> zeros, challenges;
    Vec<D> point;
    std::vector<uint32_t> columns;
  };
  View look(const std::map<std::string, Ext<D>>& fixed = {}) const {
    Transcript transcript("test", "", {});
    Reader reader(bytes);
    Channel channel(transcript, reader);
    channel.tolerant = true;
    channel.fixed = fixed;
    const Digest roots[] = {word->root()};
    OpeningVerifier<Channel> verifier(channel, stack, roots, mask_tree->root());
    View out;
    out.columns = combine(channel, verifier);
    out.zeros = channel.zeros;
    for (const Seen& seen : channel.challenges_seen) {
      if (seen.label == "opening.columns") continue;
      Ext<D> x;
      for (int d = 0; d < D; ++d) x.c[d] = F(seen.words[static_cast<size_t>(d)]);
      out.challenges[seen.label] = x;
      if (seen.label == "sumcheck") out.point.push_back(x);
    }
    return out;
  }
  // By how much the opened value has to be false, for (O.1) to hold.
  Ext<D> false_value() {
    send({}, {});
    const Ext<D> at_zero = look().zeros.at("opening.reduction");
    send(Ext<D>::one(), {});
    const Ext<D> at_one = look().zeros.at("opening.reduction");
    return at_zero * inverse(at_zero - at_one);
  }
  Ext<D> first_weight() const { return eq_vector<D>(look().point)[0]; }

  void open(const std::map<std::string, Ext<D>>& fixed = {}) {
    const auto columns = look(fixed).columns;
    const auto opened = word->open_columns(rs, {true}, columns);
    bytes.insert(bytes.end(), opened.begin(), opened.end());
    const uint8_t salt[kSaltSize] = {};
    for (uint32_t j : columns) {
      put(bytes, &mask_word[j], sizeof(Ext<D>));
      put(bytes, salt, sizeof salt);
    }
    for (const Digest& d : mask_tree->open(columns)) put(bytes, d.data(), d.size());
  }
  std::string judge(const std::string& ignored = "", const std::map<std::string, Ext<D>>& fixed = {}) const {
    const Judge<MaskedChannel<D>> judge{bytes, ignored, fixed};
    return judge([&](Channel& channel) {
      const Digest roots[] = {word->root()};
      OpeningVerifier<Channel> verifier(channel, stack, roots, mask_tree->root());
      verifier.verify_columns(combine(channel, verifier));
    });
  }
  void expect_caught(const std::string& check) const {
    CHECK_EQ(judge(), check);
    CHECK_EQ(judge(check), "");
  }
};

template <int D>
void check_masked_opening() {
  {
    MaskedOpening<D> honest;
    honest.claims.values[0] -= honest.false_by;
    honest.send({}, {});
    honest.open();
    CHECK_EQ(honest.judge(), "");
  }
  {
    MaskedOpening<D> cheat;
    cheat.send({}, {});
    cheat.open();
    cheat.expect_caught("opening.reduction");
  }
  {  // v false, u as it should be
    MaskedOpening<D> cheat;
    cheat.send(cheat.false_value(), {});
    cheat.open();
    cheat.expect_caught("opening.combination");
  }
  {  // s made to fit a challenge rho that the prover hopes for: <u, eq> = rho v + s
    MaskedOpening<D> cheat;
    const Ext<D> e = cheat.false_value(), hoped(F(1234));
    cheat.send(e, -(e * hoped));
    cheat.open();
    cheat.expect_caught("opening.combination");
    // If rho came before s, s could be made to fit it: the same proof, with the rho hoped for.
    cheat.send(e, -(e * hoped));
    const Ext<D> rho = cheat.look().challenges.at("opening.rho");
    cheat.edit_u([&](Vec<D>& u) {
      for (size_t k = 0; k < u.size(); ++k) {
        const Ext<D> g = cheat.mask->symbols()[k];
        u[k] = (u[k] - g) * inverse(rho) * hoped + g;
      }
    });
    const std::map<std::string, Ext<D>> fixed = {{"opening.rho", hoped}};
    cheat.open(fixed);
    CHECK_EQ(cheat.judge("", fixed), "");
  }
  const auto fit_u = [](MaskedOpening<D>& cheat) {  // returns what was added to its first symbol
    const Ext<D> e = cheat.false_value();
    cheat.send(e, {});
    const Ext<D> added = e * cheat.look().challenges.at("opening.rho") * inverse(cheat.first_weight());
    cheat.edit_u([&](Vec<D>& u) { u[0] += added; });
    return added;
  };
  {
    MaskedOpening<D> cheat;
    (void)fit_u(cheat);
    cheat.open();
    cheat.expect_caught("opening.column");
  }
  {  // and the mask's columns with it, after its root was sent
    MaskedOpening<D> cheat;
    const Ext<D> added = fit_u(cheat);
    for (Ext<D>& x : cheat.mask_word) x += added;
    cheat.open();
    cheat.expect_caught("opening.merkle");
  }
  {  // a mask that is no codeword
    MaskedOpening<D> cheat;
    cheat.claims.values[0] -= cheat.false_by;
    for (size_t j = 0; j < cheat.mask_word.size(); j += 2) cheat.mask_word[j] += Ext<D>::one();
    cheat.commit_mask();
    cheat.send({}, {});
    cheat.open();
    cheat.expect_caught("opening.column");
  }
}
TEST(masked_openings) {
  check_masked_opening<2>();
  check_masked_opening<3>();
}

// ---- Products of three operands ----

// A false zero-check whose message t for a product of two operands makes the last claim of its sumcheck true.
template <int D>
void check_product_message() {
  const Setup setup(D, zero_circuit(2, 4, 1, 0));
  const Circuit& c = *setup.circuits[0];
  const Plan plan(setup.statement);
  Witness witness = evaluate(c, [&](const Tensor& t) {
    const TensorData& d = setup.cells.at(t.name);
    return Cells{d.type(), d.data(), d.shape()};
  });
  apply(c, witness, {{"y0", 0, 0, 1}});
  const ZeroCheck& z = c.zero_checks[0];
  const size_t at = 3 * (log2_ceil(z.domain.rows) + log2_ceil(z.domain.cols)) + distinct_operands(z).size();

  const auto prove = [&](const Ext<D>& added) {
    Transcript transcript("test", "", {});
    ProverChannel<D> channel(transcript);
    Vec<D> pads(1 << 10);
    pads[at] = added;
    channel.use_pads(pads);
    const Fingerprint<D> fp(channel.challenge("lookup.alpha"), channel.challenge("lookup.beta"));
    ClaimList<D, Ext<D>> claims;
    SegmentProver<D> prover(channel, "", c, witness, plan.first_block(0), claims);
    (void)prover.prove(plan.table_ids(0), fp, [](const char*) {});
    return channel.take_bytes();
  };
  const auto verify = [&](auto& channel) {
    using Channel = std::remove_reference_t<decltype(channel)>;
    const Fingerprint<D> fp(channel.challenge("lookup.alpha"), channel.challenge("lookup.beta"));
    ClaimList<D, Ext<D>> claims;
    SegmentVerifier<Channel> verifier(channel, "", c, plan.first_block(0), claims);
    (void)verifier.verify(plan.table_ids(0), fp);
  };
  const auto remainder = [&](const Ext<D>& added) {
    const auto bytes = prove(added);
    Transcript transcript("test", "", {});
    Reader reader(bytes);
    Observer<VerifierChannel<D>> channel(transcript, reader);
    channel.tolerant = true;
    verify(channel);
    return channel.zeros.at("sumcheck.zero");
  };
  const Ext<D> at_zero = remainder({}), at_one = remainder(Ext<D>::one());
  const auto code = [&](const std::vector<uint8_t>& bytes, const std::string& ignored) {
    return Judge<VerifierChannel<D>>{bytes, ignored, {}}(verify);
  };
  CHECK_EQ(code(prove({}), ""), "sumcheck.zero");
  CHECK_EQ(code(prove({}), "sumcheck.zero"), "");
  const auto fitting = prove(at_zero * inverse(at_zero - at_one));
  CHECK_EQ(code(fitting, ""), "sumcheck.product");
  CHECK_EQ(code(fitting, "sumcheck.product"), "");
}
TEST(products_of_three_operands) {
  check_product_message<2>();
  check_product_message<3>();
}

// ---- Whole proofs ----

// Of degree 3 only some words, for the time it takes.
TEST(every_word_of_a_hiding_proof_is_bound) {
  for (int degree : {2, 3}) {
    const Setup setup(degree, everything(), {7, 16, 8, 2, 3});
    const Statement hidden = setup.hidden();
    const auto body = setup.prove(hidden, {});
    expect_accepted("hiding", verdict(hidden, body));
    std::set<std::string> codes;
    for (size_t at = 0; at < body.size(); at += sizeof(uint64_t) * (degree == 2 ? 1 : 13)) {
      auto changed = body;
      changed[at] ^= 1;
      const std::string code = verdict(hidden, changed).code;
      if (code.empty()) fail("a word can be changed", static_cast<int>(at), std::to_string(degree).c_str());
      codes.insert(code);
    }
    for (const char* code : {"opening.merkle", "tableau.linear", "tableau.products", "tableau.merkle"})
      if (!codes.contains(code)) fail(code, 0, "no word leads to it");
  }
}

TEST(every_length_of_a_hiding_proof_is_checked) {
  const Setup setup(2, everything(), {7, 16, 8, 2, 3});
  const Statement hidden = setup.hidden();
  auto body = setup.prove(hidden, {});
  for (size_t n = 0; n < body.size(); n += 5 * sizeof(uint64_t))
    CHECK_EQ(verdict(hidden, std::span(body).first(n)).code, "format.truncated");
  body.push_back(0);
  CHECK_EQ(verdict(hidden, body).code, "format.trailing");
}

// A hiding proof is none of the same statement told not to hide, nor the reverse.
TEST(hiding_is_part_of_the_statement) {
  const Setup setup(3, everything(), {7, 16, 8, 2, 3});
  CHECK(!verdict(setup.statement, setup.prove(setup.hidden(), {})).code.empty());
  CHECK(!verdict(setup.hidden(), setup.prove()).code.empty());
}

}  // namespace

ASSAY_TEST_MAIN
