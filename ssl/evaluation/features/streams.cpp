// Random orders.
#include "ssl/evaluation/features/streams.h"

#include <numeric>

#include "kernels/draws.h"

namespace vergence {

std::vector<std::int32_t> shuffled(std::int64_t count, std::uint64_t seed, std::int64_t epoch, std::uint32_t stream) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  Random random(seed, Purpose::probe, static_cast<std::uint32_t>(epoch), 0, stream);
  shuffle(order, random);
  return order;
}

}  // namespace vergence
