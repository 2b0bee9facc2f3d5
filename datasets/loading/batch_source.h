// The source of a run's batches: a HostSource, whose worker threads make them, or a DeviceSource, whose device makes
// them from images in its memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "datasets/loading/batch.h"

namespace vergence {

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// The host's part of batch `number`, called in order. Numbers continue over all epochs:
  /// number = epoch * steps per epoch + step.
  virtual void prepare(std::int64_t number) = 0;
  /// The device's part of the last prepared batch. Always the same tensors, so that one recording makes every batch.
  virtual Views make() = 0;
  /// The last prepared batch's epoch, from 0, and its images' indices in the data set.
  virtual std::int64_t epoch() const = 0;
  virtual const std::vector<std::int64_t>& indices() const = 0;
  /// Seconds spent waiting for workers so far.
  virtual double seconds_waited() const { return 0; }
  /// Describes where views are made.
  virtual std::string origin() const = 0;
};

/// Everything needed to make a source.
struct SourceSetup {
  const Dataset& dataset;  // must outlive the source
  LoaderSettings settings;
  Backend& backend;
  DType activations = DType::f32;  // the encoder's, and the type of views made by the device
  std::int64_t reserve = 0;        // bytes of device memory that the images leave free for steps
};

/// A source's memory, known before it is made.
struct SourceCost {
  std::int64_t images = 0;  // bytes of the data set's images, on the device or the host
  std::int64_t ahead = 0;   // bytes of batches that the host prepares ahead
  std::int64_t batch = 0;   // bytes of the batches on the device
  bool on_device = false;   // the device makes the views
};
SourceCost cost_of_source(const SourceSetup& setup);

/// A DeviceSource on a device that makes views and can hold the images (why_not_on), else a HostSource. Throws
/// UsageError for settings out of range and unreadable images.
std::unique_ptr<BatchSource> make_batch_source(const SourceSetup& setup);

}  // namespace vergence
