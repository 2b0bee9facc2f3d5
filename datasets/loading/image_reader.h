// Reads images of a data set, wherever they are, and makes views of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "datasets/dataset.h"
#include "datasets/image_source.h"
#include "kernels/views.h"

namespace vergence {

/// A view that is wanted of an image: what it is like, what is random in it, and where it goes (as apply_view).
struct WantedView {
  const ViewSettings* settings = nullptr;
  Random random;
  float* out = nullptr;
};

/// One image after another; keeps its memory, so one per thread. `dataset` must outlive it.
class ImageReader {
 public:
  explicit ImageReader(const Dataset& dataset) : data_(dataset) {}

  /// Makes views of an image. Its pixels are read once: the part that the views need, decoded as small as leaves each
  /// of them its resolution. Throws UsageError, beginning with the file's name, for an image that cannot be read.
  void make_views(std::int64_t index, std::span<const WantedView> views);

  /// The same, but under BadImagePolicy::skip an image that cannot be read is noted and gives nullopt.
  std::optional<std::int64_t> try_views(std::int64_t index, std::span<const WantedView> views);

  /// The same, but the next image that can be read takes its place; returns the place of the one that did.
  std::int64_t make_views_or_next(std::int64_t index, std::span<const WantedView> views);

 private:
  Picture read(std::int64_t index, const ImageSize& size, std::span<const ViewPlan> plans,
               std::span<const WantedView> views);

  const Dataset& data_;
  ImageBuffer buffer_;
  std::vector<ViewPlan> plans_;
};

}  // namespace vergence
