// The networks whose features DSA takes for the similarity of images: never trained by its loss.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/text/enum_words.h"
#include "ssl/momentum_copy.h"
#include "ssl/objective.h"

namespace vergence {

/// stage1, supervised: the encoder in a file.
enum class PriorNet { stage1, ema, random, pixels, supervised, none };
inline constexpr Word<std::optional<PriorNet>> prior_net_words[]{
    {"preset", std::nullopt},     {"stage1", PriorNet::stage1}, {"ema", PriorNet::ema},
    {"random", PriorNet::random}, {"pixels", PriorNet::pixels}, {"supervised", PriorNet::supervised},
    {"none", PriorNet::none}};

struct PriorSettings {
  PriorNet net = PriorNet::stage1;
  std::string file;               // encoder.safetensors
  bool untrained = false;         // there is no file yet: an encoder like the trained one, for its costs alone
  bool batch_statistics = false;  // of stage1 and supervised: batch norm by the batch, else by the file's statistics
  bool random_stem = false;       // of stage1 and supervised: a new random 3x3 convolution and no pooling in front
  double momentum = 0.99;         // of ema: the share of the copy that stays in a step
};

class PriorNetwork {
 public:
  virtual ~PriorNetwork() = default;
  /// Normalized images [N, H, W, C] -> features [N, d], constants. Of `pass` the groups and the activations count.
  virtual Tensor features(const Tensor& images, const Pass& pass) = 0;
  /// Of one forward pass: multiply-adds times two.
  virtual double flops(std::int64_t images) const = 0;
  /// The copy that follows the trained encoder, where this is one.
  virtual MomentumCopy* copy() { return nullptr; }
};

/// `encoder`: the one to be trained, whose weights `ema` copies. Throws UsageError for a file that is missing or cannot
/// be read and for images that do not fit.
std::unique_ptr<PriorNetwork> make_prior(const PriorSettings& settings, const ObjectiveSetup& setup,
                                         const Encoder& encoder);

}  // namespace vergence
