// OpenMP loops over index ranges, with exceptions carried out of the threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <omp.h>

namespace vergence {

/// The part of parallel_for that is the same for all bodies. Inlining a body for one thread and for several would
/// compile it twice, and bodies are the kernels. `call(body, begin, end)` calls the body.
void parallel_ranges(std::int64_t count, std::int64_t grain, const void* body,
                     void (*call)(const void* body, std::int64_t begin, std::int64_t end));

/// Calls `body(begin, end)` on disjoint parts of [0, count), at most one per thread and each at least `grain` long.
/// Which thread gets which part depends only on the number of threads.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  parallel_ranges(count, grain, std::addressof(body), [](const void* erased, std::int64_t begin, std::int64_t end) {
    (*static_cast<const Body*>(erased))(begin, end);
  });
}

}  // namespace vergence
