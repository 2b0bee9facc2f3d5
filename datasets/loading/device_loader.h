// Batches of views made where the model trains: the data set's bytes lie in the device's memory, and a step's views are
// one kernel. The batches are the Loader's: the same images in the same order, the same random decisions, the pixels
// within rounding (the CPU's are the same bits). Of JPEG files the Loader decodes a large crop at a lower resolution,
// so that its pixels differ more.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/loading/device_images.h"
#include "datasets/loading/loader.h"
#include "engine/tensor.h"

namespace vergence {

class DeviceLoader {
 public:
  /// Uploads the data set, which is not needed after that. Views are made in `dtype` (f32 or bf16) with `channels`
  /// channels: 3, or 8 of which the last five are zeros. Of the settings, workers and the first batch mean nothing
  /// here. Throws UsageError as check_loader_settings and DeviceImages do: NotOnDevice where the images do not fit into
  /// the device's memory with `reserve` bytes to spare.
  DeviceLoader(const Dataset& dataset, LoaderSettings settings, Backend& backend, DType dtype = DType::f32,
               std::int64_t channels = 3, std::int64_t reserve = 0);

  std::int64_t steps_per_epoch() const { return count_ / settings_.batch; }

  /// The host's part of a batch: hands the device its images and its epoch. Batches are numbered through all epochs:
  /// number = epoch * steps_per_epoch() + step.
  void prepare(std::int64_t number);
  /// The device's part: makes the batch that was prepared last, in the same memory each time. Launches alone, so that a
  /// recording of it makes every batch.
  void make();

  /// [views * batch, size, size, channels]: all of view 0, then all of view 1.
  const Tensor& views() const { return views_; }
  /// [batch, size, size, channels], un-augmented; none unless settings ask for it.
  const Tensor& plain() const { return plain_; }

  /// As `views`, drawn anew; none unless settings ask for it.
  const Tensor& fresh() const { return fresh_; }

  // ---- of the batch that was prepared last
  std::int64_t epoch() const { return epoch_; }
  const std::vector<std::int64_t>& indices() const { return indices_; }
  /// -1 where there are none.
  std::vector<std::int32_t> labels() const;

 private:
  LoaderSettings settings_;
  Backend& backend_;
  std::int64_t count_;  // images
  std::vector<std::int32_t> labels_;
  ViewBatch view_batch_, fresh_batch_, plain_batch_;
  DeviceImages images_;
  Tensor now_;  // the batch's indices, those of the fresh views, and, last, its epoch
  Tensor views_, fresh_, plain_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> order_, indices_;  // of the epoch, of the batch
};

}  // namespace vergence
