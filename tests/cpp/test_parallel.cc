#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/parallel.h"
#include "base/result.h"
#include "check.h"

namespace assay {
namespace {

// How often each of n items was visited.
std::vector<int> visits(size_t n, size_t grain) {
  std::vector<std::atomic<int>> counts(n);
  parallel_for(n, grain, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) ++counts[i];
  });
  return {counts.begin(), counts.end()};
}

bool each_once(size_t n, size_t grain) { return visits(n, grain) == std::vector<int>(n, 1); }

TEST(covers_every_item_once) {
  for (const int count : {1, 2, 3, 8}) {
    set_threads(count);
    CHECK_EQ(threads(), count);
    for (const size_t n : {0, 1, 2, 7, 64, 1000, 4097}) {
      for (const size_t grain : {0, 1, 3, 64, 5000}) CHECK(each_once(n, grain));
    }
  }
}

TEST(ranges_begin_at_multiples_of_the_grain) {
  set_threads(4);
  std::atomic<bool> aligned = true;
  parallel_for(1003, 16, [&](size_t begin, size_t end) {
    if (begin % 16 != 0 || (end - begin < 16 && end != 1003)) aligned = false;
  });
  CHECK(aligned);
}

TEST(many_loops_in_a_row) {
  set_threads(4);
  std::atomic<size_t> sum = 0;
  for (int i = 0; i < 5000; ++i) {
    parallel_for(16, 1, [&](size_t begin, size_t end) { sum += end - begin; });
  }
  CHECK_EQ(sum.load(), size_t{5000 * 16});
}

TEST(nested_loops_run_inline) {
  set_threads(4);
  std::atomic<size_t> sum = 0;
  parallel_for(100, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const auto outer = std::this_thread::get_id();
      parallel_for(100, 1, [&](size_t b, size_t e) {
        if (std::this_thread::get_id() == outer) sum += e - b;
      });
    }
  });
  CHECK_EQ(sum.load(), size_t{10000});
}

TEST(exceptions_reach_the_caller) {
  for (const int count : {1, 4}) {
    set_threads(count);
    CHECK_THROWS(std::out_of_range, parallel_for(1000, 1, [](size_t begin, size_t end) {
                   if (begin <= 500 && 500 < end) throw std::out_of_range("500");
                 }));
    CHECK(each_once(1000, 1));
  }
}

TEST(several_callers_at_once) {
  set_threads(4);
  std::atomic<int> good = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) good += each_once(257, 2);
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK_EQ(good.load(), 800);
}

TEST(set_threads_checks_its_caller) {
  set_threads(2);
  CHECK_THROWS(ProgrammerError, set_threads(-1));
  CHECK_THROWS(ProgrammerError, parallel_for(100, 1, [](size_t, size_t) { set_threads(1); }));
  set_threads(0);
  CHECK(threads() >= 1);
}

// With the parent's pool busy in another thread, the worst moment to fork.
TEST(a_forked_child_has_a_pool_of_its_own) {
  set_threads(4);
  CHECK(each_once(1000, 1));
  std::atomic<bool> stop = false;
  std::thread busy([&] {
    while (!stop) each_once(1000, 1);
  });
  for (int i = 0; i < 5; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      set_threads(3);
      _exit(each_once(1000, 1) ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  stop = true;
  busy.join();
  CHECK(each_once(1000, 1));
}

TEST(result_holds_a_value_or_an_error) {
  const Result<int> value = 3;
  CHECK(value.ok());
  CHECK_EQ(value.value(), 3);
  CHECK_THROWS(ProgrammerError, value.error());

  const Result<int> error = Error{"code", "message"};
  CHECK(!error);
  CHECK_EQ(error.error().code, "code");
  CHECK_THROWS(ProgrammerError, error.value());

  const auto forward = [](Status status) -> Result<int> {
    ASSAY_RETURN_IF_ERROR(status);
    return 1;
  };
  CHECK(forward(Status()).ok());
  CHECK_EQ(forward(Error{"other", ""}).error().code, "other");
}

}  // namespace
}  // namespace assay

ASSAY_TEST_MAIN
