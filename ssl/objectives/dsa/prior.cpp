#include "ssl/objectives/dsa/prior.h"

#include "engine/io/files.h"
#include "engine/ops/ops.h"
#include "kernels/random.h"
#include "models/weights/encoder_weights.h"
#include "models/weights/normalization.h"

namespace vergence {
namespace {

class FrozenNetwork final : public PriorNetwork {
 public:
  /// `statistics`: for batch norm; none: uses the batch's.
  explicit FrozenNetwork(const Encoder& encoder, const Statistics& statistics = {})
      : encoder_(encoder), statistics_(statistics) {}

  Tensor features(const Tensor& images, const ForwardMode& pass) override {
    ForwardMode frozen = pass;
    frozen.training = statistics_.layers.empty();
    frozen.running = frozen.training ? nullptr : &statistics_;
    return encoder_(images, frozen);
  }
  double flops(std::int64_t images) const override { return cost_of(encoder_.settings(), images).forward_flops; }

 private:
  Encoder encoder_;
  Statistics statistics_;
};

class CopiedNetwork final : public PriorNetwork {
 public:
  CopiedNetwork(const Encoder& encoder, double momentum, DType activations)
      : copy_(encoder, {}, {momentum, momentum}, activations) {}

  Tensor features(const Tensor& images, const ForwardMode& pass) override { return copy_.features(images, pass); }
  double flops(std::int64_t images) const override { return copy_.flops(images); }
  MomentumEncoder* copy() override { return &copy_; }

 private:
  MomentumEncoder copy_;
};

/// The image itself, averaged down to 8 x 8 pixels.
class Pixels final : public PriorNetwork {
 public:
  static constexpr std::int64_t side = 8;

  Pixels(const EncoderSettings& settings, DType dtype) : settings_(settings), dtype_(dtype) {
    require_usage(settings.image_size % side == 0,
                  "--dsa.prior_net pixels: expected an image size that is a multiple of ", side, ", got ",
                  settings.image_size);
  }

  Tensor features(const Tensor& images, const ForwardMode&) override {
    const Tensor colors = cast(slice(images, 3, 0, settings_.channels), dtype_);  // without the padding channels
    const std::int64_t cell = images.shape[1] / side;
    const Tensor small = average_pool(colors, {.kernel = cell, .stride = cell});
    return reshape(small, {small.shape[0], small.size() / small.shape[0]});
  }
  double flops(std::int64_t) const override { return 0; }

 private:
  EncoderSettings settings_;
  DType dtype_;
};

bool reads_file(const PriorSettings& settings) {
  return (settings.net == PriorNet::stage1 || settings.net == PriorNet::supervised) && !settings.untrained;
}

std::unique_ptr<PriorNetwork> from_file(const PriorSettings& settings, const EncoderSettings& like, const Init& init) {
  if (settings.untrained) return std::make_unique<FrozenNetwork>(make_encoder(like, init));
  require_usage(!settings.file.empty(), "--dsa.prior_net ", text_of(prior_net_words, std::optional(settings.net)),
                ": expected the encoder.safetensors of an earlier run as --dsa.prior_file");
  require_usage(file_exists(settings.file), "--dsa.prior_file: there is no file ", settings.file);
  TrainedEncoder trained = load_any_encoder(settings.file, "", like, "expected one", init.backend,
                                            {.statistics = !settings.batch_statistics});
  Encoder& encoder = trained.encoder;
  require_usage(encoder.settings().channels == like.channels, settings.file, ": the encoder takes ",
                encoder.settings().channels, " channels, expected ", like.channels, " as the images have");
  if (settings.random_stem) {
    encoder.renew_stem({init.backend, init.seed});
  }
  return std::make_unique<FrozenNetwork>(encoder, settings.batch_statistics ? Statistics{} : trained.statistics);
}

}  // namespace

std::string prior_notice(const PriorSettings& settings, const ViewSettings& view) {
  if (!reads_file(settings) || settings.random_stem) return "";
  const std::string other = other_normalization(open_weights(settings.file)->metadata(), view);
  return other.empty() ? "" : "--dsa.prior_file: " + other;
}

std::unique_ptr<PriorNetwork> make_prior(const PriorSettings& settings, const ObjectiveSetup& setup,
                                         const Encoder& encoder) {
  // Uses another seed than the encoder, which would otherwise start from the same weights.
  const Init init{setup.backend, static_cast<std::uint64_t>(setup.options.seed) ^ hash_name("dsa.prior"),
                  setup.weights};
  switch (settings.net) {
    case PriorNet::stage1:
    case PriorNet::supervised:
      return from_file(settings, setup.encoder, init);
    case PriorNet::ema:
      return std::make_unique<CopiedNetwork>(encoder, settings.momentum, setup.activations);
    case PriorNet::pixels:
      return std::make_unique<Pixels>(setup.encoder, setup.weights);
    case PriorNet::random: {
      EncoderSettings random = setup.encoder;
      random.take_initial({});
      return std::make_unique<FrozenNetwork>(make_encoder(random, init));
    }
    case PriorNet::none:
      break;
  }
  throw Error("dsa: a prior of no network was asked for");
}

}  // namespace vergence
