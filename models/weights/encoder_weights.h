// Encoders in files of other programs: torchvision, timm, solo-learn, lightly and PyTorch scripts. They name the same
// layers in a few ways and put a prefix before them, such as "state_dict.backbone.".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/encoder_file.h"
#include "models/weights/stem_rule.h"
#include "models/weights/tensor_file.h"

namespace vergence {

class EncoderWeights {
 public:
  /// Finds the encoder. `prefix`: precedes its tensors' names; empty: detected, if the file has one encoder besides
  /// moving averages. `like`: what shapes do not tell, such as whether a 3x3 stem pools. `remedy`: what to do if there
  /// are several, such as "choose one with --prefix". `stem_given`: `like` has the file's stem; otherwise a 3x3 stem in
  /// a file of solo-learn's is taken to be solo-learn's. Throws UsageError (one line, beginning with the path).
  EncoderWeights(const std::string& path, const std::string& prefix, const EncoderSettings& like, const char* remedy,
                 bool stem_given = false);

  /// The network that the shapes describe.
  const EncoderSettings& settings() const { return settings_; }
  /// The file's, or none.
  const Metadata& metadata() const { return file_->metadata(); }
  /// A network with the file's weights. Throws UsageError for another kind of network, one with more tensors, tensors
  /// of other shapes, missing weights, and values that are not finite. Missing running statistics become mean 0 and
  /// variance 1.
  TrainedEncoder load(const EncoderSettings& network, const Init& init, StemRule stem = StemRule::exact);
  /// After `load`: the running means and variances that the file lacks, by the network's names.
  std::vector<std::string> missing_statistics() const;
  /// After `load`: what was taken, left out and missing, in lines without a newline at the end.
  std::string report() const;

 private:
  friend class WeightsOfEncoder;

  std::unique_ptr<TensorFile> file_;
  std::map<std::string, std::size_t, std::less<>> places_;  // by the file's names
  std::string prefix_;
  std::string (*layout_)(const std::string& name) = nullptr;
  EncoderSettings settings_;
  std::vector<std::string> missing_statistics_;
  std::vector<bool> taken_;  // by place
  std::string notice_;       // about the loaded network's stem; usually empty
};

/// What `load_any_encoder` may assume of another program's file.
struct FileUse {
  bool stem_given = false;  // as for EncoderWeights
  bool statistics = true;   // running statistics are needed: throws UsageError if the file lacks some
};

/// An encoder from any file: of `save_encoder`, or another program's, with parameters as for EncoderWeights.
TrainedEncoder load_any_encoder(const std::string& path, const std::string& prefix, const EncoderSettings& like,
                                const char* remedy, Backend& backend, const FileUse& use = {});

/// Whether the file has its own description of a network, as `save_encoder` writes it.
bool describes_encoder(const Metadata& metadata);

}  // namespace vergence
