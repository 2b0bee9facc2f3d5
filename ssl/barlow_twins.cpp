// Barlow Twins (Zbontar, Jing, Misra, LeCun, Deny: "Barlow Twins: self-supervised learning via redundancy reduction",
// ICML 2021): a three-layer projector; the cross-correlation of the two views is pulled towards the identity.
#include "ssl/losses.h"
#include "ssl/objective.h"

namespace vergence {
namespace {

class BarlowTwins final : public Objective {
 public:
  explicit BarlowTwins(const ObjectiveSetup& setup) : Objective(setup), projector_(make_mlp(projector(setup), init())) {
    const BarlowTwinsOptions& own = setup.options.barlow_twins;
    loss_ = {.lambda = own.lambda, .scale = own.scale, .unbiased = own.unbiased, .epsilon = own.epsilon};
    train({&projector_});
  }

  Step run(const Views& views) override {
    const BarlowTwinsParts parts = barlow_twins_parts(projector_(encode(views), pass()), loss_);
    return update(parts.invariance + parts.redundancy,
                  {{"invariance", parts.invariance}, {"redundancy", parts.redundancy}});
  }

 private:
  static MlpSettings projector(const ObjectiveSetup& setup) {
    const BarlowTwinsOptions& own = setup.options.barlow_twins;
    return {
        .name = "projector", .sizes = {setup.encoder.dim(), own.hidden, own.hidden, own.output}, .hidden_norm = true};
  }

  Mlp projector_;
  BarlowTwinsLoss loss_;
};

}  // namespace

std::unique_ptr<Objective> make_barlow_twins(const ObjectiveSetup& setup) {
  return std::make_unique<BarlowTwins>(setup);
}

}  // namespace vergence
