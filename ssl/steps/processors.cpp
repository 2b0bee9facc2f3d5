#include "ssl/steps/processors.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <sched.h>
#include <set>
#include <unistd.h>

namespace vergence {

int processors_of_host() { return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN))); }

std::vector<int> own_processors() {
  std::vector<int> own;
  constexpr int most = 1 << 20;
  // The call fails while the set is smaller than the kernel's.
  for (int count = 1024; own.empty() && count <= most; count *= 2) {
    const std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(count));
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(static_cast<std::size_t>(count)),
                                                               [](cpu_set_t* memory) { CPU_FREE(memory); });
    if (!set || sched_getaffinity(0, size, set.get()) != 0) continue;
    for (int processor = 0; processor < count; ++processor)
      if (CPU_ISSET_S(static_cast<std::size_t>(processor), size, set.get())) own.push_back(processor);
  }
  if (!own.empty()) return own;
  for (int processor = 0; processor < processors_of_host(); ++processor) own.push_back(processor);
  return own;
}

ProcessorShare processor_share(const std::vector<int>& own, const std::vector<std::vector<int>>& all) {
  std::set<int> together(own.begin(), own.end());
  bool bound = false;
  for (const std::vector<int>& each : all) {
    together.insert(each.begin(), each.end());
    bound |= each != own;
  }
  const int share = static_cast<int>(together.size() / std::max<std::size_t>(1, all.size()));
  return {std::max(1, std::min(share, static_cast<int>(own.size()))), bound};
}

}  // namespace vergence
