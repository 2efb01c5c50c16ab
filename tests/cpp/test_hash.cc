#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "base/result.h"
#include "check.h"
#include "hash/chacha.h"
#include "hash/column_hasher.h"
#include "hash/keccak.h"
#include "hash/merkle.h"
#include "hash/sha256.h"
#include "paths.h"
#include "vectors.h"

namespace assay {
namespace {

using test::Bytes;
using test::bytes_of;
using test::hex;
using test::read_vectors;
using test::unhex;

constexpr char kVectors[] = "hash_vectors.txt";

Bytes pattern(size_t length) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<uint8_t>((7 * i + length) % 251);
  return bytes;
}

Bytes random_bytes(size_t length, uint64_t stream) {
  Prg prg({}, stream);
  Bytes bytes(length);
  prg.fill(bytes);
  return bytes;
}

class WithoutSha {
 public:
  WithoutSha() { cpu::forbid_sha(true); }
  ~WithoutSha() { cpu::forbid_sha(false); }
};

// Runs a test body on every path this machine has: the best, the one with AVX2 alone, the portable one.
template <class Body>
void on_hash_paths(const Body& body) {
  body();
  {
    const WithoutSha avx2_alone;
    body();
  }
  const PortableOnly portable;
  body();
}

Digest digest_of(std::span<const Digest> digests) {
  return sha256({digests.empty() ? nullptr : digests.data()->data(), digests.size_bytes()});
}

// ---- SHA-256 ----

// FIPS 180-4 example messages (csrc.nist.gov, "SHA256.pdf") and the empty message.
TEST(sha256_known_answers) {
  on_hash_paths([] {
    CHECK_EQ(hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_EQ(hex(sha256(bytes_of("abc"))),
             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_EQ(hex(sha256(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
             "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK_EQ(hex(sha256(Bytes(1000000, 'a'))),
             "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  });
}

TEST(sha256_vectors) {
  on_hash_paths([] {
    for (const auto& line : read_vectors(kVectors, "sha256")) {
      CHECK_EQ(hex(sha256(pattern(std::stoul(line[1])))), line[2]);
    }
  });
}

TEST(sha256_portable_is_accelerated) {
  const Bytes data = random_bytes(5000, 1);
  const auto all = [&] {
    std::vector<Digest> digests;
    for (size_t n = 0; n <= 300; ++n) digests.push_back(sha256({data.data() + n, n}));
    for (const size_t n : {1000, 4095, 4096, 4097}) digests.push_back(sha256({data.data() + 1, n}));
    return digests;
  };
  const auto accelerated = all();
  const PortableOnly portable;
  CHECK_EQ(accelerated, all());
}

TEST(sha256_in_pieces) {
  const Bytes data = random_bytes(300, 2);
  for (size_t first = 0; first <= 130; ++first) {
    for (const size_t second : {0, 1, 63, 64, 65, 128}) {
      Sha256 hash;
      hash.update({data.data(), first});
      hash.update({data.data() + first, second});
      hash.update({data.data() + first + second, 300 - first - second});
      CHECK_EQ(hash.finish(), sha256(data));
      CHECK_EQ(hash.finish(), sha256({}));
    }
  }
}

TEST(sha256_of_many_is_sha256_of_each) {
  on_hash_paths([] {
    for (const size_t length : {0, 1, 31, 32, 54, 55, 62, 63, 64, 65, 96, 128, 200}) {
      for (const size_t count : {0, 1, 2, 3, 7, 8, 9, 17}) {
        const Bytes data = random_bytes(length * count, length);
        std::vector<Digest> out(count);
        sha256_tagged_many(data, length, 0x5A, out);
        for (size_t i = 0; i < count; ++i) {
          Bytes message(data.begin() + i * length, data.begin() + (i + 1) * length);
          message.push_back(0x5A);
          CHECK_EQ(out[i], sha256(message));
        }
      }
    }
  });
  std::vector<Digest> out(2);
  CHECK_THROWS(ProgrammerError, sha256_tagged_many(Bytes(3), 2, 0, out));
}

// ---- Columns ----

struct Matrix {
  size_t columns;
  std::vector<F> cells;
  std::vector<const F*> rows;
  Bytes salts;

  // The cells and salts of hash_vectors.py.
  Matrix(size_t column_count, size_t row_count) : columns(column_count), cells(column_count * row_count) {
    for (size_t r = 0; r < row_count; ++r) {
      for (size_t c = 0; c < columns; ++c) {
        cells[r * columns + c] = F::from_u64(0x9E3779B97F4A7C15ULL * (r * 65537 + c + 1));
      }
      rows.push_back(cells.data() + r * columns);
    }
    for (uint32_t c = 0; c < columns; ++c) {
      Bytes name = bytes_of("salt....");
      store_le32(name.data() + 4, c);
      const Digest digest = sha256(name);
      salts.insert(salts.end(), digest.begin(), digest.begin() + kSaltSize);
    }
  }

  // Absorbed in calls of `step` rows.
  ColumnHasher hashed(size_t step) const {
    ColumnHasher hasher(columns);
    for (size_t r = 0; r < rows.size(); r += step) {
      hasher.absorb(std::span(rows).subspan(r, std::min(step, rows.size() - r)));
    }
    return hasher;
  }
};

std::vector<Digest> finish(const ColumnHasher& hasher, const Matrix& m) {
  std::vector<Digest> out(m.columns);
  hasher.finish(m.salts, out);
  return out;
}

TEST(column_vectors) {
  on_hash_paths([] {
    for (const auto& line : read_vectors(kVectors, "columns")) {
      const Matrix m(std::stoul(line[1]), std::stoul(line[2]));
      for (const size_t step : {1, 3, 8, 13, 64}) {
        CHECK_EQ(hex(digest_of(finish(m.hashed(step), m))), line[3]);
      }
    }
  });
}

TEST(columns_across_tiles_and_threads) {
  const Matrix m(2011, 21);
  set_threads(1);
  const auto expected = finish(m.hashed(21), m);
  for (size_t c = 0; c < m.columns; c += 97) {
    Bytes message;
    for (const F* row : m.rows) {
      Bytes word(8);
      store_le64(word.data(), row[c].v);
      message.insert(message.end(), word.begin(), word.end());
    }
    message.insert(message.end(), m.salts.begin() + c * kSaltSize, m.salts.begin() + (c + 1) * kSaltSize);
    message.push_back(kColumnTag);
    CHECK_EQ(expected[c], sha256(message));
  }
  set_threads(4);
  on_hash_paths([&] { CHECK_EQ(finish(m.hashed(10), m), expected); });
  set_threads(0);
}

TEST(columns_continue_after_finish) {
  const Matrix m(10, 20);
  ColumnHasher hasher(10);
  hasher.absorb(std::span(m.rows).first(11));
  (void)finish(hasher, m);
  hasher.absorb(std::span(m.rows).subspan(11));
  CHECK_EQ(hasher.rows(), uint64_t{20});
  CHECK_EQ(finish(hasher, m), finish(m.hashed(20), m));
}

TEST(columns_tag_and_salt_matter) {
  Matrix m(5, 9);
  ColumnHasher other_tag(5, 0x07);
  other_tag.absorb(m.rows);
  const auto a = finish(m.hashed(9), m);
  const auto b = finish(other_tag, m);
  m.salts[2 * kSaltSize] ^= 1;
  const auto c = finish(m.hashed(9), m);
  for (size_t j = 0; j < 5; ++j) {
    CHECK(a[j] != b[j]);
    CHECK_EQ(a[j] == c[j], j != 2);
  }
  std::vector<Digest> out(5);
  CHECK_THROWS(ProgrammerError, m.hashed(9).finish(Bytes(79), out));
}

TEST(columns_save_and_load) {
  for (const size_t columns : {0, 1, 300}) {
    const Matrix m(columns, 30);
    for (size_t split = 0; split <= 30; split += 5) {
      ColumnHasher first(columns);
      first.absorb(std::span(m.rows).first(split));
      Bytes saved;
      first.save(saved);
      auto second = ColumnHasher::load(saved);
      CHECK(second.ok());
      second.value().absorb(std::span(m.rows).subspan(split));
      CHECK_EQ(finish(second.value(), m), finish(m.hashed(30), m));
    }
  }
}

TEST(columns_load_rejects_bad_bytes) {
  const Matrix m(3, 10);
  Bytes saved;
  m.hashed(10).save(saved);
  const auto rejected = [](const Bytes& bytes) {
    const auto loaded = ColumnHasher::load(bytes);
    return !loaded && loaded.error().code == "column_hasher_state";
  };
  for (size_t n = 0; n < saved.size(); ++n) CHECK(rejected({saved.begin(), saved.begin() + n}));
  Bytes longer = saved;
  longer.push_back(0);
  CHECK(rejected(longer));
  for (const size_t at : {0, 7, 9, 16, 17, 24}) {  // magic, version, columns, rows
    Bytes bad = saved;
    bad[at] ^= 0x81;
    CHECK(rejected(bad));
  }
  Bytes huge = saved;
  for (size_t i = 9; i < 17; ++i) huge[i] = 0xFF;
  CHECK(rejected(huge));
  Bytes not_canonical = saved;
  for (size_t i = 1; i <= 8; ++i) not_canonical[saved.size() - i] = 0xFF;
  CHECK(rejected(not_canonical));
}

// ---- Merkle trees ----

std::vector<Digest> numbered_leaves(size_t count) {
  std::vector<Digest> leaves(count);
  for (uint32_t i = 0; i < count; ++i) {
    Bytes bytes(4);
    store_le32(bytes.data(), i);
    leaves[i] = sha256(bytes);
  }
  return leaves;
}

struct Opening {
  Digest root;
  size_t leaf_count;
  std::vector<uint32_t> indices;
  std::vector<Digest> leaves;
  std::vector<Digest> siblings;

  Opening(const MerkleTree& tree, std::vector<uint32_t> chosen)
      : root(tree.root()),
        leaf_count(tree.leaf_count()),
        indices(std::move(chosen)),
        siblings(tree.open(indices)) {
    for (const uint32_t i : indices) leaves.push_back(tree.leaves()[i]);
  }

  // "" if it verifies, else the error's code.
  std::string verdict() const {
    const Status status = verify_merkle(root, leaf_count, indices, leaves, siblings);
    return status ? "" : status.error().code;
  }
};

TEST(merkle_vectors) {
  on_hash_paths([] {
    for (const auto& line : read_vectors(kVectors, "merkle")) {
      const MerkleTree tree(numbered_leaves(std::stoul(line[1])));
      CHECK_EQ(hex(tree.root()), line[2]);
      const auto wide = test::integers(line[3]);
      const Opening opening(tree, {wide.begin(), wide.end()});
      CHECK_EQ(opening.siblings.size(), std::stoul(line[4]));
      CHECK_EQ(hex(digest_of(opening.siblings)), line[5]);
      CHECK_EQ(opening.verdict(), "");
    }
  });
}

// Every set of indices of every small tree.
TEST(merkle_all_openings_of_small_trees) {
  for (size_t n = 1; n <= 9; ++n) {
    const MerkleTree tree(numbered_leaves(n));
    for (unsigned set = 1; set < 1u << n; ++set) {
      std::vector<uint32_t> indices;
      for (uint32_t i = 0; i < n; ++i) {
        if (set >> i & 1) indices.push_back(i);
      }
      const Opening opening(tree, indices);
      CHECK_EQ(opening.verdict(), "");
      CHECK_EQ(merkle_proof_size(n, indices), opening.siblings.size());
    }
  }
}

TEST(merkle_tampering_is_rejected) {
  for (const size_t n : {1, 2, 3, 11, 96, 97}) {
    const MerkleTree tree(numbered_leaves(n));
    std::vector<uint32_t> indices;
    for (const size_t i : {size_t{0}, n / 3, n / 3 + 1, n - 1}) {
      if (i < n && (indices.empty() || indices.back() < i)) indices.push_back(static_cast<uint32_t>(i));
    }
    const Opening good(tree, indices);
    CHECK_EQ(good.verdict(), "");

    for (size_t bit = 0; bit < 256; ++bit) {
      Opening bad = good;
      bad.root[bit / 8] ^= 1 << bit % 8;
      CHECK_EQ(bad.verdict(), "merkle_root");
    }
    for (size_t i = 0; i < good.leaves.size(); ++i) {
      for (size_t byte = 0; byte < 32; ++byte) {
        Opening bad = good;
        bad.leaves[i][byte] ^= 0x40;
        CHECK_EQ(bad.verdict(), "merkle_root");
      }
    }
    for (size_t i = 0; i < good.siblings.size(); ++i) {
      for (size_t byte = 0; byte < 32; ++byte) {
        Opening bad = good;
        bad.siblings[i][byte] ^= 0x40;
        CHECK_EQ(bad.verdict(), "merkle_root");
      }
      Opening fewer = good;
      fewer.siblings.erase(fewer.siblings.begin() + i);
      CHECK_EQ(fewer.verdict(), "merkle_siblings");
      if (i + 1 < good.siblings.size()) {
        Opening swapped = good;
        std::swap(swapped.siblings[i], swapped.siblings[i + 1]);
        CHECK_EQ(swapped.verdict(), "merkle_root");
      }
    }
    for (size_t i = 0; i <= good.siblings.size(); ++i) {
      Opening more = good;
      more.siblings.insert(more.siblings.begin() + i, Digest{});
      CHECK_EQ(more.verdict(), "merkle_siblings");
    }
    // Another index in place of each one: whatever else it changes, never accepted.
    for (size_t i = 0; i < indices.size(); ++i) {
      for (uint32_t other = 0; other < n + 2; ++other) {
        if (other == indices[i]) continue;
        Opening bad = good;
        bad.indices[i] = other;
        CHECK(bad.verdict() != "");
      }
    }
  }
}

// A wrong number of leaves is the verifier's own mistake, but one that must not pass: it changes the paths.
TEST(merkle_wrong_leaf_count) {
  const MerkleTree tree(numbered_leaves(11));
  const Opening good(tree, {0, 4, 10});
  for (const size_t count : {size_t{0}, size_t{1}, size_t{10}, size_t{17}, size_t{64}, SIZE_MAX}) {
    Opening bad = good;
    bad.leaf_count = count;
    CHECK(bad.verdict() != "");
  }
}

TEST(merkle_bad_indices) {
  const MerkleTree tree(numbered_leaves(8));
  const Opening good(tree, {1, 5});
  const std::vector<std::vector<uint32_t>> bad_sets = {{},     {5, 1},          {1, 1},
                                                       {1, 8}, {0xFFFFFFFF, 1}, {1, 0xFFFFFFFF}};
  for (const auto& indices : bad_sets) {
    Opening bad = good;
    bad.indices = indices;
    CHECK_EQ(bad.verdict(), "merkle_indices");
    CHECK_EQ(merkle_proof_size(8, indices), size_t{0});
    CHECK_THROWS(ProgrammerError, tree.open(indices));
  }
  Opening fewer = good;
  fewer.leaves.pop_back();
  CHECK_EQ(fewer.verdict(), "merkle_leaves");
  CHECK_THROWS(ProgrammerError, MerkleTree({}));
}

// An inner node passed off as a leaf of a smaller tree verifies for that leaf count only, which the verifier
// does not take from the proof; a leaf digest can never equal an inner node, by their tags.
TEST(merkle_tags_separate_leaves_from_nodes) {
  const auto leaves = numbered_leaves(2);
  CHECK(leaf_digest(leaves) != MerkleTree(leaves).root());
}

TEST(merkle_of_the_usual_size) {
  set_threads(3);
  const size_t n = size_t{3} << 10;
  const MerkleTree tree(numbered_leaves(n));
  std::vector<uint32_t> indices;
  for (uint32_t i = 5; i < n; i += 17) indices.push_back(i);
  CHECK_EQ(Opening(tree, indices).verdict(), "");
  std::vector<uint32_t> all(n);
  std::iota(all.begin(), all.end(), 0);
  CHECK(tree.open(all).empty());
  CHECK_EQ(Opening(tree, all).verdict(), "");
  set_threads(0);
}

TEST(leaves_from_parts_one_after_another_are_leaf_digest_of_each) {
  on_hash_paths([] {
    for (const size_t part_count : {1, 2, 3, 18}) {
      for (const size_t columns : {0, 1, 65, 200}) {
        std::vector<std::vector<Digest>> parts;
        for (size_t p = 0; p < part_count; ++p) {
          parts.push_back(numbered_leaves(columns + p));
          parts.back().erase(parts.back().begin(), parts.back().begin() + p);
        }
        LeafHasher hasher(columns);
        for (const auto& part : parts) hasher.absorb(part);
        const auto bulk = hasher.finish();
        CHECK_EQ(bulk.size(), columns);
        for (size_t j = 0; j < columns; ++j) {
          std::vector<Digest> own;
          for (const auto& part : parts) own.push_back(part[j]);
          CHECK_EQ(bulk[j], leaf_digest(own));
        }
      }
    }
  });
  CHECK_THROWS(ProgrammerError, LeafHasher(2).absorb(numbered_leaves(3)));
  CHECK_THROWS(ProgrammerError, (void)LeafHasher(2).finish());
  Bytes message = bytes_of("0123456789abcdef0123456789abcdef");
  Digest part;
  std::copy(message.begin(), message.end(), part.begin());
  message.push_back(0x01);
  CHECK_EQ(leaf_digest({&part, 1}), sha256(message));
}

// ---- Keccak ----

// The permutation of the all-zero state (Keccak team, KeccakF-1600-IntermediateValues.txt).
TEST(keccak_of_zero) {
  on_hash_paths([] {
    KeccakState state{};
    keccak_f1600(state);
    CHECK_EQ(state[0], 0xF1258F7940E1DDE7ULL);
    CHECK_EQ(state[1], 0x84D5CCF933C0478AULL);
    CHECK_EQ(state[24], 0xEAF1FF7B5CECA249ULL);
  });
}

TEST(shake128_vectors) {
  on_hash_paths([] {
    for (const auto& line : read_vectors(kVectors, "shake128")) {
      CHECK_EQ(hex(shake128(pattern(std::stoul(line[1])), std::stoul(line[2]))), line[3]);
    }
  });
}

TEST(shake128_in_pieces) {
  const Bytes data = random_bytes(400, 3);
  const Bytes expected = shake128(data, 500);
  for (const size_t piece : {1, 7, 167, 168, 169}) {
    Shake128 xof;
    for (size_t i = 0; i < data.size(); i += piece) {
      xof.absorb({data.data() + i, std::min<size_t>(piece, data.size() - i)});
    }
    Shake128 copy = xof;
    Bytes out(500);
    for (size_t i = 0; i < out.size(); i += piece) {
      xof.squeeze({out.data() + i, std::min<size_t>(piece, out.size() - i)});
    }
    CHECK_EQ(out, expected);
    copy.squeeze(out);
    CHECK_EQ(out, expected);
    CHECK_THROWS(ProgrammerError, copy.absorb(data));
  }
}

// ---- ChaCha20 ----

PrgKey counting_key() {
  PrgKey key;
  std::iota(key.begin(), key.end(), uint8_t{0});
  return key;
}

TEST(chacha20_rfc8439) {
  on_hash_paths([] {
    std::array<uint8_t, 64> block;
    // Section 2.3.2
    chacha20_block(counting_key(), 1, {0, 0, 0, 9, 0, 0, 0, 0x4a, 0, 0, 0, 0}, block);
    CHECK_EQ(hex(block),
             "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
             "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e");
    // Appendix A.1, test vectors 1 and 2
    chacha20_block({}, 0, {}, block);
    CHECK_EQ(hex(block),
             "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
             "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586");
    chacha20_block({}, 1, {}, block);
    CHECK_EQ(hex(block),
             "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
             "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f");
  });
}

TEST(prg_vectors) {
  on_hash_paths([] {
    for (const auto& line : read_vectors(kVectors, "prg")) {
      const Bytes key_bytes = pattern(32);
      PrgKey key;
      std::copy(key_bytes.begin(), key_bytes.end(), key.begin());
      Prg prg(key, std::stoull(line[1]));
      prg.seek(std::stoull(line[2]));
      Bytes out(20 * 64);
      prg.fill(out);
      CHECK_EQ(hex(sha256(out)), line[3]);
    }
  });
}

TEST(prg_layout_is_rfc8439) {
  Prg prg(counting_key(), 0x8877665544332211ULL);
  prg.seek(0x0000000900000001ULL);
  Bytes out(64);
  prg.fill(out);
  std::array<uint8_t, 64> block;
  chacha20_block(counting_key(), 1, {9, 0, 0, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}, block);
  CHECK_EQ(hex(out), hex(block));
}

TEST(prg_is_one_stream_however_it_is_drawn) {
  const Bytes expected = random_bytes(6000, 7);
  for (const size_t piece : {1, 3, 8, 64, 511, 512, 513, 1500}) {
    Prg prg({}, 7);
    Bytes out(6000);
    for (size_t i = 0; i < out.size(); i += piece) {
      prg.fill({out.data() + i, std::min<size_t>(piece, out.size() - i)});
    }
    CHECK_EQ(out, expected);
  }
  Prg words({}, 7);
  Bytes odd(3);
  words.fill(odd);
  for (size_t i = 3; i + 8 <= 3000; i += 8) CHECK_EQ(words.next64(), load_le64(expected.data() + i));
}

TEST(prg_counter_carries) {
  Prg across({}, 5), after({}, 5);
  across.seek(0xFFFFFFFE);
  Bytes both(256), end(128);
  across.fill(both);
  after.seek(0x100000000);
  after.fill(end);
  CHECK(std::equal(end.begin(), end.end(), both.begin() + 128));
}

TEST(prg_streams_and_keys_differ) {
  CHECK(random_bytes(64, 0) != random_bytes(64, 1));
  CHECK(random_bytes(64, 1) != random_bytes(64, uint64_t{1} << 32));
  Prg a({}, 0), b(counting_key(), 0);
  CHECK(a.next64() != b.next64());
}

// One word in 2^32 is not below p. Block 638,386,946 of this stream has one: word 4.
TEST(prg_field_elements_skip_words_at_or_above_p) {
  on_hash_paths([] {
    constexpr uint64_t kBlock = 638386946;
    Prg words({}, 0), singly({}, 0), together({}, 0);
    for (Prg* prg : {&words, &singly, &together}) prg->seek(kBlock);
    std::vector<uint64_t> below;
    int skipped = 0;
    for (int i = 0; i < 200; ++i) {
      const uint64_t word = words.next64();
      if (word < kModulus) below.push_back(word);
      if (word >= kModulus) {
        ++skipped;
        CHECK_EQ(i, 4);
        CHECK_EQ(word, 0xffffffff3e9a1a5cULL);
      }
    }
    CHECK_EQ(skipped, 1);
    std::vector<F> elements(150);
    together.fill_field(elements);
    for (size_t i = 0; i < elements.size(); ++i) {
      CHECK_EQ(elements[i].v, below[i]);
      CHECK_EQ(singly.uniform_field().v, below[i]);
    }
    CHECK_EQ(singly.next64(), together.next64());
  });
}

}  // namespace
}  // namespace assay

ASSAY_TEST_MAIN
