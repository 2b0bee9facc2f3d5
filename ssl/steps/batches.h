// The batches of a run: made by worker threads on the host, or, on a device that records its steps, by the device
// itself from images that lie in its memory.
#pragma once

#include <memory>
#include <string>

#include "datasets/loading/loader.h"
#include "ssl/objective.h"

namespace vergence {

/// Channels of the three-channel views that a device makes in this type: bf16 has 8, five of them zeros, 16 bytes a
/// pixel, which the stem's convolution reads at once.
constexpr std::int64_t device_view_channels(DType activations) { return activations == DType::bf16 ? 8 : 3; }

class Batches {
 public:
  virtual ~Batches() = default;
  /// The host's part of batch `number`, counted through all epochs; asked for in order.
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

/// On a device that records, its own, in the type of the encoder's activations; where the images do not fit into its
/// memory with `reserve` bytes to spare or have other than 3 channels, and on the CPU, the host's. `dataset` must
/// outlive the result. Throws UsageError for settings out of range and for images that cannot be read.
std::unique_ptr<Batches> make_batches(const Dataset& dataset, const LoaderSettings& settings, DType activations,
                                      Backend& backend, std::int64_t reserve = 0);

/// The threads that make views: --workers, or, where that is 0, by the processors that this process may use: half of
/// them where steps are `computed_here`, on the same ones, else all but one, which drives the device; 1 to 16.
int loader_workers(const Options& options, bool computed_here);

/// A loader's batch on the device.
Views views_of(const Batch& batch, std::int64_t image_size, Backend& backend);

}  // namespace vergence
