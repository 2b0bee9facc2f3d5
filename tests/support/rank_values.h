// Values that ranks exchange in tests.
#pragma once

#include <type_traits>
#include <vector>

#include "kernels/draws.h"
#include "kernels/types.h"

namespace vergence::test {

/// A rank's values: small integers for integer types, so that nothing overflows.
template <class T>
std::vector<T> values_of(int rank, std::int64_t size) {
  Random random(hash_name("communicator"), Purpose::test, 0, static_cast<std::uint64_t>(rank));
  std::vector<T> values(static_cast<std::size_t>(size));
  for (T& value : values) {
    if constexpr (std::is_integral_v<T>)
      value = static_cast<T>(random.below(100));
    else
      value = static_cast<T>(normal(random));
  }
  return values;
}

}  // namespace vergence::test
