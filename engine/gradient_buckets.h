// Sums the gradient over ranks in buckets, which are sent while the backward pass continues.
#pragma once

#include "engine/parameters.h"
#include "engine/ranks.h"

namespace vergence {

/// As PyTorch's DistributedDataParallel (bucket_cap_mb = 25): large enough that a network's latency does not matter,
/// small enough that the first bucket is under way early.
inline constexpr std::int64_t bucket_bytes = std::int64_t{25} << 20;

/// Like ParameterSet::backward, but differentiates this rank's share of `loss` and sums the gradients over the ranks.
/// The buffer is cut into buckets of at most `most_bytes`, or one larger parameter. They are sent in a fixed order, the
/// last parameters first, each as soon as its derivatives are final. Returns the summed gradient.
const Tensor& summed_backward(const ParameterSet& parameters, const Tensor& loss, const Ranks& ranks,
                              std::int64_t most_bytes = bucket_bytes);

}  // namespace vergence
