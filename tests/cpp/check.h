// A minimal test harness: TEST(name) { CHECK(...); CHECK_EQ(...); CHECK_THROWS(type, ...); } and one
// `ASSAY_TEST_MAIN` in each test program.
#pragma once

#include <cstdio>
#include <cstring>
#include <exception>
#include <vector>

namespace assay::test {

struct Case {
  const char* name;
  void (*run)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
inline bool& current_failed() {
  static bool failed = false;
  return failed;
}

struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

inline void fail(const char* file, int line, const char* text) {
  current_failed() = true;
  std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
}

inline bool run(const Case& c) {
  current_failed() = false;
  try {
    c.run();
  } catch (const std::exception& e) {
    fail(c.name, 0, e.what());
  } catch (...) {
    fail(c.name, 0, "unknown exception");
  }
  if (current_failed()) std::fprintf(stderr, "FAILED %s\n", c.name);
  return !current_failed();
}

// An argument runs only the tests whose name contains it.
inline int run_all(int argc, char** argv) {
  int passed = 0;
  int failed = 0;
  for (const Case& c : cases()) {
    if (argc > 1 && std::strstr(c.name, argv[1]) == nullptr) continue;
    ++(run(c) ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace assay::test

#define TEST(name)                                                        \
  static void test_##name();                                              \
  static const assay::test::Register register_##name(#name, test_##name); \
  static void test_##name()

#define CHECK(...)                                                           \
  do {                                                                       \
    if (!(__VA_ARGS__)) assay::test::fail(__FILE__, __LINE__, #__VA_ARGS__); \
  } while (false)

#define CHECK_EQ(a, b)                                                      \
  do {                                                                      \
    if (!((a) == (b))) assay::test::fail(__FILE__, __LINE__, #a " == " #b); \
  } while (false)

#define CHECK_THROWS(type, ...)                                                         \
  do {                                                                                  \
    bool thrown_ = false;                                                               \
    try {                                                                               \
      (void)(__VA_ARGS__);                                                              \
    } catch (const type&) {                                                             \
      thrown_ = true;                                                                   \
    }                                                                                   \
    if (!thrown_) assay::test::fail(__FILE__, __LINE__, #__VA_ARGS__ " throws " #type); \
  } while (false)

#define ASSAY_TEST_MAIN \
  int main(int argc, char** argv) { return assay::test::run_all(argc, argv); }
