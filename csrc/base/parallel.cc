#include "base/parallel.h"

#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/result.h"

namespace assay {
namespace {

using Body = std::function<void(size_t, size_t)>;

constexpr size_t kRangesPerThread = 4;  // so that a slow thread does not hold up the loop for long

// How long a thread looks for what it waits for before it sleeps. One loop often follows another after some
// microseconds, and waking a thread takes longer than many a loop.
constexpr std::chrono::microseconds kPatience{50};

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

thread_local bool inside_body = false;

// Whether the condition came true within kPatience.
template <class Condition>
bool soon(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  do {
    for (int i = 0; i < 16; ++i) {
      if (condition()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return condition();
}

int available_processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// One loop in progress. Threads take ranges until none is left.
class Job {
 public:
  Job(size_t n, size_t step, const Body& body) : n_(n), step_(step), body_(body) {}

  void work() {
    inside_body = true;
    for (size_t begin; (begin = next_.fetch_add(step_)) < n_;) {
      if (failed_.load(std::memory_order_relaxed)) break;
      run(begin);
    }
    inside_body = false;
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void run(size_t begin) {
    try {
      body_(begin, begin + std::min(step_, n_ - begin));
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
  }

  const size_t n_;
  const size_t step_;
  const Body& body_;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::exception_ptr error_;  // written once; read when all threads have left
};

class Pool {
 public:
  // False, with nothing done, if another loop has the pool.
  bool try_run(Job& job, int thread_count) {
    std::unique_lock turn(turn_, std::try_to_lock);
    if (!turn) return false;
    grow(thread_count - 1);
    publish(&job);
    job.work();
    retire();
    return true;
  }

  void stop_workers() {
    const std::lock_guard turn(turn_);
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stopping_ = false;
  }

 private:
  void grow(int count) {
    try {
      while (static_cast<int>(workers_.size()) < count) {
        workers_.emplace_back([this, seen = generation_.load()] { serve(seen); });
      }
    } catch (const std::system_error&) {
      // No more threads to be had: the loop runs on those there are.
    }
  }

  void publish(Job* job) {
    {
      const std::lock_guard lock(mutex_);
      job_ = job;
      ++generation_;
    }
    wake_.notify_all();
  }

  // No worker enters the job from here on; waits for those inside.
  void retire() {
    std::unique_lock lock(mutex_);
    job_ = nullptr;
    if (inside_ == 0) return;
    lock.unlock();
    soon([this] { return inside_ == 0; });
    lock.lock();
    left_.wait(lock, [this] { return inside_ == 0; });
  }

  void serve(size_t seen) {
    std::unique_lock lock(mutex_);
    while (true) {
      lock.unlock();
      soon([&] { return stopping_ || generation_ != seen; });
      lock.lock();
      wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
      if (job_ != nullptr) take_part(lock);
    }
  }

  void take_part(std::unique_lock<std::mutex>& lock) {
    Job* job = job_;
    ++inside_;
    lock.unlock();
    job->work();
    lock.lock();
    if (--inside_ == 0) left_.notify_one();
  }

  std::mutex turn_;  // held for the length of a loop
  std::vector<std::thread> workers_;

  std::mutex mutex_;  // held by whoever changes what follows; atomics may be read without it
  std::condition_variable wake_;
  std::condition_variable left_;
  Job* job_ = nullptr;
  std::atomic<size_t> generation_ = 0;
  std::atomic<int> inside_ = 0;
  std::atomic<bool> stopping_ = false;
};

// Never destroyed: its threads may outlive main().
std::atomic<Pool*> the_pool = nullptr;

// A child has none of the threads, and perhaps locked mutexes: it leaves the old pool behind.
const int fork_handler = pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr); });

Pool& pool() {
  Pool* existing = the_pool.load();
  if (existing != nullptr) return *existing;
  Pool* fresh = new Pool;
  if (the_pool.compare_exchange_strong(existing, fresh)) return *fresh;
  delete fresh;
  return *existing;
}

std::atomic<int> requested_threads = 0;

size_t divide_up(size_t a, size_t b) { return a / b + (a % b != 0); }

}  // namespace

int threads() {
  static const int by_default = available_processors();
  const int requested = requested_threads.load();
  return requested > 0 ? requested : by_default;
}

void set_threads(int n) {
  check(n >= 0, "set_threads: a negative number of threads");
  check(!inside_body, "set_threads: called from within a parallel loop");
  pool().stop_workers();
  requested_threads.store(n);
}

void parallel_for(size_t n, size_t grain, const Body& body) {
  if (n == 0) return;
  grain = std::max<size_t>(grain, 1);
  const int thread_count = threads();
  if (n <= grain || thread_count == 1 || inside_body) return body(0, n);

  const size_t ranges = static_cast<size_t>(thread_count) * kRangesPerThread;
  const size_t step = grain * divide_up(divide_up(n, grain), ranges);
  Job job(n, step, body);
  if (!pool().try_run(job, thread_count)) return body(0, n);
  job.rethrow();
}

}  // namespace assay
