// Barlow Twins (Zbontar, Jing, Misra, LeCun, Deny: "Barlow Twins: self-supervised learning via redundancy reduction",
// ICML 2021): a three-layer projector and a loss that pulls the cross-correlation of the two views towards the
// identity.
#include "engine/ops/ops.h"
#include "ssl/losses.h"
#include "ssl/objective_list.h"

namespace vergence {
namespace {

struct BarlowTwinsOptions {
  double lambda = 0.0051, scale = 0.1;
  std::int64_t hidden = 2048, output = 2048;  // projector: two hidden layers with batch norm, one output layer
  bool unbiased = false;                      // standardize as (z - mean) / (unbiased deviation + epsilon)
  double epsilon = 1e-5;
};

class BarlowTwins final : public Method {
 public:
  explicit BarlowTwins(const ObjectiveSetup& setup) : projector_(make_mlp(projector(setup), setup.init())) {
    const BarlowTwinsOptions options = setup.options.components.get<BarlowTwinsOptions>();
    loss_ = {
        .lambda = options.lambda, .scale = options.scale, .unbiased = options.unbiased, .epsilon = options.epsilon};
  }

  std::vector<Mlp*> heads() override { return {&projector_}; }
  Tensor embed(const Tensor& features, const ForwardMode& pass) const override { return projector_(features, pass); }
  Tensor loss(const Embeddings& embeddings, Parts* parts) const override {
    const BarlowTwinsParts terms = barlow_twins_parts(embeddings.online, loss_);
    if (parts) *parts = {{"invariance", terms.invariance}, {"redundancy", terms.redundancy}};
    return terms.invariance + terms.redundancy;
  }

 private:
  static MlpSettings projector(const ObjectiveSetup& setup) {
    const BarlowTwinsOptions options = setup.options.components.get<BarlowTwinsOptions>();
    return {.name = "projector",
            .sizes = {setup.encoder.dim(), options.hidden, options.hidden, options.output},
            .hidden_norm = true};
  }

  Mlp projector_;
  BarlowTwinsLoss loss_;
};

void options(OptionBuilder& t) {
  t.number("barlow_twins.lambda", option(&BarlowTwinsOptions::lambda), ranges::not_negative,
           "weight of the redundancy term: the off-diagonal entries of the cross-correlation matrix");
  t.number("barlow_twins.scale", option(&BarlowTwinsOptions::scale), ranges::positive, "factor on the whole loss");
  t.number("barlow_twins.hidden", option(&BarlowTwinsOptions::hidden), ranges::layer,
           "width of the projector's two hidden layers");
  t.number("barlow_twins.output", option(&BarlowTwinsOptions::output), ranges::layer,
           "width of the embeddings (the projector's output)");
  t.flag("barlow_twins.unbiased", option(&BarlowTwinsOptions::unbiased),
         "standardize embeddings with the unbiased standard deviation; off: as batch norm does");
  t.number("barlow_twins.epsilon", option(&BarlowTwinsOptions::epsilon), ranges::not_negative,
           "added to the variance (with unbiased on: to the standard deviation)");
}

}  // namespace

namespace objectives {

ObjectiveEntry barlow_twins() {
  return {.name = "barlow_twins",
          .title = "Barlow Twins",
          .options = options,
          .make_base = [](const ObjectiveSetup& setup, const Encoder&) -> std::unique_ptr<Method> {
            return std::make_unique<BarlowTwins>(setup);
          }};
}

}  // namespace objectives
}  // namespace vergence
