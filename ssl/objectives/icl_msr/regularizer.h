// ICL-MSR's meta semantic regularizer: the small network that defines the strata by channel weights in (0, 1). Its
// design is our reconstruction (docs/objectives/icl_msr.md).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/heads.h"

namespace vergence {

/// The source of a stratum's weights.
enum class RegularizerBuild {
  table,     // a free table of logits, one row per stratum; it sees no images
  features,  // a perceptron on the encoder's features of the un-augmented images
  images     // the same, after convolutions of its own: 3x3, stride 2, 32 to 256 channels
};

struct RegularizerSettings {
  RegularizerBuild build = RegularizerBuild::features;
  std::int64_t strata = 8, dim = 512;  // number of strata; length of a feature vector
  std::int64_t hidden = 256;           // width of the perceptron's hidden layer
  std::int64_t image_size = 32;        // of the un-augmented images; only for the cost
  std::int64_t channels = 3;           // of the un-augmented images
  double deviation = 0.01;             // of the initial logits (table) or of the last layer's weights
};

class SemanticRegularizer {
 public:
  /// Initial values depend on Init's seed and the parameters' names. Biases of the last layer are zero, so all weights
  /// start near 1/2.
  SemanticRegularizer(const RegularizerSettings& settings, const Init& init);
  SemanticRegularizer(const SemanticRegularizer&) = delete;  // parameter sets point at its members
  SemanticRegularizer& operator=(const SemanticRegularizer&) = delete;

  /// "regularizer.table", or "regularizer.trunk.0.weight" and so on, "regularizer.0.weight" and so on.
  std::vector<NamedTensor> parameters();
  /// Whether the strata come from the batch's images.
  bool needs_images() const { return settings_.build != RegularizerBuild::table; }
  /// The host's part of a step: chooses which images of the batch give the strata, drawn from (seed, Purpose::order,
  /// step). `images`: of all ranks. Throws UsageError if there are fewer than strata.
  void prepare(std::uint64_t seed, std::int64_t step, std::int64_t images);
  /// Returns the strata's channel weights [T, C]. `plain`: un-augmented images [N, H, W, C or more], of this rank.
  /// `encode` maps them to features [N, C] and is called only by build `features`, which takes them as constants.
  /// `pass`: a training pass of one group without running statistics; the convolutions use its type of activations.
  /// With several ranks, batch statistics and the images that give the strata are those of the whole batch.
  Tensor operator()(const Tensor& plain, const std::function<Tensor(const Tensor&)>& encode,
                    const ForwardMode& pass) const;
  /// FLOPs of one call for a batch of `images` images, two per multiply-add, without the encoder's.
  double flops(std::int64_t images) const;

 private:
  Tensor trunk_features(const Tensor& plain, const ForwardMode& pass) const;

  RegularizerSettings settings_;
  Tensor table_;               // logits [T, C]
  std::vector<ConvBn> trunk_;  // for `images`
  Mlp mlp_;                    // not for `table`
  Tensor rows_;                // i32 [T]: indices of images in the batch
};

}  // namespace vergence
