#include "ssl/method_objective.h"

namespace vergence {

MethodObjective::MethodObjective(const ObjectiveSetup& setup, const std::string& base, const char* option)
    : Objective(setup), base_(make_method(base, option, setup, encoder_)) {}

void MethodObjective::train_with_base(const std::vector<Mlp*>& heads, const std::vector<NamedTensor>& more) {
  std::vector<Mlp*> all = base_->heads();
  all.insert(all.end(), heads.begin(), heads.end());
  set_trained(all, more);
}

void MethodObjective::prepare(const StepContext& context) {
  Objective::prepare(context);
  if (base_->target()) base_->target()->prepare(context);
}

Tensor MethodObjective::target_features(const Tensor& views) {
  return base_->target() ? base_->target()->features(views, pass()) : Tensor{};
}

Embeddings MethodObjective::embed(const Tensor& features, const Tensor& target_features) {
  Embeddings embeddings;
  if (target_features) embeddings.target = ranks().gather_views(base_->embed_target(target_features, head_pass()));
  embeddings.online = ranks().gather_views(base_->embed(features, head_pass()));
  return embeddings;
}

Tensor MethodObjective::base_loss(const Views& views, Parts* parts) {
  const Tensor target = target_features(views.both);
  return base_->loss(embed(encode(views), target), parts);
}

void MethodObjective::after_update() {
  if (base_->target()) base_->target()->follow(parameters_);
}

ObjectiveState MethodObjective::state() {
  ObjectiveState all = Objective::state();
  if (base_->target()) all.parameters.emplace_back("target", base_->target()->parameters());
  return all;
}

StepCost MethodObjective::cost(std::int64_t images) const {
  StepCost all = Objective::cost(images);
  if (const MomentumEncoder* target = base_->target()) {
    all.parameters += target->parameters().size();
    all.flops += target->flops(2 * images);
    all.bytes += target->parameters().flat().size() * size_of(target->parameters().flat().dtype);
  }
  return all;
}

}  // namespace vergence
