// BYOL (Grill et al.: "Bootstrap your own latent: a new approach to self-supervised learning", NeurIPS 2020): a
// predictor learns to map one view's projection to what a slowly moving copy of the network makes of the other view.
#include <cmath>
#include <numbers>

#include "ssl/losses.h"
#include "ssl/objective.h"

namespace vergence {
namespace {

class Byol final : public Objective {
 public:
  explicit Byol(const ObjectiveSetup& setup)
      : Objective(setup),
        own_(setup.options.byol),
        projector_(make_mlp(mlp("projector", {setup.encoder.dim(), own_.hidden, own_.output}), init())),
        predictor_(make_mlp(mlp("predictor", {own_.output, own_.predictor_hidden, own_.output}), init())),
        target_encoder_(encoder_),
        target_projector_(projector_) {
    train({&projector_, &predictor_});
    std::vector<NamedTensor> copied = parameters_of(target_encoder_, "encoder.");
    for (const NamedTensor& parameter : parameters_of(target_projector_)) copied.push_back(parameter);
    target_ = ParameterSet(copied, Role::constant);
    keep_ = zeros(backend(), {1}, DType::f64);
  }

  void prepare(const StepContext& context) override {
    Objective::prepare(context);
    const double keep = momentum(context);
    backend().upload(keep_.data->data(), &keep, sizeof keep);
  }

  Step run(const Views& views) override {
    // The target normalises by the statistics of the batch and needs no running ones.
    Pass target_pass = pass();
    target_pass.running = nullptr;
    const Tensor target = target_projector_(target_encoder_(views.both, target_pass), target_pass);
    const Tensor prediction = predictor_(projector_(encode(views), pass()), pass());
    const Step done = update(byol(prediction, target));
    ema_update(target_, parameters_, keep_);
    return done;
  }

  ObjectiveState state() override {
    ObjectiveState all = Objective::state();
    all.parameters.emplace_back("target", target_);
    return all;
  }

  StepCost cost(std::int64_t images) const override {
    StepCost all = Objective::cost(images);
    const Cost encoder = cost_of(target_encoder_.settings, 2 * images);
    all.parameters += target_.size();
    all.flops += encoder.forward_flops + target_projector_.flops(2 * images);
    all.bytes += target_.flat().size() * size_of(target_.flat().dtype);
    return all;
  }

 private:
  static MlpSettings mlp(const char* name, std::vector<std::int64_t> sizes) {
    return {.name = name, .sizes = std::move(sizes), .hidden_norm = true};
  }

  /// The share of the target that stays: from `momentum` to `final_momentum` along half a cosine.
  double momentum(const StepContext& context) const {
    const double done = static_cast<double>(context.step) / static_cast<double>(context.steps);
    const double rest = (1 + std::cos(std::numbers::pi * std::min(1.0, done))) / 2;
    return own_.final_momentum - (own_.final_momentum - own_.momentum) * rest;
  }

  ByolOptions own_;
  Mlp projector_, predictor_;
  ResNet target_encoder_;
  Mlp target_projector_;
  ParameterSet target_;
  Tensor keep_;  // the share of the target that stays in this step
};

}  // namespace

std::unique_ptr<Objective> make_byol(const ObjectiveSetup& setup) { return std::make_unique<Byol>(setup); }

}  // namespace vergence
