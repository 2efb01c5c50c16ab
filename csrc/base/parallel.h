// Data-parallel loops over one pool of threads, shared by the whole process.
#pragma once

#include <cstddef>
#include <functional>

namespace assay {

// How many threads take part in a loop, the caller included. By default the number of processors this
// process may run on; set_threads(0) returns to that.
int threads();
void set_threads(int n);

// Calls body(begin, end) on disjoint ranges that cover [0, n), from several threads. Every range begins at
// a multiple of `grain` (at least 1); none is shorter than `grain` but the last, some may be longer.
//
// Runs inline when called from within a body or while another thread has the pool. If bodies throw, the
// first exception is rethrown here once all threads have left, and ranges not yet begun are dropped.
// After a fork the child makes a pool of its own.
void parallel_for(size_t n, size_t grain, const std::function<void(size_t begin, size_t end)>& body);

}  // namespace assay
