// SimCLR (Chen, Kornblith, Norouzi, Hinton: "A simple framework for contrastive learning of visual representations",
// ICML 2020): a two-layer projector and the NT-Xent loss.
#include "engine/ops/loss.h"
#include "engine/ops/ops.h"
#include "ssl/losses.h"
#include "ssl/objective_list.h"

namespace vergence {
namespace {

struct SimclrOptions {
  double temperature = 0.2;
  std::int64_t hidden = 2048, output = 256;
  bool batch_norm = false, last_norm = false;
};

class Simclr final : public Method {
 public:
  explicit Simclr(const ObjectiveSetup& setup)
      : projector_(make_mlp(projector(setup), setup.init())),
        temperature_(setup.options.components.get<SimclrOptions>().temperature) {}

  std::vector<Mlp*> heads() override { return {&projector_}; }
  Tensor embed(const Tensor& features, const ForwardMode& pass) const override { return projector_(features, pass); }
  Tensor loss(const Embeddings& embeddings, Parts*) const override { return nt_xent(embeddings.online, temperature_); }
  Tensor log_likelihood(const Embeddings& embeddings) const override {
    return info_nce(l2_normalize(embeddings.online), temperature_);
  }

  Tensor stratified_loss(const std::vector<Embeddings>& strata) const override {
    Tensors all;
    for (const Embeddings& embeddings : strata) {
      const Tensor& z = embeddings.online;
      all.push_back(reshape(z, {1, z.rows(), z.cols()}));
    }
    return stratified_nt_xent(concat(all, 0), temperature_);
  }

 private:
  static MlpSettings projector(const ObjectiveSetup& setup) {
    const SimclrOptions options = setup.options.components.get<SimclrOptions>();
    const std::int64_t dim = setup.encoder.dim();
    return {.name = "projector",
            .sizes = {dim, options.hidden ? options.hidden : dim, options.output},
            .hidden_norm = options.batch_norm,
            .last_norm = options.last_norm ? LastNorm::affine : LastNorm::none};
  }

  Mlp projector_;
  double temperature_;
};

void options(OptionBuilder& t) {
  t.number("simclr.temperature", option(&SimclrOptions::temperature), ranges::positive,
           "temperature of the NT-Xent loss");
  t.number("simclr.hidden", option(&SimclrOptions::hidden), ranges::from(0, 1e6),
           "width of the projector's hidden layer; 0: as wide as the encoder's features");
  t.number("simclr.output", option(&SimclrOptions::output), ranges::layer,
           "width of the embeddings (the projector's output)");
  t.flag("simclr.batch_norm", option(&SimclrOptions::batch_norm), "batch norm after the projector's hidden layer");
  t.flag("simclr.last_norm", option(&SimclrOptions::last_norm), "batch norm after the projector's output layer");
}

}  // namespace

namespace objectives {

ObjectiveEntry simclr() {
  return {.name = "simclr",
          .title = "SimCLR",
          .options = options,
          .make_base = [](const ObjectiveSetup& setup, const Encoder&) -> std::unique_ptr<Method> {
            return std::make_unique<Simclr>(setup);
          }};
}

}  // namespace objectives
}  // namespace vergence
