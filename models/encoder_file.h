// encoder.safetensors: a trained encoder as PyTorch would save it, with torchvision's names for ResNets. Tensors have
// PyTorch's layout (convolutions [out, in, height, width]) and type F32. Batch norm adds running_mean, running_var and
// num_batches_tracked (I64, one element). There is no classifier. The metadata describe the network.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"
#include "kernels/views.h"
#include "models/encoder.h"

namespace vergence {

/// The entries of a file and the memory they point into. Movable, not copyable.
class EncoderEntries {
 public:
  /// Converts weights and running statistics (mean 0, variance 1, 0 batches for a layer without any).
  EncoderEntries(const Encoder& encoder, const Statistics& statistics);
  EncoderEntries(EncoderEntries&&) = default;
  EncoderEntries& operator=(EncoderEntries&&) = default;
  EncoderEntries(const EncoderEntries&) = delete;
  EncoderEntries& operator=(const EncoderEntries&) = delete;

  const std::vector<TensorEntry>& entries() const { return entries_; }

 private:
  void add(const std::string& name, const Tensor& floats);
  void add_statistics(const ConvBn& layer, const Statistics& statistics);

  std::vector<TensorEntry> entries_;
  Tensors floats_;  // on the CPU
  std::vector<std::vector<std::int64_t>> counters_;
};

/// An encoder's file copied to host memory: further training does not change it.
class EncoderSnapshot {
 public:
  /// The metadata are the network's, `format` = pt, and `more`, which overrides them.
  EncoderSnapshot(const Encoder& encoder, const Statistics& statistics, const Metadata& more);

  /// Replaces the file in one step. Needs no device.
  void write(const std::string& path) const { write_safetensors(path, entries_.entries(), metadata_); }

 private:
  EncoderEntries entries_;
  Metadata metadata_;
};

/// The first `channels` values, with `between` between them. Each text reads back as the same float.
std::string channels_text(const ChannelValues& values, std::int64_t channels, const char* between);

/// The metadata that say how the encoder's images were normalized, as JSON lists with one value per channel.
Metadata normalization_of(const ChannelValues& mean, const ChannelValues& std, std::int64_t channels);

/// Writes an EncoderSnapshot to `path`. `more` should include `normalization_of` the encoder's images: otherwise the
/// file's readers must be told their mean and standard deviation.
void save_encoder(const std::string& path, const Encoder& encoder, const Statistics& statistics, const Metadata& more);

/// An encoder ready for evaluation: its weights are constants.
struct TrainedEncoder {
  Encoder encoder;
  Statistics statistics;
  Metadata metadata;  // the file's
};

/// Reads a file of `save_encoder`, or one with the same names and metadata. Throws UsageError (one line) for a missing
/// or unexpected tensor, a wrong type or shape, a value that is not finite, and metadata without a network.
TrainedEncoder load_encoder(const std::string& path, Backend& backend);

/// Where an encoder's weights come from. Names are the encoder's own; values are in PyTorch's layout (convolutions
/// [out, in, height, width]).
class EncoderTensors {
 public:
  virtual ~EncoderTensors() = default;
  /// A parameter or running statistic of this shape; none: it keeps its initial value. Throws UsageError for a tensor
  /// of another shape.
  virtual std::optional<std::vector<float>> floats(const std::string& name, const std::vector<std::int64_t>& shape) = 0;
  /// How often a layer's running statistics were updated.
  virtual std::int64_t counter(const std::string& name) = 0;
};

/// A network with these settings and weights. `init`: where it is, and its initial values.
TrainedEncoder encoder_from(EncoderTensors& tensors, const EncoderSettings& settings, const Init& init);

}  // namespace vergence
