// Batches of views made where the model trains: the data set's bytes lie in the device's memory, and a step's views are
// one kernel. The batches are the Loader's: the same images in the same order, the same random decisions, the pixels
// within rounding (the CPU's are the same bits). Of JPEG files the Loader decodes a large crop at a lower resolution,
// so that its pixels differ more.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/loading/batch_source.h"
#include "datasets/loading/device_images.h"

namespace vergence {

/// Channels of the three-channel views that a device makes in this type: bf16 has 8, five of them zeros, 16 bytes a
/// pixel, which the stem's convolution reads at once.
constexpr std::int64_t device_view_channels(DType activations) { return activations == DType::bf16 ? 8 : 3; }

class DeviceSource final : public BatchSource {
 public:
  /// Uploads the data set. Of the settings, workers and the first batch mean nothing here. Throws UsageError as
  /// check_loader_settings and DeviceImages do: NotOnDevice where the images cannot lie in the device's memory.
  explicit DeviceSource(const SourceSetup& setup);
  static SourceCost cost(const SourceSetup& setup);

  /// Hands the device the batch's images and its epoch. In any order.
  void prepare(std::int64_t number) override;
  /// Launches alone, always into the same memory.
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
  Tensor now_;  // the batch's indices, those of the fresh views, and, last, its epoch
  Views views_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> order_, indices_;  // of the epoch, of the batch
};

}  // namespace vergence
