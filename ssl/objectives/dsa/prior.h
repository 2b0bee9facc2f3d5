// The networks whose features define the similarity of images for DSA. DSA's loss never trains them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/text/enum_words.h"
#include "ssl/momentum_encoder.h"
#include "ssl/objective.h"

namespace vergence {

/// stage1 and supervised load the encoder from a file.
enum class PriorNet { stage1, ema, random, pixels, supervised, none };
inline constexpr Word<std::optional<PriorNet>> prior_net_words[]{
    {"preset", std::nullopt},     {"stage1", PriorNet::stage1}, {"ema", PriorNet::ema},
    {"random", PriorNet::random}, {"pixels", PriorNet::pixels}, {"supervised", PriorNet::supervised},
    {"none", PriorNet::none}};

struct PriorSettings {
  PriorNet net = PriorNet::stage1;
  std::string file;        // encoder.safetensors
  bool untrained = false;  // no file exists yet: use an encoder like the trained one, only to compute costs
  bool batch_statistics =
      false;                 // of stage1 and supervised: batch norm uses the batch's statistics instead of the file's
  bool random_stem = false;  // of stage1 and supervised: a new random 3x3 stem convolution without pooling
  double momentum = 0.99;    // of ema: the share of the copy that each step keeps
};

class PriorNetwork {
 public:
  virtual ~PriorNetwork() = default;
  /// Normalized images [N, H, W, C] -> features [N, d], constants. Uses only the view groups and the activation type of
  /// `pass`.
  virtual Tensor features(const Tensor& images, const ForwardMode& pass) = 0;
  /// FLOPs of one forward pass: two per multiply-add.
  virtual double flops(std::int64_t images) const = 0;
  /// Returns the copy that follows the trained encoder, if there is one.
  virtual MomentumEncoder* copy() { return nullptr; }
};

/// How the file's images were normalized if the run's views are normalized otherwise: one line, or empty. A new first
/// convolution makes something else of them anyway.
std::string prior_notice(const PriorSettings& settings, const ViewSettings& view);

/// `encoder`: the encoder to be trained; `ema` copies its weights. Throws UsageError for a missing or unreadable file
/// and for images that do not fit.
std::unique_ptr<PriorNetwork> make_prior(const PriorSettings& settings, const ObjectiveSetup& setup,
                                         const Encoder& encoder);

}  // namespace vergence
