// SimCLR (Chen, Kornblith, Norouzi, Hinton: "A simple framework for contrastive learning of visual representations",
// ICML 2020): a two-layer projector and the NT-Xent loss.
#include "ssl/losses.h"
#include "ssl/objective.h"

namespace vergence {
namespace {

class SimClr final : public Objective {
 public:
  explicit SimClr(const ObjectiveSetup& setup)
      : Objective(setup),
        projector_(make_mlp(projector(setup), init())),
        temperature_(setup.options.simclr.temperature) {
    train({&projector_});
  }

  Step run(const Views& views) override { return update(nt_xent(projector_(encode(views), pass()), temperature_)); }

 private:
  static MlpSettings projector(const ObjectiveSetup& setup) {
    const SimclrOptions& own = setup.options.simclr;
    const std::int64_t dim = setup.encoder.dim();
    return {
        .name = "projector", .sizes = {dim, own.hidden ? own.hidden : dim, own.output}, .hidden_norm = own.batch_norm};
  }

  Mlp projector_;
  double temperature_;
};

}  // namespace

std::unique_ptr<Objective> make_simclr(const ObjectiveSetup& setup) { return std::make_unique<SimClr>(setup); }

}  // namespace vergence
