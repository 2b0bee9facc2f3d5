// TensorBoard's events as the bytes of its protocol buffers (tensorboard/compat/proto/event.proto and summary.proto).
// They are of the old kind, with plain numbers, histograms and pictures, which every version of TensorBoard reads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ssl/picture_file.h"

namespace vergence {

/// What one event shows: values, each under a tag such as "train/loss". TensorBoard groups tags by what precedes "/".
class Summary {
 public:
  void scalar(std::string_view tag, double value);
  /// Of the finite values, in buckets of equal width; nothing if there are none.
  void histogram(std::string_view tag, const std::vector<float>& values);
  void picture(std::string_view tag, const Png& png);
  /// Data that only the plug-in of this name reads.
  void plugin_data(std::string_view tag, std::string_view plugin, std::string_view content);

  bool empty() const { return bytes_.empty(); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// The first event of a file. `time`: seconds since 1970, here and below.
std::string version_event(double time);
/// A start of the run at `step`: TensorBoard drops what earlier files have of this step and later ones.
std::string start_event(double time, std::int64_t step);
std::string summary_event(double time, std::int64_t step, const Summary& summary);

}  // namespace vergence
