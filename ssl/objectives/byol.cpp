// BYOL (Grill et al.: "Bootstrap your own latent: a new approach to self-supervised learning", NeurIPS 2020): a
// predictor learns to map one view's projection to the momentum encoder's projection of the other view.
#include "ssl/losses.h"
#include "ssl/objective_list.h"

namespace vergence {
namespace {

struct ByolOptions {
  double momentum = 0.99, final_momentum = 1.0;  // of the target network: cosine schedule from the first to the second
  std::int64_t hidden = 4096, output = 256;      // projector: hidden layer with batch norm, output layer
  std::int64_t predictor_hidden = 4096;
};

class Byol final : public Method {
 public:
  Byol(const ObjectiveSetup& setup, const Encoder& encoder, const ByolOptions& options)
      : projector_(make_mlp(mlp("projector", {setup.encoder.dim(), options.hidden, options.output}), setup.init())),
        predictor_(
            make_mlp(mlp("predictor", {options.output, options.predictor_hidden, options.output}), setup.init())),
        target_(encoder, {&projector_}, {options.momentum, options.final_momentum}, setup.activations) {}

  std::vector<Mlp*> heads() override { return {&projector_, &predictor_}; }
  Tensor embed(const Tensor& features, const ForwardMode& pass) const override {
    return predictor_(projector_(features, pass), pass);
  }
  Tensor loss(const Embeddings& embeddings, Parts*) const override {
    return byol(embeddings.online, embeddings.target);
  }
  MomentumEncoder* target() override { return &target_; }
  Tensor embed_target(const Tensor& features, const ForwardMode& pass) const override {
    return target_.head(0, features, pass);
  }

 private:
  static MlpSettings mlp(const char* name, std::vector<std::int64_t> sizes) {
    return {.name = name, .sizes = std::move(sizes), .hidden_norm = true};
  }

  Mlp projector_, predictor_;
  MomentumEncoder target_;
};

void options(OptionBuilder& t) {
  t.number("byol.momentum", option(&ByolOptions::momentum), ranges::unit,
           "momentum of the target network at the start of training");
  t.number("byol.final_momentum", option(&ByolOptions::final_momentum), ranges::unit,
           "momentum of the target network at the end of training, reached along a cosine");
  t.number("byol.hidden", option(&ByolOptions::hidden), ranges::layer, "width of the projector's hidden layer");
  t.number("byol.output", option(&ByolOptions::output), ranges::layer,
           "width of the embeddings: output of projector and predictor");
  t.number("byol.predictor_hidden", option(&ByolOptions::predictor_hidden), ranges::layer,
           "width of the predictor's hidden layer");
}

}  // namespace

namespace objectives {

ObjectiveEntry byol() {
  return {.name = "byol",
          .title = "BYOL",
          .options = options,
          .make_base = [](const ObjectiveSetup& setup, const Encoder& encoder) -> std::unique_ptr<Method> {
            return std::make_unique<Byol>(setup, encoder, setup.options.components.get<ByolOptions>());
          }};
}

}  // namespace objectives
}  // namespace vergence
