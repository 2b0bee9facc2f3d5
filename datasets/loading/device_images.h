// A data set's images in a device's memory, for kernels that make views: images in memory as they are, image files
// decoded once, completely, each at its own size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "engine/tensor.h"
#include "kernels/error.h"
#include "kernels/views.h"

namespace vergence {

/// A device cannot hold the images, but a loader on the host can.
struct NotOnDevice : UsageError {
  using UsageError::UsageError;
};

/// Bytes of all images, decoded. Reads nothing.
std::int64_t image_bytes(const Dataset& dataset);

/// The end of the images from `from` on that are decoded together for an upload: at most 256, of at most 1 GiB unless
/// it is only one.
std::int64_t end_of_upload(const ImageSource& source, std::int64_t from);

/// Why the device cannot hold the images; empty if they have 3 channels, no side above 32,768 pixels, and fit into its
/// free memory with `reserve` bytes to spare.
std::string why_not_on(const Backend& backend, const Dataset& dataset, std::int64_t reserve);

class DeviceImages {
 public:
  /// Decodes the images with all threads and uploads them. Throws NotOnDevice if they do not fit, and UsageError for an
  /// unreadable image, unless such images are skipped: then the next one replaces it.
  DeviceImages(const Dataset& dataset, Backend& backend, std::int64_t reserve);

  ConstArray pixels() const { return pixels_.array(); }
  /// Gives `batch` the images' locations.
  void describe(ViewBatch& batch) const;
  /// The image used for image `index`: itself unless it is bad.
  std::int64_t replacement_of(std::int64_t index) const {
    return standing_.empty() ? index : standing_[static_cast<std::size_t>(index)];
  }

 private:
  void upload_memory(const Dataset& dataset);
  void upload_source(const Dataset& dataset);

  std::int64_t count_, height_, width_;  // the largest height and width
  Backend& backend_;
  Tensor pixels_, places_;              // places_: for images of different sizes
  std::vector<std::int64_t> standing_;  // the image used for each; empty: itself
};

}  // namespace vergence
