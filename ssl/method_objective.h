// An objective built on a base method: SimCLR, BYOL, Barlow Twins or any other.
#pragma once

#include <memory>

#include "ssl/method.h"
#include "ssl/objective.h"

namespace vergence {

class MethodObjective : public Objective {
 public:
  void prepare(const StepContext& context) override;
  ObjectiveState state() override;
  StepCost cost(std::int64_t images) const override;

 protected:
  /// `base`: the method's name; `option` begins the UsageError for an unknown one. The derived constructor must end
  /// with `train_with_base`.
  MethodObjective(const ObjectiveSetup& setup, const std::string& base, const char* option);

  /// Trains the base's heads, then those of the derived class.
  void train_with_base(const std::vector<Mlp*>& heads = {}, const std::vector<NamedTensor>& more = {});
  const Method& base() const { return *base_; }
  /// The moving average's features of views [2N, H, W, 3]: [2N, dim] constants; none for methods without one.
  Tensor target_features(const Tensor& views);
  /// Features of encoder and moving average -> the input of the base's loss: the embeddings of all ranks.
  Embeddings embed(const Tensor& features, const Tensor& target_features);
  /// The loss of these views that the base method would compute on its own.
  Tensor base_loss(const Views& views, Parts* parts = nullptr);
  void after_update() override;

 private:
  std::unique_ptr<Method> base_;
};

}  // namespace vergence
