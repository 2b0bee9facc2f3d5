#include "kernels/parallel.h"

#include <exception>

namespace vergence {

void parallel_ranges(std::int64_t count, std::int64_t grain, const void* body,
                     void (*call)(const void* body, std::int64_t begin, std::int64_t end)) {
  if (count <= 0) return;
  const std::int64_t most = std::max<std::int64_t>(1, count / std::max<std::int64_t>(1, grain));
  const int threads = omp_in_parallel() ? 1 : static_cast<int>(std::min<std::int64_t>(omp_get_max_threads(), most));
  if (threads <= 1) {
    call(body, 0, count);
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel num_threads(threads)
  {
    const std::int64_t part = omp_get_thread_num(), parts = omp_get_num_threads();
    const std::int64_t begin = count * part / parts, end = count * (part + 1) / parts;
    try {
      if (begin < end) call(body, begin, end);
    } catch (...) {
#pragma omp critical(vergence_parallel_for)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace vergence
