// Where the batches of a run come from: a HostSource, whose worker threads make them, or a DeviceSource, where the
// device makes them itself from images in its memory.
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
  /// The host's part of batch `number`; asked for in order. Batches are numbered through all epochs:
  /// number = epoch * steps per epoch + step.
  virtual void prepare(std::int64_t number) = 0;
  /// The device's part of the batch prepared last. The same tensors every time: a recording of it makes every batch.
  virtual Views make() = 0;
  /// Of the batch prepared last: its epoch, from 0, and its images' places in the data set.
  virtual std::int64_t epoch() const = 0;
  virtual const std::vector<std::int64_t>& indices() const = 0;
  /// Seconds spent waiting for workers so far.
  virtual double seconds_waited() const { return 0; }
  /// Where views are made, in words.
  virtual std::string origin() const = 0;
};

/// What a source needs to be made.
struct SourceSetup {
  const Dataset& dataset;  // must outlive the source
  LoaderSettings settings;
  Backend& backend;
  DType activations = DType::f32;  // of the encoder: the type of views that the device makes
  std::int64_t reserve = 0;        // bytes of the device that the images leave to the steps
};

/// What a source takes, known before it is made.
struct SourceCost {
  std::int64_t images = 0;  // bytes of the data set's images, in the memory of the device or of the host
  std::int64_t ahead = 0;   // bytes of the batches that the host makes ahead
  std::int64_t batch = 0;   // bytes of one batch on the device
  bool on_device = false;   // the device makes the views
};
SourceCost cost_of_source(const SourceSetup& setup);

/// On a device that records, its own; where it cannot have the images (why_not_on), and on the CPU, the host's. Throws
/// UsageError for settings out of range and for images that cannot be read.
std::unique_ptr<BatchSource> make_batch_source(const SourceSetup& setup);

}  // namespace vergence
