// Makes batches of views on the training device: its memory holds the data set, and one kernel makes a step's views.
// The batches equal the Loader's: same images, order and random decisions, pixels within rounding (on the CPU the same
// bits). Exception: the Loader decodes large crops of JPEG files at a lower resolution, so their pixels differ more.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/loading/batch_source.h"
#include "datasets/loading/device_images.h"

namespace vergence {

/// Channels of a device's three-channel views in this type: 8 for bf16, five of them zeros, so that the stem's
/// convolution reads a pixel's 16 bytes at once.
constexpr std::int64_t device_view_channels(DType activations) { return activations == DType::bf16 ? 8 : 3; }

class DeviceSource final : public BatchSource {
 public:
  /// Uploads the data set. Ignores the settings' workers and first batch. Throws UsageError like check_loader_settings
  /// and DeviceImages: NotOnDevice if the device's memory cannot hold the images.
  explicit DeviceSource(const SourceSetup& setup);
  static SourceCost cost(const SourceSetup& setup);

  /// Gives the device the batch's images and epoch. Any order works.
  void prepare(std::int64_t number) override;
  /// Only launches kernels, always into the same memory.
  Views make() override;
  std::int64_t epoch() const override { return epoch_; }
  const std::vector<std::int64_t>& indices() const override { return indices_; }
  std::string origin() const override { return "made by the device, from images in its memory"; }

 private:
  LoaderSettings settings_;
  Backend& backend_;
  std::int64_t count_;  // images
  ViewBatch view_batch_, fresh_batch_, plain_batch_;
  DeviceImages images_;
  Tensor now_;  // the batch's indices, the fresh views' indices, then the epoch
  Views views_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> order_, indices_;  // of the epoch, of the batch
};

}  // namespace vergence
