// The images of a data set in a device's memory, from where its kernels make views: those that lie in memory as they
// are, image files decoded once, whole, each at its own size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "engine/tensor.h"
#include "kernels/error.h"
#include "kernels/views.h"

namespace vergence {

/// The images cannot lie in a device's memory, but a loader of the host can take them.
struct NotOnDevice : UsageError {
  using UsageError::UsageError;
};

/// Bytes of all images, decoded. Nothing is read.
std::int64_t image_bytes(const Dataset& dataset);

/// Empty if the images have 3 channels and fit into the device's free memory with `reserve` bytes to spare.
std::string why_not_on(const Backend& backend, const Dataset& dataset, std::int64_t reserve);

class DeviceImages {
 public:
  /// Uploads the images, decoded by all threads; the data set is not needed after that. Throws NotOnDevice where
  /// why_not_on says why, and UsageError for an image that cannot be read, unless bad images are skipped: then the next
  /// image stands for it.
  DeviceImages(const Dataset& dataset, Backend& backend, std::int64_t reserve);

  ConstArray pixels() const { return pixels_.array(); }
  /// Tells the views where the images lie.
  void describe(ViewBatch& batch) const;
  /// The image that stands for image `index`: itself unless it is bad.
  std::int64_t stands_for(std::int64_t index) const {
    return standing_.empty() ? index : standing_[static_cast<std::size_t>(index)];
  }

 private:
  void upload_memory(const Dataset& dataset);
  void upload_source(const Dataset& dataset);

  std::int64_t count_, height_, width_;  // height_, width_: of the largest
  Backend& backend_;
  Tensor pixels_, places_;              // places_: of images of their own sizes
  std::vector<std::int64_t> standing_;  // the image that stands for each; empty: itself
};

}  // namespace vergence
