// Reads a data set's images, wherever they are, and makes views of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "datasets/dataset.h"
#include "datasets/image_source.h"
#include "kernels/views.h"

namespace vergence {

/// A requested view of an image: its settings, its random numbers and its destination (as for apply_view).
struct WantedView {
  const ViewSettings* settings = nullptr;
  Random random;
  float* out = nullptr;
};

/// Reads one image after another and reuses its memory: one reader per thread. `dataset` must outlive it.
class ImageReader {
 public:
  explicit ImageReader(const Dataset& dataset) : data_(dataset) {}

  /// Makes views of an image. Reads the part that they need once, reduced as far as each view's resolution allows.
  /// Throws UsageError, beginning with the file's name, for an unreadable image.
  void make_views(std::int64_t index, std::span<const WantedView> views);

  /// The same, but under BadImagePolicy::skip records an unreadable image as bad and returns nullopt. Images that are
  /// recorded already are not tried again, so that all evaluations use the same ones.
  std::optional<std::int64_t> try_views(std::int64_t index, std::span<const WantedView> views);

  /// The same, but names an unreadable image and uses the next one that is readable for these views; returns the index
  /// of the one used.
  std::int64_t make_views_or_next(std::int64_t index, std::span<const WantedView> views);

 private:
  /// Makes the views. Returns why it could not, if bad images are skipped, and throws that otherwise.
  std::string complaint_of(std::int64_t index, std::span<const WantedView> views);
  Picture read(std::int64_t index, const ImageSize& size, std::span<const ViewPlan> plans,
               std::span<const WantedView> views);

  const Dataset& data_;
  ImageBuffer buffer_;
  std::vector<ViewPlan> plans_;
};

}  // namespace vergence
