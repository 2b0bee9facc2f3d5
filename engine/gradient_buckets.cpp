#include "engine/gradient_buckets.h"

#include <algorithm>

#include "engine/graph.h"
#include "kernels/communicator.h"

namespace vergence {

namespace {

/// Parameters [first, end) and their part of the gradient buffer, [from, to) in elements.
struct Bucket {
  std::size_t first, end;
  std::int64_t from, to;
};

/// The last parameters first.
std::vector<Bucket> buckets_of(const ParameterSet& parameters, std::int64_t most_bytes) {
  const std::int64_t most = most_bytes / size_of(parameters.flat().dtype);
  std::vector<Bucket> buckets;
  std::size_t end = parameters.count();
  std::int64_t to = parameters.flat().size();
  while (end > 0) {
    std::size_t first = end - 1;
    while (first > 0 && to - parameters.segments()[first - 1].offset <= most) --first;
    buckets.push_back({first, end, parameters.segments()[first].offset, to});
    end = first;
    to = buckets.back().from;
  }
  return buckets;
}

/// One backward pass: takes the derivatives as they become final, and sends the buckets.
class BucketedSum {
 public:
  BucketedSum(const ParameterSet& parameters, Communicator& ranks, std::int64_t most_bytes)
      : parameters_(parameters),
        ranks_(ranks),
        buckets_(buckets_of(parameters, most_bytes)),
        gradients_(parameters.count()) {}

  void take(std::size_t parameter, const Tensor& gradient) {
    gradients_[parameter] = gradient;
    while (sent_ < buckets_.size() && complete(buckets_[sent_])) send(buckets_[sent_++]);
  }
  void finish() { ranks_.finish_sums(parameters_.gradient().backend()); }

 private:
  auto at(std::size_t parameter) const { return gradients_.begin() + static_cast<std::ptrdiff_t>(parameter); }

  bool complete(const Bucket& bucket) const {
    return std::all_of(at(bucket.first), at(bucket.end), [](const Tensor& gradient) { return bool(gradient); });
  }
  void send(const Bucket& bucket) {
    parameters_.gather_gradients({at(bucket.first), at(bucket.end)}, bucket.first);
    const Tensor part = part_of(parameters_.gradient(), bucket.from, {bucket.to - bucket.from});
    ranks_.begin_sum(part.backend(), part.array());
  }

  const ParameterSet& parameters_;
  Communicator& ranks_;
  std::vector<Bucket> buckets_;
  std::size_t sent_ = 0;
  Tensors gradients_;  // "none" until final
};

}  // namespace

const Tensor& summed_backward(const ParameterSet& parameters, const Tensor& loss, const Ranks& ranks,
                              std::int64_t most_bytes) {
  if (ranks.count() == 1) return parameters.backward(loss);
  BucketedSum sum(parameters, *ranks.communicator, most_bytes);
  const auto take = [&](std::size_t parameter, const Tensor& gradient) { sum.take(parameter, gradient); };
  grad({ranks.share(loss)}, parameters.tensors(), {.places = parameters.gradient_places(), .ready = take});
  sum.finish();
  return parameters.gradient();
}

}  // namespace vergence
